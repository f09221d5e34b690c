"""Group commit: what was decided waits here until it is in the journal, then its asker hears of it.

All that waits goes into one transaction while the next crowd gathers behind it. What a failed batch touched
is abandoned region by region: nobody is answered who was not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import perf_counter

import msgspec

from dispatch.core.events import CallReceived, Event
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.errors import Elsewhere
from dispatch.store import CommitUnknown, Refused, Store, StoreAway
from dispatch.writing.readmodels import rows
from dispatch.writing.records import REPEATED, Answer, Appended, Batch, DecisionInputs, Personal, Recorded, Rows
from dispatch.writing.stages import Stages
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.2
"""Pause between two tries to learn what became of a commit whose answer was lost."""

MOVED = frozenset({"unled", "stale_epoch", REPEATED})
"""Why a batch is refused though nothing is wrong with it: another process leads, or was first with a key."""

UNFIT = ("conflict", "unfenced", "unfit")
"""How the reason begins of a batch that is refused for what it holds: the same again is refused again."""

DOUBT_S = 1.0
"""After so long without that answer nobody waits behind it any more: calls are better off in the spool."""


class Entry(msgspec.Struct, kw_only=True):
    """What one command led to, on its way into the journal. Without events it only waits for those before it.

    `at` is the command's time, read once: everything that it leads to happened then. `answer` is, after the
    commit, the one that stands under its key: another process may have been first.
    """

    region: RegionId
    state: RegionState
    at: datetime
    events: list[Event] = []
    recorded: list[Recorded] = []
    decisions: list[DecisionInputs] = []
    personal: tuple[Personal, ...] = ()
    answer: Answer | None = None
    done: asyncio.Future[None] | None = None


class Committer:
    """Gathers entries and commits them in batches, in order."""

    def __init__(
        self,
        store: Store,
        committed: Callable[[Entry], None],
        failed: Callable[[RegionId, str], None],
        stages: Stages,
    ) -> None:
        self._store = store
        self._committed = committed
        self._failed = failed
        self._stages = stages
        self._pending: list[Entry] = []
        self._busy = False
        self.in_doubt = False
        self._sayings = Sayings()
        self._woken = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many entries wait for the next batch."""
        return len(self._pending)

    async def room(self, limit: int) -> None:
        """Wait until fewer than `limit` entries wait."""
        while len(self._pending) >= limit:
            self._emptied.clear()
            await self._emptied.wait()

    async def add(self, entry: Entry) -> None:
        """Return when the entry is committed. Raises StoreAway when it is not, Elsewhere when the region moved."""
        entry.done = asyncio.get_running_loop().create_future()
        self.post(entry)
        await entry.done

    async def idle(self) -> None:
        """Return when nothing waits and no batch is under way."""
        while self._pending or self._busy:
            await asyncio.sleep(0.01)

    def post(self, entry: Entry) -> None:
        """Put an entry in line; nobody waits for it."""
        self._pending.append(entry)
        self._woken.set()

    async def run(self) -> None:
        """Commit for ever; wait for `idle` before cancelling it."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._pending:
                entries, self._pending = self._pending, []
                self._busy = True
                try:
                    await self._commit(entries)
                except Exception:
                    log.exception("fault while committing", extra={"action": "commit"})
                    for region in dict.fromkeys(entry.region for entry in entries):
                        self._fail(region, "a fault in our own code", entries, refused=True)
                finally:
                    self._busy = self.in_doubt = False
                    for entry in filter(_waits, entries):  # None is left when all is well: all are told in any case.
                        _settle(entry, StoreAway(f"{entry.region}: stopped before anybody could say what was kept"))
                self._emptied.set()

    async def _commit(self, entries: Sequence[Entry]) -> None:
        batch = self._batch(entries)
        appended = Appended()
        if batch.events:
            began = perf_counter()
            appended = await self._append(batch, entries)
            self._stages.add("commit (wall)", perf_counter() - began)
        for entry in entries:
            # Another process was first with this key: nothing of ours is kept, and its answer is the answer.
            first = appended.repeated.get((entry.answer.actor, entry.answer.key)) if entry.answer else None
            if first is not None:
                entry.answer = first
                _settle(entry, None)
        for region, why in appended.refused.items():
            self._fail(RegionId(region), why, entries, moved=why in MOVED, refused=why.startswith(UNFIT))
        began = perf_counter()
        for entry in entries:
            if entry.region not in appended.refused:
                self._committed(entry)
                _settle(entry, None)
        self._stages.add("publish", perf_counter() - began)

    async def _append(self, batch: Batch, entries: Sequence[Entry]) -> Appended:
        """What was kept; `refused` says of which regions nothing was, and why."""
        try:
            return await self._store.append(batch)
        except CommitUnknown:
            return Appended(refused=await self._find_out(batch, entries))
        except StoreAway as away:
            return Appended(refused=dict.fromkeys(sorted(batch.regions()), str(away) or "the database is away"))

    async def _find_out(self, batch: Batch, entries: Sequence[Entry]) -> dict[str, str]:
        """The answer to COMMIT was lost: read each journal back before anybody is answered."""
        last = {event.region: event for event in batch.events}
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        unkept: dict[str, str] = {}
        for region, event in last.items():
            while (kept := await self._is_kept(event)) is None:
                if loop.time() - since_s > DOUBT_S:
                    self._let_go(entries)
                await asyncio.sleep(ASK_AGAIN_S)
            if not kept:
                unkept[region] = "the commit did not happen"
        return unkept

    async def _is_kept(self, event: Recorded) -> bool | None:
        """Whether the journal has this very event; None while nobody can say, for whatever reason: a database that
        refuses us has not said no.
        """
        try:
            seq, digest = await self._store.head(event.region)
            # Another leader may have gone on since, perhaps from our event.
            there = await self._store.events(event.region, event.seq - 1, 1) if seq > event.seq else ()
        except Exception as fault:
            if not isinstance(fault, StoreAway) and self._sayings.worth(fault):
                log.exception("a commit stays in doubt", extra={"region": event.region, "action": "commit"})
            return None
        return seq >= event.seq and event.hash == (there[0].hash if there else digest)

    def _let_go(self, in_doubt: Sequence[Entry]) -> None:
        """What waits behind a commit in doubt was not sent, so it is surely not kept: say so.

        Of what is in doubt, calls are let go as well: they are spooled under the same name, and told again they are
        found. Anybody else is told the truth when it is known.
        """
        self.in_doubt = True
        for entry in in_doubt:
            if any(isinstance(event, CallReceived) for event in entry.events):
                _settle(entry, StoreAway(f"{entry.region}: nobody can say yet what was kept"))
        for region in dict.fromkeys(entry.region for entry in self._pending):
            self._fail(region, "the database is away", ())
        self._emptied.set()

    def _batch(self, entries: Iterable[Entry]) -> Batch:
        """Everything that waits, as one transaction. Each touched row is written once, as it is now."""
        batch = Batch(events=[], rows=Rows(calls=[], incidents=[], units=[], assignments=[], orders=[]))
        batch = msgspec.structs.replace(batch, answers=[], personal=[], decisions=[])
        states: dict[RegionId, RegionState] = {}
        with self._stages.timed("rows"):
            for entry in entries:
                states[entry.region] = entry.state
                batch.events.extend(entry.recorded)
                batch.decisions.extend(entry.decisions)
                batch.personal.extend(entry.personal)
                if entry.answer is not None:
                    batch.answers.append(entry.answer)
            for state in states.values():
                _extend(batch.rows, rows(state, state.taken()))
        return batch

    def abandon(self, region: RegionId, why: str, *, moved: bool = False) -> None:
        """The region's state is not to be trusted: nothing of it that waits is committed."""
        self._fail(region, why, (), moved=moved)

    def _fail(
        self, region: RegionId, why: str, entries: Iterable[Entry], *, moved: bool = False, refused: bool = False
    ) -> None:
        """What waits behind a failed batch stands on it, so it falls with it.

        When the region has `moved` there is nothing wrong with what was asked: its next leader may do it. A batch that
        was `refused` would be again, but there is nothing wrong with what only waits behind it.
        """
        behind = [entry for entry in self._pending if entry.region == region]
        self._pending = [entry for entry in self._pending if entry.region != region]
        text = f"{region}: {why}; nothing of the request was kept"
        for entry in (entry for entry in entries if entry.region == region):
            _settle(entry, Elsewhere(region) if moved else Refused(text) if refused else StoreAway(text))
        for entry in behind:
            _settle(entry, Elsewhere(region) if moved else StoreAway(text))
        self._failed(region, why)


def _waits(entry: Entry) -> bool:
    """Whether somebody still waits to hear what became of it."""
    return entry.done is not None and not entry.done.done()


def _settle(entry: Entry, fault: Exception | None) -> None:
    if not _waits(entry):
        return
    assert entry.done is not None
    if fault is None:
        entry.done.set_result(None)
    else:
        entry.done.set_exception(fault)


def _extend(all_rows: Rows, more: Rows) -> None:
    all_rows.calls.extend(more.calls)
    all_rows.incidents.extend(more.incidents)
    all_rows.units.extend(more.units)
    all_rows.assignments.extend(more.assignments)
    all_rows.orders.extend(more.orders)
