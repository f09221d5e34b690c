"""What a sender is told of a command when the process that led its region broke off without an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from consoles.front import cancelled
from dispatch.actors import Actor
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.door import open_door
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.following.forwarding import VIA_CORE, VIA_GATEWAY, Forwarder
from dispatch.following.leaders import Leaders
from dispatch.web.application import application
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route, Routes
from dispatch.web.websocket import Socket
from dispatch.writing.replica import Replicas

TASHKENT = RegionId("UZ-TK")
PATIENCE_S = 60.0
ANSWER = b"HTTP/1.1 %d Whatever\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Line:
    """A process that leads, as far as HTTP shows: `says` is its answer, None that it is killed instead of answering."""

    def __init__(self, says: tuple[int, bytes] | None) -> None:
        self.says = says
        self.asked: list[str] = []
        self.address = ""

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[str]:
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        try:
            yield self.address
        finally:
            self.server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status, body = 200, b'{"servers": {}, "alarms": []}'
        if not head.startswith(b"GET /healthz"):
            self.asked.append(head.split(b" ", 1)[0].decode())
            if self.says is None:
                self.server.close()
                writer.transport.abort()
                return
            status, body = self.says
        writer.write(ANSWER % (status, len(body), body))
        writer.close()


class Told:
    """A process that does not lead the region, `shared` or a gateway, and who it believes leads."""

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self.at: Mapping[str, str] | None = {}
        self.asked_itself: Exception = Elsewhere(TASHKENT)
        replicas = Replicas()
        replicas.adopt(RegionState(TASHKENT))
        self.metrics = Metrics()
        self.leaders = Leaders(self._led_at, lambda: replicas.states)
        via = VIA_CORE if shared else VIA_GATEWAY
        self._forwarder = Forwarder(self.leaders, replicas, self.metrics, self._reached, via)

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[str]:
        app = application(Routes(self._route("POST"), self._route("GET")), self._nobody, self.metrics)
        door = await open_door(app, _hang_up, ("127.0.0.1", 0), self.metrics)
        looking = asyncio.create_task(self.leaders.run())
        try:
            yield f"http://127.0.0.1:{door.port}/regions/{TASHKENT}/thing"
        finally:
            await cancelled(looking)
            await self.leaders.close()
            await door.close(0.1)

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("dispatch112_forwarded_total", {"outcome": outcome})

    def _route(self, method: str) -> Route:
        route = Route(
            method=method,
            path="/regions/{region}/thing",
            handler=self._own,
            summary="",
            tag="test",
            creates=method == "POST",
            responses={200: None},
        )
        return self._forwarder.shared(route, lambda region: False) if self.shared else self._forwarder.forwarded(route)

    async def _own(self, request: web.Request) -> web.StreamResponse:
        raise self.asked_itself

    async def _led_at(self) -> Mapping[str, str]:
        if self.at is None:
            raise ServiceAway("the database died with the leader")
        return self.at

    async def _reached(self, region: RegionId, seq: int, limit_s: float) -> bool:
        return True

    async def _nobody(self, request: web.Request) -> Actor | None:
        return None


async def _hang_up(socket: Socket) -> None:
    socket.abort()


async def said(url: str, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """What a sender hears of a keyed request."""
    limit = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.request(method, url, headers={"Idempotency-Key": "k-1"}) as got,
    ):
        return got.status, await got.json(content_type=None)


@pytest.fixture(params=["gateway", "core"])
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr("dispatch.following.leaders.BLIND_S", 0.5)
    monkeypatch.setattr("dispatch.following.forwarding.HOLD_LIMIT_S", 1.0)
    return Told(shared=request.param == "core")


@pytest.mark.parametrize("database", ["away", "there"])
async def test_of_a_command_that_may_have_been_carried_out_nobody_says_that_nothing_was_changed(
    told: Told, database: str
) -> None:
    leader = Line(None)
    async with leader.answering() as address, told.answering() as url:
        told.at = {TASHKENT: address}
        await told.leaders.look()
        asking = asyncio.create_task(said(url))
        async with asyncio.timeout(PATIENCE_S):
            while not leader.asked:
                await asyncio.sleep(0.01)
        told.at = None if database == "away" else {}
        status, problem = await asking
    assert (status, problem["code"], leader.asked) == (503, "timed_out", ["POST"])
    assert (told.counted("unknown"), told.counted("away")) == (1, None)


@pytest.mark.parametrize(
    ("word", "heard"),
    [
        ((200, b'{"done": true}'), (200, None)),
        ((409, b'{"code": "unit_taken"}'), (409, "unit_taken")),
        ((404, b'{"code": "unknown_incident"}'), (503, "timed_out")),
        ((503, b'{"code": "overloaded"}'), (503, "timed_out")),
    ],
)
async def test_the_next_leader_s_word_on_such_a_command_stands_when_it_decides(
    told: Told, word: tuple[int, bytes], heard: tuple[int, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.following.forwarding.HOLD_LIMIT_S", PATIENCE_S)
    killed, following = Line(None), Line(word)
    async with killed.answering() as first, following.answering() as second, told.answering() as url:
        told.at = {TASHKENT: first}
        await told.leaders.look()
        asking = asyncio.create_task(said(url))
        async with asyncio.timeout(PATIENCE_S):
            while not killed.asked:
                await asyncio.sleep(0.01)
        told.at = {TASHKENT: second}
        status, body = await asking
    assert (status, body.get("code")) == heard
    assert (killed.asked, following.asked) == (["POST"], ["POST"])


async def test_of_a_command_that_nobody_was_sent_it_is_said_that_nothing_was_changed(told: Told) -> None:
    gone = Line(None)
    async with gone.answering() as address:
        pass
    async with told.answering() as url:
        told.at = {TASHKENT: address}
        await told.leaders.look()
        status, problem = await said(url)
    assert (status, problem["code"], gone.asked) == (503, "service_away", [])


async def test_a_question_whose_line_broke_has_changed_nothing(told: Told) -> None:
    leader = Line(None)
    async with leader.answering() as address, told.answering() as url:
        told.at = {TASHKENT: address}
        await told.leaders.look()
        status, problem = await said(url, "GET")
    assert (status, problem["code"]) == (503, "service_away")
    assert leader.asked == ["GET"]
