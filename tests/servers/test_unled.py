"""A region that nobody can lead is said, and nothing is said of one that changes hands or when the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from consoles.front import cancelled
from consoles.watched import Led
from dispatch.clock import ManualClock, SystemClock
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.keeping.memory import MemoryStore
from dispatch.web.alarms import AWAY_LOOKS, TECHNICIAN, Alarms
from dispatch.web.metrics import Metrics
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Leadership, Loaded
from tests.servers.field_world import PATIENCE_S, until

TASHKENT, FERGANA = RegionId("UZ-TK"), RegionId("UZ-FA")


class Faulty(MemoryStore):
    """A store whose regions in `unreadable` cannot be loaded; away while `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[str] = set()
        self.away = False

    async def load(self, region: str) -> Loaded:
        if region in self.unreadable:
            raise ValueError("an event that we cannot follow")
        return await super().load(region)

    async def leadership(self) -> Leadership:
        if self.away:
            raise ServiceAway("the store is away")
        return await super().leadership()


class World:
    """A process that leads two regions, and what it says of them."""

    def __init__(self) -> None:
        self.store = Faulty()
        positions = Positions()
        self.engine = Engine(self.store, SystemClock(), Reacher(positions, None), positions)
        self.leader = Leader(self.engine, self.store, (TASHKENT, FERGANA), "desk")
        self.led = Led(self.engine, self.leader)
        self.alarms = Alarms(Metrics(), ManualClock().now)
        self.alarms.watch(self.led.watched)

    def loses(self, *regions: RegionId) -> None:
        """A fault in these regions, which keeps them from being loaded again."""
        self.store.unreadable.update(regions)
        for region in regions:
            self.engine.fail(region, "a fault in our own code")

    def stands(self, looks: int = 1) -> list[tuple[str, str, bool]]:
        for _ in range(looks):
            self.alarms.look()
        return [(alarm.code, alarm.owner, alarm.grave) for alarm in self.alarms.standing()]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("dispatch.writing.leases.FAULT_PAUSE_S", 0.1)
    made = World()
    await made.store.open()
    committing = asyncio.create_task(made.engine.run())
    await made.leader.start()
    leading = asyncio.create_task(made.leader.run())
    yield made
    await cancelled(leading)
    await made.leader.stop()
    await cancelled(committing)


async def test_a_region_that_cannot_be_loaded_is_an_alarm_until_it_is_led(world: World) -> None:
    assert (world.led.word(), world.stands(looks=AWAY_LOOKS)) == ("ok", [])
    world.loses(TASHKENT)
    await until(lambda: world.led.word() == "degraded")
    assert world.stands(looks=AWAY_LOOKS - 1) == [], "one that is loaded anew is no alarm yet"
    await until(lambda: world.stands() == [("region_unled", TECHNICIAN, True)])
    assert world.alarms.standing()[0].detail.endswith("old: UZ-TK")
    world.store.unreadable.clear()
    await until(lambda: world.led.word() == "ok")
    assert world.stands() == []


async def test_without_any_writer_the_core_is_away(world: World) -> None:
    world.loses(TASHKENT, FERGANA)
    await until(lambda: world.led.word() == "away")


async def test_with_the_database_away_only_that_is_said(world: World) -> None:
    world.loses(TASHKENT)
    await until(lambda: world.stands() != [])
    world.store.away = True
    await until(lambda: world.stands() == [] and world.led.word() == "ok")


async def test_a_region_that_another_process_leads_has_its_writer(world: World) -> None:
    world.loses(TASHKENT)
    await until(lambda: world.led.word() == "degraded")
    await world.store.release([TASHKENT], "desk")
    assert await world.store.claim(TASHKENT, "another", PATIENCE_S) is not None
    async with asyncio.timeout(PATIENCE_S):
        while TASHKENT not in world.leader.leases.elsewhere:
            await world.store.renew([TASHKENT], "another", PATIENCE_S)
            await asyncio.sleep(0.02)
    assert world.led.word() == "ok"
