"""What carries words between regions: a fault in one region, or a neighbour that is stuck, holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dispatch.cells import line as line_module
from dispatch.cells import outbox as outbox_module
from dispatch.cells.exchange import chores
from dispatch.cells.line import AT_ONCE
from dispatch.cells.neighbours import Neighbours
from dispatch.cells.peers import Peer
from dispatch.clock import SystemClock
from dispatch.core.commands import Command, ReceiveCall, TransferCall
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, ActorId, CallId, Channel, RegionId
from dispatch.engine import Engine
from dispatch.keeping.memory import MemoryStore
from dispatch.web.metrics import Metrics
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.upkeep import beside
from tests.servers.crew_desk import a_place
from tests.servers.field_world import until

TK, TO, SA = RegionId("UZ-TK"), RegionId("UZ-TO"), RegionId("UZ-SA")
FAR = [RegionId(f"UZ-{name}") for name in ("AN", "BU", "FA", "JI", "NG", "NW", "QA", "QR", "SI", "SU", "XO")]


class Neighbour:
    """Another cell as our lines see it: it takes every call, or is stuck: it is connected to and never answers."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.freed = asyncio.Event()
        self.freed.set()
        self.asked = 0
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/api/v1/cells/{region}/messages", self._hear)
        self.server = TestServer(app)

    async def _health(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.freed.wait()
        return web.Response(text="{}")

    async def _hear(self, request: web.Request) -> web.Response:
        await self.freed.wait()
        self.heard.append((await request.json())["call"]["call_id"])
        return web.json_response({"outcome": "taken"})

    def peer(self, name: str, region: RegionId) -> Peer:
        return Peer(url=f"http://127.0.0.1:{self.server.port}", regions=(region,), key="k" * 32, name=name)


class Cell:
    """Ours: it leads Tashkent and its region, and its neighbours."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        store, clock = MemoryStore(), SystemClock()
        self.engine = Engine(store, clock, Reacher(Positions(), None), Positions())
        self.leader = Leader(self.engine, store, [TK, TO], "a")
        self.neighbours = Neighbours(self.engine, store, clock, peers)
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.tasks += beside({"engine": self.engine.run}, Metrics())
        await self.leader.start()
        self.tasks += beside({"leader": self.leader.run}, Metrics())

    def run(self) -> asyncio.Task[None]:
        (running,) = beside({"cells": self.neighbours.run}, Metrics())
        self.tasks.append(running)
        return running

    async def offer(self, name: str, region: RegionId, to: RegionId) -> None:
        call_id = CallId(name)
        call = ReceiveCall(actor=SYSTEM, call_id=call_id, channel=Channel.VOICE, location=a_place())
        for command in (call, TransferCall(actor=SYSTEM, call_id=call_id, to=to)):
            assert (await self.engine.submit(region, command)).refusal is None

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def there() -> AsyncIterator[Neighbour]:
    made = Neighbour()
    async with made.server:
        yield made
        made.freed.set()


@pytest.fixture
async def here(there: Neighbour) -> AsyncIterator[Cell]:
    made = Cell([there.peer("samarkand", SA)])
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def stumble(monkeypatch: pytest.MonkeyPatch, region: RegionId, times: int) -> list[int]:
    """A bug of ours in what one region has to do first. What is left of it stands in the list."""
    left = [times]

    def faulty(state: RegionState, actor: ActorId) -> list[Command]:
        if state.region == region and left[0]:
            left[0] -= 1
            raise KeyError("a bug of ours")
        return chores(state, actor)

    monkeypatch.setattr(outbox_module, "chores", faulty)
    return left


async def test_after_one_fault_in_a_region_the_calls_of_both_arrive(
    here: Cell, there: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = stumble(monkeypatch, TO, 1)
    await here.offer("c-1", TK, SA)
    await here.offer("c-2", TO, SA)
    here.run()
    await until(lambda: sorted(there.heard) == ["c-1", "c-2"])
    assert left == [0]
    assert here.neighbours.outbox.faults == 1


async def test_a_region_whose_fault_lasts_holds_up_none_behind_it(
    here: Cell, there: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = list(here.engine.led)
    stumble(monkeypatch, first, 1_000_000)
    await here.offer("c-1", first, SA)
    await here.offer("c-2", second, SA)
    here.run()
    await until(lambda: there.heard == ["c-2"])
    monkeypatch.undo()
    await until(lambda: there.heard == ["c-2", "c-1"])


async def test_lines_that_were_closed_carry_again(here: Cell, there: Neighbour) -> None:
    running = here.run()
    await here.offer("c-1", TK, SA)
    await until(lambda: there.heard == ["c-1"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await here.offer("c-2", TK, SA)
    here.run()
    await until(lambda: there.heard == ["c-1", "c-2"])


async def test_a_word_stopped_before_it_began_is_said_later(here: Cell, there: Neighbour) -> None:
    await here.offer("c-1", TK, SA)
    outbox: Any = here.neighbours.outbox
    outbox._look(TK)
    (stopped,) = outbox._tasks
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    assert there.heard == []
    here.run()
    await until(lambda: there.heard == ["c-1"])


async def test_neighbours_that_are_stuck_hold_up_only_what_is_for_them(
    there: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "ANSWER_LIMIT_S", 3600.0)
    there.freed.clear()
    here = Cell([there.peer(region, region) for region in FAR])
    await here.start()
    try:
        for region in FAR:
            for number in range(AT_ONCE + 2):
                await here.offer(f"c-{region}-{number}", TK, region)
        here.run()
        await until(lambda: there.asked == AT_ONCE * len(FAR))
        await here.offer("c-near", TK, TO)
        await until(lambda: here.engine.replicas.states[TO].call(CallId("c-near")) is not None)
        assert there.asked == AT_ONCE * len(FAR), "no more than so many at once for each"
        there.freed.set()
        await until(lambda: len(there.heard) == (AT_ONCE + 2) * len(FAR))
    finally:
        await here.stop()
