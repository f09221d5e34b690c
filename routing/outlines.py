"""Regions and districts of an extract: boundary relations put together to polygons, and written as GeoJSON.

OpenStreetMap numbers them as admin_level 4 and 6 in Uzbekistan. Not here: the 14 regions that calls are sent by
(regions), whose outlines come with the program.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import shapely

from routing.osm import Extract, Outline

FILES: Final = {"region": "regions.geojson", "district": "districts.geojson"}
DECIMALS: Final = 6


class Area(NamedTuple):
    """An outline that closed: its relation and its polygon in (lon, lat)."""

    outline: Outline
    shape: shapely.Geometry

    @property
    def code(self) -> str:
        """Its ISO 3166-2 code, else its name."""
        return self.outline.tags.get("ISO3166-2") or self.outline.tags["name"]


def assembled(extract: Extract) -> list[Area]:
    """The outlines whose ways are all there and close; an extract's edge cuts others, and they are left out."""
    found = []
    for outline in extract.outlines:
        lines = [_line(extract, way) for way in outline.ways if way in extract.outline_refs]
        whole = len(lines) == len(outline.ways) and all(line is not None for line in lines)
        if whole and lines:
            shape = shapely.build_area(shapely.node(shapely.union_all([line for line in lines if line is not None])))
            if not shape.is_empty and shape.area > 0:
                found.append(Area(outline, shapely.make_valid(shape)))
    return found


def write(areas: list[Area], place: Path) -> None:
    """One file for each kind; an empty collection when there is none."""
    for kind, name in FILES.items():
        features = [
            {
                "type": "Feature",
                "properties": {"code": area.code, **_names(area.outline.tags)},
                "geometry": json.loads(shapely.to_geojson(shapely.set_precision(area.shape, 10.0**-DECIMALS))),
            }
            for area in areas
            if area.outline.kind == kind
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
        (place / name).write_text(text + "\n", "utf-8")


def _line(extract: Extract, way: int) -> shapely.Geometry | None:
    index = extract.nodes.find(extract.outline_refs[way])
    if len(index) < 2 or (index < 0).any():
        return None
    return shapely.linestrings(np.column_stack([extract.nodes.lon[index], extract.nodes.lat[index]]))


def _names(said: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in said.items() if key == "name" or key.startswith("name:")}
