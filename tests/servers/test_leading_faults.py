"""One region's fault stays its own: the wheel turns on, others get their snapshots, a stop gives everything away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from msgspec.structs import replace

from dispatch.clock import SystemClock
from dispatch.core.commands import OpenIncident, RegisterUnit, ShiftUnit
from dispatch.core.terms import SYSTEM, Location, Reach, RegionId, UnitId
from dispatch.engine import Engine
from dispatch.keeping.memory import MemoryStore
from dispatch.web.metrics import Metrics
from dispatch.writing import snapshots
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.upkeep import beside
from tests.servers.crew_desk import TASHKENT, a_place, a_position, a_unit

FERGANA, SAMARKAND = RegionId("UZ-FA"), RegionId("UZ-SA")
FAR_LAT = 41.25
"""Where no travel time can be computed."""


class StumblingReacher(Reacher):
    """Fails for one place, and only where units could come from."""

    def to(self, units: Sequence[UnitId], location: Location, now: datetime) -> Reach:
        reach = super().to(units, location, now)
        if location.lat == FAR_LAT and len(reach.units):
            raise KeyError("our own bug")
        return reach


class Process:
    """An engine and its leader on a twin that may be shared."""

    def __init__(self, store: MemoryStore, name: str, regions: Sequence[RegionId] = (TASHKENT,)) -> None:
        self.positions, self.metrics = Positions(), Metrics()
        self.engine = Engine(store, SystemClock(), StumblingReacher(self.positions, None), self.positions)
        self.positions.region_of = self.engine.replicas.region_of_unit
        self.leader = Leader(self.engine, store, regions, name)
        self.tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self, address: str = "") -> AsyncIterator["Process"]:
        self.tasks = beside({"engine": self.engine.run}, self.metrics)
        await self.leader.start()
        self.tasks += beside({"leader": self.leader.run}, self.metrics)
        if address:
            await self.leader.announce(address)
        try:
            yield self
        finally:
            await self.freeze()

    async def freeze(self) -> None:
        """It does nothing more, and gives nothing up."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def open_incident(self, region: RegionId = TASHKENT, lat: float | None = None) -> int:
        place = a_place() if lat is None else replace(a_place(), lat=lat)
        opened = OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=place)
        async with asyncio.timeout(60):
            return (await self.engine.submit(region, opened)).status


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not so():
            await asyncio.sleep(0.01)


async def test_an_incident_without_travel_times_keeps_no_other_from_its_unit() -> None:
    async with Process(MemoryStore(), "a").running() as process:
        committed = process.engine.replicas.states[TASHKENT]
        for unit_id in ("TK-A22", "TK-A23"):
            await process.engine.submit(TASHKENT, RegisterUnit(actor=SYSTEM, unit=a_unit(unit_id)))
            shift = ShiftUnit(actor=SYSTEM, unit_id=UnitId(unit_id), on_shift=True)
            await process.engine.submit(TASHKENT, shift)
        for lat in (None, FAR_LAT):
            assert await process.open_incident(lat=lat) == 200
        for unit_id in ("TK-A22", "TK-A23"):
            assert process.positions.put(a_position(unit_id))
        await until(lambda: len(committed.orders) == 1)
        assert await process.open_incident(lat=FAR_LAT) == 200, "nor is a call refused for it"
        assert await process.open_incident() == 200
        await until(lambda: len(committed.orders) == 2)


async def test_an_answer_that_fails_leaves_no_gap_before_somebody_elses_command() -> None:
    async with Process(MemoryStore(), "a").running() as process:
        opened = OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=a_place())

        def faulty(*_: object) -> tuple[int, bytes]:
            raise KeyError("our own bug")

        with pytest.raises(KeyError):
            await process.engine.submit(TASHKENT, opened, answer=faulty)
        await until(lambda: process.engine.writable(TASHKENT) is not None)
        assert await process.open_incident() == 200
        assert len(process.engine.replicas.states[TASHKENT].incidents) == 1


async def test_a_snapshot_that_fails_costs_only_its_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SNAPSHOT_EVERY", 1)
    store, written = MemoryStore(), set[str]()
    taken = store.snapshot

    async def snapshot(region: str, seq: int, state: bytes) -> None:
        if region == TASHKENT:
            raise ValueError("invalid memory alloc request size")
        written.add(region)
        await taken(region, seq, state)

    store.snapshot = snapshot  # type: ignore[method-assign]
    regions = (TASHKENT, FERGANA)
    async with Process(store, "a", regions).running() as process:
        for region in regions:
            await process.open_incident(region)
        await until(lambda: written)
        turns = process.leader.turns
        await until(lambda: process.leader.turns > turns + 3)
        faults = process.metrics.registry.get_sample_value("dispatch112_faults_total", {"where": "leader"})
        assert not faults, "its loops went on"
        async with Process(store, "b", regions).running("http://10.0.0.2:1"):
            await process.leader.retire()
            assert not process.engine.led
        await process.freeze()
        await process.leader.stop()


async def test_a_stop_beside_a_frozen_process_gives_everything_away() -> None:
    async def stopped() -> int:
        """How many regions are still led by the one that stopped."""
        store, regions = MemoryStore(), (TASHKENT, FERGANA, SAMARKAND)
        processes = [Process(store, f"host-{name}:1", regions) for name in "abc"]
        for process in processes:
            process.leader.leases.knock = silent
        first, second, third = processes
        async with first.running("http://10.0.0.1:1"), second.running("http://10.0.0.2:1"):
            async with third.running("http://10.0.0.3:1"):
                await until(lambda: all(len(each.engine.led) == 1 for each in processes))
            await asyncio.sleep(1.35)  # Of its lease so little is left that the others knock.
            await first.leader.leases.retire()
            return len(first.engine.led)

    async def silent(address: str) -> bool:
        await asyncio.sleep(0.2)
        return False

    # Whether two looks meet is a matter of milliseconds: of eight stops some surely do.
    assert await asyncio.gather(*(stopped() for _ in range(8))) == [0] * 8


async def test_reports_that_were_held_while_a_region_was_being_given_are_heard_when_it_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dispatch.writing.leases.ANSWER_LIMIT_S", 0.1)
    store, led = MemoryStore(), list[RegionId]()
    async with Process(store, "a").running() as process:
        process.leader.on_led.append(led.append)
        store.faults.latency_s = 0.5
        slow = asyncio.create_task(process.open_incident())
        await asyncio.sleep(0.01)
        await process.leader.leases.give([TASHKENT])
        assert led == [TASHKENT], "who holds reports of its crews hears that it is led again"
        store.faults.latency_s = 0.0
        assert await slow == 200
