"""What a drawing of a road means: its form as the interface takes it, and the lines that are kept of it.

A road is drawn by a line, said by its two ends, by one position on it, by the street's name (streets), or as all roads
around a point. Not here: closing it (closing).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
import shapely
from msgspec import Meta

from consoles.streets import StreetPart, length_m, stretch_of
from dispatch.calling.evidence import Coordinates
from dispatch.calling.locating import Locator
from dispatch.core.closure_terms import Line
from dispatch.core.words import Direction
from dispatch.web.problems import Fault, Problem
from routing.drawn import WIDEST_M
from routing.geometry import Point, distance_m, from_lonlat, in_country, to_lonlat
from routing.named import NamedStreets
from routing.weights import SLOWEST

LINE_MAX = 500
"""Points of one drawing; of a road that the map found it keeps as many as its bends need."""

BETWEEN_MAX_M = 100_000.0
LINE_RADIUS_M = 20.0
STREET_RADIUS_M = 10.0
"""Around lines of the map itself, which need no room for a hand that slipped: what runs beside them is another road."""
POINT_RADIUS_M = 30.0
BEND_DEG = 0.00003  # three metres: what a line may lose of a road's bends

DRAWING = (
    *("outside_country", "no_road_there", "unknown_region", "no_street_names"),
    *("unknown_street", "street_ambiguous", "no_such_crossing", "unknown_district", "district_ambiguous"),
)
"""What can be wrong with a drawing."""

Radius = Annotated[float, Meta(gt=0, le=WIDEST_M, description="Metres to either side of the line, or around the point")]


class Streets(Protocol):
    """The road network, as far as a drawing needs it; `dispatch.writing.live_roads.LiveRoads` is one."""

    named: NamedStreets

    def meant(self, lines: Sequence[Line], radius_m: float, direction: Direction) -> tuple[int, float]: ...
    def way(self, start: tuple[float, float], end: tuple[float, float]) -> list[Point] | None: ...
    def street_at(self, at: tuple[float, float]) -> list[Point] | None: ...


class Drawing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `line` (two or more positions along a road), `between` (its two ends), `point` (all roads around it),
    `road` (a position on it: from one crossing to the next) or `street` (its name). Without `factor` it is closed, with
    one a drive along it takes so many times as long. `ahead`: only in the direction of the drawing, of a street from
    the first crossing to the second; what was not drawn from one end to the other has no such direction."""

    line: Annotated[list[Coordinates], Meta(min_length=2, max_length=LINE_MAX)] | None = None
    between: Annotated[list[Coordinates], Meta(min_length=2, max_length=2)] | None = None
    point: Coordinates | None = None
    road: Coordinates | None = None
    street: StreetPart | None = None
    radius_m: Radius | None = None
    direction: Direction = Direction.BOTH
    factor: Annotated[float, Meta(ge=1, le=SLOWEST)] | None = None


class Drawn(NamedTuple):
    """A drawing as it is kept: lines of (lat, lon); of a street that was named its name, and those that meet it."""

    lines: tuple[Line, ...]
    radius_m: float
    street: str = ""
    meets: Sequence[str] = ()


class Drawings:
    """Makes lines of drawings. Without a map (`streets` None) a line is kept as it was drawn."""

    def __init__(self, streets: Streets | None, locator: Locator) -> None:
        self._streets = streets
        self._locator = locator

    async def drawn(self, said: Drawing) -> Drawn:
        """What is to be kept. Raises Problem."""
        name = _given(said)
        _directed(said)
        if said.street is not None:
            return await self._named(said, said.street)
        several = said.line or said.between
        points = [from_lonlat(pair) for pair in several or [said.point or said.road or []]]
        _at_home([(f"/{name}/{i}" if several else f"/{name}", at) for i, at in enumerate(points)])
        if said.between is not None:
            points = self._between(points[0], points[1])
        elif said.road is not None:
            points = self._road(points[0])
        return Drawn((_kept(points),), said.radius_m or self._radius_m(said))

    def _radius_m(self, said: Drawing) -> float:
        if said.point is not None:
            return POINT_RADIUS_M
        return LINE_RADIUS_M if said.line is not None or self._streets is None else STREET_RADIUS_M

    async def _named(self, said: Drawing, part: StreetPart) -> Drawn:
        """The lines along a street that was named; found beside the loop, for a name may be borne a thousand times."""
        ends = [(f"/street/between/{i}", at) for i, at in enumerate(part.between or ()) if not isinstance(at, str)]
        near = [("/street/near", part.near)] if part.near is not None else []
        district = [("/street/district", part.district)] if isinstance(part.district, list) else []
        _at_home([(pointer, from_lonlat(at)) for pointer, at in (*near, *ends, *district)])
        named = self._streets.named if self._streets is not None else None
        meant = await asyncio.to_thread(stretch_of, part, named, self._locator)
        _few_enough(sum(map(len, meant.lines)), "/street")
        return Drawn(tuple(map(_kept, meant.lines)), said.radius_m or STREET_RADIUS_M, meant.name, meant.meets)

    def _between(self, start: Point, end: Point) -> list[Point]:
        if distance_m(start, end) > BETWEEN_MAX_M:
            detail = f"They are more than {BETWEEN_MAX_M / 1000:g} km apart: close the road in parts."
            raise Problem("invalid_body", detail, [Fault("/between", detail)])
        way = self._streets.way(start, end) if self._streets is not None else [start, end]
        if way is None or len(way) < 2:
            detail = "No road leads from the one to the other."
            raise Problem("no_road_there", detail, [Fault("/between", detail)])
        return _bends(way, "/between")

    def _road(self, at: Point) -> list[Point]:
        street = self._streets.street_at(at) if self._streets is not None else None
        if street is None:
            detail = "There is no road at this position." if self._streets is not None else "There is no map of roads."
            raise Problem("no_road_there", detail, [Fault("/road", detail)])
        return _bends(street, "/road")

    def meant(self, said: Drawing, drawn: Drawn) -> tuple[int | None, int | None]:
        """How many directed streets of the map a drawing means, and the metres of its lines; around a point those of
        all streets that come near. Raises Problem when it means none."""
        drawn_m = length_m(drawn.lines)
        if self._streets is None:
            return None, round(drawn_m) or None
        streets, metres = self._streets.meant(drawn.lines, drawn.radius_m, said.direction)
        if not streets:
            detail = "No road of the map runs along the drawing."
            raise Problem("no_road_there", detail, [Fault(f"/{_given(said)}", detail)])
        return streets, round(drawn_m or metres)


def _given(said: Drawing) -> str:
    """Which of the ways of drawing was used. Raises Problem unless it was exactly one."""
    ways = ("line", "between", "point", "road", "street")
    given = [name for name in ways if getattr(said, name) is not None]
    if len(given) != 1:
        detail = f"Give one of {', '.join(ways[:-1])} and {ways[-1]}, not {len(given)} of them."
        raise Problem("invalid_body", detail, [Fault("", detail)])
    return given[0]


def _directed(said: Drawing) -> None:
    """Raises Problem for one direction of what has none: a position is on both, and on a road which comes first would
    be the map's chance."""
    if said.direction is not Direction.AHEAD or said.line is not None or said.between is not None:
        return
    if said.street is None:
        detail = "In one direction a road is closed along a line, or between its two ends."
    elif said.street.between is None:
        detail = "In one direction a street is closed between two crossings, from the first to the second."
    else:
        return
    raise Problem("invalid_body", detail, [Fault("/direction", detail)])


def _at_home(points: Sequence[tuple[str, Point]]) -> None:
    """Raises Problem for the first position that is abroad, by its pointer."""
    for pointer, at in points:
        if not in_country(at.lat, at.lon):
            detail = "This position is abroad. Positions are [longitude, latitude]."
            raise Problem("outside_country", detail, [Fault(pointer, detail)])


def _bends(way: list[Point], pointer: str) -> list[Point]:
    """A road's line without bends that nobody would draw. Raises Problem where too many are left."""
    line = shapely.LineString([to_lonlat(at) for at in way]).simplify(BEND_DEG)
    bends = [Point(lat, lon) for lon, lat in line.coords]
    _few_enough(len(bends), pointer)
    return bends


def _few_enough(bends: int, pointer: str) -> None:
    if bends > LINE_MAX:
        detail = f"The road there has {bends} bends, of which {LINE_MAX} can be kept: close it in parts."
        raise Problem("invalid_body", detail, [Fault(pointer, detail)])


def _kept(points: Sequence[Point]) -> Line:
    return tuple((round(float(at.lat), 6), round(float(at.lon), 6)) for at in points)
