"""Bugs that are planted to be found: each a small wrong version of one function, and what it would do to people.

A simulation that finds nothing proves nothing until it finds these. Each hunt plants one bug in a process of
its own, runs seeds until a law is broken, and runs the same seed again without the bug, which must stay whole.
The bugs themselves are in planted_core.py and planted_shell.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from simulators import planted_core, planted_shell
from simulators.seeds import Level, Outcome, pool, run_world

BUDGET = 500
"""So many seeds at most are tried for one bug."""

BUGS = planted_core.BUGS | planted_shell.BUGS

DRIFTED = frozenset({"TypeError", "AttributeError", "NameError", "UnboundLocalError", "ImportError"})
"""What a world ends with when a plant no longer fits the code that it was written for: nothing is found by that."""


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """How a bug was found: by which seed, and what it broke. `clean`: the same seed is whole without it.

    `misfit`: what the plant itself failed with, so that nobody can say whether its bug would be found.
    """

    name: str
    level: Level
    worlds: int
    seed: int | None = None
    broken: str = ""
    clean: bool = False
    misfit: str = ""

    @property
    def found(self) -> bool:
        return self.seed is not None and self.clean and not self.misfit

    def told(self) -> str:
        """One line of the table."""
        first = f"{self.name:<44} {self.level:<6}"
        if self.misfit:
            return f"{first} NOT FOUND, the plant itself fails: {self.misfit[:150]}"
        if self.seed is None:
            return f"{first} MISSED in {self.worlds} seeds"
        also = "" if self.clean else "BUT THE CLEAN CODE FAILS TOO: "
        return f"{first} seed {self.seed:>3}  {also}{self.broken[:150]}"


def hunts(workers: int, budget: int, names: Sequence[str] = ()) -> Iterator[Hunt]:
    """Hunt every bug, side by side, told in their order."""
    with pool(workers) as workforce:
        yield from workforce.map(hunt, names or BUGS, [budget] * len(names or BUGS))


def hunt(name: str, budget: int) -> Hunt:
    """Plant one bug and run worlds until one breaks."""
    level = BUGS[name].level
    for seed in range(budget):
        outcome = _planted(name, seed)
        if isinstance(outcome, str) or outcome.fault in DRIFTED:
            misfit = outcome if isinstance(outcome, str) else outcome.broken
            return Hunt(name=name, level=level, worlds=seed + 1, seed=seed, misfit=misfit)
        if outcome.broken:
            clean = not run_world(level, seed).broken
            return Hunt(name=name, level=level, worlds=seed + 1, seed=seed, broken=outcome.broken, clean=clean)
    return Hunt(name=name, level=level, worlds=budget)


def _planted(name: str, seed: int) -> Outcome | str:
    """One world with the bug in it; or why the bug cannot be planted any more."""
    bug = BUGS[name]
    try:
        with bug.plant():
            return run_world(bug.level, seed)
    except Exception as misfit:
        return f"{misfit!r} while it is planted"
