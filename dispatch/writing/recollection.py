"""First answers to repeated keys: one look into the store for all who ask at the same time.

Two requests with one key never run side by side: the second waits for the first, then finds its answer.
The newest answers are kept in memory too, so that whoever repeats itself while the database is away hears the
same as before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dispatch.store import Store
from dispatch.writing.records import Answer

Pair = tuple[str, str]

KEPT = 10_000
"""Answers in memory, some 5 MB: what was answered in the last minutes of the country's worst hour."""


class _Turn:
    """Who holds one key now, and how many want it."""

    __slots__ = ("asked", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.asked = 0


class Recollection:
    """Asks the store for first answers, many at once, and keeps equal keys apart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: dict[Pair, _Turn] = {}
        self._kept: OrderedDict[Pair, Answer] = OrderedDict()
        self._waiting: dict[Pair, asyncio.Future[Answer | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, actor: str, key: str) -> AsyncIterator[Answer | None]:
        """The first answer to a key, or None; nobody else with the same key runs inside meanwhile."""
        pair = (actor, key)
        turn = self._turns.setdefault(pair, _Turn())
        turn.asked += 1
        try:
            async with turn.lock:
                yield self._kept.get(pair) or await self._recall(pair)
        finally:
            turn.asked -= 1
            if not turn.asked:
                del self._turns[pair]

    def keep(self, answer: Answer) -> None:
        """Remember an answer that is committed, here or by another process."""
        self._kept[answer.actor, answer.key] = answer
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _recall(self, pair: Pair) -> Answer | None:
        future = self._waiting.get(pair)
        if future is None:
            future = self._waiting[pair] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(future)

    async def _ask(self) -> None:
        """Look up all that waits; whoever comes meanwhile goes with the next look."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                found = await self._store.recall(list(waiting))
            except Exception as fault:
                for future in waiting.values():
                    future.set_exception(fault)
                continue
            for answer in found.values():
                # Who asked again may do so once more when the store cannot be asked.
                self.keep(answer)
            for pair, future in waiting.items():
                future.set_result(found.get(pair))
