"""What a board and a card say of mutual aid: lent units on our incidents, ours that are lent, what is asked for."""

from __future__ import annotations

from typing import Any

from dispatch.core.aid import asks_of
from dispatch.core.needs import unmet
from dispatch.core.state import RegionState
from dispatch.core.terms import Incident, Lent, Unit

Row = dict[str, Any]


def aid_part(state: RegionState, incident: Incident) -> Row:
    """Lent units as their home last said, requests under way, and whom the incident helps, if another region's."""
    helped = incident.aid_for
    return {
        "lent": [_lent_row(one) for one in incident.lent if one.assignment.cleared_at is None],
        "aid": [
            {
                "request_id": asked.request_id,
                "region": asked.to,
                "body": asked.body,
                "capability": asked.capability,
                "count": asked.count,
                "status": asked.status,
                "asked_at": asked.asked_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "their_incident": asked.their_incident,
            }
            for asked in asks_of(state, incident.incident_id)
        ],
        "aid_for": {"region": helped.region, "incident_id": helped.incident_id} if helped is not None else None,
    }


def advice(state: RegionState, incident: Incident) -> list[Row]:
    """What could be asked of a neighbour: needs that no unit of ours was found for and nobody was asked for."""
    if not incident.short or incident.aid_for is not None:
        return []
    asked = {(one.body, one.capability) for one in asks_of(state, incident.incident_id)}
    return [
        {"body": need.body, "capability": need.capability, "missing": need.count}
        for need in unmet(incident)
        if (need.body, need.capability) not in asked
    ]


def lent_to(state: RegionState, unit: Unit) -> str | None:
    """The region that a unit of ours helps now."""
    incident = state.incidents.get(unit.incident_id) if unit.incident_id is not None else None
    return incident.aid_for.region if incident is not None and incident.aid_for is not None else None


def _lent_row(one: Lent) -> Row:
    found = one.assignment
    return {
        "unit_id": found.unit_id,
        "call_sign": found.call_sign,
        "region": one.region,
        "body": found.body,
        "status": found.status,
        "eta_s": found.eta_s,
        "eta_p90_s": found.eta_p90_s,
        "request_id": one.request_id,
    }
