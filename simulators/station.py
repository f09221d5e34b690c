"""One process of the service, put together as in the live system, on simulated servers and virtual time.

Engine, committer, leader, intake with its spool, field and boards are the product's own; only what is beyond
them is a twin. A station may be killed, frozen and thawed, and be started again in the same data directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from consoles.access import Access
from consoles.broadcast import Broadcast, Scene
from consoles.carrying import ANSWERED_PATH, CARRY_LIMIT_S, PATH, SCHEME, Carried, Carrier, Known
from consoles.gateway import Gateway
from dispatch.actors import Actor, Role
from dispatch.calling.contacts import Contacts
from dispatch.calling.evidence import Evidence, fix_of
from dispatch.calling.locating import Locator
from dispatch.calling.reception import Reception
from dispatch.cells.neighbours import Neighbours
from dispatch.core.terms import ActorId, Body, Location, LocationFix, RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.fanout import LocalFanout
from dispatch.field import Field, FieldPlan
from dispatch.following.follower import Follower
from dispatch.following.polled import PolledFanout
from dispatch.ids import IdSource
from dispatch.intake import Intake
from dispatch.keeping.spool import Spool
from dispatch.units.line import LinePlan
from dispatch.web.bodies import decode
from dispatch.web.metrics import Metrics
from dispatch.writing.keys import Key
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Process
from dispatch.writing.upkeep import kept_up
from simulators.faults import Dice
from simulators.plane import STEP, WEST
from simulators.twins import TRIP_S, Broker, BrokerLine, ConsoleSocket, Database
from simulators.virtual import Owner, VirtualClock

T = TypeVar("T")


class PlaneLocator(Locator):
    """Places evidence on the plane: the last point counts, and the boxes side by side are the regions."""

    def __init__(self, regions: Sequence[RegionId]) -> None:
        self._names = tuple(regions)

    def fixes(
        self, evidence: Sequence[Evidence], now: datetime, wall: datetime | None = None
    ) -> tuple[LocationFix, ...]:
        return tuple(fix_of(piece, now, wall) for piece in evidence)

    def estimate(self, fixes: Sequence[LocationFix], now: datetime) -> Location | None:
        placed = [fix for fix in fixes if fix.lat is not None]
        if not placed:
            return None
        fix = placed[-1]
        assert fix.lat is not None and fix.lon is not None
        box = min(len(self._names) - 1, max(0, int((fix.lon - WEST) / STEP)))
        return Location(
            lat=fix.lat,
            lon=fix.lon,
            accuracy_m=fix.accuracy_m or 50.0,
            source=fix.source,
            at=fix.at,
            regions=(self._names[box],),
        )


class Doorkeeper:
    """Lets every console in: log-ins have tests of their own."""

    def __init__(self) -> None:
        self.on_over: list[Callable[[str], None]] = []

    async def actor_of_handshake(self, socket: ConsoleSocket) -> Actor:
        """A dispatcher, or somebody of the body whose view is asked for."""
        view = socket.query["view"]
        body = Body(view.partition(":")[2]) if view != "full" else None
        role = Role.BODY if body else Role.DISPATCHER
        return Actor(actor_id=ActorId(f"user:{view}"), role=role, username=view, body=body, session=view)


class Servers:
    """What all processes of a world share. `doors`: who answers at an address now.

    `ended` is told of every task that a process was given and that came to its end, whoever waits for it.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: VirtualClock,
        *,
        dice: Dice,
        ended: Callable[[asyncio.Task[Any]], None],
    ) -> None:
        self.loop = broker.loop
        self.clock = clock
        self.database = database
        self.broker = broker
        self.dice = dice
        self.ended = ended
        self.world = Context()
        self.doors: dict[str, Station] = {}

    async def nobody_listens(self, address: str) -> bool:
        """Whether a knock at a process's door is refused: one that is frozen or cut off refuses nothing."""
        await asyncio.sleep(self.loop.chance.uniform(*TRIP_S))
        door = self.doors.get(address)
        return door is None or not door.alive


class Station:
    """One life of one process, from its start until it is killed."""

    def __init__(
        self,
        servers: Servers,
        name: str,
        folder: Path,
        *,
        regions: Sequence[RegionId],
        after_commit: Callable[[Station], None],
        published: Callable[[Station, str, bytes], None],
    ) -> None:
        self.name = name
        self.folder = folder
        self.owner = Owner(name)
        self._servers = servers
        loop, clock = servers.loop, servers.clock
        self.store = servers.database.line(lambda: after_commit(self))
        self.positions = Positions()
        self.engine = Engine(self.store, clock, Reacher(self.positions, None), self.positions)
        self.engine.now_s = loop.time
        self.positions.region_of = self.engine.region_of_unit
        self.leader = Leader(self.engine, self.store, regions, name)
        self.neighbours = Neighbours(self.engine, self.store, clock)
        self.metrics = Metrics()
        ids = IdSource(clock, seed=loop.chance.getrandbits(32))
        self.spool = Spool(folder)
        self.spool.load()
        self.reception = Reception(self.engine, PlaneLocator(regions), ids, clock)
        contacts = Contacts(self.store, ids, clock, self.metrics)
        self.neighbours.inbox.hear_evidence = self.reception.hear
        self.intake = Intake(self.reception, contacts, self.metrics, self.spool)
        self.field = self._field(partial(published, self))
        self.fanout = LocalFanout(self.store)
        self.engine.on_commit.append(lambda region, recorded, events: self.fanout.publish(region, recorded))
        self.broadcast = Broadcast(
            self.engine.replicas, self.positions, clock=clock, metrics=self.metrics, scene=Scene(mode="SIMULATION")
        )
        self.engine.on_commit.append(self.broadcast.committed)
        self.gateway = Gateway(self.broadcast, cast(Access, Doorkeeper()))
        self.polled = PolledFanout(self.store)
        self._beside(Follower(self.store, self.polled, self.engine.replicas, None))

    def _beside(self, follower: Follower) -> None:
        """The other processes: their regions followed, what belongs to them carried to them."""
        leases = self.leader.leases
        leases.address = self.name
        leases.knock = self._servers.nobody_listens
        self.leader.before_led.append(follower.leave)
        leases.on_elsewhere.append(follower.begin)
        follower.on_commit.append(self.broadcast.committed)
        self.carrier = Carrier(self.intake, self.neighbours.inbox, leases, self._posted)
        self.intake.drain.carry, self.intake.ask = self.carrier.carry, self.carrier.ask
        self.neighbours.beside(self.carrier)

    async def _posted(self, process: Process, path: str, raw: bytes) -> tuple[int, bytes]:
        """What is HTTP between two processes: nobody listens, or the request or its answer is lost, or late."""
        loop, dice = self._servers.loop, self._servers.dice
        await asyncio.sleep(loop.chance.uniform(*TRIP_S))
        door = self._servers.doors.get(process.address)
        if door is None or not door.alive or dice.strikes("lost"):
            raise ServiceAway(f"nobody listens at {process.address}")
        answering = door.spawn(door.posted(SCHEME + process.secret, path, raw))
        await asyncio.wait([answering], timeout=CARRY_LIMIT_S)
        if not answering.done() or dice.strikes("answers_lost"):
            raise ServiceAway(f"{process.address} does not answer")
        await asyncio.sleep(loop.chance.uniform(*TRIP_S))
        return answering.result()

    async def posted(self, shown: str, path: str, raw: bytes) -> tuple[int, bytes]:
        """The answer to another process: status and body."""
        if not self.carrier.admits(shown):
            return 401, b""
        try:
            if path == PATH:
                kept = await self.carrier.keep(decode(raw, Carried))
                return (204, b"") if kept is None else (200, msgspec.json.encode(kept))
            if path == ANSWERED_PATH:
                return 200, msgspec.json.encode(Known(await self.intake.answered(decode(raw, Key))))
            return 200, msgspec.json.encode(await self.carrier.answered(raw))
        except ServiceAway:
            return 503, b""

    def _field(self, published: Callable[[str, bytes], None]) -> Field:
        servers = self._servers

        def connect(plan: LinePlan, **ears: Any) -> BrokerLine:
            enter = partial(servers.loop.call, self.owner)
            return BrokerLine(plan, broker=servers.broker, published=published, enter=enter, **ears)

        states = self.engine.replicas.states
        plan = FieldPlan(url="mqtt://simulated", name=self.name)
        made = Field(self.engine, self.positions, plan, states=states, clock=servers.clock, connect=connect)
        self.leader.on_led.append(made.led)
        return made

    @property
    def alive(self) -> bool:
        """Whether the process is there at all, frozen or not."""
        return not self.owner.dead

    @property
    def answers(self) -> bool:
        """Whether whoever asks it now gets an answer."""
        return not (self.owner.dead or self.owner.frozen)

    @property
    def well(self) -> bool:
        """Whether nothing keeps it from its work: it runs, and reaches the database and the broker."""
        return self.answers and not self.store.faults.away and self.store.prompt and self.field.line.up

    def start(self) -> None:
        """Begin: claim what can be claimed, and open the door."""
        self._servers.doors[self.name] = self
        works = {
            "engine": self.engine.run,
            "leader": self.leader.run,
            "cells": self.neighbours.run,
            "peers": self.polled.run,
            "field": self.field.run,
            "intake": self.intake.drain.run,
            "fanout": self.fanout.run,
            "broadcast": self.broadcast.run,
            "gateway": self.gateway.sittings.run,
        }
        for name, work in works.items():
            self.spawn(kept_up(name, work, self.metrics))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in this process. What it fails with is judged, also when whoever asked for it has gone."""
        task = self._servers.loop.spawn(self.owner, work)
        task.add_done_callback(self._servers.ended, context=self._servers.world)
        return task

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more, and nobody is told."""
        self.owner.dead = True
        self.store.faults.away = True

    def freeze(self) -> None:
        """SIGSTOP: nothing of it runs until it is thawed."""
        self.owner.frozen = True

    def thaw(self) -> None:
        """SIGCONT: it goes on and does not know that time has passed."""
        if self.owner.frozen:
            self._servers.loop.thaw(self.owner)

    def faults(self) -> int:
        """How many bugs of our own were caught in this process."""
        samples = [s for m in self.metrics.faults.collect() for s in m.samples if s.name.endswith("_total")]
        return int(sum(sample.value for sample in samples)) + self.field.lanes.faults
