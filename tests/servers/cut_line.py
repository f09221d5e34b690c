"""A wire to Postgres that a test can cut: what was sent arrives, what the server says no longer does. Or hush: then
nothing arrives any more on the lines that are open, and neither side is told."""

import asyncio
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit


class CutLine:
    """Stands between a store and its server; `async with CutLine(url, directory) as line: Store(line.url)`."""

    def __init__(self, url: str, directory: Path) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        port = int(query.get("port", [str(parts.port or 5432)])[0])
        self._target = (query.get("host", [parts.hostname or "localhost"])[0], port)
        self._directory = directory
        account = parts.netloc.rpartition("@")[0]
        account = f"{account}@" if account else ""
        self.url = urlunsplit(parts._replace(netloc=account, query=f"host={quote(str(directory), safe='')}&port=5432"))
        self.deaf = False
        self._cuts = self._hushes = 0
        self._near: set[asyncio.StreamWriter] = set()
        self._far: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._directory / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for writer in self._far:
            writer.transport.abort()

    def cut(self) -> None:
        """Break every line to the store. The server is not told: it finds out when it next has something to say."""
        self._cuts += 1
        for writer in self._near:
            writer.transport.abort()
        self._near.clear()

    def hush(self) -> None:
        """Let nothing pass on the lines that are open, without a word to either side; new ones work."""
        self._hushes += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        if host.startswith("/"):
            far = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far = await asyncio.open_connection(host, port)
        self._near.add(writer)
        self._far.add(far[1])
        await asyncio.gather(self._ask(reader, far[1]), self._answer(far[0], writer))

    async def _ask(self, store: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        cuts, hushes = self._cuts, self._hushes
        try:
            while data := await store.read(65_536):
                if hushes == self._hushes:
                    server.write(data)
        except ConnectionError:
            pass
        if cuts == self._cuts:
            server.close()

    async def _answer(self, server: asyncio.StreamReader, store: asyncio.StreamWriter) -> None:
        hushes = self._hushes
        try:
            while data := await server.read(65_536):
                if self.deaf:
                    self.cut()
                if hushes == self._hushes:
                    store.write(data)
        except ConnectionError:
            pass
        store.close()
