"""What a decision looks like: facts, or a refusal, and the words of the refusals."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.core.events import Event, IncidentClosed
from dispatch.core.state import RegionState
from dispatch.core.terms import Call, CallId, Disposition, Incident, IncidentId, Refusal, Unit, UnitId, Value

CLOSED_AT_ONCE = 64
"""How many calls one fact closes. A fire may have thousands, and all else in the region would wait for their rows."""

REFUSALS: Mapping[str, str] = {
    "unknown_call": "there is no such open call in this region",
    "unknown_incident": "there is no such open incident in this region",
    "unknown_unit": "there is no such unit in this region",
    "unknown_order": "the order is over, or was never given to this unit",
    "unknown_incident_type": "the incident type is none of the catalogue",
    "call_exists": "the call is already here",
    "call_moving": "the call is being handed over to another region",
    "call_in_hand": "another call taker has the call in hand",
    "call_not_joined": "the call has not joined this incident",
    "illegal_status": "the status does not follow from the present one",
    "unit_taken": "the unit is already assigned",
    "unit_unavailable": "the unit is not free, or off shift, or out of service",
    "unit_not_on_incident": "the unit is not on this incident",
    "unit_on_assignment": "the unit still has an assignment",
    "no_assignment": "the unit has no assignment for this status",
    "assignment_over": "the assignment that the report names is over",
    "recommendation_stale": "the situation has changed since the recommendation was made: ask for it again",
    "incident_has_units": "units are still on the incident: recall them first",
    "same_incident": "an incident cannot be merged into itself",
    "offer_taken": "the offer was accepted: the call is here",
    "offer_forgone": "the offer was withdrawn and will never be accepted",
    "not_moving": "the call is not being handed over",
    "aid_incident": "the incident helps another region, which alone decides what it needs",
    "aid_own_region": "a region asks another one for aid, not itself",
    "aid_limit": "as much aid as can be is asked for or given already",
    "unknown_aid": "the incident has asked for no such aid",
    "unknown_closure": "there is no such closure in this region, or its time has passed",
    "closure_over": "the closure would end before it counts",
    "closure_limit": "the region has as many closures as can be kept",
    "unknown_hazard": "there is no such hazard in this region, or it is over",
    "hazard_unacknowledged": "a hazard at the place must be acknowledged before a person sends units",
    "hazard_elsewhere": "the hazard does not concern this incident",
    "hazard_unplaced": "neither the hazard nor its incident has a place",
    "hazard_limit": "as many hazards as can be are known in this region already",
    "leg_exists": "the incident already waits for such a unit",
}
"""Every refusal of the core, with its general sentence; the answer itself says what stood in the way."""


class Inquest(Value, frozen=True, kw_only=True):
    """The recorded inputs of one decision, under the digest that its events carry."""

    digest: str
    incident_id: IncidentId
    inputs: bytes


class Decision(Value, frozen=True, kw_only=True):
    """The facts that a command leads to, in order; none when it was already so."""

    events: tuple[Event, ...]
    inquests: tuple[Inquest, ...] = ()


Verdict = Decision | Refusal


def facts(*events: Event) -> Decision:
    """A decision of these events."""
    return Decision(events=events)


def ended(incident: Incident, disposition: Disposition) -> IncidentClosed:
    """The end of an incident. Its calls end with it; a crowd of them follows in portions (`deadlines.py`)."""
    return IncidentClosed(
        incident_id=incident.incident_id, disposition=disposition, calls_follow=incident.call_count > CLOSED_AT_ONCE
    )


NOTHING = Decision(events=())
"""It is already so: accepted, and nothing changes."""


def refuse(code: str, message: str | None = None) -> Refusal:
    """A refusal by its code, with the sentence that names what stood in the way."""
    assert code in REFUSALS, code
    return Refusal(code=code, message=message or REFUSALS[code])


def open_call(state: RegionState, call_id: CallId, *, moving: bool = False) -> Call | Refusal:
    """The open call, or why not. `moving`: also one that is being handed over."""
    call = state.calls.get(call_id)
    if call is None or state.is_over(call):
        return refuse("unknown_call", f"call {call_id} is not open in {state.region}")
    if call.moving_to is not None and not moving:
        return refuse("call_moving", f"call {call_id} is being handed over to {call.moving_to}")
    return call


def open_incident(state: RegionState, incident_id: IncidentId) -> Incident | Refusal:
    """The open incident, or why not."""
    incident = state.incidents.get(incident_id)
    return incident or refuse("unknown_incident", f"incident {incident_id} is not open in {state.region}")


def known_unit(state: RegionState, unit_id: UnitId) -> Unit | Refusal:
    """The unit, or why not."""
    unit = state.units.get(unit_id)
    return unit or refuse("unknown_unit", f"there is no unit {unit_id} in {state.region}")
