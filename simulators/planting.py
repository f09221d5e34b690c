"""How a bug is planted: something wrong is put in the place of what is right, for as long as a world runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

from simulators.seeds import Level

Planting = Callable[[], AbstractContextManager[None]]


class Bug(NamedTuple):
    """One planted bug, and the level of worlds that is to find it."""

    name: str
    level: Level
    plant: Planting


def list_of(level: Level) -> tuple[dict[str, Bug], Callable[[Planting], Planting]]:
    """The bugs of one level by their names, and what enters one: its name is its function's, in words."""
    bugs: dict[str, Bug] = {}

    def bug(plant: Planting) -> Planting:
        name = plant.__name__.replace("_", " ")
        bugs[name] = Bug(name, level, plant)
        return plant

    return bugs, bug


@contextmanager
def swapped(*swaps: tuple[Any, Any, Any]) -> Iterator[None]:
    """Put values into attributes or entries for a while: (owner, name, value)."""
    with ExitStack() as stack:
        for owner, name, value in swaps:
            if isinstance(owner, dict):
                stack.callback(owner.__setitem__, name, owner[name])
                owner[name] = value
            else:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
        yield
