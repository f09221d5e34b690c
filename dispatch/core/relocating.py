"""What follows when an incident is elsewhere than was thought: the crews on it are told, with the new way.

A crew is told by a message that shows the incident as it is now; a hazard is told the same way (`warning.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dispatch.core import events as e
from dispatch.core.assigning import ORDER_LIFE_S, SEND_AGAIN_S
from dispatch.core.ground import metres_between
from dispatch.core.lateness import eta_of
from dispatch.core.naming import decided
from dispatch.core.needs import live
from dispatch.core.recommend import driving_factor
from dispatch.core.state import RegionState
from dispatch.core.terms import Assignment, AssignmentId, Incident, Location, Order, OrderId, OrderKind, Reach

TOLD_FROM_M = 50.0
"""A crew that is there sees as far; a smaller correction would only disturb it."""


def relocated(
    state: RegionState, incident: Incident, found: Location, reach: Reach | None, now: datetime
) -> list[e.Event]:
    """The incident at its new place, and the word to each crew that has not left the scene with a patient."""
    factor = driving_factor(incident.priority, found)
    etas_s: dict[AssignmentId, float] = {}
    etas_p90_s: dict[AssignmentId, float] = {}
    crews = crews_to_tell(incident)
    for assignment in crews:
        eta = eta_of(assignment.unit_id, reach, factor, found)
        if eta is None or assignment.on_scene_at is not None:
            continue
        etas_s[assignment.assignment_id] = eta.expected_s
        if eta.p90_s is not None:
            etas_p90_s[assignment.assignment_id] = eta.p90_s
    located = e.IncidentLocated(incident_id=incident.incident_id, location=found, etas_s=etas_s, etas_p90_s=etas_p90_s)
    if incident.location is not None and metres_between(incident.location, found) <= TOLD_FROM_M:
        return [located]
    return [located, *(e.PlaceTold(order=word(state, assignment, now)) for assignment in crews)]


def crews_to_tell(incident: Incident) -> list[Assignment]:
    """Those on it that have not left the scene with a patient."""
    return [a for a in live(incident) if a.transporting_at is None and a.at_facility_at is None]


def word(state: RegionState, assignment: Assignment, now: datetime) -> Order:
    """A message to a crew that its incident has changed; it takes the place of an earlier one."""
    return Order(
        order_id=OrderId(f"{assignment.assignment_id}.at{decided(state, now)}"),
        unit_id=assignment.unit_id,
        kind=OrderKind.MESSAGE,
        at=now,
        expires_at=now + timedelta(seconds=ORDER_LIFE_S),
        assignment_id=assignment.assignment_id,
        incident_id=assignment.incident_id,
        sends=1,
        send_again_at=now + timedelta(seconds=SEND_AGAIN_S),
    )
