"""Which arcs a drawing means: a line along a street, or all roads near a point. How a person says what is closed.

A line is walked in short steps; a street lies along it where, near a step, it runs in the line's direction or
against it. So a line drawn beside a street means the street and not its crossings, and a line along a dual
carriageway means both sides. The same drawing means the same streets in every process that has the same map.
"""

import math
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.compiled import compiled
from routing.geometry import METRES_PER_DEGREE, Point, distance_m
from routing.roads import Roads
from routing.snapping import CELL_DEG, Grid, offset_and_square

STEP_M: Final = 2.0
MOST_STEPS: Final = 20_000  # a line beyond 40 km is walked in longer steps
ALONG: Final = math.cos(math.radians(40))  # a street that turns away further than this is another one
FEWEST_STEPS: Final = 6  # what lies along for less is a corner that was touched
WIDEST_M: Final = 2_000.0

BOTH, AHEAD = "both", "ahead"

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


def arcs_along(roads: Roads, cells: Grid, line: list[Point], radius_m: float, direction: str = BOTH) -> Ints:
    """The arcs of streets along a line, in both directions or (AHEAD) only as the line was drawn; ascending."""
    assert len(line) >= 2 and 0 < radius_m <= WIDEST_M and direction in (BOTH, AHEAD)
    steps, step_m = walked(line)
    found, beside = np.unique(lying_along(cells, steps, radius_m), return_counts=True)
    edges, turned = (found // 2).astype(np.int32), found % 2 == 1
    long_enough = beside >= np.minimum(FEWEST_STEPS, np.maximum(1.0, roads.metres[edges] / step_m / 2))
    edges, turned = edges[long_enough], turned[long_enough]
    # An edge is named by one of its arcs; drawn against that one, the street ahead is its twin.
    ahead = np.where(turned, roads.twin[edges], edges)
    behind = np.where(turned, edges, roads.twin[edges])
    return _with_copies(roads, np.concatenate([ahead, behind]) if direction == BOTH else ahead)


def arcs_around(roads: Roads, cells: Grid, at: Point, radius_m: float) -> Ints:
    """The arcs of all streets that come within a distance of a point, both directions; ascending."""
    assert 0 < radius_m <= WIDEST_M
    edges = cells.edge[near_pieces(cells, at.lat, at.lon, radius_m)]
    return _with_copies(roads, np.concatenate([edges, roads.twin[edges]]))


def _with_copies(roads: Roads, arcs: Ints) -> Ints:
    """The arcs (-1: none), each once, with those that a map holds a second time between the same places, as it does
    where a turn is banned: nobody stands on a copy, but it is driven."""
    arcs = np.unique(arcs[arcs >= 0]).astype(np.int32)
    snaps: NDArray[np.bool_] | None = getattr(roads, "snaps", None)
    if snaps is None:
        return arcs
    apart = np.flatnonzero(~snaps)
    apart = apart[np.isin(roads.lat[roads.tail[apart]], roads.lat[roads.tail[arcs]])]  # most lie elsewhere
    known = set(_ends(roads, arcs))
    copies = [arc for arc, ends in zip(apart.tolist(), _ends(roads, apart), strict=True) if ends in known]
    return np.union1d(arcs, np.array(copies, np.int32)).astype(np.int32)


def _ends(roads: Roads, arcs: NDArray[np.integer]) -> list[tuple[float, ...]]:
    columns = (places[nodes[arcs]] for nodes in (roads.tail, roads.head) for places in (roads.lat, roads.lon))
    return [tuple(row) for row in np.column_stack([*columns, roads.metres[arcs]]).tolist()]


def walked(line: list[Point]) -> tuple[Floats, float]:
    """Steps along a line as rows of lat, lon, and the metres east and north of one step; and how long a step is."""
    lengths = [distance_m(a, b) for a, b in pairwise(line)]
    step_m = max(STEP_M, sum(lengths) / MOST_STEPS)
    rows = []
    for (a, b), length_m in zip(pairwise(line), lengths, strict=True):
        if length_m > 0:
            count = max(1, round(length_m / step_m))
            part = (np.arange(count) + 0.5) / count
            east = (b.lon - a.lon) * math.cos(math.radians(a.lat))
            size = math.hypot(east, b.lat - a.lat)
            row = [a.lat + part * (b.lat - a.lat), a.lon + part * (b.lon - a.lon)]
            rows.append(np.column_stack([*row, np.full(count, east / size), np.full(count, (b.lat - a.lat) / size)]))
    return (np.concatenate(rows) if rows else np.empty((0, 4))), step_m


@compiled
def lying_along(cells: Grid, steps: Floats, radius_m: float) -> Longs:
    """For each step the edges that lie beside it: twice the edge, and one more where it runs against the line."""
    found = [np.int64(0)][:0]
    for i in range(len(steps)):
        lat, lon = steps[i, 0], steps[i, 1]
        since = len(found)
        for piece in near_pieces(cells, lat, lon, radius_m):
            east = (cells.ends[piece, 3] - cells.ends[piece, 1]) * math.cos(math.radians(lat))
            north = cells.ends[piece, 2] - cells.ends[piece, 0]
            size = math.sqrt(east * east + north * north)
            turn = (east * steps[i, 2] + north * steps[i, 3]) / size if size > 0.0 else 0.0
            offset, _ = offset_and_square(cells.ends, piece, lat, lon)
            if abs(turn) >= ALONG and 0.0 < offset < 1.0:  # beside it, not before its beginning or past its end
                code = 2 * np.int64(cells.edge[piece]) + (1 if turn < 0.0 else 0)
                if code not in found[since:]:
                    found.append(code)
    return np.array(found, np.int64)


@compiled
def near_pieces(cells: Grid, lat: float, lon: float, radius_m: float) -> Ints:
    """The straight pieces of edges that come within a distance of a position, each once, ascending."""
    reach_lat = radius_m / METRES_PER_DEGREE
    reach_lon = reach_lat / math.cos(math.radians(lat))
    bottom, top = ((lat - reach_lat) - cells.south) / CELL_DEG, ((lat + reach_lat) - cells.south) / CELL_DEG
    left, right = ((lon - reach_lon) - cells.west) / CELL_DEG, ((lon + reach_lon) - cells.west) / CELL_DEG
    found = [np.int32(0)][:0]
    for row in range(max(0, math.floor(bottom)), min(cells.rows - 1, math.floor(top)) + 1):
        for column in range(max(0, math.floor(left)), min(cells.columns - 1, math.floor(right)) + 1):
            cell = row * cells.columns + column
            for i in range(cells.first[cell], cells.first[cell + 1]):
                _, square = offset_and_square(cells.ends, cells.pieces[i], lat, lon)
                if square <= radius_m * radius_m:
                    found.append(cells.pieces[i])
    return np.unique(np.array(found, np.int32))
