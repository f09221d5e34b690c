"""What is always true of a region: checked by the simulator after every event, by the engine after loading.

Each rule says in one sentence what it promises. `broken` returns the sentences that do not hold, with the
names of what breaks them; an empty list is the only good answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dispatch.core.lifecycle import WAITING_CALL, WORKING
from dispatch.core.needs import live, settled, unmet
from dispatch.core.queue import call_key, incident_key
from dispatch.core.state import RegionState, can_be_sent
from dispatch.core.terms import Assignment, CallStatus, IncidentStatus, UnitId

Rule = Callable[[RegionState], Iterator[str]]


def _one_assignment_a_unit(state: RegionState) -> Iterator[str]:
    """A unit has at most one live assignment, and both sides agree on it."""
    held: dict[UnitId, Assignment] = {}
    for incident in state.incidents.values():
        for assignment in live(incident):
            if assignment.unit_id in held:
                yield f"{assignment.unit_id} is on {incident.incident_id} and elsewhere"
            held[assignment.unit_id] = assignment
            if state.live.get(assignment.assignment_id) != incident.incident_id:
                yield f"{assignment.assignment_id} is not known as live"
    if len(state.live) != len(held):
        yield f"{len(state.live)} assignments are known as live, {len(held)} are"
    for unit in state.units.values():
        found = held.get(unit.unit_id)
        if (found.assignment_id if found else None) != unit.assignment_id:
            yield f"{unit.unit_id} believes {unit.assignment_id}, its incident {found}"


def _work_has_an_assignment(state: RegionState) -> Iterator[str]:
    """A unit is at work if and only if it has an assignment, and the two have one status."""
    for unit in state.units.values():
        if (unit.status in WORKING) != (unit.assignment_id is not None):
            yield f"{unit.unit_id} is {unit.status} with assignment {unit.assignment_id}"


def _closed_is_over(state: RegionState) -> Iterator[str]:
    """Nothing closed is kept among the open, and a closed incident has no unit on it."""
    for call in state.calls.values():
        if call.status is CallStatus.CLOSED:
            yield f"{call.call_id} is closed among the open"
    for incident in state.incidents.values():
        if incident.status is IncidentStatus.CLOSED:
            yield f"{incident.incident_id} is closed among the open"
    for incident in state.closed_incidents.values():
        if live(incident):
            yield f"{incident.incident_id} is closed with units on it"


def _every_call_has_a_place(state: RegionState) -> Iterator[str]:
    """An open call waits in the queue, is in somebody's hands, or has joined an open incident."""
    for call in state.calls.values():
        waits = call_key(call) in state.waiting_calls
        if waits != (call.status in WAITING_CALL):
            yield f"{call.call_id} is {call.status} and {'in' if waits else 'not in'} the queue"
        if (call.status is CallStatus.LINKED) != (call.incident_id is not None):
            yield f"{call.call_id} is {call.status} with incident {call.incident_id}"
        if call.incident_id is not None and call.incident_id not in state.incidents:
            yield f"{call.call_id} has joined {call.incident_id}, which is not open"
    if len(state.waiting_calls) != sum(c.status in WAITING_CALL for c in state.calls.values()):
        yield "the queue holds calls that do not wait"


def _every_need_waits(state: RegionState) -> Iterator[str]:
    """An incident stands in the queue if and only if it still lacks units."""
    lacking = {incident_key(i) for i in state.incidents.values() if unmet(i)}
    queued = set(state.waiting)
    for key in lacking ^ queued:
        yield f"{key[2]} {'lacks units outside' if key in lacking else 'lacks nothing in'} the queue"


def _statuses_follow(state: RegionState) -> Iterator[str]:
    """The statuses of incidents and legs are those that follow from their assignments."""
    for incident in state.incidents.values():
        if settled(incident) != incident:
            yield f"{incident.incident_id} is {incident.status}, which does not follow"
        if incident.call_count != len(state.calls_of.get(incident.incident_id, ())):
            yield f"{incident.incident_id} counts {incident.call_count} calls"


def _orders_belong(state: RegionState) -> Iterator[str]:
    """An unheard assignment has an order that will be sent again; no order is for an unknown unit."""
    for order in state.orders.values():
        if order.unit_id not in state.units:
            yield f"{order.order_id} is for {order.unit_id}, which is unknown"
        if order.send_again_at is None:
            yield f"{order.order_id} would never be looked at again"
    for incident in state.incidents.values():
        for assignment in live(incident):
            if assignment.accepted_at is None and assignment.order_id not in state.orders:
                yield f"{assignment.assignment_id} is unheard and has no order"


def _free_are_free(state: RegionState) -> Iterator[str]:
    """The lists of free units hold those that can be sent, under each of their capabilities."""
    for (body, capability), names in state.free.items():
        able = sorted(
            u.unit_id
            for u in state.units.values()
            if u.body == body and capability in u.capabilities and can_be_sent(u)
        )
        if [name for (name,) in names] != able:
            yield f"the free units of {body} {capability} are not those that can be sent"


RULES: tuple[Rule, ...] = (
    _one_assignment_a_unit,
    _work_has_an_assignment,
    _closed_is_over,
    _every_call_has_a_place,
    _every_need_waits,
    _statuses_follow,
    _orders_belong,
    _free_are_free,
)


def broken(state: RegionState) -> list[str]:
    """The rules that do not hold, each with what breaks it."""
    return [f"{rule.__doc__} But {fault}." for rule in RULES for fault in rule(state)]
