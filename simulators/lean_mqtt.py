"""An MQTT 3.1.1 client that costs next to nothing, so that a benchmark measures the service and not its own radios.

One connection speaks for thousands of units by the service's account. What it publishes is written and forgotten
(QoS 1 is asked for where the broker must keep it, its acknowledgement is only counted). For benchmarks on loopback:
no TLS, no session, no reconnect; a broken line ends the measurement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import unquote, urlsplit

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90, 0xC0
KEEP_ALIVE_S = 60
PING_EVERY_S = 20.0
OPEN_LIMIT_S = 10.0
PACKET_LIMIT = 1 << 20

Heard = Callable[[str, bytes], None]


class LeanLine(asyncio.Protocol):
    """One connection. `heard(topic, payload)` is called for each message and must not wait."""

    def __init__(self, name: str, login: tuple[str, str], heard: Heard) -> None:
        self.acknowledged = 0
        self.broken = False
        self._hello = _connect(name, *login)
        self._heard = heard
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._packet = 0
        self._answers: dict[int, asyncio.Future[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answers[CONNACK] = asyncio.get_running_loop().create_future()
        self._transport.write(self._hello)

    def connection_lost(self, fault: Exception | None) -> None:
        self.broken = True
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(fault or ConnectionResetError("the broker closed the line"))

    async def opened(self) -> None:
        """Return when the broker has let us in. Raises OSError."""
        await asyncio.wait_for(self._answers[CONNACK], OPEN_LIMIT_S)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Hear these topics with QoS 1 from now on."""
        assert self._transport is not None
        self._answers[SUBACK] = asyncio.get_running_loop().create_future()
        wanted = b"".join(_text(topic) + b"\x01" for topic in topics)
        self._transport.write(_packet(SUBSCRIBE, self._number() + wanted))
        await asyncio.wait_for(self._answers[SUBACK], OPEN_LIMIT_S)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Write a message; nobody waits for it."""
        assert self._transport is not None
        number = self._number() if qos else b""
        self._transport.write(_packet(PUBLISH | qos << 1, _text(topic) + number + payload))

    async def keep_alive(self) -> None:
        """Say now and then that we are there, until cancelled."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            if self._transport is not None:
                self._transport.write(bytes((PINGREQ, 0)))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while (found := _length(buffer, start)) is not None:
            length, head = found
            assert length <= PACKET_LIMIT, "no message of ours is so long"
            if len(buffer) - start < head + length:
                break
            self._take(buffer[start], bytes(buffer[start + head : start + head + length]))
            start += head + length
        del buffer[:start]

    def _take(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == PUBLISH:
            self._published((first >> 1) & 3, body)
        elif kind == PUBACK:
            self.acknowledged += 1
        elif kind in self._answers and not self._answers[kind].done():
            if kind == CONNACK and body[1]:
                self._answers[kind].set_exception(PermissionError(f"the broker refuses: {body[1]}"))
            else:
                self._answers[kind].set_result(None)

    def _published(self, qos: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:end].decode()
        if qos:
            assert self._transport is not None
            self._transport.write(_packet(PUBACK, body[end : end + 2]))
            end += 2
        self._heard(topic, body[end:])

    def _number(self) -> bytes:
        self._packet = self._packet % 65_535 + 1
        return self._packet.to_bytes(2, "big")


async def connected(url: str, name: str, heard: Heard) -> LeanLine:
    """A line to the broker of a URL with its log-in. Raises OSError when it does not let us in."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: LeanLine(name, login, heard), parts.hostname, parts.port)
    await line.opened()
    return line


def _connect(name: str, username: str, password: str) -> bytes:
    flags = 0x02 | (0xC0 if username else 0)
    head = _text("MQTT") + bytes((4, flags)) + KEEP_ALIVE_S.to_bytes(2, "big") + _text(name)
    return _packet(CONNECT, head + (_text(username) + _text(password) if username else b""))


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _size(len(body)) + body


def _size(length: int) -> bytes:
    """The length as MQTT writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while True:
        length, seven = divmod(length, 128)
        found.append(seven | (0x80 if length else 0))
        if not length:
            return bytes(found)


def _length(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """The length of the packet's body and of its head; None while the head is not all there."""
    length = 0
    for step in range(4):
        at = start + 1 + step
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 0x7F) << (7 * step)
        if not buffer[at] & 0x80:
            return length, 2 + step
    raise ValueError("a length of five bytes is not MQTT")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
