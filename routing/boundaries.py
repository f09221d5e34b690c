"""Boundaries that an imported map brings: GeoJSON read with suspicion, its outlines mended.

Each feature is a Polygon or MultiPolygon. Of its properties count the ISO 3166-2 code (`iso`, `code` or `ISO3166-2`),
the names (`name`, and `name:uz` or `name_uz` for a language), and `admin_level` where it is said. Not here: what they
are boundaries of (regions.py, districts.py), and how they are made from a map.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import shapely
from shapely.geometry import shape

CODES = ("iso", "code", "ISO3166-2")

Properties = dict[str, str | int | float | bool | None]


class Boundary(msgspec.Struct, frozen=True):
    """One feature: `said` are its names by language, "" for the one without."""

    outline: shapely.Geometry
    id: str
    iso: str
    said: dict[str, str]

    @property
    def title(self) -> str:
        """By what a person recognises it."""
        return next((text for text in (self.iso, *self.said.values()) if text), "one without a name")


def read_boundaries(path: Path, level: int) -> Iterator[Boundary]:
    """The features of a file, those of another `admin_level` left out. Raises ValueError in one line."""
    for number, feature in enumerate(_features(path), 1):
        properties = feature.get("properties") or {}
        if str(properties.get("admin_level", level)) != str(level):
            continue
        try:
            outline = mended(shape(feature["geometry"]))
        except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
            raise ValueError(f"{path}: the outline of feature {number} cannot be read") from None
        if outline.is_empty:
            raise ValueError(f"{path}: feature {number} has no area; an outline is a Polygon or MultiPolygon")
        iso = next((str(properties[key]) for key in CODES if properties.get(key)), "").strip()
        yield Boundary(outline, str(properties.get("id") or ""), iso, _names(properties))


def _names(properties: Properties) -> dict[str, str]:
    keys = (key for key in properties if key.partition(":")[0].partition("_")[0] == "name" and properties[key])
    return {key.removeprefix("name").lstrip(":_"): str(properties[key]) for key in keys}


def mended(outline: shapely.Geometry) -> shapely.Geometry:
    """The area of an outline whose rings may cross or touch themselves; lines and points fall away."""
    valid = outline if outline.is_valid else shapely.make_valid(outline)
    parts = [part for part in _flat(valid) if part.geom_type == "Polygon"]
    return shapely.union_all(parts)


def _flat(geometry: shapely.Geometry) -> Iterator[shapely.Geometry]:
    for part in shapely.get_parts(geometry):
        if part.geom_type in ("MultiPolygon", "GeometryCollection"):
            yield from _flat(part)
        else:
            yield part


def _features(path: Path) -> list[dict[str, Properties]]:
    try:
        document = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as fault:
        raise ValueError(f"{path}: {fault}") from None
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ValueError(f"{path}: this is not a GeoJSON FeatureCollection")
    return features
