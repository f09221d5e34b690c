"""One WebSocket connection: websockets' sans-I/O protocol inside, a transport outside. Not what is said.

No compression: it costs four times the CPU and five times the memory of what it saves (20 µs a message).
Whoever sends the same text to many prepares the frame once (`frame`) and writes the same bytes to each.
Nobody ever waits for a slow reader: `send` takes what the transport takes, `slow` says that too much waits,
and `on_drained` tells when it no longer does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from websockets.datastructures import Headers, MultipleValuesError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from dispatch.web.problems import MEDIA_TYPE, Problem, document

log = logging.getLogger(__name__)
# Two lines a console are noise; what the protocol finds wrong is not.
_protocol_log = log.getChild("protocol")
_protocol_log.setLevel(logging.WARNING)

MESSAGE_MAX = 64 * 1024
"""Bytes of one message from a client."""
WAITING_MAX = 16
"""Messages that wait for whoever handles the connection; then the client has to wait."""
FRAMES_PER_S = 100
"""A client that sends more, pings and pieces of messages among them, is read more slowly: the shortest frame has six
bytes and costs us as much as a long one, so a fast line full of them would take the loop from everybody."""
PART_BYTES = 512
"""Understood at a time, at most 85 frames."""
SLOW_BYTES = 256 * 1024
DRAINED_BYTES = 64 * 1024
KERNEL_BYTES = 128 * 1024
SLOW_TIMEOUT_S = 30.0
"""A connection that takes nothing for so long is cut; it may come back and resume."""
PING_INTERVAL_S = 15.0
"""So often a client that was silent is pinged; one that has not answered by the next time is gone."""
LATE_SHARE = 0.2
"""A look that comes later than this share of the interval proves nothing about the client."""
CLOSE_TIMEOUT_S = 3.0

GOING_AWAY = 1001
SESSION_OVER = 4401
"""Our close code: the log-in has expired or was revoked; log in before you come again."""


_REFUSED = {
    HTTPStatus.UPGRADE_REQUIRED: "upgrade_required",
    HTTPStatus.REQUEST_URI_TOO_LONG: "head_too_large",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "head_too_large",
}


class Closed(Exception):
    """The connection is over; there is nothing more to receive."""


def frame(text: bytes) -> bytes:
    """The bytes on the wire of one UTF-8 text message, the same for every client."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class _Protocol(ServerProtocol):
    """websockets' own, but that what it refuses by itself is a problem too, where it would write a line of text."""

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        own_fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return _refusal(Problem("fault" if own_fault else _REFUSED.get(HTTPStatus(status), "malformed_request")))


class Socket(asyncio.Protocol):
    """One connection. Until `accept` or `reject` it only knows what was asked for.

    `on_request(socket)` is called once, when the handshake's request has come in; it may take its time
    within the door's limit. `on_lost(socket)` is called once, when the connection is over.
    """

    def __init__(
        self,
        *,
        on_request: Callable[[Socket], None],
        on_lost: Callable[[Socket], None],
    ) -> None:
        self.request: Request | None = None
        self.slow = False
        self.on_drained: Callable[[], None] | None = None
        self._on_request = on_request
        self._on_lost = on_lost
        self._protocol = _Protocol(max_size=MESSAGE_MAX, logger=_protocol_log)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._unread = bytearray()
        self._frames = 0
        self._counted_since_s = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at_s = self._loop.time()
        self._pinged_at_s: float | None = None
        self._watch_due_s = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # What was asked for.

    @property
    def path(self) -> str:
        assert self.request is not None, "asked before the handshake"
        return urlsplit(self.request.path).path

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of one given twice, the first."""
        assert self.request is not None, "asked before the handshake"
        pairs = parse_qsl(urlsplit(self.request.path).query, keep_blank_values=True)
        return dict(reversed(pairs))

    def header(self, name: str) -> str | None:
        """A header of the handshake; None also when it is given twice and so means nothing."""
        assert self.request is not None, "asked before the handshake"
        try:
            return self.request.headers.get(name)
        except MultipleValuesError:
            return None

    @property
    def peer(self) -> str:
        """The other side's address, without its port."""
        found = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(found[0]) if found else ""

    # Answering the handshake.

    def accept(self) -> bool:
        """Open the connection. False when the handshake is not one, and a problem has been sent instead."""
        assert self.request is not None, "accepted before the handshake"
        if self._protocol.state is not State.CONNECTING or self._protocol.eof_sent:
            return False
        response = self._protocol.accept(self.request)
        self._protocol.send_response(response)
        self._flush()
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        self._watch()
        return True

    def reject(self, problem: Problem) -> None:
        """Refuse the handshake with a problem, and end the connection."""
        if self._protocol.state is not State.CONNECTING or self._protocol.eof_sent:
            return
        self._protocol.send_response(_refusal(problem))
        self._flush()

    # Talking.

    @property
    def open(self) -> bool:
        return self._protocol.state is State.OPEN and self._transport is not None

    @property
    def buffered_bytes(self) -> int:
        """What was sent and still waits in this process."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, prepared: bytes) -> None:
        """Write frames made by `frame`, one or several joined. Never waits; does nothing once it is over."""
        if self._transport is not None and self._protocol.state is State.OPEN:
            self._transport.write(prepared)

    async def receive(self) -> bytes:
        """The next message of the client. Raises Closed."""
        while not self._messages:
            if not self.open:
                raise Closed
            assert self._waiter is None, "two readers of one connection"
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        self._steer()
        return message

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the connection is cut when the other side does not answer it."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
        elif self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of uvloop are asyncio.Transport by their methods only.
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # The system's own buffer grows to megabytes: minutes of deltas, and nobody would see it.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self._transport.set_write_buffer_limits(high=SLOW_BYTES, low=DRAINED_BYTES)

    def data_received(self, data: bytes) -> None:
        self._heard_at_s = self._loop.time()
        self._unread += data
        self._read()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._flush()
        return False

    def pause_writing(self) -> None:
        self.slow = True
        self._set_timer("slow", SLOW_TIMEOUT_S, self.abort)

    def resume_writing(self) -> None:
        self.slow = False
        self._drop_timer("slow")
        if self.on_drained is not None and self.open:
            self.on_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wake()
        self._on_lost(self)

    # Inside.

    def _read(self) -> None:
        """Understand what has come, part by part, until the client has to rest."""
        while self._unread and "rest" not in self._timers:
            part = bytes(self._unread[:PART_BYTES])
            del self._unread[:PART_BYTES]
            self._protocol.receive_data(part)
            self._take()
            self._flush()
        self._steer()

    def _count(self, frames: int) -> None:
        now_s = self._loop.time()
        if now_s - self._counted_since_s >= 1.0:
            self._counted_since_s, self._frames = now_s, 0
        self._frames += frames
        if self._frames >= FRAMES_PER_S:
            self._set_timer("rest", self._counted_since_s + 1.0 - now_s, self._rested)

    def _rested(self) -> None:
        self._drop_timer("rest")
        self._read()

    def _steer(self) -> None:
        """Read on, unless the client has to wait. Its answer to our good-bye is not behind what nobody will take."""
        if self._transport is None or self._transport.is_closing():
            return
        full = len(self._messages) >= WAITING_MAX and not self._protocol.close_expected()
        if full or "rest" in self._timers:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _take(self) -> None:
        """Hand on what the protocol has understood."""
        events = self._protocol.events_received()
        self._count(len(events))
        for event in events:
            if isinstance(event, Request):
                self.request = event
                self._on_request(self)
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    self._arrived(b"".join(self._parts))
                    self._parts.clear()
        if self._protocol.state is not State.CONNECTING and not self.open:
            self._wake()

    def _arrived(self, message: bytes) -> None:
        self._messages.append(message)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        writes = self._protocol.data_to_send()
        if writes and writes[0] == b"" and self.request is None:
            # The bytes after `GET /ws/` were no request: the protocol hangs up, we say why first.
            self._transport.write(_refusal(Problem("malformed_request")).serialize())
        for data in writes:
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._protocol.close_expected() and "close" not in self._timers:
            # Once: who goes on talking after our good-bye gets no more time by that.
            self._set_timer("close", CLOSE_TIMEOUT_S, self.abort)
            self._steer()

    def _watch(self) -> None:
        """Ping a silent client, drop one that stays silent: a half-open connection looks exactly so."""
        # By the ping, not by the length of the silence: a console says nothing but its pongs, and with a late
        # timer the time between two of them may be any length. A timer that is late itself says that we were held
        # up, and the pong may wait behind it: then we look once more.
        now_s = self._loop.time()
        unanswered = self._pinged_at_s is not None and self._heard_at_s < self._pinged_at_s
        if unanswered and now_s - self._watch_due_s < LATE_SHARE * PING_INTERVAL_S:
            self.abort()
        elif self.open:
            if not unanswered and now_s - self._heard_at_s >= PING_INTERVAL_S / 2:
                self._pinged_at_s = now_s
                self._protocol.send_ping(b"")
                self._flush()
            self._watch_due_s = now_s + PING_INTERVAL_S
            self._set_timer("ping", PING_INTERVAL_S, self._watch)

    def _set_timer(self, name: str, delay_s: float, act: Callable[[], None]) -> None:
        self._drop_timer(name)
        self._timers[name] = self._loop.call_later(delay_s, act)

    def _drop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _refusal(problem: Problem) -> Response:
    body = document(problem.code, problem.detail, problem.errors)
    headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE)])
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem.status, HTTPStatus(problem.status).phrase, headers, body)
