"""Who lives around a simulated service: callers with phones, crews with devices, dispatchers, and consoles.

They know only what reaches them, ask again when they hear nothing, and go elsewhere when nobody answers there.
What they hear is put to the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from consoles.board import Board
from consoles.feed import merge
from consoles.gateway import PATH
from dispatch.actors import Actor, Role
from dispatch.calling.calls import NewCall
from dispatch.calling.evidence import Evidence
from dispatch.calling.reception import Contact
from dispatch.core import commands as c
from dispatch.core.state import can_be_sent
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    CallId,
    Channel,
    IncidentId,
    LocationFix,
    RegionId,
    Service,
    Source,
    UnitId,
    UnitStatus,
)
from dispatch.engine import Reply
from dispatch.errors import ServiceAway
from dispatch.formats.mqtt import LinkReport, OrderAck, StatusReport, decode_order, encode_report
from dispatch.writing.keys import Key
from simulators.plane import Point, near, point_in
from simulators.station import Station
from simulators.twins import ConsoleSocket, texts
from simulators.writer import Broken

if TYPE_CHECKING:
    from simulators.shell import ShellWorld

PATIENCE_S = 4.0
"""How long somebody waits for an answer before asking again."""
PAUSE_S = (0.5, 3.0)
REPEAT_S = 3.0
SILENCE_S = 4.0
"""A console that hears not even a heartbeat for so long takes its link for broken."""

TYPES = ("cardiac_arrest", "road_accident", "building_fire", "theft", "illness")
SERVICES = (Service.POLICE, Service.AMBULANCE, Service.FIRE)
_json = msgspec.json.Encoder()
T = TypeVar("T")


async def asked(station: Station, work: Coroutine[Any, Any, T]) -> T | None:
    """Have a process do something; None when it gives no answer in time or cannot."""
    if not station.answers:
        work.close()
        return None
    task = station.spawn(work)
    await asyncio.wait([task], timeout=PATIENCE_S)
    if not task.done():
        task.add_done_callback(_unheard)
        return None
    return None if isinstance(task.exception(), ServiceAway) else task.result()


def _unheard(task: asyncio.Task[Any]) -> None:
    """Whoever asked has hung up; what came of it is nobody's any more."""
    if not task.cancelled():
        task.exception()


class Caller:
    """One person with an app: the same key until an answer is here, and sometimes once more after it."""

    def __init__(self, world: ShellWorld, number: int, place: int, point: Point | None) -> None:
        self.world = world
        self.key = f"k{number}"
        chance = world.chance
        self.actor = Actor(actor_id=ActorId(f"device:{number}"), role=Role.DEVICE, username="app")
        self.place, self.point = place, point
        evidence = [Evidence(source=Source.APP, point=[point[1], point[0]], accuracy_m=30.0)] if point else []
        known = chance.random()
        self.said = NewCall(
            channel=chance.choice((Channel.APP, Channel.VOICE)),
            location=evidence,
            service=chance.choice(SERVICES) if known < 0.3 else None,
            incident_type=chance.choice(TYPES) if known > 0.5 else None,
        )
        self.call_id: CallId | None = None
        self.spooled_at: Station | None = None
        self.asked_at: dict[Station, None] = {}

    async def run(self) -> None:
        """Call until the call is acknowledged."""
        world, chance = self.world, self.world.chance
        heard = 0
        while not heard or (heard == 1 and chance.random() < 0.3):
            station = self._station()
            body = await self._post(station) if station is not None else None
            if station is not None and body is not None and not world.happens(world.faults.answers_lost):
                world.law(partial(self._heard, body, station))
                heard += 1
            await asyncio.sleep(chance.uniform(*PAUSE_S))
        if self.point is not None and chance.random() < 0.6:
            await self._elsewhere()

    def _station(self) -> Station | None:
        """By the balancer in front: the process that leads the region; whose answer says `spooled`, that one again."""
        if self.spooled_at is not None:
            return self.spooled_at if self.spooled_at.answers else None
        return self.world.leading(self.world.regions[self.place]) or self.world.anybody()

    def _heard(self, body: bytes, station: Station) -> None:
        self.world.ledger.answered(f"{self.actor.actor_id}/{self.key}", body)
        self.call_id = CallId(msgspec.json.decode(body)["call_id"])
        if b'"spooled"' in body:
            self.spooled_at = station

    async def _post(self, station: Station) -> bytes | None:
        self.asked_at[station] = None
        raw = _json.encode(self.said)
        key = Key(actor=self.actor.actor_id, key=self.key, body_hash=b"")
        contact = Contact(said=self.said, actor=self.actor, call_id=station.reception.ids.call_id(), key=key)
        reply = await asked(station, station.intake.take(contact, raw))
        return reply.body if reply is not None and reply.status == 201 else None

    async def _elsewhere(self) -> None:
        """The phone says later where it is, now and then in another region: the call is handed over."""
        world, chance = self.world, self.world.chance
        await asyncio.sleep(chance.uniform(0.2, 4))
        place = chance.randrange(len(world.regions)) if world.happens(0.8) else self.place
        lat, lon = point_in(place, chance)
        station = world.leading(world.regions[self.place])
        if station is None or self.call_id is None:
            return
        found = station.reception.open_call(self.call_id)
        if found is not None:
            fix = LocationFix(source=Source.AML, at=station.reception.clock.now(), lat=lat, lon=lon, accuracy_m=20.0)
            await asked(station, station.reception.locate(*found, fix, self.actor.actor_id))


class Handset:
    """A crew's device: acknowledges orders, repeats each status until its receipt is here."""

    def __init__(self, world: ShellWorld, unit_id: UnitId, region: RegionId, at: Point) -> None:
        self.world = world
        self.unit_id, self.region, self.at = unit_id, region, at
        self.job: str | None = None
        self.silent = False
        self._known: deque[str] = deque(maxlen=32)
        self._receipts: set[str] = set()
        self._reports = 0
        self._outbox: deque[StatusReport] = deque()
        world.broker.devices[unit_id] = self.hear

    def hear(self, topic: str, payload: bytes) -> None:
        """An order or a receipt arrives."""
        if topic.endswith("/receipts"):
            self._receipts.add(msgspec.json.decode(payload)["status_id"])
            return
        order = decode_order(payload)
        if self.silent:
            return
        self._ack(order.order_id, "delivered")
        if order.order_id in self._known:
            return
        self._known.append(order.order_id)
        chance = self.world.chance
        if self.world.happens(self.world.faults.falls_silent):
            self.silent = True
            self.world.loop.call_later(chance.uniform(20, 90), self._wake)
            return
        self.world.loop.call_later(
            chance.uniform(0.5, 6), self._answer, order.order_id, order.kind, order.assignment_id
        )

    def _wake(self) -> None:
        self.silent = False

    def _ack(self, order_id: str, stage: Any) -> None:
        self._say("ack", encode_report(OrderAck(order_id=order_id, stage=stage, at=self.world.clock.now())))

    def _say(self, kind: str, payload: bytes) -> None:
        self.world.broker.say(f"112/units/{self.unit_id}/{kind}", payload)

    def _answer(self, order_id: str, kind: str, assignment_id: str | None) -> None:
        if kind == "message":
            self._ack(order_id, "accepted")
            return
        if kind not in ("dispatch", "divert"):
            self._ack(order_id, "accepted")
            if self.job == assignment_id:
                self.job = None
                self.report(UnitStatus.AVAILABLE, None)
            return
        if self.world.happens(self.world.faults.refuses):
            self._ack(order_id, "refused")
            self.world.loop.call_later(20.0, self.report, UnitStatus.AVAILABLE, None)
            return
        self._ack(order_id, "accepted")
        self.take(assignment_id)

    def take(self, assignment_id: str | None) -> None:
        """Set out for an assignment."""
        self.job = assignment_id
        self.world.begin(self._work(assignment_id))

    async def _work(self, job: str | None) -> None:
        chance = self.world.chance
        steps = [UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE, UnitStatus.AVAILABLE]
        for status in steps:
            if self.job != job:
                return
            if status is UnitStatus.AVAILABLE:
                self.job = None
            if status is UnitStatus.AVAILABLE or not self.world.happens(self.world.faults.skips_step):
                self.report(status, job)
            await asyncio.sleep(chance.uniform(3, 15))

    def report(self, status: UnitStatus, assignment_id: str | None) -> None:
        """Say a status again and again until its receipt is here; the next one waits behind it."""
        self._reports += 1
        at = self.world.clock.now()
        made = StatusReport(status_id=f"s{self._reports}", status=status.value, at=at, assignment_id=assignment_id)
        self._outbox.append(made)
        if len(self._outbox) == 1:
            self._push()

    def _push(self) -> None:
        while self._outbox and self._outbox[0].status_id in self._receipts:
            self._outbox.popleft()
        if self._outbox:
            self._say("status", encode_report(self._outbox[0]))
            self.world.loop.call_later(REPEAT_S, self._push)

    def called_by_radio(self) -> None:
        """In the calm somebody asks the crew what it is at, and both sides agree again."""
        unit = self.world.ledger.truth[self.region].units.get(self.unit_id)
        if unit is None or self.silent or self._outbox:
            return
        if unit.assignment_id is not None and self.job != unit.assignment_id:
            self.take(unit.assignment_id)
        elif unit.assignment_id is None and self.job is None and unit.status is UnitStatus.OUT_OF_SERVICE:
            self.report(UnitStatus.AVAILABLE, None)
        elif not unit.linked:
            self._say("link", encode_report(LinkReport(online=True)))


class Dispatcher:
    """Assigns by hand, recalls, closes, classifies what waits: at whichever process leads, never repeated."""

    def __init__(self, world: ShellWorld, region: RegionId) -> None:
        self.world, self.region = world, region
        self._acts = 0

    async def run(self) -> None:
        """Work for ever; in the calm only classify what waits and free what is held."""
        while True:
            await asyncio.sleep(self.world.chance.uniform(1, 5))
            station = self.world.leading(self.region)
            command = self._command(station) if station is not None else None
            if station is not None and command is not None:
                await self._submit(station, command)

    async def _submit(self, station: Station, command: c.Command) -> None:
        self._acts += 1
        key = Key(actor=ActorId(f"user:{self.region}"), key=f"d{self._acts}", body_hash=b"")
        reply: Reply | None = await asked(station, station.engine.submit(self.region, command, key=key))
        if reply is not None and reply.refusal is None and reply.seq:
            self.world.law(lambda: self._kept(reply))

    def _kept(self, reply: Reply) -> None:
        if self.world.ledger.truth[self.region].seq < reply.seq:
            raise Broken(f"{self.region}: event {reply.seq} was answered for and is not in the journal")

    def _command(self, station: Station) -> c.Command | None:
        state, chance, who = station.engine.states[self.region], self.world.chance, ActorId("user:d")
        waiting = [call for call in state.calls.values() if call.incident_id is None and call.moving_to is None]
        if waiting:
            return c.ClassifyCall(actor=who, call_id=waiting[0].call_id, incident_type=chance.choice(TYPES))
        incidents = list(state.incidents.values())
        unheld = next((i for i in incidents if i.held or i.location is None), None)
        if unheld is not None:
            return self._settled(unheld.incident_id, held=unheld.held)
        if self.world.calm or not incidents:
            return None
        incident = chance.choice(incidents).incident_id
        free = [unit.unit_id for unit in state.units.values() if can_be_sent(unit)]
        unit = chance.choice(free or list(state.units))
        if chance.random() < 0.7:
            return c.AssignUnits(actor=who, incident_id=incident, units=(unit,))
        busy = [unit.unit_id for unit in state.units.values() if unit.assignment_id is not None]
        if busy and chance.random() < 0.5:
            return c.DivertUnit(actor=who, incident_id=incident, unit_id=chance.choice(busy))
        return c.RecallUnits(actor=who, incident_id=incident)

    def _settled(self, incident_id: IncidentId, *, held: bool) -> c.Command:
        if held:
            return c.HoldIncident(actor=SYSTEM, incident_id=incident_id, held=False)
        point = point_in(self.world.regions.index(self.region), self.world.chance)
        place = near(point, 100.0, self.world.chance)
        return c.LocateIncident(actor=SYSTEM, incident_id=incident_id, location=self.world.location(place, self.region))


class Screen:
    """A console of one region in one view: snapshot and deltas, resumed by number wherever it is let in."""

    def __init__(self, world: ShellWorld, region: RegionId, view: str) -> None:
        self.world, self.region, self.view = world, region, view
        self.seq = -1
        self.board: dict[str, Any] = {}
        self.deltas = self.snapshots = 0
        self.station: Station | None = None
        self.socket: ConsoleSocket | None = None
        self._heard_s = 0.0

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(self.world.chance.uniform(0.2, 1.0))
            station = self.world.leading(self.region)
            if station is not None:
                await self._watch(station)

    async def _watch(self, station: Station) -> None:
        """One connection, from its handshake until it is broken, silent or its process leads no more."""
        query = {
            "regions": self.region,
            "after": f"{self.region}:{self.seq}" if self.seq >= 0 else "",
            "view": self.view,
        }
        socket = ConsoleSocket(self.world.loop, PATH, query, self._heard)
        self.station, self.socket, self._heard_s = station, socket, self.world.loop.time()
        self.world.loop.call(station.owner, self._handle, station, socket)
        while not socket.over.done():
            await asyncio.wait([socket.over], timeout=1.0)
            silent = self.world.loop.time() - self._heard_s > SILENCE_S
            if silent or not station.alive or self.region not in station.engine.led:
                break
        socket.deaf = True
        self.world.loop.call(station.owner, socket.close, 1001, "gone")

    def _handle(self, station: Station, socket: ConsoleSocket) -> None:
        station.spawn(station.gateway.handle(socket))  # type: ignore[arg-type]

    def _heard(self, data: bytes) -> None:
        self._heard_s = self.world.loop.time()
        for text in texts(data):
            self.world.law(partial(self._take, msgspec.json.decode(text)))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.board, self.seq = message["board"], message["seq"]
            self.snapshots += 1
        elif message["type"] == "delta":
            if message["from"] != self.seq:
                raise Broken(f"{self.region}: a console at {self.seq} gets the changes from {message['from']}")
            merge(self.board, message["changes"])
            self.seq = message["to"]
            self.deltas += 1
        else:
            return
        state = self.world.ledger.truth[self.region]
        if self.seq > state.seq:
            raise Broken(f"{self.region}: a console shows event {self.seq}, committed are {state.seq}")
        if self.seq == state.seq:
            self.check()

    def check(self) -> None:
        """Snapshot and deltas equal a fresh snapshot of what is committed."""
        fresh = msgspec.json.decode(_json.encode(Board(self.view).snapshot(self.world.ledger.truth[self.region])))
        if self.board != fresh:
            keys = [key for key in fresh if fresh[key] != self.board.get(key)]
            raise Broken(
                f"{self.region}: a console in view {self.view} at {self.seq} differs from a fresh one in {keys}"
            )
