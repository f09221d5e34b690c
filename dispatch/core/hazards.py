"""Which hazards concern an incident, and which of them no person has taken into account yet. Decides nothing."""

from __future__ import annotations

from dispatch.core.ground import cell_of, cells_within, metres_between
from dispatch.core.state import RegionState
from dispatch.core.terms import Acknowledged, Hazard, HazardId, Incident, IncidentId


def concerns(hazard: Hazard, incident: Incident) -> bool:
    """Whether the incident lies within the hazard's radius, or it was told in its course."""
    if hazard.incident_id == incident.incident_id:
        return True
    where = incident.location
    return where is not None and metres_between(where, hazard.location) <= hazard.radius_m


def hazards_of(state: RegionState, incident: Incident) -> list[Hazard]:
    """The hazards that concern an incident, in the order in which they were recorded."""
    if not state.hazards:
        return []
    names = dict(state.hazards_told.get(incident.incident_id, ()))
    if incident.location is not None:
        names |= state.hazards_at.get(cell_of(incident.location.lat, incident.location.lon), {})
    found = [hazard for hazard in map(state.hazards.__getitem__, names) if concerns(hazard, incident)]
    return sorted(found, key=lambda hazard: (hazard.at, hazard.hazard_id))


def incidents_of(state: RegionState, hazard: Hazard) -> list[Incident]:
    """The open incidents that a hazard concerns, in the order of their numbers."""
    names: dict[IncidentId, None] = {}
    for cell in cells_within(hazard.location, hazard.radius_m):
        names |= state.cells.get(cell, {})
    if hazard.incident_id in state.incidents:
        names[hazard.incident_id] = None
    found = [incident for incident in map(state.incidents.__getitem__, names) if concerns(hazard, incident)]
    return sorted(found, key=lambda incident: incident.number)


def acknowledgement(incident: Incident, hazard_id: HazardId) -> Acknowledged | None:
    """Who took the hazard into account for this incident."""
    return next((one for one in incident.acknowledged if one.hazard_id == hazard_id), None)


def unacknowledged(state: RegionState, incident: Incident) -> list[Hazard]:
    """The hazards that concern an incident and that nobody has acknowledged for it."""
    known = {one.hazard_id for one in incident.acknowledged}
    return [hazard for hazard in hazards_of(state, incident) if hazard.hazard_id not in known]
