"""The plane that simulated regions lie on: boxes side by side, distances in a straight line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import cos, hypot, radians
from random import Random

from dispatch.core.terms import Location, RegionId, Source

SOUTH, NORTH = 41.0, 41.08
WEST, WIDTH, STEP = 69.0, 0.1, 0.12
METRES_PER_DEGREE = 111_195.0

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


def metres_between(a: Point, b: Point) -> float:
    """Straight-line metres between two points that are near each other."""
    east = (a[1] - b[1]) * cos(radians(a[0]))
    return METRES_PER_DEGREE * hypot(east, a[0] - b[0])


def point_in(place: int, chance: Random) -> Point:
    """A point in the box of the region with this place in the list."""
    west = WEST + STEP * place
    return round(chance.uniform(SOUTH, NORTH), 6), round(chance.uniform(west, west + WIDTH), 6)


def near(point: Point, metres: float, chance: Random) -> Point:
    """A point not farther than about so many metres."""
    degrees = metres / METRES_PER_DEGREE / 2
    return (
        round(point[0] + chance.uniform(-degrees, degrees), 6),
        round(point[1] + chance.uniform(-degrees, degrees), 6),
    )


def location(point: Point, regions: Sequence[RegionId], at: datetime, chance: Random) -> Location:
    """An estimate of this point, as exact as chance has it."""
    return Location(
        lat=point[0],
        lon=point[1],
        accuracy_m=chance.choice((12.0, 60.0, 400.0, 2500.0)),
        source=chance.choice((Source.AML, Source.APP, Source.CELL, Source.ADDRESS)),
        at=at,
        regions=tuple(regions),
        confirmed=chance.random() < 0.2,
        urban=chance.random() < 0.5,
    )
