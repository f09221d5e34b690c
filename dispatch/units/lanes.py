"""What units report, worked off in order for each unit and side by side for different ones, within limits.

A unit without anything to do costs nothing: its lane and task are made by a report and gone after the last.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from dispatch.core.terms import UnitId

LANE_LIMIT = 32
"""Reports of one unit that wait; a device that sends more is stuck in a loop."""
REPORTS_LIMIT = 10_000
"""Reports of all units that wait; each is repeated by its unit, or follows from an order sent again."""

Report = TypeVar("Report")

log = logging.getLogger(__name__)


class Lanes(Generic[Report]):
    """Calls `handle(unit_id, report)` for each report; a fault in it is logged and ends only that report."""

    def __init__(self, handle: Callable[[UnitId, Report], Awaitable[None]]) -> None:
        self._handle = handle
        self._lanes: dict[UnitId, deque[Report]] = {}
        self._tasks: dict[UnitId, asyncio.Task[None]] = {}
        self._waiting = 0
        self.faults = 0

    def put(self, unit_id: UnitId, report: Report) -> bool:
        """Take a report; False when the unit's lane, or all of them together, are full."""
        lane = self._lanes.get(unit_id)
        if self._waiting >= REPORTS_LIMIT or (lane is not None and len(lane) >= LANE_LIMIT):
            return False
        self._waiting += 1
        if lane is not None:
            lane.append(report)
            return True
        self._lanes[unit_id] = lane = deque((report,))
        self._tasks[unit_id] = task = asyncio.get_running_loop().create_task(self._work(unit_id, lane))
        # A task that is cancelled before its first step has no `finally`: its unit would be mute for good.
        task.add_done_callback(lambda _: self._left(unit_id, lane))
        return True

    def holds(self, unit_id: UnitId, report: Report) -> bool:
        """Whether an equal report of the unit waits or is being worked on."""
        return report in self._lanes.get(unit_id, ())

    async def close(self) -> None:
        """Drop what waits and return when nothing is being worked on any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, unit_id: UnitId, lane: deque[Report]) -> None:
        try:
            while lane:
                # It stays in the lane until it is done, so that `holds` sees it.
                await self._one(unit_id, lane[0])
                lane.popleft()
                self._waiting -= 1
        finally:
            self._left(unit_id, lane)

    def _left(self, unit_id: UnitId, lane: deque[Report]) -> None:
        """Nobody works on the lane any more. It may be said twice; by then the unit may have another."""
        if self._lanes.get(unit_id) is lane:
            self._waiting -= len(lane)
            del self._lanes[unit_id], self._tasks[unit_id]

    async def _one(self, unit_id: UnitId, report: Report) -> None:
        try:
            await self._handle(unit_id, report)
        except Exception:
            self.faults += 1
            log.exception("report failed", extra={"unit": unit_id, "action": "report"})
