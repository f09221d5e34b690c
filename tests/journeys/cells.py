"""Two cells on this machine, each with its own Postgres, broker, data directory and port; their link can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.journeys.ledger import Ledger, read_ledger
from tests.journeys.service import Service

TASHKENT, SAMARKAND = "UZ-TK", "UZ-SA"
PATIENCE_S = 60.0
Json = dict[str, Any]


class Link:
    """A wire to a port on this machine. Cut, it drops what is under way and takes nobody."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._ends: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.breaks_at: str | None = None
        """`question` or `answer`: the next one of them is lost, and the link is cut from then on."""
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every line; the next ones break at once."""
        self.is_cut = True
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def heal(self) -> None:
        self.is_cut, self.breaks_at = False, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, far}
        await asyncio.gather(self._pass(reader, far, "question"), self._pass(far_reader, writer, "answer"))
        self._ends -= {writer, far}

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, what: str) -> None:
        """Carry bytes one way."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                if self.breaks_at == what:
                    self.cut()
                    return
                to.write(data)
        to.close()


class Cell:
    """One of the two, as its dispatchers see it."""

    def __init__(self, home: Path, name: str, region: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.region = region
        directory = home / name
        directory.mkdir()
        self.service = Service(directory, (region,))
        self._session = session

    def knows(self, other: Cell, port: int, key: str) -> None:
        """Write the file that names the neighbour."""
        peer = {"url": f"http://127.0.0.1:{port}", "regions": [other.region], "key": key}
        path = self.service.data_dir / "cells.json"
        path.write_text(json.dumps({other.name: peer}))
        path.chmod(0o600)

    async def ask(self, method: str, path: str, body: Any = None, role: str = "dispatcher") -> tuple[int, Json]:
        """One request to this cell: status and JSON."""
        headers = {"Authorization": f"Bearer {self.service.credentials[role]['token']}"}
        url = f"{self.service.url}/api/v1/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as got:
            return got.status, await got.json(content_type=None)

    async def post(self, path: str, body: Any = None) -> Json:
        """A command that must be accepted."""
        status, said = await self.ask("POST", path, body if body is not None else {})
        assert status in (200, 201), (self.name, path, status, said)
        return said

    async def card(self, path: str) -> Json:
        """What this cell shows of a call, an incident or a unit; empty when it knows none."""
        status, said = await self.ask("GET", path)
        assert status in (200, 404), (self.name, path, status, said)
        return said if status == 200 else {}

    async def new_call(self, text: str, **more: Any) -> str:
        """A call that was acknowledged. It has no place, so it is of the region that its centre asks for."""
        body = {"channel": "voice", "caller": {"number": "+998901234567"}, "text": text} | more
        said = await self.post("calls", body)
        assert said["region"] == self.region, said
        return str(said["call_id"])

    async def ledger(self) -> Ledger:
        connection = await self.service.database()
        try:
            return await read_ledger(connection)
        finally:
            await connection.close()


class Nation:
    """Two cells and the links between them; `there` is the link that the first speaks over, `back` the second's."""

    def __init__(self, a: Cell, b: Cell, there: Link, back: Link) -> None:
        self.a, self.b = a, b
        self.there, self.back = there, back

    def cut(self) -> None:
        self.there.cut()
        self.back.cut()

    def heal(self) -> None:
        self.there.heal()
        self.back.heal()


@contextlib.asynccontextmanager
async def nation(home: Path) -> AsyncIterator[Nation]:
    """Both cells running, each knowing the other over its link."""
    async with aiohttp.ClientSession() as session:
        a, b = Cell(home, "tashkent", TASHKENT, session), Cell(home, "samarkand", SAMARKAND, session)
        async with Link(b.service.port) as there, Link(a.service.port) as back:
            key = secrets.token_urlsafe(32)
            a.knows(b, there.port, key)
            b.knows(a, back.port, key)
            await asyncio.gather(a.service.start(), b.service.start())
            try:
                yield Nation(a, b, there, back)
            finally:
                for cell in (a, b):
                    cell.service.kill()
                    print(cell.name, cell.service.log.read_text()[-3000:])


async def until(so: Callable[[], Awaitable[Any]], claim: str, limit_s: float = PATIENCE_S) -> Any:
    """What the question answers once that is true."""
    give_up_s = time.monotonic() + limit_s
    while not (said := await so()):
        assert time.monotonic() < give_up_s, f"not within {limit_s} s: {claim}"
        await asyncio.sleep(0.05)
    return said
