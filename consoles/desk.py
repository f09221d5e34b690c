"""What every operator's address stands on: who asks, about which call, incident or unit, and the engine
behind it.

A command is declared as an `Act`: a path, the body that it takes, and the wish it makes of the two. The
desk does the rest the same way for all: scope, body, idempotency, commit, answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from dispatch.actors import Actor, Role, require, visible
from dispatch.calling.locating import Locator
from dispatch.clock import Clock
from dispatch.core.commands import Command
from dispatch.core.terms import (
    Body,
    Call,
    CallId,
    Incident,
    IncidentId,
    Refusal,
    RegionId,
    Unit,
    UnitId,
)
from dispatch.engine import Engine, Reply
from dispatch.ids import IdSource
from dispatch.intake import JSON_TYPES, own
from dispatch.store import Store
from dispatch.web.application import ACTOR
from dispatch.web.audit import Audit
from dispatch.web.bodies import decode, read
from dispatch.web.problems import Fault, Problem, Unreadable, refused
from dispatch.web.replies import Answering, key_of, replied
from dispatch.web.routes import Route
from dispatch.writing.journal import canonical, commitment
from dispatch.writing.records import Personal
from dispatch.writing.replica import Replicas
from routing.regions import region_facts

BODY_MAX = 64 * 1024
MISSING = ("unknown_call", "unknown_incident")

T = TypeVar("T")


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that needs no words: an empty body, or `{}`."""


class NoteDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The personal document of a note: what was written, by whom, and of which body its author is."""

    text: str
    actor: str
    body: Body | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a command: by whom, in which region, about what (`id`), with which body."""

    actor: Actor
    region: RegionId
    id: str
    body: Any
    wall: datetime
    """When it was asked, by the wall."""
    note: tuple[str, str] | None = None
    """(note_id, commitment) of the note that came along."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A command of the operators on one thing: `POST {of}/{id}/{name}`."""

    name: str
    summary: str
    action: str
    body: type = Nothing
    make: Callable[[Asked], Command]
    note: Callable[[Any], str | None] | None = None
    """The personal words in the body, if it has any."""
    other: Callable[[Any], str | None] | None = None
    """The region in the body that is to do something, if it names one."""
    errors: tuple[str, ...] = ()


Answer = Callable[[Asked], Answering]


class Desk:
    """The operators' side of the engine."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: Store,
        locator: Locator,
        ids: IdSource,
        clock: Clock,
        audit: Audit,
        reaches: Callable[[RegionId], bool] = lambda region: True,
    ) -> None:
        self.audit = audit
        self.reaches = reaches
        """Whether anybody could ever hear what is said to a region."""
        self.engine = engine
        self.store = store
        self.locator = locator
        self.ids = ids
        self.clock = clock

    @property
    def replicas(self) -> Replicas:
        """What is committed: the only thing that a reader may see."""
        return self.engine.replicas

    def call(self, actor: Actor, call_id: str, action: str) -> tuple[RegionId, Call]:
        """An open or lately closed call in the actor's scope. Raises Problem."""
        region = self.replicas.region_of_call(CallId(call_id))
        call = self.replicas.states[region].call(CallId(call_id)) if region is not None else None
        if region is None or call is None or not own(actor, call):
            raise Problem("unknown_call", f"No call {call_id[:64]}.")
        require(actor, action, None if actor.role is Role.DEVICE else region)
        return region, call

    def incident(self, actor: Actor, incident_id: str, action: str) -> tuple[RegionId, Incident]:
        """An open or lately closed incident in the actor's scope. Raises Problem."""
        region = self.replicas.region_of_incident(IncidentId(incident_id))
        found = self.replicas.states[region].incident(IncidentId(incident_id)) if region is not None else None
        if region is None or found is None:
            raise Problem("unknown_incident", f"No incident {incident_id[:64]}.")
        require(actor, action, region)
        if actor.body is not None and all(leg.body != actor.body for leg in found.legs):
            raise Problem("out_of_scope", f"{actor.body} has no part in {incident_id[:64]}.")
        return region, found

    def unit(self, actor: Actor, unit_id: str, action: str) -> tuple[RegionId, Unit]:
        """A unit in the actor's scope: a crew's own, a body's own, or any of its regions. Raises Problem."""
        region = self.replicas.region_of_unit(UnitId(unit_id))
        if region is None:
            raise Problem("unknown_unit", f"No unit {unit_id[:64]}.")
        unit = self.replicas.states[region].units[UnitId(unit_id)]
        require(actor, action, region, unit.body)
        if actor.role is Role.UNIT and actor.unit_id != unit.unit_id:
            raise Problem("out_of_scope", "A crew has only its own unit.")
        return region, unit

    def regions(self, actor: Actor, asked: str | None = None) -> tuple[RegionId, ...]:
        """The regions to show: the one asked for, or all that the actor sees. Raises Problem."""
        known = tuple(self.replicas.states)
        if asked is None:
            return visible(actor, known)
        if asked not in known:
            fault = Fault("region", no_region(asked, known))
            raise Problem("invalid_query", fault.detail, [fault])
        if RegionId(asked) not in visible(actor, known):
            raise Problem("out_of_scope", f"{actor.role} does not see {asked}.")
        return (RegionId(asked),)

    def routes(self, of: str, acts: Iterable[Act], find: Finder, answer: Answer) -> list[Route]:
        """The addresses of these acts on one kind of thing; `of` is its path with the id."""
        return [
            Route(
                method="POST",
                path=f"{of}/{act.name}",
                handler=partial(self._act, act, find, answer),
                summary=act.summary,
                tag=of.split("/")[3],
                action=act.action,
                request=act.body,
                responses={200: dict[str, Any]},
                creates=True,
                body_max=BODY_MAX,
                errors=(*act.errors, "illegal_status"),
            )
            for act in acts
        ]

    async def _act(self, act: Act, find: Finder, answer: Answer, request: web.Request) -> web.Response:
        actor = request[ACTOR]
        id = next(iter(request.match_info.values()))
        try:
            region = find(actor, id, act.action)[0]
        except Problem as problem:
            raise await self._of_old(problem, actor, request.path.split("/")[3], id) from None
        kind: type[Any] = act.body
        raw, body = await asked_body(request, kind)
        key = key_of(request, actor, raw)
        words = act.note(body) if act.note is not None else None
        kept = self.sealed_note(words, actor, region) if words else None
        note = (kept.id, commitment(kept.salt, kept.document)) if kept is not None else None
        asked = Asked(actor=actor, region=region, id=id, body=body, wall=self.clock.wall(), note=note)
        try:
            command = self._made(act, asked)
        except Problem:
            # Who asks again hears what was answered first, whatever has gone away here since.
            first = await self.engine.answered(key) if key is not None else None
            if first is None:
                raise
            return replied(first)
        reply = await self.engine.submit(
            region,
            command,
            answer=answer(asked),
            key=key,
            personal=(kept,) if kept is not None else (),
        )
        return replied(self._of_closed(reply, region, id))

    def _made(self, act: Act, asked: Asked) -> Command:
        """The command that is asked for. Raises Problem."""
        other = act.other(asked.body) if act.other is not None else None
        if other is not None:
            self._heard_by(other)
        return act.make(asked)

    def _heard_by(self, region: str) -> None:
        """Raises Problem where a word to this region would wait for ever."""
        if region not in region_facts():
            raise unknown_region(region, region_facts())
        if not self.reaches(RegionId(region)):
            detail = f"Nobody leads {region}: neither this cell nor any neighbour that it knows."
            raise Problem("region_unled", detail, [Fault("/region", detail)])

    def _of_closed(self, reply: Reply, region: RegionId, id: str) -> Reply:
        """What is closed is not unknown, for everybody can read it: that it is over is what stands in the way."""
        state = self.engine.states.get(region)
        if state is None or reply.refusal is None or reply.refusal.code not in MISSING:
            return reply
        thing = state.call(CallId(id)) or state.incident(IncidentId(id))
        over = state.is_over(thing) if isinstance(thing, Call) else thing is not None and thing.closed_at is not None
        if not over:
            return reply
        refusal = Refusal(code="illegal_status", message=f"{id} is closed.")
        status, body = refused(refusal)
        return msgspec.structs.replace(reply, status=status, body=body, refusal=refusal)

    async def _of_old(self, problem: Problem, actor: Actor, table: str, id: str) -> Problem:
        """The same for what was closed so long ago that only the read models know it."""
        if problem.code not in MISSING or actor.role is Role.DEVICE or actor.body is not None:
            return problem
        row = await self.store.row(table, id)
        if row is None or row["region"] not in visible(actor, (RegionId(row["region"]),)):
            return problem
        return Problem("illegal_status", f"{id[:64]} is closed.") if row["status"] == "closed" else problem

    def sealed_note(self, text: str, actor: Actor, region: RegionId) -> Personal:
        """A note as a personal document of its own."""
        document = canonical(NoteDocument(text=text, actor=actor.actor_id, body=actor.body))
        return Personal(id=self.ids.note_id(), region=region, kind="note", salt=self.ids.salt(), document=document)


Finder = Callable[[Actor, str, str], tuple[RegionId, Any]]
"""(actor, id, action) -> (region, the thing), or raises Problem."""


def no_region(asked: str, known: Iterable[str]) -> str:
    """Why a region cannot be meant, and which could."""
    return f"No region {asked[:16]!r} here. Known: {', '.join(sorted(known))}."


def unknown_region(asked: str, known: Iterable[str]) -> Problem:
    """The field `region` of a body names none that is known."""
    fault = Fault("/region", no_region(asked, known))
    return Problem("unknown_region", fault.detail, [fault])


async def asked_body(request: web.Request, kind: type[T]) -> tuple[bytes, T]:
    """The raw body and its value; none at all counts as `{}`. Raises Unreadable."""
    raw = await read(request, BODY_MAX) or b"{}"
    if request.content_type not in JSON_TYPES:
        detail = f"Send application/json, not {request.content_type}."
        raise Unreadable("unsupported_media_type", detail, raw)
    return raw, decode(raw, kind)
