"""Roads that dispatchers close, slow down and open again, and the list of them.

A closure is drawn: a line along the road, or one position with a radius. Between two positions it may also be said by
its ends; the road between them becomes the line. It is kept as drawn, in the journal of the
region where it begins, and counts for every unit that would drive there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
import shapely
from aiohttp import web
from msgspec import Meta

from consoles.desk import Desk, asked_body
from consoles.reading import Code
from dispatch.actors import require
from dispatch.calling.evidence import Coordinates, Moment
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.commands import CloseRoad, ReopenRoad
from dispatch.core.events import Event, RoadClosed
from dispatch.core.state import RegionState
from dispatch.core.terms import LocationFix, RegionId, Source
from dispatch.core.words import Direction
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.replies import Answering, answering, encode, key_of, replied
from dispatch.web.routes import Route
from routing.drawn import WIDEST_M
from routing.geometry import Point, distance_m, from_lonlat, in_country, to_lonlat
from routing.weights import SLOWEST

LINE_MAX = 500
"""Points of one drawing; of a road found between two ends it keeps as many as its bends need."""

BETWEEN_MAX_M = 100_000.0
REASON_MAX = 200
LINE_RADIUS_M = 20.0
POINT_RADIUS_M = 30.0
BEND_DEG = 0.00003  # three metres: what a line may lose of a road's bends

Radius = Annotated[float, Meta(gt=0, le=WIDEST_M, description="Metres to either side of the line, or around the point")]


class Streets(Protocol):
    """The road network, as far as a drawing needs it."""

    def streets(self, line: Any, radius_m: float) -> int: ...
    def way(self, start: tuple[float, float], end: tuple[float, float]) -> list[Point] | None: ...


class NewClosure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `line` (two or more positions along a road), `between` (its two ends) or `point`. Without `factor` it is
    closed, with one a drive along it takes so many times as long. `ahead`: only in the direction of the drawing."""

    line: Annotated[list[Coordinates], Meta(min_length=2, max_length=LINE_MAX)] | None = None
    between: Annotated[list[Coordinates], Meta(min_length=2, max_length=2)] | None = None
    point: Coordinates | None = None
    radius_m: Radius | None = None
    direction: Direction = Direction.BOTH
    factor: Annotated[float, Meta(ge=1, le=SLOWEST)] | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=REASON_MAX)]
    since: Moment | None = None
    until: Moment | None = None


class ClosureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A closure as it is shown. `line` is [longitude, latitude] pairs; a single one is the middle of a circle."""

    closure_id: str
    region: str
    line: list[list[float]]
    radius_m: float
    direction: Direction
    factor: float | None
    reason: str
    since: datetime
    until: datetime | None
    by: str
    at: datetime


class ClosureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept. `streets`: how many directed streets of the map it means; null when there is no map."""

    closure_id: str
    region: str
    seq: int
    streets: int | None
    closure: ClosureRow


class ClosureQuery(msgspec.Struct, frozen=True, kw_only=True):
    region: Code | None = None


class Closing:
    """The addresses for closures. Without a map (`streets` None) a line is kept as it was drawn."""

    def __init__(self, desk: Desk, streets: Streets | None) -> None:
        self._desk = desk
        self._streets = streets

    def routes(self) -> list[Route]:
        path = "/api/v1/closures"
        return [
            Route(
                method="GET", path=path, handler=self.listed, tag="closures", action="closure.read",
                summary="Roads that are closed or slow, or will be", query=ClosureQuery,
                responses={200: dict[str, list[ClosureRow]]},
            ),
            Route(
                method="POST", path=path, handler=self.close, tag="closures", action="closure.work", creates=True,
                summary="Close a road, or say that it is slow", request=NewClosure, responses={201: ClosureReceipt},
                errors=("outside_country", "no_road_there", "closure_over", "closure_limit", "unknown_region"),
            ),
            Route(
                method="DELETE", path=f"{path}/{{closure_id}}", handler=self.reopen, tag="closures",
                action="closure.work", summary="Open it again before its time",
                responses={200: dict[str, Any]}, errors=("unknown_closure",),
            ),
        ]  # fmt: skip

    async def listed(self, request: web.Request) -> web.Response:
        """GET /closures."""
        desk, now = self._desk, self._desk.clock.now()
        regions = desk.regions(request[ACTOR], query(request, ClosureQuery).region)
        states = (desk.replicas.states[region] for region in regions)
        rows = [closure_row(s.region, c) for s in states for c in s.closures.values() if not c.is_over(now)]
        return answer({"closures": rows})

    async def close(self, request: web.Request) -> web.Response:
        """POST /closures."""
        actor, desk = request[ACTOR], self._desk
        raw, said = await asked_body(request, NewClosure)
        now = desk.clock.now()
        line, radius_m = self._drawn(said)
        region = self._region(line[0])
        require(actor, "closure.work", region)
        closure = Closure(
            closure_id=desk.ids.closure_id(),
            line=line,
            radius_m=radius_m,
            direction=said.direction,
            factor=said.factor,
            reason=said.reason,
            since=said.since or now,
            until=said.until,
            by=actor.actor_id,
            at=now,
        )
        streets = self._streets.streets(line, radius_m) if self._streets is not None else None
        if streets == 0:
            detail = "No road of the map runs along the drawing."
            raise Problem("no_road_there", detail, [Fault(f"/{_given(said)}", detail)])
        made = CloseRoad(actor=actor.actor_id, closure=closure)
        key = key_of(request, actor, raw)
        return replied(await desk.engine.submit(region, made, answer=_closed(streets), key=key))

    async def reopen(self, request: web.Request) -> web.Response:
        """DELETE /closures/{closure_id}."""
        actor, closure_id = request[ACTOR], ClosureId(request.match_info["closure_id"])
        region = self._desk.replicas.region_of_closure(closure_id)
        if region is None:
            raise Problem("unknown_closure", f"No closure {closure_id[:64]}.")
        require(actor, "closure.work", region)
        made = ReopenRoad(actor=actor.actor_id, closure_id=closure_id)
        after = answering(200, lambda state: {"closure_id": closure_id, "region": state.region, "seq": state.seq})
        return replied(await self._desk.engine.submit(region, made, answer=after))

    def _drawn(self, said: NewClosure) -> tuple[tuple[tuple[float, float], ...], float]:
        """The line as (lat, lon) pairs, and its radius. Raises Problem."""
        name = _given(said)
        points = [from_lonlat(pair) for pair in said.line or said.between or ([said.point] if said.point else [])]
        for i, at in enumerate(points):
            if not in_country(at.lat, at.lon):
                detail = f"Position {i + 1} of the drawing is abroad. Positions are [longitude, latitude]."
                raise Problem(
                    "outside_country", detail, [Fault(f"/{name}" if name == "point" else f"/{name}/{i}", detail)]
                )
        if said.between is not None:
            points = self._between(points[0], points[1])
        width_m = said.radius_m or (POINT_RADIUS_M if len(points) == 1 else LINE_RADIUS_M)
        return tuple((round(float(at.lat), 6), round(float(at.lon), 6)) for at in points), width_m

    def _between(self, start: Point, end: Point) -> list[Point]:
        if distance_m(start, end) > BETWEEN_MAX_M:
            detail = f"They are more than {BETWEEN_MAX_M / 1000:g} km apart: close the road in parts."
            raise Problem("invalid_body", detail, [Fault("/between", detail)])
        way = self._streets.way(start, end) if self._streets is not None else [start, end]
        if way is None or len(way) < 2:
            detail = "No road leads from the one to the other."
            raise Problem("no_road_there", detail, [Fault("/between", detail)])
        line = shapely.LineString([to_lonlat(at) for at in way]).simplify(BEND_DEG)
        bends = [Point(lat, lon) for lon, lat in line.coords]
        if len(bends) > LINE_MAX:
            detail = (
                f"The road between them has {len(bends)} bends, of which {LINE_MAX} can be kept: close it in parts."
            )
            raise Problem("invalid_body", detail, [Fault("/between", detail)])
        return bends

    def _region(self, at: tuple[float, float]) -> RegionId:
        now = self._desk.clock.now()
        fix = LocationFix(source=Source.OPERATOR, at=now, lat=at[0], lon=at[1], accuracy_m=1.0, confirmed=True)
        location = self._desk.locator.estimate((fix,), now)
        if location is None or not location.regions or location.regions[0] not in self._desk.replicas.states:
            raise Problem("unknown_region", "The road begins in no region of this service.")
        return location.regions[0]


def closure_row(region: RegionId, closure: Closure) -> ClosureRow:
    """A closure as it is shown."""
    return ClosureRow(
        closure_id=closure.closure_id,
        region=region,
        line=[[lon, lat] for lat, lon in closure.line],
        radius_m=closure.radius_m,
        direction=closure.direction,
        factor=closure.factor,
        reason=closure.reason,
        since=closure.since,
        until=closure.until,
        by=closure.by,
        at=closure.at,
    )


def _given(said: NewClosure) -> str:
    """Which of the three ways of drawing was used. Raises Problem unless it was exactly one."""
    given = [name for name in ("line", "between", "point") if getattr(said, name) is not None]
    if len(given) != 1:
        detail = f"Give one of line, between and point, not {len(given)} of them."
        raise Problem("invalid_body", detail, [Fault("", detail)])
    return given[0]


def _closed(streets: int | None) -> Answering:
    def make(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
        closure = next(event.closure for event in events if isinstance(event, RoadClosed))
        return 201, encode(
            ClosureReceipt(
                closure_id=closure.closure_id,
                region=state.region,
                seq=state.seq,
                streets=streets,
                closure=closure_row(state.region, closure),
            )
        )

    return make
