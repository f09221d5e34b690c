"""Decisions about incidents: opened, placed, prioritised, merged, split, closed."""

from __future__ import annotations

from datetime import datetime
from heapq import nsmallest

from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.calls import new_incident
from dispatch.core.lifecycle import INCIDENT, may
from dispatch.core.needs import lent, live, unmet
from dispatch.core.plans import PLANS
from dispatch.core.relocating import relocated
from dispatch.core.replanning import reprioritised, worsened
from dispatch.core.state import RegionState
from dispatch.core.terms import IncidentStatus, Leg, Need, Refusal
from dispatch.core.verdict import CLOSED_AT_ONCE, NOTHING, Verdict, ended, facts, open_call, open_incident, refuse


def open_new(state: RegionState, command: c.OpenIncident, now: datetime) -> Verdict:
    """An incident that nobody called about: seen by a patrol, or read off a sensor."""
    plan = PLANS.get(command.incident_type)
    if plan is None:
        return refuse("unknown_incident_type", f"incident type {command.incident_type!r} is none of the catalogue")
    incident = new_incident(state, plan, command.priority or plan.priority, now)
    opened = e.IncidentOpened(incident=replace(incident, location=command.location))
    if command.note_id is None or command.commitment is None:
        return facts(opened)
    noted = e.IncidentNoted(incident_id=incident.incident_id, note_id=command.note_id, commitment=command.commitment)
    return facts(opened, noted)


def locate(state: RegionState, command: c.LocateIncident, now: datetime) -> Verdict:
    """A person says where it is."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    return facts(*relocated(state, incident, command.location, command.reach, now))


def note(state: RegionState, command: c.NoteIncident, now: datetime) -> Verdict:
    """Words about an incident: they are personal, so only their commitment is a fact."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    return facts(
        e.IncidentNoted(incident_id=incident.incident_id, note_id=command.note_id, commitment=command.commitment)
    )


def hold(state: RegionState, command: c.HoldIncident, now: datetime) -> Verdict:
    """Keep an incident from being dispatched by itself, or let it go again."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if incident.held == command.held:
        return NOTHING
    return facts(e.IncidentHeld(incident_id=incident.incident_id, held=command.held))


def prioritise(state: RegionState, command: c.PrioritiseIncident, now: datetime) -> Verdict:
    """Raise or lower the priority."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if incident.priority is command.priority:
        return NOTHING
    return facts(*reprioritised(incident, command.priority, command.reason))


def add_leg(state: RegionState, command: c.AddLeg, now: datetime) -> Verdict:
    """Bring a further body in, or more of one that is there already."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    need = Need(body=command.body, capability=command.capability, count=command.count)
    if need in unmet(incident):
        return refuse("leg_exists", f"{incident.incident_id} already waits for {need.body} {need.capability}")
    return facts(e.LegAdded(incident_id=incident.incident_id, leg=Leg(body=command.body, needs=(need,))))


def control(state: RegionState, command: c.ControlIncident, now: datetime) -> Verdict:
    """The crew on scene has it in hand."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if incident.status is IncidentStatus.UNDER_CONTROL:
        return NOTHING
    if not may(INCIDENT, incident.status, IncidentStatus.UNDER_CONTROL):
        return refuse("illegal_status", f"an incident that is {incident.status} cannot be under control")
    return facts(e.IncidentControlled(incident_id=incident.incident_id))


def merge(state: RegionState, command: c.MergeIncidents, now: datetime) -> Verdict:
    """Two incidents turn out to be one: calls, notes, place and unmet needs move over; the emptied one closes."""
    if command.incident_id == command.into:
        return refuse("same_incident")
    incident, into = open_incident(state, command.incident_id), open_incident(state, command.into)
    if isinstance(incident, Refusal):
        return incident
    if isinstance(into, Refusal):
        return into
    if live(incident):
        return refuse("incident_has_units", f"{incident.incident_id} has units on it: recall them first")
    if lent(incident):
        # Its need is met and would not move over, and with it the request would end that they come for.
        theirs = f"{incident.incident_id} has lent units on it: withdraw the request first, or merge the other into it"
        return refuse("incident_has_units", theirs)
    merged = e.IncidentMerged(incident_id=incident.incident_id, into=into.incident_id)
    placed = []
    if into.location is None and incident.location is not None:
        placed = [e.IncidentLocated(incident_id=into.incident_id, location=incident.location)]
    worse = worsened(into, incident.incident_type, incident.priority, unmet(incident))
    return facts(merged, *placed, *worse)


def split(state: RegionState, command: c.SplitCall, now: datetime) -> Verdict:
    """A call that joined by mistake gets an incident of its own."""
    call = open_call(state, command.call_id)
    if isinstance(call, Refusal):
        return call
    if call.incident_id != command.incident_id:
        return refuse("call_not_joined", f"call {call.call_id} has not joined {command.incident_id}")
    old = state.incidents[command.incident_id]
    plan = PLANS[call.incident_type or old.incident_type]
    incident = new_incident(state, plan, call.priority or plan.priority, now)
    where = call.location or old.location
    return facts(
        e.CallSplit(call_id=call.call_id, incident_id=old.incident_id),
        e.IncidentOpened(incident=replace(incident, location=where)),
        e.CallLinked(call_id=call.call_id, incident_id=incident.incident_id),
    )


def close(state: RegionState, command: c.CloseIncident, now: datetime) -> Verdict:
    """A person ends an incident; units that are still on it must be recalled first."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if live(incident):
        names = ", ".join(a.call_sign for a in live(incident))
        return refuse("incident_has_units", f"{incident.incident_id} still has {names}: recall them first")
    return facts(ended(incident, command.disposition))


def close_calls(state: RegionState, command: c.CloseCalls, now: datetime) -> Verdict:
    """The next portion of the calls of an incident that has ended, oldest first."""
    if command.incident_id not in state.ending:
        return NOTHING
    portion = nsmallest(CLOSED_AT_ONCE, state.calls_of[command.incident_id])
    return facts(e.CallsClosed(incident_id=command.incident_id, call_ids=tuple(portion)))
