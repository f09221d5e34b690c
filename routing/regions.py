"""The 14 regions: which one a position lies in, how near its border is, and the facts of each.

A call is answered, queued and dispatched in a region, so a wrong answer here sends it to the wrong people.
The outlines are coarse, so near a border every region that it may be is named, and what is just outside all
of them goes to the nearest, flagged. Not here: districts and settlements (gazetteer).
"""

import csv
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import shapely
from shapely.geometry import shape

from routing.boundaries import read_boundaries
from routing.districts import District, Districts
from routing.geometry import EARTH_RADIUS_M, Floats, Point
from routing.manifest import check_files
from routing.names import Names, fold
from routing.region_grid import Grid

BORDER_UNCERTAINTY_M: Final = 500.0  # Natural Earth against geoBoundaries: 95 % agree at 50 m, 99.5 % at 3 km
SNAP_LIMIT_M: Final = 25_000.0  # a point this near outside the country is the nearest region's, and says so
PIECE_CORNERS: Final = 16  # borders are looked for in pieces of so many corners

DATA = Path(__file__).parent / "data"

Outlines = dict[str, shapely.Geometry]


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
    (exact within the accuracy of a border); `snapped` says that the point lies outside every region and the nearest
    was taken.
    """

    region: str | None
    also: tuple[str, ...] = ()
    distance_to_border_m: float = math.inf
    snapped: bool = False


class Regions:
    """Region look-up by polygon: a grid answers away from borders, the outlines themselves near them."""

    def __init__(self, outlines: Outlines | None = None, districts: Districts | None = None) -> None:
        self.outlines = read_outlines() if outlines is None else outlines
        self.districts = districts
        self._ids = tuple(self.outlines)
        areas = [shapely.transform(outline, mercator_m) for outline in self.outlines.values()]
        shapely.prepare(areas)
        self._tree = shapely.STRtree(areas)
        pieces = [(piece, i) for i, area in enumerate(areas) for piece in border_pieces(area)]
        self._pieces = np.array([piece for piece, _ in pieces])
        self._owners = [i for _, i in pieces]
        self._borders = shapely.STRtree(self._pieces)
        self._grid = Grid(list(self.outlines.values()))
        self._clear = [[RegionMatch(name, (), ring_m) for ring_m in self._grid.rings_m] for name in self._ids]

    @staticmethod
    def from_map(folder: Path) -> "Regions":
        """The regions and districts that an imported map brings, the built-in ones where it brings none.

        Raises ValueError, in one line, for a file that cannot be read or that names regions nobody knows.
        """
        return Regions(outlines_of_map(folder), Districts.from_map(folder))

    def at(self, lat: float, lon: float, accuracy_m: float = 0.0) -> RegionMatch:
        """The region of a position known to `accuracy_m` metres; a microsecond away from borders."""
        assert math.isfinite(lat) and math.isfinite(lon), f"not a position: {lat}, {lon}"
        region, ring = self._grid.at(lat, lon)
        if region >= 0 and self._grid.rings_m[ring] > max(accuracy_m, BORDER_UNCERTAINTY_M):
            return self._clear[region][ring]
        return self._look(lat, lon, accuracy_m)

    def at_many(self, lats: Floats, lons: Floats, accuracy_m: Floats | float = 0.0) -> list[RegionMatch]:
        """The same for n positions at once, shape (n,) each; `accuracy_m` is one radius for all, or theirs."""
        assert np.isfinite(lats).all() and np.isfinite(lons).all(), "not positions"
        needed_m = np.maximum(np.broadcast_to(accuracy_m, lats.shape), BORDER_UNCERTAINTY_M)
        regions, rings = self._grid.at_many(lats, lons)
        clear = (regions >= 0) & (np.array(self._grid.rings_m)[rings] > needed_m)
        pairs = zip(regions.tolist(), rings.tolist(), strict=True)
        found = [self._clear[region][ring] for region, ring in pairs]
        near = np.flatnonzero(~clear)
        for i, match in zip(near.tolist(), self._look_many(lats[near], lons[near], needed_m[near]), strict=True):
            found[i] = match
        return found

    def district_at(self, lat: float, lon: float) -> District | None:
        """The district of a position, where an imported map brought districts."""
        return None if self.districts is None else self.districts.at(lat, lon)

    def _look(self, lat: float, lon: float, accuracy_m: float) -> RegionMatch:
        point, scale = _projected(lat, lon)
        inside = self._tree.query(point, predicate="intersects").tolist()
        reach_m = max(accuracy_m, BORDER_UNCERTAINTY_M, 0.0 if inside else SNAP_LIMIT_M)
        near = self._borders.query(point, predicate="dwithin", distance=reach_m / scale)
        away_m = shapely.distance(self._pieces[near], point) * scale
        return self._match(inside, near.tolist(), away_m.tolist(), reach_m)

    def _look_many(self, lats: Floats, lons: Floats, accuracy_m: Floats) -> Iterator[RegionMatch]:
        """As `_look`, one question of each tree for all."""
        points = shapely.points(mercator_m(np.column_stack([lons, lats])))
        scale = np.cos(np.radians(lats))
        inside: list[list[int]] = [[] for _ in points]
        for i, region in self._tree.query(points, predicate="intersects").T.tolist():
            inside[i].append(region)
        reach_m = np.where([len(one) > 0 for one in inside], accuracy_m, np.maximum(accuracy_m, SNAP_LIMIT_M))
        asked, near = self._borders.query(points, predicate="dwithin", distance=reach_m / scale)
        away_m = (shapely.distance(self._pieces[near], points[asked]) * scale[asked]).tolist()
        ends = np.searchsorted(asked, np.arange(len(points) + 1)).tolist()
        pieces = near.tolist()
        for i, first, last in zip(range(len(points)), ends, ends[1:], strict=False):
            yield self._match(inside[i], pieces[first:last], away_m[first:last], float(reach_m[i]))

    def _match(self, inside: list[int], pieces: list[int], away_m: list[float], reach_m: float) -> RegionMatch:
        """What the regions about a point, and the pieces of border within reach, come to."""
        nearest = dict.fromkeys(inside, 0.0)
        for piece, metres in zip(pieces, away_m, strict=True):
            owner = self._owners[piece]
            if metres < nearest.get(owner, math.inf):
                nearest[owner] = metres
        if not nearest:
            return RegionMatch(None)
        ranked = sorted((metres, self._ids[owner]) for owner, metres in nearest.items())
        limit_m = reach_m if inside else max(BORDER_UNCERTAINTY_M, ranked[0][0])
        also = tuple(region for metres, region in ranked[1:] if metres <= limit_m)
        return RegionMatch(ranked[0][1], also, min(away_m, default=reach_m), snapped=not inside)


def read_outlines(path: Path = DATA / "regions.geojson") -> Outlines:
    """Each region's outline in lon/lat degrees, its parts and exclaves joined, in the order of the ids."""
    parts: dict[str, list[shapely.Geometry]] = {}
    for feature in msgspec.json.decode(path.read_bytes())["features"]:
        parts.setdefault(feature["properties"]["region"], []).append(shape(feature["geometry"]))
    return {region: shapely.union_all(parts[region]) for region in sorted(parts)}


def outlines_of_map(folder: Path) -> Outlines | None:
    """The outlines of a map's `regions.geojson`, by the code or a name of each region; None where it has none of ours.

    Regions that the map does not have keep their built-in outlines, less what the map gives to others. Those of other
    countries, by where they lie, are left out.
    """
    path = folder / "regions.geojson"
    check_files(folder, path.name)
    if not path.exists():
        return None
    named = {name: facts.id for facts in region_facts().values() for name in (facts.id, *map(fold, facts.names.each()))}
    parts: dict[str, list[shapely.Geometry]] = {}
    unknown = []
    built_in = read_outlines()
    country = shapely.union_all(list(built_in.values()))
    for boundary in read_boundaries(path, level=4):
        keys = (boundary.iso.upper(), *map(fold, (boundary.iso, *boundary.said.values())))
        region = next((named[key] for key in keys if key in named), None)
        if region is not None:
            parts.setdefault(region, []).append(boundary.outline)
        elif boundary.outline.intersection(country).area > boundary.outline.area / 2:
            unknown.append(boundary.title)
    if unknown:
        raise ValueError(
            f"{path}: no region of ours: {', '.join(unknown)}; give each its ISO3166-2 code, such as UZ-TK"
        )
    if not parts:
        return None
    given = {region: shapely.union_all(outlines) for region, outlines in parts.items()}
    all_given = shapely.union_all(list(given.values()))
    rest = {region: shapely.difference(built_in[region], all_given) for region in built_in if region not in given}
    return {region: (given | rest)[region] for region in sorted(built_in)}


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


def border_pieces(area: shapely.Geometry) -> Iterator[shapely.Geometry]:
    """The lines around an area in short pieces, so that a look at a border need not walk along all of it."""
    for line in shapely.get_parts(shapely.boundary(area)):
        corners = shapely.get_coordinates(line)
        for first in range(0, len(corners) - 1, PIECE_CORNERS - 1):
            yield shapely.linestrings(corners[first : first + PIECE_CORNERS])


REGIONS: Final[tuple[RegionFacts, ...]] = tuple(region_facts().values())
