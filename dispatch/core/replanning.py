"""Decisions for an incident that turns out to be worse than it was thought, or something else.

Worse: one more caller, or a raised priority, may add to the plan and never takes from it. Something else: the
type was wrong, so what the old plan asked for and nobody fills yet is not asked for any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dispatch.core import events as e
from dispatch.core.needs import is_finished, replanned, settled
from dispatch.core.plans import PLANS, needs_of
from dispatch.core.terms import Disposition, Incident, Leg, Need, Priority
from dispatch.core.verdict import ended


def worsened(
    incident: Incident, incident_type: str, priority: Priority, wanted: Sequence[Need] | None = None
) -> list[e.Event]:
    """What follows when a further report of this type and priority is about the incident.

    A more urgent one of the same group gives the incident its type: smoke is a building on fire.
    """
    group = PLANS[incident.incident_type].group
    worse = priority < incident.priority
    same_group = bool(group) and PLANS[incident_type].group == group
    kind = incident_type if worse and same_group else incident.incident_type
    needs = needs_of(incident_type, min(priority, incident.priority)) if wanted is None else wanted
    legs = replanned(incident, needs)
    return [*_prioritised(incident, min(priority, incident.priority)), *_classified(incident, kind, legs)]


def reprioritised(incident: Incident, priority: Priority, reason: str | None) -> list[e.Event]:
    """A person raises or lowers the priority; what a P1 needs more is asked for."""
    legs = replanned(incident, needs_of(incident.incident_type, priority))
    return [*_prioritised(incident, priority, reason), *_classified(incident, incident.incident_type, legs)]


def corrected(incident: Incident, incident_type: str, priority: Priority) -> list[e.Event]:
    """The type was wrong. Crews under way stay; when all that is asked for now is done, the incident ends."""
    legs = replanned(incident, needs_of(incident_type, priority), needs_of(incident.incident_type, incident.priority))
    events = [*_prioritised(incident, priority), *_classified(incident, incident_type, legs)]
    if is_finished(settled(replace(incident, legs=legs))):
        events.append(ended(incident, Disposition.RESOLVED))
    return events


def _prioritised(incident: Incident, priority: Priority, reason: str | None = None) -> list[e.Event]:
    if priority is incident.priority:
        return []
    return [e.IncidentPrioritised(incident_id=incident.incident_id, priority=priority, reason=reason)]


def _classified(incident: Incident, incident_type: str, legs: tuple[Leg, ...]) -> list[e.Event]:
    if incident_type == incident.incident_type and legs == incident.legs:
        return []
    return [e.IncidentClassified(incident_id=incident.incident_id, incident_type=incident_type, legs=legs)]
