"""Whose spool held which call. No answer says so, and only the calls of one spool have an order among themselves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from dispatch.keeping.spool import Spooled

LOOK_S = 0.02
"""A file is there from its first call until the database has them all, and a process tries that each half second."""


class Spools:
    """Follows the files of spools, by the name of their process, as they are written: each goes when nothing waits.

    A file that came and went between two looks is not seen; nothing is said of its calls then.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.held_by: dict[str, str] = {}
        """Call id -> the process in whose spool it was."""
        self._files = files
        self._following: dict[str, BinaryIO] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            for file in self._following.values():
                file.close()

    @property
    def standing(self) -> list[str]:
        """The processes in whose spool calls wait still."""
        return [name for name, path in self._files.items() if path.exists()]

    def look(self) -> None:
        """Read what was written since the last look."""
        for name, path in self._files.items():
            file = self._following.get(name)
            if file is not None:
                # Held open, it can still be read where its name is gone or stands for the next one.
                self._read_on(name, file)
            try:
                if file is not None and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    continue
                fresh = path.open("rb")
            except FileNotFoundError:
                continue
            if file is not None:
                file.close()
            self._following[name] = fresh
            self._read_on(name, fresh)

    def _read_on(self, name: str, file: BinaryIO) -> None:
        while (line := file.readline()).endswith(b"\n"):
            self.held_by[msgspec.json.decode(line, type=Spooled).call_id] = name
        # What is being written at this moment is read whole the next time.
        file.seek(-len(line), os.SEEK_CUR)
