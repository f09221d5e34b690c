"""Crews of a simulated world: they acknowledge, refuse, fall silent, skip buttons, drive, work and report late.

A crew knows only what reached it over the line. Its reports are repeated until their receipt is here, one
after the other, as real devices do; whatever it says may come late, twice or never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core.lifecycle import FREE
from dispatch.core.needs import live
from dispatch.core.terms import (
    ActorId,
    AssignmentId,
    Body,
    Order,
    OrderId,
    OrderKind,
    Refusal,
    RegionId,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)
from simulators.plane import Point, metres_between, point_in
from simulators.writer import UNHEARD, Broken

if TYPE_CHECKING:
    from simulators.world import World

SPEED_MPS = 15.0
REPEAT_S = 6.0
LOST_AFTER_S = 30.0
SLOW_S = 600.0
ORDERS_KNOWN = 16
_OVER = frozenset({"assignment_over", "no_assignment", "unit_unavailable"})

KINDS: tuple[tuple[Body, str, tuple[str, ...]], ...] = (
    (Body.MOH, "ambulance", ("bls",)),
    (Body.MOH, "ambulance", ("als", "bls")),
    (Body.MES, "engine", ("pump",)),
    (Body.MIA, "car", ("patrol", "traffic")),
    (Body.MES, "truck", ("rescue", "pump")),
    (Body.MOH, "ambulance", ("bls", "als")),
    (Body.MIA, "car", ("patrol",)),
    (Body.GAS, "van", ("gas_emergency",)),
    (Body.MES, "engine", ("pump",)),
    (Body.MIA, "car", ("traffic",)),
    (Body.NASP, "van", ("social",)),
    (Body.MOH, "ambulance", ("bls",)),
)


class Fix(NamedTuple):
    """The last that is known of where a crew is."""

    lat: float
    lon: float
    age_s: float
    cut_off: bool


class Said(NamedTuple):
    """A status as the crew meant it: when it was really said, and of which job, whether it names that or not."""

    report: c.ReportStatus
    at: datetime
    job: Job | None


class Job(msgspec.Struct, frozen=True):
    """What a crew believes that it has to do."""

    assignment_id: AssignmentId
    target: Point


class Crew:
    """One crew and its device."""

    def __init__(self, world: World, unit: Unit, home: Point) -> None:
        self.world = world
        self.unit_id, self.region, self.body = unit.unit_id, unit.region, unit.body
        self.online = True
        self.silent = False
        self.cut_off = False
        self.skew_s = 0.0
        self.behind_s = world.chance.uniform(-SLOW_S, SLOW_S) if world.strikes("clock_skewed") else 0.0
        """How slow its clock is, or fast."""
        self.jumped_to: Point | None = None
        self.job: Job | None = None
        self._at = home
        self._heard_s = 0.0
        self._known: deque[str] = deque(maxlen=ORDERS_KNOWN)
        self._acknowledged: set[OrderId] = set()
        """What its device has said so far of its orders was heard."""
        self._outbox: deque[Said] = deque()
        self._reports = 0
        self._pushing = False

    @property
    def actor(self) -> ActorId:
        return ActorId(f"unit:{self.unit_id}")

    def fix(self) -> Fix:
        """Where its device says the crew is, as old as its last word when it is offline, by its own clock."""
        age_s = 5.0 if self.online else self.world.now_s - self._heard_s
        return Fix(*(self.jumped_to or self._at), max(0.0, age_s + self.skew_s), self.cut_off)

    # Orders

    def hear(self, order: Order) -> None:
        """An order arrives; one that comes again is acknowledged again and not obeyed again."""
        if not self.online:
            return
        self._say_of(order, Stage.DELIVERED)
        if order.order_id in self._known or self.silent:
            return
        self._known.append(order.order_id)
        chance = self.world.chance
        if self.world.strikes("falls_silent"):
            self.silent = True
            self.world.later(chance.uniform(60, 400), self._wake)
            return
        self.world.later(chance.uniform(1, 20), lambda: self._answer(order))

    def _wake(self) -> None:
        self.silent = False

    def _answer(self, order: Order) -> None:
        if order.kind is OrderKind.MESSAGE:
            if self.job is not None and self.job.assignment_id == order.assignment_id:
                self.take(order.assignment_id)
            return
        if order.kind not in (OrderKind.DISPATCH, OrderKind.DIVERT):
            self._say_of(order, Stage.ACCEPTED)
            if self.job is not None and self.job.assignment_id == order.assignment_id:
                self.job = None
                self.report(UnitStatus.AVAILABLE)
            return
        if self.world.strikes("refuses"):
            self._say_of(order, Stage.REFUSED)
            self.world.later(self.world.chance.uniform(60, 300), lambda: self.report(UnitStatus.AVAILABLE))
            return
        if self.world.happens(0.5):
            self._say_of(order, Stage.SEEN)
        self._say_of(order, Stage.ACCEPTED)
        self.take(order.assignment_id)

    def take(self, assignment_id: AssignmentId | None) -> None:
        """Set out for an assignment, whatever the crew was at before."""
        target = self._target()
        assert assignment_id is not None
        self.job = job = Job(assignment_id, target)
        self._step(UnitStatus.EN_ROUTE, job)
        drive_s = metres_between(self._at, target) / SPEED_MPS + 5.0
        self.world.later(drive_s, lambda: self._arrive(job))

    def _target(self) -> Point:
        """Where the incident is as the state has it; the order's own copy would be as good."""
        state = self.world.writers[self.region].state
        unit = state.units[self.unit_id]
        incident = state.incidents.get(unit.incident_id) if unit.incident_id else None
        if incident is None or incident.location is None:
            return self._at
        return incident.location.lat, incident.location.lon

    # Work

    def _arrive(self, job: Job) -> None:
        if self.job is not job:
            return
        if self.world.strikes("leaves_early"):
            self._end(job, UnitStatus.AVAILABLE)
            return
        self._at = job.target
        self._step(UnitStatus.ON_SCENE, job)
        self.world.later(self.world.chance.uniform(30, 180), lambda: self._leave(job))

    def _leave(self, job: Job) -> None:
        if self.job is not job:
            return
        if self.world.strikes("breaks_down"):
            self._end(job, UnitStatus.OUT_OF_SERVICE)
            self.world.later(self.world.chance.uniform(100, 400), lambda: self.report(UnitStatus.AVAILABLE))
        elif self.body is Body.MOH and self.world.happens(0.5):
            self._step(UnitStatus.TRANSPORTING, job)
            self.world.later(self.world.chance.uniform(40, 120), lambda: self._hand_in(job))
        else:
            self._end(job, self.world.chance.choice((UnitStatus.AVAILABLE, UnitStatus.RETURNING)))

    def _hand_in(self, job: Job) -> None:
        if self.job is job:
            self._step(UnitStatus.AT_FACILITY, job)
            self.world.later(40.0, lambda: self._end(job, UnitStatus.AVAILABLE))

    def _end(self, job: Job, status: UnitStatus) -> None:
        if self.job is not job:
            return
        self._report_of(job, status)
        self.job = None
        if status is UnitStatus.RETURNING:
            self.world.later(60.0, self._home)

    def _home(self) -> None:
        if self.job is None:
            self.report(UnitStatus.AVAILABLE)

    def _step(self, status: UnitStatus, job: Job) -> None:
        if not self.world.strikes("skips_step"):
            self._report_of(job, status)

    def _report_of(self, job: Job, status: UnitStatus) -> None:
        """What is said at work: four of five say of which."""
        self.report(status, job.assignment_id if self.world.happens(0.8) else None, job)

    # The device

    def report(self, status: UnitStatus, assignment_id: AssignmentId | None = None, job: Job | None = None) -> None:
        """Say a status, again and again until the receipt is here; the next one waits behind it."""
        self._reports += 1
        made = c.ReportStatus(
            actor=self.actor,
            unit_id=self.unit_id,
            status=status,
            status_id=f"s{self._reports}",
            assignment_id=assignment_id,
        )
        self._outbox.append(Said(made, self.world.now, job))
        if not self._pushing:
            self._pushing = True
            self._push()

    def _push(self) -> None:
        if not self._outbox:
            self._pushing = False
            return
        said = self._outbox[0]
        if self.online:
            self._send(lambda: self._arrived(said))
        self.world.later(REPEAT_S, self._push)

    def _arrived(self, said: Said) -> None:
        refusal = self.world.submit(self.region, replace(said.report, age_s=self._age_s(said.at)))
        if refusal is UNHEARD:
            return
        if refusal is not None and refusal.code == "assignment_over" and said.report.assignment_id is None:
            self._is_over(said)
        self._send(lambda: self._receipt(said, refusal))

    def _age_s(self, said_at: datetime) -> float:
        """How old something that the crew said is by the clock of its device."""
        return max(0.0, (self.world.now - said_at).total_seconds() + self.behind_s)

    def _is_over(self, said: Said) -> None:
        """What a crew says at work is not refused as a word about the past, however slow its clock is: nobody would
        know that it is free. Its device has acknowledged the order by then, so the service knows that clock; where a
        person has done so for it, nobody can.
        """
        state, job = self.world.writers[self.region].state, said.job
        incident_id = state.live.get(job.assignment_id) if job is not None else None
        if job is None or incident_id is None:
            return
        made = next(a for a in live(state.incidents[incident_id]) if a.assignment_id == job.assignment_id)
        acknowledged = made.order_id in self._acknowledged
        if acknowledged and made.delivered_at is not None and made.delivered_at < said.at:
            raise Broken(f"{self.unit_id} said {said.report} at work on {job}, and was told that it is over")

    def _receipt(self, said: Said, refusal: Refusal | None) -> None:
        if not self.online or not self._outbox or self._outbox[0] is not said:
            return
        self._outbox.popleft()
        over = refusal is not None and refusal.code in _OVER
        if over and self.job is not None and said.report.assignment_id == self.job.assignment_id:
            self.job = None

    def _say_of(self, order: Order, stage: Stage) -> None:
        command = c.StageOrder(actor=self.actor, unit_id=self.unit_id, order_id=order.order_id, stage=stage)
        said_at = self.world.now
        if self.online:
            self._send(lambda: self._acknowledge(replace(command, age_s=self._age_s(said_at))))

    def _acknowledge(self, command: c.StageOrder) -> None:
        if self.world.submit(self.region, command) in (None, UNHEARD):
            self._acknowledged.add(command.order_id)

    def _send(self, deliver: Callable[[], None]) -> None:
        self.world.line.send(self.region, deliver)

    def _put(self, command: c.Command) -> None:
        self.world.submit(self.region, command)

    def drop_link(self) -> None:
        """The device is off the net for a while; the broker says so after LOST_AFTER_S."""
        if not self.online:
            return
        self.online, self._heard_s = False, self.world.now_s
        self.world.later(LOST_AFTER_S, self._missed)
        self.world.later(self.world.chance.uniform(10, 500), self.raise_link)

    def _missed(self) -> None:
        if not self.online:
            self._put(c.ReportLink(actor=self.actor, unit_id=self.unit_id, linked=False))

    def raise_link(self) -> None:
        """The device is back, and says so."""
        self.online = True
        command = c.ReportLink(actor=self.actor, unit_id=self.unit_id, linked=True)
        self._send(lambda: self._put(command))

    def called_by_radio(self) -> None:
        """In the calm a dispatcher asks each crew what it is at, and both sides agree again."""
        unit = self.world.writers[self.region].state.units[self.unit_id]
        self.silent = self.cut_off = False
        self.jumped_to, self.skew_s, self.behind_s = None, 0.0, 0.0
        if not self.online:
            self.raise_link()
        if unit.assignment_id is not None and (self.job is None or self.job.assignment_id != unit.assignment_id):
            self.take(unit.assignment_id)
        elif unit.assignment_id is None and self.job is None and unit.status not in FREE:
            if not unit.on_shift:
                self._put(c.ShiftUnit(actor=self.actor, unit_id=self.unit_id, on_shift=True))
            self.report(UnitStatus.AVAILABLE)
        elif not unit.linked:
            self._put(c.ReportLink(actor=self.actor, unit_id=self.unit_id, linked=True))


def muster(world: World) -> None:
    """Register every unit of every region, most of them on shift."""
    for place, region in enumerate(world.writers):
        for number in range(world.plan.units_each):
            crew = _crew(world, region, place, number)
            world.crews[crew.unit_id] = crew


def _crew(world: World, region: RegionId, place: int, number: int) -> Crew:
    body, kind, capabilities = KINDS[number % len(KINDS)]
    name = f"{region[-2:]}{number:02}"
    unit = Unit(
        unit_id=UnitId(name),
        call_sign=name,
        region=region,
        body=body,
        kind=kind,
        capabilities=capabilities,
        station=f"{region}-{number % 3}",
        since=world.now,
        status=UnitStatus.AVAILABLE,
        on_shift=world.happens(0.9),
    )
    world.submit(region, c.RegisterUnit(actor=ActorId("user:admin"), unit=unit))
    return Crew(world, unit, point_in(place, world.chance))
