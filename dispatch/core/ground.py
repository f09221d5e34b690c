"""The ground as the core knows it: a plane for short distances, and a grid for finding what is near."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, hypot, radians

from dispatch.core.terms import Location

METRES_PER_DEGREE = 111_195.0

CELL_DEGREES = 0.01
"""The side of a grid cell for finding things near a point: about 1.1 km north, 0.8 km east."""

Cell = tuple[int, int]


def cell_of(lat: float, lon: float) -> Cell:
    """The grid cell of a point."""
    return int(lat // CELL_DEGREES), int(lon // CELL_DEGREES)


def cells_within(where: Location, radius_m: float) -> Iterator[Cell]:
    """Every cell that a circle may touch, row by row."""
    north = radius_m / METRES_PER_DEGREE
    # A degree is shortest at the edge that is nearest to the pole.
    east = north / cos(radians(abs(where.lat) + north))
    south_row, west_column = cell_of(where.lat - north, where.lon - east)
    north_row, east_column = cell_of(where.lat + north, where.lon + east)
    for row in range(south_row, north_row + 1):
        for column in range(west_column, east_column + 1):
            yield row, column


def metres_between(a: Location, b: Location) -> float:
    """Distance on the plane that touches the Earth there: right to a hair within a kilometre."""
    east = (a.lon - b.lon) * cos(radians(b.lat))
    return METRES_PER_DEGREE * hypot(east, a.lat - b.lat)
