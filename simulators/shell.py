"""A seeded country on virtual time that drives the shell: whole processes, a database, a broker and consoles.

Two processes share the regions by lease. First a storm, in which everything of `Faults` happens to them and
between them; then calm, in which nothing goes wrong any more and everything that was begun must come to an end.
The laws are the ledger's; a fault of our own that a loop caught and logged breaks a world as well.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from dispatch.core import commands as c
from dispatch.core.terms import ActorId, Location, OrderId, RegionId, Source, Unit, UnitId, UnitStatus
from dispatch.errors import ServiceAway
from dispatch.web.problems import Problem
from simulators.aftermath import Aftermath
from simulators.brigades import KINDS
from simulators.caught import caught_bugs
from simulators.faults import CALM, STORM, Dice, Faults
from simulators.ledger import Ledger
from simulators.plane import Point, near, point_in
from simulators.screens import Screen
from simulators.station import Servers, Station
from simulators.townsfolk import Caller, Dispatcher, Handset, asked
from simulators.twins import Broker, Database
from simulators.virtual import Stuck, VirtualClock, VirtualLoop
from simulators.weather import Weather
from simulators.writer import Broken, Fact, our_fault

REGIONS = (RegionId("UZ-TK"), RegionId("UZ-TO"))
NAMES = ("west", "east")
RECENT_KEPT = 30
FIX_EVERY_S = 5.0
SENT_WITHIN_S = 4.0
VIEWS = ("full", "body:moh")
SHARED_MEMORY = Path("/dev/shm")
REFUSALS = (ServiceAway, Problem)
"""What a process may end with instead of doing what it was asked: these are answers, and no faults of ours."""


class ShellPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How large a world is and how long it lasts, in seconds of its own time."""

    units_each: int = 7
    calls: int = 14
    storm_s: float = 80.0
    calm_s: float = 900.0


class ShellWorld:
    """One run. `run` returns when all is well and raises Broken when it is not."""

    def __init__(self, seed: int, plan: ShellPlan | None = None, faults: Faults = STORM) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.plan = plan or ShellPlan(
            calls=self.chance.choice((6, 12, 20)), storm_s=self.chance.choice((40.0, 80.0, 120.0))
        )
        # Every other world is a rough one.
        rough = faults.rough() if self.chance.random() < 0.5 else faults
        self.dice = Dice(self.chance, rough.varied(self.chance))
        self.strikes = self.dice.strikes
        self.regions = REGIONS
        self.recent: deque[Fact] = deque(maxlen=RECENT_KEPT)
        self.calm = False
        self.failure: Exception | None = None
        self._judging = True
        self.loop = VirtualLoop(self.chance)
        self.loop.set_exception_handler(self._uncaught)
        self.clock = VirtualClock(self.loop)
        self.stations: dict[str, Station] = {}
        self.past: list[Station] = []
        self.screens: list[Screen] = []
        self.handsets: dict[UnitId, Handset] = {}
        self.callers: list[Caller] = []
        self.ledger = Ledger(REGIONS, self.recent, self.fail, self.clock.now)
        self.weather = Weather(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.calling: set[asyncio.Task[Any]] = set()

    @property
    def events(self) -> int:
        """How many events all regions have written."""
        return self.ledger.events

    @property
    def journal(self) -> list[tuple[str, int, bytes]]:
        """Every event's region, number and hash."""
        return [(r, record.seq, record.hash) for r in REGIONS for record in self.database.journal(r)]

    def run(self) -> None:
        """The storm, the calm, and the final account."""
        shelf = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(dir=shelf, prefix="dispatch112-sim-") as folder, caught_bugs(self.fail):
            self._folder = Path(folder)
            try:
                asyncio.set_event_loop(self.loop)
                self.loop.run_until_complete(self._story_or_failure())
            finally:
                self._end()
        if self.failure is not None:
            raise self.failure

    # What others ask of the world

    def happens(self, probability: float) -> bool:
        """One throw of the dice."""
        return self.chance.random() < probability

    def law(self, judge: Callable[[], None]) -> None:
        """Judge something in a place where nobody could catch a law being broken."""
        try:
            judge()
        except Exception as fault:
            self.fail(fault)

    def fail(self, fault: Exception) -> None:
        """The world is broken: the first fault counts, unless all is over already."""
        if self.failure is None and self._judging:
            self.failure = fault
            if not self._over.done():
                self._over.set_result(None)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Set somebody going who belongs to no process."""
        task = self.loop.create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def leading(self, region: RegionId) -> Station | None:
        """A process that believes to lead the region and answers; with two that believe it, either."""
        found = [s for s in self.stations.values() if s.answers and region in s.engine.led]
        return self.chance.choice(found) if found else None

    def anybody(self) -> Station | None:
        """Any process that answers at all."""
        found = [station for station in self.stations.values() if station.answers]
        return self.chance.choice(found) if found else None

    def location(self, point: Point, region: RegionId) -> Location:
        """An exact estimate of this point."""
        at = self.clock.now()
        return Location(lat=point[0], lon=point[1], accuracy_m=12.0, source=Source.ADDRESS, at=at, regions=(region,))

    def start(self, name: str) -> None:
        """Start a process, for the first time or again after it was killed."""
        station = Station(
            self._servers,
            name,
            self._folder / name,
            regions=REGIONS,
            after_commit=self._committed,
            published=self._published,
        )
        self.stations[name] = station
        self.past.append(station)
        station.start()

    # The story

    async def _story_or_failure(self) -> None:
        self._over: asyncio.Future[None] = self.loop.create_future()
        self.database = Database(self.loop, self.clock, self.ledger.kept)
        self.ledger.epoch_of = self.database.epoch
        self.ledger.answer_to = self.database.answer_to
        self.broker = Broker(self.loop, self.dice)
        self._servers = Servers(self.database, self.broker, self.clock, dice=self.dice, ended=self._ended)
        story = self.begin(self._story())
        await asyncio.wait([story, self._over], return_when=asyncio.FIRST_COMPLETED)

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of somebody's has raised, or a task that a process began and that nobody waits for."""
        fault = context.get("exception")
        if fault is not None and ("handle" in context or not isinstance(fault, REFUSALS)):
            self.fail(our_fault(context["message"], fault))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A process has come to the end of what it was asked for, whether its asker still listens or not."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, REFUSALS):
            self.fail(our_fault("in what a process was asked for", fault))

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as fault:
            self.fail(fault)

    async def _story(self) -> None:
        for name in NAMES:
            self.start(name)
        await self._muster()
        for region in REGIONS:
            self.begin(Dispatcher(self, region).run())
            for view in VIEWS:
                screen = Screen(self, region, view)
                self.screens.append(screen)
                self.begin(screen.run())
        self.begin(self._fixes())
        self.begin(self._orders_go_out())
        self.begin(self._calls())
        await self.weather.storm(self.plan.storm_s)
        self.calm, self.dice.faults = True, CALM
        self.weather.clear()
        aftermath = Aftermath(self)
        await aftermath.settle()
        await aftermath.account()

    async def _muster(self) -> None:
        """Register every unit; there is no trouble yet."""
        for place, region in enumerate(REGIONS):
            for number in range(self.plan.units_each):
                await self._enrol(region, place, number)

    async def _enrol(self, region: RegionId, place: int, number: int) -> None:
        body, kind, capabilities = KINDS[number % len(KINDS)]
        name = UnitId(f"{region[-2:]}{number:02}")
        unit = Unit(
            unit_id=name,
            call_sign=name,
            region=region,
            body=body,
            kind=kind,
            capabilities=capabilities,
            station="base",
            since=self.clock.now(),
            status=UnitStatus.AVAILABLE,
            on_shift=True,
        )
        self.handsets[name] = Handset(self, name, region, point_in(place, self.chance))
        command = c.RegisterUnit(actor=ActorId("user:admin"), unit=unit)
        while True:
            station = self.leading(region)
            if station is not None and await asked(station, station.engine.submit(region, command)) is not None:
                return
            await asyncio.sleep(0.2)

    async def _calls(self) -> None:
        """Callers over the storm, now and then twenty at once about the same thing."""
        for number in range(self.plan.calls):
            await asyncio.sleep(self.chance.expovariate(self.plan.calls / (self.plan.storm_s * 0.8)))
            place = self.chance.randrange(len(REGIONS))
            point = None if self.strikes("unlocated") else point_in(place, self.chance)
            many = 20 if self.strikes("bursts") else 1
            for copy in range(many):
                at = near(point, 200.0, self.chance) if point is not None else None
                caller = Caller(self, number * 100 + copy, place, at)
                self.callers.append(caller)
                self.calling.add(self.begin(caller.run()))

    async def _orders_go_out(self) -> None:
        """Who leads and is well has sent what is committed, whoever committed it."""
        well_since: dict[tuple[Station, RegionId], float] = {}
        while True:
            await asyncio.sleep(1.0)
            now_s, before = self.loop.time(), self.clock.now() - timedelta(seconds=SENT_WITHIN_S)
            leading = {(s, r) for s in self.stations.values() for r in REGIONS if s.well and r in s.engine.led}
            well_since = {pair: well_since.get(pair, now_s) for pair in leading}
            for (station, region), since_s in well_since.items():
                late = self.ledger.unsent(station, region, before)
                if late is not None and now_s - since_s > SENT_WITHIN_S:
                    raise Broken(f"{late} is committed for {SENT_WITHIN_S} s and {station.name} has not sent it")

    async def _fixes(self) -> None:
        """Every unit says where it is, some with a clock that is wrong or from where they are not."""
        while True:
            for handset in self.handsets.values():
                fix = handset.fix()
                for station in self.stations.values():
                    if station.answers:
                        self.loop.call(station.owner, station.positions.put, fix)
            await asyncio.sleep(FIX_EVERY_S)

    def _committed(self, station: Station) -> None:
        """Between a commit and its answer a process may die, and nobody hears of what was kept."""
        if station.alive and self.strikes("dies_unpublished"):
            station.kill()
            self.loop.call_later(self.chance.uniform(0.5, 8.0), self.weather.restart, station)

    def _published(self, station: Station, topic: str, payload: bytes) -> None:
        if topic.endswith("/orders"):
            order_id = OrderId(msgspec.json.decode(payload)["order_id"])
            self.law(lambda: self.ledger.sent(station, order_id, self.clock.now()))

    # The end

    def _end(self) -> None:
        """Let everybody go; nothing of it is judged."""
        self._judging = False
        for station in self.past:
            station.store.faults.away = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.bury([station.owner for station in self.past])
        except (Stuck, ServiceAway):
            pass
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
