"""Bugs that are planted to be found: each a small wrong version of one function, and what it would do to people.

A simulation that finds nothing proves nothing until it finds these. Each hunt plants one bug in a process of
its own, runs seeds until a law is broken, and runs the same seed again without the bug, which must stay whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

import dispatch.core.state
import dispatch.engine
import dispatch.units.orders
from consoles.board import Board
from consoles.feed import Feed
from dispatch.cells.exchange import CallOffer
from dispatch.cells.outbox import Outbox as Exchange
from dispatch.core import assigning, recommend, snapshot
from dispatch.core import commands as c
from dispatch.core import decide as deciding
from dispatch.core import events as e
from dispatch.core.steps import STEPS
from dispatch.core.terms import Stage
from dispatch.core.verdict import NOTHING
from dispatch.draining import Drain
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.intake import Intake
from dispatch.keeping.memory import MemoryStore
from dispatch.units.orders import Outbox
from dispatch.writing.committer import Committer
from dispatch.writing.recollection import Recollection
from simulators.seeds import Level, pool, run_world

BUDGET = 500
"""So many seeds at most are tried for one bug."""

Planting = Callable[[], AbstractContextManager[None]]


class Bug(NamedTuple):
    """One planted bug, and the level of worlds that is to find it."""

    name: str
    level: Level
    plant: Planting


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """How a bug was found: by which seed, and what it broke. `clean`: the same seed is whole without it."""

    name: str
    level: Level
    worlds: int
    seed: int | None = None
    broken: str = ""
    clean: bool = False

    @property
    def found(self) -> bool:
        return self.seed is not None and self.clean

    def told(self) -> str:
        """One line of the table."""
        if self.seed is None:
            return f"{self.name:<44} {self.level:<6} MISSED in {self.worlds} seeds"
        also = "" if self.clean else "BUT THE CLEAN CODE FAILS TOO: "
        return f"{self.name:<44} {self.level:<6} seed {self.seed:>3}  {also}{self.broken[:150]}"


BUGS: dict[str, Bug] = {}


def hunts(workers: int, budget: int, names: Sequence[str] = ()) -> Iterator[Hunt]:
    """Hunt every bug, side by side, told in their order."""
    with pool(workers) as workforce:
        yield from workforce.map(hunt, names or BUGS, [budget] * len(names or BUGS))


def hunt(name: str, budget: int) -> Hunt:
    """Plant one bug and run worlds until one breaks."""
    bug = BUGS[name]
    for seed in range(budget):
        with bug.plant():
            outcome = run_world(bug.level, seed)
        if outcome.broken:
            clean = not run_world(bug.level, seed).broken
            return Hunt(name=name, level=bug.level, worlds=seed + 1, seed=seed, broken=outcome.broken, clean=clean)
    return Hunt(name=name, level=bug.level, worlds=budget)


def bug(level: Level) -> Callable[[Planting], Planting]:
    """Register what plants a bug; its name is the function's, in words."""

    def register(plant: Planting) -> Planting:
        name = plant.__name__.replace("_", " ")
        BUGS[name] = Bug(name, level, plant)
        return plant

    return register


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


# The core


@bug(Level.CORE)
def an_unanswered_order_is_never_sent_again() -> AbstractContextManager[None]:
    return swapped((deciding.DECIDERS, c.SendOrder, lambda state, command, now: NOTHING))


@bug(Level.CORE)
def the_deadlines_are_lost_with_a_restart() -> AbstractContextManager[None]:
    whole = snapshot.restore

    def restore(data: bytes) -> Any:
        state = whole(data)
        state.due.clear()
        return state

    return swapped((snapshot, "restore", restore))


@bug(Level.CORE)
def a_restart_forgets_which_calls_joined_what() -> AbstractContextManager[None]:
    whole = snapshot.restore

    def restore(data: bytes) -> Any:
        state = whole(data)
        state.calls_of.clear()
        return state

    return swapped((snapshot, "restore", restore))


@bug(Level.CORE)
def one_kind_of_event_leaves_its_index_behind() -> AbstractContextManager[None]:
    step = STEPS[e.CallReleased]

    def released(state: Any, event: Any, at: Any) -> None:
        waiting = list(state.waiting_calls)
        step(state, event, at)
        for key in waiting:
            state.waiting_calls.add(key)

    return swapped((STEPS, e.CallReleased, released))


@bug(Level.CORE)
def a_unit_out_of_contact_is_recommended() -> AbstractContextManager[None]:
    suits, sendable = recommend._suits, dispatch.core.state.can_be_sent

    def heard(unit: Any) -> Any:
        return None if unit is None else replace(unit, linked=True)

    return swapped(
        (recommend, "_suits", lambda unit, needs: suits(heard(unit), needs)),
        (dispatch.core.state, "can_be_sent", lambda unit: sendable(heard(unit))),
    )


@bug(Level.CORE)
def a_merge_leaves_a_call_behind() -> AbstractContextManager[None]:
    step = STEPS[e.IncidentMerged]

    def merged(state: Any, event: Any, at: Any) -> None:
        joined = sorted(state.calls_of.get(event.incident_id, ()))
        left = state.calls[joined[-1]] if joined else None
        step(state, event, at)
        if left is not None:
            state.put_call(left)

    return swapped((STEPS, e.IncidentMerged, merged))


@bug(Level.CORE)
def a_hand_over_is_taken_twice() -> AbstractContextManager[None]:
    take = deciding.DECIDERS[c.TakeCall]

    def taken(state: Any, command: Any, now: Any) -> Any:
        return take(state, replace(command, offer_id=f"{command.offer_id}/{state.seq}"), now)

    return swapped((deciding.DECIDERS, c.TakeCall, taken))


@bug(Level.CORE)
def evidence_for_a_call_on_its_way_is_dropped() -> AbstractContextManager[None]:
    locate = deciding.DECIDERS[c.LocateCall]

    def located(state: Any, command: Any, now: Any) -> Any:
        return NOTHING if command.call_id in state.offers else locate(state, command, now)

    return swapped((deciding.DECIDERS, c.LocateCall, located))


@bug(Level.CORE)
def a_unit_that_is_busy_is_assigned_again() -> AbstractContextManager[None]:
    suits = recommend._suits
    return swapped(
        (recommend, "_suits", lambda unit, needs: suits(unit and replace(unit, assignment_id=None), needs)),
        (dispatch.core.state, "can_be_sent", lambda unit: unit.on_shift and unit.linked),
    )


@bug(Level.CORE)
def a_person_sends_into_a_danger_that_nobody_has_read_of() -> AbstractContextManager[None]:
    return swapped((assigning, "_unread", lambda state, incident: None))


@bug(Level.CORE)
def a_delta_shows_a_body_what_only_dispatchers_see() -> AbstractContextManager[None]:
    whole = Board.changes

    def changes(self: Board, state: Any, touched: Any) -> Any:
        own = self._body
        self._body = None if touched is not None else own
        try:
            return whole(self, state, touched)
        finally:
            self._body = own

    return swapped((Board, "changes", changes))


# The shell


@bug(Level.SHELL)
def a_choice_waits_before_it_acts() -> AbstractContextManager[None]:
    """A dispatcher's units are looked at, something is awaited, and they are sent as they were then."""
    accept = Engine._accept
    looked: dict[int, Any] = {}

    async def waits(self: Any, region: Any, command: Any, *more: Any) -> Any:
        led = self.led.get(region)
        if isinstance(command, c.AssignUnits) and led is not None:
            looked[id(command)] = deciding.decide(led.state, command, self.clock.now())
            await asyncio.sleep(0.5)
        return await accept(self, region, command, *more)

    return swapped(
        (Engine, "_accept", waits),
        (
            dispatch.engine,
            "decide",
            lambda s, command, now: looked.pop(id(command), None) or deciding.decide(s, command, now),
        ),
    )


@bug(Level.SHELL)
def acknowledged_before_the_commit() -> AbstractContextManager[None]:
    async def add(self: Any, entry: Any) -> None:
        self.post(entry)

    return swapped((Committer, "add", add))


@bug(Level.SHELL)
def shown_and_sent_before_the_commit() -> AbstractContextManager[None]:
    post = Committer.post

    def posted(self: Any, entry: Any) -> None:
        post(self, entry)
        self._committed(entry)

    return swapped((Committer, "post", posted))


@bug(Level.SHELL)
def orders_of_a_dead_process_are_not_resumed() -> AbstractContextManager[None]:
    return swapped((Outbox, "resume", lambda self, only=None: None))


@bug(Level.SHELL)
def an_order_is_doubled_after_a_broken_line() -> AbstractContextManager[None]:
    return swapped((dispatch.units.orders, "UNDELIVERED", frozenset(Stage)))


@bug(Level.SHELL)
def a_leader_of_the_past_may_write() -> AbstractContextManager[None]:
    fence = MemoryStore._fence

    def fenced(self: Any, first: Any) -> str:
        found = fence(self, first)
        ours = self._regions.get(first.region)
        return "" if found == "stale_epoch" and ours.head[0] == first.seq - 1 else found

    # Its lease's end stops it as well, before the store would: the bug is that nothing does.
    def leads(self: Engine, region: str) -> bool:
        return region in self.led

    return swapped((MemoryStore, "_fence", fenced), (Engine, "leads", leads))


@bug(Level.SHELL)
def a_resumed_console_misses_a_delta() -> AbstractContextManager[None]:
    since = Feed.since

    def gap(self: Feed, known: Any) -> list[bytes] | None:
        found = since(self, known)
        return found[1:] if found is not None and len(found) > 1 else found

    return swapped((Feed, "since", gap))


@bug(Level.SHELL)
def a_console_begins_with_an_old_snapshot() -> AbstractContextManager[None]:
    advance = Feed.advance

    def kept(self: Feed, touched: Any, digest: bytes) -> bytes | None:
        before = self._snapshot
        made = advance(self, touched, digest)
        self._snapshot = before
        return made

    return swapped((Feed, "advance", kept))


@bug(Level.SHELL)
def a_hand_over_is_released_before_it_is_accepted() -> AbstractContextManager[None]:
    whole = Exchange._settled

    async def settled(self: Any, message: Any) -> Any:
        if not isinstance(message, CallOffer):
            return await whole(self, message)
        named: dict[str, Any] = {"actor": "system", "offer_id": message.offer_id}
        try:
            await self._engine.submit(message.origin, c.ReleaseCall(call_id=message.call.call_id, **named))
            await asyncio.sleep(1.0)
            await self._engine.submit(message.to, c.TakeCall(call=message.call, origin=message.origin, **named))
        except ServiceAway:
            return False
        return True

    return swapped((Exchange, "_settled", settled))


@bug(Level.SHELL)
def a_key_is_forgotten_after_a_restart() -> AbstractContextManager[None]:
    async def recall(self: Any, pair: Any) -> None:
        await asyncio.sleep(0)

    return swapped((Recollection, "_recall", recall))


@bug(Level.SHELL)
def an_unknown_commit_is_taken_for_done() -> AbstractContextManager[None]:
    async def find_out(self: Any, batch: Any) -> dict[str, str]:
        return {}

    return swapped((Committer, "_find_out", find_out))


@bug(Level.SHELL)
def an_unknown_commit_is_taken_for_failed() -> AbstractContextManager[None]:
    """What was kept is answered as a failure, and the region goes on without being read again."""

    async def find_out(self: Any, batch: Any) -> dict[str, str]:
        return dict.fromkeys(sorted(batch.regions()), "unknown")

    def failed(self: Any, region: Any, why: str) -> None:
        if why != "unknown":
            stop(self, region, why)

    stop = Engine._failed
    return swapped((Committer, "_find_out", find_out), (Engine, "_failed", wraps(stop)(failed)))


@bug(Level.SHELL)
def who_asks_twice_in_an_outage_is_told_of_two_calls() -> AbstractContextManager[None]:
    async def take(self: Intake, contact: Any, raw: bytes, patient: bool = False) -> Any:
        return await self._taken(contact, raw, patient)

    return swapped((Intake, "take", take))


@bug(Level.SHELL)
def who_asks_twice_is_told_of_two_calls_once_one_was_carried_away() -> AbstractContextManager[None]:
    return swapped((Drain, "_remember", lambda self, call, region: None))
