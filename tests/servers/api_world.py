"""The HTTP interface on a loopback port for tests: the real engine and addresses on the store's twin in
memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from consoles.access import Access
from consoles.api import Interface, Parts, interface
from dispatch.calling.aml import Trust
from dispatch.calling.locating import Locator
from dispatch.calling.recognising import recognisable
from dispatch.cells.neighbours import Neighbours
from dispatch.cells.peers import Peer
from dispatch.clock import ManualClock
from dispatch.core.commands import RegisterUnit
from dispatch.core.terms import SYSTEM, Body, RegionId, Unit, UnitId
from dispatch.engine import Engine
from dispatch.ids import IdSource
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.spool import Spool
from dispatch.store import Store
from dispatch.web.application import application
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route, Routes
from dispatch.writing.leading import Leader
from dispatch.writing.live_roads import LiveRoads
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Device
from routing import mapfolder
from routing.gazetteer import load
from routing.regions import Regions
from routing.roads import Roads
from routing.travel import Travel
from routing.vehicles import Vehicles

TK, TO, SA = RegionId("UZ-TK"), RegionId("UZ-TO"), RegionId("UZ-SA")
AML_KEY = b"a key that the operators share"
CHORSU = [69.2346, 41.3264]
"""A bazaar in Tashkent, [lon, lat]."""
REGISTAN = [66.9753, 39.6547]
"""Samarkand."""

ACTORS: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {
    "device": ("device", None, ()),
    "device_sa": ("device", None, ("UZ-SA",)),
    "taker": ("call_taker", None, ()),
    "dispatcher": ("dispatcher", None, ()),
    "dispatcher_sa": ("dispatcher", None, ("UZ-SA",)),
    "supervisor": ("supervisor", None, ()),
    "supervisor_to": ("supervisor", None, ("UZ-TO",)),
    "planner": ("planner", None, ()),
    "admin": ("admin", None, ()),
    "mia": ("body", "mia", ()),
    "moh": ("body", "moh", ()),
    "cell_fa": ("cell", None, ("UZ-FA",)),
    "TK-A1": ("unit", None, ()),
    "TK-A2": ("unit", None, ()),
}
"""Token -> role, body, regions (none: every one)."""


class Got(msgspec.Struct, frozen=True):
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def code(self) -> str:
        return str(self.json["code"])


class ApiWorld:
    """`call` asks as one of ACTORS; `clock` is moved by hand; the store and `home` outlive a `stop`."""

    def __init__(
        self, store: Store, home: Path | None, trust: Trust, roads: Roads | None = None, map_dir: Path | None = None
    ) -> None:
        self.store = store
        self._map_dir = map_dir
        self._roads = mapfolder.load(map_dir, for_units=True).roads if map_dir is not None else roads
        self.vehicles: Vehicles | None = None
        self.clock = ManualClock()
        self.home = home
        self._trust = trust
        self.peers: tuple[Peer, ...] = ()
        self.regions: tuple[RegionId, ...] = (TK, TO, SA)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.metrics = Metrics()
        self.positions = Positions(lambda unit_id: self.engine.region_of_unit(unit_id))
        self.travel = Travel(self._roads) if self._roads is not None else None
        if self.travel is not None:
            self.positions.on_move = self.travel.move
        self.engine = Engine(self.store, self.clock, Reacher(self.positions, self.travel), self.positions)
        self.leader = Leader(self.engine, self.store, self.regions, "test")
        self.neighbours = Neighbours(self.engine, self.store, self.clock, self.peers)
        self._tasks = [asyncio.create_task(self.engine.run()), asyncio.create_task(self.neighbours.run())]
        await self.leader.start()
        self._tasks.append(asyncio.create_task(self.leader.leases.run()))
        self.audit = Audit(self.store, self.clock, self.metrics)
        self.access = Access(self.store, self.clock, self.metrics)
        self.spool = Spool(self.home) if self.home is not None else None
        if self.spool is not None:
            self.spool.load()
        self.live_roads = None
        if self.travel is not None:
            names = mapfolder.street_names(self._map_dir) if self._map_dir is not None else []
            self.live_roads = LiveRoads(self.travel, self.engine.replicas.states, self.clock, names=names)
            self.live_roads.look()
            self.engine.on_commit.append(self.live_roads.heard)
            self._tasks.append(asyncio.create_task(self.live_roads.run()))
        self.interface = self._interface()
        self.neighbours.inbox.hear_evidence = self.interface.intake.reception.hear
        self._tasks.append(asyncio.create_task(self.interface.run()))
        calls = [call for state in self.engine.states.values() for call in recognisable(state)]
        await self.interface.aml.recognise(calls)
        self.routes = Routes(*self.interface.routes, *self.neighbours.routes())
        app = application(self.routes, self.access.actor_of, self.metrics)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.session = aiohttp.ClientSession()

    def _interface(self) -> Interface:
        return interface(
            Parts(
                engine=self.engine,
                store=self.store,
                locator=locator(self._map_dir),
                clock=self.clock,
                metrics=self.metrics,
                audit=self.audit,
                authenticate=self.access.actor_of,
                ids=IdSource(self.clock, seed=7),
                trust=self._trust,
                reaches=self.neighbours.reaches,
                spool=self.spool,
                streets=self.live_roads,
                vehicles=self.vehicles,
            )
        )

    async def stop(self) -> None:
        await self.session.close()
        await self._runner.cleanup()
        await self.leader.stop()
        await self._ended()

    async def crash(self) -> None:
        """End without giving anything up: the regions' leases must run out, or be taken over."""
        await self.session.close()
        await self._runner.cleanup()
        await self._ended()

    async def _ended(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "device",
        key: str | None = None,
        kind: str = "application/json",
    ) -> Got:
        """One request; `body` is sent as JSON, bytes as they are."""
        headers = {"Authorization": f"Bearer {secret(token)}"} if token is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers["Content-Type"] = kind
        url = self.url + (path if path.startswith("/") else f"/api/v1/{path}")
        async with self.session.request(method, url, data=data, headers=headers) as response:
            got = Got(response.status, response.headers, await response.read())
        self._documented(method, response.url.raw_path, got)
        return got

    def _documented(self, method: str, path: str, got: Got) -> None:
        """Whatever an address refuses is in the served document: each code is one of its route's."""
        if got.status < 400 or method == "HEAD":
            return
        asked = [route for route in self.routes if route.method == method and _leads(route, path)]
        said = not asked or any(got.code in route.codes() for route in asked)
        assert said, f"{method} {asked[0].path} does not say that it may answer {got.code}"

    async def post(self, path: str, body: Any = None, **more: Any) -> Got:
        return await self.call("POST", path, body, **more)

    async def get(self, path: str, **more: Any) -> Got:
        return await self.call("GET", path, **more)

    async def new_call(self, **fields: Any) -> dict[str, Any]:
        """A call that was taken: its receipt."""
        got = await self.post("calls", {"channel": "app"} | fields)
        assert got.status == 201, got.raw
        receipt: dict[str, Any] = got.json
        return receipt

    async def unit(self, unit_id: str, body: Body, capability: str, at: list[float]) -> None:
        """A unit on shift at [lon, lat]."""
        unit = Unit(
            unit_id=UnitId(unit_id),
            call_sign=unit_id.partition("-")[2],
            region=RegionId("UZ-" + unit_id[:2]),
            body=body,
            kind="car",
            capabilities=(capability,),
            station="here",
            since=self.clock.now(),
        )
        await self.engine.submit(unit.region, RegisterUnit(actor=SYSTEM, unit=unit))
        self.seen_at(unit_id, at)
        await self.post(f"units/{unit_id}/shift", {"on_shift": True}, token="dispatcher")
        await self.post(f"units/{unit_id}/status", {"status": "available"}, token="dispatcher")

    def seen_at(self, unit_id: str, at: list[float]) -> None:
        now = self.clock.wall()
        self.positions.put(Position(unit_id=UnitId(unit_id), lat=at[1], lon=at[0], at=now, received_at=now))

    async def counted(self, name: str, **labels: str) -> float:
        """A counter's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def api_world(
    store: Store | None = None,
    home: Path | None = None,
    trust: Trust | None = None,
    roads: Roads | None = None,
    map_dir: Path | None = None,
) -> AsyncIterator[ApiWorld]:
    """The interface, running, with a token for each of ACTORS; with `home` it has a spool there, with `map_dir` the
    roads and names of an imported map."""
    kept = store or MemoryStore()
    if store is None:
        await kept.open()
    for token, (role, body, regions) in ACTORS.items():
        await kept.put_device(
            Device(
                token=hashlib.sha256(secret(token).encode()).digest(),
                actor=f"{role if role in ('device', 'unit') else 'user'}:{token}",
                role=role,
                body=body,
                regions=regions,
            )
        )
    world = ApiWorld(kept, home, trust or Trust(AML_KEY), roads, map_dir)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


def _leads(route: Route, path: str) -> bool:
    """Whether this path is the route's, with something for each of its parameters."""
    fixed = map(re.escape, re.split(r"\{\w+\}", route.path))
    return re.fullmatch("[^/]+".join(fixed), path) is not None


def secret(token: str) -> str:
    """A bearer token as long as a real one."""
    return f"{token}-{'x' * 40}"


@cache
def locator(map_dir: Path | None = None) -> Locator:
    """One for all tests of a map: outlines and names take a second to read."""
    regions = Regions.from_map(map_dir) if map_dir is not None else Regions()
    return Locator(regions, load([map_dir] if map_dir is not None else []))
