"""An MQTT 3.1.1 client that costs next to nothing, so that a benchmark measures the service and not its own radios.

One connection speaks for thousands of units by the service's account. What it publishes is written and forgotten
(QoS 1 is asked for where the broker must keep it, its acknowledgement is only counted). For benchmarks on loopback:
no TLS, no session, no reconnect; a broken line ends the measurement.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import cast

from dispatch.units.line import broker_at
from dispatch.units.wire import (
    CONNACK,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBACK,
    Packets,
    connect,
    kind_of,
    packet,
    published,
    subscribe,
    text,
)

KEEP_ALIVE_S = 60
PING_EVERY_S = 20.0
OPEN_LIMIT_S = 10.0

Heard = Callable[[str, bytes], None]


class LeanLine(asyncio.Protocol):
    """One connection. `heard(topic, payload)` is called for each message and must not wait."""

    def __init__(self, name: str, login: tuple[str, str], heard: Heard) -> None:
        self.acknowledged = 0
        self.broken = False
        self._hello = connect(name, login, KEEP_ALIVE_S)
        self._heard = heard
        self._packets = Packets()
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
        self._transport.write(subscribe(self._number(), [(topic, 1) for topic in topics]))
        await asyncio.wait_for(self._answers[SUBACK], OPEN_LIMIT_S)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Write a message; nobody waits for it."""
        assert self._transport is not None
        number = self._number().to_bytes(2, "big") if qos else b""
        self._transport.write(packet(PUBLISH | qos << 1, text(topic) + number + payload))

    async def keep_alive(self) -> None:
        """Say now and then that we are there, until cancelled."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            if self._transport is not None:
                self._transport.write(packet(PINGREQ))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._packets.feed(data)
        for first, body in self._packets.taken(sys.maxsize):
            self._take(first, body)

    def _take(self, first: int, body: bytes) -> None:
        kind = kind_of(first)
        if kind == PUBLISH:
            topic, payload, number = published(first, body)
            if number:
                assert self._transport is not None
                self._transport.write(packet(PUBACK, number))
            self._heard(topic, payload)
        elif kind == PUBACK:
            self.acknowledged += 1
        elif kind in self._answers and not self._answers[kind].done():
            if kind == CONNACK and body[1]:
                self._answers[kind].set_exception(PermissionError(f"the broker refuses: {body[1]}"))
            else:
                self._answers[kind].set_result(None)

    def _number(self) -> int:
        self._packet = self._packet % 65_535 + 1
        return self._packet


async def connected(url: str, name: str, heard: Heard) -> LeanLine:
    """A line to the broker of a URL with its log-in. Raises OSError when it does not let us in."""
    broker = broker_at(url)
    login, loop = (broker.username, broker.password), asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: LeanLine(name, login, heard), broker.host, broker.port)
    await line.opened()
    return line
