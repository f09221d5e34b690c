"""A grid over the country: which region each cell lies in for certain, and how many cells a border is away.

Away from borders it answers in the time of two look-ups in an array. It is drawn from the outlines at start, in
some tens of milliseconds; where it does not know, the outlines are asked. Not here: what is near a border (regions.py).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.geometry import (
    COUNTRY_EAST,
    COUNTRY_NORTH,
    COUNTRY_SOUTH,
    COUNTRY_WEST,
    METRES_PER_DEGREE,
    Floats,
)

CELL_DEG: Final = 0.025
RINGS: Final = 12  # borders farther away than so many cells are not told apart
SAMPLE: Final = 0.25  # borders are drawn by a point each quarter of a cell
ROWS: Final = math.ceil((COUNTRY_NORTH - COUNTRY_SOUTH) / CELL_DEG)
COLUMNS: Final = math.ceil((COUNTRY_EAST - COUNTRY_WEST) / CELL_DEG)
LEAST_SIDE_M: Final = CELL_DEG * METRES_PER_DEGREE * math.cos(math.radians(COUNTRY_NORTH))

Bytes = NDArray[np.int8]
Marks = NDArray[np.bool_]


class Grid:
    """`rings_m[ring]` is how far a border is at least from every point of a cell of that ring, in metres."""

    def __init__(self, outlines: Sequence[shapely.Geometry]) -> None:
        border = _drawn(outlines)
        rings = _rings(border)
        self._regions = _inside(outlines, rings >= 2)
        self._rings = np.where(self._regions >= 0, rings, 0).astype(np.int8)
        # A cell beside one that a border crosses may be touched at its corner; a sample may be missed by its step.
        self.rings_m = tuple(max(0.0, (ring - 1 - SAMPLE) * LEAST_SIDE_M) for ring in range(RINGS + 1))

    def at(self, lat: float, lon: float) -> tuple[int, int]:
        """(region, ring) of a position: the region's index, or -1 where only the outlines know."""
        row, column = math.floor((lat - COUNTRY_SOUTH) / CELL_DEG), math.floor((lon - COUNTRY_WEST) / CELL_DEG)
        if not (0 <= row < ROWS and 0 <= column < COLUMNS):
            return -1, 0
        return int(self._regions[row, column]), int(self._rings[row, column])

    def at_many(self, lats: Floats, lons: Floats) -> tuple[Bytes, Bytes]:
        """The same for many positions."""
        rows = np.floor((lats - COUNTRY_SOUTH) / CELL_DEG).astype(np.int64)
        columns = np.floor((lons - COUNTRY_WEST) / CELL_DEG).astype(np.int64)
        on_it = (rows >= 0) & (rows < ROWS) & (columns >= 0) & (columns < COLUMNS)
        rows, columns = np.where(on_it, rows, 0), np.where(on_it, columns, 0)
        return np.where(on_it, self._regions[rows, columns], -1), np.where(on_it, self._rings[rows, columns], 0)


def _drawn(outlines: Sequence[shapely.Geometry]) -> Marks:
    """The cells that a border crosses."""
    lines = shapely.segmentize(shapely.boundary(np.array(outlines)), CELL_DEG * SAMPLE)
    lonlat = shapely.get_coordinates(lines)
    rows = np.floor((lonlat[:, 1] - COUNTRY_SOUTH) / CELL_DEG).astype(np.int64)
    columns = np.floor((lonlat[:, 0] - COUNTRY_WEST) / CELL_DEG).astype(np.int64)
    on_it = (rows >= 0) & (rows < ROWS) & (columns >= 0) & (columns < COLUMNS)
    border = np.zeros((ROWS, COLUMNS), dtype=np.bool_)
    border[rows[on_it], columns[on_it]] = True
    return border


def _rings(border: Marks) -> Bytes:
    """How many steps of a king each cell is from a border, at most RINGS."""
    rings = np.full(border.shape, RINGS, dtype=np.int8)
    reached = border
    for ring in range(RINGS):
        rings[reached & (rings == RINGS)] = ring
        wider = reached.copy()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        reached = wider.copy()
        reached[:, 1:] |= wider[:, :-1]
        reached[:, :-1] |= wider[:, 1:]
    return rings


def _inside(outlines: Sequence[shapely.Geometry], clear: Marks) -> Bytes:
    """The region of each clear cell, by its middle; -1 elsewhere and outside of all."""
    regions = np.full(clear.shape, -1, dtype=np.int8)
    rows, columns = np.nonzero(clear)
    lats, lons = COUNTRY_SOUTH + (rows + 0.5) * CELL_DEG, COUNTRY_WEST + (columns + 0.5) * CELL_DEG
    for i, outline in enumerate(outlines):
        west, south, east, north = outline.bounds
        boxed = np.flatnonzero((lats > south) & (lats < north) & (lons > west) & (lons < east))
        shapely.prepare(outline)
        within = boxed[shapely.contains_xy(outline, lons[boxed], lats[boxed])]
        regions[rows[within], columns[within]] = i
    return regions
