"""How often somebody may fail: an allowance that refills with time, for a bounded number of names."""

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

NAMES_MAX = 10_000


class Throttle:
    """`burst` failures at once, then one each `refill_s` seconds. Only failures cost; success costs nothing."""

    def __init__(self, burst: int, refill_s: float, time_s: Callable[[], float] = monotonic) -> None:
        assert burst >= 1
        assert refill_s > 0
        self._burst = burst
        self._refill_s = refill_s
        self._time_s = time_s
        # The moment at which a name's allowance is full again; a name that is not here has all of it.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, name: str) -> int:
        """Whole seconds until the name may try again; 0: it may now."""
        ahead_s = self._full_at_s.get(name, 0.0) - self._time_s()
        over_s = ahead_s - (self._burst - 1) * self._refill_s
        return max(0, math.ceil(over_s))

    def failed(self, name: str) -> None:
        """Take one failure off the name's allowance."""
        now_s = self._time_s()
        self._full_at_s[name] = max(now_s, self._full_at_s.pop(name, 0.0)) + self._refill_s
        while len(self._full_at_s) > NAMES_MAX:
            self._full_at_s.popitem(last=False)

    def forgive(self, name: str) -> None:
        """Give the last failure back: it was none."""
        if name in self._full_at_s:
            self._full_at_s[name] -= self._refill_s
