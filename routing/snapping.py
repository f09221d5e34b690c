"""The nearest road to a position, by a grid over the country, and the place along it.

A position lies on an *edge*: a street, one-way or not, named by one of its arcs (of two twins the one with
the lower number), with an offset from 0 at that arc's tail to 1 at its head. It is found on the true line of the
street, bend by bend (lines).
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import lines
from routing.compiled import compiled
from routing.geometry import METRES_PER_DEGREE
from routing.roads import Roads

CELL_DEG: Final = 0.01
AT_END: Final = 1e-6  # of an edge, at most some millimetres: who is so near to a crossing is at it
MOST_RINGS: Final = 40  # about 40 km; farther from any road, every edge is looked at

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Place(NamedTuple):
    """A place on the roads: an edge, the offset on it, how far the position is that was asked for, and where it is."""

    edge: int
    offset: float
    distance_m: float
    lat: float
    lon: float


class Grid(NamedTuple):
    """Straight pieces of edges by cell. `first` (rows * columns + 1) indexes `pieces`; of each piece `ends` (k, 4)
    holds lat, lon of its beginning and end, `edge`, `start` and `share` which edge it is part of and which part."""

    south: float
    west: float
    rows: int
    columns: int
    first: Ints
    pieces: Ints
    ends: Floats
    edge: Ints
    start: Floats
    share: Floats


def grid(roads: Roads) -> Grid:
    """Put each piece of each edge into every cell that its bounding box touches."""
    line = lines.pieces(roads)
    lats, lons = line.ends[:, 0::2], line.ends[:, 1::2]
    south, west = (math.floor(column.min() / CELL_DEG) * CELL_DEG for column in (lats, lons))
    rows, columns = (int((column.max() - low) / CELL_DEG) + 1 for column, low in ((lats, south), (lons, west)))
    bottom, top = (((edge - south) / CELL_DEG).astype(np.int64) for edge in (lats.min(axis=1), lats.max(axis=1)))
    left, right = (((edge - west) / CELL_DEG).astype(np.int64) for edge in (lons.min(axis=1), lons.max(axis=1)))
    width = right - left + 1
    touched = (top - bottom + 1) * width
    piece = np.repeat(np.arange(len(line.edge)), touched)
    within = np.arange(len(piece)) - np.repeat(np.cumsum(touched) - touched, touched)
    cell = (bottom[piece] + within // width[piece]) * columns + left[piece] + within % width[piece]
    by_cell = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[by_cell], np.arange(rows * columns + 1)).astype(np.int32)
    return Grid(south, west, rows, columns, first, piece[by_cell].astype(np.int32), line.ends, line.edge, *line[2:])


@compiled
def offset_and_square(ends: Floats, piece: int, lat: float, lon: float) -> tuple[float, float]:
    """How far along a piece the nearest place is (0..1), and the square of the distance to it in metres."""
    east = METRES_PER_DEGREE * math.cos(math.radians(lat))
    ax, ay = (ends[piece, 1] - lon) * east, (ends[piece, 0] - lat) * METRES_PER_DEGREE
    dx, dy = (ends[piece, 3] - lon) * east - ax, (ends[piece, 2] - lat) * METRES_PER_DEGREE - ay
    square = dx * dx + dy * dy
    offset = 0.0 if square == 0.0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / square))
    x, y = ax + offset * dx, ay + offset * dy
    return offset, x * x + y * y


@compiled
def nearest(cells: Grid, lat: float, lon: float) -> Place:
    """The nearest place on an edge, by rings of cells around the position."""
    x, y = (lon - cells.west) / CELL_DEG, (lat - cells.south) / CELL_DEG
    row, column = math.floor(y), math.floor(x)
    high_m = CELL_DEG * METRES_PER_DEGREE
    wide_m = high_m * math.cos(math.radians(lat))
    # To the nearest side of its own cell; what lies in ring r is r - 1 cells farther, of which the narrow side counts.
    border_m = min(min(x - column, column + 1 - x) * wide_m, min(y - row, row + 1 - y) * high_m)
    best, best_offset, best_square = -1, 0.0, math.inf
    for ring in range(MOST_RINGS):
        if best >= 0 and ring > 0 and best_square <= (border_m + (ring - 1) * wide_m) ** 2:
            break
        for r in range(max(0, row - ring), min(cells.rows - 1, row + ring) + 1):
            step = 1 if abs(r - row) == ring else max(1, 2 * ring)
            for c in range(column - ring, column + ring + 1, step):
                if 0 <= c < cells.columns:
                    cell = r * cells.columns + c
                    for i in range(cells.first[cell], cells.first[cell + 1]):
                        offset, square = offset_and_square(cells.ends, cells.pieces[i], lat, lon)
                        if square < best_square:
                            best, best_offset, best_square = cells.pieces[i], offset, square
    if best < 0:
        for piece in cells.pieces:
            offset, square = offset_and_square(cells.ends, piece, lat, lon)
            if square < best_square:
                best, best_offset, best_square = piece, offset, square
    offset = cells.start[best] + best_offset * cells.share[best]
    if offset < AT_END:
        offset = 0.0
    elif offset > 1.0 - AT_END:
        offset = 1.0
    ends = cells.ends[best]
    at_lat, at_lon = ends[0] + (ends[2] - ends[0]) * best_offset, ends[1] + (ends[3] - ends[1]) * best_offset
    return Place(cells.edge[best], offset, math.sqrt(best_square), at_lat, at_lon)
