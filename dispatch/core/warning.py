"""Decisions about hazards: recorded, acknowledged, over; and the crews that are told.

A person who sends units must have acknowledged every hazard that concerns the incident (`assigning.py`); the
system sends help all the same, with the hazard in the order. See docs/decisions/0038.
"""

from __future__ import annotations

from datetime import datetime

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.hazard_events import HazardAcknowledged, HazardEnded, HazardRecorded
from dispatch.core.hazards import acknowledgement, concerns, incidents_of
from dispatch.core.relocating import crews_to_tell, word
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, Hazard, HazardId, Refusal
from dispatch.core.verdict import NOTHING, Verdict, facts, open_incident, refuse

HAZARDS_MAX = 2000
"""Hazards of one region that stand at once."""
MOST_WARNED = 256
"""Crews that are told of one new hazard by the same decision: more than a region has on the road."""


def record(state: RegionState, command: c.RecordHazard, now: datetime) -> Verdict:
    """Something threatens crews at a place; those who are on their way there, or there, are told."""
    location = command.location
    if command.incident_id is not None:
        incident = open_incident(state, command.incident_id)
        if isinstance(incident, Refusal):
            return incident
        location = location or incident.location
    if location is None:
        return refuse("hazard_unplaced")
    if len(state.hazards) >= HAZARDS_MAX:
        return refuse("hazard_limit", f"{state.region} knows {len(state.hazards)} hazards: end those that are over")
    hazard = Hazard(
        hazard_id=HazardId(f"{state.letters}-H{state.seq + 1}"),
        region=state.region,
        kind=command.kind,
        location=location,
        radius_m=command.radius_m,
        at=now,
        actor=command.actor,
        until=command.until,
        incident_id=command.incident_id,
        note_id=command.note_id,
        commitment=command.commitment,
    )
    crews = [crew for incident in incidents_of(state, hazard) for crew in crews_to_tell(incident)]
    told = [e.PlaceTold(order=word(state, crew, now)) for crew in crews[:MOST_WARNED]]
    return facts(HazardRecorded(hazard=hazard), *told)


def acknowledge(state: RegionState, command: c.AcknowledgeHazard, now: datetime) -> Verdict:
    """A person takes a hazard into account for an incident. The first one stands."""
    hazard = state.hazards.get(command.hazard_id)
    if hazard is None:
        return _unknown(state, command.hazard_id)
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if not concerns(hazard, incident):
        return refuse("hazard_elsewhere", f"{hazard.hazard_id} does not reach {incident.incident_id}")
    if acknowledgement(incident, hazard.hazard_id) is not None:
        return NOTHING
    known = HazardAcknowledged(hazard_id=hazard.hazard_id, incident_id=incident.incident_id, actor=command.actor)
    return facts(known)


def end(state: RegionState, command: c.EndHazard, now: datetime) -> Verdict:
    """It is over: a person says so, or its time has come."""
    if command.hazard_id not in state.hazards:
        return _unknown(state, command.hazard_id)
    return facts(HazardEnded(hazard_id=command.hazard_id, expired=command.actor == SYSTEM))


def _unknown(state: RegionState, hazard_id: HazardId) -> Refusal:
    return refuse("unknown_hazard", f"there is no hazard {hazard_id} in {state.region}, or it is over")
