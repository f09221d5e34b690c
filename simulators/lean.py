"""Clients that cost next to nothing, so that a benchmark measures the service and not its own client.

HTTP: POSTs over kept connections, one request at a time on each. Boards: frames are counted and their numbers
read from the first bytes; nothing is parsed. For benchmarks on loopback only: no TLS, no retries, no redirects.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import Sequence
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

import msgspec

HEAD_END = b"\r\n\r\n"
PING, CLOSE = 0x9, 0x8
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NUMBERED = re.compile(
    rb'\{"type":"(?:delta","region":"([^"]+)","from":\d+,"to"|snapshot","region":"([^"]+)","seq"):(\d+)'
)
DELTA_HEAD = 120
"""The numbers of a delta stand within its first bytes."""


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer; `at_s` is when its last byte was there (monotonic)."""

    status: int
    body: bytes
    at_s: float


class _Line(asyncio.Protocol):
    """One kept HTTP connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        size = int(length.group(1)) if length else 0
        whole = end + len(HEAD_END) + size
        if len(self._buffer) < whole:
            return
        body, self._buffer = self._buffer[end + len(HEAD_END) : whole], self._buffer[whole:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(int(head[9:12]), body, monotonic()))

    def connection_lost(self, fault: Exception | None) -> None:
        self.transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(fault or ConnectionResetError())

    async def ask(self, request: bytes) -> Reply:
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


class Poster:
    """POSTs JSON by few connections, at several doors by turns; opens as many as are busy at once."""

    def __init__(self, url: str, token: str, *others: str) -> None:
        self._idle: dict[tuple[str, int], list[_Line]] = {}
        for parts in map(urlsplit, (url, *others)):
            assert parts.hostname and parts.port
            self._idle[parts.hostname, parts.port] = []
        self._turns = itertools.cycle(self._idle)
        self._head = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self.opened = 0

    async def post(self, path: str, body: bytes, key: str) -> Reply:
        """POST with an idempotency key. Raises OSError when the connection breaks."""
        address = next(self._turns)
        line = await self._line(address)
        host, port = address
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{self._head}Idempotency-Key: {key}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        reply = await line.ask(head.encode() + body)
        self._idle[address].append(line)
        return reply

    def close(self) -> None:
        for line in itertools.chain(*self._idle.values()):
            if line.transport is not None:
                line.transport.close()

    async def _line(self, address: tuple[str, int]) -> _Line:
        while self._idle[address]:
            line = self._idle[address].pop()
            if line.transport is not None:
                return line
        self.opened += 1
        _, line = await asyncio.get_running_loop().create_connection(_Line, *address)
        return line


class Watcher(asyncio.Protocol):
    """A board that is only timed: for each region the numbers that came, and when; without `timed` only counted."""

    def __init__(self, url: str, token: str, regions: Sequence[str] = (), timed: bool = True) -> None:
        parts = urlsplit(url)
        key = base64.b64encode(bytes(16)).decode()
        self._request = (
            f"GET /ws/v1/board?regions={','.join(regions)} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Authorization: Bearer {token}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
        self.came: dict[bytes, tuple[list[int], list[float]]] = {}
        self.frames = 0
        self.bytes = 0
        self.open = asyncio.get_running_loop().create_future()
        self.broken = False
        self.regions = tuple(regions)
        self.timed = timed
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def connection_lost(self, fault: Exception | None) -> None:
        self.broken = True
        if not self.open.done():
            self.open.set_exception(fault or ConnectionResetError())

    def watches(self, region: str) -> bool:
        """Whether what happens in the region is to be seen here."""
        return not self.regions or region in self.regions

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self._buffer += data
        if not self.open.done():
            end = self._buffer.find(HEAD_END)
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self.open.set_exception(ConnectionRefusedError(bytes(self._buffer[:80]).decode("latin1")))
                return
            del self._buffer[: end + len(HEAD_END)]
            self.open.set_result(None)
        self._frames(monotonic())

    def _frames(self, at_s: float) -> None:
        """Walk over the whole frames in the buffer (RFC 6455, 5.2: from a server they are not masked)."""
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            length, head = buffer[start + 1] & 0x7F, 2
            if length == 126:
                head, length = 4, int.from_bytes(buffer[start + 2 : start + 4], "big")
            elif length == 127:
                head, length = 10, int.from_bytes(buffer[start + 2 : start + 10], "big")
            if len(buffer) - start < head + length:
                break
            opcode = buffer[start] & 0x0F
            if opcode == PING:
                self._pong(bytes(buffer[start + head : start + head + length]))
            elif opcode == CLOSE:
                self.close()
            else:
                self._frame(bytes(buffer[start + head : start + head + min(length, DELTA_HEAD)]), at_s)
            start += head + length
        del buffer[:start]

    def _frame(self, beginning: bytes, at_s: float) -> None:
        self.frames += 1
        if not self.timed:
            return
        found = _NUMBERED.match(beginning)
        if found is not None:
            numbers, times = self.came.setdefault(found.group(1) or found.group(2), ([], []))
            numbers.append(int(found.group(3)))
            times.append(at_s)

    def _pong(self, payload: bytes) -> None:
        """Masked with zeros: allowed, and nobody but a proxy cares."""
        assert self._transport is not None and len(payload) < 126
        self._transport.write(bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload)


async def watch(url: str, token: str, regions: Sequence[str] = (), timed: bool = True) -> Watcher:
    """A watcher of these regions, or of all, whose line is open. Raises OSError."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    loop = asyncio.get_running_loop()
    _, watcher = await loop.create_connection(lambda: Watcher(url, token, regions, timed), parts.hostname, parts.port)
    await watcher.open
    return watcher
