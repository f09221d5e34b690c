"""One process of the service, put together: servers, store, writers, field, HTTP and boards on one port.

Everything starts in the order of a call's way and stops in the reverse. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from consoles.access import Access, digest
from consoles.api import Interface, Parts, interface
from consoles.front import Front, cancelled, opened
from consoles.paper_kit import PaperKit, Source
from consoles.peers import Peers
from consoles.programs import Programs
from consoles.signed import Signer
from consoles.starting import Say, Steps, ready_database, ready_roads
from consoles.watched import Led, hold_room, watched
from dispatch.actors import SYSTEM_ACTOR
from dispatch.calling.aml import trusted
from dispatch.calling.recognising import recognisable
from dispatch.calling.transit import Transit
from dispatch.cells.neighbours import Neighbours
from dispatch.cells.peers import FILE, Peer, enrol, read_peers
from dispatch.clock import Clock, ScaledClock, SystemClock
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.fanout import Fanout, LocalFanout, carry_positions
from dispatch.field import Field, FieldPlan
from dispatch.following.redis_streams import RedisFanout
from dispatch.ids import IdSource
from dispatch.keeping.disk import Disk, Limits
from dispatch.keeping.heads import Series
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.retention import Retention
from dispatch.keeping.spool import Spool
from dispatch.keeping.tracks import Tracks, remembered
from dispatch.roads_now import live_roads
from dispatch.searching import locator
from dispatch.services import Services, embedded, sole_use
from dispatch.settings import Settings
from dispatch.store import Ages
from dispatch.units.measures import FieldMeasures
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route
from dispatch.writing.depths import Depths
from dispatch.writing.heap import settle
from dispatch.writing.holder import holder_of
from dispatch.writing.leading import Leader
from dispatch.writing.live_roads import LiveRoads
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.stages import StageMeasures
from dispatch.writing.upkeep import beside, last_work
from routing.regions import region_facts
from routing.roads import Roads
from routing.travel import Travel

Credentials = dict[str, dict[str, Any]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What this process is: a real service, or a simulation that says so everywhere."""

    mode: str = "LIVE"
    speed: float = 1.0
    roads: Callable[[], Roads] | None = None
    """Loads the road network; without one travel times follow the straight line, and the boards say so."""
    logins: Callable[[PostgresStore, str], Awaitable[Credentials]] | None = None
    """`logins(store, where the broker answers)` sees to it that somebody can log in.

    The demo's are offered on its log-in page; those of units are made known to our own broker.
    """
    before_open: Callable[[Running], Awaitable[None]] | None = None
    """Called when everything runs and nobody is let in yet: the demo enrols its units here."""


class Running(msgspec.Struct, kw_only=True):
    """The parts of a process, for its owner to look into."""

    settings: Settings
    services: Services
    store: PostgresStore
    engine: Engine
    leader: Leader
    peers: Peers
    field: Field
    tracks: Tracks
    spool: Spool
    disk: Disk
    retention: Retention
    positions: Positions
    fanout: Fanout
    clock: Clock
    metrics: Metrics
    neighbours: Neighbours
    roads: Roads | None
    transit: Transit | None
    live_roads: LiveRoads | None
    credentials: Credentials = {}
    port: int = 0

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the console."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(settings: Settings, options: Options, say: Say) -> AsyncIterator[Running]:
    """Start everything, yield while it serves, stop everything. Raises UserMistake or ServiceAway."""
    step = Steps(say)
    async with contextlib.AsyncExitStack() as stack:
        services = await stack.enter_async_context(embedded(settings))
        if settings.database_url and settings.mqtt_url:
            # Ours alone also without servers in it: the spool and the holder's name lie there.
            stack.enter_context(sole_use(settings.data_dir))
        step.done("servers")
        store = PostgresStore(services.database_url)
        stack.push_async_callback(store.close)
        waiting = await stack.enter_async_context(contextlib.AsyncExitStack())
        url, regions = services.database_url, regions_of(settings)
        latest = await ready_database(settings, store, url, say, waiting=waiting, regions=regions)
        step.done("database")
        roads = await asyncio.to_thread(ready_roads, options.roads) if options.roads else None
        running = _assembled(settings, services, store, roads, clock_from(options.speed, latest))
        await enrol(store, [line.peer for line in running.neighbours.lines])
        step.done("roads")
        if options.logins is not None:
            running.credentials = await options.logins(store, services.mqtt_address)
            await services.write_credentials(unit_passwords(running.credentials))
        await stack.enter_async_context(_at_work(running))
        step.done("regions")
        if options.before_open is not None:
            await options.before_open(running)
        # What the first door took lies in the spool's files, which the next one reads.
        await waiting.aclose()
        await stack.enter_async_context(_open(running, options))
        step.done("door")
        settle()
        yield running


def unit_passwords(credentials: Credentials) -> dict[str, str]:
    """{unit_id: password} of those log-ins that are a unit's on the broker."""
    units = (kept for kept in credentials.values() if "unit_id" in kept and "password" in kept)
    return {str(kept["unit_id"]): str(kept["password"]) for kept in units}


def clock_from(speed: float, latest: datetime | None) -> Clock:
    """Service time never runs backward over a restart, also when it was multiplied before."""
    wall = SystemClock(latest)
    return ScaledClock(speed, wall.now()) if speed != 1.0 else wall


def _assembled(
    settings: Settings, services: Services, store: PostgresStore, roads: Roads | None, clock: Clock
) -> Running:
    travel = Travel(roads) if roads is not None else None
    disk, spool = _disk(settings, services), Spool(settings.data_dir / "spool")
    tracks = Tracks(store.tracks, disk.keeps_tracks)
    positions = Positions()
    if travel is not None:
        positions.on_move = travel.move
    engine = Engine(store, clock, Reacher(positions, travel), positions)
    # Every core process hears every unit, so that whoever takes a region over knows where its units are.
    positions.region_of = engine.replicas.region_of_unit
    positions.on_fix = partial(_traced, engine, tracks)
    engine.keeps_inputs = disk.keeps_inputs
    disk.given_up = {"tracks": lambda: tracks.unwanted, "decision_inputs": lambda: engine.inputs_dropped}
    ages = Ages(personal=timedelta(days=settings.personal_kept_days))
    retention = Retention(store, clock, ages, lambda: disk.level)
    holder = holder_of(settings.data_dir)
    leader = Leader(engine, store, regions_of(settings), holder)
    plan = FieldPlan(url=services.mqtt_url, name=f"core-{digest(holder).hex()[:12]}")
    field = Field(engine, positions, plan, states=engine.replicas.states, clock=clock)
    leader.on_led.append(field.led)
    leader.orders_flow = field.carries_orders
    fanout = RedisFanout(services.redis_url, store) if services.redis_url else LocalFanout(store)
    peers = Peers(engine, leader, store, fanout if services.redis_url else None)
    leader.on_led.append(lambda region: fanout.begin(region, engine.replicas.states[region].seq))
    engine.on_commit.append(lambda region, recorded, events: fanout.publish(region, recorded))
    metrics = Metrics()
    metrics.registry.register(Depths(engine.replicas.states))
    metrics.registry.register(StageMeasures(engine.stages))
    metrics.registry.register(FieldMeasures(field, positions, tracks))
    metrics.registry.register(disk)
    metrics.registry.register(retention)
    neighbours = Neighbours(engine, store, clock, peers_of(settings))
    metrics.registry.register(neighbours)
    return Running(
        settings=settings,
        services=services,
        store=store,
        engine=engine,
        leader=leader,
        peers=peers,
        field=field,
        tracks=tracks,
        spool=spool,
        disk=disk,
        retention=retention,
        positions=positions,
        fanout=fanout,
        clock=clock,
        metrics=metrics,
        neighbours=neighbours,
        roads=roads,
        transit=Transit(settings.gtfs_rt_url, clock) if settings.gtfs_rt_url else None,
        live_roads=live_roads(settings, travel, engine.replicas.states, clock),
    )


def _traced(engine: Engine, tracks: Tracks, position: Position) -> None:
    """A unit's trace is written by the process that leads its region, once."""
    region = engine.region_of_unit(position.unit_id)
    if region is not None and engine.leads(region):
        tracks.offer(position)


def _disk(settings: Settings, services: Services) -> Disk:
    limits = Limits(
        early_mib=settings.disk_early_mib, low_mib=settings.disk_low_mib, critical_mib=settings.disk_critical_mib
    )
    return Disk(lambda: {"data": settings.data_dir, **services.directories()}, limits)


def peers_of(settings: Settings) -> tuple[Peer, ...]:
    """The neighbouring cells that the operator named. Raises UserMistake."""
    path = settings.cells or settings.data_dir / FILE
    return read_peers(path, regions_of(settings), must=settings.cells is not None)


def regions_of(settings: Settings) -> tuple[RegionId, ...]:
    """The regions that a process has to do with: those named, or all."""
    return tuple(map(RegionId, settings.regions or region_facts()))


@asynccontextmanager
async def _at_work(running: Running) -> AsyncIterator[None]:
    """Regions led, what is decided committed, units heard. Stops in an order in which nothing is cut off."""
    committing = beside({"engine": running.engine.run}, running.metrics)
    remembering: set[asyncio.Task[int]] = set()
    running.leader.on_led.append(lambda region: _remember(running, region, remembering))
    await running.leader.start()
    await asyncio.gather(*remembering)
    parts = {
        "leader": running.leader.run,
        "peers": running.peers.run,
        "field": running.field.run,
        "tracks": running.tracks.run,
        "fanout": running.fanout.run,
        "retention": running.retention.run,
        "disk": running.disk.run,
        "cells": running.neighbours.run,
    }
    if running.services.redis_url:
        parts["positions"] = partial(
            carry_positions, running.positions, running.fanout, running.leader.regions, running.engine.leads
        )
    optional = {"roads": running.live_roads, "transit": running.transit}
    parts |= {name: part.run for name, part in optional.items() if part is not None}
    loops = beside(parts, running.metrics)
    try:
        await running.peers.started(running.leader.regions)
        if running.live_roads is not None:
            running.live_roads.look()
            running.peers.told(running.live_roads.heard)
        yield
    finally:
        await cancelled(*loops)
        await last_work(running.tracks.flush())
        await running.peers.close()
        await last_work(running.engine.drained())
        await cancelled(*committing)
        await last_work(running.leader.stop())


def _remember(running: Running, region: RegionId, tasks: set[asyncio.Task[int]]) -> None:
    """A region that we lead from now on: where its units were last is read beside what else begins."""
    units = tuple(running.engine.states[region].units) if region in running.engine.states else ()
    loop = asyncio.get_running_loop()
    task = loop.create_task(remembered(running.store, running.positions, units, running.clock.wall()))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


@asynccontextmanager
async def _open(running: Running, options: Options) -> AsyncIterator[None]:
    """Let HTTP and consoles in, and tell the gateways where we are."""
    programs = Programs(running.settings.data_dir, running.store)
    access = Access(running.store, running.clock, running.metrics, programs)
    audit = Audit(running.store, running.clock, running.metrics)
    api = _interface(running, access, audit)
    for state in running.engine.replicas.states.values():
        await api.aml.recognise(recognisable(state))
    indexing: set[asyncio.Task[None]] = set()

    def recognised(region: RegionId) -> None:
        """The callers of a region that was taken over are to be recognised here from now on."""
        known = recognisable(running.engine.replicas.states[region])
        indexing.add(task := asyncio.create_task(api.aml.recognise(known)))
        task.add_done_callback(indexing.discard)

    running.leader.on_led.append(recognised)
    signer = _signer(running)
    running.neighbours.inbox.hear_evidence = api.intake.reception.hear
    running.neighbours.inbox.on_taken.append(lambda call: api.aml.recognise([call]))
    ours = [*running.peers.answered(api, running.neighbours, running.metrics), *signer.routes()]
    front = _front(running, options, ours, (access, audit))
    async with opened(front) as running.port:
        await running.leader.announce(running.settings.address or running.url)
        kit = _paper_kit(running, options, audit)
        parts = {"interface": api.run, "heads": signer.run, "paper": kit.run, "programs": programs.run}
        loops = beside(parts, running.metrics)
        try:
            yield
        finally:
            # With the door still open: what comes meanwhile is sent on, and nobody is refused.
            await running.leader.retire()
            await cancelled(*loops)


def _signer(running: Running) -> Signer:
    series, regions = Series(running.settings.data_dir), running.leader.regions
    signer = Signer(series, running.store, running.clock, regions=regions, metrics=running.metrics)
    running.engine.on_commit.append(signer.committed)
    return signer


def _paper_kit(running: Running, options: Options, audit: Audit) -> PaperKit:
    source = Source(states=running.engine.replicas.states, store=running.store, clock=running.clock, mode=options.mode)
    kit = PaperKit(source, running.settings.data_dir)
    kit.measured(running.metrics)
    audit.note(SYSTEM_ACTOR, "exported", "paper:kit")
    return kit


def _interface(running: Running, access: Access, audit: Audit) -> Interface:
    running.spool.load()
    running.disk.on_look.append(partial(hold_room, running.disk, running.spool))
    parts = Parts(
        engine=running.engine,
        store=running.store,
        locator=locator(running.settings),
        clock=running.clock,
        metrics=running.metrics,
        audit=audit,
        authenticate=access.actor_of,
        ids=IdSource(running.clock),
        trust=trusted(running.settings.data_dir),
        streets=running.live_roads,
        vehicles=running.transit.vehicles if running.transit is not None else None,
        reaches=running.neighbours.reaches,
        spool=running.spool,
    )
    return interface(parts)


def _front(running: Running, options: Options, routes: Sequence[Route], who: tuple[Access, Audit]) -> Front:
    (access, audit), led = who, Led(running.engine, running.leader)
    return Front(
        listen=(running.settings.host, running.settings.port),
        store=running.store,
        clock=running.clock,
        metrics=running.metrics,
        access=access,
        audit=audit,
        replicas=running.engine.replicas,
        positions=running.positions,
        follow=running.peers.told,
        regions=running.leader.regions,
        routes=routes,
        roads=running.roads,
        mode=options.mode,
        speed=options.speed,
        logins=running.credentials,
        ready=lambda: running.leader.ready and running.peers.ready,
        words={
            "core": led.word,
            "mqtt": running.field.health,
            "redis": running.fanout.health,
            "cells": running.neighbours.health,
            "travel": lambda: "ok" if running.roads is not None else "degraded",
            "disk": running.disk.word,
        },
        watched=(*watched(running.disk, running.spool, running.field), led.watched, running.peers.watched),
        elsewhere=running.peers.alarms,
    )
