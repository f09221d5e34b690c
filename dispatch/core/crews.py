"""Decisions about units: their roster, shifts, statuses, contact, and what becomes of their orders."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.assigning import ORDER_LIFE_S, SEND_AGAIN_S, cleared, recall_order
from dispatch.core.leaving import left
from dispatch.core.lifecycle import FREE, ORDER, UNIT, WORKING, may
from dispatch.core.needs import SERVED, live, was_there
from dispatch.core.state import RegionState
from dispatch.core.terms import Assignment, Incident, Order, OrderKind, Refusal, Stage, Unit, UnitStatus
from dispatch.core.verdict import NOTHING, Verdict, facts, known_unit, refuse

MOST_SENDS = 3
DEVICE_CLOCK_S = 10.0
"""How wrong a device's clock may be when it is asked whether a status was said before an assignment."""
ACCEPT_S = 60.0
"""An order that was delivered but not accepted for this long goes to the next unit."""
HELD_UP_S = 60.0
"""A deadline that is served so late was held up: the broker was away, or nobody led the region."""


def register(state: RegionState, command: c.RegisterUnit, now: datetime) -> Verdict:
    """Enter a unit in the roster, or correct its particulars; what it is doing stays."""
    old, new = state.units.get(command.unit.unit_id), command.unit
    if old is None:
        status = new.status if new.on_shift and new.status in FREE else UnitStatus.OUT_OF_SERVICE
        idle = replace(new, status=status, assignment_id=None, incident_id=None, last_status_id=None)
        return facts(e.UnitRegistered(unit=replace(idle, region=state.region, since=now)))
    unit = replace(old, call_sign=new.call_sign, kind=new.kind, capabilities=new.capabilities, station=new.station)
    return NOTHING if unit == old else facts(e.UnitRegistered(unit=unit))


def shift(state: RegionState, command: c.ShiftUnit, now: datetime) -> Verdict:
    """A crew comes on duty or goes home; not in the middle of an assignment."""
    unit = known_unit(state, command.unit_id)
    if isinstance(unit, Refusal):
        return unit
    if unit.on_shift == command.on_shift:
        return NOTHING
    if unit.assignment_id is not None:
        return refuse("unit_on_assignment", f"unit {unit.call_sign} is on incident {unit.incident_id}")
    return facts(e.UnitShifted(unit_id=unit.unit_id, on_shift=command.on_shift))


def link(state: RegionState, command: c.ReportLink, now: datetime) -> Verdict:
    """Contact with the unit's device was lost or came back."""
    unit = known_unit(state, command.unit_id)
    if isinstance(unit, Refusal):
        return unit
    if unit.linked == command.linked:
        return NOTHING
    return facts(e.UnitLinked(unit_id=unit.unit_id, linked=command.linked))


def report(state: RegionState, command: c.ReportStatus, now: datetime) -> Verdict:
    """A status from a crew: a repeat says only that it is there, a late word about past work is refused."""
    unit = known_unit(state, command.unit_id)
    if isinstance(unit, Refusal):
        return unit
    repeated = command.status_id is not None and command.status_id == unit.last_status_id
    if repeated or command.status is unit.status:
        return facts(*_heard(unit))
    obstacle = _report_obstacle(state, unit, command, now)
    if obstacle is not None:
        return obstacle
    moved = e.UnitMoved(unit_id=unit.unit_id, status=command.status, status_id=command.status_id)
    if unit.incident_id is None:
        return facts(*_heard(unit), moved)
    if command.status in WORKING:
        return facts(*_heard(unit), *_accepted(state, unit), moved)
    incident = state.incidents[unit.incident_id]
    return facts(*_heard(unit), *_ended(incident, unit, command.status), moved)


def _heard(unit: Unit) -> list[e.Event]:
    """Whatever a unit says, it says that it is in contact."""
    return [] if unit.linked else [e.UnitLinked(unit_id=unit.unit_id, linked=True)]


def _report_obstacle(state: RegionState, unit: Unit, command: c.ReportStatus, now: datetime) -> Refusal | None:
    """Why a status that is news cannot be."""
    if command.assignment_id is None and unit.incident_id is not None:
        began = _assignment(state.incidents[unit.incident_id], unit).assigned_at
        if command.age_s > (now - began).total_seconds() + DEVICE_CLOCK_S:
            late = f"{unit.call_sign} said that it was {command.status} before its present assignment"
            return refuse("assignment_over", late)
    if command.assignment_id is not None and command.assignment_id != unit.assignment_id:
        # Free again or broken down is true without an assignment: a crew that still names its last one is believed.
        after_work = unit.status in FREE and command.status not in WORKING
        if not after_work or command.age_s > (now - unit.since).total_seconds() + DEVICE_CLOCK_S:
            return refuse("assignment_over", f"assignment {command.assignment_id} of {unit.call_sign} is over")
    if command.status in WORKING and unit.assignment_id is None:
        return refuse("no_assignment", f"unit {unit.call_sign} cannot be {command.status} without an assignment")
    if not unit.on_shift:
        return refuse("unit_unavailable", f"unit {unit.call_sign} is off shift")
    if not may(UNIT, unit.status, command.status) or command.status is UnitStatus.DISPATCHED:
        return refuse("illegal_status", f"unit {unit.call_sign} is {unit.status}, not to be {command.status}")
    return None


def _accepted(state: RegionState, unit: Unit) -> list[e.Event]:
    """A crew that drives has plainly got its order, whatever became of the acknowledgement."""
    order = _order_of(state, unit)
    return [] if order is None else [e.OrderStaged(order_id=order.order_id, stage=Stage.ACCEPTED)]


def _order_of(state: RegionState, unit: Unit) -> Order | None:
    """The order of the unit's present assignment, while it is not accepted."""
    assert unit.incident_id is not None
    found = _assignment(state.incidents[unit.incident_id], unit)
    return state.orders.get(found.order_id)


def _assignment(incident: Incident, unit: Unit) -> Assignment:
    return next(a for a in live(incident) if a.assignment_id == unit.assignment_id)


def _ended(incident: Incident, unit: Unit, status: UnitStatus) -> list[e.Event]:
    """The crew is done or gives up; with the last one done the incident closes by itself."""
    found = _assignment(incident, unit)
    reason = SERVED if was_there(found) and status in FREE else "left_early"
    if status is UnitStatus.OUT_OF_SERVICE:
        reason = "out_of_service"
    return left(incident, cleared(incident, found, status, reason))


def stage(state: RegionState, command: c.StageOrder, now: datetime) -> Verdict:
    """What a unit says about an order. A refusal frees it, and the work goes to the next one."""
    unit = known_unit(state, command.unit_id)
    if isinstance(unit, Refusal):
        return unit
    order = state.orders.get(command.order_id)
    if order is None or order.unit_id != unit.unit_id:
        return refuse("unknown_order", f"order {command.order_id} of unit {unit.call_sign} is over or unknown")
    said_by_units = command.stage not in (Stage.PENDING, Stage.SENT)
    if said_by_units and order.stage is command.stage:
        return facts(*_heard(unit))
    if not said_by_units or not may(ORDER, order.stage, command.stage):
        return refuse("illegal_status", f"order {order.order_id} is {order.stage}, not to be {command.stage}")
    said = e.OrderStaged(order_id=order.order_id, stage=command.stage, reason=command.reason)
    turned_down = command.stage is Stage.REFUSED and order.kind is not OrderKind.MESSAGE
    if not turned_down or order.assignment_id is None or order.assignment_id != unit.assignment_id:
        return facts(*_heard(unit), said)
    assert unit.incident_id is not None
    incident = state.incidents[unit.incident_id]
    gone = cleared(incident, _assignment(incident, unit), UnitStatus.AVAILABLE, command.reason or "refused")
    off = e.UnitMoved(unit_id=unit.unit_id, status=UnitStatus.OUT_OF_SERVICE)
    return facts(*_heard(unit), said, *left(incident, gone), off)


def send(state: RegionState, command: c.SendOrder, now: datetime) -> Verdict:
    """The order's time has come: send it again, or give it up so that the next unit can go."""
    order = state.orders.get(command.order_id)
    if order is None or order.send_again_at is None or order.send_again_at > now:
        return NOTHING
    again = now + timedelta(seconds=SEND_AGAIN_S)
    if _held_up(state, order, order.send_again_at, now):
        anew = now + timedelta(seconds=ORDER_LIFE_S)
        return facts(e.OrderSent(order_id=order.order_id, send_again_at=again, expires_at=anew))
    unheard = order.stage in (Stage.PENDING, Stage.SENT)
    if unheard and order.sends < MOST_SENDS:
        return facts(e.OrderSent(order_id=order.order_id, send_again_at=again))
    if order.kind is OrderKind.MESSAGE:
        return facts(e.OrderDropped(order_id=order.order_id, reason="not_acknowledged"))
    deadline = order.expires_at - timedelta(seconds=ORDER_LIFE_S - ACCEPT_S)
    if not unheard and now < deadline:
        return facts(e.OrderSent(order_id=order.order_id, send_again_at=deadline))
    if order.assignment_id not in state.live:
        return facts(e.OrderDropped(order_id=order.order_id, reason="not_acknowledged"))
    return _given_up(state, order, unheard, now)


def _held_up(state: RegionState, order: Order, due_at: datetime, now: datetime) -> bool:
    """Whether the crew could not answer until now, and has nothing newer to do: then its time begins anew."""
    late = now - due_at >= timedelta(seconds=HELD_UP_S)
    return late and state.units[order.unit_id].assignment_id in (None, order.assignment_id)


def _given_up(state: RegionState, order: Order, unheard: bool, now: datetime) -> Verdict:
    """Nobody answers: the unit counts as out of contact until it is heard again, and its work goes on."""
    unit = state.units[order.unit_id]
    assert unit.incident_id is not None
    incident = state.incidents[unit.incident_id]
    found = _assignment(incident, unit)
    reason = "not_acknowledged" if unheard else "not_accepted"
    gone = cleared(incident, found, UnitStatus.AVAILABLE, reason, recall_order(state, found, now))
    lost = [e.UnitLinked(unit_id=unit.unit_id, linked=False)] if unit.linked else []
    return facts(*left(incident, gone), *lost)
