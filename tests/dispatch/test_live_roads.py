"""The weights of a process: the clock's doing, and what other regions' events say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from dispatch.clock import ManualClock
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.state import RegionState
from dispatch.core.terms import ActorId, RegionId
from dispatch.writing import live_roads
from dispatch.writing.live_roads import LiveRoads
from routing.roads import ROAD_CLASSES
from routing.travel import UNREACHABLE, Travel
from routing.weights import Profile, profiled
from tests.routing.oracle import small_roads
from tests.routing.test_travel import RING, SQUARE

EIGHT = datetime(2026, 11, 25, 2, 59, 30, tzinfo=UTC)  # half a minute before eight in the country, a Wednesday
TK, FA = RegionId("UZ-TK"), RegionId("UZ-FA")
SOUTH = (SQUARE[0], SQUARE[1])


class Process:
    """One road network, two regions."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.clock = ManualClock(EIGHT)
        self.states = {region: RegionState(region) for region in (TK, FA)}
        self.travel = Travel(small_roads(SQUARE, RING))
        self.live = LiveRoads(self.travel, self.states, self.clock, profile)

    def close(self, region: RegionId, name: str, **changes: Any) -> None:
        known = {"line": SOUTH, "radius_m": 20.0, "reason": "works", "since": EIGHT, "by": ActorId("a"), "at": EIGHT}
        closure = Closure(closure_id=ClosureId(name), **{**known, **changes})
        self.states[region].closures[closure.closure_id] = closure


@asynccontextmanager
async def running(process: Process, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The loop that follows the clock, looking without rest."""
    monkeypatch.setattr(live_roads, "LOOK_S", 0.0)
    task = asyncio.create_task(process.live.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_version(travel: Travel, version: int) -> None:
    async with asyncio.timeout(60):
        while travel.weights_version < version:
            await asyncio.sleep(0.01)


async def test_a_closure_that_begins_while_an_hours_speeds_are_made_stays_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, process = profiled, Process(Profile(np.full((2, 24, len(ROAD_CLASSES), 2), 1.5)))

    def slowly(*args: Any) -> Any:
        process.clock.advance(1)
        process.close(TK, "CL-1", since=process.clock.now())
        loop.call_soon_threadsafe(process.live.look)
        time.sleep(0.2)
        return made(*args)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(live_roads, "profiled", slowly)
    async with running(process, monkeypatch):
        await until_version(process.travel, 2)
        assert UNREACHABLE in process.travel.ms


async def test_a_closure_that_could_not_be_put_in_force_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    reweigh, faults = process.travel.reweigh, [RuntimeError("can't start new thread")]

    def faulty(*args: Any) -> int:
        if faults:
            raise faults.pop()
        return reweigh(*args)

    monkeypatch.setattr(process.travel, "reweigh", faulty)
    process.close(TK, "CL-1")
    with pytest.raises(RuntimeError):
        process.live.look()
    process.live.look()
    assert UNREACHABLE in process.travel.ms


async def test_an_hour_has_its_own_speeds_from_its_first_second(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = np.ones((2, 24, len(ROAD_CLASSES), 2))
    factors[0, 8] = 1.5
    process = Process(Profile(factors))
    async with running(process, monkeypatch):
        await asyncio.sleep(0.05)
        assert process.travel.weights_version == 1
        process.clock.advance(31)
        await until_version(process.travel, 2)
        assert process.travel.ms.tolist() == [90_000, 105_000, 120_000, 135_000]
        process.clock.advance(3_600)
        await until_version(process.travel, 3)
        assert process.travel.ms.tolist() == [60_000, 70_000, 80_000, 90_000]


async def test_a_closure_begins_and_ends_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    minute = timedelta(minutes=1)
    process.close(TK, "r-1", since=EIGHT + minute, until=EIGHT + 2 * minute)
    async with running(process, monkeypatch):
        await asyncio.sleep(0.05)
        assert process.travel.ms[0] == 60_000 and process.travel.weights_version == 1
        process.clock.advance(60)
        await until_version(process.travel, 2)
        assert process.travel.ms[0] == UNREACHABLE
        process.clock.advance(60)
        await until_version(process.travel, 3)
        assert process.travel.ms[0] == 60_000


def test_closures_of_every_region_count_together_and_each_change_is_one_version() -> None:
    process = Process()
    process.close(TK, "r-1", factor=2.0)
    process.close(FA, "r-2", factor=3.0)
    process.live.look()
    process.live.look()
    assert (process.travel.ms[0], process.travel.weights_version) == (180_000, 2)
    del process.states[FA].closures[ClosureId("r-2")]
    process.live.look()
    assert (process.travel.ms[0], process.travel.weights_version) == (120_000, 3)


def test_a_closure_that_means_no_street_of_this_map_is_said_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    process.close(TK, "r-far", line=((39.65, 66.97), (39.66, 66.98)))
    process.live.look()
    assert "r-far means no street" in caplog.text
    assert process.travel.ms.tolist() == [ms for _, _, ms in RING]
