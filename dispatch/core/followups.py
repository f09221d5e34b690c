"""What a fact asks for next: which incidents should be looked at for dispatch.

The engine asks after every command, fetches travel times for each incident named here, and brings them back
as a `Dispatch` command. Held incidents, and those without a place, wait for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from dispatch.core import events as e
from dispatch.core.aid_events import AidReported
from dispatch.core.needs import unmet
from dispatch.core.state import RegionState, can_be_sent
from dispatch.core.terms import Assigning, Incident, IncidentId, Phase, Unit, UnitId

LOOKED_AT = 32
"""How far down the queue a freed unit looks for work that it can do."""

AFTER_POLICY = 64
"""How many waiting incidents are looked at at once when a region turns automatic."""

SWEPT = 16
"""How many waiting incidents one sweep looks at again."""


def may_dispatch(state: RegionState, incident: Incident) -> bool:
    """Whether the system may send units to it by itself."""
    automatic = state.policy.assigning is Assigning.AUTOMATIC and state.phase is Phase.LIVE
    return automatic and not incident.held and incident.location is not None and bool(unmet(incident))


def wishes(state: RegionState, events: Sequence[e.Event]) -> list[IncidentId]:
    """The incidents that these facts make worth looking at, each once, in the order of the facts."""
    if state.policy.assigning is not Assigning.AUTOMATIC or state.phase is not Phase.LIVE:
        return []
    found: dict[IncidentId, None] = {}
    for event in events:
        for incident_id in _wished(state, event):
            incident = state.incidents.get(incident_id)
            if incident is not None and may_dispatch(state, incident):
                found[incident_id] = None
    return list(found)


def _wished(state: RegionState, event: e.Event) -> Iterator[IncidentId]:
    match event:
        case e.IncidentOpened():
            yield event.incident.incident_id
        case e.IncidentLocated() | e.IncidentHeld() | e.LegAdded() | e.IncidentClassified():
            yield event.incident_id
        case AidReported():
            yield event.incident_id
        case e.AssignmentCleared():
            yield event.incident_id
            yield from _work_for(state, event.unit_id)
        case e.UnitMoved() | e.UnitShifted() | e.UnitLinked():
            yield from _work_for(state, event.unit_id)
        case e.UnitRegistered():
            yield from _work_for(state, event.unit.unit_id)
        case e.PolicyChanged() | e.PhaseChanged():
            yield from (IncidentId(key[2]) for key in state.waiting.first(AFTER_POLICY))


def _work_for(state: RegionState, unit_id: UnitId) -> Iterator[IncidentId]:
    """The most urgent waiting incident that a free unit could go to."""
    unit = state.units[unit_id]
    if not can_be_sent(unit):
        return
    for _, _, incident_id in state.waiting_for[unit.body].first(LOOKED_AT):
        incident = state.incidents[IncidentId(incident_id)]
        if may_dispatch(state, incident) and _fits(unit, incident):
            yield incident.incident_id
            return


def _fits(unit: Unit, incident: Incident) -> bool:
    return any(n.body == unit.body and n.capability in unit.capabilities for n in unmet(incident))


def sweep(state: RegionState, turn: int) -> list[IncidentId]:
    """A stretch of the waiting incidents, another one each turn: what no fact woke is looked at all the same.

    An incident may wait because no position of a unit was known yet, and a position is no fact.
    """
    stretches = -(-len(state.waiting) // SWEPT)
    start = turn % stretches * SWEPT if stretches else 0
    named = [IncidentId(key[2]) for key in islice(state.waiting, start, start + SWEPT)]
    return [i for i in named if may_dispatch(state, state.incidents[i])]
