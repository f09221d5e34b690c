"""A proxy on one line that a test may cut, slow down, or make half-open: it is up, and nothing comes through."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

CHUNK = 65_536


class Line:
    """TCP on loopback in front of a port or a socket file. `async with Line(target) as line: line.port`."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        self.shut = False
        self.port = 0

    @property
    def carries(self) -> bool:
        """Whether a connection goes all the way through it now."""
        return len(self._pairs) > 1

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._break()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection, and let none be made until `heal`."""
        self.shut = True
        self._break()

    def hold(self) -> None:
        """Half-open: connections stand and are even made, but what is sent does not arrive."""
        self._flows.clear()

    def heal(self, *, deliver: bool = True) -> None:
        """All is well again. What was held back arrives late, as after a partition, or is lost with its line."""
        self.delay_s, self.shut = 0.0, False
        if not deliver and not self._flows.is_set():
            self._break()
        self._flows.set()

    def _break(self) -> None:
        for writer in list(self._pairs):
            writer.transport.abort()
        self._pairs.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._pairs.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            if self.shut:
                return
            far_reader, far = await self._far()
            self._pairs.add(far)
            await asyncio.gather(self._carry(reader, far), self._carry(far_reader, writer))
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()
                    self._pairs.discard(end)

    async def _far(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Until one side hangs up: then the other is told at once."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flows.wait()
                if sink.is_closing():
                    return  # It was broken meanwhile, which uvloop says with an error of its own.
                sink.write(data)
                await sink.drain()
        sink.close()


def database_target(url: str) -> Path:
    """The socket file of a database of our own."""
    query = parse_qs(urlsplit(url).query)
    return Path(query["host"][0]) / f".s.PGSQL.{query.get('port', ['5432'])[0]}"


def database_by(url: str, line: Line) -> str:
    """The same database by way of the line."""
    parts = urlsplit(url)
    account = f"{parts.username}:{quote(unquote(parts.password or ''), safe='')}"
    return f"{parts.scheme}://{account}@127.0.0.1:{line.port}{parts.path}?sslmode=disable"


def broker_by(url: str, line: Line) -> str:
    """The same broker by way of the line."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.username}:{parts.password}@127.0.0.1:{line.port}"
