"""What is always true of a region: checked by the simulator after every decision, by the engine after loading.

Each rule says in one sentence what it promises. `broken` returns the sentences that do not hold, with the
names of what breaks them; an empty list is the only good answer. `broken_near` looks only at what was touched,
so that it can be asked all the time. The rules hold between decisions: within one, between two of its facts,
a call may be nowhere for a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TypeVar

from dispatch.core.closures import CLOSURE_POINTS_MAX, CLOSURES_MAX
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.in_turns import each, outcome
from dispatch.core.lifecycle import IN_HAND, WAITING_CALL, WORKING
from dispatch.core.needs import is_live, lent, live, settled, unmet
from dispatch.core.onward import ONWARD_MAX
from dispatch.core.queue import call_key, incident_key
from dispatch.core.state import CLOSED_KEPT, RegionState, Touched, can_be_sent
from dispatch.core.terms import (
    Assignment,
    Call,
    CallStatus,
    Incident,
    IncidentStatus,
    Order,
    Stage,
    Unit,
    UnitId,
)
from dispatch.core.warning import HAZARDS_MAX

AT_ONCE = 250
"""Things a step: some five milliseconds."""

Thing = TypeVar("Thing")
Rule = Callable[[RegionState], Iterator[str]]
RuleOf = Callable[[RegionState, Thing], Iterator[str]]


def _every_call_has_a_place(state: RegionState, call: Call) -> Iterator[str]:
    """An open call waits in the queue, is in somebody's hands, or has joined an incident that is open or ending."""
    name = call.call_id
    if call.status is CallStatus.CLOSED:
        yield f"{name} is closed among the open"
    waits = call_key(call) in state.waiting_calls
    if waits != (call.status in WAITING_CALL):
        yield f"{name} is {call.status} and {'in' if waits else 'not in'} the queue"
    if (name in state.in_hand) != (call.status in IN_HAND):
        yield f"{name} is {call.status} and {'' if name in state.in_hand else 'not '}listed as in hand"
    if call.status in IN_HAND and call.taker is None and call.moving_to is None:
        yield f"{name} is {call.status} in nobody's hands"
    if (call.status is CallStatus.LINKED) != (call.incident_id is not None):
        yield f"{name} is {call.status} with incident {call.incident_id}"
    joined = call.incident_id
    if joined is not None and joined not in state.incidents and joined not in state.ending:
        yield f"{name} has joined {joined}, which is not open"


def _a_call_is_where_it_says(state: RegionState, call: Call) -> Iterator[str]:
    """A call belongs to the region that keeps it, and moves if and only if it is offered to another."""
    if call.region != state.region:
        yield f"{call.call_id} is of {call.region} in {state.region}"
    offer = state.offers.get(call.call_id)
    if (offer.to if offer else None) != call.moving_to:
        yield f"{call.call_id} moves to {call.moving_to}, its offer is {offer}"


def _every_need_waits(state: RegionState, incident: Incident) -> Iterator[str]:
    """An incident stands in the queue, and in that of each body, if and only if it still lacks units of it."""
    lacking = unmet(incident)
    key = incident_key(incident)
    if (key in state.waiting) != bool(lacking):
        yield f"{incident.incident_id} {'lacks units outside' if lacking else 'lacks nothing in'} the queue"
    bodies = {need.body for need in lacking}
    for body, queue in state.waiting_for.items():
        if (key in queue) != (body in bodies):
            yield f"{incident.incident_id} {'lacks' if body in bodies else 'does not lack'} {body}"


def _nothing_is_unowned(state: RegionState, incident: Incident) -> Iterator[str]:
    """An open incident waits for units or has units on it: nothing drops out of sight."""
    if not unmet(incident) and not live(incident) and not lent(incident):
        yield f"{incident.incident_id} is {incident.status}, waits for nothing and nobody is there"


def _statuses_follow(state: RegionState, incident: Incident) -> Iterator[str]:
    """The statuses of an incident and its legs, and its count of calls, are those that follow."""
    if incident.status is IncidentStatus.CLOSED:
        yield f"{incident.incident_id} is closed among the open"
    if settled(incident) != incident:
        yield f"{incident.incident_id} is {incident.status}, which does not follow"
    if incident.call_count != len(state.calls_of.get(incident.incident_id, ())):
        yield f"{incident.incident_id} counts {incident.call_count} calls"


def _legs_are_distinct(state: RegionState, incident: Incident) -> Iterator[str]:
    """A body has one leg in an incident, and a capability one entry in a leg."""
    bodies = [leg.body for leg in incident.legs]
    needs = [(need.body, need.capability) for leg in incident.legs for need in leg.needs]
    if len(set(bodies)) != len(bodies) or len(set(needs)) != len(needs):
        yield f"{incident.incident_id} has legs {incident.legs}"


def _assignments_agree(state: RegionState, incident: Incident) -> Iterator[str]:
    """A live assignment and its unit agree on each other and on one status; unheard, it has an order."""
    for found in live(incident):
        name, unit = found.assignment_id, state.units.get(found.unit_id)
        if unit is None or unit.assignment_id != name or unit.incident_id != incident.incident_id:
            yield f"{name} is of {found.unit_id}, which believes {unit.assignment_id if unit else 'nothing'}"
        elif unit.status is not found.status:
            yield f"{name} is {found.status}, its unit {unit.status}"
        if state.live.get(name) != incident.incident_id:
            yield f"{name} is not known as live"
        if found.accepted_at is None and found.order_id not in state.orders:
            yield f"{name} is unheard and has no order"


def _work_has_an_assignment(state: RegionState, unit: Unit) -> Iterator[str]:
    """A unit is at work if and only if it is on a live assignment, and then it is on shift."""
    if (unit.status in WORKING) != (unit.assignment_id is not None):
        yield f"{unit.unit_id} is {unit.status} with assignment {unit.assignment_id}"
    if (unit.assignment_id is None) != (unit.incident_id is None):
        yield f"{unit.unit_id} has assignment {unit.assignment_id} of incident {unit.incident_id}"
    if unit.assignment_id is not None and unit.assignment_id not in state.live:
        yield f"{unit.unit_id} believes {unit.assignment_id}, which is not live"
    if unit.status in WORKING and not unit.on_shift:
        yield f"{unit.unit_id} is {unit.status} off shift"


def _free_are_free(state: RegionState, unit: Unit) -> Iterator[str]:
    """A unit is listed as free under each of its capabilities if and only if it can be sent."""
    for capability in unit.capabilities:
        listed = (unit.unit_id,) in state.free.get((unit.body, capability), ())
        if listed != can_be_sent(unit):
            yield f"{unit.unit_id} is {unit.status} and {'' if listed else 'not '}listed as free {capability}"


def _orders_belong(state: RegionState, order: Order) -> Iterator[str]:
    """An order is for a unit of ours, will be looked at again, and is kept until it is answered."""
    if order.unit_id not in state.units:
        yield f"{order.order_id} is for {order.unit_id}, which is unknown"
    if order.send_again_at is None:
        yield f"{order.order_id} would never be looked at again"
    if order.stage in (Stage.ACCEPTED, Stage.REFUSED):
        yield f"{order.order_id} is {order.stage} and still kept"


def _one_assignment_a_unit(state: RegionState) -> Iterator[str]:
    """A unit has at most one live assignment."""
    held: dict[UnitId, Assignment] = {}
    for incident in state.incidents.values():
        for assignment in live(incident):
            if assignment.unit_id in held:
                yield f"{assignment.unit_id} is on {incident.incident_id} and elsewhere"
            held[assignment.unit_id] = assignment
    if len(state.live) != len(held):
        yield f"{len(state.live)} assignments are known as live, {len(held)} are"


def _closed_is_over(state: RegionState) -> Iterator[str]:
    """What is closed is on its bounded shelf only, and a closed incident has no unit on it."""
    for incident in state.closed_incidents.values():
        if any(map(is_live, incident.assignments)) or incident.incident_id in state.incidents:
            yield f"{incident.incident_id} is closed and open, or has units on it"
    both = state.closed_calls.keys() & state.calls.keys()
    if both:
        yield f"{sorted(both)} are open and closed"
    if max(len(state.closed_calls), len(state.closed_incidents)) > CLOSED_KEPT:
        yield "the shelves have grown beyond their bound"


def _endings_have_calls(state: RegionState) -> Iterator[str]:
    """An incident is ending if and only if it is closed and has calls that are not."""
    for name in state.ending:
        if name in state.incidents or name not in state.calls_of:
            yield f"{name} is {'open' if name in state.incidents else 'without calls'} and ending"


def _evidence_finds_its_call(state: RegionState) -> Iterator[str]:
    """Evidence waits within its bounds, without an address only while its call is offered; no call here is gone."""
    for piece in state.onward.values():
        if piece.to is None and piece.call_id not in state.offers:
            yield f"{piece.evidence_id} waits for {piece.call_id}, which is not offered"
    most = max(Counter(piece.call_id for piece in state.onward.values()).values(), default=0)
    if len(state.onward) > ONWARD_MAX or most > EVIDENCE_KEPT:
        yield f"{len(state.onward)} pieces wait, {most} of them for one call"
    both = state.gone.keys() & state.calls.keys()
    if both:
        yield f"{sorted(both)} are here and gone"


def _closures_are_bounded(state: RegionState) -> Iterator[str]:
    """A region keeps no more closures than it may have, each under its own name."""
    if len(state.closures) > CLOSURES_MAX or any(name != kept.closure_id for name, kept in state.closures.items()):
        yield f"{len(state.closures)} closures are kept, or under other names"
    points = sum(kept.points for kept in state.closures.values())
    if points > CLOSURE_POINTS_MAX:
        yield f"{points} points of closures are kept"


def _hazards_are_ours(state: RegionState) -> Iterator[str]:
    """A hazard belongs to the region that keeps it, and there are no more of them than can be."""
    for hazard in state.hazards.values():
        if hazard.region != state.region:
            yield f"{hazard.hazard_id} is of {hazard.region}"
    if len(state.hazards) > HAZARDS_MAX:
        yield f"there are {len(state.hazards)}"


def _numbers_run_on(state: RegionState) -> Iterator[str]:
    """No incident has a number that is still to be given."""
    for incident in (*state.incidents.values(), *state.closed_incidents.values()):
        if incident.number > state.number:
            yield f"{incident.incident_id} has a number beyond {state.number}"


def _indexes_follow(state: RegionState) -> Generator[None, None, list[str]]:
    """Every index is what the values alone would give."""
    fresh = RegionState(state.region)
    yield from each(state.calls.values(), fresh.put_call, AT_ONCE)
    yield from each(state.incidents.values(), fresh.put_incident, AT_ONCE)
    yield from each(state.units.values(), fresh.put_unit, AT_ONCE)
    yield from each(state.orders.values(), fresh.put_order, AT_ONCE)
    yield from each(state.hazards.values(), fresh.put_hazard, AT_ONCE)
    found = []
    for name, index in INDEXES.items():
        ours, theirs = index(state), index(fresh)
        if ours != theirs:
            found.append(f"{name} is {ours}, but follows as {theirs}")
        yield
    missing = set(fresh.due) - set(state.due)
    if missing:
        found.append(f"nobody will look at {sorted(missing)}")
    return found


INDEXES: Mapping[str, Callable[[RegionState], object]] = {
    "the queue of calls": lambda state: list(state.waiting_calls),
    "the calls in hand": lambda state: state.in_hand,
    "the calls by status": lambda state: {status: n for status, n in state.standing.items() if n},
    "the queue": lambda state: list(state.waiting),
    "the queues of the bodies": lambda state: {body: list(queue) for body, queue in state.waiting_for.items()},
    "the units on shift": lambda state: state.on_shift,
    "the units that can be sent": lambda state: state.sendable,
    "the free units": lambda state: {skill: list(names) for skill, names in state.free.items() if len(names)},
    "the grid": lambda state: state.cells,
    "the hazards on the grid": lambda state: state.hazards_at,
    "the hazards of incidents": lambda state: state.hazards_told,
    "the calls of incidents": lambda state: state.calls_of,
    "the live assignments": lambda state: state.live,
}
"""The indexes as plain values that do not depend on the order in which entries came."""


OF_CALLS: tuple[RuleOf[Call], ...] = (_every_call_has_a_place, _a_call_is_where_it_says)
OF_INCIDENTS: tuple[RuleOf[Incident], ...] = (
    _every_need_waits,
    _nothing_is_unowned,
    _statuses_follow,
    _legs_are_distinct,
    _assignments_agree,
)
OF_UNITS: tuple[RuleOf[Unit], ...] = (_work_has_an_assignment, _free_are_free)
OF_ORDERS: tuple[RuleOf[Order], ...] = (_orders_belong,)
OF_ALL: tuple[Rule, ...] = (
    _one_assignment_a_unit,
    _closed_is_over,
    _endings_have_calls,
    _evidence_finds_its_call,
    _closures_are_bounded,
    _numbers_run_on,
    _hazards_are_ours,
)


def broken(state: RegionState) -> list[str]:
    """The rules that do not hold anywhere in the region, each with what breaks it."""
    return outcome(checking(state))


def checking(state: RegionState) -> Generator[None, None, list[str]]:
    """The same in steps of some milliseconds; the state must stay as it is until the last one."""
    found: list[str] = []
    yield from each(state.calls.values(), lambda call: found.extend(_faults(state, OF_CALLS, (call,))), AT_ONCE)
    yield from each(state.incidents.values(), lambda one: found.extend(_faults(state, OF_INCIDENTS, (one,))), AT_ONCE)
    yield from each(state.units.values(), lambda unit: found.extend(_faults(state, OF_UNITS, (unit,))), AT_ONCE)
    yield from each(state.orders.values(), lambda order: found.extend(_faults(state, OF_ORDERS, (order,))), AT_ONCE)
    for rule in OF_ALL:
        found.extend(_said(rule, fault) for fault in rule(state))
        yield
    unlike = yield from _indexes_follow(state)
    return [*found, *(_said(_indexes_follow, fault) for fault in unlike)]


def broken_near(state: RegionState, touched: Touched) -> list[str]:
    """The rules that do not hold for what was touched: quick enough to be asked after every decision."""
    calls = (state.calls[name] for name in touched.calls if name in state.calls)
    incidents = (state.incidents[name] for name in touched.incidents if name in state.incidents)
    orders = (state.orders[name] for name in touched.orders if name in state.orders)
    return [
        *_faults(state, OF_CALLS, calls),
        *_faults(state, OF_INCIDENTS, incidents),
        *_faults(state, OF_UNITS, (state.units[name] for name in touched.units)),
        *_faults(state, OF_ORDERS, orders),
    ]


def _faults(state: RegionState, rules: Iterable[RuleOf[Thing]], things: Iterable[Thing]) -> list[str]:
    found = tuple(things)
    return [_said(rule, fault) for rule in rules for thing in found for fault in rule(state, thing)]


def _said(rule: Callable[..., object], fault: str) -> str:
    return f"{rule.__doc__} But {fault}."
