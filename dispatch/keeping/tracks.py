"""The trace of each unit for later: thinned, in batches, and the first thing to be dropped under load.

Its newest points are where the units stand after a restart, until they say something.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from dispatch.core.terms import UnitId
from dispatch.errors import ServiceAway
from dispatch.store import PAGE_LIMIT, TRACKS_KEPT, Store
from dispatch.writing.positions import Position, Positions
from dispatch.writing.records import TrackPoint
from routing.geometry import METRES_PER_DEGREE

KEEP_EVERY_S = 30.0
KEEP_EVERY_M = 200.0
QUEUE_LIMIT = 20_000
"""Ten minutes of 1,000 units; when the store is away longer, the oldest points go."""
BATCH_LIMIT = 2_000
FLUSH_EVERY_S = 2.0

log = logging.getLogger(__name__)


class Tracks:
    """Takes every fix (`offer`), keeps one each 30 s or 200 m of a unit, and writes them in batches.

    `write(points)` stores a batch; it may raise ServiceAway, and the batch is tried again. While `wanted()` is
    false nothing is kept, and what is not is counted: the disk's room is for calls.
    """

    def __init__(
        self,
        write: Callable[[Sequence[TrackPoint]], Awaitable[object]],
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._write = write
        self._wanted = wanted
        self._kept: dict[UnitId, Position] = {}
        self._queue: deque[TrackPoint] = deque()
        self.written = 0
        self.dropped = 0
        self.unwanted = 0
        """Of the dropped: those for which there was no room on the disk."""

    def offer(self, position: Position) -> None:
        """Queue the fix when it is far enough, in time or place, from the last one queued of its unit."""
        kept = self._kept.get(position.unit_id)
        if kept is not None and not _far(kept, position):
            return
        self._kept[position.unit_id] = position
        if not self._wanted():
            self._give_up(1)
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(_point(position))

    async def run(self) -> None:
        """Write what is queued every FLUSH_EVERY_S; ends only by cancellation."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write everything queued now, or as much as the store takes."""
        if not self._wanted():
            self._give_up(len(self._queue))
            self._queue.clear()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH_LIMIT, len(self._queue)))]
            try:
                await self._write(batch)
            except ServiceAway as away:
                log.warning("track points wait: %s", away, extra={"action": "write_tracks"})
                self._put_back(batch)
                return
            self.written += len(batch)

    def _give_up(self, points: int) -> None:
        self.dropped += points
        self.unwanted += points

    def _put_back(self, batch: list[TrackPoint]) -> None:
        """A batch that was not written goes before what came since, as far as there is room."""
        room = QUEUE_LIMIT - len(self._queue)
        self.dropped += max(0, len(batch) - room)
        self._queue.extendleft(reversed(batch[-room:] if room else []))


async def remembered(store: Store, positions: Positions, units: Sequence[UnitId], now: datetime) -> int:
    """Where these units were last, as far back as tracks are kept; says how many are known by it.

    Their age is what it is: a choice between units and a console see that the fix is old. Without the store
    nothing is remembered, and the next fixes tell.
    """
    known = 0
    for start in range(0, len(units), PAGE_LIMIT):
        try:
            points = await store.last_tracks(units[start : start + PAGE_LIMIT], now - TRACKS_KEPT)
        except ServiceAway as away:
            log.warning("positions of before are not read: %s", away, extra={"action": "read_tracks"})
            return known
        known += sum(positions.restore(_position(point)) for point in points)
    return known


def _position(point: TrackPoint) -> Position:
    return Position(
        unit_id=UnitId(point.unit_id),
        lat=point.lat,
        lon=point.lon,
        at=point.at,
        received_at=point.at,
        heading_deg=point.heading,
        speed_mps=point.speed_m_s,
        accuracy_m=point.accuracy_m,
    )


def _far(kept: Position, position: Position) -> bool:
    if (position.at - kept.at).total_seconds() >= KEEP_EVERY_S:
        return True
    north_m = (position.lat - kept.lat) * METRES_PER_DEGREE
    east_m = (position.lon - kept.lon) * METRES_PER_DEGREE * math.cos(math.radians(kept.lat))
    return north_m * north_m + east_m * east_m >= KEEP_EVERY_M * KEEP_EVERY_M


def _point(position: Position) -> TrackPoint:
    return TrackPoint(
        unit_id=position.unit_id,
        at=position.at,
        lat=position.lat,
        lon=position.lon,
        accuracy_m=position.accuracy_m,
        speed_m_s=position.speed_mps,
        heading=position.heading_deg,
    )
