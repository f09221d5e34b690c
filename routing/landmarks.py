"""Landmarks by which people say where they are: parks, metro stations, stops, markets, hospitals, premises.

Read from GeoJSON (RFC 7946; docs/places.md says which properties), as points and areas; a position inside or beside
one is described by it. Lines and points of kilometre posts in the same files go to `kilometres`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import shapely
from shapely.geometry import shape

from routing.geometry import Point, in_country
from routing.names import read_names
from routing.places import OTHER_REACH_M, USUAL_REACH_M, Settlement
from routing.regions import mercator_m

BESIDE_M: Final = 150.0
LANDMARK_KINDS: Final = frozenset({
    "park", "market", "airport", "hospital", "station", "metro", "stop", "school", "clinic", "landmark", "mosque",
    "kindergarten", "museum", "hotel", "stadium", "university", "monument", "theatre", "fuel", "bank", "police",
})  # fmt: skip
"""Kinds of places that a position is described by."""
KIND_OF_TAG: Final = {
    "garden": "park", "square": "park", "nature_reserve": "park", "recreation_ground": "park", "marketplace": "market",
    "mall": "market", "bus_stop": "stop", "tram_stop": "stop", "platform": "stop", "stop_position": "stop",
    "subway_entrance": "metro", "subway": "metro", "halt": "station", "aerodrome": "airport", "doctors": "clinic",
    "place_of_worship": "mosque", "hamlet": "village", "isolated_dwelling": "village", "suburb": "quarter",
    "neighbourhood": "mahalla", "borough": "city_district", "county": "district", "state": "region", "address": "house",
    "milestone": "kilometre_post", "road": "street", "highway": "street",
}  # fmt: skip
"""What other maps call a kind -> what we call it."""
_TAGS: Final = (
    "kind",
    "leisure",
    "amenity",
    "railway",
    "highway",
    "public_transport",
    "aeroway",
    "tourism",
    "shop",
    "place",
)


class Beside(NamedTuple):
    """The landmark by which a position is described."""

    landmark: Settlement
    is_inside: bool


class Feature(NamedTuple):
    """One feature of a GeoJSON file: its properties as texts, its geometry in degrees, and where it stands."""

    properties: dict[str, str]
    geometry: shapely.Geometry
    where: str


class Landmarks:
    """Landmarks with their outlines, found by position."""

    def __init__(self, landmarks: Sequence[Settlement], outlines: Sequence[shapely.Geometry]) -> None:
        self.places = tuple(landmarks)
        self._outlines = [shapely.transform(outline, mercator_m) for outline in outlines]
        self._tree = shapely.STRtree(self._outlines)

    def __len__(self) -> int:
        return len(self.places)

    def beside(self, at: Point) -> Beside | None:
        """The smallest landmark that the position lies in, else the nearest within 150 m, else None."""
        point = shapely.transform(shapely.Point(at.lon, at.lat), mercator_m)
        scale = math.cos(math.radians(at.lat))
        near = self._tree.query(point, predicate="dwithin", distance=BESIDE_M / scale).tolist()
        if not near:
            return None
        away = {i: float(self._outlines[i].distance(point)) for i in near}
        inside = [i for i in near if away[i] == 0 and self._outlines[i].area > 0]
        best = min(inside, key=lambda i: self._outlines[i].area) if inside else min(near, key=lambda i: (away[i], i))
        return Beside(self.places[best], bool(inside))


def read_features(path: Path) -> list[Feature]:
    """The features of a GeoJSON file with a geometry. Raises ValueError, naming the file, when it is none."""
    try:
        document = msgspec.json.decode(path.read_bytes())
        features = document["features"] if isinstance(document, dict) else None
    except OSError as fault:
        raise ValueError(f"{path} cannot be read: {fault.strerror}") from None
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        features = None
    if not isinstance(features, list):
        raise ValueError(f"{path} is no GeoJSON FeatureCollection")
    return [
        found for i, feature in enumerate(features) if (found := _feature(feature, f"{path.name}, feature {i + 1}"))
    ]


def landmark(feature: Feature) -> tuple[Settlement, shapely.Geometry] | None:
    """The feature as a place with its outline; None when it has no name, or lies abroad. Its middle is inside it."""
    said = feature.properties
    names = read_names(
        said.get("name", ""),
        said.get("name:uz", said.get("name:uz-Latn", "")),
        said.get("name:uz-Cyrl", ""),
        *(said.get(f"name:{language}", "") for language in ("ru", "kaa", "en")),
    )
    middle = feature.geometry.representative_point()
    if not names.uz_latn or not in_country(middle.y, middle.x):
        return None
    kind = kind_of(said)
    other = [name for tag in ("other", "alt_name", "old_name", "short_name") for name in said.get(tag, "").split(";")]
    place = Settlement(
        kind=kind, region=said.get("region", ""), names=names, at=Point(middle.y, middle.x),
        other=tuple(name.strip() for name in other if name.strip()), reach_m=_reach_m(feature.geometry, middle, kind),
    )  # fmt: skip
    return place, feature.geometry


def kind_of(properties: dict[str, str]) -> str:
    """The kind that a feature's properties name, by our `kind` or by a tag of OpenStreetMap."""
    named = next((properties[tag] for tag in _TAGS if properties.get(tag)), "landmark")
    return KIND_OF_TAG.get(named, named)


def _feature(feature: Any, where: str) -> Feature | None:
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        return None
    try:
        geometry = shape(feature["geometry"])
        if geometry.is_empty or not np.isfinite(geometry.bounds).all():
            return None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, shapely.errors.ShapelyError):
        raise ValueError(f"{where}: its geometry cannot be read") from None
    properties = feature.get("properties")
    texts = properties.items() if isinstance(properties, dict) else ()
    return Feature({str(key): str(value) for key, value in texts if value is not None}, geometry, where)


def _reach_m(geometry: shapely.Geometry, middle: shapely.Point, kind: str) -> float | None:
    """From the middle of an area to its farthest corner; of a point what is usual for its kind."""
    if geometry.area == 0:
        return USUAL_REACH_M.get(kind, OTHER_REACH_M)
    corners = mercator_m(shapely.get_coordinates(geometry)) - mercator_m(np.array([[middle.x, middle.y]]))
    return round(float(np.hypot(*corners.T).max()) * math.cos(math.radians(middle.y)), 1)
