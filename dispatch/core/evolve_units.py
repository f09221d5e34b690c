"""How facts about units, their assignments and their orders change the state. Part of `evolve`."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core import events as e
from dispatch.core.lifecycle import ORDER, UNIT, WORKING, moved
from dispatch.core.needs import SERVED, settled
from dispatch.core.state import RegionState
from dispatch.core.steps import on
from dispatch.core.terms import Assignment, Incident, OrderKind, Stage, Unit, UnitId, UnitStatus

ASSIGNMENTS_KEPT = 64

_STAMP = {
    UnitStatus.ACKNOWLEDGED: "accepted_at",
    UnitStatus.EN_ROUTE: "en_route_at",
    UnitStatus.ON_SCENE: "on_scene_at",
    UnitStatus.TRANSPORTING: "transporting_at",
    UnitStatus.AT_FACILITY: "at_facility_at",
}


@on(e.UnitAssigned)
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


@on(e.AssignmentCleared)
def _assignment_cleared(state: RegionState, event: e.AssignmentCleared, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    old = _assignment(incident, event.unit_id)
    assert old.assignment_id == event.assignment_id
    ended = replace(old, cleared_at=at, cleared_reason=event.reason, status=event.status)
    state.put_incident(settled(with_assignment(incident, ended)))
    state.drop_order(old.order_id)
    if old.place_order_id is not None:
        state.drop_order(old.place_order_id)
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


@on(e.PlaceTold)
def _place_told(state: RegionState, event: e.PlaceTold, at: datetime) -> None:
    order = event.order
    assert order.incident_id is not None
    incident = state.incidents[order.incident_id]
    old = _assignment(incident, order.unit_id)
    assert old.assignment_id == order.assignment_id
    if old.place_order_id is not None:
        state.drop_order(old.place_order_id)
    state.put_incident(with_assignment(incident, replace(old, place_order_id=order.order_id)))
    state.put_order(order)


@on(e.OrderSent)
def _order_sent(state: RegionState, event: e.OrderSent, at: datetime) -> None:
    order = state.orders[event.order_id]
    stage = Stage.SENT if order.stage is Stage.PENDING else order.stage
    sends = order.sends + 1 if event.expires_at is None else 1
    times = {"send_again_at": event.send_again_at, "expires_at": event.expires_at or order.expires_at}
    state.put_order(replace(order, stage=stage, sends=sends, **times))


@on(e.OrderStaged)
def _order_staged(state: RegionState, event: e.OrderStaged, at: datetime) -> None:
    order = state.orders[event.order_id]
    stage = moved(ORDER, order.stage, event.stage)
    # A word about an assignment is over once the device has it; only the order itself is waited for.
    awaited = order.kind is not OrderKind.MESSAGE and order.assignment_id in state.live
    if awaited:
        _stage_assignment(state, order.unit_id, stage, at)
    if stage is Stage.ACCEPTED or not awaited:
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
    if stage is Stage.REFUSED:
        stamps["refused_at"] = at
    state.put_incident(with_assignment(incident, replace(old, **stamps)))
    if stage is Stage.ACCEPTED and unit.status is UnitStatus.DISPATCHED:
        _move_unit(state, unit, UnitStatus.ACKNOWLEDGED, at)


@on(e.OrderDropped)
def _order_dropped(state: RegionState, event: e.OrderDropped, at: datetime) -> None:
    state.drop_order(event.order_id)


@on(e.UnitRegistered)
def _unit_registered(state: RegionState, event: e.UnitRegistered, at: datetime) -> None:
    state.put_unit(event.unit)


@on(e.UnitMoved)
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


@on(e.UnitShifted)
def _unit_shifted(state: RegionState, event: e.UnitShifted, at: datetime) -> None:
    unit = state.units[event.unit_id]
    status = UnitStatus.AVAILABLE if event.on_shift else UnitStatus.OUT_OF_SERVICE
    state.put_unit(replace(unit, on_shift=event.on_shift, status=moved(UNIT, unit.status, status), since=at))


@on(e.UnitLinked)
def _unit_linked(state: RegionState, event: e.UnitLinked, at: datetime) -> None:
    state.put_unit(replace(state.units[event.unit_id], linked=event.linked))
