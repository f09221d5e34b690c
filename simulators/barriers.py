"""What crews hear of closed and slow roads: the service's list of closures, laid over the roads that they drive by.

They hear it as a crew does by radio: some moments after the service, and wherever they are. What the service is told of
the hour's speeds they are not: how fast traffic really is, is the simulated world's own doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from consoles.closing import ClosureRow
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.terms import ActorId, RegionId
from dispatch.writing.live_roads import LiveRoads, Now
from routing.travel import Travel
from simulators.client import Client

ASK_S = 1.0
"""Wall seconds between two looks at the list."""


class Posted:
    """The closures that the service lists: a country's in one."""

    def __init__(self) -> None:
        self.closures: dict[ClosureId, Closure] = {}


class Barriers:
    """`run` until cancelled; whoever is in `on_change` is told when the roads have changed."""

    def __init__(self, client: Client, travel: Travel, clock: Now) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._client = client
        self._travel = travel
        self._posted = Posted()
        self._live = LiveRoads(travel, {RegionId("UZ"): self._posted}, clock)

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(ASK_S)

    async def look(self) -> None:
        """Hear what is closed now. While the service does not answer, what was heard last holds by its own times."""
        answer = await self._client.get("closures")
        if answer.good:
            rows = [msgspec.convert(row, ClosureRow) for row in answer.body["closures"]]
            self._posted.closures = {ClosureId(row.closure_id): _closure(row) for row in rows}
        before = self._travel.weights_version
        self._live.look()
        if self._travel.weights_version != before:
            for listener in self.on_change:
                listener()


def _closure(row: ClosureRow) -> Closure:
    return Closure(
        closure_id=ClosureId(row.closure_id),
        line=tuple((lat, lon) for lon, lat in row.line),
        radius_m=row.radius_m,
        direction=row.direction,
        factor=row.factor,
        reason=row.reason,
        since=row.since,
        until=row.until,
        by=ActorId(row.by),
        at=row.at,
    )
