"""A wire between a client and a server on loopback that a test can cut, as a radio cell or a cable would be."""

import asyncio
import contextlib
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Forwards bytes both ways while whole. `cut` drops every connection without a word and lets none in."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._whole = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await asyncio.sleep(0.05)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, of_server: str) -> str:
        """The server's URL, by way of this wire."""
        parts = urlsplit(of_server)
        account, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{account}{at}127.0.0.1:{self.port}"))

    def cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._whole = True

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        beyond, onward = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, onward}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_forward(reader, onward))
                group.create_task(_forward(beyond, writer))
        finally:
            self._writers -= {writer, onward}


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
