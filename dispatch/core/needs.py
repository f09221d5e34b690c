"""What an incident still lacks, and the statuses that follow from its assignments: pure arithmetic."""

from __future__ import annotations

import msgspec

from dispatch.core.lifecycle import INCIDENT, LEG, moved
from dispatch.core.terms import (
    Assignment,
    Incident,
    IncidentStatus,
    Leg,
    LegStatus,
    Need,
    UnitStatus,
)

SERVED = "completed"
"""The reason of an assignment that ended after its work was done."""

_THERE = frozenset({UnitStatus.ON_SCENE, UnitStatus.TRANSPORTING, UnitStatus.AT_FACILITY})


def is_live(assignment: Assignment) -> bool:
    """Whether the unit is still on the incident."""
    return assignment.cleared_at is None


def live(incident: Incident) -> list[Assignment]:
    """The units that are on the incident now."""
    return [a for a in incident.assignments if a.cleared_at is None]


def _counts(assignment: Assignment, need: Need) -> bool:
    """Whether an assignment fills one place of the need: it is live, or it did its work."""
    return (
        assignment.body == need.body
        and assignment.capability == need.capability
        and (assignment.cleared_at is None or assignment.cleared_reason == SERVED)
    )


def missing(incident: Incident, need: Need) -> int:
    """How many units of a need are still to be found."""
    return max(0, need.count - sum(_counts(a, need) for a in incident.assignments))


def unmet(incident: Incident) -> tuple[Need, ...]:
    """What the incident still lacks, in the order of its legs; `count` is the missing number."""
    if incident.status is IncidentStatus.CLOSED:
        return ()
    return tuple(
        msgspec.structs.replace(need, count=lack)
        for leg in incident.legs
        if leg.status is not LegStatus.CANCELLED
        for need in leg.needs
        if (lack := missing(incident, need))
    )


def _leg_status(incident: Incident, leg: Leg) -> LegStatus:
    if leg.status is LegStatus.CANCELLED:
        return leg.status
    here = [a for a in incident.assignments if a.cleared_at is None and a.body == leg.body]
    if any(a.status in _THERE for a in here):
        return LegStatus.ON_SCENE
    if here:
        return LegStatus.ASSIGNED
    return LegStatus.NEEDED if any(missing(incident, need) for need in leg.needs) else LegStatus.DONE


def _incident_status(incident: Incident) -> IncidentStatus:
    if incident.status is IncidentStatus.CLOSED:
        return incident.status
    here = live(incident)
    if any(a.status in _THERE for a in here):
        controlled = incident.status is IncidentStatus.UNDER_CONTROL
        return IncidentStatus.UNDER_CONTROL if controlled else IncidentStatus.ON_SCENE
    if here:
        return IncidentStatus.DISPATCHED
    return IncidentStatus.PENDING_UNITS if incident.short else IncidentStatus.OPEN


def settled(incident: Incident) -> Incident:
    """The incident with every status that follows from its assignments brought up to date."""
    legs = tuple(
        leg
        if (status := _leg_status(incident, leg)) == leg.status
        else msgspec.structs.replace(leg, status=moved(LEG, leg.status, status))
        for leg in incident.legs
    )
    follows = moved(INCIDENT, incident.status, _incident_status(incident))
    return msgspec.structs.replace(incident, legs=legs, status=follows)


def is_finished(incident: Incident) -> bool:
    """Whether every leg is done or cancelled, after at least one unit did its work."""
    ended = all(leg.status in (LegStatus.DONE, LegStatus.CANCELLED) for leg in incident.legs)
    return ended and not live(incident) and any(a.cleared_reason == SERVED for a in incident.assignments)
