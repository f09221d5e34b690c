"""The part of a street that somebody means: all of it, near a place, within an area, or between two crossings.

What comes out are lines along the street, one for each carriageway, as a person would have drawn them.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Final

import shapely
from shapely.ops import substring

from routing.geometry import Point
from routing.named import JOIN_M, Street

CROSSES_M: Final = 25.0  # streets that come so near cross, with or without a crossing of the map
ONE_CROSSING_M: Final = 150.0  # the corners of a crossing of two wide streets
ON_IT_M: Final = 100.0  # a position further from the street is not on it
BESIDE_M: Final = 60.0  # from one carriageway to the other
BEND_M: Final = 3.0  # what a line may lose of the street's bends
GAP_COST: Final = 4.0  # a way along the street leaves it only where it must

Line = list[Point]
_Node = tuple[float, float]


def whole(street: Street) -> list[Line]:
    """All of it."""
    return _drawn(street, street.lines)


def around(street: Street, at: tuple[float, float], radius_m: float) -> list[Line]:
    """What lies within a distance of a place; empty where nothing does."""
    return _within(street, street.plane(at).buffer(radius_m))


def inside(street: Street, area: shapely.Geometry) -> list[Line]:
    """What lies in an area, which is in degrees, (lon, lat); empty where nothing does."""
    return _within(street, shapely.transform(area, lambda at: [street.plane((lat, lon)).coords[0] for lon, lat in at]))


def crossings(street: Street, others: Iterable[Street]) -> list[list[Point]]:
    """Where other streets cross it: for each crossing its corners, in the order of the street's pieces."""
    corners: list[shapely.Point] = []
    lines = shapely.STRtree(street.lines)
    for other in others:
        there = [_moved(line, other, street) for line in other.lines]
        which, pieces = lines.query(there, predicate="dwithin", distance=CROSSES_M)
        for one, piece in sorted(zip(which.tolist(), pieces.tolist(), strict=True), key=lambda pair: pair[1]):
            corners.append(shapely.get_point(shapely.shortest_line(street.lines[piece], there[one]), 0))
    groups: list[list[shapely.Point]] = []
    for corner in corners:
        near = next((group for group in groups if any(corner.dwithin(c, ONE_CROSSING_M) for c in group)), None)
        groups.append([corner]) if near is None else near.append(corner)
    return [[street.place(corner) for corner in group] for group in groups]


def off_m(street: Street, at: tuple[float, float]) -> float:
    """How far a position lies from the street, in metres."""
    point = street.plane(at)
    return min(float(line.distance(point)) for line in street.lines)


def between(street: Street, start: Sequence[Point], end: Sequence[Point]) -> list[Line]:
    """What lies between two crossings, given by their corners, each line in that direction; empty where the street does
    not lead from the one to the other."""
    graph = _Graph(street.lines)
    starts, ends = ([graph.node_at(street.plane(at)) for at in corners] for corners in (start, end))
    way = graph.way(starts, ends)
    if way is None or way.length == 0:
        return []
    corridor = way.buffer(BESIDE_M, cap_style="flat")
    parts = [part for line in graph.lines for part in _lines_of(line.intersection(corridor))]
    return _drawn(street, [ahead for part in parts if (ahead := _ahead(part, way)) is not None], way)


def _within(street: Street, area: shapely.Geometry) -> list[Line]:
    return _drawn(street, [part for line in street.lines for part in _lines_of(line.intersection(area))])


def _ahead(part: shapely.LineString, way: shapely.LineString) -> shapely.LineString | None:
    """A line beside the way, in its direction; None for one that only crosses it or turns off."""
    begins, ends = (way.project(shapely.Point(part.coords[i])) for i in (0, -1))
    if abs(ends - begins) < part.length / 2:
        return None
    return part if ends > begins else part.reverse()


def _drawn(street: Street, lines: Iterable[shapely.LineString], way: shapely.LineString | None = None) -> list[Line]:
    """Lines joined where they meet, without bends that nobody would draw, the longest first."""
    pieces = [line for line in lines if line.length > 0]
    joined = shapely.line_merge(shapely.MultiLineString(pieces), directed=way is not None) if pieces else None
    parts = sorted(_lines_of(joined), key=lambda part: -float(part.length))
    return [[street.place(shapely.Point(at)) for at in part.simplify(BEND_M).coords] for part in parts]


def _lines_of(shape: shapely.Geometry | None) -> list[shapely.LineString]:
    """The lines of what a cut left; points that were only touched fall away."""
    if shape is None:
        return []
    return [part for part in shapely.get_parts(shape) if part.geom_type == "LineString" and part.length > 0]


def _moved(line: shapely.LineString, own: Street, other: Street) -> shapely.LineString:
    """A line of one street's plane on that of another."""
    return shapely.LineString([other.plane(own.place(shapely.Point(at))).coords[0] for at in line.coords])


class _Graph:
    """A street's pieces and the places where they meet, for finding the way along it."""

    def __init__(self, lines: Iterable[shapely.LineString]) -> None:
        self.lines = list(lines)

    def node_at(self, at: shapely.Point) -> _Node:
        """The place on the street nearest to a point: one of its nodes from now on."""
        nearest = min(range(len(self.lines)), key=lambda i: float(self.lines[i].distance(at)))
        line = self.lines[nearest]
        along_m = line.project(at)
        if along_m < 1.0 or along_m > line.length - 1.0:
            return _node(line.coords[0 if along_m < 1.0 else -1])
        self.lines[nearest : nearest + 1] = [substring(line, 0, along_m), substring(line, along_m, line.length)]
        return _node(self.lines[nearest].coords[-1])

    def way(self, starts: Sequence[_Node], ends: Sequence[_Node]) -> shapely.LineString | None:
        """The shortest way along the street from any of some nodes to any of others, over gaps where it must."""
        near = self._near()
        best, before = dict.fromkeys(starts, 0.0), dict[_Node, tuple[_Node, list[_Node]]]()
        heap = [(0.0, node) for node in best]
        heapq.heapify(heap)
        while heap:
            so_far, node = heapq.heappop(heap)
            if so_far > best[node]:
                continue
            if node in ends:
                return _walked(node, before)
            for after, metres, coords in near.get(node, ()):
                if so_far + metres < best.get(after, math.inf):
                    best[after], before[after] = so_far + metres, (node, coords)
                    heapq.heappush(heap, (so_far + metres, after))
        return None

    def _near(self) -> dict[_Node, list[tuple[_Node, float, list[_Node]]]]:
        """From each node the next ones: how far, and by which points. Who drives which way does not matter."""
        near: dict[_Node, list[tuple[_Node, float, list[_Node]]]] = {}

        def add(coords: list[_Node], metres: float) -> None:
            for way in (coords, coords[::-1]):
                near.setdefault(_node(way[0]), []).append((_node(way[-1]), metres, way))

        for line in self.lines:
            add([(x, y) for x, y in line.coords], line.length)
        nodes = list(near)
        places = shapely.points(nodes)
        for i, j in shapely.STRtree(places).query(places, predicate="dwithin", distance=JOIN_M).T.tolist():
            if i < j:
                add([nodes[i], nodes[j]], GAP_COST * math.dist(nodes[i], nodes[j]))
        return near


def _node(at: Sequence[float]) -> _Node:
    """A node by its place, to a centimetre."""
    return round(at[0], 2), round(at[1], 2)


def _walked(node: _Node, before: dict[_Node, tuple[_Node, list[_Node]]]) -> shapely.LineString | None:
    points: list[_Node] = []
    while node in before:
        node, coords = before[node]
        points = [*coords[:-1], *(points or coords[-1:])]
    return shapely.LineString(points) if points else None
