"""Lists and cards of calls, incidents and units, by HTTP. Everything shown is committed.

A list comes from the read models, newest first, page by page; a card of what is open or lately closed comes
from the replicas, an older one from the read models. Personal data is shown only on a call's own card and
in an incident's notes, and each time that is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.aid_rows import lent_to
from consoles.board import call_row, incident_row, unit_row
from consoles.cards import call_card, incident_card, position_of
from consoles.desk import Desk
from dispatch.actors import Actor, Role, require
from dispatch.calling.matching import Matcher
from dispatch.core.terms import Body, Call, CallStatus, Incident, IncidentStatus, RegionId, Unit, UnitStatus
from dispatch.intake import own
from dispatch.store import BadCursor
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.routes import Route

LIMIT_MAX = 200

Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str, Meta(min_length=1, max_length=400)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Row = dict[str, Any]
T = TypeVar("T")


class _Paged(msgspec.Struct, frozen=True, kw_only=True):
    region: Code | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CallsQuery(_Paged, frozen=True, kw_only=True):
    """Which calls: of a region, in a status, joined to an incident."""

    status: CallStatus | None = None
    incident_id: Code | None = None


class IncidentsQuery(_Paged, frozen=True, kw_only=True):
    status: IncidentStatus | None = None


class UnitsQuery(_Paged, frozen=True, kw_only=True):
    status: UnitStatus | None = None
    body: Body | None = None


class Reading:
    """The addresses that show."""

    def __init__(self, desk: Desk, matcher: Matcher | None = None) -> None:
        self._desk = desk
        self._matcher = matcher

    def routes(self) -> list[Route]:
        call, incident, unit = ("unknown_call",), ("unknown_incident",), ("unknown_unit",)
        return [
            _list("calls", self.calls, "Calls, newest first", "call.read", CallsQuery),
            _card("calls/{call_id}", self.call, "A call with its caller", "call.follow", call),
            _list("incidents", self.incidents, "Incidents, newest first", "incident.read", IncidentsQuery),
            _card("incidents/{incident_id}", self.incident, "An incident's card", "incident.read", incident),
            _list("units", self.units, "Units, by name", "unit.read", UnitsQuery),
            _card("units/{unit_id}", self.unit, "A unit, where it is and what it does", "unit.read", unit),
        ]

    async def calls(self, request: web.Request) -> web.Response:
        """GET /calls."""
        asked = query(request, CallsQuery)
        narrowed = {"status": asked.status, "incident_id": asked.incident_id}
        rows, cursor = await self._page(request[ACTOR], "calls", asked, narrowed)
        return answer({"calls": [_shown(call_row(_of(row, Call)), row) for row in rows], "next": cursor})

    async def incidents(self, request: web.Request) -> web.Response:
        """GET /incidents. A body's own people get only those that their body has a part in."""
        actor = request[ACTOR]
        asked = query(request, IncidentsQuery)
        rows, cursor = await self._page(actor, "incidents", asked, {"status": asked.status})
        found = [_of(row, Incident) for row in rows]
        shown = [self._incident_row(incident) for incident in found if concerns(actor, incident)]
        return answer({"incidents": shown, "next": cursor})

    async def units(self, request: web.Request) -> web.Response:
        """GET /units."""
        actor = request[ACTOR]
        asked = query(request, UnitsQuery)
        if actor.role is Role.UNIT:
            raise Problem("out_of_scope", "A crew has only its own unit.")
        if asked.body is not None and actor.body not in (None, asked.body):
            raise Problem("out_of_scope", f"{actor.role} of {actor.body} does not see units of {asked.body}.")
        body = asked.body or actor.body
        rows, cursor = await self._page(actor, "units", asked, {"status": asked.status, "body": body})
        return answer({"units": [self._unit_row(_of(row, Unit)) for row in rows], "next": cursor})

    async def call(self, request: web.Request) -> web.Response:
        """GET /calls/{call_id}: with number, name and words; who looked is written down."""
        actor, call_id = request[ACTOR], request.match_info["call_id"]
        call = await self._found(actor, ("calls", call_id), Call, self._desk.call)
        now = self._desk.clock.now()
        shared = self._matcher is not None and self._matcher.shared(call.call_id, now)
        return answer(await call_card(self._desk, actor, call, shared))

    async def incident(self, request: web.Request) -> web.Response:
        """GET /incidents/{incident_id}."""
        actor, incident_id = request[ACTOR], request.match_info["incident_id"]
        found = await self._found(actor, ("incidents", incident_id), Incident, self._desk.incident)
        return answer(await incident_card(self._desk, actor, found))

    async def unit(self, request: web.Request) -> web.Response:
        """GET /units/{unit_id}."""
        _, unit = self._desk.unit(request[ACTOR], request.match_info["unit_id"], "unit.read")
        return answer(self._unit_row(unit))

    def _incident_row(self, incident: Incident) -> Row:
        state = self._desk.replicas.states[incident.region]
        return {"region": incident.region} | incident_row(state, incident)

    def _unit_row(self, unit: Unit) -> Row:
        where = position_of(self._desk, unit.unit_id)
        return {"region": unit.region, "station": unit.station} | unit_row(unit, self._lent(unit)) | {"position": where}

    def _lent(self, unit: Unit) -> str | None:
        return lent_to(self._desk.replicas.states[unit.region], unit)

    async def _page(
        self, actor: Actor, table: str, asked: _Paged, narrowed: Mapping[str, str | None]
    ) -> tuple[list[Row], str | None]:
        filters: dict[str, str | list[str]] = {k: str(v) for k, v in narrowed.items() if v is not None}
        filters["region"] = list(self._desk.regions(actor, asked.region))
        try:
            return await self._desk.store.rows(table, filters, asked.cursor, asked.limit)
        except BadCursor as fault:
            raise Problem("invalid_query", str(fault), [Fault("cursor", str(fault))]) from None

    async def _found(
        self,
        actor: Actor,
        key: tuple[str, str],
        kind: type[T],
        find: Callable[[Actor, str, str], tuple[RegionId, T]],
    ) -> T:
        """From the replicas, or what has been closed for long from the read models. Raises Problem."""
        table, id = key
        action = "call.follow" if table == "calls" else "incident.read"
        try:
            return find(actor, id, action)[1]
        except Problem as problem:
            if not problem.code.startswith("unknown_"):
                raise
            row = await self._desk.store.row(table, id)
            if row is None or not _old_in_scope(actor, action, row, kind):
                raise
        return _of(row, kind)


def concerns(actor: Actor, incident: Incident) -> bool:
    """Whether the actor may see the incident at all: a body sees those that it has a leg in."""
    return actor.body is None or any(leg.body == actor.body for leg in incident.legs)


def _old_in_scope(actor: Actor, action: str, row: Row, kind: type[Any]) -> bool:
    """Whether a row of long ago is the actor's to see: to a device, others' calls do not exist."""
    if actor.role is Role.DEVICE:
        return kind is Call and own(actor, _of(row, Call))
    require(actor, action, RegionId(row["region"]))
    return kind is Call or concerns(actor, _of(row, Incident))


def _of(row: Row, kind: type[T]) -> T:
    return msgspec.json.decode(row["doc"], type=kind)


def _shown(shown: Row, row: Row) -> Row:
    return {"region": row["region"]} | shown


def _list(path: str, handler: Any, summary: str, action: str, asked: type[msgspec.Struct]) -> Route:
    return Route(
        method="GET",
        path=f"/api/v1/{path}",
        handler=handler,
        summary=summary,
        tag=path,
        action=action,
        query=asked,
        responses={200: dict[str, Any]},
    )


def _card(path: str, handler: Any, summary: str, action: str, errors: Iterable[str]) -> Route:
    return Route(
        method="GET",
        path=f"/api/v1/{path}",
        handler=handler,
        summary=summary,
        tag=path.split("/")[0],
        action=action,
        responses={200: dict[str, Any]},
        errors=tuple(errors),
    )
