"""What dispatchers do with an incident: open it without a call, send, recall and divert units, merge,
split, close.

A wish becomes a command of the core; whether it is allowed is decided there. `reading.py` shows incidents.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.advice import Advice, advised
from consoles.board import incident_row
from consoles.calling import Ending, Identifier, Note
from consoles.desk import Act, Asked, Desk, Nothing, asked_body, unknown_region
from dispatch.actors import require
from dispatch.calling.contacts import home_of
from dispatch.calling.evidence import EVIDENCE_MAX, Evidence, fault_in
from dispatch.calling.reception import DEFAULT_REGION
from dispatch.calling.wishes import TypeName
from dispatch.core import commands as c
from dispatch.core.events import Event, IncidentOpened
from dispatch.core.plans import PLANS
from dispatch.core.state import RegionState
from dispatch.core.terms import Body, CallId, IncidentId, Location, Priority, RegionId, UnitId
from dispatch.web.application import ACTOR
from dispatch.web.problems import Fault, Problem
from dispatch.web.replies import Answering, encode, key_of, replied
from dispatch.web.routes import Route
from dispatch.writing.journal import commitment

OF = "/api/v1/incidents/{incident_id}"
UNITS_MAX = 32

Units = Annotated[tuple[Identifier, ...], Meta(max_length=UNITS_MAX)]
Reason = Annotated[str, Meta(min_length=1, max_length=200)]


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body of ours: an unknown field is a mistake, not a wish."""


class NewIncident(_Said, frozen=True, kw_only=True):
    """An incident without a call. Without a place it opens in `region`, or in the actor's own."""

    incident_type: TypeName
    priority: Priority | None = None
    location: Annotated[list[Evidence], Meta(max_length=EVIDENCE_MAX)] = []
    region: Identifier | None = None
    note: Note | None = None


class Assign(_Said, frozen=True, kw_only=True):
    """Units for an incident; with the recommendation they were taken from, its age is checked."""

    units: Annotated[tuple[Identifier, ...], Meta(min_length=1, max_length=UNITS_MAX)]
    recommendation_id: Identifier | None = None
    reason: Reason | None = None


class Recall(_Said, frozen=True, kw_only=True):
    """Units to take off an incident; none named: all of them."""

    units: Units = ()
    reason: Reason = "recalled"


class Divert(_Said, frozen=True, kw_only=True):
    """A unit to take from the incident it is on and send to this one."""

    unit_id: Identifier
    reason: Reason = "diverted"


class Merge(_Said, frozen=True, kw_only=True):
    into: Identifier


class Split(_Said, frozen=True, kw_only=True):
    call_id: Identifier


class NewNote(_Said, frozen=True, kw_only=True):
    text: Note


class Hold(_Said, frozen=True, kw_only=True):
    held: bool = True


class Prioritise(_Said, frozen=True, kw_only=True):
    priority: Priority
    reason: Reason | None = None


class NewLeg(_Said, frozen=True, kw_only=True):
    """A further body for an incident."""

    body: Body
    capability: Identifier
    count: Annotated[int, Meta(ge=1, le=UNITS_MAX)] = 1


class IncidentReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The incident as it is after the command. `incident` is the row of the board."""

    incident_id: IncidentId
    region: RegionId
    seq: int
    incident: dict[str, Any]


class Operations:
    """The dispatchers' addresses."""

    def __init__(self, desk: Desk, advice: Advice) -> None:
        self._desk = desk
        self._advice = advice

    def routes(self) -> list[Route]:
        opened = Route(
            method="POST",
            path="/api/v1/incidents",
            handler=self.open,
            summary="An incident without a call",
            tag="incidents",
            action="incident.open",
            request=NewIncident,
            responses={201: IncidentReceipt},
            creates=True,
            errors=("outside_country", "unknown_incident_type", "unknown_region"),
        )
        return [opened, *self._desk.routes(OF, self._acts(), self._desk.incident, as_it_is)]

    async def open(self, request: web.Request) -> web.Response:
        """POST /incidents."""
        actor, desk = request[ACTOR], self._desk
        raw, said = await asked_body(request, NewIncident)
        if said.incident_type not in PLANS:
            detail = f"No incident type {said.incident_type!r}: GET /api/v1/about lists them."
            fault = Fault("/incident_type", detail)
            raise Problem("unknown_incident_type", fault.detail, [fault])
        location = place(desk, said.location, "/location")
        home = RegionId(said.region) if said.region else home_of(actor) or DEFAULT_REGION
        region = location.regions[0] if location is not None and location.regions else home
        if region not in desk.replicas.states:
            raise unknown_region(region, desk.replicas.states)
        require(actor, "incident.open", region)
        kept = desk.sealed_note(said.note, actor, region) if said.note else None
        command = c.OpenIncident(
            actor=actor.actor_id,
            incident_type=said.incident_type,
            priority=said.priority,
            location=location,
            note_id=kept.id if kept else None,
            commitment=commitment(kept.salt, kept.document) if kept else None,
        )
        personal = (kept,) if kept else ()
        key = key_of(request, actor, raw)
        return replied(await desk.engine.submit(region, command, answer=_opened, key=key, personal=personal))

    def _acts(self) -> tuple[Act, ...]:
        send, work = "incident.assign", "incident.work"
        return (
            _act("assign", "Send units", send, Assign, self._assign),
            _act("recall", "Take units off", send, Recall, _recall),
            _act("divert", "Send a unit that is on another incident", send, Divert, self._divert),
            _act("merge", "Two incidents are one", work, Merge, _merge),
            _act("split", "Take a call out, into an incident of its own", work, Split, _split),
            Act(
                name="notes",
                summary="Add words",
                action="incident.note",
                body=NewNote,
                make=_note,
                note=lambda said: said.text,
                errors=("unknown_incident",),
            ),
            _act("hold", "Keep it from being dispatched by itself, or let it go", work, Hold, _hold),
            _act("priority", "Raise or lower", work, Prioritise, _prioritise),
            _act("location", "Say where it is", work, Evidence, self._locate),
            _act("legs", "Bring a further body in", work, NewLeg, _leg),
            _act("control", "The situation is under control", work, Nothing, _control),
            _act("close", "It is over", work, Ending, _close),
        )

    def _assign(self, asked: Asked) -> c.Command:
        said: Assign = asked.body
        made = self._advice.made(said.recommendation_id, asked.id) if said.recommendation_id else None
        return c.AssignUnits(
            actor=asked.actor.actor_id,
            incident_id=IncidentId(asked.id),
            units=tuple(map(UnitId, said.units)),
            reach=made.reach if made else self._advice.reach_of(asked.region, asked.id, said.units),
            recommended=advised(made) if made else None,
            age_s=self._advice.age_s(made) if made else None,
            basis=made.basis if made else None,
            reason=said.reason,
        )

    def _divert(self, asked: Asked) -> c.Command:
        return c.DivertUnit(
            actor=asked.actor.actor_id,
            incident_id=IncidentId(asked.id),
            unit_id=UnitId(asked.body.unit_id),
            reach=self._advice.reach_of(asked.region, asked.id, (asked.body.unit_id,)),
            reason=asked.body.reason,
        )

    def _locate(self, asked: Asked) -> c.Command:
        location = place(self._desk, [asked.body], "")
        if location is None:
            raise Problem("invalid_body", "Nothing in it says where.", [Fault("/point", "Missing.")])
        incident_id = IncidentId(asked.id)
        reach = self._desk.engine.reach_of_crews(asked.region, incident_id, location)
        return c.LocateIncident(actor=asked.actor.actor_id, incident_id=incident_id, location=location, reach=reach)


def place(desk: Desk, evidence: list[Evidence], pointer: str) -> Location | None:
    """The estimate from evidence that an operator gave. Raises Problem when a point lies abroad."""
    fault = fault_in(evidence, pointer)
    if fault is not None:
        raise Problem("outside_country", fault.detail, [fault])
    now = desk.clock.now()
    return desk.locator.estimate(desk.locator.fixes(evidence, now, desk.clock.wall()), now)


def _act(name: str, summary: str, action: str, body: type, make: Any) -> Act:
    refusals = {
        "assign": (
            "unit_taken",
            "unit_unavailable",
            "hazard_unacknowledged",
            "recommendation_stale",
            "unknown_recommendation",
            "unknown_unit",
        ),
        "divert": ("unknown_unit", "unit_not_on_incident", "hazard_unacknowledged"),
        "recall": ("unit_not_on_incident",),
        "merge": ("same_incident", "incident_has_units", "aid_incident"),
        "split": ("unknown_call", "call_moving", "call_not_joined", "aid_incident"),
        "priority": ("aid_incident",),
        "location": ("outside_country", "aid_incident"),
        "legs": ("leg_exists", "aid_incident"),
        "close": ("incident_has_units",),
    }
    errors = ("unknown_incident", *refusals.get(name, ()))
    return Act(name=name, summary=summary, action=action, body=body, make=make, errors=errors)


def _recall(asked: Asked) -> c.Command:
    units = tuple(map(UnitId, asked.body.units))
    return c.RecallUnits(
        actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), units=units, reason=asked.body.reason
    )


def _merge(asked: Asked) -> c.Command:
    into = IncidentId(asked.body.into)
    return c.MergeIncidents(actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), into=into)


def _split(asked: Asked) -> c.Command:
    call_id = CallId(asked.body.call_id)
    return c.SplitCall(actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), call_id=call_id)


def _note(asked: Asked) -> c.Command:
    assert asked.note is not None, "a note has at least one character"
    note_id, sealed = asked.note
    return c.NoteIncident(
        actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), note_id=note_id, commitment=sealed
    )


def _hold(asked: Asked) -> c.Command:
    return c.HoldIncident(actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), held=asked.body.held)


def _prioritise(asked: Asked) -> c.Command:
    said: Prioritise = asked.body
    return c.PrioritiseIncident(
        actor=asked.actor.actor_id,
        incident_id=IncidentId(asked.id),
        priority=said.priority,
        reason=said.reason,
    )


def _leg(asked: Asked) -> c.Command:
    said: NewLeg = asked.body
    return c.AddLeg(
        actor=asked.actor.actor_id,
        incident_id=IncidentId(asked.id),
        body=said.body,
        capability=said.capability,
        count=said.count,
    )


def _control(asked: Asked) -> c.Command:
    return c.ControlIncident(actor=asked.actor.actor_id, incident_id=IncidentId(asked.id))


def _close(asked: Asked) -> c.Command:
    disposition = asked.body.disposition
    return c.CloseIncident(actor=asked.actor.actor_id, incident_id=IncidentId(asked.id), disposition=disposition)


def as_it_is(asked: Asked) -> Answering:
    """The answer to a command about an incident: the incident after it."""

    def make(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
        return 200, _receipt(state, IncidentId(asked.id))

    return make


def _opened(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
    opened = next(event for event in events if isinstance(event, IncidentOpened))
    return 201, _receipt(state, opened.incident.incident_id)


def _receipt(state: RegionState, incident_id: IncidentId) -> bytes:
    incident = state.incident(incident_id)
    assert incident is not None, "the command was about this incident"
    return encode(
        IncidentReceipt(
            incident_id=incident_id,
            region=state.region,
            seq=state.seq,
            incident=incident_row(state, incident),
        )
    )
