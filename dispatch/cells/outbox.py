"""Carries what our regions have to say to others, within this process or over a line to another cell.

Nothing waits here: what is to be said is read off the committed states again and again, so a crash loses nothing.
Each step is committed before the next one, and a step that failed is tried again after a pause that grows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from dispatch.cells.exchange import (
    DOCUMENTS_MAX,
    Answer,
    CallEvidence,
    CallOffer,
    Document,
    Message,
    chores,
    concluded,
    messages,
    notes_of,
)
from dispatch.cells.inbox import Inbox
from dispatch.cells.line import AT_ONCE, Line
from dispatch.core.aid_events import AidAsked, AidTaken, AidWithdrawn
from dispatch.core.commands import MarkSent
from dispatch.core.events import CallDeparted, CallOffered, CallRegained, CallReleased, Event, OfferRecalled
from dispatch.core.onward_events import EvidenceKept
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.writing.records import Recorded
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""Without a commit to wake it: how late a lent unit's step is told, and how soon a line that is back is used."""
UNDER_WAY_MAX = 64
"""Messages under way within this cell. Others count for their lines: a neighbour that is stuck holds up nobody else."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
LED_ON, LED_NOWHERE = 200, 204

_WAKES = (
    *(CallOffered, OfferRecalled, CallReleased, CallDeparted, CallRegained, EvidenceKept),
    *(AidAsked, AidWithdrawn, AidTaken),
)
"""What is worth a look at once: looking at every commit would cost a region with much waiting too much."""

Key = tuple[str, str]


class Pause(msgspec.Struct):
    """A message that could not be settled: when it is tried again, and how long the pause was."""

    until_s: float
    length_s: float


class Siblings(Protocol):
    """The processes that lead the other regions of this cell. They share our database, so nothing is sealed anew."""

    def leads(self, region: RegionId) -> bool:
        """Whether one of them leads the region now."""

    async def say(self, message: Message) -> Answer:
        """The answer of the region's leader. Raises ServiceAway."""


class Outbox:
    """`run` beside the service. `lines`: region -> the line to the cell that leads it."""

    def __init__(self, engine: Engine, store: Store, inbox: Inbox, lines: Mapping[RegionId, Line]) -> None:
        self._engine = engine
        self._store = store
        self._inbox = inbox
        self.lines = lines
        self.siblings: Siblings | None = None
        """The other processes of this cell, where there are any."""
        self._woken = asyncio.Event()
        self._under_way: set[Key] = set()
        self._loads: Counter[Line | None] = Counter()
        """How many of them are for each line, from their first step on; under None those within this cell."""
        self._pauses: dict[RegionId, dict[Key, Pause]] = {}
        self._tasks: set[asyncio.Task[bool]] = set()
        self._sayings: defaultdict[RegionId, Sayings] = defaultdict(Sayings)
        self.faults = 0
        """Our own bugs in looking and carrying, caught."""
        engine.on_commit.append(self._committed)

    def _committed(self, region: RegionId, _: Sequence[Recorded], events: Sequence[Event]) -> None:
        if any(isinstance(event, _WAKES) for event in events):
            self._woken.set()

    async def run(self) -> None:
        """Look and carry until cancelled."""
        try:
            while True:
                self._woken.clear()
                for region in list(self._engine.led):
                    self._look_apart(region)
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look_apart(self, region: RegionId) -> None:
        """Look at a region so that a fault of our own in it holds up none of the others."""
        try:
            self._look(region)
        except Exception as fault:
            self.faults += 1
            if self._sayings[region].worth(fault):
                log.exception("what a region has to say is not all said", extra={"region": region, "action": "cells"})

    def _look(self, region: RegionId) -> None:
        """Set going what can be said now."""
        state = self._engine.replicas.states[region]
        if not (state.offers or state.asks or state.loans or state.onward):
            return
        for command in chores(state, SYSTEM):
            self._engine.post(region, command)
        waiting: set[Key] = set()
        for message in messages(state):
            key = (type(message).__name__, message.id)
            waiting.add(key)
            line = self._line_to(message.to)
            if self._may_go(message, key, line):
                self._set_going(message, key, line)
        pauses = self._pauses.get(region, {})
        self._pauses[region] = {key: pause for key, pause in pauses.items() if key in waiting}

    def _line_to(self, region: RegionId) -> Line | None:
        """The line to the cell that leads the region; None for a region of this cell."""
        return None if region in self._engine.led else self.lines.get(region)

    def _may_go(self, message: Message, key: Key, line: Line | None) -> bool:
        pause = self._pauses.get(message.origin, {}).get(key)
        if key in self._under_way or self._loads[line] >= (UNDER_WAY_MAX if line is None else AT_ONCE):
            return False
        if pause is not None and asyncio.get_running_loop().time() < pause.until_s:
            return False
        if line is not None:
            return line.open
        return message.to in self._engine.led or (self.siblings is not None and self.siblings.leads(message.to))

    def _set_going(self, message: Message, key: Key, line: Line | None) -> None:
        self._under_way.add(key)
        self._loads[line] += 1
        task = asyncio.get_running_loop().create_task(self._carry(message, key))
        self._tasks.add(task)
        task.add_done_callback(partial(self._came_back, key, line))

    def _came_back(self, key: Key, line: Line | None, task: asyncio.Task[bool]) -> None:
        """Not at the end of `_carry`: a task that is cancelled before its first step never comes to that."""
        self._tasks.discard(task)
        self._under_way.discard(key)
        self._loads[line] -= 1
        if not task.cancelled() and task.result():
            self._woken.set()

    async def _carry(self, message: Message, key: Key) -> bool:
        """One message as far as it goes now, and whether it is settled; what stops it is tried again later."""
        settled = False
        try:
            settled = await self._settled(message)
        except ServiceAway as away:
            log.info("a message waits: %s", away, extra={"region": message.origin, "action": key[0]})
        except Exception:
            self.faults += 1
            log.exception("fault while carrying a message", extra={"region": message.origin, "action": key[0]})
        pauses = self._pauses.setdefault(message.origin, {})
        before = pauses.pop(key, None)
        if not settled:
            length_s = min(LONGEST_PAUSE_S, before.length_s * 2 if before is not None else FIRST_PAUSE_S)
            pauses[key] = Pause(asyncio.get_running_loop().time() + length_s, length_s)
        return settled

    async def _settled(self, message: Message) -> bool:
        """Whether the message was answered and what that led to is committed. Raises ServiceAway."""
        line = self._line_to(message.to)
        if isinstance(message, CallOffer):
            ready = await self._ready(message, line)
            if ready is None:
                return False
            message = ready
        if isinstance(message, CallEvidence) and line is not None and message.fix.note_id is not None:
            documents = await self._documents([message.fix.note_id])
            message = msgspec.structs.replace(message, documents=documents)
        said = await self._said(message, line)
        follows = concluded(message, said, SYSTEM, abroad=line is not None)
        if follows is None:
            return False
        # A word that led to nothing may still stand to be said: without a pause that would go on and on.
        return (await self._engine.submit(message.origin, follows, answer=_led_on)).status == LED_ON

    async def _said(self, message: Message, line: Line | None) -> Answer:
        """The answer of whoever writes the region: another cell, we ourselves, or another process of our cell."""
        if line is not None:
            return await line.say(message)
        if message.to in self._engine.led or self.siblings is None:
            return await self._inbox.receive(message)
        return await self.siblings.say(message)

    async def _ready(self, message: CallOffer, line: Line | None) -> CallOffer | None:
        """The offer as it may leave now, marked as sent; None when it has been taken back, or nobody listens."""
        if line is not None and not await line.reachable():
            return None
        mark = MarkSent(actor=SYSTEM, call_id=message.call.call_id, offer_id=message.offer_id)
        await self._engine.submit(message.origin, mark)
        state = self._engine.replicas.states[message.origin]
        offer = state.offers.get(message.call.call_id)
        if offer is None or offer.offer_id != message.offer_id or not offer.sent or offer.recalled:
            return None
        call = state.calls[message.call.call_id]
        ids = [call.call_id, *notes_of(call)]
        documents = () if line is None else await self._documents(ids)
        return msgspec.structs.replace(message, call=call, documents=documents)

    async def _documents(self, ids: list[str]) -> tuple[Document, ...]:
        """What is personal about a call: it must not be lost on the way, nor stand in any journal."""
        found = await self._store.personal(ids)
        return tuple(
            Document(id=one.id, kind=one.kind, text=one.document.decode())
            for one in list(found.values())[:DOCUMENTS_MAX]
        )


def _led_on(_: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
    """Whether what follows from an answer changed anything."""
    return (LED_ON if events else LED_NOWHERE), b"{}"
