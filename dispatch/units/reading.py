"""The line on which positions come: it only reads, at a sixth of the cost of the library's client.

QoS 0, no session, no properties: whatever is missed on a broken line is older than what comes next. Broken or
silent, it connects again as `line.py` does.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, cast

from dispatch.errors import ServiceAway
from dispatch.units import wire
from dispatch.units.line import GREETING_LIMIT_S, KEEPALIVE_S, Lasting, Line, LinePlan, batches, broker_at

PACKETS_AT_ONCE = 64
"""So many messages, about a millisecond's work, then everybody else has a turn; the socket waits."""

GATHER_S = 0.02
"""So long messages gather in the socket and are then read together: a turn of the loop costs more than a message."""

log = logging.getLogger(__name__)


class ReadingLine(Lasting):
    """`run` keeps the line up until cancelled. `on_message(topic, payload)` must neither wait nor block."""

    def __init__(
        self, plan: LinePlan, *, on_message: Callable[[str, bytes], None], on_up: Callable[[], None] = lambda: None
    ) -> None:
        self._plan = plan
        self._on_message = on_message
        self._on_up = on_up
        self._up = False
        self.ups = 0

    @property
    def up(self) -> bool:
        return self._up

    async def publish(self, topic: str, payload: bytes, *, properties: Any = None) -> None:
        raise ServiceAway("this line only reads")

    async def _stay(self) -> None:
        """One connection from its beginning to its end. Raises OSError or TimeoutError."""
        broker = broker_at(self._plan.url)
        tls = ssl.create_default_context() if broker.secure else None
        async with asyncio.timeout(GREETING_LIMIT_S):
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: _Stream(self._on_message), broker.host, broker.port, ssl=tls
            )
        try:
            stream.send(wire.connect(self._plan.client_id, (broker.username, broker.password), KEEPALIVE_S))
            await stream.answered(wire.CONNACK)
            for number, topics in enumerate(batches(self._plan.subscriptions), 1):
                stream.send(wire.subscribe(number, topics))
                await stream.answered(wire.SUBACK)
            self._up, self.ups = True, self.ups + 1
            self._on_up()
            await stream.ended(KEEPALIVE_S / 2)
        finally:
            stream.close()

    def _gone(self) -> None:
        self._up = False


class _Stream(asyncio.Protocol):
    """One connection: bytes in, messages out."""

    def __init__(self, on_message: Callable[[str, bytes], None]) -> None:
        self._on_message = on_message
        self._packets = wire.Packets()
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._answer: tuple[int, asyncio.Future[bytes]] | None = None
        self._heard = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, fault: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(fault)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def answered(self, kind: int) -> None:
        """Return when the broker has said yes. Raises OSError when it says no or hangs up, TimeoutError."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answer = kind, answer
        await asyncio.wait({answer, self._lost}, timeout=GREETING_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise OSError("the broker hung up" if self._lost.done() else "the broker does not answer")
        if refused(kind, answer.result()):
            raise PermissionError(f"the broker refuses us: {answer.result().hex()}")

    async def ended(self, every_s: float) -> None:
        """Say now and then that we are there; raises OSError when the line broke or the broker is silent."""
        while True:
            self._heard = False
            self.send(wire.packet(wire.PINGREQ))
            await asyncio.wait({self._lost}, timeout=every_s)
            if self._lost.done():
                raise OSError(f"the line broke: {self._lost.result() or 'closed'}")
            if not self._heard:
                raise OSError("the broker is silent")

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._packets.feed(data)
        if not self._paused:
            self._work()

    def _work(self) -> None:
        taken = 0
        try:
            for first, body in self._packets.taken(PACKETS_AT_ONCE):
                taken += 1
                self._take(first, body)
        except ValueError:
            self.close()
            return
        if taken == PACKETS_AT_ONCE:
            self._pause(True)
            asyncio.get_running_loop().call_soon(self._work)
        elif taken:
            self._pause(True)
            asyncio.get_running_loop().call_later(GATHER_S, self._work)
        else:
            self._pause(False)

    def _pause(self, paused: bool) -> None:
        """Read no more for now, or go on."""
        if self._transport is not None and paused != self._paused and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()
            self._paused = paused

    def _take(self, first: int, body: bytes) -> None:
        kind = wire.kind_of(first)
        if kind == wire.PUBLISH:
            topic, payload, number = wire.published(first, body)
            if number:
                self.send(wire.packet(wire.PUBACK, number))
            try:
                self._on_message(topic, payload)
            except Exception:
                # Our own bug; it must not take the line down with it.
                log.exception("message handler failed", extra={"action": "mqtt_message"})
        elif self._answer is not None and self._answer[0] == kind and not self._answer[1].done():
            self._answer[1].set_result(body)


def refused(kind: int, body: bytes) -> bool:
    """Whether an answer is a no: CONNACK by its second byte, SUBACK by any grade of 0x80."""
    return body[1:2] != b"\0" if kind == wire.CONNACK else 0x80 in body[2:]


def connected(
    plan: LinePlan, *, on_message: Callable[[str, bytes], None], on_up: Callable[[], None] = lambda: None
) -> Line | ReadingLine:
    """The line that a plan asks for."""
    return (ReadingLine if plan.light else Line)(plan, on_message=on_message, on_up=on_up)
