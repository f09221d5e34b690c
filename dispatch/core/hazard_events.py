"""The facts about hazards: what threatens crews at a place, who took it into account, and when it was over."""

from __future__ import annotations

from dispatch.core.fact import Event
from dispatch.core.terms import ActorId, Hazard, HazardId, IncidentId


class HazardRecorded(Event, frozen=True, kw_only=True, tag="hazard_recorded"):
    hazard: Hazard


class HazardAcknowledged(Event, frozen=True, kw_only=True, tag="hazard_acknowledged"):
    """`actor` knows of it and has taken it into account for this incident."""

    hazard_id: HazardId
    incident_id: IncidentId
    actor: ActorId


class HazardEnded(Event, frozen=True, kw_only=True, tag="hazard_ended"):
    """`expired`: its time was over; else a person said that it is."""

    hazard_id: HazardId
    expired: bool = False


HazardEvent = HazardRecorded | HazardAcknowledged | HazardEnded
