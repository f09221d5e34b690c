"""What goes wrong in a simulated world, as probabilities in one place, and the line that makes it so."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Each number is the probability that it happens to one message, order, call or step, unless named else.

    `CALM` has none of them: what is left undone then is our own fault.
    """

    # Messages between a unit or another region and the region's writer.
    lost: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    delay_s: float = 40.0
    # Crews.
    refuses: float = 0.0
    falls_silent: float = 0.0
    skips_step: float = 0.0
    leaves_early: float = 0.0
    breaks_down: float = 0.0
    goes_offline: float = 0.0
    unasked_report: float = 0.0
    # Callers.
    hangs_up: float = 0.0
    says_nothing: float = 0.0
    unlocated: float = 0.0
    calls_again: float = 0.0
    wrong_region: float = 0.0
    # Operators and the service.
    absurd: float = 0.0
    changes_policy: float = 0.0
    crashes: float = 0.0
    link_lost: float = 0.0

    def varied(self, chance: Random) -> Faults:
        """The same kinds of trouble in another mix: each world has its own weather."""
        scaled = {
            name: min(0.9, getattr(self, name) * chance.choice((0.0, 0.5, 1.0, 1.0, 2.0)))
            for name in self.__struct_fields__
            if name != "delay_s"
        }
        return msgspec.structs.replace(self, **scaled)


CALM = Faults()

STORM = Faults(
    lost=0.08,
    repeated=0.08,
    delayed=0.15,
    refuses=0.08,
    falls_silent=0.08,
    skips_step=0.15,
    leaves_early=0.06,
    breaks_down=0.04,
    goes_offline=0.10,
    unasked_report=0.10,
    hangs_up=0.15,
    says_nothing=0.10,
    unlocated=0.25,
    calls_again=0.35,
    wrong_region=0.20,
    absurd=0.30,
    changes_policy=0.15,
    crashes=0.25,
    link_lost=0.20,
)


class Line:
    """A link that loses, repeats and delays messages, and so reorders them."""

    def __init__(self, chance: Random, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._chance = chance
        self._later = later

    def send(self, faults: Faults, deliver: Callable[[], None]) -> None:
        """Deliver the message after a moment: once, not at all, or more often."""
        if self._chance.random() < faults.lost:
            return
        copies = 2 if self._chance.random() < faults.repeated else 1
        for _ in range(copies):
            late = self._chance.random() < faults.delayed
            self._later(self._chance.expovariate(1 / faults.delay_s) if late else 0.05, deliver)
