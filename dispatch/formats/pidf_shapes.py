"""The shapes of PIDF-LO reduced to a centre and a radius, which is all that a dispatcher's map needs.

Shapes: RFC 5491 and OGC 06-142 (GeoShape); reductions: RFC 7459, sections 5.1 and 5.2. The circle
always covers the whole shape. Coordinates follow the named reference system: EPSG:4326 and 4979 are
latitude first, CRS84 longitude first.
"""

import math
import re
from xml.etree.ElementTree import Element

import msgspec

from dispatch.formats.values import ALTITUDES_M, MAX_ACCURACY_M, Point, as_number, as_point, shown

METRES_PER_DEGREE = 111_320.0
SHAPES = frozenset({"Point", "Circle", "Ellipse", "ArcBand", "Polygon", "Sphere", "Ellipsoid", "Prism"})

_CRS = re.compile(r"(CRS84|(?:4326|4979)(?!\d))")
# EPSG units of measure: metre, foot, kilometre; radian, degree.
_METRES = {"9001": 1.0, "9002": 0.3048, "9036": 1000.0}
_DEGREES = {"9101": math.degrees(1.0), "9102": 1.0}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:\s+[+-]?\d+,\d+){1,2}\s*", re.ASCII)
_SEXAGESIMAL = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2}(?:\.\d+)?)([NSEW])", re.ASCII)

Vertex = tuple[float, float, float | None]


class Circle(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody is: a centre, a radius in metres that covers the shape, and a height."""

    centre: Point
    radius_m: float | None
    altitude_m: float | None


def local_name(element: Element) -> str:
    """The tag without its namespace: senders mistype those, never the names."""
    return str(element.tag).rpartition("}")[2]


def reduce_shape(shape: Element, crs: str | None, warnings: list[str]) -> Circle | None:
    """The circle around a shape element, or `None` with the reason in `warnings`."""
    name = local_name(shape)
    assert name in SHAPES, "callers pass shapes only"
    vertices = _vertices(shape, _axes(crs, warnings), warnings)
    if not vertices:
        warnings.append(f"{name}: no usable position")
        return None
    if name in ("Polygon", "Prism"):
        return _ring(shape, vertices, warnings)
    lat, lon, height = vertices[0]
    if name == "ArcBand":
        return _arc_band(shape, (lat, lon), warnings)
    reach = {"Circle": "radius", "Sphere": "radius", "Ellipse": "semiMajorAxis", "Ellipsoid": "semiMajorAxis"}
    radius = _measure(shape, reach[name], warnings) if name in reach else None
    return _circle(as_point(lat, lon, warnings), radius, height)


def _arc_band(shape: Element, apex: tuple[float, float], warnings: list[str]) -> Circle | None:
    """Centroid on the bisector (RFC 7459, 5.1.2); the farthest points are the four corners."""
    inner = _measure(shape, "innerRadius", warnings) or 0.0
    outer = _measure(shape, "outerRadius", warnings)
    start = _measure(shape, "startAngle", warnings, _DEGREES)
    opening = _measure(shape, "openingAngle", warnings, _DEGREES)
    if outer is None or start is None or opening is None or not 0.0 <= inner <= outer or outer == 0.0:
        warnings.append("ArcBand: radii or angles missing, its corner is taken")
        return _circle(as_point(*apex, warnings), outer, None)
    half = math.radians(min(abs(opening), 360.0)) / 2.0
    spread = math.sin(half) / half if half else 1.0
    reach = 2.0 * spread * (outer**2 + outer * inner + inner**2) / (3.0 * (outer + inner))
    bearing = math.radians(start + opening / 2.0)
    lat, lon = _moved(apex, reach * math.cos(bearing), reach * math.sin(bearing))
    corners = [math.hypot(r * math.cos(half) - reach, r * math.sin(half)) for r in (inner, outer)]
    return _circle(as_point(lat, lon, warnings), max(corners), None)


def _ring(shape: Element, vertices: list[Vertex], warnings: list[str]) -> Circle | None:
    """Centroid of the area and the farthest vertex (RFC 7459, 5.1.1), on a plane at the first vertex."""
    origin = vertices[0][:2]
    plane = [_offset(origin, (lat, lon)) for lat, lon, _ in vertices]
    if len(plane) > 1 and vertices[0][:2] == vertices[-1][:2]:
        plane.pop()
    if len(plane) < 3:
        warnings.append(f"{local_name(shape)}: fewer than three corners")
    east, north = _centroid(plane)
    radius = max(math.hypot(x - east, y - north) for x, y in plane)
    height = vertices[0][2]
    storey = _measure(shape, "height", warnings) if height is not None else None
    middle = None if height is None else height + (storey or 0.0) / 2.0
    return _circle(as_point(*_moved(origin, north, east), warnings), radius, middle)


def _centroid(plane: list[tuple[float, float]]) -> tuple[float, float]:
    twice_area = east = north = 0.0
    for (x1, y1), (x2, y2) in zip(plane, plane[1:] + plane[:1], strict=True):
        cross = x1 * y2 - x2 * y1
        twice_area += cross
        east += (x1 + x2) * cross
        north += (y1 + y2) * cross
    # A ring folded flat has no area; the mean of its corners is as good.
    if abs(twice_area) < 1e-6:
        return sum(x for x, _ in plane) / len(plane), sum(y for _, y in plane) / len(plane)
    return east / (3.0 * twice_area), north / (3.0 * twice_area)


def _offset(origin: tuple[float, float], place: tuple[float, float]) -> tuple[float, float]:
    """Metres east and north; the short way round at the date line."""
    turn = (place[1] - origin[1] + 180.0) % 360.0 - 180.0
    return turn * METRES_PER_DEGREE * _shrink(origin[0]), (place[0] - origin[0]) * METRES_PER_DEGREE


def _moved(origin: tuple[float, float], north_m: float, east_m: float) -> tuple[float, float]:
    lon = origin[1] + east_m / (METRES_PER_DEGREE * _shrink(origin[0]))
    if abs(lon) > 180.0:
        lon = (lon + 180.0) % 360.0 - 180.0
    return origin[0] + north_m / METRES_PER_DEGREE, lon


def _shrink(lat: float) -> float:
    return max(math.cos(math.radians(lat)), 1e-6)


def _axes(crs: str | None, warnings: list[str]) -> tuple[bool, int]:
    """Whether longitude comes first, and how many numbers a position has."""
    known = _CRS.search(crs.upper()) if crs else None
    if known is None:
        warnings.append(f"srsName {shown(crs)}: taken as EPSG:4326, latitude first")
        return False, 2
    return known.group(1) == "CRS84", 3 if known.group(1) == "4979" else 2


def _vertices(shape: Element, axes: tuple[bool, int], warnings: list[str]) -> list[Vertex]:
    longitude_first, dimension = axes
    positions: list[list[float]] = []
    for element in _outline(shape).iter():
        name = local_name(element)
        if name == "pos":
            positions.append(_numbers(_point_commas(element.text or "", warnings), warnings))
        elif name in ("posList", "coordinates"):
            numbers = _numbers(element.text or "", warnings)
            size = {"2": 2, "3": 3}.get(element.get("srsDimension", ""), dimension)
            size = 5 - size if len(numbers) % size else size
            positions += [numbers[i : i + size] for i in range(0, len(numbers), size)]
    usable = [p for p in positions if len(p) in (2, 3)]
    if longitude_first:
        usable = [[p[1], p[0], *p[2:]] for p in usable]
    placed = [p for p in usable if abs(p[0]) <= 90.0 and abs(p[1]) <= 180.0]
    if len(placed) < len(usable):
        warnings.append(f"{len(usable) - len(placed)} position(s) not on earth, ignored")
    return [(p[0], p[1], p[2] if len(p) == 3 else None) for p in placed]


def _outline(shape: Element) -> Element:
    """The outer ring where there is one: holes do not widen a place."""
    return next((element for element in shape.iter() if local_name(element) == "exterior"), shape)


def _point_commas(text: str, warnings: list[str]) -> str:
    """`41,3111 69,2406` is one position with decimal commas: in a single position no pairs can be meant."""
    if not _DECIMAL_COMMA.fullmatch(text):
        return text
    warnings.append(f"commas in {shown(text.strip())}, read as decimal points")
    return text.replace(",", ".")


def _numbers(text: str, warnings: list[str]) -> list[float]:
    """Numbers parted by blanks or commas, or RFC 4119's `37:46:30N 122:25:10W`; all readable, or none."""
    if degrees := _SEXAGESIMAL.findall(text):
        return [_sexagesimal(*parts) for parts in degrees]
    read = [as_number(part) for part in text.replace(",", " ").split()]
    numbers = [number for number in read if number is not None]
    if len(numbers) < len(read):
        warnings.append(f"{shown(text.strip())} holds something that is not a number")
        return []
    return numbers


def _sexagesimal(degrees: str, minutes: str, seconds: str, side: str) -> float:
    value = int(degrees) + int(minutes) / 60.0 + float(seconds) / 3600.0
    return -value if side in "SW" else value


def _measure(shape: Element, name: str, warnings: list[str], units: dict[str, float] = _METRES) -> float | None:
    """The first readable child of that name, in metres or degrees."""
    for element in shape.iter():
        if local_name(element) != name:
            continue
        value = as_number((element.text or "").strip().replace(",", "."))
        unit = (element.get("uom") or "").rpartition(":")[2]
        if value is None:
            warnings.append(f"{name}: {shown(element.text)} is not a number, ignored")
            continue
        if unit not in units:
            warnings.append(f"{name}: unit {shown(element.get('uom'))}, taken as metres or degrees")
        return value * units.get(unit, 1.0)
    return None


def _circle(centre: Point | None, radius_m: float | None, altitude_m: float | None) -> Circle | None:
    if centre is None:
        return None
    wide_enough = radius_m is not None and 0.0 < radius_m <= MAX_ACCURACY_M
    on_earth = altitude_m is not None and ALTITUDES_M[0] <= altitude_m <= ALTITUDES_M[1]
    return Circle(
        centre=centre,
        radius_m=radius_m if wide_enough else None,
        altitude_m=altitude_m if on_earth else None,
    )
