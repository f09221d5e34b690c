"""How often somebody may fail: an allowance that refills with time, for a bounded number of names.

And in what order those are looked at whose allowance is used up: a few at once, and few that wait.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import msgspec

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


class _Line(msgspec.Struct):
    """Who stands in one name's line."""

    turn: asyncio.Semaphore
    length: int = 0


class Lines:
    """A line for each name: `at_once` of it have their turn, `length_max` stand in it with those.

    A name is kept only while somebody stands in its line, so their number is that of requests under way.
    """

    def __init__(self, at_once: int, length_max: int) -> None:
        assert 1 <= at_once <= length_max
        self._at_once = at_once
        self._length_max = length_max
        self._lines: dict[str, _Line] = {}

    def is_full(self, name: str) -> bool:
        """Whether nobody more may stand in the name's line now."""
        line = self._lines.get(name)
        return line is not None and line.length >= self._length_max

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn in the name's line, and have it for the block. It must not be full."""
        assert not self.is_full(name)
        line = self._lines.setdefault(name, _Line(asyncio.Semaphore(self._at_once)))
        line.length += 1
        try:
            async with line.turn:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[name]
