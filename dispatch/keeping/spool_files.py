"""The spool's files: the lines, the mark that says which of them are committed, and room held for a full disk.

What a line says is the spool's business (spool.py). A third file holds room: on a full disk it goes, and the calls have
its place.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_BYTES = 32 * 1024 * 1024
"""Kept free on the disk for the spool: some 30,000 calls on a disk that has no room for anything else."""


class Files:
    """The spool's files. `size` is what of the lines is known to be whole: a torn rest is cut off."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = folder / "calls.jsonl"
        self._mark = folder / "committed"
        self._room = folder / "room"
        self.size = self._lines.stat().st_size if self._lines.is_file() else 0

    def read(self) -> tuple[list[bytes], int, set[int]]:
        """The whole lines, how many of them were committed, and which of the others. A mark that cannot be read
        marks nothing.
        """
        if not self._lines.is_file():
            self._mark.unlink(missing_ok=True)
            return [], 0, set()
        data = self._lines.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        self.size = len(data) - len(torn)
        if torn:
            log.warning("the spool's last line is torn: it was never answered", extra={"action": "spool"})
            os.truncate(self._lines, self.size)
        committed, ahead = self._marked()
        return whole.split(b"\n") if self.size else [], committed, ahead

    def append(self, lines: list[bytes]) -> None:
        """Force lines to the disk, file and folder. Raises OSError, and then nothing of them is kept."""
        self._make_folder()
        data = b"".join(line + b"\n" for line in lines)
        try:
            self._write(data)
        except OSError as fault:
            if fault.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._room.exists():
                raise
            log.error("the disk is full: the spool takes the room held for it", extra={"action": "spool"})
            self._room.unlink()
            self._write(data)

    def has_lost_lines(self) -> bool:
        """Whether less stands in the file than was written: somebody cut it, or took it away."""
        return self.size > (self._lines.stat().st_size if self._lines.exists() else 0)

    def write_anew(self, lines: list[bytes]) -> None:
        """Put these in the place of all that stands there. Raises OSError, and then that is as it was."""
        self._make_folder()
        data = b"".join(line + b"\n" for line in lines)
        fresh = self._lines.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._mark.unlink(missing_ok=True)  # Of the old lines: it would hide these.
            os.replace(fresh, self._lines)
            _sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        self.size = len(data)

    def mark(self, committed: int, ahead: Iterable[int] = ()) -> None:
        """Note how many lines are committed, and which behind them. Without room for that they are only repeated after
        a crash.
        """
        fresh = self._mark.with_suffix(".new")
        runs = " ".join(f"{first}-{last}" for first, last in _runs(ahead))
        try:
            fresh.write_text(f"{committed} {runs}\n")
            os.replace(fresh, self._mark)
        except OSError as fault:
            log.warning("the spool's mark is not written: %s", fault.strerror, extra={"action": "spool"})

    def remove(self) -> None:
        """The lines first: a mark without lines is thrown away, lines without their mark are repeated."""
        self._lines.unlink(missing_ok=True)
        self.size = 0  # Whatever fails now: what is written next begins a new file.
        self._mark.unlink(missing_ok=True)
        _sync_folder(self._folder)

    def set_aside(self, line: bytes) -> None:
        """Keep what is no call for a person to look at; the same line is kept once. Raises OSError, and then nothing
        is left of the try."""
        path = self._folder / f"unreadable-{hashlib.sha256(line).hexdigest()[:12]}"
        if path.exists():
            return
        fresh = path.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            with fresh.open("wb") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
            _sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise

    def reserve(self) -> bool:
        """Hold the room, if it is not held already."""
        if self._room.exists():
            return True
        self._make_folder()
        fresh = self._room.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
            os.replace(fresh, self._room)
        except OSError:
            fresh.unlink(missing_ok=True)
            return False
        return True

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder.parent)

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self._lines, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # Whatever stands behind the whole lines is the rest of a write that failed.
            os.ftruncate(descriptor, self.size)
            if self.size == 0:
                # Of lines that are gone: it would hide the new ones.
                self._mark.unlink(missing_ok=True)
            if os.pwrite(descriptor, data, self.size) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
            _sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self.size)
            raise
        finally:
            os.close(descriptor)
        self.size += len(data)

    def _marked(self) -> tuple[int, set[int]]:
        """What the mark says. Of one that is torn only the first number is believed, which can but be too small: a
        call is repeated then, where a torn number among the others could hide one.
        """
        try:
            said = self._mark.read_text()
            committed, *runs = said.split()
            ends = [run.split("-") for run in runs] if said.endswith("\n") else []
            return int(committed), {line for first, last in ends for line in range(int(first), int(last) + 1)}
        except (OSError, ValueError):
            return 0, set()


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as the first and the last of those that follow each other."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
