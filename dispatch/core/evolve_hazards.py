"""How the facts about hazards change the state. Part of `evolve`."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core.hazard_events import HazardAcknowledged, HazardEnded, HazardRecorded
from dispatch.core.hazards import incidents_of
from dispatch.core.state import RegionState
from dispatch.core.steps import on
from dispatch.core.terms import Acknowledged, Hazard

ACKNOWLEDGED_KEPT = 64


@on(HazardRecorded)
def _hazard_recorded(state: RegionState, event: HazardRecorded, at: datetime) -> None:
    assert event.hazard.region == state.region
    state.put_hazard(event.hazard)
    _touch(state, event.hazard)


@on(HazardAcknowledged)
def _hazard_acknowledged(state: RegionState, event: HazardAcknowledged, at: datetime) -> None:
    incident = state.incidents[event.incident_id]
    hazard = state.hazards[event.hazard_id]
    known = Acknowledged(hazard_id=hazard.hazard_id, kind=hazard.kind, actor=event.actor, at=at)
    state.put_incident(replace(incident, acknowledged=_bounded(state, (*incident.acknowledged, known))))


def _bounded(state: RegionState, acknowledged: tuple[Acknowledged, ...]) -> tuple[Acknowledged, ...]:
    """Over the limit the oldest whose hazard is over goes; those of standing hazards are still asked for."""
    while len(acknowledged) > ACKNOWLEDGED_KEPT:
        spare = next((one for one in acknowledged if one.hazard_id not in state.hazards), None)
        if spare is None:
            break
        acknowledged = tuple(one for one in acknowledged if one is not spare)
    return acknowledged


@on(HazardEnded)
def _hazard_ended(state: RegionState, event: HazardEnded, at: datetime) -> None:
    hazard = state.hazards[event.hazard_id]
    state.drop_hazard(event.hazard_id)
    _touch(state, hazard)


def _touch(state: RegionState, hazard: Hazard) -> None:
    """What is shown with the incidents that it concerns has changed."""
    for incident in incidents_of(state, hazard):
        state.touch_incident(incident.incident_id)
