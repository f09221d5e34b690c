"""How a fact changes the state: the one way that it changes, live and on replay.

`evolve` trusts its events, for `decide` made them; what it relies on it asserts. It works in place and
returns the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from msgspec.structs import replace

from dispatch.core import events as e
from dispatch.core import evolve_between, evolve_hazards, evolve_units  # noqa: F401 (their steps are ours too)
from dispatch.core.evidence import with_fix
from dispatch.core.evolve_onward import gone
from dispatch.core.lifecycle import CALL, INCIDENT, moved
from dispatch.core.naming import next_stamp
from dispatch.core.needs import joined, settled
from dispatch.core.state import Ending, RegionState, keep_newest
from dispatch.core.steps import STEPS, on
from dispatch.core.terms import (
    Call,
    CallId,
    CallStatus,
    Disposition,
    Incident,
    IncidentId,
    IncidentStatus,
    LegStatus,
)

NOTES_KEPT = 100
OFFERS_KEPT = 2000


def evolve(state: RegionState, event: e.Event, at: datetime) -> RegionState:
    """The state after the event; `at` is the event's time from its envelope."""
    state.stamp = next_stamp(state.stamp, at)
    STEPS[type(event)](state, event, at)
    state.seq += 1
    return state


@on(e.CallReceived)
def _call_received(state: RegionState, event: e.CallReceived, at: datetime) -> None:
    assert event.call.call_id not in state.calls
    state.put_call(event.call)


@on(e.CallLocated)
def _call_located(state: RegionState, event: e.CallLocated, at: datetime) -> None:
    call = state.calls[event.call_id]
    location = event.location or call.location
    state.put_call(replace(call, evidence=with_fix(call.evidence, event.fix), location=location))


@on(e.CallMoved)
def _call_moved(state: RegionState, event: e.CallMoved, at: datetime) -> None:
    call = state.calls[event.call_id]
    changes: dict[str, object] = {"taker": event.taker}
    if event.status is CallStatus.ANSWERED and call.answered_at is None:
        changes["answered_at"] = at
    _move_call(state, call, event.status, at, **changes)


def _move_call(state: RegionState, call: Call, status: CallStatus, at: datetime, **changes: object) -> None:
    since = at if status is not call.status else call.since
    state.put_call(replace(call, status=moved(CALL, call.status, status), since=since, **changes))


@on(e.CallClassified)
def _call_classified(state: RegionState, event: e.CallClassified, at: datetime) -> None:
    call = state.calls[event.call_id]
    state.put_call(replace(call, incident_type=event.incident_type, priority=event.priority))


@on(e.CallLinked)
def _call_linked(state: RegionState, event: e.CallLinked, at: datetime) -> None:
    call = state.calls[event.call_id]
    changes = {"incident_id": event.incident_id, "joined_automatically": event.automatic}
    _move_call(state, call, CallStatus.LINKED, at, **changes)
    incident = state.incidents[event.incident_id]
    brought = tuple(note for note in call.notes if note not in incident.notes)
    if brought:
        state.put_incident(replace(incident, notes=(*incident.notes, *brought)[-NOTES_KEPT:]))
    _count_calls(state, event.incident_id)


def _count_calls(state: RegionState, incident_id: IncidentId) -> None:
    incident = state.incidents[incident_id]
    state.put_incident(replace(incident, call_count=len(state.calls_of.get(incident_id, ()))))


@on(e.CallSplit)
def _call_split(state: RegionState, event: e.CallSplit, at: datetime) -> None:
    call = state.calls[event.call_id]
    assert call.incident_id == event.incident_id
    changes = {"incident_id": None, "joined_automatically": False}
    _move_call(state, call, CallStatus.ANSWERED, at, **changes)
    _count_calls(state, event.incident_id)


@on(e.CallClosed)
def _call_closed(state: RegionState, event: e.CallClosed, at: datetime) -> None:
    _close_call(state, state.calls[event.call_id], event.disposition, at)


def _close_call(state: RegionState, call: Call, disposition: Disposition, at: datetime) -> None:
    state.offers.pop(call.call_id, None)
    status = moved(CALL, call.status, CallStatus.CLOSED)
    closed = {"disposition": disposition, "closed_at": at, "moving_to": None, "taking_back": False}
    state.put_call(replace(call, status=status, since=at, **closed))
    if call.incident_id is not None and call.incident_id in state.incidents:
        _count_calls(state, call.incident_id)


@on(e.CallOffered)
def _call_offered(state: RegionState, event: e.CallOffered, at: datetime) -> None:
    call = state.calls[event.call_id]
    assert call.incident_id is None and event.offer.to != state.region
    state.offers[call.call_id] = event.offer
    notes = (*call.notes, *event.notes)[-NOTES_KEPT:]
    state.put_call(replace(call, moving_to=event.offer.to, moving_since=at, notes=notes))


@on(e.CallAccepted)
def _call_accepted(state: RegionState, event: e.CallAccepted, at: datetime) -> None:
    assert event.call.call_id not in state.calls and event.call.region == state.region
    keep_newest(state.taken_offers, event.offer_id, None, OFFERS_KEPT)
    state.closed_calls.pop(event.call.call_id, None)
    state.gone.pop(event.call.call_id, None)
    state.put_call(event.call)


@on(e.CallReleased)
def _call_released(state: RegionState, event: e.CallReleased, at: datetime) -> None:
    del state.offers[event.call_id]
    state.release_call(event.call_id)
    gone(state, event.call_id, event.to, at)


@on(e.IncidentOpened)
def _incident_opened(state: RegionState, event: e.IncidentOpened, at: datetime) -> None:
    assert event.incident.number == state.number + 1
    state.number = event.incident.number
    state.put_incident(event.incident)


@on(e.IncidentLocated)
def _incident_located(state: RegionState, event: e.IncidentLocated, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    assignments = tuple(
        replace(a, eta_s=event.etas_s[a.assignment_id], eta_p90_s=event.etas_p90_s.get(a.assignment_id))
        if a.assignment_id in event.etas_s
        else a
        for a in incident.assignments
    )
    state.put_incident(replace(incident, location=event.location, assignments=assignments))


@on(e.IncidentReferred)
def _incident_referred(state: RegionState, event: e.IncidentReferred, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    state.put_incident(replace(incident, referred_to=event.to, referred_call=event.call_id))


@on(e.IncidentPrioritised)
def _incident_prioritised(state: RegionState, event: e.IncidentPrioritised, at: datetime) -> None:
    state.put_incident(replace(state.incidents[event.incident_id], priority=event.priority))


@on(e.IncidentClassified)
def _incident_classified(state: RegionState, event: e.IncidentClassified, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    state.put_incident(settled(replace(incident, incident_type=event.incident_type, legs=event.legs)))


@on(e.IncidentHeld)
def _incident_held(state: RegionState, event: e.IncidentHeld, at: datetime) -> None:
    state.put_incident(replace(state.incidents[event.incident_id], held=event.held))


@on(e.IncidentNoted)
def _incident_noted(state: RegionState, event: e.IncidentNoted, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    state.put_incident(replace(incident, notes=((*incident.notes, event.note_id))[-NOTES_KEPT:]))


@on(e.IncidentMerged)
def _incident_merged(state: RegionState, event: e.IncidentMerged, at: datetime) -> None:
    emptied, into = state.incidents[event.incident_id], state.incidents[event.into]
    for call_id in sorted(state.calls_of.get(event.incident_id, ())):
        state.put_call(replace(state.calls[call_id], incident_id=event.into))
    state.put_incident(replace(into, notes=(*into.notes, *emptied.notes)[-NOTES_KEPT:]))
    _count_calls(state, event.into)
    state.hand_hazards(event.incident_id, event.into)
    merged = {"merged_into": event.into, "call_count": 0}
    _end_incident(state, replace(emptied, **merged), Disposition.DUPLICATE, at)


@on(e.IncidentShort)
def _incident_short(state: RegionState, event: e.IncidentShort, at: datetime) -> None:
    state.put_incident(settled(replace(state.incidents[event.incident_id], short=event.short)))


@on(e.IncidentControlled)
def _incident_controlled(state: RegionState, event: e.IncidentControlled, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    status = moved(INCIDENT, incident.status, IncidentStatus.UNDER_CONTROL)
    state.put_incident(replace(incident, status=status))


@on(e.IncidentClosed)
def _incident_closed(state: RegionState, event: e.IncidentClosed, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    ending = Ending(incident_id=incident.incident_id, disposition=event.disposition, at=at)
    if not event.calls_follow:
        # In the order of their names, for the order of an index is no part of the state.
        _close_calls(state, ending, sorted(state.calls_of.get(event.incident_id, ())))
    elif event.incident_id in state.calls_of:
        state.ending[event.incident_id] = ending
    _end_incident(state, incident, event.disposition, at)


@on(e.CallsClosed)
def _calls_closed(state: RegionState, event: e.CallsClosed, at: datetime) -> None:
    _close_calls(state, state.ending[event.incident_id], event.call_ids)
    if event.incident_id not in state.calls_of:
        del state.ending[event.incident_id]


def _close_calls(state: RegionState, ending: Ending, call_ids: Iterable[CallId]) -> None:
    for call_id in call_ids:
        call = state.calls[call_id]
        status = moved(CALL, call.status, CallStatus.CLOSED)
        closed = {"closed_at": ending.at, "disposition": ending.disposition}
        state.put_call(replace(call, status=status, since=ending.at, **closed))


def _end_incident(state: RegionState, incident: Incident, disposition: Disposition, at: datetime) -> None:
    assert all(a.cleared_at is not None for a in incident.assignments), "a unit is still on it"
    status = moved(INCIDENT, incident.status, IncidentStatus.CLOSED)
    legs = tuple(
        leg if leg.status is LegStatus.DONE else replace(leg, status=LegStatus.CANCELLED) for leg in incident.legs
    )
    state.put_incident(replace(incident, status=status, legs=legs, disposition=disposition, closed_at=at))


@on(e.LegAdded)
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


@on(e.LegCancelled)
def _leg_cancelled(state: RegionState, event: e.LegCancelled, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    legs = tuple(replace(leg, status=LegStatus.CANCELLED) if leg.body == event.body else leg for leg in incident.legs)
    state.put_incident(settled(replace(incident, legs=legs)))


@on(e.RoadClosed)
def _road_closed(state: RegionState, event: e.RoadClosed, at: datetime) -> None:
    state.closures = {known: kept for known, kept in state.closures.items() if not kept.is_over(at)}
    state.closures[event.closure.closure_id] = event.closure
    state.touched.region = True


@on(e.RoadReopened)
def _road_reopened(state: RegionState, event: e.RoadReopened, at: datetime) -> None:
    del state.closures[event.closure_id]
    state.touched.region = True


@on(e.PolicyChanged)
def _policy_changed(state: RegionState, event: e.PolicyChanged, at: datetime) -> None:
    state.policy = event.policy
    state.touched.region = True


@on(e.PhaseChanged)
def _phase_changed(state: RegionState, event: e.PhaseChanged, at: datetime) -> None:
    state.phase = event.phase
    state.touched.region = True


assert set(STEPS) == set(get_args(e.AnyEvent)), "a fact that nobody carries out would be lost"
