"""One region's writer in virtual time: command in, decide, evolve, write down, look at what follows, check.

It does what the engine does, without a loop, a store or a road: events go into a list as the journal's bytes,
travel times come from the caller. After every decision the invariants are asked about what was touched, now
and then about everything; every recorded decision is decided again from its recorded inputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core.decide import decide
from dispatch.core.evolve import evolve
from dispatch.core.followups import wishes
from dispatch.core.invariants import broken, broken_near
from dispatch.core.recommend import Inputs, digest, pick
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import SYSTEM, IncidentId, Reach, Refusal, RegionId
from dispatch.core.verdict import Decision, Inquest

ALL_EVERY = 64
"""Decisions between two looks at everything."""

PURITY_EVERY = 32
"""Decisions between two looks at whether deciding alone changed anything."""

Reaching = Callable[[RegionState, IncidentId], Reach | None]

_inputs = msgspec.msgpack.Decoder(Inputs)


class Broken(Exception):
    """Something that must always be so is not. `fault`: the exception of our own code that showed it, if one did."""

    def __init__(self, law: str, fault: BaseException | None = None) -> None:
        super().__init__(law)
        self.fault = fault


def our_fault(where: str, fault: BaseException) -> Broken:
    """What no law of a world has to name: our code failed."""
    return Broken(f"a fault in our own code, {where}: {fault!r}", fault)


UNHEARD = Refusal(code="no_answer", message="whoever would have answered is gone: ask again")
"""What an asker is left with when the writer died after the commit and before the answer."""


class Fact(NamedTuple):
    """One event as the journal has it."""

    region: RegionId
    seq: int
    at: datetime
    payload: bytes


class Journal:
    """What is kept of a region. It refuses whoever leads no more, and whatever does not continue it."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.epoch = 0

    def claim(self) -> int:
        """Lead from now on; whoever led before does not."""
        self.epoch += 1
        return self.epoch

    def append(self, epoch: int, fact: Fact) -> bool:
        """Keep one event; False where the writer's epoch is over or events between are missing."""
        if epoch != self.epoch or fact.seq != len(self.facts) + 1:
            return False
        self.facts.append(fact)
        return True


class Writer:
    """A region's state, its journal from the first event, and what changed since somebody drew it."""

    def __init__(self, region: RegionId, reaching: Reaching, recent: deque[Fact]) -> None:
        self.region = region
        self.state = RegionState(region)
        self.kept = Journal()
        self.epoch = self.kept.claim()
        self.undrawn = Touched()
        self.decisions = 0
        self.refusals = 0
        self._reaching = reaching
        self._recent = recent
        self._snapshot = snapshot.take(self.state)

    @property
    def journal(self) -> list[Fact]:
        """Every event of the region, in order."""
        return self.kept.facts

    def submit(self, command: c.Command, now: datetime) -> tuple[Refusal | None, list[e.Event]]:
        """Decide and evolve; the refusal, or every event that the command led to."""
        looks = self.decisions % PURITY_EVERY == 0
        before = snapshot.take(self.state) if looks else b""
        verdict = decide(self.state, command, now)
        if looks and snapshot.take(self.state) != before:
            raise Broken(f"{self.region}: deciding {type(command).__name__} changed the state")
        if isinstance(verdict, Refusal):
            self.refusals += 1
            return verdict, []
        events: list[e.Event] = []
        self._record(verdict, now, events)
        for incident_id in wishes(self.state, events):
            self._dispatch(incident_id, now, events)
        self._check()
        return None, events

    def look_at(self, incidents: Iterable[IncidentId], now: datetime) -> list[e.Event]:
        """Look at waiting incidents again; the events that came of it."""
        events: list[e.Event] = []
        for incident_id in incidents:
            self._dispatch(incident_id, now, events)
        self._check()
        return events

    def _dispatch(self, incident_id: IncidentId, now: datetime, events: list[e.Event]) -> None:
        reach = self._reaching(self.state, incident_id)
        if reach is None:
            return
        verdict = decide(self.state, c.Dispatch(actor=SYSTEM, incident_id=incident_id, reach=reach), now)
        if isinstance(verdict, Decision):
            self._record(verdict, now, events)

    def _record(self, decision: Decision, now: datetime, events: list[e.Event]) -> None:
        for event in decision.events:
            fact = Fact(self.region, self.state.seq + 1, now, e.encode(event))
            self._recent.append(fact)
            evolve(self.state, event, now)
            if not self.kept.append(self.epoch, fact):
                raise Broken(f"{self.region}: the journal refuses event {fact.seq} of epoch {self.epoch}")
            events.append(event)
        for inquest in decision.inquests:
            _judge_again(inquest, decision.events)

    def _check(self) -> None:
        self.decisions += 1
        touched = self.state.taken()
        gather(self.undrawn, touched)
        faults = broken_near(self.state, touched)
        if not faults and self.decisions % ALL_EVERY == 0:
            faults = broken(self.state)
        if faults:
            raise Broken(f"{self.region}: {faults[0]}")

    def keep(self) -> None:
        """Write a snapshot, from which the next crash is recovered."""
        self._snapshot = snapshot.take(self.state)

    def crash(self) -> None:
        """Lose the memory: go on from the snapshot and the journal after it, which must lead to the same state."""
        before = snapshot.take(self.state)
        state = snapshot.restore(self._snapshot)
        self.state = replay(state, self.journal[state.seq :])
        self.epoch = self.kept.claim()
        self.undrawn = Touched()
        if snapshot.take(self.state) != before:
            raise Broken(f"{self.region}: snapshot and journal lead to another state than was lost")
        faults = broken(self.state)
        if faults:
            raise Broken(f"{self.region}, after a restart: {faults[0]}")

    def fail_over(self, late: c.Command, now: datetime) -> None:
        """Another writer takes over; what the old one still decides is not kept, and nobody hears of it."""
        old, epoch, length = self.state, self.epoch, len(self.journal)
        self.crash()
        verdict = decide(old, late, now)
        for event in verdict.events if isinstance(verdict, Decision) else ():
            fact = Fact(self.region, old.seq + 1, now, e.encode(event))
            evolve(old, event, now)
            self.kept.append(epoch, fact)
        if len(self.journal) != length:
            raise Broken(f"{self.region}: a writer whose epoch {epoch} is over has written")

    def replayed(self) -> RegionState:
        """The state from the journal alone."""
        return replay(RegionState(self.region), self.journal)


def replay(state: RegionState, facts: Iterable[Fact]) -> RegionState:
    """The state after these facts, read from their bytes."""
    for fact in facts:
        if fact.seq != state.seq + 1:
            raise Broken(f"{state.region}: event {fact.seq} comes after {state.seq}")
        evolve(state, e.decode(fact.payload), fact.at)
    state.taken()
    return state


def gather(account: Touched, more: Touched) -> None:
    """Add what was touched to an account."""
    account.calls.update(more.calls)
    account.incidents.update(more.incidents)
    account.units.update(more.units)
    account.orders.update(more.orders)
    account.assignments.update(more.assignments)
    account.region = account.region or more.region


def _judge_again(inquest: Inquest, events: Iterable[e.Event]) -> None:
    """The recorded inputs must lead to the recorded answer, and that to the assignments made."""
    inputs = _inputs.decode(inquest.inputs)
    picks = pick(inputs)
    if digest(inputs, picks) != inquest.digest:
        raise Broken(f"{inquest.incident_id}: the recorded inputs lead to another digest")
    made = [x.assignment for x in events if isinstance(x, e.UnitAssigned) and x.digest == inquest.digest]
    chosen = [(p.unit_id, inputs.needs[p.need].capability) for p in picks]
    if [(a.unit_id, a.capability) for a in made] != chosen:
        raise Broken(f"{inquest.incident_id}: other units were assigned than chosen")
