"""What an incident still lacks, and the statuses that follow from its assignments: pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dispatch.core.lifecycle import INCIDENT, LEG, moved
from dispatch.core.terms import (
    Assignment,
    Body,
    Incident,
    IncidentStatus,
    Leg,
    LegStatus,
    Need,
    UnitStatus,
)

Skill = tuple[Body, str]
"""A body and a capability."""

SERVED = "completed"
"""The reason of an assignment that ended after its work was done."""

_THERE = frozenset({UnitStatus.ON_SCENE, UnitStatus.TRANSPORTING, UnitStatus.AT_FACILITY})


def is_live(assignment: Assignment) -> bool:
    """Whether the unit is still on the incident."""
    return assignment.cleared_at is None


def live(incident: Incident) -> list[Assignment]:
    """The units that are on the incident now."""
    return [a for a in incident.assignments if a.cleared_at is None]


def lent(incident: Incident) -> list[Assignment]:
    """The units of other regions that are on the incident now."""
    return [one.assignment for one in incident.lent if one.assignment.cleared_at is None]


def _all(incident: Incident) -> tuple[Assignment, ...]:
    """Our own assignments and those of lent units: both do the work."""
    return (
        (*incident.assignments, *(one.assignment for one in incident.lent)) if incident.lent else incident.assignments
    )


def filled(incident: Incident) -> dict[Skill, int]:
    """How many places are filled: by units that are on the incident, and by those that did their work."""
    counts: dict[Skill, int] = {}
    for a in _all(incident):
        if a.cleared_at is None or a.cleared_reason == SERVED:
            skill = (a.body, a.capability)
            counts[skill] = counts.get(skill, 0) + 1
    return counts


def unmet(incident: Incident) -> tuple[Need, ...]:
    """What the incident still lacks, in the order of its legs; `count` is the missing number."""
    if incident.status is IncidentStatus.CLOSED:
        return ()
    have = filled(incident)
    lacking: list[Need] = []
    for leg in incident.legs:
        if leg.status is not LegStatus.CANCELLED:
            lacking.extend(_lacking(leg, have))
    return tuple(lacking)


def _lacking(leg: Leg, have: Mapping[Skill, int]) -> list[Need]:
    found: list[Need] = []
    for need in leg.needs:
        lack = need.count - have.get((need.body, need.capability), 0)
        if lack == need.count:
            found.append(need)
        elif lack > 0:
            found.append(Need(body=need.body, capability=need.capability, count=lack))
    return found


def joined(*needs: Need) -> tuple[Need, ...]:
    """The needs with one entry for each body and capability: two asked for twice are four."""
    counts: dict[Skill, int] = {}
    for need in needs:
        counts[need.body, need.capability] = counts.get((need.body, need.capability), 0) + need.count
    return tuple(Need(body=body, capability=what, count=count) for (body, what), count in counts.items())


def replanned(incident: Incident, wanted: Iterable[Need], unwanted: Iterable[Need] = ()) -> tuple[Leg, ...]:
    """The legs under another plan: at least what is wanted, and of what is unwanted only what is filled.

    What a dispatcher asked for beyond the old plan stays. The statuses are still those of the old legs.
    """
    at_least, less, have = _by_skill(wanted), _by_skill(unwanted), filled(incident)
    counts: dict[Skill, int] = {}
    for need in (n for leg in incident.legs if leg.status is not LegStatus.CANCELLED for n in leg.needs):
        skill = (need.body, need.capability)
        counts[skill] = max(have.get(skill, 0), at_least.get(skill, 0), need.count - less.get(skill, 0))
    counts = counts | {skill: n for skill, n in at_least.items() if skill not in counts}
    old = {leg.body: leg for leg in incident.legs}
    bodies = dict.fromkeys([*old, *(body for body, _ in counts)])
    legs = (_leg_of(body, old.get(body), counts) for body in bodies)
    return tuple(leg for leg in legs if leg is not None)


def _by_skill(needs: Iterable[Need]) -> dict[Skill, int]:
    return {(need.body, need.capability): need.count for need in joined(*needs)}


def _leg_of(body: Body, old: Leg | None, counts: Mapping[Skill, int]) -> Leg | None:
    """The leg of a body with the needs counted for it; a cancelled one without any stays as it is."""
    needs = tuple(Need(body=body, capability=what, count=n) for (its, what), n in counts.items() if its is body and n)
    if old is not None and old.status is not LegStatus.CANCELLED and needs:
        return msgspec.structs.replace(old, needs=needs)
    return Leg(body=body, needs=needs) if needs else _cancelled(old)


def _cancelled(leg: Leg | None) -> Leg | None:
    return leg if leg is not None and leg.status is LegStatus.CANCELLED else None


def was_there(assignment: Assignment) -> bool:
    """Whether the crew has been at work, whichever of its buttons it pressed."""
    return not (assignment.on_scene_at is assignment.transporting_at is assignment.at_facility_at is None)


def _leg_status(incident: Incident, leg: Leg) -> LegStatus:
    if leg.status is LegStatus.CANCELLED:
        return leg.status
    here = [a for a in _all(incident) if a.cleared_at is None and a.body == leg.body]
    if any(a.status in _THERE for a in here):
        return LegStatus.ON_SCENE
    if here:
        return LegStatus.ASSIGNED
    return LegStatus.NEEDED if _lacking(leg, filled(incident)) else LegStatus.DONE


def _incident_status(incident: Incident) -> IncidentStatus:
    if incident.status is IncidentStatus.CLOSED:
        return incident.status
    here = [*live(incident), *lent(incident)]
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
    here = live(incident) or lent(incident)
    return ended and not here and any(a.cleared_reason == SERVED for a in _all(incident))
