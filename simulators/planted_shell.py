"""Bugs planted in the processes around the core; planted.py hunts them in worlds of the shell."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import dispatch.engine
import dispatch.units.orders
import dispatch.writing.leading
from consoles.feed import Feed
from dispatch.cells.exchange import CallOffer
from dispatch.cells.outbox import Outbox as Exchange
from dispatch.core import commands as c
from dispatch.core import decide as deciding
from dispatch.core.terms import Stage
from dispatch.draining import Drain
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.intake import Intake
from dispatch.keeping.memory import MemoryStore
from dispatch.units.orders import Outbox
from dispatch.writing.committer import Committer
from dispatch.writing.recollection import Recollection
from simulators.planting import list_of, swapped
from simulators.seeds import Level

BUGS, bug = list_of(Level.SHELL)


@bug
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


@bug
def acknowledged_before_the_commit() -> AbstractContextManager[None]:
    async def add(self: Any, entry: Any) -> None:
        self.post(entry)

    return swapped((Committer, "add", add))


@bug
def shown_and_sent_before_the_commit() -> AbstractContextManager[None]:
    post = Committer.post

    def posted(self: Any, entry: Any) -> None:
        post(self, entry)
        self._committed(entry)

    return swapped((Committer, "post", posted))


@bug
def orders_of_a_dead_process_are_not_resumed() -> AbstractContextManager[None]:
    return swapped((Outbox, "resume", lambda self, only=None: None))


@bug
def an_order_is_doubled_after_a_broken_line() -> AbstractContextManager[None]:
    return swapped((dispatch.units.orders, "UNDELIVERED", frozenset(Stage)))


@bug
def a_woken_leader_does_not_ask_whether_it_still_leads() -> AbstractContextManager[None]:
    """It sends the orders that it had in hand when it was stopped, also those that the next leader has recalled."""
    begin = Outbox.__init__

    def begun(self: Outbox, states: Any, line: Any, clock: Any, leads: Any) -> None:
        engine: Engine = leads.__self__
        begin(self, states, line, clock, lambda region: region in engine.led)

    return swapped((Outbox, "__init__", begun))


@bug
def nobody_looks_at_waiting_incidents() -> AbstractContextManager[None]:
    return swapped(
        (Engine, "look_at", lambda self, region, incidents: None),
        (Engine, "_follow", lambda self, led, entry: None),
    )


@bug
def an_incident_is_looked_at_only_when_a_fact_wakes_it() -> AbstractContextManager[None]:
    """One that waited because no position was known yet, as after a takeover, waits on when they are."""
    return swapped((Engine, "look_at", lambda self, region, incidents: None))


@bug
def nobody_turns_the_wheel_of_deadlines() -> AbstractContextManager[None]:
    return swapped((dispatch.writing.leading, "due", lambda state, now, orders=True: ()))


@bug
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


@bug
def a_resumed_console_misses_a_delta() -> AbstractContextManager[None]:
    since = Feed.since

    def gap(self: Feed, known: Any) -> list[bytes] | None:
        found = since(self, known)
        return found[1:] if found is not None and len(found) > 1 else found

    return swapped((Feed, "since", gap))


@bug
def a_console_begins_with_an_old_snapshot() -> AbstractContextManager[None]:
    advance = Feed.advance

    def kept(self: Feed, touched: Any, digest: bytes) -> bytes | None:
        before = self._snapshot
        made = advance(self, touched, digest)
        self._snapshot = before
        return made

    return swapped((Feed, "advance", kept))


@bug
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


@bug
def a_key_is_forgotten_after_a_restart() -> AbstractContextManager[None]:
    async def recall(self: Any, pair: Any) -> None:
        await asyncio.sleep(0)

    return swapped((Recollection, "_recall", recall))


@bug
def an_unknown_commit_is_taken_for_done() -> AbstractContextManager[None]:
    async def find_out(self: Any, batch: Any, entries: Any) -> dict[str, str]:
        return {}

    return swapped((Committer, "_find_out", find_out))


@bug
def an_unknown_commit_is_taken_for_failed() -> AbstractContextManager[None]:
    """What was kept is answered as a failure, and the region goes on without being read again."""

    async def find_out(self: Any, batch: Any, entries: Any) -> dict[str, str]:
        return dict.fromkeys(sorted(batch.regions()), "unknown")

    def failed(self: Any, region: Any, why: str) -> None:
        if why != "unknown":
            stop(self, region, why)

    stop = Engine._failed
    return swapped((Committer, "_find_out", find_out), (Engine, "_failed", wraps(stop)(failed)))


@bug
def who_asks_twice_in_an_outage_is_told_of_two_calls() -> AbstractContextManager[None]:
    async def take(self: Intake, contact: Any, raw: bytes, patient: bool = False) -> Any:
        return await self._taken(contact, raw, patient)

    return swapped((Intake, "take", take))


@bug
def who_asks_twice_is_told_of_two_calls_once_one_was_carried_away() -> AbstractContextManager[None]:
    return swapped((Drain, "_remember", lambda self, call, region: None))
