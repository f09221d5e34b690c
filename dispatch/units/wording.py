"""An order as its unit reads it, over MQTT and on the field page: nothing in it is personal."""

from __future__ import annotations

from typing import Any

import msgspec

from dispatch.core.assigning import MOST_HAZARDS
from dispatch.core.hazards import acknowledgement, hazards_of
from dispatch.core.state import RegionState
from dispatch.core.terms import Hazard, Incident, Location, Order

Part = dict[str, Any]

_encode = msgspec.json.Encoder().encode


def order_payload(state: RegionState, order: Order) -> bytes:
    """The message as JSON."""
    return _encode(order_message(state, order))


def order_message(state: RegionState, order: Order) -> Part:
    """The message as the contract has it; what an order does not have is left out.

    Its incident may have closed lately: a recall may come with its end.
    """
    message: Part = {"order_id": order.order_id, "kind": order.kind}
    if order.assignment_id is not None:
        message["assignment_id"] = order.assignment_id
    incident = state.incident(order.incident_id) if order.incident_id is not None else None
    if incident is not None:
        message["incident"] = incident_part(state, incident)
    message["at"] = order.at
    message["expires_at"] = order.expires_at
    return message


def incident_part(state: RegionState, incident: Incident) -> Part:
    """What a crew needs to know of the incident. The newest hazards stand there when there are very many."""
    part: Part = {
        "incident_id": incident.incident_id,
        "number": incident.number,
        "incident_type": incident.incident_type,
        "priority": incident.priority,
        "calls": incident.call_count,
        "hazards": [hazard_part(hazard, incident) for hazard in hazards_of(state, incident)[-MOST_HAZARDS:]],
    }
    location = incident.location
    if location is not None:
        part["location"] = {
            "point": point_of(location),
            "accuracy_m": location.accuracy_m,
            "source": location.source,
        }
        part["place"] = location.place
    return part


def hazard_part(hazard: Hazard, incident: Incident) -> Part:
    """A hazard as it concerns one incident, without the words about it. `until` is null when it has no end yet."""
    known = acknowledgement(incident, hazard.hazard_id)
    return {
        "hazard_id": hazard.hazard_id,
        "kind": hazard.kind,
        "point": point_of(hazard.location),
        "radius_m": hazard.radius_m,
        "at": hazard.at,
        "until": hazard.until,
        "acknowledged": known is not None,
    }


def point_of(location: Location) -> Part:
    """GeoJSON: longitude before latitude."""
    return {"type": "Point", "coordinates": [location.lon, location.lat]}
