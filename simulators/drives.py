"""A vehicle on the road: where it is at any moment, worked out only when somebody asks.

The way comes from the road engine, by what is closed and slow when it is planned; `is_overtaken` says whether that has
changed since. A drive with lights and sirens takes less than a plain car's time, by the
factors that recommendations use.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.core.recommend import RURAL_FACTOR, URBAN_FACTOR
from routing.geometry import Point, along, bearing_deg, distance_m
from routing.travel import Path, Travel

NO_ROADS = np.zeros(0, np.int32)

STRAIGHT_MPS = 12.0
"""Where no road leads, the last way is the straight line at this speed."""


class Standing(NamedTuple):
    """A fix: where, at what speed, heading where (None: standing)."""

    at: Point
    speed_mps: float
    heading_deg: float | None


class Drive:
    """One drive, from `began_s` in service seconds; `factor` times the plain time along the path. `ms` are the weights
    by which it was planned, empty where no road leads."""

    def __init__(self, path: Path, began_s: float, factor: float, ms: NDArray[np.int32] = NO_ROADS) -> None:
        self._arcs = np.array(path.arcs if len(ms) else [], dtype=np.intp)
        self._planned_ms = ms[self._arcs]
        assert factor > 0 and path.points
        self._points = path.points
        self._seconds_at = [second * factor for second in path.seconds_at]
        self.began_s = began_s
        self.takes_s = self._seconds_at[-1]
        self.metres = path.metres

    def is_overtaken(self, ms: NDArray[np.int32]) -> bool:
        """Whether something on the way takes another time than when it was planned; `ms` are the weights now."""
        return bool((ms[self._arcs] != self._planned_ms).any())

    def at(self, now_s: float) -> Standing:
        """Where the vehicle is at a moment of service time."""
        gone_s = now_s - self.began_s
        if gone_s >= self.takes_s:
            return Standing(self._points[-1], 0.0, None)
        if gone_s <= 0 or len(self._points) == 1:
            return Standing(self._points[0], 0.0, None)
        leg = bisect_right(self._seconds_at, gone_s) - 1
        begin, end = self._points[leg], self._points[leg + 1]
        lasts_s = self._seconds_at[leg + 1] - self._seconds_at[leg]
        share = 0.0 if lasts_s <= 0 else (gone_s - self._seconds_at[leg]) / lasts_s
        speed_mps = distance_m(begin, end) / lasts_s if lasts_s > 0 else 0.0
        return Standing(along(begin, end, share), speed_mps, bearing_deg(begin, end))


def drive(travel: Travel, way: tuple[Point, Point], began_s: float, factor: float) -> Drive:
    """The drive from one place to another by road; across country where there is none."""
    path = travel.path(*way)
    if path is None:
        metres = distance_m(*way)
        path = Path([*way], [0.0, metres / STRAIGHT_MPS], metres)
    return Drive(path, began_s, factor, travel.ms)


def siren_factor(travel: Travel, to: Point) -> float:
    """How an emergency drive's time compares with a plain car's, by where it leads."""
    return URBAN_FACTOR if travel.snap(*to).urban else RURAL_FACTOR
