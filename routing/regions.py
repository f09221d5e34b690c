"""The 14 regions: which one a position lies in, how near its border is, and the facts of each.

A call is answered, queued and dispatched in a region, so a wrong answer here sends it to the wrong people.
The outlines are coarse, so near a border every region that it may be is named, and what is just outside all
of them goes to the nearest, flagged. Not here: districts and settlements (gazetteer).
"""

import csv
import math
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import shapely
from shapely.geometry import shape

from routing.geometry import EARTH_RADIUS_M, Point
from routing.names import Names

BORDER_UNCERTAINTY_M: Final = 500.0  # Natural Earth against geoBoundaries: 95 % agree at 50 m, 99.5 % at 3 km
SNAP_LIMIT_M: Final = 25_000.0  # a point this near outside the country is the nearest region's, and says so
CELL_DEG: Final = 0.01  # about 1.1 km by 0.85 km
CELL_LIMIT: Final = 400_000  # cells remembered at most; the whole country has 550,000, its settled part far fewer
CELL_REACH_M: Final = 760.0  # from a cell's centre to its corners, rounded up

DATA = Path(__file__).parent / "data"


class RegionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a region. `box` is (south, west, north, east) in degrees."""

    id: str
    names: Names
    population: int
    calls_103_in_2025: int
    capital: str
    capital_at: Point
    box: tuple[float, float, float, float]
    area_km2: float


class RegionMatch(msgspec.Struct, frozen=True):
    """The answer to "which region is this": `region` is None far outside the country.

    `also` names the other regions within the accuracy, nearest first; `distance_to_border_m` is a lower bound
    (exact near a border); `snapped` says that the point lies outside every region and the nearest was taken.
    """

    region: str | None
    also: tuple[str, ...] = ()
    distance_to_border_m: float = math.inf
    snapped: bool = False


class Regions:
    """Region look-up by polygon, with the cells that lie wholly inside one region remembered."""

    def __init__(self, path: Path = DATA / "regions.geojson") -> None:
        self.outlines = read_outlines(path)
        self._ids = tuple(self.outlines)
        self._areas = [shapely.transform(outline, mercator_m) for outline in self.outlines.values()]
        shapely.prepare(self._areas)
        self._tree = shapely.STRtree(self._areas)
        self._borders = shapely.STRtree([part for area in self._areas for part in _lines(area)])
        self._cells: dict[tuple[int, int], RegionMatch] = {}

    def at(self, lat: float, lon: float, accuracy_m: float = 0.0) -> RegionMatch:
        """The region of a position known to `accuracy_m` metres; a few microseconds away from borders."""
        assert math.isfinite(lat) and math.isfinite(lon), f"not a position: {lat}, {lon}"
        cell = (math.floor(lat / CELL_DEG), math.floor(lon / CELL_DEG))
        known = self._cells.get(cell) or self._look_at_cell(cell)
        if known.region is not None and known.distance_to_border_m > max(accuracy_m, BORDER_UNCERTAINTY_M):
            return known
        return self._look(lat, lon, accuracy_m)

    def _look_at_cell(self, cell: tuple[int, int]) -> RegionMatch:
        """What holds for the whole cell: a region when no border crosses it, else None."""
        centre = self._look((cell[0] + 0.5) * CELL_DEG, (cell[1] + 0.5) * CELL_DEG, 0.0)
        clear_m = centre.distance_to_border_m - CELL_REACH_M
        inside = clear_m > 0 and not centre.snapped
        match = RegionMatch(centre.region, (), clear_m) if inside else RegionMatch(None, (), 0.0)
        if len(self._cells) >= CELL_LIMIT:
            self._cells.clear()
        self._cells[cell] = match
        return match

    def _look(self, lat: float, lon: float, accuracy_m: float) -> RegionMatch:
        point, scale = _projected(lat, lon)
        inside = self._tree.query(point, predicate="intersects")
        reach_m = max(accuracy_m, BORDER_UNCERTAINTY_M, 0.0 if len(inside) else SNAP_LIMIT_M)
        near = self._tree.query(point, predicate="dwithin", distance=reach_m / scale)
        ranked = sorted((self._areas[i].distance(point) * scale, self._ids[i]) for i in near)
        if not ranked:
            return RegionMatch(None)
        border_m = float(self._borders.query_nearest(point, return_distance=True)[1][0]) * scale
        limit_m = max(accuracy_m, BORDER_UNCERTAINTY_M, ranked[0][0])
        also = tuple(region for distance, region in ranked[1:] if distance <= limit_m)
        return RegionMatch(ranked[0][1], also, border_m, snapped=len(inside) == 0)


def read_outlines(path: Path = DATA / "regions.geojson") -> dict[str, shapely.Geometry]:
    """Each region's outline in lon/lat degrees, its parts and exclaves joined, in the order of the ids."""
    parts: dict[str, list[shapely.Geometry]] = {}
    for feature in msgspec.json.decode(path.read_bytes())["features"]:
        parts.setdefault(feature["properties"]["region"], []).append(shape(feature["geometry"]))
    return {region: shapely.union_all(parts[region]) for region in sorted(parts)}


def mercator_m(lonlat: np.ndarray) -> np.ndarray:
    """Project lon/lat degrees, shape (n, 2), to spherical Mercator metres: conformal, so that a distance
    there times the cosine of the latitude is a distance on the ground (0.3 % off at 20 km)."""
    x = np.radians(lonlat[:, 0])
    y = np.arctanh(np.sin(np.radians(lonlat[:, 1])))
    return np.asarray(np.column_stack([x, y]) * EARTH_RADIUS_M)


@cache
def region_facts() -> dict[str, RegionFacts]:
    """The facts of the 14 regions by id, read from the data beside this file."""
    outlines = read_outlines()
    with (DATA / "regions.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: _facts(row, outlines[row["id"]]) for row in csv.DictReader(file)}


def _facts(row: dict[str, str], outline: shapely.Geometry) -> RegionFacts:
    west, south, east, north = (float(edge) for edge in outline.bounds)
    return RegionFacts(
        id=row["id"],
        names=Names(row["uz_latn"], row["uz_cyrl"], row["ru"], row["kaa"], row["en"]),
        population=int(row["population"]),
        calls_103_in_2025=int(row["calls_103_in_2025"]),
        capital=row["capital"],
        capital_at=Point(float(row["capital_lat"]), float(row["capital_lon"])),
        box=(south, west, north, east),
        area_km2=round(float(shapely.transform(outline, _equal_area_km).area), 1),
    )


def _equal_area_km(lonlat: np.ndarray) -> np.ndarray:
    """Lambert's cylindrical projection, in kilometres: areas are true, shapes are not."""
    radius_km = EARTH_RADIUS_M / 1000
    return np.column_stack([np.radians(lonlat[:, 0]), np.sin(np.radians(lonlat[:, 1]))]) * radius_km


def _projected(lat: float, lon: float) -> tuple[shapely.Point, float]:
    """A point in Mercator metres, and how many metres on the ground one of them is there."""
    y = EARTH_RADIUS_M * math.atanh(math.sin(math.radians(lat)))
    return shapely.Point(EARTH_RADIUS_M * math.radians(lon), y), math.cos(math.radians(lat))


def _lines(area: shapely.Geometry) -> list[shapely.Geometry]:
    return list(shapely.get_parts(shapely.boundary(area)))


REGIONS: Final[tuple[RegionFacts, ...]] = tuple(region_facts().values())
