"""Travel times for decisions: asks the road engine and hands the core plain arrays.

With no road engine (its map is missing or broken) times fall back to the straight line at a cautious speed,
and the map version says so: a rough order of units is better than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dispatch.core.terms import UNREACHABLE_MS, Location, Reach, Spread, UnitId
from dispatch.writing.positions import Positions
from routing.geometry import distances_m
from routing.weights import LATE_FIXED_S

STRAIGHT = "straight-line"
STRAIGHT_SPEED_MPS = 25 / 3.6
"""Speed along the straight line: 40 km/h on roads that are 1.6 times as long."""

STRAIGHT_LATE = 0.6
"""Without roads nobody knows of the river in between: twice as unsure as by road, by judgement."""


class Times(Protocol):
    """What the road engine gives: arrays parallel to the keys asked for."""

    @property
    def ms(self) -> NDArray[np.int32]: ...
    @property
    def edges(self) -> NDArray[np.int32]: ...
    @property
    def offsets(self) -> NDArray[np.float64]: ...


class Roads(Protocol):
    """The road engine, as far as decisions need it."""

    map_version: str
    weights_version: int
    late: tuple[float, float]

    def times(self, keys: Sequence[str], lat: float, lon: float) -> Times: ...


class Reacher:
    """Brings the travel times of candidates to a place."""

    def __init__(self, positions: Positions, roads: Roads | None) -> None:
        self._positions = positions
        self._roads = roads

    def to(self, units: Sequence[UnitId], location: Location, now: datetime) -> Reach:
        """The candidates' times to a location; a unit that never sent a position is left out.

        `now` is wall time: the age of a position does not depend on the service's clock.
        """
        names, age_s = tuple(units), self._positions.ages_s(units, now)
        known = ~np.isnan(age_s)
        if not known.all():
            names, age_s = tuple(compress(names, known)), age_s[known]
        if self._roads is None:
            return self._straight(names, location, age_s)
        times = self._roads.times(names, location.lat, location.lon)
        return Reach(
            units=names,
            ms=times.ms,
            edges=times.edges,
            offsets=times.offsets.astype(np.float32),
            age_s=age_s,
            map_version=self._roads.map_version,
            weights_version=self._roads.weights_version,
            spread=Spread(share=self._roads.late[location.urban], fixed_s=LATE_FIXED_S),
        )

    def _straight(self, names: tuple[UnitId, ...], location: Location, age_s: NDArray[np.float32]) -> Reach:
        places = [p for u in names if (p := self._positions.get(u)) is not None]
        lat = np.array([p.lat for p in places], dtype=np.float64)
        lon = np.array([p.lon for p in places], dtype=np.float64)
        metres = distances_m(lat, lon, (location.lat, location.lon))
        ms = np.minimum(metres / STRAIGHT_SPEED_MPS * 1000, UNREACHABLE_MS - 1).astype(np.int32)
        nowhere = np.full(len(names), -1, dtype=np.int32)
        return Reach(
            units=names,
            ms=ms,
            edges=nowhere,
            offsets=np.zeros(len(names), dtype=np.float32),
            age_s=age_s,
            map_version=STRAIGHT,
            spread=Spread(share=STRAIGHT_LATE, fixed_s=LATE_FIXED_S),
        )
