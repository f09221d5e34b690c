"""A start told step by step, each with its seconds."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

Say = Callable[[str], None]


class Steps:
    """Says each step with its seconds."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since = perf_counter()

    def done(self, name: str) -> None:
        now = perf_counter()
        self._say(f"{name:<14}{now - self._since:6.1f} s")
        self._since = now
