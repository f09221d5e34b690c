"""One port serves requests and WebSockets, and no bad or slow client takes it from the others."""

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import msgspec
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dispatch.door import Door, Limits, open_door
from dispatch.errors import ServiceAway
from dispatch.servers.descriptors import allow_connections
from dispatch.web import websocket
from dispatch.web.application import answer, application
from dispatch.web.bodies import body
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import Route, Routes
from dispatch.web.websocket import SLOW_BYTES, Closed, Socket, frame

LIMITS = Limits(http=8, consoles=4, head_timeout_s=0.3, keepalive_s=0.5, handshake_s=0.5)


class Said(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class World:
    """A door over a small application and an echo."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.sockets: list[Socket] = []
        self.door: Door | None = None

    @property
    def url(self) -> str:
        assert self.door is not None
        return f"127.0.0.1:{self.door.port}"

    async def echo(self, made: Socket) -> None:
        if made.query.get("who") == "nobody":
            made.reject(Problem("unauthenticated"))
            return
        if made.query.get("who") == "slow":
            await asyncio.sleep(60)
        if not made.accept():
            return
        self.sockets.append(made)
        with contextlib.suppress(Closed):
            while True:
                made.send(frame(await made.receive()))


async def say(request: web.Request) -> web.Response:
    return answer({"said": (await body(request, Said)).text})


async def fail(request: web.Request) -> web.Response:
    raise ZeroDivisionError("a planted fault")


async def away(request: web.Request) -> web.Response:
    raise ServiceAway("planted")


async def dawdle(request: web.Request) -> web.Response:
    await asyncio.sleep(5)
    raise AssertionError("nobody waits for so long")


async def nobody(request: web.Request) -> None:
    return None


ROUTES = Routes(
    Route(method="POST", path="/say", handler=say, summary="", tag="", request=Said, responses={200: None}),
    Route(method="GET", path="/fail", handler=fail, summary="", tag="", responses={200: None}),
    Route(method="GET", path="/away", handler=away, summary="", tag="", responses={200: None}),
    Route(method="GET", path="/dawdle", handler=dawdle, summary="", tag="", responses={200: None}, timeout_s=0.1),
    Route(
        method="GET",
        path="/mine",
        handler=fail,
        summary="",
        tag="",
        action="call.read",
        responses={200: None},
    ),
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    app = application(ROUTES, nobody, made.metrics)
    made.door = await open_door(app, made.echo, ("127.0.0.1", 0), made.metrics, limits=LIMITS)
    yield made
    await made.door.close(1.0)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def talk(world: World, sent: bytes) -> bytes:
    """Everything that the door answers to raw bytes until it hangs up."""
    assert world.door is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


async def test_requests_and_websockets_come_in_at_one_port(world: World, client: aiohttp.ClientSession) -> None:
    async with client.post(f"http://{world.url}/say", json={"text": "salom"}) as got:
        assert await got.json() == {"said": "salom"}
    async with connect(f"ws://{world.url}/ws/echo", compression=None) as console:
        await console.send("salom")
        assert await console.recv() == "salom"


async def test_a_request_in_single_bytes_is_understood(world: World) -> None:
    assert world.door is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port)
    for byte in b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 404 ")
    writer.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/say", 405, "method_not_allowed"),
        ("GET", "/fail", 500, "fault"),
        ("GET", "/away", 503, "service_away"),
        ("GET", "/dawdle", 503, "timed_out"),
        ("GET", "/mine", 401, "unauthenticated"),
        ("GET", "/ws/echo", 426, "upgrade_required"),
    ],
)
async def test_every_refusal_is_a_problem(
    world: World, client: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with client.request(method, f"http://{world.url}{path}") as got:
        assert got.status == status
        assert got.content_type == "application/problem+json"
        assert json.loads(await got.read())["code"] == code


@pytest.mark.parametrize(
    ("headers", "sent", "status"),
    [
        ({"Content-Type": "text/plain"}, b'{"text": "a"}', 415),
        ({"Content-Type": "application/json"}, b'{"text": 1}', 422),
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b" " * (11 * 1024 * 1024), 413),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"not gzip", 415),
    ],
)
async def test_a_bad_body_is_refused_and_the_door_stays_open(
    world: World, client: aiohttp.ClientSession, headers: dict[str, str], sent: bytes, status: int
) -> None:
    async with client.post(f"http://{world.url}/say", data=sent, headers=headers) as got:
        assert got.status == status
        assert got.content_type == "application/problem+json"
    async with client.post(f"http://{world.url}/say", json={"text": "a"}) as got:
        assert got.status == 200


async def test_a_fault_says_nothing_of_its_cause_and_is_counted(world: World, client: aiohttp.ClientSession) -> None:
    async with client.get(f"http://{world.url}/fail") as got:
        assert "planted" not in await got.text()
    assert b'dispatch112_faults_total{where="http"} 1.0' in world.metrics.exposition()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /ws/echo HTTP/1.1\r\nbroken\r\n\r\n",
        b"GET /ws/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_malformed_bytes_get_a_problem(world: World, sent: bytes) -> None:
    got = await talk(world, sent)
    assert re.match(rb"HTTP/1\.[01] 4", got), got[:80]
    assert b"application/problem+json" in got


async def test_a_head_that_never_ends_is_cut_off(world: World) -> None:
    assert (await talk(world, b"GET / HTTP/1.1\r\nX: ")).startswith(b"HTTP/1.1 408 ")


async def test_a_head_without_a_bound_is_cut_off(world: World) -> None:
    got = await talk(world, b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 8_000)
    assert got.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("path", ["/", "/ws/echo?who="])
async def test_a_line_longer_than_we_take_is_said_to_be_so(world: World, path: str) -> None:
    got = await talk(world, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % (path.encode() + b"a" * 20_000))
    assert re.match(rb"HTTP/1\.[01] 431 ", got), got[:80]
    assert b"application/problem+json" in got and b'"head_too_large"' in got


async def test_a_handshake_with_many_parameters_is_no_fault(world: World) -> None:
    many = "&".join(f"p{n}=1" for n in range(500))
    async with connect(f"ws://{world.url}/ws/echo?{many}&who=me") as console:
        await console.send("hello")
        assert await console.recv() == "hello"
    assert b'dispatch112_faults_total{where="websocket"}' not in world.metrics.exposition()


async def test_a_connection_that_says_nothing_more_is_ended(world: World) -> None:
    began = asyncio.get_running_loop().time()
    got = await talk(world, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 404 ")
    assert asyncio.get_running_loop().time() - began < 3


async def test_silent_connections_meet_their_bound_and_leave_it_again(
    world: World, client: aiohttp.ClientSession
) -> None:
    assert world.door is not None
    held = [await asyncio.open_connection("127.0.0.1", world.door.port) for _ in range(LIMITS.http)]
    assert (await talk(world, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    await asyncio.sleep(LIMITS.head_timeout_s + 0.2)
    async with client.post(f"http://{world.url}/say", json={"text": "a"}) as got:
        assert got.status == 200
    for _, writer in held:
        writer.close()


async def test_consoles_at_their_bound_keep_no_request_out(world: World, client: aiohttp.ClientSession) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(LIMITS.consoles):
            await stack.enter_async_context(connect(f"ws://{world.url}/ws/echo"))
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://{world.url}/ws/echo")
        assert caught.value.response.status_code == 503
        async with client.post(f"http://{world.url}/say", json={"text": "a"}) as got:
            assert got.status == 200


async def test_a_kept_connection_may_become_a_websocket(world: World, client: aiohttp.ClientSession) -> None:
    for _ in range(2):
        async with client.post(f"http://{world.url}/say", json={"text": "a"}) as got:
            assert got.status == 200
            await got.read()
        async with client.ws_connect(f"http://{world.url}/ws/echo") as console:
            await console.send_str("salom")
            assert (await console.receive()).data == "salom"
    async with asyncio.timeout(60):
        while b"dispatch112_connections 0.0" not in world.metrics.exposition():
            await asyncio.sleep(0.01)


async def test_the_system_lets_as_many_in_as_the_door_does(world: World) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert allow_connections(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 100
        assert allow_connections(10**9) < 10**9
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 256), hard))


async def test_a_refused_handshake_says_why(world: World) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://{world.url}/ws/echo?who=nobody")
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["code"] == "unauthenticated"


async def test_a_handshake_that_nobody_answers_is_given_up(world: World) -> None:
    with pytest.raises(Exception, match=r"EOF|did not receive|reset"):
        await connect(f"ws://{world.url}/ws/echo?who=slow")


async def test_pings_are_answered_and_long_messages_are_not_taken(world: World) -> None:
    async with connect(f"ws://{world.url}/ws/echo") as console:
        await asyncio.wait_for(await console.ping(), 60)
        await console.send(["in ", "two ", "parts"])
        assert await console.recv() == "in two parts"
        await console.send("x" * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as caught:
            await console.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_closing_is_a_handshake_from_either_side(world: World) -> None:
    async with connect(f"ws://{world.url}/ws/echo") as console:
        await console.close()
        assert console.close_code == 1000
    async with connect(f"ws://{world.url}/ws/echo") as console:
        await console.send("a")
        await console.recv()
        world.sockets[-1].close(4401, "session over")
        with pytest.raises(ConnectionClosed):
            await console.recv()
        assert (console.close_code, console.close_reason) == (4401, "session over")


async def test_a_console_that_does_not_read_is_slow_and_costs_nobody_else(world: World) -> None:
    assert world.door is not None
    raw = handshake(world)
    async with asyncio.timeout(60):
        while not world.sockets:
            await asyncio.sleep(0.01)
        drained = asyncio.Event()
        world.sockets[0].on_drained = drained.set
        while not world.sockets[0].slow:
            world.sockets[0].send(frame(b"x" * 65_000))
            await asyncio.sleep(0)
        assert world.sockets[0].buffered_bytes > SLOW_BYTES
        raw.setblocking(False)
        while not drained.is_set():
            with contextlib.suppress(BlockingIOError):
                raw.recv(1 << 20)
            await asyncio.sleep(0)
        assert not world.sockets[0].slow
    raw.close()


def handshake(world: World) -> socket.socket:
    """A WebSocket that knows no more than to open: it answers no ping."""
    assert world.door is not None
    raw = socket.create_connection(("127.0.0.1", world.door.port))
    raw.sendall(
        b"GET /ws/echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return raw


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.01)


async def test_a_line_that_went_dead_is_noticed_and_a_quiet_one_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PING_INTERVAL_S", 0.1)
    async with connect(f"ws://{world.url}/ws/echo", ping_interval=None) as quiet:
        await until(lambda: len(world.sockets) == 1)
        with handshake(world):
            await until(lambda: len(world.sockets) == 2)
            await until(lambda: not world.sockets[1].open)
        await quiet.send("still here")
        assert await quiet.recv() == "still here"


async def test_a_console_that_only_answers_pings_is_kept_though_our_timers_are_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PING_INTERVAL_S", 0.05)
    async with connect(f"ws://{world.url}/ws/echo", ping_interval=None) as quiet:
        await until(lambda: len(world.sockets) == 1)
        for _ in range(15):
            await asyncio.sleep(0.04)
            time.sleep(0.05)  # Our own loop is held up, as by a large commit.
        assert world.sockets[0].open
        await quiet.send("still here")
        assert await quiet.recv() == "still here"
