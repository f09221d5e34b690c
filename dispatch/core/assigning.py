"""Decisions that put units on incidents and take them off: dispatch, assign, recall, divert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.hazards import unacknowledged
from dispatch.core.lateness import Eta, eta_of, p90_s
from dispatch.core.leaving import left
from dispatch.core.lifecycle import FREE
from dispatch.core.naming import decided
from dispatch.core.needs import Skill, live, unmet, was_there
from dispatch.core.recommend import Inputs, Pick, Question, digest, driving_factor, gather, pick
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    Assigning,
    Assignment,
    AssignmentId,
    Incident,
    Leg,
    Need,
    Order,
    OrderId,
    OrderKind,
    Refusal,
    Unit,
    UnitId,
    UnitStatus,
    Value,
)
from dispatch.core.verdict import (
    NOTHING,
    Decision,
    Inquest,
    Verdict,
    facts,
    known_unit,
    open_incident,
    refuse,
)

ORDER_LIFE_S = 600.0
SEND_AGAIN_S = 15.0
"""A service acknowledges within 30 s (RU PP-1931): two tries fit in."""

MOST_HAZARDS = 16
"""Hazards that one assignment names, and one order tells of."""

FRESH_S = 15.0
"""How old a recommendation may be when it is confirmed: consoles renew it at 10 s, the rest is the way."""


class Found(Value, frozen=True, kw_only=True):
    """A unit for a capability; `place` counts those of one decision and makes their names differ.

    `kind` is what its order says: sent, or diverted from the incident that it was on.
    """

    unit: Unit
    capability: str
    place: int
    eta: Eta | None = None
    kind: OrderKind = OrderKind.DISPATCH


def question(incident: Incident) -> Question:
    """What is to be asked about an incident."""
    return Question(
        incident_id=incident.incident_id,
        needs=unmet(incident),
        factor=driving_factor(incident.priority, incident.location),
        place=incident.location,
    )


def basis(incident: Incident) -> c.Basis:
    """What a recommendation for the incident would answer now."""
    where = incident.location
    at = None if where is None else (where.lat, where.lon)
    return c.Basis(needs=unmet(incident), priority=incident.priority, at=at)


def candidates(state: RegionState, incident: Incident) -> tuple[UnitId, ...]:
    """The free units that could fill a part of the need, by name: for these travel times are asked."""
    free = [state.free.get((need.body, need.capability), ()) for need in unmet(incident)]
    if len(free) == 1:  # Kept in the order of the names already.
        return tuple(unit_id for (unit_id,) in free[0])
    return tuple(unit_id for (unit_id,) in sorted({key for names in free for key in names}))


def assignment(state: RegionState, incident: Incident, found: Found, now: datetime) -> tuple[Assignment, Order]:
    """One unit on one incident, with the order that tells it."""
    unit = found.unit
    name = f"{incident.incident_id}.{decided(state, now)}.{found.place + 1}"
    order = Order(
        order_id=OrderId(f"{name}.go"),
        unit_id=unit.unit_id,
        kind=found.kind,
        at=now,
        expires_at=now + timedelta(seconds=ORDER_LIFE_S),
        assignment_id=AssignmentId(name),
        incident_id=incident.incident_id,
        sends=1,
        send_again_at=now + timedelta(seconds=SEND_AGAIN_S),
    )
    made = Assignment(
        assignment_id=AssignmentId(name),
        incident_id=incident.incident_id,
        unit_id=unit.unit_id,
        call_sign=unit.call_sign,
        body=unit.body,
        capability=found.capability,
        order_id=order.order_id,
        assigned_at=now,
        eta_s=None if found.eta is None else found.eta.expected_s,
        eta_p90_s=None if found.eta is None else found.eta.p90_s,
    )
    return made, order


def dispatch(state: RegionState, command: c.Dispatch, now: datetime) -> Verdict:
    """Send the best units for what the incident still lacks, by the policy that the planners simulate."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    asked = question(incident)
    if not asked.needs or incident.held or state.policy.assigning is not Assigning.AUTOMATIC:
        return NOTHING
    inputs = gather(asked, state.units, command.reach)
    picks = pick(inputs)
    fingerprint = digest(inputs, picks)
    events: list[e.Event] = [
        _assigned(state, incident, _found(state, incident, inputs, (place, one)), fingerprint, now)
        for place, one in enumerate(picks)
    ]
    short = sum(need.count for need in asked.needs) > len(picks)
    if short != incident.short:
        events.append(e.IncidentShort(incident_id=incident.incident_id, short=short))
    if not picks:
        return facts(*events)
    record = Inquest(digest=fingerprint, incident_id=incident.incident_id, inputs=msgspec.msgpack.encode(inputs))
    return Decision(events=tuple(events), inquests=(record,))


def _found(state: RegionState, incident: Incident, inputs: Inputs, nth: tuple[int, Pick]) -> Found:
    place, one = nth
    eta_s = one.eta_ms / 1000
    return Found(
        unit=state.units[one.unit_id],
        capability=inputs.needs[one.need].capability,
        place=place,
        eta=Eta(eta_s, p90_s(eta_s, inputs.spread, incident.location)),
    )


def _assigned(state: RegionState, incident: Incident, found: Found, fingerprint: str, now: datetime) -> e.UnitAssigned:
    made, order = assignment(state, incident, found, now)
    # Help is not kept waiting for a person: it goes with the hazard in its order, and the board says so.
    unread = tuple(hazard.hazard_id for hazard in unacknowledged(state, incident)[:MOST_HAZARDS])
    sent = msgspec.structs.replace(made, unacknowledged=unread)
    return e.UnitAssigned(assignment=sent, order=order, digest=fingerprint)


def assign(state: RegionState, command: c.AssignUnits, now: datetime) -> Verdict:
    """A dispatcher's choice goes, unless the world has changed under it."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    stale = command.age_s is not None and command.age_s > FRESH_S
    if command.recommended is not None and stale:
        old = f"the recommendation is {command.age_s:.0f} s old: ask for it again"
        return refuse("recommendation_stale", old)
    if command.basis is not None and command.basis != basis(incident):
        changed = f"{incident.incident_id} has changed since the recommendation was made: ask for it again"
        return refuse("recommendation_stale", changed)
    units: list[Unit] = []
    for unit_id in dict.fromkeys(command.units):
        unit = known_unit(state, unit_id)
        obstacle = unit if isinstance(unit, Refusal) else _obstacle(unit)
        if obstacle is not None:
            return obstacle
        assert isinstance(unit, Unit)
        units.append(unit)
    unread = _unread(state, incident)
    if unread is not None:
        return unread
    return facts(*_chosen(state, incident, units, command, now=now))


def _unread(state: RegionState, incident: Incident) -> Refusal | None:
    """Why a person may not send anybody yet: a hazard that nobody has acknowledged for this incident."""
    hazards = unacknowledged(state, incident)
    if not hazards:
        return None
    names = ", ".join(f"{hazard.hazard_id} ({hazard.kind})" for hazard in hazards[:MOST_HAZARDS])
    return refuse("hazard_unacknowledged", f"acknowledge {names} for {incident.incident_id} first")


def _obstacle(unit: Unit) -> Refusal | None:
    """Why a dispatcher may not send this unit. Lost contact is no obstacle: there is a radio."""
    if unit.assignment_id is not None:
        taken = f"unit {unit.call_sign} is already assigned to incident {unit.incident_id}"
        return refuse("unit_taken", taken)
    if unit.status not in FREE or not unit.on_shift:
        return refuse("unit_unavailable", f"unit {unit.call_sign} is {unit.status}")
    return None


def _chosen(
    state: RegionState,
    incident: Incident,
    units: Sequence[Unit],
    command: c.AssignUnits | c.DivertUnit,
    *,
    now: datetime,
) -> list[e.Event]:
    kind = OrderKind.DIVERT if isinstance(command, c.DivertUnit) else OrderKind.DISPATCH
    left = {(need.body, need.capability): need.count for need in unmet(incident)}
    factor = question(incident).factor
    events: list[e.Event] = []
    for place, unit in enumerate(units):
        need = _need_for(unit, left)
        if need is None:
            need = Need(body=unit.body, capability=unit.capabilities[0] if unit.capabilities else unit.kind)
            events.append(e.LegAdded(incident_id=incident.incident_id, leg=Leg(body=unit.body, needs=(need,))))
        else:
            left[need.body, need.capability] -= 1
        eta = eta_of(unit.unit_id, command.reach, factor, incident.location)
        found = Found(unit=unit, capability=need.capability, place=place, eta=eta, kind=kind)
        made, order = assignment(state, incident, found, now)
        events.append(e.UnitAssigned(assignment=made, order=order, reason=command.reason or "dispatcher"))
    met = not any(left.values())
    if incident.short and met:
        events.append(e.IncidentShort(incident_id=incident.incident_id, short=False))
    if incident.held:
        events.append(e.IncidentHeld(incident_id=incident.incident_id, held=False))
    return events


def _need_for(unit: Unit, left: dict[Skill, int]) -> Need | None:
    """The first open need that the unit can fill."""
    for (body, capability), count in left.items():
        if count and body == unit.body and capability in unit.capabilities:
            return Need(body=unit.body, capability=capability)
    return None


def cleared(
    incident: Incident, found: Assignment, status: UnitStatus, reason: str, order: Order | None = None
) -> e.AssignmentCleared:
    """The fact that an assignment ended."""
    return e.AssignmentCleared(
        assignment_id=found.assignment_id,
        incident_id=incident.incident_id,
        unit_id=found.unit_id,
        status=status,
        reason=reason,
        order=order,
    )


def recall_order(state: RegionState, found: Assignment, now: datetime) -> Order:
    """The order that tells a crew that we ended its assignment."""
    return Order(
        order_id=OrderId(f"{found.assignment_id}.{decided(state, now)}.back"),
        unit_id=found.unit_id,
        kind=OrderKind.RECALL,
        at=now,
        expires_at=now + timedelta(seconds=ORDER_LIFE_S),
        assignment_id=found.assignment_id,
        incident_id=found.incident_id,
        sends=1,
        send_again_at=now + timedelta(seconds=SEND_AGAIN_S),
    )


def recall(state: RegionState, command: c.RecallUnits, now: datetime) -> Verdict:
    """Take units off; the incident is then held: who recalls does not want the next unit sent at once."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    here = {a.unit_id: a for a in live(incident)}
    for unit_id in command.units:
        if unit_id not in here:
            return refuse("unit_not_on_incident", f"unit {unit_id} is not on {incident.incident_id}")
    chosen = [here[u] for u in dict.fromkeys(command.units)] if command.units else list(here.values())
    gone = (cleared(incident, a, UnitStatus.RETURNING, command.reason, recall_order(state, a, now)) for a in chosen)
    events = left(incident, *gone)
    if chosen and not incident.held and state.policy.assigning is Assigning.AUTOMATIC:
        events.insert(0, e.IncidentHeld(incident_id=incident.incident_id, held=True))
    return facts(*events)


def divert(state: RegionState, command: c.DivertUnit, now: datetime) -> Verdict:
    """Send a unit that is on its way elsewhere to this incident instead; the other one waits again."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    unit = known_unit(state, command.unit_id)
    if isinstance(unit, Refusal):
        return unit
    if unit.incident_id is None or unit.incident_id == incident.incident_id:
        return refuse("unit_not_on_incident", f"unit {unit.call_sign} is on no other incident")
    old = state.incidents[unit.incident_id]
    found = next(a for a in live(old) if a.unit_id == unit.unit_id)
    if was_there(found):
        return refuse("illegal_status", f"unit {unit.call_sign} is already at work at {old.incident_id}")
    unread = _unread(state, incident)
    if unread is not None:
        return unread
    gone = cleared(old, found, UnitStatus.RETURNING, command.reason)
    freed = msgspec.structs.replace(unit, assignment_id=None, incident_id=None)
    return facts(*left(old, gone), *_chosen(state, incident, [freed], command, now=now))
