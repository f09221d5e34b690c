"""Long work in steps of some milliseconds, so that whoever does it in a loop has its other duties between them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def each(things: Iterable[T], work: Callable[[T], object], at_once: int) -> Iterator[None]:
    """Do the work for each of the things; so many are a step, and what is left at the end is one too."""
    for number, thing in enumerate(things, start=1):
        work(thing)
        if number % at_once == 0:
            yield
    yield


def outcome(steps: Generator[None, None, T]) -> T:
    """What the steps come to, done one after the other at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
