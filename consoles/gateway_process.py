"""A process without the role `core`, put together: it leads no region, and shows what those that do commit.

It needs the core's database and, for positions and speed, its Redis. Boards, lists, log-in and the console's
files are its own work; commands go on to whoever leads (`dispatch/following/forwarding.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from consoles.access import Access
from consoles.api import Interface, Parts, interface
from consoles.front import Front, cancelled, opened
from consoles.peers import ASKS_THE_ENGINE, KNOWN_BETTER, TOLD_TO_ALL, authorizations
from consoles.programs import Programs
from consoles.serving import Options, clock_from, regions_of
from consoles.starting import Say, Steps
from consoles.watched import followed
from dispatch.calling.aml import trusted
from dispatch.cells.neighbours import Neighbours
from dispatch.clock import Clock
from dispatch.engine import Engine
from dispatch.errors import UserMistake
from dispatch.fanout import Fanout
from dispatch.following.follower import Follower
from dispatch.following.forwarding import Forwarder
from dispatch.following.leaders import Leaders
from dispatch.following.polled import PolledFanout
from dispatch.following.redis_streams import RedisFanout
from dispatch.ids import IdSource
from dispatch.keeping.postgres import PostgresStore
from dispatch.searching import locator
from dispatch.services import running_addresses
from dispatch.settings import Settings
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route
from dispatch.writing.depths import Depths
from dispatch.writing.heap import settle
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.upkeep import beside
from routing.roads import Roads


class GatewayProcess(msgspec.Struct, kw_only=True):
    """The parts of a process that only follows."""

    settings: Settings
    store: PostgresStore
    engine: Engine
    """Leads nothing: it holds the replicas that the addresses read."""
    follower: Follower
    leaders: Leaders
    forwarder: Forwarder
    positions: Positions
    fanout: Fanout
    clock: Clock
    metrics: Metrics
    roads: Roads | None
    port: int = 0

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the console."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def following(settings: Settings, options: Options, say: Say) -> AsyncIterator[GatewayProcess]:
    """Start everything, yield while it serves, stop everything. Raises UserMistake or ServiceAway."""
    step = Steps(say)
    async with contextlib.AsyncExitStack() as stack:
        store = PostgresStore(_database_url(settings))
        await store.open()
        stack.push_async_callback(store.close)
        step.done("database")
        roads = await asyncio.to_thread(options.roads) if options.roads else None
        process = _assembled(settings, store, roads, clock_from(options.speed, await store.latest()))
        if not settings.redis_url:
            say("no Redis: the database is asked instead, and boards show no positions")
        await stack.enter_async_context(_at_work(process))
        step.done("regions")
        process.port = await stack.enter_async_context(_open(process, options))
        step.done("door")
        settle()
        yield process


def _database_url(settings: Settings) -> str:
    """The core's database: by URL, or that of a core which runs its own from the same data directory."""
    if settings.database_url:
        return settings.database_url
    known = running_addresses(settings.data_dir)
    if known is None:
        raise UserMistake(
            "without the role core a process follows one: give --database-url, or the --data-dir of a running core"
        )
    return known.database_url


def _assembled(settings: Settings, store: PostgresStore, roads: Roads | None, clock: Clock) -> GatewayProcess:
    positions = Positions()
    engine = Engine(store, clock, Reacher(positions, None), positions)
    positions.region_of = engine.replicas.region_of_unit
    fanout = RedisFanout(settings.redis_url, store) if settings.redis_url else PolledFanout(store)
    follower = Follower(store, fanout, engine.replicas, positions)
    follower.on_commit = engine.on_commit
    leaders: Leaders = Leaders(lambda: _led_at(store, leaders), lambda: engine.replicas.states)
    metrics = Metrics()
    metrics.registry.register(Depths(engine.replicas.states))
    return GatewayProcess(
        settings=settings,
        store=store,
        engine=engine,
        follower=follower,
        leaders=leaders,
        forwarder=Forwarder(leaders, engine.replicas, metrics, follower.reached),
        positions=positions,
        fanout=fanout,
        clock=clock,
        metrics=metrics,
        roads=roads,
    )


async def _led_at(store: PostgresStore, leaders: Leaders) -> Mapping[str, str]:
    """Where each region is led, and on the way what lets us in there."""
    view = await store.leadership()
    leaders.meet(authorizations(view.processes))
    return {seat.region: seat.address for seat in view.seats if seat.address}


@asynccontextmanager
async def _at_work(process: GatewayProcess) -> AsyncIterator[None]:
    """Every region loaded and followed, and whoever leads it known."""
    await process.follower.start(regions_of(process.settings))
    await process.leaders.look()
    await process.leaders.ask()
    parts = {"fanout": process.fanout.run, "follower": process.follower.run, "leaders": process.leaders.run}
    loops = beside(parts, process.metrics)
    try:
        yield
    finally:
        await cancelled(*loops)
        await process.leaders.close()


@asynccontextmanager
async def _open(process: GatewayProcess, options: Options) -> AsyncIterator[int]:
    """Let HTTP and consoles in."""
    programs = Programs(process.settings.data_dir, process.store)
    access = Access(process.store, process.clock, process.metrics, programs)
    audit = Audit(process.store, process.clock, process.metrics)
    api = _interface(process, access, audit)
    # What changed is noted for the intake's index of callers also here, where no call is indexed: it is emptied.
    loops = beside({"interface": api.aml.run, "programs": programs.run}, process.metrics)
    try:
        async with opened(_front(process, options, api, (access, audit))) as port:
            yield port
    finally:
        await cancelled(*loops)


def _front(process: GatewayProcess, options: Options, api: Interface, who: tuple[Access, Audit]) -> Front:
    access, audit = who
    forwarder, leaders, settings = process.forwarder, process.leaders, process.settings
    # What is said between cells is not answered here, only sent on to whoever leads.
    between = Neighbours(process.engine, process.store, process.clock)
    return Front(
        listen=(settings.host, settings.port),
        store=process.store,
        clock=process.clock,
        metrics=process.metrics,
        access=access,
        audit=audit,
        replicas=process.engine.replicas,
        positions=process.positions,
        follow=process.follower.on_commit.append,
        regions=regions_of(settings),
        routes=[_answered(forwarder, route, api) for route in (*api.routes, *between.routes())],
        roads=process.roads,
        mode=options.mode,
        speed=options.speed,
        ready=lambda: process.follower.ready,
        watched=[followed(process.follower)],
        elsewhere=leaders.alarms,
        words={
            "core": leaders.health,
            "mqtt": lambda: leaders.word("mqtt"),
            "redis": process.fanout.health,
            "travel": lambda: leaders.word("travel"),
            "cells": lambda: leaders.word("cells"),
        },
    )


def _interface(process: GatewayProcess, access: Access, audit: Audit) -> Interface:
    parts = Parts(
        engine=process.engine,
        store=process.store,
        locator=locator(process.settings),
        clock=process.clock,
        metrics=process.metrics,
        audit=audit,
        authenticate=access.actor_of,
        ids=IdSource(process.clock),
        trust=trusted(process.settings.data_dir),
    )
    return interface(parts)


def _answered(forwarder: Forwarder, route: Route, api: Interface) -> Route:
    """By whom an address is answered here: commands by whoever leads, the rest by ourselves."""
    if route.path in TOLD_TO_ALL:
        return forwarder.forwarded(route, api.aml.vouches)
    if route.method != "GET" or route.path in ASKS_THE_ENGINE:
        return forwarder.forwarded(route)
    return forwarder.preferred(route) if route.path in KNOWN_BETTER else route
