"""Simulated crews: they acknowledge, drive along the roads, report, treat, transport, clear, and are human.

They speak MQTT as real devices do, through Radios over the service's account. Positions go out every five
seconds of wall time; everything else happens in service time. How they behave is habits.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from time import monotonic
from typing import Any

from dispatch.core.terms import UnitId
from dispatch.formats.mqtt import Order
from routing.geometry import Point, distance_m, from_lonlat
from routing.travel import Travel
from simulators.country import UnitSpec
from simulators.drives import Drive, Standing, drive, siren_factor
from simulators.habits import (
    LOADING_S,
    OUT_AFTER_REFUSAL_S,
    QUIET_FACTOR,
    REFUSAL_S,
    SILENT_FOR_S,
    Temper,
    temper,
)
from simulators.pace import Pace
from simulators.radio import Radio, RadioPlan
from simulators.sites import sites

REPORT_EVERY_S = 5.0
TICKS = 50
"""Positions are spread over so many moments of their five seconds."""
UNITS_A_RADIO = 400
HOSPITAL_PEOPLE = 60_000
"""A settlement of this size has a hospital; a region without one takes its largest."""

log = logging.getLogger(__name__)

OnOrder = Callable[[UnitId, Order], None]


class Over(Exception):
    """The service says that the assignment is over: the crew stands down."""


class Crew:
    """One unit: where it is, and what it is about."""

    def __init__(self, spec: UnitSpec, radio: Radio, rng: Random) -> None:
        self.spec = spec
        self.radio = radio
        self.rng = rng
        self.drive: Drive | None = None
        self.still = spec.at
        self.task: asyncio.Task[None] | None = None
        self.mood: Temper | None = None
        self.order: Order | None = None
        self.turn = asyncio.Event()

    def where(self, now_s: float) -> Standing:
        """The unit's place at a moment of service time."""
        return self.drive.at(now_s) if self.drive is not None else Standing(self.still, 0.0, None)

    def halt(self, now_s: float) -> Point:
        """Stop wherever the unit is."""
        self.still = self.where(now_s).at
        self.drive = None
        return self.still


class Crews:
    """All simulated units of a load. `run` until cancelled; `on_order` is told each order as it arrives."""

    def __init__(self, units: Sequence[UnitSpec], mqtt_url: str, *, travel: Travel, pace: Pace, seed: int) -> None:
        self.on_order: list[OnOrder] = []
        self.counts: Counter[str] = Counter()
        self._travel = travel
        self._pace = pace
        self._crews: dict[UnitId, Crew] = {}
        self._radios: list[Radio] = []
        for start in range(0, len(units), UNITS_A_RADIO):
            part = units[start : start + UNITS_A_RADIO]
            plan = RadioPlan(url=mqtt_url, name=f"crews-{seed}-{start}", units=tuple(spec.unit_id for spec in part))
            radio = Radio(plan, on_order=self._ordered)
            self._radios.append(radio)
            for spec in part:
                self._crews[spec.unit_id] = Crew(spec, radio, Random(f"{seed}:crew:{spec.unit_id}"))

    def __len__(self) -> int:
        return len(self._crews)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for radio in self._radios:
                    group.create_task(radio.run())
                group.create_task(self._report_positions())
        finally:
            for crew in self._crews.values():
                if crew.task is not None:
                    crew.task.cancel()

    async def ready(self) -> None:
        """Return when every unit hears its orders and has said where it is."""
        for radio in self._radios:
            await radio.ready()
        for crew in self._crews.values():
            await self._say_where(crew)

    def said(self) -> Counter[str]:
        """What the radios said and heard, by kind."""
        total: Counter[str] = Counter()
        for radio in self._radios:
            total.update({name: getattr(radio.counts, name) for name in radio.counts.__struct_fields__})
        return total

    def resume(self, unit_id: UnitId, status: str, order: Order | None) -> None:
        """Take up what the service says that a unit was doing when its crew was last heard."""
        crew = self._crews.get(unit_id)
        if crew is None:
            return
        if order is not None:
            self._begin(crew, self._errand(crew, order))
        elif status in ("out_of_service", "returning"):
            self._begin(crew, self._go_home(crew))

    def roads_changed(self) -> None:
        """Something was closed or opened: whoever has it on the way plans anew, and turns round before a closure."""
        for crew in self._crews.values():
            if crew.drive is not None and crew.drive.is_overtaken(self._travel.ms):
                self.counts["ways_changed"] += 1
                crew.turn.set()

    def _ordered(self, unit_id: UnitId, order: Order) -> None:
        for listener in self.on_order:
            listener(unit_id, order)
        crew = self._crews[unit_id]
        self.counts[order.kind] += 1
        if order.kind in ("dispatch", "divert"):
            self._begin(crew, self._errand(crew, order))
        elif order.kind == "recall":
            self._begin(crew, self._recalled(crew, order))
        elif order.kind == "message" and crew.order is not None and order.assignment_id == crew.order.assignment_id:
            self._begin(crew, self._sent_elsewhere(crew, order))

    def _begin(self, crew: Crew, work: Coroutine[Any, Any, None]) -> None:
        """The newest order is what a crew obeys; whatever it did before ends here."""
        if crew.task is not None:
            crew.task.cancel()
        crew.halt(self._pace.seconds())
        crew.task = asyncio.get_running_loop().create_task(self._watched(crew, work))

    async def _watched(self, crew: Crew, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Over:
            self.counts["stood_down"] += 1
            await self._go_home(crew)
        except Exception:
            log.exception("crew failed", extra={"unit": crew.spec.unit_id})
            self.counts["faults"] += 1

    async def _errand(self, crew: Crew, order: Order) -> None:
        """An order from its arrival to the unit's being free again."""
        mood = crew.mood = temper(crew.spec.body, crew.rng)
        crew.order = order
        if mood.silent:
            await self._say_nothing(crew)
            return
        await self._pace.sleep(mood.seen_s)
        if mood.refuses:
            await self._refuse(crew, order)
            return
        await crew.radio.ack(crew.spec.unit_id, order.order_id, "seen")
        await self._pace.sleep(mood.accepted_s - mood.seen_s)
        await crew.radio.ack(crew.spec.unit_id, order.order_id, "accepted")
        await self._pace.sleep(mood.turnout_s - mood.accepted_s)
        await self._say(crew, "en_route", order)
        await self._work(crew, order, mood)

    async def _sent_elsewhere(self, crew: Crew, order: Order) -> None:
        """The place was corrected: turn to where it is, whatever the crew was about."""
        assert crew.mood is not None, "whoever has an order has a temper"
        self.counts["sent_elsewhere"] += 1
        await crew.radio.ack(crew.spec.unit_id, order.order_id, "accepted")
        await self._work(crew, order, crew.mood)

    async def _work(self, crew: Crew, order: Order, mood: Temper) -> None:
        """From setting out to being free again."""
        scene = _scene(order) or crew.still
        factor = siren_factor(self._travel, scene) if _is_urgent(order) else QUIET_FACTOR
        await self._drive(crew, scene, factor * mood.drive_factor)
        await self._pace.sleep(mood.late_press_s)
        await self._say(crew, "on_scene", order)
        await self._pace.sleep(max(0.0, mood.scene_s - mood.late_press_s))
        if mood.transports:
            await self._transport(crew, order, mood)
        self.counts["served"] += 1
        await self._go_home(crew)

    async def _transport(self, crew: Crew, order: Order, mood: Temper) -> None:
        await self._pace.sleep(LOADING_S)
        await self._say(crew, "transporting", order)
        await self._drive(crew, _hospital(crew.spec.region, crew.still), QUIET_FACTOR * mood.drive_factor)
        await self._say(crew, "at_facility", order)
        self.counts["transported"] += 1
        await self._pace.sleep(mood.facility_s)

    async def _go_home(self, crew: Crew) -> None:
        """Free from now on, and on the way to the station."""
        crew.order = None
        if distance_m(crew.still, crew.spec.at) > 50.0:
            await self._status(crew, "returning")
            await self._drive(crew, crew.spec.at, QUIET_FACTOR)
        await self._status(crew, "available")

    async def _recalled(self, crew: Crew, order: Order) -> None:
        await crew.radio.ack(crew.spec.unit_id, order.order_id, "accepted")
        await self._go_home(crew)

    async def _refuse(self, crew: Crew, order: Order) -> None:
        self.counts["refusals"] += 1
        await self._pace.sleep(crew.rng.uniform(*REFUSAL_S))
        await crew.radio.ack(crew.spec.unit_id, order.order_id, "refused", reason="vehicle fault")
        await self._pace.sleep(OUT_AFTER_REFUSAL_S)
        await self._go_home(crew)

    async def _say_nothing(self, crew: Crew) -> None:
        """The device has the order, the crew does not look at it. Later they notice, and are back."""
        self.counts["silences"] += 1
        await self._pace.sleep(SILENT_FOR_S)
        await crew.radio.link(crew.spec.unit_id, True)
        await self._go_home(crew)

    async def _drive(self, crew: Crew, to: Point, factor: float) -> None:
        """Drive there, and from wherever the crew is by another way whenever the rest of this one has changed."""
        crew.turn.set()
        while crew.turn.is_set():
            crew.turn.clear()
            began_s = self._pace.seconds()
            crew.drive = drive(self._travel, (crew.halt(began_s), to), began_s, factor)
            await self._pace.sleep_unless(crew.turn, crew.drive.takes_s)
        crew.halt(self._pace.seconds())

    async def _say(self, crew: Crew, status: str, order: Order) -> None:
        """Report a status of an assignment. Raises Over when the service knows no such assignment any more."""
        receipt = await crew.radio.status(crew.spec.unit_id, status, assignment_id=order.assignment_id)
        if receipt.refused is not None:
            self.counts[f"refused_{receipt.refused}"] += 1
            if receipt.refused in ("assignment_over", "no_assignment"):
                raise Over

    async def _status(self, crew: Crew, status: str) -> None:
        receipt = await crew.radio.status(crew.spec.unit_id, status)
        if receipt.refused is not None:
            self.counts[f"refused_{receipt.refused}"] += 1

    async def _report_positions(self) -> None:
        """A fix from each unit every five seconds, a part of the units at each tick."""
        crews = list(self._crews.values())
        began_s, tick = monotonic(), 0
        while True:
            for crew in crews[tick % TICKS :: TICKS]:
                await self._say_where(crew)
            tick += 1
            await asyncio.sleep(max(0.0, began_s + tick * REPORT_EVERY_S / TICKS - monotonic()))

    async def _say_where(self, crew: Crew) -> None:
        now = crew.where(self._pace.seconds())
        await crew.radio.position(crew.spec.unit_id, now.at, speed_mps=now.speed_mps, heading_deg=now.heading_deg)


def _scene(order: Order) -> Point | None:
    """Where the incident is."""
    location = order.incident.get("location")
    return from_lonlat(location["point"]["coordinates"]) if location else None


def _is_urgent(order: Order) -> bool:
    return order.incident.get("priority") in ("P1", "P2")


def _hospital(region: str, near: Point) -> Point:
    """The nearest large settlement of the region."""
    large = [site for site in sites(region) if site.people >= HOSPITAL_PEOPLE] or [sites(region)[0]]
    return min((site.at for site in large), key=lambda at: distance_m(at, near))
