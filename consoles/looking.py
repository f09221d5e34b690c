"""Look-ups: the queue of waiting work, the journal, and places by name."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.board import awaiting, call_row, counts, incident_row
from consoles.desk import Desk
from consoles.reading import Code, Cursor, Limit
from dispatch.actors import require
from dispatch.core.queue import CallKey
from dispatch.core.terms import CallId, IncidentId
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.routes import Route
from dispatch.writing.records import Recorded
from routing.addresses import MOST_CHARS
from routing.geometry import in_country, parse_point, to_lonlat
from routing.names import LANGUAGES

EVENTS_MAX = 500
Row = dict[str, Any]


class QueueQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`incidents` and `calls` each page with their own cursor: `cursor` goes on with both."""

    region: Code
    limit: Limit = 50
    cursor: Cursor | None = None


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    region: Code
    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=EVENTS_MAX)] = 100


class PlacesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`q` is a name, an address, a kilometre of a road, a position, a plus code or a link of a map; `near` is
    `LAT,LON`, as people type it."""

    q: Annotated[str, Meta(min_length=1, max_length=MOST_CHARS)]
    near: Annotated[str, Meta(max_length=64)] | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 10


class _Place(msgspec.Struct, frozen=True):
    """How far a reader has come in the two lists of a queue; None: not begun."""

    incident: CallKey | None = None
    call: CallKey | None = None


class Looking:
    """The addresses of look-ups."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            _get(
                "queue",
                self.queue,
                "Waiting incidents and calls, most urgent first",
                "queue.read",
                QueueQuery,
            ),
            _get("events", self.events, "The journal of a region, in order", "events.read", EventsQuery),
            _get(
                "places", self.places, "Places by name in any script, addresses, positions", "place.search", PlacesQuery
            ),
        ]

    async def queue(self, request: web.Request) -> web.Response:
        """GET /queue."""
        asked = query(request, QueueQuery)
        region = self._desk.regions(request[ACTOR], asked.region)[0]
        state, begun = self._desk.replicas.states[region], _begun(asked.cursor)
        incidents = _after(state.waiting, begun.incident, asked.limit)
        calls = _after(state.waiting_calls, begun.call, asked.limit)
        reached = _Place(
            incident=incidents[-1] if incidents else begun.incident,
            call=calls[-1] if calls else begun.call,
        )
        wanting = awaiting(state)
        more = len(incidents) == asked.limit or len(calls) == asked.limit
        return answer(
            {
                "region": region,
                "seq": state.seq,
                "counts": counts(state),
                "incidents": [incident_row(state, state.incidents[IncidentId(k[2])]) for k in incidents],
                "calls": [call_row(state.calls[CallId(k[2])], waiting=k[2] in wanting) for k in calls],
                "next": _cursor(reached) if more else None,
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        """GET /events: payloads hold nothing personal, only commitments to it."""
        actor = request[ACTOR]
        asked = query(request, EventsQuery)
        region = self._desk.regions(actor, asked.region)[0]
        require(actor, "events.read", region)
        found = await self._desk.store.events(region, asked.after, asked.limit)
        last = found[-1].seq if found else asked.after
        full = len(found) == asked.limit
        return answer({"region": region, "events": [_event(e) for e in found], "next": last if full else None})

    async def places(self, request: web.Request) -> web.Response:
        """GET /places."""
        asked = query(request, PlacesQuery)
        near = None
        if asked.near is not None:
            try:
                near = parse_point(asked.near)
            except ValueError as fault:
                raise Problem("invalid_query", str(fault), [Fault("near", str(fault))]) from None
            assert in_country(*near)
        found = self._desk.locator.search(asked.q, near, asked.limit)
        return answer(
            {
                "places": [
                    {
                        "name": place.name,
                        "kind": place.kind,
                        "region": place.region,
                        "lat": place.lat,
                        "lon": place.lon,
                        "point": {"type": "Point", "coordinates": to_lonlat((place.lat, place.lon))},
                        "accuracy_m": place.accuracy_m,
                        "names": dict(zip(LANGUAGES, place.names.each(), strict=True)),
                        "score": place.score,
                    }
                    for place in found
                ]
            }
        )


def _after(keys: Iterable[CallKey], begun: CallKey | None, limit: int) -> list[CallKey]:
    """The next keys of a sorted list behind one that may be gone by now."""
    later: Iterator[CallKey] = iter(keys) if begun is None else (key for key in keys if key > begun)
    return list(islice(later, limit))


def _cursor(reached: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(reached)).decode().rstrip("=")


def _begun(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place()
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=_Place)
        if any(key is not None and key[1].tzinfo is None for key in (place.incident, place.call)):
            raise ValueError("times are aware")
    except ValueError:
        fault = "the cursor is not one that a list gave"
        raise Problem("invalid_query", fault, [Fault("cursor", fault)]) from None
    return place


def _event(record: Recorded) -> Row:
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "actor": record.actor,
        "epoch": record.epoch,
        "payload": msgspec.Raw(record.payload),
        "hash": record.hash.hex(),
    }


def _get(path: str, handler: Any, summary: str, action: str, asked: type[msgspec.Struct]) -> Route:
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
