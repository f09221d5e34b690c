"""The rows that SQL reports read, made of the core's values: one row for everything that a batch touched."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import Assignment, Call, Incident, Order, RegionId, Unit
from dispatch.writing.records import AssignmentRow, CallRow, IncidentRow, OrderRow, Rows, UnitRow

_encode = msgspec.json.Encoder().encode


def rows(state: RegionState, touched: Touched) -> Rows:
    """The rows of what was touched. What another region has taken is its to write: also a call that we want back, for
    it may have been taken unheard of. Its row is that of its offer then."""
    ours = (call for call_id, call in touched.calls.items() if call_id not in touched.shown)
    return Rows(
        calls=[_call(replace(call, taking_back=False)) for call in ours if call is not None],
        incidents=[_incident(incident) for incident in touched.incidents.values()],
        units=[_unit(state.units[unit_id]) for unit_id in touched.units],
        assignments=[_assignment(state.region, a) for a in touched.assignments.values()],
        orders=[_order(state.region, order) for order in touched.orders.values()],
    )


def _call(call: Call) -> CallRow:
    return CallRow(
        call_id=call.call_id,
        region=call.region,
        status=call.status,
        channel=call.channel,
        at=call.at,
        closed_at=call.closed_at,
        incident_id=call.incident_id,
        priority=call.priority,
        incident_type=call.incident_type,
        disposition=call.disposition,
        doc=_encode(call),
    )


def _incident(incident: Incident) -> IncidentRow:
    return IncidentRow(
        incident_id=incident.incident_id,
        region=incident.region,
        number=incident.number,
        status=incident.status,
        priority=incident.priority,
        incident_type=incident.incident_type,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        disposition=incident.disposition,
        doc=_encode(incident),
    )


def _unit(unit: Unit) -> UnitRow:
    return UnitRow(
        unit_id=unit.unit_id,
        region=unit.region,
        body=unit.body,
        status=unit.status,
        call_sign=unit.call_sign,
        kind=unit.kind,
        incident_id=unit.incident_id,
        doc=_encode(unit),
    )


def _assignment(region: RegionId, assignment: Assignment) -> AssignmentRow:
    return AssignmentRow(
        assignment_id=assignment.assignment_id,
        region=region,
        incident_id=assignment.incident_id,
        unit_id=assignment.unit_id,
        body=assignment.body,
        status=assignment.status,
        assigned_at=assignment.assigned_at,
        accepted_at=assignment.accepted_at,
        on_scene_at=assignment.on_scene_at,
        cleared_at=assignment.cleared_at,
        doc=_encode(assignment),
    )


def _order(region: RegionId, order: Order) -> OrderRow:
    return OrderRow(
        order_id=order.order_id,
        region=region,
        unit_id=order.unit_id,
        kind=order.kind,
        status=order.stage,
        sends=order.sends,
        at=order.at,
        expires_at=order.expires_at,
        assignment_id=order.assignment_id,
        doc=_encode(order),
    )
