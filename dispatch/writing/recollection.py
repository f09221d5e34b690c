"""First answers to repeated keys: one look into the store for all who ask at the same time.

Two requests with one key never run side by side: the second waits for the first, then finds its answer.
The newest answers are kept in memory too, so that whoever repeats itself while the database is away hears the
same as before. A key that surely has no answer in the region is not looked up at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.writing.known_keys import KnownKeys
from dispatch.writing.records import Answer
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

Pair = tuple[str, str]

KEPT = 10_000
"""Answers in memory, some 5 MB: what was answered in the last minutes of the country's worst hour."""

PAGE_OF_KEYS = 20_000
"""Keys learnt at a time, 320 KB."""
LEARN_AGAIN_S = 1.0
"""Until then every key is asked for, which is only slower."""
ASKED_FOR_S = 60.0
"""So long every key of a region is asked for after one was found answered elsewhere: that threw its state away, and
whoever repeats keys across a border must not do that again and again."""


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
        self._known = KnownKeys()
        self._unlearnt: dict[str, int] = {}  # region -> which time of being led it is
        self._adopted = 0
        self._asked_until_s: dict[str, float] = {}
        self._woken = asyncio.Event()

    def adopt(self, region: str) -> None:
        """We lead the region: learn which keys were answered in it, as soon as `run` comes to it."""
        self._adopted += 1
        self._unlearnt[region] = self._adopted
        self._woken.set()

    def drop(self, region: str) -> None:
        """We lead it no more: others answer keys there."""
        self._unlearnt.pop(region, None)
        self._known.certain.discard(region)

    def mistrust(self, region: str) -> None:
        """A key that seemed new in the region had been answered in another."""
        self._asked_until_s[region] = asyncio.get_running_loop().time() + ASKED_FOR_S

    async def run(self) -> None:
        """Learn the keys of the regions that we come to lead, until cancelled."""
        sayings = Sayings()
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._unlearnt:
                wanted = dict(self._unlearnt)
                try:
                    await self._learn(frozenset(wanted))
                except ServiceAway:
                    await asyncio.sleep(LEARN_AGAIN_S)
                    continue
                except Exception as fault:
                    # The committer runs beside this: a fault that only makes keys slower must not end it.
                    if sayings.worth(fault):
                        log.exception("keys are not learnt", extra={"action": "recollect"})
                    await asyncio.sleep(LEARN_AGAIN_S)
                    continue
                for region, adopted in wanted.items():
                    # Dropped meanwhile and adopted again: somebody else may have answered in between.
                    if self._unlearnt.get(region) == adopted:
                        del self._unlearnt[region]
                        self._known.certain.add(region)

    @asynccontextmanager
    async def of(self, actor: str, key: str, region: str | None = None) -> AsyncIterator[Answer | None]:
        """The first answer to a key, or None; nobody else with the same key runs inside meanwhile.

        With a region, only an answer of that region is surely found.
        """
        pair = (actor, key)
        turn = self._turns.setdefault(pair, _Turn())
        turn.asked += 1
        try:
            async with turn.lock:
                yield self._kept.get(pair) or await self._first(pair, region)
        finally:
            turn.asked -= 1
            if not turn.asked:
                del self._turns[pair]

    def keep(self, answer: Answer) -> None:
        """Remember an answer that is committed, here or by another process."""
        self._known.add(answer.actor, answer.key, answer.at)
        self._kept[answer.actor, answer.key] = answer
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _first(self, pair: Pair, region: str | None) -> Answer | None:
        if region is None or not self._known.surely_new(region, *pair):
            return await self._recall(pair)
        asked_until_s = self._asked_until_s.get(region)
        if asked_until_s is not None and asyncio.get_running_loop().time() < asked_until_s:
            return await self._recall(pair)
        return None

    async def _learn(self, regions: frozenset[str]) -> None:
        after: Pair | None = None
        while True:
            page = await self._store.answered(regions, after, PAGE_OF_KEYS)
            self._known.learn(page.digests)
            if page.last is None:
                return
            after = page.last

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
