"""Saying how far a long piece of work has come: a moving line on a terminal, a line a step elsewhere.

The steps of the first moments are held back, so that a mistake that shows at once is one line and nothing else.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TextIO, TypeVar

EVERY: Final = 8_192  # objects between two looks at the clock
SHOWN_EVERY_S: Final = 0.2
HELD_S: Final = 2.0

Item = TypeVar("Item")


class Progress:
    """Steps of a piece of work, said on standard error or where else it is told."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._moves = self._stream.isatty()
        self._began = self._since = time.perf_counter()
        self._held: list[str] = []

    def counting(self, what: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; how many there were is said at the end, and on a terminal while they pass."""
        count, shown = 0, time.perf_counter()
        for count, item in enumerate(items, 1):
            if self._moves and count % EVERY == 0 and time.perf_counter() - shown > SHOWN_EVERY_S:
                shown = time.perf_counter()
                self._stream.write(f"\r{what:<14}{count:>12,} …")
                self._stream.flush()
            yield item
        self.done(what, f"{count:,}")

    def step(self, what: str, work: Callable[[], Item]) -> Item:
        """Do a step and say how long it took."""
        if self._moves:
            self._stream.write(f"\r{what:<14}{'…':>14}")
            self._stream.flush()
        made = work()
        self.done(what, "")
        return made

    def done(self, what: str, said: str) -> None:
        """Note that a step is done, and its seconds."""
        now = time.perf_counter()
        self._held.append(f"{what:<14}{said:>12}{now - self._since:9.1f} s")
        self._since = now
        if self.seconds > HELD_S:
            self.finish()

    def finish(self) -> None:
        """Say what was held back."""
        start = "\r\x1b[K" if self._moves else ""
        for line in self._held:
            print(f"{start}{line}", file=self._stream)
        self._held.clear()
        self._stream.flush()

    @property
    def seconds(self) -> float:
        """Since the first step began."""
        return time.perf_counter() - self._began
