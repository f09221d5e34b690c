"""A region's writer for tests of the field: the real core, and a commit that the test can hold back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dispatch.core.commands import AssignUnits, Command, OpenIncident, RegisterUnit, ShiftUnit
from dispatch.core.decide import decide
from dispatch.core.events import Event, UnitAssigned
from dispatch.core.evolve import evolve
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    Body,
    IncidentId,
    Location,
    Order,
    Refusal,
    RegionId,
    Source,
    Unit,
    UnitId,
    UnitStatus,
)
from dispatch.engine import Listener
from dispatch.errors import ServiceAway
from dispatch.writing.positions import Position

TASHKENT = RegionId("UZ-TK")
POINT = (41.31108, 69.24056)
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Answer(msgspec.Struct, frozen=True):
    refusal: Refusal | None = None
    events: tuple[Event, ...] = ()


class ServiceTime:
    """Stands at START until a test moves it; a second of it lasts a second of the wall."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def wall_delay_s(self, service_delay_s: float) -> float:
        return max(0.0, service_delay_s)


class CrewDesk:
    """One region led by the real `decide` and `evolve`. While `gate` is clear, nothing is committed."""

    def __init__(self) -> None:
        self.clock = ServiceTime()
        self.ahead = RegionState(TASHKENT)
        self.committed = {TASHKENT: RegionState(TASHKENT)}
        self.on_commit: list[Listener] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False
        self.deposed = False
        self.log: list[Event] = []
        self._turn = asyncio.Lock()

    def region_of_unit(self, unit_id: UnitId) -> RegionId | None:
        return TASHKENT if unit_id in self.ahead.units else None

    def leads(self, region: RegionId) -> bool:
        return not self.deposed

    async def submit(self, region: RegionId, command: Command) -> Answer:
        if self.away:
            raise ServiceAway("the store is away")
        now = self.clock.now()
        verdict = decide(self.ahead, command, now)
        if isinstance(verdict, Refusal):
            return Answer(refusal=verdict)
        for event in verdict.events:
            evolve(self.ahead, event, now)
        async with self._turn:
            await self.gate.wait()
            self._commit(verdict.events, now)
        return Answer(events=verdict.events)

    def _commit(self, events: tuple[Event, ...], now: datetime) -> None:
        for event in events:
            evolve(self.committed[TASHKENT], event, now)
        self.log.extend(events)
        for hook in self.on_commit:
            hook(TASHKENT, (), events)

    def happened(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.log if isinstance(event, kind)]

    async def add_unit(self, name: str, status: UnitStatus = UnitStatus.AVAILABLE) -> UnitId:
        unit_id = UnitId(name)
        unit = a_unit(name, status)
        await self.submit(TASHKENT, RegisterUnit(actor=SYSTEM, unit=unit))
        await self.submit(TASHKENT, ShiftUnit(actor=SYSTEM, unit_id=unit_id, on_shift=True))
        return unit_id

    async def open_incident(self) -> IncidentId:
        asked = OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=a_place())
        await self.submit(TASHKENT, asked)
        return next(reversed(self.ahead.incidents))

    async def assign(self, *units: UnitId) -> list[Order]:
        """A new incident for these units; their orders."""
        incident_id = await self.open_incident()
        asked = AssignUnits(actor=SYSTEM, incident_id=incident_id, units=units)
        answer = await self.submit(TASHKENT, asked)
        assert answer.refusal is None, answer.refusal
        return [event.order for event in answer.events if isinstance(event, UnitAssigned)]

    def pass_time(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)


def a_unit(name: str, status: UnitStatus = UnitStatus.AVAILABLE) -> Unit:
    return Unit(
        unit_id=UnitId(name),
        call_sign=name,
        region=TASHKENT,
        body=Body.MOH,
        kind="ambulance",
        capabilities=("als", "bls"),
        station="Chilonzor",
        since=START,
        status=status,
    )


def a_place() -> Location:
    return Location(lat=POINT[0], lon=POINT[1], accuracy_m=12.0, source=Source.AML, at=START, place={"ru": "Чиланзар"})


def a_position(name: str = "TK-A22") -> Position:
    now = datetime.now(UTC)
    return Position(unit_id=UnitId(name), lat=POINT[0], lon=POINT[1], at=now, received_at=now)
