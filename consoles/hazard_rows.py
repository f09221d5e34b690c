"""What boards, cards and lists say of hazards: which ones concern an incident, and who has acknowledged them."""

from __future__ import annotations

from typing import Any

from dispatch.core.hazards import acknowledgement, hazards_of
from dispatch.core.state import RegionState
from dispatch.core.terms import Hazard, Incident
from dispatch.units.wording import hazard_part, point_of

Row = dict[str, Any]


def on_board(state: RegionState, incident: Incident) -> list[Row]:
    """The hazards of a line of the queue, in few words."""
    return [
        {
            "hazard_id": hazard.hazard_id,
            "kind": hazard.kind,
            "acknowledged": acknowledgement(incident, hazard.hazard_id) is not None,
        }
        for hazard in hazards_of(state, incident)
    ]


def hazard_row(hazard: Hazard) -> Row:
    """A hazard by itself, without the words about it."""
    return {
        "hazard_id": hazard.hazard_id,
        "region": hazard.region,
        "kind": hazard.kind,
        "point": point_of(hazard.location),
        "radius_m": hazard.radius_m,
        "place": hazard.location.place,
        "at": hazard.at,
        "actor": hazard.actor,
        "until": hazard.until,
        "incident_id": hazard.incident_id,
    }


def of_incident(hazard: Hazard, incident: Incident) -> Row:
    """A hazard on the card of an incident: also who acknowledged it for this one, and when."""
    known = acknowledgement(incident, hazard.hazard_id)
    by = {"acknowledged_by": known.actor if known else None, "acknowledged_at": known.at if known else None}
    return hazard_row(hazard) | hazard_part(hazard, incident) | by
