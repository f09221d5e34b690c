"""Live weights: what each arc takes now, from the plain car time, the hour of the day, and what is closed or slowed.

A *restriction* is put on arcs: closed, or slower by a factor that is never below 1, so that no restriction ever makes a
way shorter. It has a beginning and perhaps an end. A *profile* multiplies whole classes of roads by the hour, and says
how late a whole drive may be. The time of an arc is plain × profile × the largest factor in force, rounded; a slowed
arc never becomes a closed one. What is closed is not driven through; who is on it, or is called to it, comes and goes
by the nearer end.

Which arcs a drawing means is found in `streets_along`. Not here: who may close a road and how that is kept.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.roads import ROAD_CLASSES, Roads

LOCAL_TIME: Final = timezone(timedelta(hours=5))  # all of the country, and no summer time
WEEKEND: Final = (5, 6)  # Saturday and Sunday, as datetime.weekday() numbers them
HOURS: Final = 24
SLOWEST: Final = 100.0  # a factor beyond this is a closure
PROFILE_FACTORS: Final = (0.2, 10.0)

USUAL_LATE: Final = 0.3
LATE_FIXED_S: Final = 45.0
"""How late drives are until somebody has measured: nine of ten take no more than the root of the sum of the squares of
a USUAL_LATE of their time, and of LATE_FIXED_S. The form is that of Budge, Ingolfsson and Zerom, "Empirical analysis of
ambulance travel times: the case of Calgary" (Management Science, 2010): the variance of a drive has a part that does
not depend on its length and one that grows with its square. The figures are rounded from a coefficient of variation of
a fifth on long drives, and of half a minute on all."""
LATE_MOST: Final = 5.0

Ints = NDArray[np.int32]
Factors = NDArray[np.float64]

WORKDAY, HOLIDAY = range(2)


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """Arcs that are closed (`factor` None) or take `factor` (≥ 1) times as long, from `since` on and before `until`,
    both aware; without an end until it is lifted."""

    arcs: Ints
    factor: float | None = None
    since: datetime
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.factor is not None and not 1.0 <= self.factor <= SLOWEST:
            raise ValueError(f"a slowdown is a factor from 1 to {SLOWEST:g}, not {self.factor:g}")

    def in_force(self, now: datetime) -> bool:
        """Whether it counts at this moment."""
        return self.since <= now and (self.until is None or now < self.until)


def slot_of(now: datetime) -> tuple[int, int]:
    """Workday or weekend, and the hour, of the country's own time."""
    there = now.astimezone(LOCAL_TIME)
    return (HOLIDAY if there.weekday() in WEEKEND else WORKDAY), there.hour


def usual_lateness() -> Factors:
    """USUAL_LATE at every hour, in the country and in towns: (2, 24, 2)."""
    return np.full((2, HOURS, 2), USUAL_LATE)


class Profile(msgspec.Struct, frozen=True):
    """How much longer than plain car time: `factors` float64 (2, 24, classes, 2) by workday or weekend, hour of the
    country's time, class of road, and whether it is urban. `late` (2, 24, 2) is how much of its time a whole drive is
    late at most, in nine cases of ten."""

    factors: Factors
    late: Factors = msgspec.field(default_factory=usual_lateness)

    def at(self, now: datetime) -> Factors:
        """The factors (classes, 2) of a moment."""
        day, hour = slot_of(now)
        return np.asarray(self.factors[day, hour])

    def late_at(self, now: datetime) -> tuple[float, float]:
        """The lateness of a moment: in the country, and in towns."""
        country, town = self.late[slot_of(now)]
        return float(country), float(town)


def flat() -> Profile:
    """Plain car time at every hour: what holds until somebody has measured."""
    return Profile(np.ones((2, HOURS, len(ROAD_CLASSES), 2)))


def profile_from(factors: Factors, late: Factors | None = None) -> Profile:
    """A profile of these factors. Raises ValueError when they cannot be right."""
    low, high = PROFILE_FACTORS
    late = usual_lateness() if late is None else late
    if factors.shape != flat().factors.shape:
        raise ValueError(f"a speed profile has the shape {flat().factors.shape}, not {factors.shape}")
    if not (np.isfinite(factors).all() and factors.min() >= low and factors.max() <= high):
        raise ValueError(f"a speed profile's factors are from {low:g} to {high:g}")
    if late.shape != (2, HOURS, 2) or not (np.isfinite(late).all() and late.min() >= 0 and late.max() <= LATE_MOST):
        raise ValueError(f"the lateness of drives is {2, HOURS, 2} shares from 0 to {LATE_MOST:g}")
    return Profile(factors, late)


def profiled(roads: Roads, profile: Profile, now: datetime) -> Ints:
    """The ms of each arc at this hour, with nothing restricted."""
    factor = profile.at(now)[roads.kind, roads.urban.astype(np.intp)]
    slowed = np.minimum(np.rint(roads.ms * factor), UNREACHABLE - 1).astype(np.int32)
    return np.where(roads.ms < UNREACHABLE, np.maximum(slowed, np.minimum(roads.ms, 1)), UNREACHABLE).astype(np.int32)


class Weights(NamedTuple):
    """The ms of each arc: `ms` to drive through, UNREACHABLE where that is closed; `ends` for whoever only goes to a
    place on it, as if nothing were closed."""

    ms: Ints
    ends: Ints


def restricted(hour_ms: Ints, restrictions: Iterable[Restriction], now: datetime) -> Weights:
    """The weights with those restrictions that are in force laid over the hour's, in arrays of their own.

    Of several on one arc the slowest counts. Only arcs that are restricted are looked at: a closure is in force
    within the time of two copies.
    """
    ends = hour_ms.copy()
    counted = [each for each in restrictions if each.in_force(now)]
    for each in counted:
        if each.factor is not None:
            ends[each.arcs] = np.maximum(ends[each.arcs], _slowed(hour_ms[each.arcs], each.factor))
    ms = ends.copy()
    for each in counted:
        if each.factor is None:
            ms[each.arcs] = UNREACHABLE
    return Weights(ms, ends)


def _slowed(ms: Ints, factor: float) -> Ints:
    slow = np.minimum(np.rint(ms.astype(np.float64) * factor), UNREACHABLE - 1).astype(np.int32)
    return np.maximum(slow, ms)  # what is closed on the map stays closed
