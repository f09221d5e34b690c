"""What follows when units leave an incident: with nobody left there and the work done, it ends by itself.

However they leave: done, refused, recalled, diverted. The last to go need not be the one that did the work.
"""

from __future__ import annotations

from msgspec.structs import replace

from dispatch.core import events as e
from dispatch.core.evolve_units import with_assignment
from dispatch.core.needs import is_finished, settled
from dispatch.core.terms import Disposition, Incident
from dispatch.core.verdict import ended


def left(incident: Incident, *gone: e.AssignmentCleared) -> list[e.Event]:
    """These leave; the incident's end as well, when nothing is left to do."""
    after, reasons = incident, {one.assignment_id: one.reason for one in gone}
    for found in incident.assignments:
        if found.assignment_id in reasons:
            over = replace(found, cleared_at=found.assigned_at, cleared_reason=reasons[found.assignment_id])
            after = with_assignment(after, over)
    if not is_finished(settled(after)):
        return [*gone]
    carried = any(found.transporting_at is not None for found in incident.assignments)
    return [*gone, ended(incident, finished(carried))]


def finished(transported: bool) -> Disposition:
    """How an incident ends by itself, when the last crew is done."""
    return Disposition.TRANSPORTED if transported else Disposition.RESOLVED
