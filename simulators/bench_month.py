"""`dispatch112 bench month`: a month of service in minutes, with what is past its age dropped as it goes.

The real engine, intake and retention on a real Postgres and a clock that jumps from call to call. At the end of
each simulated day memory, tables and the time of a commit are read; what is flat stays flat however long it
runs. So that one month is many ages, ages are short here (`AGES`); the journal alone grows, by what it is for.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import asyncpg
import msgspec

from consoles.serve import run_loop
from dispatch.actors import Actor, Role
from dispatch.calling.calls import CallerSaid, NewCall
from dispatch.calling.evidence import Evidence
from dispatch.calling.locating import Locator
from dispatch.calling.reception import Contact, Reception
from dispatch.clock import ManualClock
from dispatch.core import commands as c
from dispatch.core.events import Event, UnitAssigned
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    AssignmentId,
    Body,
    Channel,
    Disposition,
    Order,
    RegionId,
    Source,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)
from dispatch.engine import Engine
from dispatch.ids import IdSource
from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.retention import Retention
from dispatch.keeping.tracks import Tracks
from dispatch.servers.postgres import Postgres
from dispatch.store import Ages
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.writing.keys import Key
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from routing.gazetteer import Gazetteer
from routing.regions import Regions

REGION = RegionId("UZ-TK")
CENTRE = (41.311, 69.279)
UNITS = 60
DAY_S, HOUR_S = 86_400.0, 3_600.0
SETTLING_DAYS = 6
"""Before so many days the longest age is not over, so nothing can be flat yet."""
AGES = Ages(
    answers=timedelta(hours=24),
    decisions=timedelta(days=2),
    tracks=timedelta(days=2),
    contacts=timedelta(days=2),
    audit=timedelta(days=4),
    work=timedelta(days=3),
    personal=timedelta(days=4),
)
WORK = ((10.0, UnitStatus.EN_ROUTE), (400.0, UnitStatus.ON_SCENE), (1500.0, UnitStatus.AVAILABLE))
"""What a crew reports, so many seconds after its assignment."""
CALLER = Actor(actor_id=ActorId("device:month"), role=Role.DEVICE, username="month")
PERSON = Actor(actor_id=ActorId("user:month"), role=Role.CALL_TAKER, username="month")
KEPT_WHOLE = ("events",)
"""Tables that grow with every call, as they should."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand at midnight. Milliseconds of the wall for one call, from its words to its commit."""

    day: int
    calls: int
    commit_p50_ms: float
    commit_p99_ms: float
    memory_mb: float
    held: dict[str, int]
    rows: dict[str, int]
    megabytes: dict[str, float]


class Month:
    """One region's service on a clock moved by hand."""

    def __init__(self, store: PostgresStore, seed: int) -> None:
        self.clock = ManualClock()
        self.store = store
        self.chance = Random(f"{seed}:month")
        self.tracks = Tracks(store.tracks)
        self.positions = Positions(on_fix=self.tracks.offer)
        self.engine = Engine(store, self.clock, Reacher(self.positions, None), self.positions)
        self.positions.region_of = self.engine.region_of_unit
        self.leader = Leader(self.engine, store, (REGION,), "month")
        self.ids = IdSource(self.clock, seed)
        self.reception = Reception(self.engine, Locator(Regions(), Gazetteer()), self.ids, self.clock)
        self.audit = Audit(store, self.clock, Metrics())
        self.retention = Retention(store, self.clock, AGES)
        self.engine.on_commit.append(self._ordered)
        self._agenda: list[tuple[float, int, Callable[[], Awaitable[object]]]] = []
        self._numbers = itertools.count()
        self.now_s = 0.0
        self.taken_s: list[float] = []
        self.refused = 0

    async def enrol(self) -> None:
        """Ambulances on shift around the centre."""
        for number in range(UNITS):
            unit = Unit(
                unit_id=UnitId(f"TK-A{number}"),
                call_sign=f"A{number}",
                region=REGION,
                body=Body.MOH,
                kind="ambulance",
                capabilities=("als", "bls"),
                station="1",
                since=self.clock.now(),
            )
            await self.engine.submit(REGION, c.RegisterUnit(actor=SYSTEM, unit=unit))
            await self.engine.submit(REGION, c.ShiftUnit(actor=SYSTEM, unit_id=unit.unit_id, on_shift=True))
            await self._report(unit.unit_id, UnitStatus.AVAILABLE)

    async def day(self, calls: int) -> None:
        """One day: calls as they come, each with fresh fixes of all units, and the retention each hour."""
        until_s = self.now_s + DAY_S
        for _ in range(calls):
            self._later(self.chance.uniform(0, DAY_S), self._call)
        for hour in range(24):
            self._later(hour * HOUR_S + HOUR_S / 2, self._hourly)
        while self._agenda and self._agenda[0][0] < until_s:
            at_s, _, act = heapq.heappop(self._agenda)
            self._to(at_s)
            await act()
        self._to(until_s)

    def held(self) -> dict[str, int]:
        """How much of everything is in memory."""
        state = self.engine.states[REGION]
        return {
            "calls_open": len(state.calls),
            "calls_closed": len(state.closed_calls),
            "incidents_open": len(state.incidents),
            "incidents_closed": len(state.closed_incidents),
            "orders_live": len(state.orders),
            "deadlines": len(state.due),
            "callers_indexed": len(self.reception.matcher),
            "positions": len(self.positions),
        }

    def _to(self, at_s: float) -> None:
        self.clock.advance(max(0.0, at_s - self.now_s))
        self.now_s = max(self.now_s, at_s)

    def _later(self, delay_s: float, act: Callable[[], Awaitable[object]]) -> None:
        heapq.heappush(self._agenda, (self.now_s + delay_s, next(self._numbers), act))

    async def _call(self) -> None:
        chance = self.chance
        lat, lon = (round(each + chance.uniform(-0.03, 0.03), 5) for each in CENTRE)
        urgent = chance.random() < 0.6
        said = NewCall(
            channel=Channel.APP,
            caller=CallerSaid(number=f"+99890{chance.randrange(10**7):07}"),
            location=[Evidence(source=Source.APP, point=[lon, lat], accuracy_m=20.0)],
            text="a caller's words " * chance.randint(1, 8),
            incident_type="cardiac_arrest" if urgent else None,
        )
        self._move()
        call_id = self.ids.call_id()
        key = Key(actor=CALLER.actor_id, key=f"k-{call_id}", body_hash=b"h" * 32)
        began_s = perf_counter()
        reply = await self.reception.receive(Contact(said=said, actor=CALLER, call_id=call_id, key=key))
        self.taken_s.append(perf_counter() - began_s)
        assert reply.status == 201, reply.body
        self.audit.note(PERSON, "read", f"call:{call_id}")
        if not urgent:
            close = c.CloseCall(actor=PERSON.actor_id, call_id=call_id, disposition=Disposition.ADVICE_ONLY)
            self._later(chance.uniform(60, 600), lambda: self.engine.submit(REGION, close))

    def _ordered(self, region: RegionId, recorded: object, events: Sequence[Event]) -> None:
        """A crew takes its order, drives, works and is free again."""
        for event in events:
            if isinstance(event, UnitAssigned):
                self._later(4.0, partial(self._accept, event.order))
                for after_s, status in WORK:
                    self._later(after_s, partial(self._report, event.order.unit_id, status, event.order.assignment_id))

    async def _accept(self, order: Order) -> None:
        said = c.StageOrder(
            actor=_unit(order.unit_id), unit_id=order.unit_id, order_id=order.order_id, stage=Stage.ACCEPTED
        )
        await self.engine.submit(REGION, said)

    async def _report(self, unit_id: UnitId, status: UnitStatus, assignment_id: AssignmentId | None = None) -> None:
        said = c.ReportStatus(
            actor=_unit(unit_id),
            unit_id=unit_id,
            status=status,
            status_id=f"s{next(self._numbers)}",
            assignment_id=assignment_id,
        )
        self.refused += (await self.engine.submit(REGION, said)).refusal is not None

    def _move(self) -> None:
        now = self.clock.wall()
        for unit_id in self.engine.states[REGION].units:
            lat, lon = (each + self.chance.uniform(-0.05, 0.05) for each in CENTRE)
            self.positions.put(Position(unit_id=unit_id, lat=lat, lon=lon, at=now, received_at=now))

    async def _hourly(self) -> None:
        await self.audit.flush()
        await self.tracks.flush()
        self.reception.tidy()
        while await self.retention.prune():
            pass


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Start a Postgres, live the month, stop it."""
    # A line an hour is little in a service and a flood here.
    logging.getLogger("dispatch.keeping.retention").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="dispatch112-month-") as home:
        return run_loop(_measured(args, Path(home)))


async def _measured(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    server = Postgres(home)
    try:
        url = await server.start()
        await migrate(url)
        days = await month(url, args.days, args.calls_per_day, args.seed)
    finally:
        await server.stop()
    return figures(days)


async def month(url: str, days: int, calls_a_day: int, seed: int) -> list[Day]:
    """Live so many days on this empty database; how things stood at each midnight."""
    found: list[Day] = []
    async with AsyncExitStack() as stack:
        store = PostgresStore(url)
        await store.open()
        stack.push_async_callback(store.close)
        line = await asyncpg.connect(url)
        stack.push_async_callback(line.close)
        lived = Month(store, seed)
        committing = asyncio.create_task(lived.engine.run())
        await lived.leader.start()
        turning = asyncio.create_task(lived.leader.run())
        stack.push_async_callback(_ended, committing, turning)
        await lived.enrol()
        for number in range(1, days + 1):
            lived.taken_s.clear()
            await lived.day(calls_a_day)
            # The server does this by itself each minute, of which a day here has too few.
            await line.execute("VACUUM")
            found.append(await _midnight(number, lived, line))
    return found


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _midnight(number: int, lived: Month, line: asyncpg.Connection) -> Day:
    facts = await lived.store.facts()
    rows = {table: await line.fetchval(f"SELECT count(*) FROM {table}") for table in sorted(facts)}
    taken_ms = sorted(1000 * seconds for seconds in lived.taken_s) or [0.0]
    return Day(
        day=number,
        calls=len(lived.taken_s),
        commit_p50_ms=round(taken_ms[len(taken_ms) // 2], 2),
        commit_p99_ms=round(taken_ms[int(0.99 * (len(taken_ms) - 1))], 2),
        memory_mb=round(_resident_mb(), 1),
        held=lived.held(),
        rows=rows,
        megabytes={table: round(facts[table].size_bytes / 1e6, 3) for table in sorted(facts)},
    )


def figures(days: Sequence[Day]) -> dict[str, Any]:
    """The month in numbers: the last day, and how much each thing grew a day once every age was over."""
    settled = days[min(SETTLING_DAYS, len(days) - 1) :]
    tables = list(days[-1].rows)
    calls = sum(day.calls for day in days)
    return {
        "days": len(days),
        "calls": calls,
        "calls_per_day": days[-1].calls,
        "units": UNITS,
        "last_day": msgspec.to_builtins(days[-1]),
        "first_settled_day": msgspec.to_builtins(settled[0]),
        "memory_slope_mb_per_day": slope([day.memory_mb for day in settled]),
        "commit_p50_slope_ms_per_day": slope([day.commit_p50_ms for day in settled]),
        "commit_p99_slope_ms_per_day": slope([day.commit_p99_ms for day in settled]),
        "held_slope_per_day": {name: slope([day.held[name] for day in settled]) for name in days[-1].held},
        "rows_slope_per_day": {table: slope([day.rows[table] for day in settled]) for table in tables},
        "megabytes_slope_per_day": {table: slope([day.megabytes[table] for day in settled]) for table in tables},
        "megabytes_but_journal": [
            round(sum(size for table, size in day.megabytes.items() if table not in KEPT_WHOLE), 2) for day in days
        ],
        "journal_bytes_per_call": round(1e6 * days[-1].megabytes["events"] / calls),
        "events_per_call": round(days[-1].rows["events"] / calls, 1),
    }


def slope(values: Sequence[float]) -> float | None:
    """Growth from one value to the next, by least squares; None for fewer than three."""
    if len(values) < 3:
        return None
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    over = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return round(over / sum((place - middle) ** 2 for place in range(len(values))), 4)


def _unit(unit_id: UnitId) -> ActorId:
    return ActorId(f"unit:{unit_id}")


def _resident_mb() -> float:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
