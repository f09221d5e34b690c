"""Callers of a simulated world: what people do with telephones, sensible and otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from dispatch.core import commands as c
from dispatch.core.plans import PLANS
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    CallId,
    CallStatus,
    Channel,
    LocationFix,
    Priority,
    RegionId,
    Service,
    Source,
)
from simulators.plane import Point, location, near, point_in

if TYPE_CHECKING:
    from simulators.world import World

TYPES = tuple(PLANS)
DEVICE = ActorId("device:line")
BURST, BURST_S = 19, 30.0
"""How many more call about the same thing, and within how many seconds."""


class Callers:
    """People who call, call again about the same thing, say nothing, hang up, or are somewhere else."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._regions = tuple(world.writers)
        self._known: list[tuple[RegionId, Point, str]] = []

    def begin(self) -> None:
        """Spread the calls over the storm."""
        for region in self._regions:
            for _ in range(self.world.plan.calls_each):
                self.world.later(self.world.chance.uniform(1, self.world.plan.storm_s * 0.9), self._caller(region))

    def _caller(self, region: RegionId) -> Callable[[], None]:
        return lambda: self._call(region)

    def _call(self, region: RegionId) -> None:
        world, chance = self.world, self.world.chance
        point, kind = point_in(self._regions.index(region), chance), chance.choice(TYPES)
        if self._known and world.strikes("calls_again"):
            region, old, kind = chance.choice(self._known)
            point = near(old, 250.0, chance)
        self._known.append((region, point, kind))
        if world.strikes("bursts"):
            for _ in range(BURST):
                world.later(chance.uniform(0, BURST_S), lambda: self._contact(region, near(point, 250.0, chance), kind))
        self._contact(region, point, kind)

    def _contact(self, region: RegionId, point: Point, kind: str) -> None:
        world, chance = self.world, self.world.chance
        call_id = CallId(f"c{len(world.received):04}")
        world.received.append(call_id)
        located = None if world.strikes("unlocated") else location(point, (region,), world.now, chance)
        known = chance.random()
        world.submit(
            region,
            c.ReceiveCall(
                actor=DEVICE,
                call_id=call_id,
                channel=chance.choice(tuple(Channel)),
                service=chance.choice(tuple(Service)) if known < 0.3 else None,
                incident_type=kind if known > 0.6 else None,
                priority=chance.choice((None, *Priority)),
                location=located,
                has_number=chance.random() < 0.7,
                silent=world.strikes("says_nothing"),
            ),
        )
        if located is None or chance.random() < 0.4:
            for after_s in (30, 60)[: chance.choice((1, 1, 2))]:
                world.later(chance.expovariate(1 / after_s), lambda: self._located(call_id, region, point))
        if world.strikes("hangs_up"):
            world.later(chance.expovariate(1 / 20), lambda: self._hung_up(call_id))

    def _hung_up(self, call_id: CallId) -> None:
        self._where_it_is(call_id, c.MoveCall(actor=SYSTEM, call_id=call_id, status=CallStatus.ABANDONED))

    def _located(self, call_id: CallId, region: RegionId, point: Point) -> None:
        """Evidence that comes later, sometimes from another region or from the border."""
        world, chance = self.world, self.world.chance
        regions = [region]
        if world.strikes("wrong_region"):
            other = chance.choice(self._regions)
            regions = [other] if chance.random() < 0.8 else [other, region]
            point = point_in(self._regions.index(other), chance)
        skew_s = chance.uniform(-7200, 7200) if world.strikes("clock_skewed") else 0.0
        at = world.now + timedelta(seconds=skew_s)
        fix = LocationFix(source=Source.AML, at=at, lat=point[0], lon=point[1], accuracy_m=30.0)
        found = location(point, regions, at, chance) if chance.random() < 0.9 else None
        said = c.LocateCall(actor=DEVICE, call_id=call_id, fix=fix, location=found)
        if self._where_it_is(call_id, said):
            world.seen.setdefault(call_id, []).append(fix)

    def _where_it_is(self, call_id: CallId, command: c.Command) -> bool:
        """The service looks up which region has the call, or had it; on the way between two it may ask the wrong one.
        Whether that took the command.
        """
        having = [r for r, w in self.world.writers.items() if call_id in w.state.calls or call_id in w.state.gone]
        return bool(having) and self.world.submit(self.world.chance.choice(having), command) is None
