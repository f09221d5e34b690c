"""The weights of this process's roads: what is closed or slow in any region, and the hour, carried to the road engine.

Closures are events, so each process that holds a road network hears of them from the regions that it leads and from
those that it follows, after a restart as well. A committed closure is in force before anybody is told of it: the next
travel time obeys it. What a drawing means is looked up once on the map that this process has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dispatch.core.closure_terms import Closure, ClosureId, Line
from dispatch.core.events import Event, RoadClosed, RoadReopened
from dispatch.core.terms import RegionId
from dispatch.core.words import Direction
from dispatch.writing.records import Recorded
from routing.drawn import arcs_along, arcs_around
from routing.geometry import Point
from routing.lines import course
from routing.named import NamedStreets
from routing.travel import Travel
from routing.weights import Profile, Restriction, flat, profiled, restricted

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the clock: how late a closure may begin or end."""
ON_STREET_M = 150.0
"""Who points at a street on a map of a whole town hits it no worse than that."""


class Closing(Protocol):
    """A region, as far as its closures go."""

    @property
    def closures(self) -> Mapping[ClosureId, Closure]: ...


class Now(Protocol):
    """A clock, as far as closures need one."""

    def now(self) -> datetime: ...


class LiveRoads:
    """`look` when every region is loaded, then `run` until cancelled; `heard` listens to what is committed."""

    def __init__(
        self,
        travel: Travel,
        states: Mapping[RegionId, Closing],
        clock: Now,
        profile: Profile | None = None,
        *,
        names: Sequence[str] = (),
    ) -> None:
        self._travel = travel
        self.named = NamedStreets(travel.roads, names)
        self._states = states
        self._clock = clock
        self._profile = profile or flat()
        self._restrictions: dict[ClosureId, Restriction] = {}
        self._hour_ms = travel.roads.ms
        self._hour: datetime | None = None
        self._in_force: tuple[ClosureId, ...] = ()

    async def run(self) -> None:
        """Follow the clock: closures begin and end, and each hour has its own speeds."""
        while True:
            await self._turn_the_hour()
            self.look()
            await asyncio.sleep(LOOK_S)

    def heard(self, region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
        """Obey what was just committed."""
        if any(isinstance(event, RoadClosed | RoadReopened) for event in events):
            self.look()

    def look(self) -> None:
        """Put in force what is to be now. Quick: some milliseconds on a country's roads."""
        now = self._clock.now()
        known = {closure.closure_id: closure for state in self._states.values() for closure in state.closures.values()}
        self._restrictions = {
            name: self._restrictions.get(name) or self._restriction(closure)
            for name, closure in known.items()
            if not closure.is_over(now)
        }
        in_force = tuple(sorted(name for name, each in self._restrictions.items() if each.in_force(now)))
        if in_force != self._in_force:
            self._put_in_force(now)
            self._in_force = in_force

    def meant(self, lines: Sequence[Line], radius_m: float, direction: Direction) -> tuple[int, float]:
        """How many arcs of the map a drawing means, and how long these streets are, each counted once, in metres."""
        roads, arcs = self._travel.roads, self._arcs(lines, radius_m, direction)
        once = arcs[~np.isin(roads.twin[arcs], arcs) | (roads.twin[arcs] > arcs)]
        return len(arcs), float(roads.metres[once].sum())

    def street_at(self, at: tuple[float, float]) -> list[Point] | None:
        """The piece of street, from one crossing to the next, on which a position lies; None where that is none."""
        found = self._travel.snap(*at)
        return course(self._travel.roads, found.edge) if found.distance_m <= ON_STREET_M else None

    def way(self, start: tuple[float, float], end: tuple[float, float]) -> list[Point] | None:
        """The road between two positions as the map has it, whatever is closed on it already; None where none
        leads."""
        path = self._travel.path_on_map(start, end)
        return None if path is None else path.points

    async def _turn_the_hour(self) -> None:
        """The speeds of a new hour: made beside the loop, since every street of the country takes part."""
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour == self._hour:
            return
        self._travel.late = self._profile.late_at(now)
        made = await asyncio.to_thread(profiled, self._travel.roads, self._profile, hour)
        if not (made == self._hour_ms).all():
            self._hour_ms = made
            # By the time as it is now: a closure may have begun while the speeds were being made.
            self._put_in_force(self._clock.now())
        self._hour = hour

    def _put_in_force(self, now: datetime) -> None:
        version = self._travel.reweigh(*restricted(self._hour_ms, self._restrictions.values(), now))
        many = sum(each.in_force(now) for each in self._restrictions.values())
        log.info("weights %d: %d closures in force", version, many, extra={"action": "reweigh"})

    def _restriction(self, closure: Closure) -> Restriction:
        arcs = self._arcs(closure.lines, closure.radius_m, closure.direction)
        if len(arcs) == 0:
            log.warning("closure %s means no street of this map", closure.closure_id, extra={"action": "reweigh"})
        return Restriction(arcs=arcs, factor=closure.factor, since=closure.since, until=closure.until)

    def _arcs(self, lines: Sequence[Line], radius_m: float, direction: Direction) -> NDArray[np.int32]:
        found = [self._along(line, radius_m, direction) for line in lines]
        return np.unique(np.concatenate(found)).astype(np.int32)

    def _along(self, line: Line, radius_m: float, direction: Direction) -> NDArray[np.int32]:
        roads, cells, points = self._travel.roads, self._travel.cells, [Point(*at) for at in line]
        if len(points) == 1:
            return arcs_around(roads, cells, points[0], radius_m)
        return arcs_along(roads, cells, points, radius_m, direction.value)
