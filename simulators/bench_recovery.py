"""`dispatch112 bench recovery`: how long a region with a long history takes to be led again after a kill -9.

The history is real: commands are decided by the engine and chained into the journal, only written in bulk
instead of call by call, and without the tables that reports read, which no start looks at. Snapshots are
written as the service writes them, and the kill comes when the most events lie behind the newest.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

from consoles.serve import run_loop
from dispatch.clock import SystemClock
from dispatch.core import commands as c
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    Body,
    CallId,
    Channel,
    Disposition,
    Location,
    Order,
    RegionId,
    Source,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)
from dispatch.engine import Engine
from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.services import Services, embedded
from dispatch.settings import Settings
from dispatch.writing.journal import GENESIS, chain
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Appended, Batch
from dispatch.writing.snapshots import SNAPSHOT_EVERY
from simulators.cluster import straight
from simulators.members import Member, flags_of

REGION = RegionId("UZ-TK")
UNITS = 60
SPREAD = 0.05
CALLS_A_STEP = 50
"""Calls between two waits for the database."""
PATROL = ("patrol",)
LED = re.compile(r"leads UZ-TK from event (\d+), (\d+) after its snapshot, in (\d+) ms")
STEP = re.compile(r"^(\w+) +([\d.]+) s$", re.MULTILINE)


class BulkStore(PostgresStore):
    """Appends by COPY: the journal and its heads, as the function of the schema writes them, and nothing else."""

    async def append(self, batch: Batch) -> Appended:
        rows = [(e.region, e.seq, e.at, e.kind, e.payload.decode(), e.actor, e.epoch, e.hash) for e in batch.events]
        if rows:
            async with self._readers.connection() as connection, connection.transaction():
                await connection.copy_records_to_table("events", records=rows)
                last = batch.events[-1]
                query = "UPDATE heads SET seq = $2, hash = $3 WHERE region = $1"
                await connection.execute(query, last.region, last.seq, last.hash)
        return Appended()


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Make the history, measure, stop everything."""
    with tempfile.TemporaryDirectory(prefix="dispatch112-bench-") as home:
        return run_loop(_measured(args, Path(home)))


async def _measured(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with embedded(Settings(data_dir=home / "servers")) as services:
        await migrate(services.database_url)
        began_s = monotonic()
        stalls_ms, open_calls = await _history(services.database_url, args.events, args.open_calls)
        made_s = monotonic() - began_s
        verified = await _verified(services.database_url)
        member = Member(home, "core-1", flags_of(await straight("core-1", services), [REGION]))
        try:
            first_s = await member.start()
            member.kill()
            member.log.write_bytes(b"")
            again_s = await member.start()
            memory_mb = member.memory_mb()
        finally:
            member.kill()
        said = member.log.read_text()
        led = LED.search(said)
        assert led is not None, "the log says from where the region was led"
        return {
            "events": int(led[1]),
            "events_verified": verified,
            "open_calls": open_calls,
            "made_in_s": round(made_s, 1),
            "events_after_snapshot": int(led[2]),
            "region_loaded_ms": int(led[3]),
            "process_started_s": round(first_s, 2),
            "restart_to_ready_s": round(again_s, 2),
            "restart_by_step_s": {name: float(seconds) for name, seconds in STEP.findall(said)},
            "goal_region_ready_s": 3.0,
            "memory_mb": round(memory_mb, 1),
            "snapshot_longest_stall_ms": round(max(stalls_ms, default=0.0), 1),
            "snapshot_bytes": await _snapshot_bytes(services),
        }


async def _history(url: str, events: int, open_calls: int) -> tuple[list[float], int]:
    """A region's years in minutes; ends SNAPSHOT_EVERY - 1 events after a snapshot. Each snapshot's stall in ms."""
    store = BulkStore(url)
    await store.open()
    clock, positions = SystemClock(), Positions()
    engine = Engine(store, clock, Reacher(positions, None), positions)
    positions.region_of = engine.region_of_unit
    leader = Leader(engine, store, [REGION], "history")
    works = [asyncio.create_task(engine.run())]
    stalls_ms: list[float] = []
    try:
        await leader.start()
        works.append(asyncio.create_task(leader.leases.run()))
        life = Life(engine, positions)
        life.units()
        while engine.states[REGION].seq < events:
            for _ in range(CALLS_A_STEP):
                life.call(stays=open_calls > len(engine.states[REGION].calls))
            await engine.drained()
            for region in leader.snapshots.due():
                before_s = engine.stages.named["snapshot"].seconds if "snapshot" in engine.stages.named else 0.0
                await leader.snapshots.take(region)
                stalls_ms.append(1000 * (engine.stages.named["snapshot"].seconds - before_s))
        await leader.snapshots.take(REGION)
        last = engine.states[REGION].seq + SNAPSHOT_EVERY - 1
        while engine.states[REGION].seq < last:
            life.call(stays=False)
        await engine.drained()
        return stalls_ms, len(engine.states[REGION].calls)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await leader.leases.close()
        await leader.leases.release()
        await store.close()


class Life:
    """Calls of one city, each with its incident, a unit that drives there, and an end."""

    def __init__(self, engine: Engine, positions: Positions) -> None:
        self._engine = engine
        self._positions = positions
        self._number = 0

    @property
    def state(self) -> RegionState:
        return self._engine.states[REGION]

    def units(self) -> None:
        now = self._engine.clock.wall()
        for number in range(UNITS):
            name = UnitId(f"TK-P{number}")
            unit = Unit(
                unit_id=name, call_sign=f"P{number}", region=REGION, body=Body.MIA, kind="patrol",
                capabilities=PATROL, station="here", since=self._engine.clock.now(),
            )  # fmt: skip
            self._ask(c.RegisterUnit(actor=SYSTEM, unit=unit))
            self._ask(c.ShiftUnit(actor=SYSTEM, unit_id=name, on_shift=True))
            at = Position(unit_id=name, lat=41.311 + number / 1000, lon=69.279, at=now, received_at=now)
            self._positions.put(at)

    def call(self, *, stays: bool) -> None:
        """One call from its beginning to its end; one that stays waits for a call taker for ever."""
        self._number += 1
        call_id = CallId(f"c-{self._number:026}")
        where = Location(
            lat=41.311 + SPREAD * (self._number % 97 / 97), lon=69.279 + SPREAD * (self._number % 89 / 89),
            accuracy_m=20, source=Source.APP, at=self._engine.clock.now(), regions=(REGION,),
        )  # fmt: skip
        kind = None if stays else "theft"
        self._ask(c.ReceiveCall(actor=SYSTEM, call_id=call_id, channel=Channel.APP, incident_type=kind, location=where))
        if not stays:
            for order in list(self.state.orders.values()):
                self._obeyed(order)
            for incident_id in list(self.state.incidents):
                self._ask(c.CloseIncident(actor=SYSTEM, incident_id=incident_id, disposition=Disposition.RESOLVED))

    def _obeyed(self, order: Order) -> None:
        for stage in (Stage.DELIVERED, Stage.ACCEPTED):
            self._ask(c.StageOrder(actor=SYSTEM, unit_id=order.unit_id, order_id=order.order_id, stage=stage))
        for status in (UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE, UnitStatus.AVAILABLE):
            self._ask(c.ReportStatus(actor=SYSTEM, unit_id=order.unit_id, status=status))

    def _ask(self, command: c.Command) -> None:
        self._engine.post(REGION, command)


async def _verified(url: str) -> int:
    """Every event's hash made again from its bytes; how many they are."""
    store, digest, seq = PostgresStore(url), GENESIS, 0
    await store.open()
    try:
        while page := await store.events(REGION, seq, 1_000):
            for e in page:
                digest = chain(
                    digest, e.region, e.seq, e.at, kind=e.kind, payload=e.payload, actor=e.actor, epoch=e.epoch
                )
                assert e.seq == seq + 1 and e.hash == digest, f"the chain breaks at {e.seq}"
                seq = e.seq
    finally:
        await store.close()
    return seq


async def _snapshot_bytes(services: Services) -> int:
    store = PostgresStore(services.database_url)
    await store.open()
    try:
        loaded = await store.load(REGION)
    finally:
        await store.close()
    return len(loaded.snapshot or b"")
