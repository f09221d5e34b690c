"""A country's load in real time, over the public interfaces alone: callers by HTTP, staff at boards, crews over
MQTT, all in one process that shares nothing with the service. At the end it says what it has measured.

The parts are their own files: phoning (callers), operators (staff), crews, checking (what was kept).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from dispatch.core.terms import UnitId
from dispatch.errors import ServiceAway, UserMistake
from dispatch.formats.mqtt import Order
from dispatch.maps import imported_roads
from routing import roads
from routing.geometry import Point
from routing.travel import Travel
from simulators.arrivals import CALLS_A_DAY, HIGHEST, LOCAL, Arrivals, shares
from simulators.barriers import Barriers
from simulators.checking import doubles, incident_statuses, kept_calls, units
from simulators.client import Client, Counts
from simulators.country import SHARE, UnitSpec, roster
from simulators.crews import Crews
from simulators.mirror import Mirror, Row, View
from simulators.operators import Calls, CallTakers, Dispatchers
from simulators.pace import Pace
from simulators.phoning import Phoning
from simulators.report import Courses, LoadReport

READY_LIMIT_S = 30.0
ANSWERS_LIMIT_S = 5.0
STATUS_EVERY_S = 5.0

log = logging.getLogger(__name__)

Credentials = dict[str, dict[str, Any]]
Say = Callable[[str], None]


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate. `calls_per_minute` counts service minutes, None: the hour's own rate; `seconds` and
    everything else about the run itself count wall time, None: until stopped.
    """

    seed: int = 112
    calls_per_minute: float | None = None
    seconds: float | None = None
    share: float = SHARE
    units: int | None = None
    consoles: int = 0
    cache_dir: Path = Path(".data/cache")
    map: Path | None = None
    say: Say = print


async def run(
    url: str, mqtt_url: str, credentials: Credentials, options: LoadOptions, stop: asyncio.Event
) -> LoadReport:
    """Load the service until `stop` is set or the time is over, then check and report. Raises ServiceAway."""
    async with contextlib.AsyncExitStack() as stack:
        world = _World(url, credentials, options)
        for client in world.clients.values():
            stack.push_async_callback(client.close)
        await world.begin(stack, mqtt_url)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_first(stop.wait(), world.failed), options.seconds)
        return await world.end()


class _World:
    """The parts of a load, and the order in which they come and go."""

    def __init__(self, url: str, credentials: Credentials, options: LoadOptions) -> None:
        self.options = options
        self.counts = Counts()
        self.clients = {
            role: Client(url, credentials[role]["token"], self.counts)
            for role in ("device", "call_taker", "dispatcher", "supervisor")
        }
        self.mirror = Mirror(url, credentials["dispatcher"]["token"])
        self.more = [Mirror(url, credentials["dispatcher"]["token"]) for _ in range(options.consoles)]
        self.own_unit = str(credentials.get("unit", {}).get("unit_id", ""))
        self.failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[Any]] = []

    async def begin(self, stack: contextlib.AsyncExitStack, mqtt_url: str) -> None:
        """Consoles first, then crews, then staff, and calls last."""
        stack.push_async_callback(self._cancel)
        self._go(self.mirror.run())
        await _within(self.mirror.ready(), "the boards")
        for mirror in self.more:
            self._go(mirror.run())
        self.pace = Pace(self.mirror.hello["speed"], datetime.fromisoformat(self.mirror.hello["at"]))
        self.mirror.on_time.append(self.pace.heard)
        self.courses = Courses(self.pace.now())
        self.mirror.listeners.append(self._incidents)
        for view in self.mirror.views.values():
            self._incidents(view, None)
        await self._raise_crews(mqtt_url)
        self._hire()
        self.begun_s, self.begun_service_s = monotonic(), self.pace.seconds()
        arrivals = Arrivals(self.options.seed, self.options.calls_per_minute)
        self._calling = self._go(self.phoning.run(arrivals))
        self._go(self._status())

    async def end(self) -> LoadReport:
        """No more calls; wait for the last answers, then read everything back."""
        self._calling.cancel()
        ended_s, now = monotonic(), self.pace.now()
        service_s = self.pace.seconds() - self.begun_service_s
        await self.phoning.close(ANSWERS_LIMIT_S)
        reader = self.clients["supervisor"]
        kept = await kept_calls(reader, self.phoning.accepted)
        ours = self.courses.ours()
        statuses = await incident_statuses(reader, ours)
        double = {*self.courses.double, *await doubles(reader)}
        old = self.courses.old(now)
        cleared_old = sum(statuses.get(i) == "closed" for i in old)
        phoned, delivered = self.phoning.counts, self.courses.delivered(self._automatic())
        return LoadReport(
            calls_accepted=len(self.phoning.accepted),
            calls_located=kept.located,
            incidents_opened=len(ours),
            incidents_assigned=sum(course.assigned_at is not None for course in ours.values()),
            incidents_cleared=sum(
                statuses.get(i) == "closed" and course.assigned_at is not None for i, course in ours.items()
            ),
            calls_lost=len(kept.lost),
            double_assignments=len(double),
            refused=self.counts.refused.total(),
            call_to_commit_ms=self.phoning.to_commit.latency(),
            call_to_console_ms=self.phoning.to_console.latency(),
            call_to_order_delivered_ms=delivered.latency(),
            incidents_assigned_over_45_min_ago=len(old),
            of_those_cleared=cleared_old,
            of_those_cleared_percent=round(100 * cleared_old / len(old), 1) if old else None,
            seconds=round(ended_s - self.begun_s, 1),
            service_minutes=round(service_s / 60, 1),
            speed=self.pace.speed,
            seed=self.options.seed,
            calls_offered=phoned["offered"],
            calls_not_accepted=phoned["not_accepted"],
            calls_lost_ids=list(kept.lost)[:100],
            refused_by_code=dict(self.counts.refused),
            details=self._details(kept.by_status, statuses) | {"double": sorted(double)[:20]},
        )

    def _details(self, calls: dict[str, int], incidents: dict[str, str]) -> dict[str, Any]:
        words = list(incidents.values())
        return {
            "callers": dict(self.phoning.counts),
            "call_takers": dict(self.takers.counts),
            "dispatchers": dict(self.dispatchers.counts),
            "crews": dict(self.crews.counts),
            "radio": dict(self.crews.said()),
            "calls_by_status": calls,
            "incidents_by_status": {word: words.count(word) for word in sorted(set(words))},
            "requests": self.counts.requests,
            "requests_sent_again": self.counts.again,
            "requests_failed": self.counts.failed,
            "console_frames": self.mirror.frames,
            "console_reconnects": self.mirror.reconnects,
            "kept_waiting_for_a_unit": self.courses.kept_waiting(self._automatic()),
            "units_simulated": len(self.crews),
            "call_takers_hired": sum(desk.staff for desk in self.takers.desks.values()),
        }

    async def _raise_crews(self, mqtt_url: str) -> None:
        """The crews of the roster's units that the service has; the one that people may log in as is theirs."""
        options = self.options
        imported = partial(imported_roads, options.map) if options.map is not None else None
        travel = Travel(await asyncio.to_thread(imported or partial(roads.demo, options.cache_dir)))
        known = {row["unit_id"]: row for row in await units(self.clients["supervisor"])}

        def snap(lat: float, lon: float) -> Point:
            found = travel.snap(lat, lon)
            return Point(found.lat, found.lon)

        specs = [
            spec
            for spec in roster(options.seed, options.share, snap)
            if spec.unit_id in known and spec.unit_id != self.own_unit
        ][: options.units]
        if not specs:
            raise UserMistake("the service has none of the demo's units: was it started with another --seed?")
        self.crews = Crews(specs, mqtt_url, travel=travel, pace=self.pace, seed=options.seed)
        self.crews.on_order.append(self._ordered)
        barriers = Barriers(self.clients["dispatcher"], travel, self.pace)
        barriers.on_change.append(self.crews.roads_changed)
        self._go(barriers.run())
        self._go(self.crews.run())
        await _within(self.crews.ready(), "the broker")
        await self._resume(specs, known)

    async def _resume(self, specs: list[UnitSpec], known: dict[str, Row]) -> None:
        """What units were at when the load of last time ended goes on."""
        for spec in specs:
            row = known[spec.unit_id]
            order = None
            if row["assignment_id"] is not None:
                order = await self._order_of(row)
            self.crews.resume(spec.unit_id, row["status"], order)

    async def _order_of(self, row: Row) -> Order:
        """The order that a unit must have had."""
        answer = await self.clients["supervisor"].get(f"incidents/{row['incident_id']}")
        location, now = answer.body.get("location"), self.pace.now()
        return Order(
            order_id=f"{row['assignment_id']}.go",
            kind="dispatch",
            at=now,
            expires_at=now,
            assignment_id=row["assignment_id"],
            incident={"priority": answer.body.get("priority")} | ({"location": location} if location else {}),
        )

    def _hire(self) -> None:
        """Staff for the rate of calls, and the callers' telephones."""
        options, clients = self.options, self.clients
        calls: Calls = {}
        run = f"load-{options.seed}-{int(self.pace.now().timestamp() * 1000):x}"
        self.phoning = Phoning(
            clients["device"],
            self.mirror,
            calls,
            pace=self.pace,
            courses=self.courses,
            seed=options.seed,
            run=run,
        )
        self.takers = CallTakers(
            clients["call_taker"], self.mirror, calls, pace=self.pace, tally=self.courses, seed=options.seed
        )
        self.dispatchers = Dispatchers(clients["dispatcher"], self.mirror, pace=self.pace, seed=options.seed)
        per_minute = options.calls_per_minute or CALLS_A_DAY / 1440 * HIGHEST
        for region, share in shares().items():
            if region in self.mirror.views:
                self.takers.hire(region, per_minute / 60 * share)
        self.mirror.listeners.append(self.takers.listen)
        self._go(self.takers.run())
        self._go(self.dispatchers.run())

    def _incidents(self, view: View, changes: Row | None) -> None:
        rows = view.board["incidents"] if changes is None else changes.get("incidents", {})
        concerned: list[str] = []
        for incident_id, row in rows.items():
            concerned += self.courses.row(view.region, incident_id, row)
        self.courses.check(concerned)

    def _ordered(self, unit_id: UnitId, order: Order) -> None:
        incident_id = order.incident.get("incident_id")
        if order.kind == "dispatch" and incident_id is not None:
            self.courses.order(incident_id, monotonic())

    def _automatic(self) -> dict[str, bool]:
        return {region: view.board["policy"]["dispatch"] == "automatic" for region, view in self.mirror.views.items()}

    async def _status(self) -> None:
        """One line every few seconds."""
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            boards = [view.board for view in self.mirror.views.values()]
            waiting = sum(sum(board["counts"]["waiting"].values()) for board in boards)
            ringing = sum(sum(board["counts"]["calls"].values()) for board in boards)
            free = sum(board["counts"]["units"]["free"] for board in boards)
            total = sum(board["counts"]["units"]["total"] for board in boards)
            commit = self.phoning.to_commit.latency()
            self.options.say(
                f"{self.pace.now().astimezone(LOCAL):%H:%M:%S}  {len(self.phoning.accepted):,} calls"
                f"  {ringing} at the desks  {sum(len(b['incidents']) for b in boards):,} incidents"
                f" ({waiting} waiting)  {free:,} of {total:,} units free  call kept in {commit.p50 or 0:.0f} ms"
            )

    def _go(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """None of the parts ends by itself: when one does, the load is over, and says why."""
        if not task.cancelled() and not self.failed.done():
            log.error("a part of the load ended", exc_info=task.exception())
            self.failed.set_result(None)

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _first(*waited: Awaitable[object]) -> None:
    """Return when one of them is done."""
    tasks = [asyncio.ensure_future(one) for one in waited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _within(work: Awaitable[None], what: str) -> None:
    try:
        await asyncio.wait_for(work, READY_LIMIT_S)
    except TimeoutError:
        raise ServiceAway(f"{what} did not answer within {READY_LIMIT_S:.0f} s") from None
