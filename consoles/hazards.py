"""What threatens crews at a place: recorded, read, acknowledged for an incident, and over.

Which incidents a hazard concerns, and whether units may be sent there, is decided in the core
(`dispatch/core/hazards.py`, `assigning.py`). The words about a hazard are personal and kept apart.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.calling import Identifier, Note
from consoles.cards import words_of
from consoles.desk import Act, Asked, Desk, asked_body, unknown_region
from consoles.hazard_rows import hazard_row, of_incident
from consoles.reading import Code, Cursor, Limit
from dispatch.actors import Actor, require
from dispatch.calling.evidence import Coordinates, Evidence, Moment, Point, fault_of
from dispatch.core import commands as c
from dispatch.core.events import Event
from dispatch.core.hazard_events import HazardRecorded
from dispatch.core.state import RegionState
from dispatch.core.terms import Hazard, HazardId, HazardKind, IncidentId, Location, RegionId, Source
from dispatch.formats.values import plausible
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.replies import Answering, encode, key_of, replied
from dispatch.web.routes import Route
from dispatch.writing.journal import commitment

OF = "/api/v1/hazards/{hazard_id}"
RADIUS_MAX = 5000.0
"""Metres: beyond that it is no longer a place but a district."""
USUAL_RADIUS_M = 100.0


class NewHazard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something dangerous to crews within `radius_m` of `point`; without a point it is where `incident_id` is.

    `until`, in service time, is when it ends by itself; without one it stands until somebody ends it.
    """

    kind: HazardKind
    text: Note | None = None
    point: Point | Coordinates | None = None
    radius_m: Annotated[float, Meta(ge=1.0, le=RADIUS_MAX)] = USUAL_RADIUS_M
    region: Identifier | None = None
    until: Moment | None = None
    incident_id: Identifier | None = None


class ForIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The incident for which the hazard is taken into account."""

    incident_id: Identifier


class HazardReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The hazard as it is after the command; null when it is over."""

    hazard_id: HazardId
    region: RegionId
    seq: int
    hazard: dict[str, Any] | None


class HazardsQuery(msgspec.Struct, frozen=True, kw_only=True):
    region: Code | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class Hazards:
    """The addresses of hazards."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        recorded = Route(
            method="POST",
            path="/api/v1/hazards",
            handler=self.record,
            summary="Something that threatens crews at a place",
            tag="hazards",
            action="hazard.record",
            request=NewHazard,
            responses={201: HazardReceipt},
            creates=True,
            errors=("outside_country", "unknown_region", "unknown_incident", "hazard_unplaced", "hazard_limit"),
        )
        listed = Route(
            method="GET",
            path="/api/v1/hazards",
            handler=self.list,
            summary="Hazards that stand now, newest first",
            tag="hazards",
            action="hazard.read",
            query=HazardsQuery,
            responses={200: dict[str, Any]},
        )
        return [recorded, listed, *self._desk.routes(OF, ACTS, self._found, _answer)]

    async def record(self, request: web.Request) -> web.Response:
        """POST /hazards."""
        actor, desk = request[ACTOR], self._desk
        raw, said = await asked_body(request, NewHazard)
        until = self._until(said)
        location = self._place(said)
        region = self._region(actor, said, location)
        kept = desk.sealed_note(said.text, actor, region) if said.text else None
        command = c.RecordHazard(
            actor=actor.actor_id,
            kind=said.kind,
            radius_m=said.radius_m,
            location=location,
            until=until,
            incident_id=IncidentId(said.incident_id) if said.incident_id else None,
            note_id=kept.id if kept else None,
            commitment=commitment(kept.salt, kept.document) if kept else None,
        )
        personal = (kept,) if kept else ()
        key = key_of(request, actor, raw)
        return replied(await desk.engine.submit(region, command, answer=_recorded, key=key, personal=personal))

    def _until(self, said: NewHazard) -> datetime | None:
        if said.until is None:
            return None
        until = plausible(said.until)
        if until is None or until <= self._desk.clock.now():
            why = "is over already" if until is not None else "is out of range: leave it out"
            fault = Fault("/until", f"{said.until.isoformat()} {why}.")
            raise Problem("invalid_body", fault.detail, [fault])
        return until

    def _place(self, said: NewHazard) -> Location | None:
        if said.point is None and said.incident_id is None:
            raise Problem("invalid_body", "Nothing says where it is.", [Fault("/point", "Missing.")])
        if said.point is None:
            return None
        piece = Evidence(source=Source.OPERATOR, point=said.point)
        fault = fault_of(piece)
        if fault is not None:
            raise Problem("outside_country", fault.detail, [fault])
        now = self._desk.clock.now()
        return self._desk.locator.estimate(self._desk.locator.fixes([piece], now), now)

    def _region(self, actor: Actor, said: NewHazard, location: Location | None) -> RegionId:
        """The region that keeps it: its incident's, else the one named, else that of the place."""
        if said.incident_id is not None:
            return self._desk.incident(actor, said.incident_id, "hazard.record")[0]
        assert location is not None, "without an incident there is a point, and it is somewhere"
        if not said.region and not location.regions:
            detail = "The place lies in no region: name the one that is to keep the hazard."
            raise Problem("unknown_region", detail, [Fault("/region", detail)])
        region = RegionId(said.region) if said.region else location.regions[0]
        if region not in self._desk.replicas.states:
            raise unknown_region(region, self._desk.replicas.states)
        require(actor, "hazard.record", region)
        return region

    async def list(self, request: web.Request) -> web.Response:
        """GET /hazards, with the words for those who may read them."""
        actor = request[ACTOR]
        asked = query(request, HazardsQuery)
        begun = _begun(asked.cursor)
        states = (self._desk.replicas.states[region] for region in self._desk.regions(actor, asked.region))
        standing = sorted((hazard for state in states for hazard in state.hazards.values()), key=_age, reverse=True)
        shown = [hazard for hazard in standing if begun is None or _age(hazard) < begun][: asked.limit]
        words = await words_of(self._desk, actor, [hazard.note_id for hazard in shown if hazard.note_id])
        rows = [hazard_row(hazard) | {"text": words.get(hazard.note_id or "")} for hazard in shown]
        full = len(shown) == asked.limit
        return answer({"hazards": rows, "next": _cursor(shown[-1]) if full else None})

    def _found(self, actor: Actor, hazard_id: str, action: str) -> tuple[RegionId, str]:
        """The region that a hazard's id names; whether it stands is the core's to say, after a repeated key."""
        region = self._desk.replicas.region_of_hazard(HazardId(hazard_id))
        if region is None:
            raise Problem("unknown_hazard", f"No hazard {hazard_id[:64]}.")
        require(actor, action, region)
        return region, hazard_id


def _acknowledge(asked: Asked) -> c.Command:
    incident_id = IncidentId(asked.body.incident_id)
    return c.AcknowledgeHazard(actor=asked.actor.actor_id, hazard_id=HazardId(asked.id), incident_id=incident_id)


def _end(asked: Asked) -> c.Command:
    return c.EndHazard(actor=asked.actor.actor_id, hazard_id=HazardId(asked.id))


ACTS = (
    Act(
        name="acknowledge",
        summary="Take a hazard into account for an incident: units may be sent there then",
        action="hazard.acknowledge",
        body=ForIncident,
        make=_acknowledge,
        errors=("unknown_hazard", "unknown_incident", "hazard_elsewhere"),
    ),
    Act(name="end", summary="It is over", action="hazard.end", make=_end, errors=("unknown_hazard",)),
)


def _answer(asked: Asked) -> Answering:
    """The hazard after the command, and how it stands with the incident that the command named."""
    named = asked.body.incident_id if isinstance(asked.body, ForIncident) else None

    def make(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
        hazard = state.hazards.get(HazardId(asked.id))
        incident = state.incident(IncidentId(named)) if named is not None else None
        row = None if hazard is None else hazard_row(hazard) if incident is None else of_incident(hazard, incident)
        return 200, _receipt(state, HazardId(asked.id), row)

    return make


def _recorded(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
    hazard = next(event.hazard for event in events if isinstance(event, HazardRecorded))
    return 201, _receipt(state, hazard.hazard_id, hazard_row(hazard))


def _receipt(state: RegionState, hazard_id: HazardId, row: dict[str, Any] | None) -> bytes:
    return encode(HazardReceipt(hazard_id=hazard_id, region=state.region, seq=state.seq, hazard=row))


def _age(hazard: Hazard) -> tuple[datetime, str]:
    return hazard.at, hazard.hazard_id


def _cursor(last: Hazard) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_age(last))).decode().rstrip("=")


def _begun(cursor: str | None) -> tuple[datetime, str] | None:
    """Behind which hazard a page begins. Raises Problem."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=tuple[Moment, str])
    except ValueError:
        fault = "the cursor is not one that a list gave"
        raise Problem("invalid_query", fault, [Fault("cursor", fault)]) from None
