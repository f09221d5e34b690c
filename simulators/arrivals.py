"""When and in which region calls come: a Poisson process whose rate follows the hour, in service time.

The rate of an ordinary day: field.md derives 48,000 to 123,000 calls a day for all five bodies; the demo takes
the middle. Regions share it as they share the 103 calls of 2025. Over the day it is highest near 19:00 and
lowest near 04:00, as in Romania; the shape between is ours: the lowest two harmonics that have their peak and
their trough there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random

from routing.regions import region_facts

CALLS_A_DAY = (48_000 + 123_000) / 2
LOCAL = timezone(timedelta(hours=5), "UTC+5")
"""Uzbekistan, all year."""
PEAK_HOUR, TROUGH_HOUR = 19.0, 4.0

# With a first harmonic of 0.5 at 17:00, the second one below puts the extremes at exactly 19:00 and 04:00.
_FIRST, _FIRST_AT = 0.5, 17.0
_SECOND, _SECOND_AT = 0.14077, 21.0875
HIGHEST = 1.5
"""No hour has more than this many times the day's mean."""


def hour_factor(hour: float) -> float:
    """The rate at an hour of local time (0 to 24) over the day's mean."""
    first = math.cos(2 * math.pi * (hour - _FIRST_AT) / 24)
    second = math.cos(4 * math.pi * (hour - _SECOND_AT) / 24)
    return 1.0 + _FIRST * first + _SECOND * second


def shares() -> dict[str, float]:
    """Each region's share of the country's calls."""
    facts = region_facts().values()
    total = sum(fact.calls_103_in_2025 for fact in facts)
    return {fact.id: fact.calls_103_in_2025 / total for fact in facts}


class Arrivals:
    """Times and regions of calls. With `calls_per_minute` the rate is that, at every hour; else the hour's own."""

    def __init__(self, seed: int, calls_per_minute: float | None = None) -> None:
        assert calls_per_minute is None or calls_per_minute > 0
        self._rng = Random(f"{seed}:arrivals")
        self._fixed_per_s = None if calls_per_minute is None else calls_per_minute / 60
        self._regions = list(shares())
        self._weights = list(shares().values())

    def rate_per_s(self, at: datetime) -> float:
        """Calls a second in the whole country at a moment of service time."""
        if self._fixed_per_s is not None:
            return self._fixed_per_s
        local = at.astimezone(LOCAL)
        hour = local.hour + local.minute / 60 + local.second / 3600
        return CALLS_A_DAY / 86_400 * hour_factor(hour)

    def after(self, start: datetime) -> Iterator[tuple[datetime, str]]:
        """(service time, region) of each call after `start`, without end, by thinning (Lewis and Shedler)."""
        most_per_s = self._fixed_per_s or CALLS_A_DAY / 86_400 * HIGHEST
        at = start
        while True:
            at += timedelta(seconds=self._rng.expovariate(most_per_s))
            if self._rng.random() * most_per_s <= self.rate_per_s(at):
                yield at, self._rng.choices(self._regions, self._weights)[0]
