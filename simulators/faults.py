"""What goes wrong in a simulated world, as probabilities in one place, the dice, and the line that makes it so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Each number is the probability that it happens to one message, order, call or step, unless named else.

    `CALM` has none of them: what is left undone then is our own fault.
    """

    # Messages between a unit or another region and the region's writer. `clogs` stops all lines of a region
    # for a while; what waited then comes in any order.
    lost: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    delay_s: float = 40.0
    clogs: float = 0.0
    # Crews.
    refuses: float = 0.0
    falls_silent: float = 0.0
    skips_step: float = 0.0
    leaves_early: float = 0.0
    breaks_down: float = 0.0
    goes_offline: float = 0.0
    unasked_report: float = 0.0
    gps_jumps: float = 0.0
    clock_skewed: float = 0.0
    # Callers. `bursts` makes twenty of one call: everybody has seen the same thing.
    hangs_up: float = 0.0
    says_nothing: float = 0.0
    unlocated: float = 0.0
    calls_again: float = 0.0
    wrong_region: float = 0.0
    bursts: float = 0.0
    # Operators and the service. `dies_unpublished`: the writer is gone after a commit, before anybody heard of
    # it. `fails_over`: another writer takes a region over while the old one believes that it still leads.
    absurd: float = 0.0
    changes_policy: float = 0.0
    crashes: float = 0.0
    dies_unpublished: float = 0.0
    fails_over: float = 0.0
    link_lost: float = 0.0
    half_open: float = 0.0
    # The servers under the shell, and its processes: how often a minute. `store_unsure`: the answer to a commit
    # is lost, whether it happened or not.
    store_slow: float = 0.0
    store_fails: float = 0.0
    store_unsure: float = 0.0
    store_away: float = 0.0
    broker_away: float = 0.0
    freezes: float = 0.0
    answers_lost: float = 0.0

    def rough(self) -> Faults:
        """The same with processes and servers that fail ROUGHER times as often: two faults at once, and what only
        a restart brings out, are rare else."""
        often = {name: ROUGHER * getattr(self, name) for name in SERVICE_FAULTS}
        return msgspec.structs.replace(self, **often)

    def varied(self, chance: Random) -> Faults:
        """The same kinds of trouble in another mix: each world has its own weather."""
        scaled = {
            name: min(0.9, getattr(self, name) * chance.choice((0.0, 0.5, 1.0, 1.0, 2.0)))
            for name in self.__struct_fields__
            if name != "delay_s"
        }
        return msgspec.structs.replace(self, **scaled)


ROUGHER = 4
SERVICE_FAULTS = (
    "crashes",
    "dies_unpublished",
    "store_slow",
    "store_fails",
    "store_unsure",
    "store_away",
    "broker_away",
    "freezes",
    "answers_lost",
)
"""Those of whole processes and their servers."""

CALM = Faults()

STORM = Faults(
    lost=0.08,
    repeated=0.08,
    delayed=0.15,
    clogs=0.10,
    refuses=0.08,
    falls_silent=0.08,
    skips_step=0.15,
    leaves_early=0.06,
    breaks_down=0.04,
    goes_offline=0.10,
    unasked_report=0.10,
    gps_jumps=0.10,
    clock_skewed=0.10,
    hangs_up=0.15,
    says_nothing=0.10,
    unlocated=0.25,
    calls_again=0.35,
    wrong_region=0.20,
    bursts=0.01,
    absurd=0.30,
    changes_policy=0.15,
    crashes=0.25,
    dies_unpublished=0.004,
    fails_over=0.15,
    link_lost=0.20,
    half_open=0.10,
    store_slow=0.8,
    store_fails=0.8,
    store_unsure=0.8,
    store_away=0.4,
    broker_away=0.6,
    freezes=0.4,
    answers_lost=0.10,
)


class Dice:
    """Throws for what goes wrong now, and counts what did: a fault that never happens tries nothing."""

    def __init__(self, chance: Random, faults: Faults) -> None:
        self.chance = chance
        self.faults = faults
        self.struck: Counter[str] = Counter()

    def strikes(self, fault: str, share: float = 1.0) -> bool:
        """Whether the fault of this name happens; `share` of its probability, where that is not one throw's own."""
        probability: float = getattr(self.faults, fault)
        struck = self.chance.random() < probability * share
        self.struck[fault] += struck
        return struck


class Line:
    """The links of all regions: they lose, repeat and delay messages, and so reorder them; one may be clogged."""

    def __init__(self, dice: Dice, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._dice = dice
        self._later = later
        self._held: dict[str, list[Callable[[], None]]] = {}

    def send(self, region: str, deliver: Callable[[], None]) -> None:
        """Deliver the message after a moment: once, not at all, or more often."""
        held = self._held.get(region)
        if held is not None:
            held.append(deliver)
            return
        dice = self._dice
        if dice.strikes("lost"):
            return
        for _ in range(2 if dice.strikes("repeated") else 1):
            late = dice.strikes("delayed")
            self._later(dice.chance.expovariate(1 / dice.faults.delay_s) if late else 0.05, deliver)

    def clog(self, region: str, seconds: float) -> None:
        """Hold all messages of a region for so long; then they come one after the other, in any order."""
        if region not in self._held:
            self._held[region] = []
            self._later(seconds, lambda: self._unclog(region))

    def _unclog(self, region: str) -> None:
        held = self._held.pop(region)
        self._dice.chance.shuffle(held)
        for place, deliver in enumerate(held):
            self._later(0.01 * place, deliver)
