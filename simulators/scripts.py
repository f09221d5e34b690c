"""Operators of a simulated world: what people do at their desks, sensible and otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from dispatch.core import commands as c
from dispatch.core.hazards import unacknowledged
from dispatch.core.plans import PLANS
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    Assigning,
    Body,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    HazardId,
    HazardKind,
    IncidentId,
    Location,
    Phase,
    Policy,
    Priority,
    RegionId,
    Stage,
    UnitId,
    UnitStatus,
)
from simulators.plane import location, point_in

if TYPE_CHECKING:
    from simulators.world import World

TYPES = tuple(PLANS)
TAKERS = tuple(ActorId(f"user:t{n}") for n in range(4))
HAND_STATUSES = (CallStatus.CLAIMED, CallStatus.ANSWERED, CallStatus.HELD, CallStatus.CALLING_BACK)

Pick = TypeVar("Pick")


class Operators:
    """Call takers and dispatchers: in the storm they do whatever comes to mind, in the calm they tidy up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._acts: tuple[Callable[[RegionId], c.Command | None], ...] = (
            *(self._move, self._move, self._move, self._classify, self._classify, self._classify),
            *(self._close_call, self._transfer, self._assign, self._assign, self._recall, self._divert),
            *(self._merge, self._split, self._hold, self._prioritise, self._locate, self._leg, self._note),
            *(self._control, self._close_incident, self._open, self._shift, self._report),
            *(self._danger, self._danger, self._acknowledge, self._acknowledge, self._all_clear),
        )

    def begin(self) -> None:
        """Work in every region; in the calm come back to it regularly."""
        for region in self.world.writers:
            self.world.later(self.world.chance.uniform(1, 20), self._shift_of(region))

    def _shift_of(self, region: RegionId) -> Callable[[], None]:
        return lambda: self._work(region)

    def _work(self, region: RegionId) -> None:
        world = self.world
        if world.calm:
            self._tidy(region)
            world.later(60.0, self._shift_of(region))
            return
        for command in (world.chance.choice(self._acts)(region), self._absurd(region), self._policy(region)):
            if command is not None:
                world.submit(region, command)
        self._weather(region)
        world.later(world.chance.expovariate(1 / world.plan.acts_every_s), self._shift_of(region))

    def _weather(self, region: RegionId) -> None:
        """Crews lose their link, are cut off by a flood, or say something that nobody asked for."""
        world = self.world
        crew = world.chance.choice([crew for crew in world.crews.values() if crew.region == region])
        if world.strikes("goes_offline"):
            crew.drop_link()
        if world.strikes("unasked_report"):
            crew.report(world.chance.choice(tuple(UnitStatus)))
        crew.cut_off = world.strikes("goes_offline")
        jumps, skewed = world.strikes("gps_jumps"), world.strikes("clock_skewed")
        crew.jumped_to = point_in(world.chance.randrange(3), world.chance) if jumps else None
        crew.skew_s = world.chance.uniform(-600, 600) if skewed else 0.0

    # What they choose from

    def _call(self, region: RegionId) -> CallId | None:
        return self._one(tuple(self.world.writers[region].state.calls))

    def _incident(self, region: RegionId) -> IncidentId | None:
        return self._one(tuple(self.world.writers[region].state.incidents))

    def _unit(self, region: RegionId) -> UnitId:
        return self.world.chance.choice(tuple(self.world.writers[region].state.units))

    def _one(self, names: Sequence[Pick]) -> Pick | None:
        return self.world.chance.choice(names) if names else None

    def _taker(self) -> ActorId:
        return self.world.chance.choice(TAKERS)

    def _somewhere(self, region: RegionId) -> Location:
        world = self.world
        place = tuple(world.writers).index(region)
        return location(point_in(place, world.chance), (region,), world.now, world.chance)

    # What they do

    def _move(self, region: RegionId) -> c.Command | None:
        call_id = self._call(region)
        status = self.world.chance.choice(HAND_STATUSES)
        return c.MoveCall(actor=self._taker(), call_id=call_id, status=status) if call_id else None

    def _classify(self, region: RegionId) -> c.Command | None:
        chance, call_id = self.world.chance, self._call(region)
        return (
            None
            if call_id is None
            else c.ClassifyCall(
                actor=self._taker(),
                call_id=call_id,
                incident_type=chance.choice(TYPES),
                priority=chance.choice((None, *Priority)),
                incident_id=self._incident(region) if chance.random() < 0.15 else None,
                note_id="n-1",
                commitment="00",
            )
        )

    def _close_call(self, region: RegionId) -> c.Command | None:
        call_id = self._call(region)
        return (
            None
            if call_id is None
            else c.CloseCall(
                actor=self._taker(), call_id=call_id, disposition=self.world.chance.choice(tuple(Disposition))
            )
        )

    def _transfer(self, region: RegionId) -> c.Command | None:
        call_id, to = self._call(region), self.world.chance.choice(tuple(self.world.writers))
        return None if call_id is None else c.TransferCall(actor=self._taker(), call_id=call_id, to=to)

    def _assign(self, region: RegionId) -> c.Command | None:
        chance, incident_id = self.world.chance, self._incident(region)
        return (
            None
            if incident_id is None
            else c.AssignUnits(
                actor=self._taker(),
                incident_id=incident_id,
                units=tuple(self._unit(region) for _ in range(chance.choice((1, 1, 2, 3)))),
                reach=self.world.reach(self.world.writers[region].state, incident_id),
                recommended=() if chance.random() < 0.5 else None,
                age_s=chance.uniform(0, 18),
            )
        )

    def _recall(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        units = () if self.world.happens(0.5) else (self._unit(region),)
        return None if incident_id is None else c.RecallUnits(actor=self._taker(), incident_id=incident_id, units=units)

    def _divert(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        busy = [u.unit_id for u in self.world.writers[region].state.units.values() if u.assignment_id]
        unit_id = self._one(busy)
        return (
            c.DivertUnit(actor=self._taker(), incident_id=incident_id, unit_id=unit_id)
            if incident_id and unit_id
            else None
        )

    def _merge(self, region: RegionId) -> c.Command | None:
        a, b = self._incident(region), self._incident(region)
        return c.MergeIncidents(actor=self._taker(), incident_id=a, into=b) if a and b else None

    def _split(self, region: RegionId) -> c.Command | None:
        call_id, incident_id = self._call(region), self._incident(region)
        if call_id and not self.world.strikes("absurd"):
            incident_id = self.world.writers[region].state.calls[call_id].incident_id
        return (
            c.SplitCall(actor=self._taker(), incident_id=incident_id, call_id=call_id)
            if incident_id and call_id
            else None
        )

    def _hold(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        held = self.world.happens(0.4)
        return None if incident_id is None else c.HoldIncident(actor=self._taker(), incident_id=incident_id, held=held)

    def _prioritise(self, region: RegionId) -> c.Command | None:
        incident_id, priority = self._incident(region), self.world.chance.choice(tuple(Priority))
        return (
            None
            if incident_id is None
            else c.PrioritiseIncident(actor=self._taker(), incident_id=incident_id, priority=priority)
        )

    def _locate(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        return (
            None
            if incident_id is None
            else c.LocateIncident(actor=self._taker(), incident_id=incident_id, location=self._somewhere(region))
        )

    def _leg(self, region: RegionId) -> c.Command | None:
        incident_id, chance = self._incident(region), self.world.chance
        return (
            None
            if incident_id is None
            else c.AddLeg(
                actor=self._taker(),
                incident_id=incident_id,
                body=chance.choice(tuple(Body)),
                capability=chance.choice(("bls", "als", "pump", "patrol", "social", "airship")),
                count=chance.choice((1, 1, 2)),
            )
        )

    def _note(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        return (
            None
            if incident_id is None
            else c.NoteIncident(actor=self._taker(), incident_id=incident_id, note_id="n-2", commitment="11")
        )

    def _control(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        return None if incident_id is None else c.ControlIncident(actor=self._taker(), incident_id=incident_id)

    def _close_incident(self, region: RegionId) -> c.Command | None:
        incident_id = self._incident(region)
        return (
            None
            if incident_id is None
            else c.CloseIncident(actor=self._taker(), incident_id=incident_id, disposition=Disposition.RESOLVED)
        )

    def _open(self, region: RegionId) -> c.Command | None:
        chance = self.world.chance
        if chance.random() < 0.6:
            return None
        where = self._somewhere(region) if chance.random() < 0.7 else None
        return c.OpenIncident(actor=self._taker(), incident_type=chance.choice(TYPES), location=where)

    def _shift(self, region: RegionId) -> c.Command | None:
        return c.ShiftUnit(actor=self._taker(), unit_id=self._unit(region), on_shift=self.world.happens(0.7))

    def _report(self, region: RegionId) -> c.Command | None:
        """A dispatcher hears a status over the radio and enters it for the crew."""
        status = self.world.chance.choice((UnitStatus.AVAILABLE, UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE))
        return c.ReportStatus(actor=self._taker(), unit_id=self._unit(region), status=status)

    def _danger(self, region: RegionId) -> c.Command | None:
        """Somebody tells of a danger: at a place, or where an incident is."""
        world, chance = self.world, self.world.chance
        incident_id = self._incident(region) if chance.random() < 0.6 else None
        ends = chance.random() < 0.7
        return c.RecordHazard(
            actor=self._taker(),
            kind=chance.choice(tuple(HazardKind)),
            radius_m=chance.choice((50.0, 400.0, 3000.0)),
            location=None if incident_id else self._somewhere(region),
            until=world.now + timedelta(seconds=chance.uniform(5, 400)) if ends else None,
            incident_id=incident_id,
        )

    def _hazard(self, region: RegionId) -> HazardId | None:
        return self._one(tuple(self.world.writers[region].state.hazards))

    def _acknowledge(self, region: RegionId) -> c.Command | None:
        """A dispatcher reads of a danger; now and then of one that is elsewhere."""
        state = self.world.writers[region].state
        incident_id, hazard_id = self._incident(region), self._hazard(region)
        if incident_id is None or hazard_id is None:
            return None
        unread = unacknowledged(state, state.incidents[incident_id])
        hazard_id = unread[0].hazard_id if unread and not self.world.strikes("absurd") else hazard_id
        return c.AcknowledgeHazard(actor=self._taker(), hazard_id=hazard_id, incident_id=incident_id)

    def _all_clear(self, region: RegionId) -> c.Command | None:
        hazard_id = self._hazard(region)
        return None if hazard_id is None else c.EndHazard(actor=self._taker(), hazard_id=hazard_id)

    def _policy(self, region: RegionId) -> c.Command | None:
        world = self.world
        if not world.strikes("changes_policy"):
            return None
        if world.happens(0.2):
            return c.SetPhase(actor=SYSTEM, phase=world.chance.choice(tuple(Phase)))
        assigning = world.chance.choice((Assigning.AUTOMATIC, Assigning.AUTOMATIC, Assigning.CONFIRM))
        return c.SetPolicy(actor=SYSTEM, policy=Policy(assigning=assigning, attended=world.happens(0.5)))

    def _absurd(self, region: RegionId) -> c.Command | None:
        """Something that no sensible person would ask for: it must be refused or do no harm."""
        world, chance = self.world, self.world.chance
        if not world.strikes("absurd"):
            return None
        state = world.writers[region].state
        nobody, nothing, who = CallId("c-none"), IncidentId("XX-1"), self._taker()
        call_id = self._call(region) or nobody
        orders = tuple(state.orders.values())
        order = self._one(orders)
        return chance.choice(
            (
                c.MoveCall(actor=who, call_id=call_id, status=chance.choice(tuple(CallStatus))),
                c.ClassifyCall(actor=who, call_id=call_id, incident_type="dragon"),
                c.ClassifyCall(actor=who, call_id=nobody, incident_type="theft", incident_id=nothing),
                c.MergeIncidents(actor=who, incident_id=nothing, into=nothing),
                c.AssignUnits(actor=who, incident_id=nothing, units=(UnitId("none"),)),
                c.ReportStatus(actor=who, unit_id=UnitId("none"), status=UnitStatus.AVAILABLE),
                c.ReportStatus(actor=who, unit_id=self._unit(region), status=chance.choice(tuple(UnitStatus))),
                c.ReleaseCall(actor=SYSTEM, call_id=call_id, offer_id="UZ-XX:1"),
                c.ReceiveCall(actor=who, call_id=call_id, channel=Channel.VOICE)
                if call_id in state.calls
                else c.CloseCall(actor=who, call_id=nobody, disposition=Disposition.TEST),
                c.StageOrder(
                    actor=who,
                    unit_id=self._unit(region),
                    order_id=order.order_id,
                    stage=chance.choice(tuple(Stage)),
                )
                if order
                else c.HoldIncident(actor=who, incident_id=nothing),
            )
        )

    # The calm

    def _tidy(self, region: RegionId) -> None:
        """Answer what waits, place what has no place, let go what is held, ask each crew what it is at."""
        world = self.world
        state = world.writers[region].state
        world.submit(region, c.SetPhase(actor=SYSTEM, phase=Phase.LIVE))
        world.submit(region, c.SetPolicy(actor=SYSTEM, policy=Policy()))
        for call in list(state.calls.values()):
            if call.incident_id is None and call.moving_to is None:
                kind = call.incident_type or "illness"
                world.submit(region, c.ClassifyCall(actor=TAKERS[0], call_id=call.call_id, incident_type=kind))
        for incident in list(state.incidents.values()):
            if incident.location is None:
                found = self._somewhere(region)
                world.submit(
                    region,
                    c.LocateIncident(actor=TAKERS[0], incident_id=incident.incident_id, location=found),
                )
            if incident.held:
                release = c.HoldIncident(actor=TAKERS[0], incident_id=incident.incident_id, held=False)
                world.submit(region, release)
        for crew in world.crews.values():
            if crew.region == region:
                crew.called_by_radio()
