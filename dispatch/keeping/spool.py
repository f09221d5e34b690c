"""Calls that came while the database was away: kept in a local file until they can be committed.

One file of JSON lines, forced to the disk before anybody is answered, and one that says how many of them
have been committed since. Both are gone when nothing waits. A crash between a commit and its mark repeats a
call with its own idempotency key: nothing is lost and nothing is doubled. The lines hold what callers said,
so the directory is the owner's alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from dispatch.actors import Actor
from dispatch.core.terms import CallId
from dispatch.errors import ServiceAway

log = logging.getLogger(__name__)

ENTRIES_MAX = 100_000
"""Three hours of the country's worst one: beyond it callers are told to try elsewhere."""

Pair = tuple[str, str]


class Spooled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call as it came in, and the answer that its sender was given."""

    call_id: CallId
    at: datetime
    actor: Actor
    raw: bytes
    answer: bytes
    key: str | None = None
    body_hash: bytes = b""


class Spool:
    """The calls that wait, in order. `folder` is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._lines = folder / "calls.jsonl"
        self._mark = folder / "committed"
        self._waiting: OrderedDict[CallId, Spooled] = OrderedDict()
        self._by_key: dict[Pair, Spooled] = {}
        self._written = 0
        self._committed = 0
        self._writing = asyncio.Lock()
        self._unwritten: list[Spooled] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self) -> int:
        """Read what an earlier process left; returns how many wait. A torn last line was never answered."""
        if not self._lines.is_file():
            self._mark.unlink(missing_ok=True)
            return 0
        lines = self._lines.read_bytes().split(b"\n")
        whole, torn = lines[:-1], lines[-1]
        if torn:
            log.warning("the spool's last line is torn: it was never answered", extra={"action": "spool"})
            os.truncate(self._lines, self._lines.stat().st_size - len(torn))
        done = int(self._mark.read_text()) if self._mark.is_file() else 0
        self._written, self._committed = len(whole), done
        for line in whole[done:]:
            self._remember(msgspec.json.decode(line, type=Spooled))
        return len(self._waiting)

    def repeated(self, actor: Actor, key: str | None) -> Spooled | None:
        """The waiting call that came with this key of this actor, if any."""
        return self._by_key.get((actor.actor_id, key)) if key is not None else None

    def first(self) -> Spooled | None:
        """The call that has waited longest."""
        return next(iter(self._waiting.values()), None)

    def oldest(self, most: int) -> list[Spooled]:
        """The calls that have waited longest, in order."""
        return list(islice(self._waiting.values(), most))

    async def add(self, call: Spooled) -> None:
        """Return when the call is on the disk. Raises ServiceAway when it cannot be: no room, no disk."""
        if len(self._waiting) >= ENTRIES_MAX:
            raise ServiceAway("the spool is full")
        self._unwritten.append(call)
        async with self._writing:
            # Whoever held the lock before may have written this one along with its own.
            if call.call_id in self._waiting:
                return
            batch, self._unwritten = self._unwritten, []
            try:
                await asyncio.to_thread(_append, self._lines, self._mark, batch)
            except OSError as fault:
                raise ServiceAway(f"the spool cannot be written: {fault.strerror}") from fault
            self._written += len(batch)
            for kept in batch:
                self._remember(kept)

    async def committed(self, call: Spooled) -> None:
        """The oldest call is in the journal; with the last one the files go."""
        assert call is self.first(), "calls are committed in the order they came"
        async with self._writing:
            del self._waiting[call.call_id]
            self._by_key.pop((call.actor.actor_id, call.key or ""), None)
            self._committed += 1
            if self._committed == self._written:
                self._written = self._committed = 0
                await asyncio.to_thread(_remove, self._lines, self._mark)
            else:
                await asyncio.to_thread(_replace, self._mark, str(self._committed))

    def _remember(self, call: Spooled) -> None:
        self._waiting[call.call_id] = call
        if call.key is not None:
            self._by_key[call.actor.actor_id, call.key] = call


def _append(path: Path, mark: Path, batch: list[Spooled]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = b"".join(msgspec.json.encode(call) + b"\n" for call in batch)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            # Of lines that are gone: it would hide the new ones.
            mark.unlink(missing_ok=True)
        try:
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError(28, "no room for all of it")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def _remove(lines: Path, mark: Path) -> None:
    """The lines first: a mark without lines is thrown away, lines without their mark are repeated."""
    lines.unlink(missing_ok=True)
    mark.unlink(missing_ok=True)
    _sync_folder(lines.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
