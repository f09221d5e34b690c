"""Where a telephone may be that a mast or an operator speaks of: a sector or a drawn area, cut into cells.

A sector is the mast's place, the direction in which its antenna looks, its opening and its reach. Not here: how
much such a word is worth against others (sources.py).
"""

import math
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec
import shapely

from routing.geometry import Point, from_local_m, local_m

RINGS: Final = 4  # a sector is cut into so many rings of equal area …
STEP_DEG: Final = 40.0  # … and each of them into steps about so wide
GRID: Final = 6  # an area's box is cut into so many rows and columns
SPILL: Final = 0.12  # antennas reach beyond their edges: share of the reach by which every cell is blurred
EVEN: Final = math.sqrt(24.0)  # a side so many times its share of the variance of a round piece
LEAST_SIGMA_M: Final = 30.0  # no mast knows its edge better, however small an area is drawn
AREAS_KEPT: Final = 2_000
USUAL_REACH_M: Final = 3_000.0

Ring = tuple[tuple[float, float], ...]


class Sector(msgspec.Struct, frozen=True, kw_only=True):
    """Degrees clockwise from north, metres from the mast. A width of 360 looks everywhere."""

    azimuth_deg: float = 0.0
    width_deg: float = 360.0
    range_m: float = USUAL_REACH_M
    min_range_m: float = 0.0


class Cell(msgspec.Struct, frozen=True):
    """A round piece of an area; all of one area are equally likely."""

    lat: float
    lon: float
    sigma_m: float


class Area(msgspec.Struct, frozen=True):
    """An area as cells. `reach_m` is the distance from its middle to its farthest cell, at least."""

    middle: Point
    reach_m: float
    cells: tuple[Cell, ...]

    @staticmethod
    def of_sector(mast: tuple[float, float], sector: Sector) -> "Area":
        """The cells of a sector; rings of equal area, so that every square metre counts the same."""
        return _of_sector(mast, sector)

    @staticmethod
    def of_ring(ring: Ring) -> "Area":
        """The cells of an area drawn as a ring of (lat, lon), mended where it crosses itself."""
        return _of_ring(ring)


@lru_cache(maxsize=AREAS_KEPT)
def _of_sector(mast: tuple[float, float], sector: Sector) -> Area:
    width_deg = min(360.0, max(1.0, sector.width_deg))
    steps = max(1, round(width_deg / STEP_DEG))
    outer = max(1.0, sector.range_m)
    inner = (
        sector.min_range_m if sector.min_range_m < outer else 0.0
    )  # a ring that begins where it has ended says nothing
    edges = [math.sqrt(inner**2 + (outer**2 - inner**2) * i / RINGS) for i in range(RINGS + 1)]
    cells = []
    for near_m, far_m in pairwise(edges):
        away_m, deep_m = (near_m + far_m) / 2, far_m - near_m
        wide_m = away_m * math.radians(width_deg / steps)
        sigma_m = math.hypot(deep_m / EVEN, wide_m / EVEN, SPILL * outer, LEAST_SIGMA_M)
        for step in range(steps):
            turn = math.radians(sector.azimuth_deg + width_deg * ((step + 0.5) / steps - 0.5))
            at = from_local_m(mast, away_m * math.sin(turn), away_m * math.cos(turn))
            cells.append(Cell(at.lat, at.lon, sigma_m))
    return _area(cells)


@lru_cache(maxsize=AREAS_KEPT)
def _of_ring(ring: Ring) -> Area:
    origin = ring[0]
    shape = shapely.make_valid(shapely.Polygon([local_m(origin, corner) for corner in ring]))
    west, south, east, north = shape.bounds
    step = max(east - west, north - south, 1.0) / GRID
    columns, rows = (max(1, math.ceil(size / step)) for size in (east - west, north - south))
    middles = [
        (west + (column + 0.5) * (east - west) / columns, south + (row + 0.5) * (north - south) / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    shapely.prepare(shape)
    inside = [middle for middle in middles if shapely.intersects_xy(shape, *middle)]
    if not inside:
        within = shape.representative_point()
        inside = [(within.x, within.y)]
    sigma_m = math.hypot(step / 3.5, SPILL * step, LEAST_SIGMA_M)
    return _area([Cell(*from_local_m(origin, *middle), sigma_m) for middle in inside])


def _area(cells: list[Cell]) -> Area:
    count, first = len(cells), (cells[0].lat, cells[0].lon)
    offsets = [local_m(first, (cell.lat, cell.lon)) for cell in cells]
    east, north = (sum(offset[axis] for offset in offsets) / count for axis in (0, 1))
    reach_m = max(math.hypot(x - east, y - north) for x, y in offsets) + cells[-1].sigma_m
    return Area(from_local_m(first, east, north), reach_m, tuple(cells))
