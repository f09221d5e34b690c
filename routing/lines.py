"""Where roads bend: the line that an arc follows, and places along it.

An arc of a drawn network is straight; one of an imported map has bends between its ends. An offset is the part of
the line's length behind a place, 0 at the tail and 1 at the head.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.geometry import METRES_PER_DEGREE, Point, along
from routing.roads import Roads

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Pieces(NamedTuple):
    """The straight pieces of the lines of streets, each street once: `edge` (k) names the arc, `ends` (k, 4) holds lat,
    lon of the piece's beginning and end, `start` and `share` (k) the offset there and how much of the arc it is."""

    edge: Ints
    ends: Floats
    start: Floats
    share: Floats


def pieces(roads: Roads) -> Pieces:
    """The pieces of every street on which somebody can stand, under the lower of the numbers of its two arcs."""
    chosen = np.flatnonzero(standing(roads))
    lats, lons, first = _points(roads, chosen)
    inner = np.ones(len(lats), bool)
    inner[first[1:] - 1] = False
    at = np.flatnonzero(inner)
    ends = np.column_stack([lats[at], lons[at], lats[at + 1], lons[at + 1]])
    length = _plane_m(ends)
    street = np.repeat(np.arange(len(chosen)), np.diff(first) - 1)
    whole = np.bincount(street, length, len(chosen))
    before = np.cumsum(length) - length
    before -= before[np.searchsorted(street, np.arange(len(chosen)))][street] if len(street) else 0.0
    whole = np.where(whole > 0, whole, 1.0)[street]
    return Pieces(chosen[street].astype(np.int32), ends, before / whole, length / whole)


def standing(roads: Roads) -> NDArray[np.bool_]:
    """Which arcs stand for a street on which somebody can be: of the two of a street the one with the lower number."""
    chosen = (roads.twin < 0) | (roads.twin > np.arange(len(roads.twin)))
    return chosen if roads.snaps is None else chosen & roads.snaps


def bends(roads: Roads, arc: int, start: float, end: float) -> list[tuple[float, Point]]:
    """The bends of an arc between two offsets, in the order in which they are driven, each with its offset."""
    if roads.bend_first is None or roads.bend_first[arc] == roads.bend_first[arc + 1]:
        return []
    points, offsets = _line(roads, arc)
    return [(offset, point) for offset, point in zip(offsets, points, strict=True) if start < offset < end]


def course(roads: Roads, arc: int) -> list[Point]:
    """All points of an arc, from its tail over its bends to its head."""
    return _line(roads, arc)[0]


def courses(roads: Roads, arcs: Ints) -> tuple[Floats, NDArray[np.int64]]:
    """The same of many arcs: all points as rows of lat, lon, and which of the arcs each belongs to."""
    lats, lons, first = _points(roads, arcs.astype(np.int64))
    return np.column_stack([lats, lons]), np.repeat(np.arange(len(arcs)), np.diff(first))


def place_at(roads: Roads, arc: int, offset: float) -> Point:
    """The place at an offset of an arc."""
    if offset in (0.0, 1.0):
        node = roads.head[arc] if offset else roads.tail[arc]
        return Point(float(roads.lat[node]), float(roads.lon[node]))
    points, offsets = _line(roads, arc)
    after = min(max(1, int(np.searchsorted(offsets, offset))), len(points) - 1)
    share = offsets[after] - offsets[after - 1]
    part = (offset - offsets[after - 1]) / share if share > 0 else 0.0
    return along(points[after - 1], points[after], min(1.0, max(0.0, part)))


def _line(roads: Roads, arc: int) -> tuple[list[Point], list[float]]:
    """All points of an arc's line, and the offset of each."""
    lats, lons, _ = _points(roads, np.array([arc]))
    points = [Point(lat, lon) for lat, lon in zip(lats.tolist(), lons.tolist(), strict=True)]
    if len(points) == 2:
        return points, [0.0, 1.0]
    length = np.cumsum(_plane_m(np.column_stack([lats[:-1], lons[:-1], lats[1:], lons[1:]])))
    whole = length[-1] if length[-1] > 0 else 1.0
    return points, [0.0, *(length[:-1] / whole).tolist(), 1.0]


def _points(roads: Roads, arcs: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Latitudes and longitudes of all points of some arcs' lines, and where each line begins in them."""
    if roads.bend_first is None:
        first = 2 * np.arange(len(arcs) + 1)
        return _ends(roads.lat, roads, arcs).ravel(), _ends(roads.lon, roads, arcs).ravel(), first
    assert roads.bend_lat is not None and roads.bend_lon is not None
    begin, count = roads.bend_first[arcs], roads.bend_first[arcs + 1] - roads.bend_first[arcs]
    first = np.concatenate([[0], np.cumsum(count + 2)])
    street = np.repeat(np.arange(len(arcs)), count)
    within = np.arange(len(street)) - np.repeat(np.cumsum(count) - count, count)
    columns = []
    for nodes, bent in ((roads.lat, roads.bend_lat), (roads.lon, roads.bend_lon)):
        column = np.empty(first[-1])
        column[first[:-1]], column[first[1:] - 1] = _ends(nodes, roads, arcs).T
        column[first[street] + 1 + within] = bent[begin[street] + within]
        columns.append(column)
    return columns[0], columns[1], first


def _ends(nodes: Floats, roads: Roads, arcs: NDArray[np.int64]) -> Floats:
    return np.column_stack([nodes[roads.tail[arcs]], nodes[roads.head[arcs]]])


def _plane_m(ends: Floats) -> Floats:
    """Metres of short straight pieces (k, 4)."""
    north = (ends[:, 2] - ends[:, 0]) * METRES_PER_DEGREE
    east = (ends[:, 3] - ends[:, 1]) * METRES_PER_DEGREE * np.cos(np.radians((ends[:, 0] + ends[:, 2]) / 2))
    return np.asarray(np.hypot(north, east))
