"""Boundaries that an imported map brings: GeoJSON read with suspicion, its outlines mended.

Each feature is a Polygon or MultiPolygon with the properties name, name_uz, name_ru, iso and admin_level. Not here:
what they are boundaries of (regions.py, districts.py), and how they are made from a map.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import shapely
from shapely.geometry import shape

Properties = dict[str, str | int | float | bool | None]


class Boundary(msgspec.Struct, frozen=True):
    """One feature: `said` are its names, the first of them the one without a language."""

    outline: shapely.Geometry
    iso: str
    said: tuple[str, ...]
    properties: Properties

    @property
    def title(self) -> str:
        """By what a person recognises it."""
        return self.iso or (self.said[0] if self.said else "one without a name")


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
        names = (properties.get(key) for key in ("name", "name_uz", "name_ru"))
        iso = str(properties.get("iso") or "").strip().upper()
        yield Boundary(outline, iso, tuple(str(name) for name in names if name), properties)


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
