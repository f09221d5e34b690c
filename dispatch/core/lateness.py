"""When a unit is expected, and when at the latest in nine cases of ten.

Three things make a drive longer than it was thought: the day (weather, traffic, the crew), what does not depend on
its length (turning, parking, finding the door), and that the caller is somewhere in a circle and not in its middle.
They have nothing to do with each other, so their squares are added and not they themselves: all at their worst at once
is far rarer than one case in ten. Only the way from the middle of the circle to the caller is always a way more: its
mean counts whole, and what is beyond the mean with the others.

How much longer, is data: the spread of the hour that comes with the travel times (`Reach.spread`). What is expected
decides who goes; what is late is told to people and changes nothing.
"""

from __future__ import annotations

from math import hypot
from typing import NamedTuple

from dispatch.core.terms import UNREACHABLE_MS, Location, Reach, Spread, UnitId

CROSSING_M_S = {True: 8.0, False: 14.0}
"""How fast a crew gets on across a circle, in a straight line: in a town, and outside."""

MEAN_OF_CIRCLE = 0.6
"""How far callers are from the middle, as a share of the radius that holds nine in ten (Rayleigh's distribution)."""


class Eta(NamedTuple):
    """Seconds of a drive: as expected, and what nine drives of ten do not exceed; None where nobody can say."""

    expected_s: float
    p90_s: float | None


def eta_of(unit_id: UnitId, reach: Reach | None, factor: float, place: Location | None) -> Eta | None:
    """The drive of one unit, where it is known. `factor` is what lights and sirens make of the time."""
    if reach is None or unit_id not in reach.units:
        return None
    ms = int(reach.ms[reach.units.index(unit_id)])
    if ms >= UNREACHABLE_MS:
        return None
    expected_s = ms * factor / 1000
    return Eta(expected_s, p90_s(expected_s, reach.spread, place))


def p90_s(expected_s: float, spread: Spread | None, place: Location | None) -> float | None:
    """What nine drives of ten to the caller do not exceed, to a tenth of a second."""
    if spread is None or place is None:
        return None
    mean_s, beyond_s = MEAN_OF_CIRCLE * crossing_s(place), (1 - MEAN_OF_CIRCLE) * crossing_s(place)
    late_s = mean_s + hypot(expected_s * spread.share, spread.fixed_s, beyond_s)
    return round(expected_s + late_s, 1)


def crossing_s(place: Location) -> float:
    """The way from the middle of the circle about a place to its edge."""
    return place.accuracy_m / CROSSING_M_S[place.urban]
