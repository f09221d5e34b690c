"""The console's map without any download: vector tiles of our own roads, places and region outlines.

Tiles are made when asked for and remembered. Layers, each with attributes: `roads` (class, urban), `places`
(kind, population, and the name in each language tag), `regions` (lines; no attributes), from zoom 4 to 14. A map
client over-zooms beyond that.
"""

import json
import math
from functools import lru_cache
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from routing import mvt
from routing.lines import pieces
from routing.mvt import EXTENT, LINE, POINT, Feature
from routing.names import LANGUAGES
from routing.places import Settlement, settlements
from routing.regions import read_outlines
from routing.roads import ROAD_CLASSES, Roads

MIN_ZOOM: Final = 4  # a window of 700 pixels shows the whole country between zoom 4 and 5
MAX_ZOOM: Final = 14
CACHED_TILES: Final = 2_048  # about 60 MB of city tiles at most
MARGIN: Final = 64  # tile units drawn beyond the tile's edge, so that lines do not show where tiles meet

# From which zoom each road class is drawn: in the country, and in towns, whose streets are denser.
_RURAL_FROM: Final = np.array([4, 7, 9, 10, 12])
_URBAN_FROM: Final = np.array([8, 10, 11, 12, 13])
# From which zoom a place is named, by its population.
_NAMED_FROM: Final = ((400_000, 5), (150_000, 6), (60_000, 8), (20_000, 9), (0, 10))

Floats = NDArray[np.float64]


class Basemap:
    """Tiles of one road network."""

    def __init__(self, roads: Roads) -> None:
        line = pieces(roads)
        kind, urban = roads.kind[line.edge], roads.urban[line.edge]
        from_zoom = np.where(urban, _URBAN_FROM[kind], _RURAL_FROM[kind])
        self._group = kind.astype(np.int64) * 2 + urban
        self._from_zoom = from_zoom
        self._start, self._end = (_world(line.ends[:, i + 1], line.ends[:, i]) for i in (0, 2))
        self._tree = shapely.STRtree(shapely.linestrings(np.stack([self._start, self._end], axis=1)))
        self._places = [place for place in settlements() if place.kind != "district"]
        self._place_at = _world(*(np.array([place.at[axis] for place in self._places]) for axis in (1, 0)))
        self._place_from = np.array([_named_from(place) for place in self._places])
        self._borders = [shapely.transform(shapely.boundary(area), _world_pairs) for area in read_outlines().values()]
        self._cached = lru_cache(maxsize=CACHED_TILES)(self._tile)

    def tile(self, z: int, x: int, y: int) -> bytes:
        """The tile as Mapbox Vector Tile bytes, empty where there is nothing; ValueError outside z 4 to 14."""
        if not (MIN_ZOOM <= z <= MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z):
            raise ValueError(f"there is no tile {z}/{x}/{y}: zooms are {MIN_ZOOM} to {MAX_ZOOM}")
        return self._cached(z, x, y)

    def _tile(self, z: int, x: int, y: int) -> bytes:
        layers = {"regions": self._regions(z, x, y), "roads": self._roads(z, x, y), "places": self._named(z, x, y)}
        return mvt.tile(layers)

    def _roads(self, z: int, x: int, y: int) -> list[Feature]:
        """One feature for each class, its streets joined into lines where one begins at the end of another."""
        corner, scale, (low, high) = np.array([x, y]) / 2**z, EXTENT * 2**z, _reach(z, x, y)
        chosen = np.sort(self._tree.query(shapely.box(*low, *high)))
        chosen = chosen[self._from_zoom[chosen] <= z]
        a, b = (np.rint((ends[chosen] - corner) * scale).astype(np.int64) for ends in (self._start, self._end))
        moved = (a != b).any(axis=1)
        features = []
        for group in np.unique(self._group[chosen[moved]]).tolist():
            own = moved & (self._group[chosen] == group)
            attributes: dict[str, str | int] = {"class": ROAD_CLASSES[group // 2], "urban": group % 2}
            features.append(Feature(LINE, _joined(a[own], b[own]), attributes))
        return features

    def _named(self, z: int, x: int, y: int) -> list[Feature]:
        low, high = np.array([x, y]) / 2**z, np.array([x + 1, y + 1]) / 2**z
        seen = (self._place_at >= low).all(axis=1) & (self._place_at < high).all(axis=1) & (self._place_from <= z)
        at = np.floor((self._place_at - low) * EXTENT * 2**z).astype(np.int64)
        return [
            Feature(POINT, mvt.points(at[i : i + 1]), _attributes(self._places[i]))
            for i in np.flatnonzero(seen).tolist()
        ]

    def _regions(self, z: int, x: int, y: int) -> list[Feature]:
        corner, scale, (low, high) = np.array([x, y]) / 2**z, EXTENT * 2**z, _reach(z, x, y)
        clipped = [shapely.clip_by_rect(border, *low.tolist(), *high.tolist()) for border in self._borders]
        lines = [line for border in clipped for line in shapely.get_parts(border) if line.geom_type == "LineString"]
        at = [_without_repeats(np.rint((shapely.get_coordinates(line) - corner) * scale)) for line in lines]
        at = [places for places in at if len(places) >= 2]
        if not at:
            return []
        starts = np.cumsum([0, *(len(places) for places in at[:-1])])
        return [Feature(LINE, mvt.lines(starts, np.concatenate(at)), {})]


@lru_cache(maxsize=1)
def outlines_geojson() -> bytes:
    """The regions' outlines as a GeoJSON FeatureCollection, simplified to about 500 m, with their ids: what the
    map shows where there is nothing else."""
    features = [
        {
            "type": "Feature",
            "id": region,
            "properties": {"region": region},
            "geometry": json.loads(shapely.to_geojson(shapely.set_precision(area.simplify(0.005), 0.001))),
        }
        for region, area in read_outlines().items()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")).encode()


def _joined(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Streets from a to b (n, 2) as the commands of lines: one that begins where the one before ends goes on."""
    fresh = np.ones(len(a), bool)
    fresh[1:] = (a[1:] != b[:-1]).any(axis=1)
    first = np.flatnonzero(fresh)
    places = np.insert(b, first, a[first], axis=0)
    return mvt.lines(first + np.arange(len(first)), places)


def _without_repeats(places: Floats) -> NDArray[np.int64]:
    moved = np.ones(len(places), bool)
    moved[1:] = (places[1:] != places[:-1]).any(axis=1)
    return places[moved].astype(np.int64)


def _attributes(place: Settlement) -> dict[str, str | int]:
    names: dict[str, str | int] = dict(zip(LANGUAGES, place.names.each(), strict=True))
    return {"kind": place.kind, "population": place.population, **names}


def _named_from(place: Settlement) -> int:
    """A district of a city shows only when its city fills the screen."""
    by_size = next(zoom for least, zoom in _NAMED_FROM if place.population >= least)
    return 11 if place.kind == "city_district" else by_size


def _reach(z: int, x: int, y: int) -> tuple[Floats, Floats]:
    """The corners of a tile with its margin, in world coordinates."""
    margin = MARGIN / EXTENT
    return np.array([x - margin, y - margin]) / 2**z, np.array([x + 1 + margin, y + 1 + margin]) / 2**z


def _world(lon: Floats, lat: Floats) -> Floats:
    """Web Mercator with the world as the unit square, y from the north, shape (n, 2)."""
    y = 0.5 - np.arctanh(np.sin(np.radians(lat))) / (2 * math.pi)
    return np.column_stack([lon / 360 + 0.5, y])


def _world_pairs(lonlat: Floats) -> Floats:
    return _world(lonlat[:, 0], lonlat[:, 1])
