"""Lanes of reports: in order for each unit, and none is left behind that nobody works on."""

from __future__ import annotations

import asyncio

from dispatch.core.terms import UnitId
from dispatch.units.lanes import LANE_LIMIT, Lanes

CREW, OTHER = UnitId("TK-1"), UnitId("TK-2")


class Handler:
    """Keeps what it was given; while `gate` is clear it does not come to an end."""

    def __init__(self) -> None:
        self.done: list[tuple[UnitId, int]] = []
        self.begun = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, unit_id: UnitId, report: int) -> None:
        self.begun += 1
        await self.gate.wait()
        self.done.append((unit_id, report))


async def settled(lanes: Lanes[int]) -> None:
    async with asyncio.timeout(60):
        while lanes._tasks:
            await asyncio.sleep(0)


async def test_a_report_of_the_turn_in_which_the_lanes_are_closed_does_not_make_its_unit_mute() -> None:
    handle = Handler()
    lanes = Lanes(handle)
    assert lanes.put(CREW, 1)
    await lanes.close()
    assert (lanes._lanes, lanes._tasks, lanes._waiting) == ({}, {}, 0)
    assert all(lanes.put(CREW, number) for number in range(2, 2 + LANE_LIMIT))
    await settled(lanes)
    assert handle.done == [(CREW, number) for number in range(2, 2 + LANE_LIMIT)]


async def test_closing_drops_what_waits_and_what_is_worked_on_and_counts_it_out() -> None:
    handle = Handler()
    handle.gate.clear()
    lanes = Lanes(handle)
    for number in range(3):
        lanes.put(CREW, number)
    while not handle.begun:
        await asyncio.sleep(0)
    lanes.put(OTHER, 9)
    await lanes.close()
    assert (lanes._lanes, lanes._tasks, lanes._waiting, handle.done) == ({}, {}, 0, [])
    handle.gate.set()
    lanes.put(CREW, 5)
    await settled(lanes)
    assert handle.done == [(CREW, 5)]


async def test_a_unit_that_reports_as_its_last_report_ends_is_heard() -> None:
    handle = Handler()
    lanes = Lanes(handle)
    for number in range(100):
        lanes.put(CREW, number)
        for _ in range(number % 5):
            await asyncio.sleep(0)
    await settled(lanes)
    assert handle.done == [(CREW, number) for number in range(100)]
    assert lanes._waiting == 0
