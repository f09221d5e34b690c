"""A Postgres that lets nobody work: it says why not, or lets us in and then says nothing."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Self

FACTS = {"server_version": "17.0", "in_hot_standby": "off"}


class SullenServer:
    """On a socket file in `directory`: `async with SullenServer(directory, "57P03") as server: connect(server.url)`.

    It gives its codes by turns, one to each that comes, or without any is silent once it has let somebody in.
    """

    def __init__(self, directory: Path, *codes: str) -> None:
        self.url = f"postgresql://somebody@/something?host={directory}"
        self.asked = 0
        self._file = directory / ".s.PGSQL.5432"
        self._codes = codes
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._file)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._file.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        if not self._codes:
            facts = b"".join(_message(b"S", f"{name}\0{value}\0") for name, value in FACTS.items())
            writer.write(_message(b"R", "\0\0\0\0") + facts + _message(b"Z", "I"))
            return
        code = self._codes[self.asked % len(self._codes)]
        self.asked += 1
        writer.write(_message(b"E", f"SFATAL\0VFATAL\0C{code}\0Mnot now\0\0"))
        writer.close()


def _message(kind: bytes, text: str) -> bytes:
    return kind + struct.pack("!I", len(text.encode()) + 4) + text.encode()
