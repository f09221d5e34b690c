"""What a region's board shows: rows made from the committed state, and what changed in them.

Pure. The law: a snapshot with all later changes merged into it equals a fresh snapshot, in every view.
A view is the class of fields that a role may see: `full`, or `body:mia` for one body's people, who see the
incidents that their body has a leg in and no calls. Nothing personal is on a board.
A board holds at most MOST_WAITING waiting incidents and MOST_CALLS calls, the most urgent ones; the rest is a
number. Closed roads concern everybody: they are in every view, without who closed them; the core bounds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from consoles.aid_rows import aid_part, lent_to
from consoles.closure_rows import on_board as closure_on_board
from consoles.hazard_rows import on_board
from dispatch.calling.wishes import unknown_words
from dispatch.core.needs import live, unmet
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import (
    Assignment,
    Body,
    Call,
    CallId,
    CallStatus,
    Incident,
    IncidentId,
    Leg,
    Location,
    Order,
    Priority,
    Stage,
    Unit,
    UnitId,
)

Row = dict[str, Any]
Id = TypeVar("Id", bound=str)

FULL = "full"
VIEWS = (FULL, *(f"body:{body}" for body in Body))
MOST_WAITING = 200
MOST_CALLS = 200
SECTIONS = ("incidents", "calls", "units", "closures")


class Board:
    """One region in one view. It remembers what it has shown, so that `changes` says only what differs."""

    def __init__(self, view: str = FULL) -> None:
        assert view in VIEWS, view
        self.view = view
        self._body = Body(view.partition(":")[2]) if view != FULL else None
        self._shown: dict[str, dict[str, Row]] = {section: {} for section in SECTIONS}
        self._region: Row = {}

    def snapshot(self, state: RegionState) -> Row:
        """The whole board, drawn afresh from the state."""
        fresh = Board(self.view)
        fresh.changes(state, None)
        self._shown, self._region = fresh._shown, fresh._region
        return {"region": state.region, **self._region} | {s: dict(self._shown[s]) for s in SECTIONS}

    def changes(self, state: RegionState, touched: Touched | None) -> Row:
        """What differs from what was shown, for what was touched; with None everything is compared."""
        everything = touched is None
        changed: Row = {}
        incidents = self._incidents_shown(state)
        calls = self._calls_shown(state)
        looked = Touched() if touched is None else touched
        # An incident's row also says how far the orders of its units have come.
        ordered = (order.incident_id for order in looked.orders.values() if order.incident_id is not None)
        marked = {*looked.incidents, *ordered}
        self._draw(changed, "incidents", marked, incidents, lambda i: incident_row(state, i, self.view))
        wanting = awaiting(state)
        self._draw(changed, "calls", looked.calls, calls, lambda c: call_row(c, waiting=c.call_id in wanting))
        # A closure never changes under its name, so none is ever marked.
        self._draw(changed, "closures", (), state.closures, lambda c: closure_on_board(state.region, c))
        units = dict(state.units) if everything else {u: state.units[u] for u in looked.units if u in state.units}
        self._draw_units(changed, units, state)
        for key, value in region_part(state, self._body).items():
            if self._region.get(key) != value:
                self._region[key] = changed[key] = value
        return changed

    def _incidents_shown(self, state: RegionState) -> dict[IncidentId, Incident]:
        """The most urgent waiting ones, for a body those that wait for it, and all that have units on them."""
        shown: dict[IncidentId, Incident] = {}
        queue = state.waiting if self._body is None else state.waiting_for[self._body]
        for _, _, name in queue.first(MOST_WAITING):
            shown[IncidentId(name)] = state.incidents[IncidentId(name)]
        for incident_id in state.live.values():
            shown[incident_id] = state.incidents[incident_id]
        if self._body is None:
            return shown
        return {i: incident for i, incident in shown.items() if any(leg.body is self._body for leg in incident.legs)}

    def _calls_shown(self, state: RegionState) -> dict[CallId, Call]:
        """The first of the queue and all that somebody has in hand; a joined call shows in its incident."""
        if self._body is not None:
            return {}
        waiting = [CallId(name) for _, _, name in state.waiting_calls.first(MOST_CALLS)]
        return {c: state.calls[c] for c in [*waiting, *state.in_hand]}

    def _draw(
        self,
        changed: Row,
        section: str,
        touched: Iterable[str],
        now: dict[Id, Any],
        row: Callable[[Any], Row],
    ) -> None:
        shown: dict[str, Row] = self._shown[section]
        differs: dict[str, Row | None] = {}
        marked = set(touched)
        for name, value in now.items():
            if name in marked or name not in shown:
                drawn = row(value)
                if shown.get(name) != drawn:
                    shown[name] = differs[name] = drawn
        for gone in [n for n in shown if n not in now]:
            del shown[gone]
            differs[gone] = None  # null removes a row
        if differs:
            changed[section] = differs

    def _draw_units(self, changed: Row, units: dict[UnitId, Unit], state: RegionState) -> None:
        """Units never leave a board, so only those that were touched need a look."""
        shown, differs = self._shown["units"], {}
        for name, unit in units.items():
            if self._body is not None and unit.body is not self._body:
                continue
            drawn = unit_row(unit, lent_to(state, unit))
            if shown.get(name) != drawn:
                shown[name] = differs[name] = drawn
        if differs:
            changed["units"] = differs


def _when(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _place(location: Location | None) -> Row:
    if location is None:
        return {"lat": None, "lon": None, "accuracy_m": None, "source": None, "place": None}
    return {
        "lat": location.lat,
        "lon": location.lon,
        "accuracy_m": location.accuracy_m,
        "source": location.source,
        "place": location.place or None,
    }


def incident_row(state: RegionState, incident: Incident, view: str = FULL) -> Row:
    """An incident as a line of the queue."""
    lacking: Counter[Body] = Counter()
    for need in unmet(incident):
        lacking[need.body] += need.count
    hazards = on_board(state, incident)
    flags = _incident_flags(state, incident, unread=not all(hazard["acknowledged"] for hazard in hazards))
    return {
        "incident_id": incident.incident_id,
        "number": incident.number,
        "incident_type": incident.incident_type,
        "priority": incident.priority,
        "status": incident.status,
        "opened_at": _when(incident.opened_at),
        "waiting": bool(lacking),
        "held": incident.held,
        "calls": incident.call_count,
        "legs": [_leg_row(incident, leg, lacking) for leg in incident.legs],
        "units": [_assignment_row(state, a) for a in live(incident)],
        "flags": flags,
        "hazards": hazards,
        **aid_part(state, incident),
    } | _place(incident.location)


def _leg_row(incident: Incident, leg: Leg, lacking: Counter[Body]) -> Row:
    here = sum(a.body == leg.body for a in live(incident))
    return {"body": leg.body, "status": leg.status, "needed": lacking.get(leg.body, 0), "assigned": here}


def _assignment_row(state: RegionState, assignment: Assignment) -> Row:
    order = state.orders.get(assignment.order_id)
    stage = stage_of(assignment, order)
    unheard = stage in (Stage.PENDING, Stage.SENT)
    return {
        "unit_id": assignment.unit_id,
        "call_sign": assignment.call_sign,
        "assignment_id": assignment.assignment_id,
        "status": assignment.status,
        "stage": stage,
        "eta_s": assignment.eta_s,
        "eta_p90_s": assignment.eta_p90_s,
        "assigned_at": _when(assignment.assigned_at),
        "overdue": unheard and order is not None and order.sends > 1,
    }


def stage_of(assignment: Assignment, order: Order | None) -> Stage:
    """How far the assignment's order has come, or had when it was over."""
    if assignment.accepted_at is not None:
        return Stage.ACCEPTED
    if assignment.refused_at is not None:
        return Stage.REFUSED
    if order is not None:
        return order.stage
    if assignment.seen_at is not None:
        return Stage.SEEN
    return Stage.DELIVERED if assignment.delivered_at is not None else Stage.SENT


def _incident_flags(state: RegionState, incident: Incident, *, unread: bool) -> list[str]:
    """What must be seen at once; `unread`: a hazard concerns it that nobody has acknowledged."""
    where = incident.location
    flags = {
        "unlocated": where is None,
        "hazard": unread,
        "no_units": incident.short,
        "outside_region": where is not None and (where.outside or state.region not in where.regions),
        "referred": incident.referred_to is not None,
        "border": where is not None and len(where.regions) > 1,
        "contradiction": where is not None and where.contradiction is not None,
    }
    return [name for name, is_so in flags.items() if is_so]


def awaiting(state: RegionState) -> set[CallId]:
    """The calls for which evidence has come in that has not reached them yet: they are on their way, or gone."""
    return {piece.call_id for piece in state.onward.values()}


def call_row(call: Call, *, waiting: bool = False) -> Row:
    """A call as a line of the call list; `waiting`: it is one of `awaiting`."""
    flags = {
        "unlocated": call.location is None,
        "no_number": not call.has_number,
        "contradiction": call.location is not None and bool(call.location.contradiction),
        "handing_over": call.moving_to is not None and call.closed_at is None,
        "taking_back": call.taking_back,
        "evidence_waiting": waiting,
    }
    return {
        "call_id": call.call_id,
        "channel": call.channel,
        "status": call.status,
        "at": _when(call.at),
        "since": _when(call.since),
        "language": call.language,
        "silent": call.silent,
        "has_number": call.has_number,
        "taker": call.taker,
        "service": call.service,
        "incident_type": call.incident_type,
        "priority": call.priority,
        "incident_id": call.incident_id,
        "moving_to": call.moving_to,
        "moving_since": _when(call.moving_since),
        "flags": [*(name for name, is_so in flags.items() if is_so), *unknown_words(call.misunderstood)],
    } | _place(call.location)


def unit_row(unit: Unit, lent_to: str | None = None) -> Row:
    """A unit as a cell of the unit board; `lent_to` is the region that it helps."""
    return {
        "unit_id": unit.unit_id,
        "call_sign": unit.call_sign,
        "body": unit.body,
        "kind": unit.kind,
        "capabilities": list(unit.capabilities),
        "status": unit.status,
        "since": _when(unit.since),
        "incident_id": unit.incident_id,
        "assignment_id": unit.assignment_id,
        "link": "ok" if unit.linked else "lost",
        "on_shift": unit.on_shift,
        "lent_to": lent_to,
    }


def region_part(state: RegionState, body: Body | None = None) -> Row:
    """What is said of the region as a whole."""
    return {
        "policy": {"dispatch": state.policy.assigning, "attended": state.policy.attended},
        "phase": state.phase,
        "counts": counts(state, body),
    }


def counts(state: RegionState, body: Body | None = None) -> Row:
    """Waiting by priority with the oldest of each, how many more than are shown, calls by status, units."""
    queue = state.waiting if body is None else state.waiting_for[body]
    waiting = {str(priority): queue.starting(priority) for priority in Priority}
    standing = state.standing if body is None else {}
    return {
        "waiting": {priority: count for priority, (count, _) in waiting.items()},
        "oldest": {priority: _when(first[1]) if first else None for priority, (_, first) in waiting.items()},
        "more": max(0, len(queue) - MOST_WAITING),
        "calls": {str(s): standing[s] for s in CallStatus if standing.get(s)},
        "units": units_counted(state, body),
    }


def units_counted(state: RegionState, body: Body | None = None) -> Row:
    """Units on shift, and how many of them may be sent."""
    if body is not None:
        return {"total": state.on_shift[body], "free": state.sendable[body]}
    return {"total": state.on_shift.total(), "free": state.sendable.total()}
