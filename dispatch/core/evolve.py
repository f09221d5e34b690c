"""How a fact changes the state: the one way that it changes, live and on replay.

`evolve` trusts its events, for `decide` made them; what it relies on it asserts. It works in place and
returns the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from dispatch.core import events as e
from dispatch.core.lifecycle import CALL, INCIDENT, ORDER, UNIT, WORKING, moved
from dispatch.core.needs import SERVED, joined, settled
from dispatch.core.state import RegionState, keep_newest
from dispatch.core.terms import (
    Assignment,
    Call,
    CallStatus,
    Disposition,
    Incident,
    IncidentId,
    IncidentStatus,
    LegStatus,
    LocationFix,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)

EVIDENCE_KEPT = 16
NOTES_KEPT = 100
ASSIGNMENTS_KEPT = 64
OFFERS_KEPT = 2000

_Step = Callable[[RegionState, Any, datetime], None]
_steps: dict[type[e.Event], _Step] = {}

_STAMP = {
    UnitStatus.ACKNOWLEDGED: "accepted_at",
    UnitStatus.EN_ROUTE: "en_route_at",
    UnitStatus.ON_SCENE: "on_scene_at",
    UnitStatus.TRANSPORTING: "transporting_at",
    UnitStatus.AT_FACILITY: "at_facility_at",
}


def evolve(state: RegionState, event: e.Event, at: datetime) -> RegionState:
    """The state after the event; `at` is the event's time from its envelope."""
    _steps[type(event)](state, event, at)
    state.seq += 1
    return state


def _on(kind: type[e.Event]) -> Callable[[_Step], _Step]:
    def register(step: _Step) -> _Step:
        _steps[kind] = step
        return step

    return register


@_on(e.CallReceived)
def _call_received(state: RegionState, event: e.CallReceived, at: datetime) -> None:
    assert event.call.call_id not in state.calls
    state.put_call(event.call)


def with_fix(evidence: tuple[LocationFix, ...], fix: LocationFix) -> tuple[LocationFix, ...]:
    """The evidence with one more piece; over the limit the oldest that nobody confirmed goes."""
    kept = (*evidence, fix)
    while len(kept) > EVIDENCE_KEPT:
        spare = next((f for f in kept if not f.confirmed), kept[0])
        kept = tuple(f for f in kept if f is not spare)
    return kept


@_on(e.CallLocated)
def _call_located(state: RegionState, event: e.CallLocated, at: datetime) -> None:
    call = state.calls[event.call_id]
    location = event.location or call.location
    state.put_call(replace(call, evidence=with_fix(call.evidence, event.fix), location=location))


@_on(e.CallMoved)
def _call_moved(state: RegionState, event: e.CallMoved, at: datetime) -> None:
    call = state.calls[event.call_id]
    changes: dict[str, object] = {"taker": event.taker}
    if event.status is CallStatus.ANSWERED and call.answered_at is None:
        changes["answered_at"] = at
    _move_call(state, call, event.status, at, **changes)


def _move_call(state: RegionState, call: Call, status: CallStatus, at: datetime, **changes: object) -> None:
    since = at if status is not call.status else call.since
    state.put_call(replace(call, status=moved(CALL, call.status, status), since=since, **changes))


@_on(e.CallClassified)
def _call_classified(state: RegionState, event: e.CallClassified, at: datetime) -> None:
    call = state.calls[event.call_id]
    state.put_call(replace(call, incident_type=event.incident_type, priority=event.priority))


@_on(e.CallLinked)
def _call_linked(state: RegionState, event: e.CallLinked, at: datetime) -> None:
    call = state.calls[event.call_id]
    changes = {"incident_id": event.incident_id, "joined_automatically": event.automatic}
    _move_call(state, call, CallStatus.LINKED, at, **changes)
    _count_calls(state, event.incident_id)


def _count_calls(state: RegionState, incident_id: IncidentId) -> None:
    incident = state.incidents[incident_id]
    state.put_incident(replace(incident, call_count=len(state.calls_of.get(incident_id, ()))))


@_on(e.CallSplit)
def _call_split(state: RegionState, event: e.CallSplit, at: datetime) -> None:
    call = state.calls[event.call_id]
    assert call.incident_id == event.incident_id
    changes = {"incident_id": None, "joined_automatically": False}
    _move_call(state, call, CallStatus.ANSWERED, at, **changes)
    _count_calls(state, event.incident_id)


@_on(e.CallClosed)
def _call_closed(state: RegionState, event: e.CallClosed, at: datetime) -> None:
    _close_call(state, state.calls[event.call_id], event.disposition, at)


def _close_call(state: RegionState, call: Call, disposition: Disposition, at: datetime) -> None:
    state.offers.pop(call.call_id, None)
    status = moved(CALL, call.status, CallStatus.CLOSED)
    closed = {"disposition": disposition, "closed_at": at, "moving_to": None}
    state.put_call(replace(call, status=status, since=at, **closed))
    if call.incident_id is not None and call.incident_id in state.incidents:
        _count_calls(state, call.incident_id)


@_on(e.CallOffered)
def _call_offered(state: RegionState, event: e.CallOffered, at: datetime) -> None:
    call = state.calls[event.call_id]
    assert call.incident_id is None and event.offer.to != state.region
    state.offers[call.call_id] = event.offer
    state.put_call(replace(call, moving_to=event.offer.to))


@_on(e.CallAccepted)
def _call_accepted(state: RegionState, event: e.CallAccepted, at: datetime) -> None:
    assert event.call.call_id not in state.calls and event.call.region == state.region
    keep_newest(state.taken_offers, event.offer_id, None, OFFERS_KEPT)
    state.put_call(event.call)


@_on(e.CallReleased)
def _call_released(state: RegionState, event: e.CallReleased, at: datetime) -> None:
    del state.offers[event.call_id]
    state.release_call(event.call_id)


@_on(e.IncidentOpened)
def _incident_opened(state: RegionState, event: e.IncidentOpened, at: datetime) -> None:
    assert event.incident.number == state.number + 1
    state.number = event.incident.number
    state.put_incident(event.incident)


@_on(e.IncidentLocated)
def _incident_located(state: RegionState, event: e.IncidentLocated, at: datetime) -> None:
    state.put_incident(replace(state.incidents[event.incident_id], location=event.location))


@_on(e.IncidentPrioritised)
def _incident_prioritised(state: RegionState, event: e.IncidentPrioritised, at: datetime) -> None:
    state.put_incident(replace(state.incidents[event.incident_id], priority=event.priority))


@_on(e.IncidentClassified)
def _incident_classified(state: RegionState, event: e.IncidentClassified, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    state.put_incident(settled(replace(incident, incident_type=event.incident_type, legs=event.legs)))


@_on(e.IncidentHeld)
def _incident_held(state: RegionState, event: e.IncidentHeld, at: datetime) -> None:
    state.put_incident(replace(state.incidents[event.incident_id], held=event.held))


@_on(e.IncidentNoted)
def _incident_noted(state: RegionState, event: e.IncidentNoted, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    state.put_incident(replace(incident, notes=((*incident.notes, event.note_id))[-NOTES_KEPT:]))


@_on(e.IncidentMerged)
def _incident_merged(state: RegionState, event: e.IncidentMerged, at: datetime) -> None:
    emptied, into = state.incidents[event.incident_id], state.incidents[event.into]
    for call_id in sorted(state.calls_of.get(event.incident_id, ())):
        state.put_call(replace(state.calls[call_id], incident_id=event.into))
    state.put_incident(replace(into, notes=(*into.notes, *emptied.notes)[-NOTES_KEPT:]))
    _count_calls(state, event.into)
    merged = {"merged_into": event.into, "call_count": 0}
    _end_incident(state, replace(emptied, **merged), Disposition.DUPLICATE, at)


@_on(e.IncidentShort)
def _incident_short(state: RegionState, event: e.IncidentShort, at: datetime) -> None:
    state.put_incident(settled(replace(state.incidents[event.incident_id], short=event.short)))


@_on(e.IncidentControlled)
def _incident_controlled(state: RegionState, event: e.IncidentControlled, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    status = moved(INCIDENT, incident.status, IncidentStatus.UNDER_CONTROL)
    state.put_incident(replace(incident, status=status))


@_on(e.IncidentClosed)
def _incident_closed(state: RegionState, event: e.IncidentClosed, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    # In the order of their names, for the order of an index is no part of the state.
    for call_id in sorted(state.calls_of.get(event.incident_id, ())):
        call = state.calls[call_id]
        status = moved(CALL, call.status, CallStatus.CLOSED)
        state.put_call(replace(call, status=status, since=at, closed_at=at, disposition=event.disposition))
    _end_incident(state, incident, event.disposition, at)


def _end_incident(state: RegionState, incident: Incident, disposition: Disposition, at: datetime) -> None:
    assert all(a.cleared_at is not None for a in incident.assignments), "a unit is still on it"
    status = moved(INCIDENT, incident.status, IncidentStatus.CLOSED)
    state.put_incident(replace(incident, status=status, disposition=disposition, closed_at=at))


@_on(e.LegAdded)
def _leg_added(state: RegionState, event: e.LegAdded, at: datetime) -> None:
    """A second leg of a body adds to the first: a body has one leg in an incident."""
    incident = state.incidents[event.incident_id]
    old = next((leg for leg in incident.legs if leg.body == event.leg.body), None)
    if old is None:
        legs = (*incident.legs, event.leg)
    else:
        needs = event.leg.needs if old.status is LegStatus.CANCELLED else joined(*old.needs, *event.leg.needs)
        grown = replace(old, needs=needs, status=LegStatus.NEEDED)
        legs = tuple(grown if leg is old else leg for leg in incident.legs)
    state.put_incident(settled(replace(incident, legs=legs)))


@_on(e.LegCancelled)
def _leg_cancelled(state: RegionState, event: e.LegCancelled, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    legs = tuple(replace(leg, status=LegStatus.CANCELLED) if leg.body == event.body else leg for leg in incident.legs)
    state.put_incident(settled(replace(incident, legs=legs)))


@_on(e.UnitAssigned)
def _unit_assigned(state: RegionState, event: e.UnitAssigned, at: datetime) -> None:
    found = event.assignment
    unit = state.units[found.unit_id]
    assert unit.assignment_id is None, f"{unit.unit_id} already has {unit.assignment_id}"
    incident = state.incidents[found.incident_id]
    state.put_incident(settled(replace(incident, assignments=_bounded((*incident.assignments, found)))))
    status = moved(UNIT, unit.status, UnitStatus.DISPATCHED)
    work = {"assignment_id": found.assignment_id, "incident_id": found.incident_id}
    state.put_unit(replace(unit, status=status, since=at, **work))
    state.put_order(event.order)


def _bounded(assignments: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
    """Over the limit the oldest that ended without work goes; live and served ones count for the needs."""
    while len(assignments) > ASSIGNMENTS_KEPT:
        spare = next((a for a in assignments if a.cleared_at is not None and a.cleared_reason != SERVED), None)
        if spare is None:
            break
        assignments = tuple(a for a in assignments if a is not spare)
    return assignments


@_on(e.AssignmentCleared)
def _assignment_cleared(state: RegionState, event: e.AssignmentCleared, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    old = _assignment(incident, event.unit_id)
    assert old.assignment_id == event.assignment_id
    ended = replace(old, cleared_at=at, cleared_reason=event.reason, status=event.status)
    state.put_incident(settled(with_assignment(incident, ended)))
    state.drop_order(old.order_id)
    unit = state.units[event.unit_id]
    status = moved(UNIT, unit.status, event.status)
    state.put_unit(replace(unit, status=status, since=at, assignment_id=None, incident_id=None))
    if event.order is not None:
        state.put_order(event.order)


def _assignment(incident: Incident, unit_id: UnitId) -> Assignment:
    return next(a for a in incident.assignments if a.unit_id == unit_id and a.cleared_at is None)


def with_assignment(incident: Incident, changed: Assignment) -> Incident:
    kept = tuple(changed if a.assignment_id == changed.assignment_id else a for a in incident.assignments)
    return replace(incident, assignments=kept)


@_on(e.OrderSent)
def _order_sent(state: RegionState, event: e.OrderSent, at: datetime) -> None:
    order = state.orders[event.order_id]
    stage = Stage.SENT if order.stage is Stage.PENDING else order.stage
    sent = {"sends": order.sends + 1, "send_again_at": event.send_again_at}
    state.put_order(replace(order, stage=stage, **sent))


@_on(e.OrderStaged)
def _order_staged(state: RegionState, event: e.OrderStaged, at: datetime) -> None:
    order = state.orders[event.order_id]
    stage = moved(ORDER, order.stage, event.stage)
    if order.assignment_id in state.live:
        _stage_assignment(state, order.unit_id, stage, at)
    if stage is Stage.ACCEPTED or order.assignment_id not in state.live:
        state.drop_order(order.order_id, stage)
    else:
        state.put_order(replace(order, stage=stage))


def _stage_assignment(state: RegionState, unit_id: UnitId, stage: Stage, at: datetime) -> None:
    unit = state.units[unit_id]
    assert unit.incident_id is not None
    incident = state.incidents[unit.incident_id]
    old = _assignment(incident, unit_id)
    stamps = {"delivered_at": old.delivered_at or at}
    if stage in (Stage.SEEN, Stage.ACCEPTED):
        stamps["seen_at"] = old.seen_at or at
    if stage is Stage.ACCEPTED:
        stamps["accepted_at"] = old.accepted_at or at
    state.put_incident(with_assignment(incident, replace(old, **stamps)))
    if stage is Stage.ACCEPTED and unit.status is UnitStatus.DISPATCHED:
        _move_unit(state, unit, UnitStatus.ACKNOWLEDGED, at)


@_on(e.OrderDropped)
def _order_dropped(state: RegionState, event: e.OrderDropped, at: datetime) -> None:
    state.drop_order(event.order_id)


@_on(e.UnitRegistered)
def _unit_registered(state: RegionState, event: e.UnitRegistered, at: datetime) -> None:
    state.put_unit(event.unit)


@_on(e.UnitMoved)
def _unit_moved(state: RegionState, event: e.UnitMoved, at: datetime) -> None:
    unit = replace(state.units[event.unit_id], last_status_id=event.status_id)
    _move_unit(state, unit, event.status, at)


def _move_unit(state: RegionState, unit: Unit, status: UnitStatus, at: datetime) -> None:
    state.put_unit(replace(unit, status=moved(UNIT, unit.status, status), since=at))
    if status not in WORKING or unit.incident_id is None:
        return
    incident = state.incidents[unit.incident_id]
    old = _assignment(incident, unit.unit_id)
    stamp = _STAMP[status]
    stamps = {stamp: getattr(old, stamp) or at, "accepted_at": old.accepted_at or at}
    state.put_incident(settled(with_assignment(incident, replace(old, status=status, **stamps))))


@_on(e.UnitShifted)
def _unit_shifted(state: RegionState, event: e.UnitShifted, at: datetime) -> None:
    unit = state.units[event.unit_id]
    status = UnitStatus.AVAILABLE if event.on_shift else UnitStatus.OUT_OF_SERVICE
    state.put_unit(replace(unit, on_shift=event.on_shift, status=moved(UNIT, unit.status, status), since=at))


@_on(e.UnitLinked)
def _unit_linked(state: RegionState, event: e.UnitLinked, at: datetime) -> None:
    state.put_unit(replace(state.units[event.unit_id], linked=event.linked))


@_on(e.PolicyChanged)
def _policy_changed(state: RegionState, event: e.PolicyChanged, at: datetime) -> None:
    state.policy = event.policy
    state.touched.region = True


@_on(e.PhaseChanged)
def _phase_changed(state: RegionState, event: e.PhaseChanged, at: datetime) -> None:
    state.phase = event.phase
    state.touched.region = True
