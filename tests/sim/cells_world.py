"""A small seeded world of regions that hand calls over and lend units, over lines that lose, repeat, delay and cut.

Each region has a state that runs ahead and a committed one; a crash throws away what was not committed. What is said
between regions is said by `dispatch.cells.exchange`, through its bytes. After every step: each call has one owner, or
is offered and has none elsewhere; each unit has one live assignment; nothing acknowledged is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from random import Random

import msgspec

from dispatch.cells import exchange
from dispatch.cells.exchange import Answer, CallOffer, Message
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core.aid_terms import is_told
from dispatch.core.deadlines import due, endings
from dispatch.core.fact import kind_of
from dispatch.core.followups import sweep
from dispatch.core.invariants import broken
from dispatch.core.lifecycle import FREE, WORKING
from dispatch.core.needs import lent, live
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    Body,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    IncidentId,
    Location,
    Order,
    RegionId,
    Source,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)
from tests.sim.cells_evidence import Witnesses
from tests.sim.cells_region import Broken, Region

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
REGIONS = (RegionId("UZ-TK"), RegionId("UZ-TO"), RegionId("UZ-SA"))
LOLA = ActorId("user:lola")
TICK_S, COMMIT_S = 2.0, 0.7
STORM_S, CALM_S = 400.0, 900.0
UNITS_EACH = 3
CALLS = 12
STEPS = (UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE, UnitStatus.RETURNING, UnitStatus.AVAILABLE)


class World:
    """One run: a storm, then calm until everything is settled. Raises Broken."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now_s = 0.0
        self.regions = {region: Region(region) for region in REGIONS}
        self.known: set[CallId] = set()
        self.witnesses = Witnesses(self.regions, self.chance)
        self.happened: dict[str, int] = {}
        self.cut = False
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0
        weather = self.chance
        self.lost, self.repeated = weather.choice((0.0, 0.1, 0.3)), weather.choice((0.0, 0.1, 0.3))
        self.delay_s, self.crashes = weather.choice((0.3, 5.0, 40.0)), weather.choice((0.0, 0.02, 0.06))

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.now_s)

    @property
    def calm(self) -> bool:
        return self.now_s >= STORM_S

    def run(self) -> None:
        self._muster()
        for _ in range(CALLS):
            self.later(self.chance.uniform(0, STORM_S * 0.8), self._call)
        for action, every_s in (
            (self._exchange, TICK_S),
            (self._commit, COMMIT_S),
            (self._time, 5.0),
            (self._crew, 3.0),
        ):
            self._again(action, every_s)
        self._again(self._act, 4.0)
        self._again(self._see, 5.0)
        self._again(self._trouble, TICK_S)
        while self.now_s <= STORM_S + CALM_S and not (self.calm and self._settled()):
            self.now_s, _, action = heapq.heappop(self._agenda)
            action()
            self._owners()
        self._account()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (self.now_s + seconds, self._entries, action))

    def _again(self, action: Callable[[], None], every_s: float) -> None:
        def turn() -> None:
            action()
            self.later(every_s, turn)

        self.later(every_s * self.chance.random(), turn)

    def submit(self, region: RegionId, command: c.Command) -> list[e.Event] | None:
        events = self.regions[region].submit(command, self.now)
        for event in events or ():
            name = kind_of(event)
            self.happened[name] = self.happened.get(name, 0) + 1
        return events

    # Between regions

    def _exchange(self) -> None:
        """What the outbox does: everything that the committed states still have to say."""
        for region, ours in self.regions.items():
            for command in exchange.chores(ours.committed, SYSTEM):
                self.submit(region, command)
            for message in list(exchange.messages(ours.committed)):
                if isinstance(message, CallOffer) and not ours.committed.offers[message.call.call_id].sent:
                    if not self.cut:
                        mark = c.MarkSent(actor=SYSTEM, call_id=message.call.call_id, offer_id=message.offer_id)
                        self.submit(region, mark)
                elif self.calm or self.chance.random() < 0.7:
                    raw = msgspec.json.encode(message)
                    self._send(partial(self._arrive, raw))

    def _send(self, deliver: Callable[[], None]) -> None:
        chance = self.chance
        if self.cut or (not self.calm and chance.random() < self.lost):
            return
        for _ in range(2 if not self.calm and chance.random() < self.repeated else 1):
            self.later(0.05 if self.calm else chance.expovariate(1 / self.delay_s), deliver)

    def _arrive(self, raw: bytes) -> None:
        message: Message = msgspec.json.decode(raw, type=Message)
        assert exchange.fault_in(message) is None
        command = exchange.received(message, SYSTEM)
        self.submit(message.to, self.witnesses.placed(command) if isinstance(command, c.LocateCall) else command)
        self.later(self.chance.uniform(0, 2 * COMMIT_S), lambda: self._reply(message))

    def _reply(self, message: Message) -> None:
        said = msgspec.json.encode(exchange.answer(self.seen(message.to), message))
        self._send(lambda: self._conclude(message, said))

    def seen(self, region: RegionId) -> RegionState:
        """The state that answers are made from."""
        return self.regions[region].committed

    def _conclude(self, message: Message, said: bytes) -> None:
        answer = msgspec.json.decode(said, type=Answer)
        abroad = REGIONS[2] in (message.origin, message.to)
        follows = exchange.concluded(message, answer, SYSTEM, abroad=abroad)
        if follows is not None:
            self.submit(message.origin, follows)

    def _commit(self) -> None:
        for region in self.regions.values():
            region.commit()

    def _trouble(self) -> None:
        self.cut = not self.calm and self.chance.random() < (0.9 if self.cut else 0.08)
        if self.calm:
            return
        for region in self.regions.values():
            if self.chance.random() < self.crashes:
                region.crash()

    # People and crews

    def _muster(self) -> None:
        for region in REGIONS:
            for number in range(UNITS_EACH):
                name = f"{region[3:]}-{number}"
                unit = Unit(
                    unit_id=UnitId(name), call_sign=name, region=region, body=Body.MOH, kind="car",
                    capabilities=("bls", "als"), station="S", since=self.now, status=UnitStatus.AVAILABLE,
                    on_shift=True,
                )  # fmt: skip
                self.submit(region, c.RegisterUnit(actor=SYSTEM, unit=unit))
        self._commit()

    def _call(self) -> None:
        region = self.chance.choice(REGIONS)
        call_id = CallId(f"c-{len(self.known)}-{self.now_s:.1f}")
        kind = self.chance.choice((None, None, "illness", "cardiac_arrest"))
        where = Location(
            lat=41.0 + self.chance.random() / 10,
            lon=69.0,
            accuracy_m=20,
            source=Source.APP,
            at=self.now,
            regions=(region,),
        )
        received = c.ReceiveCall(
            actor=LOLA, call_id=call_id, channel=Channel.VOICE, incident_type=kind, location=where if kind else None
        )
        if self.submit(region, received) is not None:
            self.regions[region].commit()  # Acknowledged: from now on it must not be lost.
            self.known.add(call_id)

    def _see(self) -> None:
        """Somebody says where a call is."""
        if self.known and not self.calm:
            self.witnesses.see(self.chance.choice(sorted(self.known)), self.now)

    def _act(self) -> None:
        """A person does something, sensible or not."""
        region = self.chance.choice(REGIONS)
        state = self.regions[region].live
        other = self.chance.choice([r for r in REGIONS if r != region])
        calls, incidents = sorted(state.calls), sorted(state.incidents)
        if self.calm:
            self._close_all(region)
        elif calls and self.chance.random() < 0.6:
            self.submit(region, self._on_call(state, self.chance.choice(calls), other))
        elif incidents:
            self.submit(region, self._on_incident(self.chance.choice(incidents), other))

    def _on_call(self, state: RegionState, call_id: CallId, other: RegionId) -> c.Command:
        recall = c.RecallCall(actor=LOLA, call_id=call_id)
        if call_id in state.offers and self.chance.random() < 0.7:
            return recall
        close = c.CloseCall(actor=LOLA, call_id=call_id, disposition=Disposition.TEST)
        transfer = c.TransferCall(actor=LOLA, call_id=call_id, to=other)
        answer = c.MoveCall(actor=LOLA, call_id=call_id, status=CallStatus.ANSWERED)
        classify = c.ClassifyCall(actor=LOLA, call_id=call_id, incident_type="illness")
        return self.chance.choice((transfer, transfer, transfer, answer, classify, close, recall))

    def _on_incident(self, incident_id: IncidentId, other: RegionId) -> c.Command:
        ask = c.AskAid(
            actor=LOLA, incident_id=incident_id, to=other, body=Body.MOH,
            capability=self.chance.choice(("bls", "als")), count=self.chance.choice((1, 1, 2)),
        )  # fmt: skip
        withdraw = c.WithdrawAid(actor=LOLA, incident_id=incident_id)
        recall = c.RecallUnits(actor=LOLA, incident_id=incident_id)
        close = c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition=Disposition.RESOLVED)
        return self.chance.choice((ask, ask, ask, withdraw, recall, close))

    def _close_all(self, region: RegionId) -> None:
        """In the calm people finish what is still open."""
        state = self.regions[region].live
        for call_id in sorted(state.calls):
            if call_id not in state.offers and state.calls[call_id].incident_id is None:
                self.submit(region, c.CloseCall(actor=LOLA, call_id=call_id, disposition=Disposition.TEST))
        for incident_id in sorted(state.incidents):
            self.submit(region, c.RecallUnits(actor=LOLA, incident_id=incident_id))
            close = c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition=Disposition.RESOLVED)
            self.submit(region, close)

    def _crew(self) -> None:
        for region, ours in self.regions.items():
            for unit in list(ours.live.units.values()):
                if self.chance.random() < 0.4:
                    self._report(region, ours.live, unit)

    def _report(self, region: RegionId, state: RegionState, unit: Unit) -> None:
        order = next((o for o in state.orders.values() if o.unit_id == unit.unit_id), None)
        if isinstance(order, Order):
            stage = Stage.ACCEPTED if self.chance.random() < 0.9 else Stage.REFUSED
            said = c.StageOrder(actor=SYSTEM, unit_id=unit.unit_id, order_id=order.order_id, stage=stage)
            self.submit(region, said)
        if unit.status in WORKING or unit.status not in FREE:
            status = self.chance.choice(STEPS)
            self.submit(region, c.ReportStatus(actor=SYSTEM, unit_id=unit.unit_id, status=status))

    def _time(self) -> None:
        for region, ours in self.regions.items():
            for command in chain(due(ours.live, self.now), endings(ours.live)):
                self.submit(region, command)
            ours.look(sweep(ours.live, int(self.now_s // 5)), self.now)

    # What must be so

    def _owners(self) -> None:
        """Each acknowledged call has exactly one owner, or is offered and has none elsewhere."""
        for call_id in self.known:
            owners = [region for region, offered in self._holders(call_id) if not offered]
            if len(owners) > 1:
                raise Broken(f"{call_id} is of {owners} at {self.now_s:.1f} s")
            if not owners and not list(self._holders(call_id)):
                raise Broken(f"{call_id} is lost at {self.now_s:.1f} s")

    def _holders(self, call_id: CallId) -> Iterator[tuple[RegionId, bool]]:
        """The regions whose committed books have the call as theirs, and whether it is offered."""
        for region, ours in self.regions.items():
            state = ours.committed
            closed = state.closed_calls.get(call_id)
            if call_id in state.calls:
                yield region, call_id in state.offers
            elif closed is not None and closed.moving_to is None:
                yield region, False

    def _settled(self) -> bool:
        states = [ours.committed for ours in self.regions.values()]
        idle = all(not list(exchange.messages(s)) and not s.loans and not s.asks and not s.calls for s in states)
        return idle and not any(s.incidents for s in states)

    def _account(self) -> None:
        """At the end nothing is under way, both sides of every loan say the same, and the journals agree."""
        for region, ours in self.regions.items():
            ours.commit()
            state = ours.committed
            if state.offers or state.asks or any(not is_told(loan) for loan in state.loans.values()):
                raise Broken(f"{region} never settled: {state.offers} {state.asks} {state.loans}")
            if faults := broken(state):
                raise Broken(f"{region}: {faults[0]}")
            if snapshot.take(ours.replayed()) != snapshot.take(state):
                raise Broken(f"{region}: the journal leads to another state")
            for incident in (*state.incidents.values(), *state.closed_incidents.values()):
                for unit in lent(incident):
                    raise Broken(f"{incident.incident_id} still believes in {unit.unit_id}")
                if incident.aid_for is not None and live(incident):
                    raise Broken(f"{incident.incident_id} lends units for a request that is over")
        self._owners()
        for fault in self.witnesses.unheard():
            raise Broken(fault)
