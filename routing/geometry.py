"""Points on the earth: distance, bearing, local metres, and the one place where lat/lon turns into lon/lat.

Inside this project a position is always (lat, lon) in WGS84 degrees; GeoJSON and map tiles want (lon, lat),
and only the two functions here swap them. A sphere is used throughout: its error, 0.3 % at most, is far
below that of any fix.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_M = 6_371_008.8
METRES_PER_DEGREE = EARTH_RADIUS_M * math.pi / 180

# The country with a margin of about 5 km: what lies outside is a mistake (swapped or zeroed coordinates).
COUNTRY_SOUTH, COUNTRY_WEST, COUNTRY_NORTH, COUNTRY_EAST = 37.13, 55.93, 45.62, 73.21

COUNTRY = (COUNTRY_SOUTH, COUNTRY_WEST, COUNTRY_NORTH, COUNTRY_EAST)

COMPASS = ("n", "ne", "e", "se", "s", "sw", "w", "nw")

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""South, west, north, east in degrees."""


class Point(NamedTuple):
    """A position in WGS84 degrees."""

    lat: float
    lon: float


class OnSegment(NamedTuple):
    """The nearest place on a segment: its fraction from the first end (0..1) and the distance to it."""

    offset: float
    distance_m: float


def inside(box: Box, lat: float, lon: float) -> bool:
    """Say whether a position lies in a box; false for NaN."""
    return box[0] <= lat <= box[2] and box[1] <= lon <= box[3]


def in_country(lat: float, lon: float) -> bool:
    """Say whether a position can be in Uzbekistan at all; false for NaN and for swapped coordinates."""
    return inside(COUNTRY, lat, lon)


def to_lonlat(point: tuple[float, float]) -> list[float]:
    """Turn (lat, lon) into the [lon, lat] of RFC 7946."""
    return [point[1], point[0]]


def from_lonlat(position: tuple[float, float] | list[float]) -> Point:
    """Turn an RFC 7946 position [lon, lat, …] into a Point."""
    return Point(float(position[1]), float(position[0]))


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance in metres between two (lat, lon), by the haversine formula."""
    lat_a, lat_b = math.radians(a[0]), math.radians(b[0])
    half_lat = math.sin((lat_b - lat_a) / 2)
    half_lon = math.sin(math.radians(b[1] - a[1]) / 2)
    square = half_lat * half_lat + math.cos(lat_a) * math.cos(lat_b) * half_lon * half_lon
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, square)))


def distances_m(lats: Floats, lons: Floats, point: tuple[float, float]) -> Floats:
    """Haversine distances in metres, shape (n,), from n positions to one."""
    lat = np.radians(lats)
    half_lat = np.sin((math.radians(point[0]) - lat) / 2)
    half_lon = np.sin((math.radians(point[1]) - np.radians(lons)) / 2)
    square = half_lat**2 + np.cos(lat) * math.cos(math.radians(point[0])) * half_lon**2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, square))))


def local_m(origin: tuple[float, float], point: tuple[float, float]) -> tuple[float, float]:
    """Metres east and north of the origin on a plane; good to 0.1 % within 20 km."""
    east = (point[1] - origin[1]) * METRES_PER_DEGREE * math.cos(math.radians(origin[0]))
    return east, (point[0] - origin[0]) * METRES_PER_DEGREE


def from_local_m(origin: tuple[float, float], east_m: float, north_m: float) -> Point:
    """The position at so many metres east and north of the origin; the inverse of `local_m`."""
    lat = origin[0] + north_m / METRES_PER_DEGREE
    return Point(lat, origin[1] + east_m / (METRES_PER_DEGREE * math.cos(math.radians(origin[0]))))


def bearing_deg(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Initial bearing from a to b, degrees clockwise from north, 0 ≤ bearing < 360."""
    lat_a, lat_b, turn = math.radians(a[0]), math.radians(b[0]), math.radians(b[1] - a[1])
    east = math.sin(turn) * math.cos(lat_b)
    north = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(turn)
    return math.degrees(math.atan2(east, north)) % 360.0


def compass_point(bearing: float) -> str:
    """One of the eight points of COMPASS for a bearing in degrees."""
    return COMPASS[int((bearing % 360.0 + 22.5) // 45) % 8]


def on_segment(point: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> OnSegment:
    """The place on segment a–b nearest to the point; a segment of no length answers its first end."""
    ax, ay = local_m(point, a)
    bx, by = local_m(point, b)
    dx, dy = bx - ax, by - ay
    square = dx * dx + dy * dy
    offset = 0.0 if square == 0.0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / square))
    return OnSegment(offset, math.hypot(ax + offset * dx, ay + offset * dy))


def along(a: tuple[float, float], b: tuple[float, float], offset: float) -> Point:
    """The position at a fraction (0..1) of the way from a to b."""
    return Point(a[0] + (b[0] - a[0]) * offset, a[1] + (b[1] - a[1]) * offset)


def parse_point(text: str, box: Box = COUNTRY) -> Point:
    """Read `LAT,LON` in degrees as people type it; ValueError with one sentence when it is not that, or outside the
    box: the country's, or that of a map of somewhere else."""
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"a position is LAT,LON in degrees, such as 41.3111,69.2797, not {text!r}") from None
    if not inside(box, lat, lon):
        swapped = " (they look swapped)" if inside(box, lon, lat) else ""
        raise ValueError(f"the position {text} is outside {'Uzbekistan' if box == COUNTRY else 'the map'}{swapped}")
    return Point(lat, lon)
