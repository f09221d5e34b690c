"""Boards over a real door for tests: engine, replicas, positions and access on the store's twin, and consoles."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from consoles.access import Access, digest
from consoles.broadcast import Broadcast, Scene
from consoles.feed import merge
from consoles.gateway import PATH, Gateway
from dispatch.clock import SystemClock
from dispatch.core import commands as c
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.plans import PLANS
from dispatch.core.terms import (
    SYSTEM,
    Body,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    Location,
    RegionId,
    Source,
    Unit,
    UnitId,
    UnitStatus,
)
from dispatch.door import Door, open_door
from dispatch.engine import Engine
from dispatch.keeping.memory import MemoryStore
from dispatch.web.application import application
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Routes
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Device

TASHKENT, SAMARKAND = RegionId("UZ-TK"), RegionId("UZ-SA")
REGIONS = (TASHKENT, SAMARKAND)
CENTRES = {TASHKENT: (41.31, 69.24), SAMARKAND: (39.65, 66.96)}
KINDS = (
    (Body.MOH, ("bls", "als")),
    (Body.MES, ("pump", "rescue", "ladder")),
    (Body.MIA, ("patrol", "traffic", "police")),
    (Body.GAS, ("gas",)),
)
PATIENCE_S = 60.0


class Seen:
    """What one console has seen: boards by region, as any console keeps them."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self.hello: dict[str, Any] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.seqs: dict[str, int] = {}
        self.marks: dict[str, str] = {}
        self.positions: dict[str, list[Any]] = {}
        self.sorts: list[str] = []

    @property
    def known(self) -> str:
        """What it would say when it comes back."""
        return ",".join(f"{region}:{seq}:{self.marks[region]}" for region, seq in self.seqs.items())

    async def take(self) -> dict[str, Any]:
        """The next message, merged. Fails when a delta does not continue what is known."""
        message: dict[str, Any] = msgspec.json.decode(await self.line.recv())
        self.sorts.append(message["type"])
        if message["type"] == "hello":
            self.hello = message
        elif message["type"] == "snapshot":
            self.boards[message["region"]] = message["board"]
            self.seqs[message["region"]], self.marks[message["region"]] = message["seq"], message["mark"]
        elif message["type"] == "delta":
            assert message["from"] == self.seqs[message["region"]], "a delta is missing"
            merge(self.boards[message["region"]], message["changes"])
            self.seqs[message["region"]], self.marks[message["region"]] = message["to"], message["mark"]
        elif message["type"] == "positions":
            self.positions.update((unit[0], unit) for unit in message["units"])
        return message

    async def until(self, sort: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.take()
                if message["type"] == sort:
                    return message

    async def closed(self) -> int | None:
        """Take messages until the line is closed from the other side; its code."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await self.take()
        return self.line.close_code

    async def up_to(self, seqs: dict[RegionId, int]) -> None:
        """Take messages until these regions are known up to these numbers."""
        async with asyncio.timeout(PATIENCE_S):
            while any(self.seqs.get(region, -1) < seq for region, seq in seqs.items()):
                await self.take()


class BoardWorld:
    """One process that leads two regions, and as many consoles as a test opens."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.positions = Positions(lambda unit_id: self.engine.region_of_unit(unit_id))
        self.engine = Engine(self.store, self.clock, Reacher(self.positions, None), self.positions)
        self.leader = Leader(self.engine, self.store, REGIONS, "test")
        self.access = Access(self.store, self.clock, self.metrics)
        self.broadcast = Broadcast(
            self.engine.replicas,
            self.positions,
            clock=self.clock,
            metrics=self.metrics,
            scene=Scene(mode="SIMULATION", health=lambda: {"postgres": "ok"}),
        )
        self.gateway = Gateway(self.broadcast, self.access)
        self.engine.on_commit.append(self.broadcast.committed)
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self.door: Door | None = None

    async def open(self) -> None:
        await self.store.open()
        for work in (self.engine.run(), self.leader.run(), self.broadcast.run(), self.gateway.sittings.run()):
            self._tasks.append(asyncio.create_task(work))
        await self.leader.start()
        app = application(Routes(), self.access.actor_of, self.metrics)
        self.door = await open_door(app, self.gateway.handle, ("127.0.0.1", 0), self.metrics)
        await self.allow("dispatcher", "dispatcher")
        for region, number in itertools.product(REGIONS, range(8)):
            await self.unit(region, number)

    async def close(self) -> None:
        assert self.door is not None
        await self.door.close(1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def allow(self, key: str, role: str, regions: tuple[str, ...] = (), body: str | None = None) -> None:
        """Make a bearer token."""
        await self.store.put_device(
            Device(token=digest(key), actor=f"user:{key}", role=role, regions=regions, body=body)
        )

    def url(self, query: str = "") -> str:
        assert self.door is not None
        return f"ws://127.0.0.1:{self.door.port}{PATH}?{query}"

    @contextlib.asynccontextmanager
    async def console(self, key: str = "dispatcher", query: str = "") -> AsyncIterator[Seen]:
        headers = {"Authorization": f"Bearer {key}"}
        async with connect(self.url(query), additional_headers=headers, compression=None, max_size=None) as line:
            yield Seen(line)

    @property
    def seqs(self) -> dict[RegionId, int]:
        return {region: state.seq for region, state in self.engine.replicas.states.items()}

    async def fresh(self, key: str = "dispatcher") -> dict[str, dict[str, Any]]:
        """The boards as a console that comes now gets them."""
        async with self.console(key) as seen:
            await seen.up_to(self.seqs)
            return seen.boards

    async def fresh_of(self, region: RegionId) -> dict[str, Any]:
        """The board of one region as a console that comes now gets it."""
        async with self.console(query=f"regions={region}") as seen:
            await seen.up_to({region: self.seqs[region]})
            return seen.boards[region]

    async def unit(self, region: RegionId, number: int) -> None:
        body, capabilities = KINDS[number % len(KINDS)]
        name = UnitId(f"{region[3:]}-{number}")
        lat, lon = CENTRES[region]
        await self.engine.submit(
            region,
            c.RegisterUnit(
                actor=SYSTEM,
                unit=Unit(
                    unit_id=name,
                    call_sign=str(number),
                    region=region,
                    body=body,
                    kind="car",
                    capabilities=capabilities,
                    station="1",
                    since=self.clock.now(),
                ),
            ),
        )
        await self.engine.submit(region, c.ShiftUnit(actor=SYSTEM, unit_id=name, on_shift=True))
        self.move(name, lat + number / 1000, lon)

    def move(self, unit_id: UnitId, lat: float, lon: float) -> bool:
        wall = self.clock.wall()
        return self.positions.put(Position(unit_id=unit_id, lat=lat, lon=lon, at=wall, received_at=wall))

    async def call(self, region: RegionId, incident_type: str | None = None, spread: float = 0.0) -> CallId:
        lat, lon = CENTRES[region]
        call_id = CallId(f"c-{next(self._numbers)}")
        where = Location(
            lat=lat + spread,
            lon=lon + spread,
            accuracy_m=20,
            source=Source.APP,
            at=self.clock.now(),
            regions=(region,),
        )
        await self.engine.submit(
            region,
            c.ReceiveCall(
                actor=SYSTEM,
                call_id=call_id,
                channel=Channel.APP,
                incident_type=incident_type,
                location=where,
            ),
        )
        return call_id

    async def live_a_little(self, seed: int, steps: int) -> None:
        """Calls, crews and dispatchers at random; what is refused is part of life."""
        chance = random.Random(seed)
        for _ in range(steps):
            region = chance.choice(REGIONS)
            for command in [await self._something(chance, region)]:
                if command is not None:
                    await self.engine.submit(region, command)
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() * 0.03)
        await self.engine.drained()

    async def _something(self, chance: random.Random, region: RegionId) -> c.Command | None:
        state = self.engine.states[region]
        unit_id = chance.choice(list(state.units))
        choice = chance.randrange(7)
        if choice == 0 or not state.incidents:
            kind = chance.choice([*PLANS, None])
            await self.call(region, kind, chance.uniform(-0.05, 0.05))
            return None
        incident_id = chance.choice(list(state.incidents))
        if choice == 1:
            unit_status = chance.choice(list(UnitStatus))
            return c.ReportStatus(actor=SYSTEM, unit_id=unit_id, status=unit_status)
        if choice == 2 and state.calls:
            status = chance.choice([CallStatus.CLAIMED, CallStatus.ANSWERED, CallStatus.HELD])
            return c.MoveCall(actor=SYSTEM, call_id=chance.choice(list(state.calls)), status=status)
        if choice == 3:
            return c.RecallUnits(actor=SYSTEM, incident_id=incident_id)
        if choice == 4:
            return c.ShiftUnit(actor=SYSTEM, unit_id=unit_id, on_shift=chance.random() < 0.7)
        if choice == 5:
            return self._road(chance, region)
        return c.CloseIncident(actor=SYSTEM, incident_id=incident_id, disposition=chance.choice(list(Disposition)))

    def _road(self, chance: random.Random, region: RegionId) -> c.Command:
        """Another road is closed, or one of those is opened again."""
        closed, now = list(self.engine.states[region].closures), self.clock.now()
        if closed and chance.random() < 0.5:
            return c.ReopenRoad(actor=SYSTEM, closure_id=chance.choice(closed))
        closure = Closure(
            closure_id=ClosureId(f"r-{next(self._numbers)}"),
            line=(CENTRES[region],),
            radius_m=50,
            reason="a burst main",
            since=now,
            until=now + timedelta(milliseconds=chance.choice([5, 500_000])),
            by=SYSTEM,
            at=now,
        )
        return c.CloseRoad(actor=SYSTEM, closure=closure)
