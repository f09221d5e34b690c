"""Calls that came while the database was away: kept in a local file until they can be committed.

One file of JSON lines, forced to the disk before anybody is answered, and one that says which of them have been
committed since: so many, and single ones behind a call whose region cannot be written yet. Both are gone when nothing
waits. A crash between a commit and its mark repeats a call with its own idempotency key: nothing is lost and nothing
is doubled. The lines hold what callers said, so the directory is the owner's alone. One process writes it: whoever
holds the data directory's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from dispatch.actors import Actor
from dispatch.core.terms import CallId
from dispatch.errors import ServiceAway
from dispatch.keeping.spool_files import Files

log = logging.getLogger(__name__)

ENTRIES_MAX = 100_000
"""Three hours of the country's worst one: beyond it callers are told to try elsewhere."""
BYTES_MAX = 256 * 1024 * 1024
"""Of the file, which shrinks only when it is empty; also what the waiting calls take in memory."""

Pair = tuple[str, str]


class Spooled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call as it came in, and the answer that its sender was given, with the region that it names.

    `caller` '': nobody's in particular. `region` '': spooled by a program that did not note it.
    """

    call_id: CallId
    at: datetime
    actor: Actor
    raw: bytes
    answer: bytes
    key: str | None = None
    body_hash: bytes = b""
    caller: str = ""
    region: str = ""


class Spool:
    """The calls that wait, each region's in order. `folder` is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._files = Files(folder)
        self._waiting: OrderedDict[CallId, Spooled] = OrderedDict()
        self._by_key: dict[Pair, Spooled] = {}
        self._by_region: dict[str, dict[CallId, Spooled]] = {}
        self._callers: Counter[str] = Counter()
        self._lines: dict[CallId, int] = {}  # in which line of the file a call stands, from 0
        self._ahead: set[int] = set()  # lines that are committed, though one before them is not
        self._written = 0
        self._spoilt: list[bytes] = []  # lines that are no call, and that there was no room to set aside
        self._turn = asyncio.Lock()
        self._unwritten: list[tuple[Spooled, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes_kept(self) -> int:
        """How large the file is."""
        return self._files.size

    def load(self) -> int:
        """Read what an earlier process left; returns how many wait. A torn last line was never answered."""
        lines, done, self._ahead = self._files.read()
        self._written = len(lines)
        for number, line in enumerate(lines):
            try:
                call = msgspec.json.decode(line, type=Spooled)
            except (msgspec.DecodeError, UnicodeDecodeError):
                # A damaged disk, not a crash: a person must look, and the calls behind it must not wait. It may
                # stand before the mark as well, when an earlier process found no room for it either.
                self._spoilt.append(line)
                continue
            if number >= done and number not in self._ahead:
                self._remember(call, number)
        self._set_aside()
        if self._spoilt:
            log.error("%d lines of the spool are no calls: left there", len(self._spoilt), extra={"action": "spool"})
        if lines and not self._waiting:
            self._emptied()
        return len(self._waiting)

    @property
    def spoilt(self) -> int:
        """How many lines that are no calls stand among them still: there was no room to set them aside."""
        return len(self._spoilt)

    def tidy(self) -> None:
        """Set aside a line for which there was no room, unless the files are being written at this moment. One at
        a time: who asks each second is not to be held up by a disk."""
        if not self._spoilt or self._turn.locked():
            return
        self._set_aside(1)
        if not self._spoilt and not self._waiting:
            self._emptied()

    def reserve(self) -> bool:
        """Hold RESERVE_BYTES of the disk for the spool; False where there is no room for that."""
        return self._files.reserve()

    def repeated(self, actor: str, key: str) -> Spooled | None:
        """The waiting call that came with this key of this actor, if any."""
        return self._by_key.get((actor, key))

    def waiting(self, call_id: CallId) -> Spooled | None:
        """The call with this id, while it waits."""
        return self._waiting.get(call_id)

    def holds(self, caller: str) -> bool:
        """Whether a call of this caller waits: the next one must not overtake it."""
        return bool(caller) and self._callers[caller] > 0

    def first(self) -> Spooled | None:
        """The call that has waited longest."""
        return next(iter(self._waiting.values()), None)

    def regions(self) -> list[str]:
        """For which calls wait."""
        return list(self._by_region)

    def oldest(self, region: str, most: int, but: Collection[CallId] = ()) -> list[Spooled]:
        """Those of a region that have waited longest, in order, but for some."""
        waiting = self._by_region.get(region, {}).values()
        return list(islice((call for call in waiting if call.call_id not in but), most))

    async def written(self) -> None:
        """Return when nothing is being written, also for those who gave up waiting."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])

    async def add(self, call: Spooled) -> None:
        """Return when the call is on the disk. Raises ServiceAway when it cannot be: no room, no disk."""
        if len(self._waiting) + len(self._unwritten) >= ENTRIES_MAX or self._files.size >= BYTES_MAX:
            raise ServiceAway("the spool is full")
        kept = asyncio.get_running_loop().create_future()
        self._unwritten.append((call, kept))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await kept

    async def committed(self, calls: Sequence[Spooled]) -> None:
        """These are in the journal; with the last call the files go. Whoever gives up waiting stops none of it: the
        files are nobody else's before it is done.
        """
        await asyncio.shield(asyncio.create_task(self._committed(calls)))

    async def _committed(self, calls: Sequence[Spooled]) -> None:
        async with self._turn:
            for call in calls:
                if call.call_id in self._waiting:
                    self._ahead.add(self._lines[call.call_id])
                    self._forget(call)
            behind = self.first()
            if behind is None:
                await asyncio.to_thread(self._emptied)
                return
            # By its line and not by a count: one that was set aside may stand between the two, or far behind.
            mark = self._lines[behind.call_id]
            self._ahead = {line for line in self._ahead if line > mark}
            await asyncio.to_thread(self._files.mark, mark, frozenset(self._ahead))

    def _set_aside(self, most: int | None = None) -> None:
        """Put lines that are no calls into files of their own, until one finds no room: it stays where it is."""
        done = 0
        for line in self._spoilt[:most]:
            try:
                self._files.set_aside(line)
            except OSError:
                break
            log.error("a line of the spool is no call: set aside", extra={"action": "spool"})
            done += 1
        del self._spoilt[:done]

    def _emptied(self) -> None:
        """No call waits: the files go, unless a line that is no call has no other place yet, or the disk lets none go.
        Lines that stay are marked, and those behind them are counted from them.
        """
        self._set_aside()
        self._ahead = set()
        if not self._spoilt:
            try:
                self._files.remove()
            except OSError as fault:
                log.error("the spool's files are not removed: %s", fault.strerror, extra={"action": "spool"})
        if self._files.size:
            self._files.mark(self._written)
        else:
            self._written = 0

    async def _write(self) -> None:
        """All that waits to be written, in one go, while the next crowd gathers. A task of its own: whoever
        gives up waiting takes nobody else's call with it."""
        while self._unwritten:
            async with self._turn:
                batch, self._unwritten = self._unwritten, []
                calls = [call for call, _ in batch]
                fault: ServiceAway | None = None
                try:
                    await asyncio.to_thread(self._stand, calls)
                except Exception as why:
                    # Whatever it was: nobody may be left waiting, nor be told that a call is kept.
                    log.error("calls not spooled", exc_info=not isinstance(why, OSError), extra={"action": "spool"})
                    fault = ServiceAway(f"the spool cannot be written: {getattr(why, 'strerror', why)}")
                else:
                    for call in calls:
                        self._remember(call, self._written)
                        self._written += 1
            for _, kept in batch:
                if not kept.done():
                    kept.set_exception(fault) if fault is not None else kept.set_result(None)

    def _stand(self, calls: Sequence[Spooled]) -> None:
        """Put calls behind what stands in the file. Of what it has lost nothing may be missing at the next start: it is
        written anew with all that waits. Raises OSError.
        """
        lines = [msgspec.json.encode(call) for call in calls]
        if not self._files.has_lost_lines():
            self._files.append(lines)
            return
        log.error("the spool's file has lost lines: what waits is written anew", extra={"action": "spool"})
        waiting = list(self._waiting.values())
        self._files.write_anew([*self._spoilt, *map(msgspec.json.encode, waiting), *lines])
        self._lines = {call.call_id: line for line, call in enumerate(waiting, len(self._spoilt))}
        self._written, self._ahead = len(self._spoilt) + len(waiting), set()

    def _remember(self, call: Spooled, line: int) -> None:
        self._waiting[call.call_id] = call
        self._lines[call.call_id] = line
        self._callers[call.caller] += 1
        self._by_region.setdefault(call.region, {})[call.call_id] = call
        if call.key is not None:
            self._by_key[call.actor.actor_id, call.key] = call

    def _forget(self, call: Spooled) -> None:
        del self._waiting[call.call_id], self._lines[call.call_id], self._by_region[call.region][call.call_id]
        if not self._by_region[call.region]:
            del self._by_region[call.region]
        self._by_key.pop((call.actor.actor_id, call.key or ""), None)
        self._callers[call.caller] -= 1
        if not self._callers[call.caller]:
            del self._callers[call.caller]
