"""One port: the first bytes decide. `GET /ws/` goes to a WebSocket, everything else to the HTTP application.

The door also holds what no later part can: how many connections there may be of each kind, how long a
request's head may take and how large it may be. Consoles and requests have bounds of their own, so that
no number of consoles keeps a call out. Nothing here knows what is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from dispatch.servers.descriptors import allow_connections
from dispatch.web.metrics import Metrics
from dispatch.web.problems import MEDIA_TYPE, document, status_of
from dispatch.web.websocket import GOING_AWAY, Socket

log = logging.getLogger(__name__)

WebSocketHandler = Callable[[Socket], Awaitable[None]]
"""Called in a task of its own once a handshake is asked for; it accepts or rejects, and returns when done."""

UPGRADE = b"GET /ws/"
HEAD_END = b"\r\n\r\n"
BACKLOG = 1024
LINGERING_S = 2.0
"""How long the rest of a refused body is read and thrown away, so that its sender can read the refusal."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process takes. Consoles and requests never share a bound."""

    http: int = 4096
    consoles: int = 2048
    head_bytes: int = 32 * 1024
    head_timeout_s: float = 10.0
    """From the connection to the end of the first request's head."""
    keepalive_s: float = 75.0
    """From an answer to the end of the next request's head, on the same connection."""
    handshake_s: float = 10.0
    """For finding out who asks for a WebSocket."""
    unacknowledged_s: float = 30.0
    """TCP gives up a peer that acknowledges nothing for so long."""


class Door:
    """The open port. `port` is the real one, also where 0 was asked for."""

    def __init__(self, http: HttpSide, sockets: SocketSide, server: asyncio.Server) -> None:
        self._http = http
        self._sockets = sockets
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self, grace_s: float = 5.0) -> None:
        """Take no new connections, say good-bye to the open ones, wait no longer than `grace_s`."""
        self._server.close()
        await self._sockets.close(min(grace_s, 2.0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._http.runner.cleanup()


async def open_door(
    app: web.Application,
    websocket_handler: WebSocketHandler,
    address: tuple[str, int],
    metrics: Metrics,
    *,
    limits: Limits | None = None,
) -> Door:
    """Listen at (host, port); port 0 lets the system choose. Raises OSError when the port is taken."""
    limits = limits or Limits()
    allow_connections(limits.http + limits.consoles)
    runner = web.AppRunner(app, shutdown_timeout=3.0)
    await runner.setup()
    sockets = SocketSide(websocket_handler, limits, metrics)
    http = HttpSide(runner, sockets, limits, metrics)
    host, port = address
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: Entrance(http), host, port, backlog=BACKLOG, reuse_address=True
        )
    except OSError:
        await runner.cleanup()
        raise
    return Door(http, sockets, server)


class HttpSide:
    """The HTTP connections of one door."""

    def __init__(self, runner: web.AppRunner, sockets: SocketSide, limits: Limits, metrics: Metrics) -> None:
        assert runner.server is not None, "the application is not set up"
        self.sockets = sockets
        self.runner = runner
        self.limits = limits
        self.metrics = metrics
        self.server = runner.server
        self.open = 0

    def connection(self) -> HttpConnection:
        return HttpConnection(
            self,
            keepalive_timeout=self.limits.keepalive_s,
            lingering_time=LINGERING_S,
            access_log=None,
            auto_decompress=False,
        )

    def enter(self, transport: asyncio.Transport, data: bytes) -> None:
        """Begin with a connection anew, at its entrance."""
        entrance = Entrance(self)
        transport.set_protocol(entrance)
        entrance.connection_made(transport)
        entrance.data_received(data)

    def changed(self, by: int) -> None:
        self.open += by
        self.metrics.connections.inc(by)


class HttpConnection(web.RequestHandler):
    """aiohttp's connection, counted, and with problems where aiohttp would write a line of text."""

    def __init__(self, side: HttpSide, **settings: Any) -> None:
        super().__init__(side.server, loop=asyncio.get_running_loop(), **settings)
        self._side = side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._side.changed(1)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._side.changed(-1)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A kept connection may be used again for a WebSocket: then it goes back to the entrance."""
        waiter = self._waiter
        begins = data[:1] == UPGRADE[:1] and data.startswith(UPGRADE[: len(data)])
        if begins and waiter is not None and not waiter.done():
            transport, self.transport = self.transport, None
            assert transport is not None, "data without a connection"
            self.connection_lost(None)
            self._side.enter(transport, data)
        else:
            super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What never became a request: malformed bytes, or a fault outside of the application.

        A client that leaves in the middle of its own request is neither.
        """
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, ConnectionError):
            log.error("fault outside of the application", exc_info=exc)
            self._side.metrics.faults.labels("door").inc()
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        code = "malformed_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "fault"
        if isinstance(exc, LineTooLong):
            code = "head_too_large"
        self._side.metrics.problems.labels(code).inc()
        response = web.Response(body=document(code), status=status_of(code), content_type=MEDIA_TYPE)
        response.force_close()
        return response


class SocketSide:
    """The WebSocket connections of one door, and the tasks that handle them."""

    def __init__(self, handler: WebSocketHandler, limits: Limits, metrics: Metrics) -> None:
        self._handler = handler
        self._limits = limits
        self._metrics = metrics
        self._open: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._open) >= self._limits.consoles

    def connection(self) -> Socket:
        made = Socket(on_request=self._requested, on_lost=self._lost)
        self._open.add(made)
        self._metrics.connections.inc()
        return made

    async def close(self, grace_s: float) -> None:
        """Ask every client to go, and cut those that have not gone in time."""
        self._empty.clear()
        for made in list(self._open):
            made.close(GOING_AWAY, "the service stops")
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._empty.wait()
        for made in list(self._open):
            made.abort()
        await asyncio.sleep(0)

    def _requested(self, made: Socket) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lost(self, made: Socket) -> None:
        self._metrics.connections.dec()
        self._open.discard(made)
        if not self._open:
            self._empty.set()

    async def _handle(self, made: Socket) -> None:
        impatience = asyncio.get_running_loop().call_later(self._limits.handshake_s, _give_up, made)
        try:
            await self._handler(made)
        except Exception:
            log.exception("fault while handling a WebSocket")
            self._metrics.faults.labels("websocket").inc()
            made.close(1011, "our fault")
        finally:
            impatience.cancel()


def _give_up(made: Socket) -> None:
    if not made.open:
        made.abort()


class Entrance(asyncio.Protocol):
    """A connection before its first request: it keeps the bytes until it knows whose they are."""

    def __init__(self, http: HttpSide) -> None:
        self._http = http
        self._sockets = http.sockets
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: the transports of uvloop are asyncio.Transport by their methods only.
        self._transport = cast(asyncio.Transport, transport)
        limits = self._http.limits
        _bound_silence(self._transport, limits.unacknowledged_s)
        # Connections that have said nothing count as requests: whoever holds them open meets that bound.
        self._http.changed(1)
        if self._http.open > limits.http:
            self._turn_away("overloaded", "http")
            return
        self._deadline = asyncio.get_running_loop().call_later(
            limits.head_timeout_s, self._turn_away, "too_slow", "head_timeout"
        )

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        if len(self._head) > self._http.limits.head_bytes and HEAD_END not in self._head:
            self._turn_away("head_too_large", "head_bytes")
        elif HEAD_END in self._head or not _printable(self._head):
            self._hand_over(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._transport = None

    def _hand_over(self, transport: asyncio.Transport) -> None:
        inner: Socket | HttpConnection
        if self._head.startswith(UPGRADE):
            if self._sockets.full:
                self._turn_away("overloaded", "consoles")
                return
            inner = self._sockets.connection()
        else:
            inner = self._http.connection()
        self._leave()
        self._transport = None
        transport.set_protocol(inner)
        inner.connection_made(transport)
        inner.data_received(bytes(self._head))

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._transport is not None:
            self._http.changed(-1)

    def _turn_away(self, code: str, limit: str) -> None:
        assert self._transport is not None, "turned away after it left"
        self._http.metrics.turned_away.labels(limit).inc()
        if not self._transport.is_closing():
            self._transport.write(_said(code))
            self._transport.close()


def _printable(head: bytearray) -> bool:
    """Whether this may become a request: else there is no end of a head to wait for."""
    return head[:1].isalpha()


def _said(code: str) -> bytes:
    """A whole answer, for a connection that reached no application."""
    body = document(code)
    status = HTTPStatus(status_of(code))
    retry = "Retry-After: 1\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n{retry}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _bound_silence(transport: asyncio.Transport, limit_s: float) -> None:
    """Have the system end a connection whose peer is gone without a word (Linux; elsewhere pings do)."""
    raw = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if raw is not None and option is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, option, int(limit_s * 1000))
