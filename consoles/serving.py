"""One process of the service, put together: servers, store, writers, field, HTTP and boards on one port.

Everything starts in the order of a call's way and stops in the reverse. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter
from typing import Any

import msgspec

from consoles.about import AboutPage
from consoles.access import Access
from consoles.api import Interface, Parts, interface
from consoles.broadcast import Broadcast, Scene
from consoles.gateway import Gateway
from consoles.openapi import documents
from consoles.pages import Pages
from consoles.sessions import Sessions
from dispatch.aml import reindex, trusted
from dispatch.application import application
from dispatch.audit import Audit
from dispatch.clock import Clock, ScaledClock, SystemClock
from dispatch.core.terms import RegionId
from dispatch.door import Door, open_door
from dispatch.engine import Engine
from dispatch.fanout import Fanout, LocalFanout
from dispatch.fanout_redis import RedisFanout
from dispatch.field import Field, FieldPlan
from dispatch.field_measures import FieldMeasures
from dispatch.health import Health
from dispatch.ids import IdSource
from dispatch.leading import Leader
from dispatch.locating import Locator
from dispatch.metrics import Metrics
from dispatch.migrate import migrate
from dispatch.positions import Positions
from dispatch.reach import Reacher
from dispatch.routes import Routes
from dispatch.services import Services, embedded
from dispatch.settings import Settings
from dispatch.spool import Spool
from dispatch.stages import StageMeasures
from dispatch.store_postgres import PostgresStore
from dispatch.tracks import Tracks
from routing.basemap import Basemap, outlines_geojson
from routing.gazetteer import Gazetteer
from routing.regions import Regions, region_facts
from routing.roads import Roads
from routing.travel import Travel

Say = Callable[[str], None]
Credentials = dict[str, dict[str, Any]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What this process is: a real service, or a simulation that says so everywhere."""

    mode: str = "LIVE"
    speed: float = 1.0
    roads: Callable[[], Roads] | None = None
    """Loads the road network; without one travel times follow the straight line, and the boards say so."""
    logins: Callable[[PostgresStore], Awaitable[Credentials]] | None = None
    """Sees to it that somebody can log in; the demo's are offered on its log-in page."""
    before_open: Callable[[Running], Awaitable[None]] | None = None
    """Called when everything runs and nobody is let in yet: the demo enrols its units here."""


class Running(msgspec.Struct, kw_only=True):
    """The parts of a process, for its owner to look into."""

    settings: Settings
    services: Services
    store: PostgresStore
    engine: Engine
    leader: Leader
    field: Field
    tracks: Tracks
    positions: Positions
    fanout: Fanout
    clock: Clock
    metrics: Metrics
    roads: Roads | None
    credentials: Credentials = {}
    port: int = 0

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the console."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(settings: Settings, options: Options, say: Say) -> AsyncIterator[Running]:
    """Start everything, yield while it serves, stop everything. Raises UserMistake or ServiceAway."""
    step = _Steps(say)
    async with contextlib.AsyncExitStack() as stack:
        services = await stack.enter_async_context(embedded(settings))
        step.done("servers")
        await migrate(services.database_url)
        store = PostgresStore(services.database_url)
        await store.open()
        stack.push_async_callback(store.close)
        step.done("database")
        roads = await asyncio.to_thread(options.roads) if options.roads else None
        running = _assembled(settings, services, store, roads, _clock(options.speed, await store.latest()))
        step.done("roads")
        if options.logins is not None:
            running.credentials = await options.logins(store)
        await stack.enter_async_context(_at_work(running))
        step.done("regions")
        if options.before_open is not None:
            await options.before_open(running)
        await stack.enter_async_context(_open(running, options))
        step.done("door")
        yield running


class _Steps:
    """Says each step with its seconds."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since = perf_counter()

    def done(self, name: str) -> None:
        now = perf_counter()
        self._say(f"{name:<14}{now - self._since:6.1f} s")
        self._since = now


def _clock(speed: float, latest: datetime | None) -> Clock:
    """Service time never runs backward over a restart, also when it was multiplied before."""
    wall = SystemClock()
    behind = latest is not None and latest > wall.now()
    return ScaledClock(speed, latest if behind else None) if speed != 1.0 or behind else wall


def _assembled(
    settings: Settings, services: Services, store: PostgresStore, roads: Roads | None, clock: Clock
) -> Running:
    travel = Travel(roads) if roads is not None else None
    tracks = Tracks(store.tracks)
    positions = Positions(lambda unit_id: None, on_fix=tracks.offer)
    if travel is not None:
        positions.on_move = travel.move
    engine = Engine(store, clock, Reacher(positions, travel), positions)
    positions.region_of = engine.region_of_unit
    leader = Leader(engine, store, [RegionId(r) for r in _regions(settings)], _holder())
    plan = FieldPlan(url=services.mqtt_url)
    field = Field(engine, positions, plan, states=engine.replicas.states, clock=clock)
    leader.on_led.append(lambda region: field.outbox.resume())
    fanout = RedisFanout(services.redis_url, store) if services.redis_url else LocalFanout(store)
    engine.on_commit.append(lambda region, recorded, events: fanout.publish(region, recorded))
    metrics = Metrics()
    metrics.registry.register(StageMeasures(engine.stages))
    metrics.registry.register(FieldMeasures(field, positions, tracks))
    return Running(
        settings=settings,
        services=services,
        store=store,
        engine=engine,
        leader=leader,
        field=field,
        tracks=tracks,
        positions=positions,
        fanout=fanout,
        clock=clock,
        metrics=metrics,
        roads=roads,
    )


def _regions(settings: Settings) -> tuple[str, ...]:
    return settings.regions or tuple(region_facts())


def _holder() -> str:
    """The name under which this process leads regions."""
    return f"{socket.gethostname()}:{os.getpid()}"


@asynccontextmanager
async def _at_work(running: Running) -> AsyncIterator[None]:
    """Regions led, what is decided committed, units heard. Stops in an order in which nothing is cut off."""
    committing = asyncio.create_task(running.engine.run())
    await running.leader.start()
    beside = [
        asyncio.create_task(work)
        for work in (running.leader.run(), running.field.run(), running.tracks.run(), running.fanout.run())
    ]
    try:
        yield
    finally:
        await _cancelled(*beside)
        await running.engine.drained()
        await _cancelled(committing)
        await running.leader.stop()


@asynccontextmanager
async def _open(running: Running, options: Options) -> AsyncIterator[None]:
    """Let HTTP and consoles in."""
    access = Access(running.store, running.clock, running.metrics)
    audit = Audit(running.store, running.clock, running.metrics)
    words = {
        "mqtt": running.field.health,
        "redis": running.fanout.health,
        "travel": lambda: "ok" if running.roads is not None else "degraded",
    }
    health = Health(running.metrics, running.store.ping, lambda: running.leader.ready, words)
    broadcast = Broadcast(
        running.engine.replicas,
        running.positions,
        clock=running.clock,
        metrics=running.metrics,
        scene=Scene(mode=options.mode, speed=options.speed, health=health.words),
    )
    running.engine.on_commit.append(broadcast.committed)
    gateway = Gateway(broadcast, access)
    api = _interface(running, access, audit)
    for region, state in running.engine.replicas.states.items():
        del region
        await reindex(api.intake.matcher, state.calls.values(), running.store)
    about = AboutPage(_regions(running.settings), options.mode, options.speed)
    if options.mode != "LIVE":
        about.offer(running.credentials)
    routes = Routes(*health.routes(), *about.routes(), *Sessions(access, audit).routes(), *api.routes)
    pages = Pages(outlines_geojson, Basemap(running.roads) if running.roads is not None else None)
    routes.add(*pages.routes())
    routes.add(*documents(routes))
    app = application(routes, access.actor_of, running.metrics, pages.files())
    await health.ask()
    door: Door = await open_door(app, gateway.handle, ("127.0.0.1", running.settings.port), running.metrics)
    running.port = door.port
    works = (health.run(), broadcast.run(), gateway.run(), audit.run(), api.run())
    beside = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await door.close()
        await _cancelled(*beside)
        await audit.flush()


def _interface(running: Running, access: Access, audit: Audit) -> Interface:
    spool = Spool(running.settings.data_dir / "spool")
    spool.load()
    parts = Parts(
        engine=running.engine,
        store=running.store,
        locator=Locator(Regions(), Gazetteer()),
        clock=running.clock,
        metrics=running.metrics,
        audit=audit,
        authenticate=access.actor_of,
        ids=IdSource(running.clock),
        trust=trusted(running.settings.data_dir),
        spool=spool,
    )
    return interface(parts)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
