"""The state of one region: frozen values in dictionaries, and the indexes that make decisions quick.

Only `evolve` changes it. Every change goes through a `put_…` method, which keeps the indexes true and notes
what was touched, so that read models and boards know what to write again. The indexes can always be
rebuilt from the values, and the invariants check that they agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from heapq import heappush
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from dispatch.core.aid_terms import AidReport, Ask, Loan
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.ground import Cell, cell_of, cells_within
from dispatch.core.lifecycle import FREE, IN_HAND, WAITING_CALL
from dispatch.core.needs import Skill, unmet
from dispatch.core.onward_terms import Gone, Onward
from dispatch.core.queue import CallKey, IncidentKey, Ordered, Ranked, call_key, incident_key
from dispatch.core.terms import (
    AidFor,
    Assignment,
    AssignmentId,
    Body,
    Call,
    CallId,
    CallStatus,
    Disposition,
    Hazard,
    HazardId,
    Incident,
    IncidentId,
    IncidentStatus,
    Offer,
    Order,
    OrderId,
    Phase,
    Policy,
    RegionId,
    Stage,
    Unit,
    UnitId,
    Value,
)

CLOSED_KEPT = 500
"""How many closed calls and incidents stay in memory, newest last; older ones are read from the store."""
DUE_SLACK = 64
"""How many deadlines that have lost their meaning may stand beside as many as twice those that have one."""

_Id = TypeVar("_Id")
_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept")


class Touched(msgspec.Struct):
    """What changed since the last `taken`, as it is now, in the order of first touch.

    The values are here because a closed one may have left its bounded shelf again. None: the call is another
    region's now.
    """

    calls: dict[CallId, Call | None] = {}
    shown: dict[CallId, None] = {}
    """Of these calls only what a board shows: their rows may be another region's by now."""
    incidents: dict[IncidentId, Incident] = {}
    units: dict[UnitId, None] = {}
    orders: dict[OrderId, Order] = {}
    assignments: dict[AssignmentId, Assignment] = {}
    region: bool = False


class Ending(Value, frozen=True, kw_only=True):
    """An incident that has ended while some of its many calls are still to be closed, as of the same time."""

    incident_id: IncidentId
    disposition: Disposition
    at: datetime


def can_be_sent(unit: Unit) -> bool:
    """Whether a unit may be recommended: free, on shift, and its device in contact."""
    return unit.on_shift and unit.linked and unit.status in FREE and unit.assignment_id is None


class RegionState:
    """Everything that one region's writer knows."""

    def __init__(self, region: RegionId) -> None:
        self.region = region
        self.seq = 0
        self.stamp = 0
        """That of the last event: a number which also grows over a restore, see `naming.py`."""
        self.number = 0
        self.policy = Policy()
        self.phase = Phase.LIVE
        self.calls: dict[CallId, Call] = {}
        self.incidents: dict[IncidentId, Incident] = {}
        self.units: dict[UnitId, Unit] = {}
        self.orders: dict[OrderId, Order] = {}
        self.offers: dict[CallId, Offer] = {}
        self.taken_offers: dict[str, None] = {}
        self.forgone: dict[str, None] = {}
        self.gone: dict[CallId, Gone] = {}
        self.onward: dict[str, Onward] = {}
        self.evidence_heard: dict[str, None] = {}
        self.asks: dict[str, Ask] = {}
        self.loans: dict[str, Loan] = {}
        self.past_loans: dict[str, AidReport] = {}
        self.closures: dict[ClosureId, Closure] = {}
        self.hazards: dict[HazardId, Hazard] = {}
        self.ending: dict[IncidentId, Ending] = {}
        self.closed_calls: dict[CallId, Call] = {}
        self.closed_incidents: dict[IncidentId, Incident] = {}
        self._index()

    def _index(self) -> None:
        self.touched = Touched()
        self.waiting_calls: Ranked[CallKey] = Ranked()
        self.in_hand: dict[CallId, None] = {}
        self.standing: Counter[CallStatus] = Counter()
        self.waiting: Ranked[IncidentKey] = Ranked()
        self.waiting_for: dict[Body, Ranked[IncidentKey]] = {body: Ranked() for body in Body}
        self.free: dict[Skill, Ordered[tuple[UnitId]]] = {}
        self.on_shift: Counter[Body] = Counter()
        self.sendable: Counter[Body] = Counter()
        self.cells: dict[Cell, dict[IncidentId, None]] = {}
        self.calls_of: dict[IncidentId, dict[CallId, None]] = {}
        self.live: dict[AssignmentId, IncidentId] = {}
        self.hazards_at: dict[Cell, dict[HazardId, None]] = {}
        self.hazards_told: dict[IncidentId, dict[HazardId, None]] = {}
        self.due: list[tuple[datetime, str]] = []
        """When an order or a hazard must be looked at; names of the two differ."""

    @property
    def letters(self) -> str:
        """The region's letters for numbers said aloud: `TK` of `UZ-TK`."""
        return self.region.rpartition("-")[2]

    def copy(self) -> RegionState:
        """Another state with the same values and nothing touched: what happens to one leaves the other alone."""
        copied = RegionState(self.region)
        vars(copied).update({name: _copied(each) for name, each in vars(self).items() if name != "touched"})
        return copied

    def taken(self) -> Touched:
        """What was touched since the last time, once."""
        touched, self.touched = self.touched, Touched()
        return touched

    def put_call(self, call: Call) -> None:
        """Keep a call; a closed one moves to the bounded shelf of closed calls."""
        old = self.calls.get(call.call_id)
        if old is not None:
            self._forget_call(old)
        self.touched.calls[call.call_id] = call
        self.touched.shown.pop(call.call_id, None)
        if call.status is CallStatus.CLOSED:
            self.calls.pop(call.call_id, None)
            keep_newest(self.closed_calls, call.call_id, call, CLOSED_KEPT)
            return
        self.calls[call.call_id] = call
        if call.status in WAITING_CALL:
            self.waiting_calls.add(call_key(call))
            self.standing[call.status] += 1
        elif call.status in IN_HAND:
            self.in_hand[call.call_id] = None
            self.standing[call.status] += 1
        if call.incident_id is not None:
            self.calls_of.setdefault(call.incident_id, {})[call.call_id] = None

    def show_call(self, call: Call) -> None:
        """Keep a call of which nothing has changed but what a board shows."""
        untouched = call.call_id not in self.touched.calls or call.call_id in self.touched.shown
        self.put_call(call)
        if untouched:
            self.touched.shown[call.call_id] = None

    def _forget_call(self, old: Call) -> None:
        self.in_hand.pop(old.call_id, None)
        if old.status in WAITING_CALL:
            self.waiting_calls.discard(call_key(old))
        if old.status is not CallStatus.LINKED:
            self.standing[old.status] -= 1
        if old.incident_id is not None:
            joined = self.calls_of.get(old.incident_id, {})
            joined.pop(old.call_id, None)
            if not joined:
                self.calls_of.pop(old.incident_id, None)

    def release_call(self, call_id: CallId) -> None:
        """Another region has the call: nothing of it stays here."""
        self._forget_call(self.calls.pop(call_id))
        self.touched.calls[call_id] = None

    def put_incident(self, incident: Incident) -> None:
        """Keep an incident; a closed one moves to the bounded shelf of closed incidents."""
        old = self.incidents.get(incident.incident_id)
        if old is not None:
            self._forget_incident(old)
        self.touched.incidents[incident.incident_id] = incident
        self._touch_assignments(old, incident)
        if incident.aid_for is not None:
            self._mirror(incident, incident.aid_for)
        if incident.status is IncidentStatus.CLOSED:
            self.incidents.pop(incident.incident_id, None)
            keep_newest(self.closed_incidents, incident.incident_id, incident, CLOSED_KEPT)
            return
        self.incidents[incident.incident_id] = incident
        key = incident_key(incident)
        for need in unmet(incident):
            self.waiting.add(key)
            self.waiting_for[need.body].add(key)
        if incident.location is not None:
            cell = cell_of(incident.location.lat, incident.location.lon)
            self.cells.setdefault(cell, {})[incident.incident_id] = None
        for assignment in incident.assignments:
            if assignment.cleared_at is None:
                self.live[assignment.assignment_id] = incident.incident_id

    def _mirror(self, incident: Incident, aid: AidFor) -> None:
        """A loan keeps what is to be told of its incident, also after that has left the shelf."""
        loan = self.loans.get(aid.request_id)
        if loan is not None:
            over = incident.status is IncidentStatus.CLOSED
            self.loans[aid.request_id] = replace(
                loan, incident_id=incident.incident_id, units=incident.assignments, over=over
            )

    def _touch_assignments(self, old: Incident | None, new: Incident) -> None:
        before = {a.assignment_id: a for a in old.assignments} if old is not None else {}
        for assignment in new.assignments:
            if before.get(assignment.assignment_id) is not assignment:
                self.touched.assignments[assignment.assignment_id] = assignment

    def _forget_incident(self, old: Incident) -> None:
        key = incident_key(old)
        self.waiting.discard(key)
        for leg in old.legs:
            self.waiting_for[leg.body].discard(key)
        if old.location is not None:
            cell = cell_of(old.location.lat, old.location.lon)
            self.cells[cell].pop(old.incident_id, None)
            if not self.cells[cell]:
                del self.cells[cell]
        for assignment in old.assignments:
            self.live.pop(assignment.assignment_id, None)

    def touch_incident(self, incident_id: IncidentId) -> None:
        """Something that is shown with an incident has changed, though not the incident itself."""
        incident = self.incident(incident_id)
        if incident is not None:
            self.touched.incidents[incident_id] = incident

    def put_unit(self, unit: Unit) -> None:
        """Keep a unit, and whether it may be sent."""
        old = self.units.get(unit.unit_id)
        if old is not None:
            self._forget_unit(old)
        self.units[unit.unit_id] = unit
        self.touched.units[unit.unit_id] = None
        self.on_shift[unit.body] += unit.on_shift
        if can_be_sent(unit):
            self.sendable[unit.body] += 1
            for skill in _skills(unit):
                self.free.setdefault(skill, Ordered()).add((unit.unit_id,))

    def _forget_unit(self, old: Unit) -> None:
        self.on_shift[old.body] -= old.on_shift
        if can_be_sent(old):
            self.sendable[old.body] -= 1
            for skill in _skills(old):
                self.free[skill].discard((old.unit_id,))

    def put_order(self, order: Order) -> None:
        """Keep an order and the time when it must be looked at."""
        self.orders[order.order_id] = order
        self.touched.orders[order.order_id] = order
        if order.send_again_at is not None:
            self._fall_due(order.send_again_at, order.order_id)

    def drop_order(self, order_id: OrderId, last: Stage | None = None) -> None:
        """The order is over; `last` is the stage that it ended with, when the unit said one."""
        order = self.orders.pop(order_id, None)
        if order is not None:
            self.touched.orders[order_id] = replace(order, stage=last or order.stage, send_again_at=None)

    def put_hazard(self, hazard: Hazard) -> None:
        """Keep a new hazard, findable from each cell that it reaches, and the time when it ends."""
        assert hazard.hazard_id not in self.hazards
        self.hazards[hazard.hazard_id] = hazard
        for cell in cells_within(hazard.location, hazard.radius_m):
            self.hazards_at.setdefault(cell, {})[hazard.hazard_id] = None
        if hazard.incident_id is not None:
            self.hazards_told.setdefault(hazard.incident_id, {})[hazard.hazard_id] = None
        if hazard.until is not None:
            self._fall_due(hazard.until, hazard.hazard_id)

    def _fall_due(self, at: datetime, name: str) -> None:
        """Note a time at which something must be looked at.

        Times that have lost their meaning leave the heap when they come, where somebody serves deadlines, and here
        once they are most of it: a follower serves none, and an order moves on long before it is late.
        """
        heappush(self.due, (at, name))
        if len(self.due) > DUE_SLACK + 2 * (len(self.orders) + len(self.hazards)):
            self.due = sorted(due for due in set(self.due) if self._stands(*due))

    def _stands(self, at: datetime, name: str) -> bool:
        order, hazard = self.orders.get(OrderId(name)), self.hazards.get(HazardId(name))
        return (order is not None and order.send_again_at == at) or (hazard is not None and hazard.until == at)

    def drop_hazard(self, hazard_id: HazardId) -> None:
        """The hazard is over."""
        hazard = self.hazards.pop(hazard_id)
        for cell in cells_within(hazard.location, hazard.radius_m):
            _take_out(self.hazards_at, cell, hazard_id)
        if hazard.incident_id is not None:
            _take_out(self.hazards_told, hazard.incident_id, hazard_id)

    def hand_hazards(self, incident_id: IncidentId, into: IncidentId) -> None:
        """What was told in the course of an incident was told of the one that it turned out to be."""
        for hazard_id in list(self.hazards_told.get(incident_id, ())):
            hazard = self.hazards[hazard_id]
            self.drop_hazard(hazard_id)
            self.put_hazard(replace(hazard, incident_id=into))

    def call(self, call_id: CallId) -> Call | None:
        """An open call, or one closed not long ago."""
        return self.calls.get(call_id) or self.closed_calls.get(call_id)

    def is_over(self, call: Call) -> bool:
        """Whether a call is closed, or has its incident's end and only waits for its turn to be closed."""
        return call.status is CallStatus.CLOSED or call.incident_id in self.ending

    def onward_of(self, call_id: CallId) -> list[Onward]:
        """The evidence that waits for a call which is elsewhere, or was, oldest first."""
        return [piece for piece in self.onward.values() if piece.call_id == call_id]

    def incident(self, incident_id: IncidentId) -> Incident | None:
        """An open incident, or one closed not long ago."""
        return self.incidents.get(incident_id) or self.closed_incidents.get(incident_id)


def _copied(value: Any) -> Any:
    """Indexes as deep as they go, values as they are."""
    if isinstance(value, dict) and isinstance(next(iter(value.values()), None), dict | Ordered | Ranked):
        return {key: each.copy() for key, each in value.items()}
    return value.copy() if isinstance(value, dict | list | Ordered | Ranked) else value


def _take_out(index: dict[_Key, dict[_Id, None]], key: _Key, name: _Id) -> None:
    """Take a name out of an index that holds no empty entries."""
    names = index[key]
    del names[name]
    if not names:
        del index[key]


def keep_newest(shelf: dict[_Id, _Kept], key: _Id, value: _Kept, limit: int) -> None:
    """Put a value last on a shelf of at most `limit`."""
    shelf.pop(key, None)
    shelf[key] = value
    while len(shelf) > limit:
        del shelf[next(iter(shelf))]


def _skills(unit: Unit) -> Iterable[Skill]:
    return ((unit.body, capability) for capability in unit.capabilities)
