"""Who lives around a simulated service: callers with phones, crews with devices, dispatchers.

They know only what reaches them, ask again when they hear nothing, and go elsewhere when nobody answers there.
What they hear is put to the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from dispatch.actors import Actor, Role
from dispatch.calling.calls import NewCall
from dispatch.calling.evidence import Evidence
from dispatch.calling.reception import Contact
from dispatch.core import commands as c
from dispatch.core.state import can_be_sent
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    AssignmentId,
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
from dispatch.formats.mqtt import LinkReport, OrderAck, Receipt, StatusReport, decode_order, encode_report
from dispatch.writing.keys import Key
from dispatch.writing.positions import Position
from simulators.plane import Point, near, point_in
from simulators.station import Station
from simulators.writer import Broken

if TYPE_CHECKING:
    from simulators.shell import ShellWorld

PATIENCE_S, HURRY_S = 4.0, 0.4
"""How long somebody waits for an answer before asking again; who is in a hurry does while the first try hangs."""
PAUSE_S, LONG_PAUSE_S = (0.5, 3.0), (0.5, 15.0)
"""Before the next try; the long one by who knows that the call waits in a spool."""
ATTEMPTS = 4
"""How often a dispatcher's command is sent before it is given up."""
REPEAT_S = 3.0
SKEW_S = 600.0
"""How wrong a device's clock may be, either way."""

TYPES = ("cardiac_arrest", "road_accident", "building_fire", "theft", "illness")
SERVICES = (Service.POLICE, Service.AMBULANCE, Service.FIRE)
_json = msgspec.json.Encoder()
T = TypeVar("T")


async def asked(station: Station, work: Coroutine[Any, Any, T], patience_s: float = PATIENCE_S) -> T | None:
    """Have a process do something; None when it gives no answer in time or cannot."""
    if not station.answers:
        work.close()
        return None
    task = station.spawn(work)
    await asyncio.wait([task], timeout=patience_s)
    if not task.done():
        return None
    return None if isinstance(task.exception(), ServiceAway) else task.result()


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
        self.talks = Random(f"{world.seed}/{number}")
        self.door = chance.choice(("", "", *world.stations))
        self.patience_s = chance.choice((HURRY_S, PATIENCE_S))
        self.call_id: CallId | None = None
        self.spooled_at: Station | None = None
        self.asked_at: dict[Station, None] = {}

    async def run(self) -> None:
        """Call until the call is acknowledged, and now and then again, most of all when it only waits in a spool."""
        world, chance = self.world, self.world.chance
        heard = 0
        while not heard or chance.random() < (0.7 if self.spooled_at is not None else 0.2):
            station = self._station()
            body = await self._post(station) if station is not None else None
            if station is not None and body is not None and not world.strikes("answers_lost"):
                world.law(partial(self._heard, body, station))
                heard += 1
            pause_s = chance.uniform(*(PAUSE_S if self.spooled_at is None else LONG_PAUSE_S))
            await asyncio.sleep(pause_s if heard else min(self.patience_s, pause_s))
        if self.point is not None and chance.random() < 0.6:
            await self._elsewhere()
            for _ in range(self.talks.choice((0, 0, 1, 3))):
                await asyncio.sleep(self.talks.uniform(0.1, 2))
                await self._located(point_in(self.talks.randrange(len(world.regions)), self.talks))

    def _station(self) -> Station | None:
        """By the balancer in front: its own door, or whoever leads; whose answer says `spooled`, that one again."""
        if self.spooled_at is not None:
            return self.spooled_at if self.spooled_at.answers else None
        door = self.world.stations.get(self.door)
        if door is not None and door.answers:
            return door
        return self.world.leading(self.world.regions[self.place]) or self.world.anybody()

    def _heard(self, body: bytes, station: Station) -> None:
        self.world.ledger.answered(f"{self.actor.actor_id}/{self.key}", body)
        before, self.call_id = self.call_id, CallId(msgspec.json.decode(body)["call_id"])
        if before not in (None, self.call_id) and len(self.asked_at) == 1:
            raise Broken(f"{self.key} was told of {before} and then of {self.call_id} by {station.name}")
        if b'"spooled"' in body:
            self.spooled_at = station

    async def _post(self, station: Station) -> bytes | None:
        self.asked_at[station] = None
        raw = _json.encode(self.said)
        key = Key(actor=self.actor.actor_id, key=self.key, body_hash=b"")
        contact = Contact(said=self.said, actor=self.actor, call_id=station.reception.ids.call_id(), key=key)
        reply = await asked(station, station.intake.take(contact, raw), self.patience_s)
        return reply.body if reply is not None and reply.status == 201 else None

    async def _elsewhere(self) -> None:
        """The phone says later where it is, now and then in another region: the call is handed over."""
        world, chance = self.world, self.world.chance
        await asyncio.sleep(chance.uniform(0.2, 4))
        place = chance.randrange(len(world.regions)) if world.happens(0.8) else self.place
        await self._located(point_in(place, chance))

    async def _located(self, point: Point) -> None:
        """Say it to whoever leads the region that took the call first, wherever the call is by now."""
        world, call_id = self.world, self.call_id
        station = world.leading(world.regions[self.place])
        if station is None or call_id is None:
            return
        reception = station.reception
        fix = LocationFix(source=Source.AML, at=reception.clock.now(), lat=point[0], lon=point[1], accuracy_m=20.0)
        found, left = reception.open_call(call_id), reception.left_from(call_id)
        reply: Reply | None = None
        if found is not None:
            reply = await asked(station, reception.locate(*found, fix, self.actor.actor_id))
        elif left is not None:
            said = c.LocateCall(actor=self.actor.actor_id, call_id=call_id, fix=fix)
            reply = await asked(station, reception.hear(left, said))
        if reply is not None and reply.refusal is None:
            world.ledger.seen.setdefault(call_id, []).append(fix)


class Said(NamedTuple):
    """A status as the crew meant it: when it was really said, and of which job, whether it names that or not."""

    report: StatusReport
    at: datetime
    job: str | None


class Handset:
    """A crew's device: acknowledges orders, repeats each status until its receipt is here. Its clock may be wrong."""

    def __init__(self, world: ShellWorld, unit_id: UnitId, region: RegionId, at: Point) -> None:
        self.world = world
        self.unit_id, self.region, self.at = unit_id, region, at
        self.job: str | None = None
        self.silent = False
        self._skew_s = world.chance.uniform(-SKEW_S, SKEW_S) if world.strikes("clock_skewed") else 0.0
        self._known: deque[str] = deque(maxlen=32)
        self._receipts: set[str] = set()
        self._reports = 0
        self._outbox: deque[Said] = deque()
        world.broker.devices[unit_id] = self.hear

    def hear(self, topic: str, payload: bytes) -> None:
        """An order or a receipt arrives."""
        if topic.endswith("/receipts"):
            self._received(msgspec.json.decode(payload, type=Receipt))
            return
        order = decode_order(payload)
        if self.silent:
            return
        self._ack(order.order_id, "delivered")
        if order.order_id in self._known:
            return
        self._known.append(order.order_id)
        chance = self.world.chance
        if self.world.strikes("falls_silent"):
            self.silent = True
            self.world.loop.call_later(chance.uniform(20, 90), self._wake)
            return
        self.world.loop.call_later(
            chance.uniform(0.5, 6), self._answer, order.order_id, order.kind, order.assignment_id
        )

    def _wake(self) -> None:
        self.silent = False

    def fix(self) -> Position:
        """Where it says that it is now, by its own clock, and now and then from where it is not."""
        world, chance = self.world, self.world.chance
        lat, lon = point_in(chance.randrange(2), chance) if world.strikes("gps_jumps") else self.at
        return Position(unit_id=self.unit_id, lat=lat, lon=lon, at=self._time(), received_at=world.clock.now())

    def _time(self) -> datetime:
        return self.world.clock.now() + timedelta(seconds=self._skew_s)

    def _ack(self, order_id: str, stage: Any) -> None:
        self._say("ack", encode_report(OrderAck(order_id=order_id, stage=stage, at=self._time())))

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
        if self.world.strikes("refuses"):
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
            if status is UnitStatus.AVAILABLE or not self.world.strikes("skips_step"):
                self.report(status, job, names=self.world.happens(0.8))
            await asyncio.sleep(chance.uniform(3, 15))

    def report(self, status: UnitStatus, job: str | None, *, names: bool = True) -> None:
        """Say a status of this job again and again until its receipt is here; the next one waits behind it."""
        self._reports += 1
        named = job if names else None
        name, at = f"s{self._reports}", self._time()
        made = StatusReport(status_id=name, status=status.value, at=at, assignment_id=named)
        self._outbox.append(Said(made, self.world.clock.now(), job))
        if len(self._outbox) == 1:
            self._push()

    def _push(self) -> None:
        while self._outbox and self._outbox[0].report.status_id in self._receipts:
            self._outbox.popleft()
        if self._outbox:
            self._say("status", encode_report(self._outbox[0].report))
            self.world.loop.call_later(REPEAT_S, self._push)

    def _received(self, receipt: Receipt) -> None:
        self._receipts.add(receipt.status_id)
        said = next((said for said in self._outbox if said.report.status_id == receipt.status_id), None)
        if said is not None and receipt.refused == "assignment_over" and said.report.assignment_id is None:
            self.world.law(partial(self._is_over, said))

    def _is_over(self, said: Said) -> None:
        """What a crew says at work is not refused as a word about the past, however slow its clock is: nobody would
        know that it is free. Its device has acknowledged the order by then, so the service knows that clock.
        """
        made = self.world.ledger.assignments.get(AssignmentId(said.job or ""))
        known_at = made.delivered_at if made is not None and made.cleared_at is None else None
        if known_at is not None and known_at < said.at:
            raise Broken(f"{self.unit_id} said {said.report} at work on {said.job}, and was told that it is over")

    def called_by_radio(self) -> None:
        """In the calm somebody asks the crew what it is at, and both sides agree again.

        Not while an order for it waits: that the service has to bring, or to give up, by itself.
        """
        state = self.world.ledger.truth[self.region]
        unit = state.units.get(self.unit_id)
        if unit is None or self.silent or self._outbox:
            return
        self._skew_s = 0.0
        if any(order.unit_id == self.unit_id for order in state.orders.values()):
            return
        if unit.assignment_id is not None and self.job != unit.assignment_id:
            self.take(unit.assignment_id)
        elif unit.assignment_id is None and self.job is None and unit.status is UnitStatus.OUT_OF_SERVICE:
            self.report(UnitStatus.AVAILABLE, None)
        elif not unit.linked:
            self._say("link", encode_report(LinkReport(online=True)))


class Dispatcher:
    """Assigns by hand, recalls, closes, classifies what waits: at whichever process leads.

    What is not answered is sent again under its key, as the process that sends requests on does: to the next leader.
    """

    def __init__(self, world: ShellWorld, region: RegionId) -> None:
        self.world, self.region = world, region
        self._acts = 0

    async def run(self) -> None:
        """Work for ever; in the calm only classify what waits and free what is held."""
        while True:
            await asyncio.sleep(self.world.chance.uniform(1, 5))
            station = self.world.leading(self.region)
            command = self._command(station) if station is not None else None
            if command is not None:
                await self._submit(command)

    async def _submit(self, command: c.Command) -> None:
        self._acts += 1
        key = Key(actor=ActorId(f"user:{self.region}"), key=f"d{self._acts}", body_hash=b"")
        for _ in range(ATTEMPTS):
            station = self.world.leading(self.region)
            if station is not None:
                reply: Reply | None = await asked(station, station.engine.submit(self.region, command, key=key))
                if reply is not None and not self.world.strikes("answers_lost"):
                    self.world.law(partial(self._kept, key, reply))
                    return
            await asyncio.sleep(self.world.chance.uniform(*PAUSE_S))

    def _kept(self, key: Key, reply: Reply) -> None:
        ledger = self.world.ledger
        if reply.refusal is None and reply.seq > ledger.truth[self.region].seq:
            raise Broken(f"{self.region}: event {reply.seq} was answered for and is not in the journal")
        first = ledger.answer_to(key.actor, key.key)
        if first is not None and first != reply.body:
            raise Broken(f"{self.region}: {key.key} was done and answered {first!r}, and now {reply.body!r}")

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
