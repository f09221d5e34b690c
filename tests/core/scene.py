"""A region for a test: commands in, facts out, and after each of them the invariants hold.

Whatever a command leads to goes through the journal's bytes before it changes the state, as on replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core.assigning import candidates
from dispatch.core.deadlines import due
from dispatch.core.decide import decide
from dispatch.core.evolve import evolve
from dispatch.core.fact import kind_of
from dispatch.core.followups import wishes
from dispatch.core.invariants import broken
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    UNREACHABLE_MS,
    ActorId,
    Assigning,
    Body,
    Call,
    CallId,
    CallStatus,
    Channel,
    Incident,
    IncidentId,
    Location,
    Order,
    Policy,
    Priority,
    Reach,
    Refusal,
    RegionId,
    Source,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)
from dispatch.core.verdict import Decision

TK, TO = RegionId("UZ-TK"), RegionId("UZ-TO")
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
LOLA, ANVAR = ActorId("user:lola"), ActorId("user:anvar")
LINE = ActorId("device:line")
CHORSU = (41.3265, 69.2350)


def place(lat: float = CHORSU[0], lon: float = CHORSU[1], **changes: Any) -> Location:
    """An estimate good enough to join by; 0.001 degrees of latitude are 111 m."""
    known = {"accuracy_m": 30.0, "source": Source.AML, "at": START, "regions": (TK,)}
    return Location(lat=lat, lon=lon, **{**known, **changes})


def reach_of(seconds: Mapping[str, float | None], ages_s: Mapping[str, float] | None = None) -> Reach:
    """Plain driving seconds by unit, in the order given; None where there is no way."""
    names = tuple(UnitId(name) for name in seconds)
    ms = [UNREACHABLE_MS if s is None else round(s * 1000) for s in seconds.values()]
    return Reach(
        units=names,
        ms=np.array(ms, dtype=np.int32),
        edges=np.arange(len(names), dtype=np.int32),
        offsets=np.full(len(names), 0.25, dtype=np.float32),
        age_s=np.array([(ages_s or {}).get(name, 1.0) for name in names], dtype=np.float32),
        map_version="test",
        weights_version=1,
    )


class Scene:
    """One region and its time."""

    def __init__(self, region: RegionId = TK, assigning: Assigning = Assigning.CONFIRM) -> None:
        self.state = RegionState(region)
        self.now = START
        self.journal: list[bytes] = []
        self.inquests: list[Any] = []
        if assigning is not Assigning.AUTOMATIC:
            self.do(c.SetPolicy(actor=SYSTEM, policy=Policy(assigning=assigning)))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def do(self, command: c.Command) -> list[e.Event]:
        """The facts of an accepted command; the state has changed by them."""
        verdict = decide(self.state, command, self.now)
        assert isinstance(verdict, Decision), verdict
        for event in verdict.events:
            payload = e.encode(event)
            assert e.encode(e.decode(payload)) == payload
            self.journal.append(payload)
            evolve(self.state, e.decode(payload), self.now)
        self.inquests += verdict.inquests
        assert not broken(self.state)
        return list(verdict.events)

    def outcome(self, command: c.Command) -> list[e.Event] | str:
        """The facts, or the code of the refusal, which must leave everything as it was."""
        before = snapshot.take(self.state)
        verdict = decide(self.state, command, self.now)
        assert snapshot.take(self.state) == before, "deciding changed the state"
        return verdict.code if isinstance(verdict, Refusal) else self.do(command)

    def refusal(self, command: c.Command) -> str:
        """The code of the refusal."""
        code = self.outcome(command)
        assert isinstance(code, str), f"accepted: {code}"
        return code

    # Setting up

    def unit(
        self,
        name: str = "A1",
        capabilities: Iterable[str] = ("bls",),
        body: Body = Body.MOH,
        status: UnitStatus = UnitStatus.AVAILABLE,
    ) -> UnitId:
        """A crew on shift that is free, or in the status given."""
        unit = Unit(
            unit_id=UnitId(name),
            call_sign=name,
            region=self.state.region,
            body=body,
            kind="car",
            capabilities=tuple(capabilities),
            station="S1",
            since=self.now,
            status=status,
            on_shift=True,
        )
        self.do(c.RegisterUnit(actor=SYSTEM, unit=unit))
        return unit.unit_id

    def call(self, name: str = "c-1", channel: Channel = Channel.VOICE, **changes: Any) -> CallId:
        """A contact that comes in."""
        self.do(c.ReceiveCall(actor=LINE, call_id=CallId(name), channel=channel, **changes))
        return CallId(name)

    def incident(
        self,
        incident_type: str = "illness",
        location: Location | None = None,
        priority: Priority | None = None,
    ) -> IncidentId:
        """An incident without a call, at Chorsu when no place is given."""
        where = place() if location is None else location
        asked = c.OpenIncident(actor=LOLA, incident_type=incident_type, priority=priority, location=where)
        opened = self.do(asked)[0]
        assert isinstance(opened, e.IncidentOpened)
        return opened.incident.incident_id

    def move(self, call_id: CallId, status: CallStatus, actor: ActorId = LOLA) -> list[e.Event]:
        return self.do(c.MoveCall(actor=actor, call_id=call_id, status=status))

    def assign(self, incident_id: IncidentId, *units: str) -> Incident:
        """A dispatcher sends units."""
        names = tuple(map(UnitId, units))
        self.do(c.AssignUnits(actor=LOLA, incident_id=incident_id, units=names))
        return self.state.incidents[incident_id]

    def dispatch(self, incident_id: IncidentId, seconds: Mapping[str, float | None]) -> list[e.Event]:
        """The system sends units with these driving times."""
        return self.do(c.Dispatch(actor=SYSTEM, incident_id=incident_id, reach=reach_of(seconds)))

    def follow(self, events: list[e.Event], seconds: Mapping[str, float | None]) -> list[IncidentId]:
        """Do what the engine does after a command: look at each incident that the facts ask to look at."""
        looked = wishes(self.state, events)
        for incident_id in looked:
            able = candidates(self.state, self.state.incidents[incident_id])
            self.dispatch(incident_id, {u: seconds[u] for u in able if u in seconds})
        return looked

    def report(self, unit: str, status: UnitStatus, **changes: Any) -> list[e.Event]:
        return self.do(self.said(unit, status, **changes))

    def said(self, unit: str, status: UnitStatus, **changes: Any) -> c.ReportStatus:
        return c.ReportStatus(actor=ActorId(f"unit:{unit}"), unit_id=UnitId(unit), status=status, **changes)

    def stage(self, unit: str, stage: Stage, order: Order | None = None, age_s: float | None = None) -> list[e.Event]:
        """What a unit says of its order; `age_s` by the clock of its device."""
        about = order or self.order_of(unit)
        named = {"unit_id": UnitId(unit), "order_id": about.order_id, "stage": stage, "age_s": age_s}
        said = c.StageOrder(actor=ActorId(unit), **named)  # type: ignore[arg-type]
        return self.do(said)

    def tick(self, seconds: float) -> list[e.Event]:
        """Let time pass in steps of a second, and serve every deadline."""
        found: list[e.Event] = []
        for _ in range(round(seconds)):
            self.wait(1)
            for command in due(self.state, self.now):
                found += self.do(command)
        return found

    # Looking

    def order_of(self, unit: str) -> Order:
        """The newest order of a unit."""
        return [order for order in self.state.orders.values() if order.unit_id == unit][-1]

    def call_now(self, call_id: str) -> Call:
        call = self.state.call(CallId(call_id))
        assert call is not None
        return call

    def incident_now(self, incident_id: str) -> Incident:
        incident = self.state.incident(IncidentId(incident_id))
        assert incident is not None
        return incident

    def unit_now(self, unit: str) -> Unit:
        return self.state.units[UnitId(unit)]


def kinds(events: Iterable[e.Event]) -> list[str]:
    """The names of facts, in order."""
    return [kind_of(event) for event in events]
