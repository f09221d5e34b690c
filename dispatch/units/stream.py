"""One connection to the MQTT broker as it is read and written: bytes in, messages out, publications acknowledged.

A message is handed over in the moment it is read. What is written in one turn of the loop leaves in one system call at
its end, except what may not wait that long. It ends with its connection; `line.py` makes the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from dispatch.errors import ServiceAway
from dispatch.units import wire

GREETING_LIMIT_S = 2.0
"""For the answers to CONNECT and SUBSCRIBE."""
ANSWER_LIMIT_S = 10.0
"""A broker that acknowledges nothing for so long is as good as away."""
INFLIGHT_LIMIT = 256
"""QoS 1 messages under way to the broker at once, or fewer where it says so; the others wait in their callers."""
PACKETS_AT_ONCE = 64
"""So many messages, about a millisecond's work, then everybody else has a turn; the socket waits."""

_NUMBERS = 0xFFFF

log = logging.getLogger(__name__)


class Stream(asyncio.Protocol):
    """`on_message(topic, payload)` must neither wait nor block.

    Messages may gather in the socket for `gather_s` before they are read: a turn of the loop costs more than a message.
    """

    def __init__(self, on_message: Callable[[str, bytes], None], gather_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        self._gather_s = gather_s
        self._on_message = on_message
        self._packets = wire.Packets()
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[Exception | None] = loop.create_future()
        self._answer: tuple[int, asyncio.Future[bytes]] | None = None
        self._heard = self._paused = False
        self._written = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._room = asyncio.Semaphore(INFLIGHT_LIMIT)
        self._number = 0
        # What the broker has not acknowledged, oldest first, and since when it could have.
        self._unanswered: dict[int, tuple[float, asyncio.Future[None]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, fault: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(fault)
        for number in list(self._unanswered):
            self._acknowledged(number, ServiceAway("the line to the MQTT broker broke"))
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def greet(self, hello: bytes, keepalive_s: int) -> int:
        """Be let in; how often the broker wants to hear from us, in seconds. Raises OSError, TimeoutError."""
        body = await self._asked(hello, wire.CONNACK)
        if body[1:2] != b"\0":
            raise PermissionError(f"the broker refuses us: {body.hex()}")
        try:
            settings = wire.welcome(body)
        except ValueError as fault:
            raise OSError(f"the broker's greeting: {fault}") from None
        self._room = asyncio.Semaphore(min(INFLIGHT_LIMIT, settings.get(wire.RECEIVE_MAXIMUM, INFLIGHT_LIMIT)))
        return settings.get(wire.SERVER_KEEP_ALIVE, keepalive_s) or keepalive_s

    async def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        """Hear these topics from now on. Raises OSError, TimeoutError."""
        body = await self._asked(wire.subscribe(self._next_number(), topics), wire.SUBACK)
        if any(reason >= wire.REFUSED_FROM for reason in body[-len(topics) :]):
            raise PermissionError(f"the broker refuses a subscription: {body.hex()}")

    async def publish(self, topic: str, payload: bytes, qos: int, properties: bytes, *, at_once: bool = False) -> None:
        """Write a message; with QoS 1 return when the broker has it. Raises ServiceAway.

        Nothing waits before a message is written while there is room: messages leave in the order of their calls. With
        `at_once` it has left this process before anything else happens in it.
        """
        await self._writable.wait()
        if not qos:
            self._send(wire.publish(topic, payload, 0, properties))
            return
        await self._room.acquire()
        if self._lost.done():
            self._room.release()
            raise ServiceAway("the line to the MQTT broker broke")
        loop = asyncio.get_running_loop()
        number, answered = self._next_number(), loop.create_future()
        self._unanswered[number] = loop.time(), answered
        self._send(wire.publish(topic, payload, number, properties))
        if at_once:
            self._flush()
        await answered

    async def ended(self, every_s: float) -> None:
        """Say now and then that we are there; raises OSError when the line broke or the broker is silent."""
        while True:
            self._heard = False
            self._send(wire.packet(wire.PINGREQ))
            await asyncio.wait({self._lost}, timeout=every_s)
            if self._lost.done():
                raise OSError(f"the line broke: {self._lost.result() or 'closed'}")
            if not self._heard:
                raise OSError("the broker is silent")
            since_s, _ = next(iter(self._unanswered.values()), (float("inf"), None))
            if asyncio.get_running_loop().time() - since_s > ANSWER_LIMIT_S:
                raise OSError("the broker acknowledges nothing")

    def leave(self) -> None:
        """Say good-bye, so that the broker does not speak our will."""
        if self._transport is not None:
            self._send(wire.packet(wire.DISCONNECT))
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._packets.feed(data)
        if not self._paused:
            self._work()

    def _send(self, data: bytes) -> None:
        if not self._written:
            asyncio.get_running_loop().call_soon(self._flush)
        self._written += data

    def _flush(self) -> None:
        if self._written and self._transport is not None:
            self._transport.write(bytes(self._written))
            self._written.clear()

    async def _asked(self, question: bytes, kind: int) -> bytes:
        """The broker's answer. Raises OSError when it hangs up, TimeoutError."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answer = kind, answer
        self._send(question)
        awaited: set[asyncio.Future[Any]] = {answer, self._lost}
        await asyncio.wait(awaited, timeout=GREETING_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise OSError("the broker hung up" if self._lost.done() else "the broker does not answer")
        return answer.result()

    def _next_number(self) -> int:
        """A number that nothing under way has: from 1 to 65,535, of which INFLIGHT_LIMIT are taken at most."""
        while True:
            self._number = self._number % _NUMBERS + 1
            if self._number not in self._unanswered:
                return self._number

    def _acknowledged(self, number: int, fault: Exception | None) -> None:
        """A publication has its answer; whoever asked for it may have left."""
        found = self._unanswered.pop(number, None)
        if found is None:
            return
        self._room.release()
        answered = found[1]
        if answered.done():
            return
        if fault is None:
            answered.set_result(None)
        else:
            answered.set_exception(fault)

    def _work(self) -> None:
        taken = 0
        try:
            for first, body in self._packets.taken(PACKETS_AT_ONCE):
                taken += 1
                self._take(first, body)
        except (ValueError, IndexError):
            self.abort()
            return
        if taken == PACKETS_AT_ONCE:
            self._pause(True)
            asyncio.get_running_loop().call_soon(self._work)
        elif taken and self._gather_s:
            self._pause(True)
            asyncio.get_running_loop().call_later(self._gather_s, self._work)
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
                self._send(wire.packet(wire.PUBACK, number))
            try:
                self._on_message(topic, payload)
            except Exception:
                # Our own bug; it must not take the line down with it.
                log.exception("message handler failed", extra={"action": "mqtt_message"})
        elif kind == wire.PUBACK:
            reason = body[2] if len(body) > 2 else 0
            refused = ServiceAway(f"the MQTT broker refuses a message: {reason:#x}")
            self._acknowledged(int.from_bytes(body[:2], "big"), refused if reason >= wire.REFUSED_FROM else None)
        elif self._answer is not None and self._answer[0] == kind and not self._answer[1].done():
            self._answer[1].set_result(body)
