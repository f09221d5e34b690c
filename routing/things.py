"""Everything with a name or a house number, as the rows of a map's gazetteer.csv.

Raw material: what the map says, not yet folded for searching (gazetteer). Streets come once for each neighbourhood
that they run through, houses with their street's name.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import shapely

from routing.osm import Extract, Thing
from routing.outlines import Area

FILE: Final = "gazetteer.csv"
COLUMNS: Final = (
    *("kind", "name", "name_uz", "name_uz_cyrl", "name_ru", "name_kaa", "name_en", "other"),
    *("region", "population", "lat", "lon", "house"),
)
KIND_KEYS: Final = (
    *("place", "amenity", "shop", "tourism", "historic", "leisure", "healthcare", "emergency", "office", "craft"),
    *("public_transport", "railway", "aeroway", "station", "man_made", "military", "landuse", "natural", "waterway"),
    *("bridge", "power", "boundary", "highway", "building"),
)
NAME_KEYS: Final = (
    ("name",),
    ("name:uz", "name:uz-latn"),
    ("name:uz-cyrl",),
    ("name:ru",),
    ("name:kaa", "name:kaa-latn"),
    ("name:en", "int-name"),
)
"""As `_names` spells them: mappers write uz-Cyrl, uz_cyrl and more."""
OTHER_KEYS: Final = (
    *("alt-name", "old-name", "official-name", "short-name", "loc-name", "nat-name", "reg-name"),
    *(
        "alt-name:uz",
        "alt-name:ru",
        "alt-name:en",
        "old-name:uz",
        "old-name:ru",
        "official-name:uz",
        "official-name:ru",
    ),
)
STREET_CELL_DEG: Final = 0.02  # a street is listed once in about two kilometres


class Row(NamedTuple):
    """One line of the file; `names` are its columns from `name` to `other`."""

    kind: str
    names: list[str]
    region: str
    population: str
    lat: float
    lon: float
    house: str


def write(extract: Extract, areas: list[Area], place: Path) -> int:
    """Write the file; how many rows it has."""
    found = list(_placed(extract))
    rows = [*_of_areas(areas), *_rows(found, _regions(found, areas))]
    with (place / FILE).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for row in rows:
            lat, lon = round(row.lat, 6), round(row.lon, 6)
            out.writerow((row.kind, *row.names, row.region, row.population, lat, lon, row.house))
    return len(rows)


Placed = tuple[Thing, float, float]


def _placed(extract: Extract) -> Iterator[Placed]:
    """The things whose nodes are in the extract, with the mean of these."""
    counts = np.array([len(thing.nodes) for thing in extract.things], np.int64)
    index = extract.nodes.find(np.array([node for thing in extract.things for node in thing.nodes], np.int64))
    owner = np.repeat(np.arange(len(counts)), counts)[index >= 0]
    index = index[index >= 0]
    inside = np.bincount(owner, minlength=len(counts))
    middle = [np.bincount(owner, c[index], len(counts)) / np.maximum(inside, 1) for c in extract.nodes[1:3]]
    for thing, known, lat, lon in zip(extract.things, inside.tolist(), *(m.tolist() for m in middle), strict=True):
        if known:
            yield thing, lat, lon


def _regions(found: list[Placed], areas: list[Area]) -> list[str]:
    """The region in which each thing lies, "" where the map knows none."""
    regions = [area for area in areas if area.outline.kind == "region"]
    answer = [""] * len(found)
    if not regions or not found:
        return answer
    tree = shapely.STRtree([area.shape for area in regions])
    points = shapely.points([(lon, lat) for _, lat, lon in found])
    for thing, region in tree.query(points, predicate="intersects").T.tolist():
        answer[thing] = answer[thing] or regions[region].code
    return answer


def _of_areas(areas: Iterable[Area]) -> Iterator[Row]:
    for area in areas:
        at = shapely.point_on_surface(area.shape)
        said, region = area.outline.tags, area.code if area.outline.kind == "region" else ""
        yield Row(area.outline.kind, _names(said), region, said.get("population", ""), at.y, at.x, "")


def _rows(found: list[Placed], regions: list[str]) -> Iterator[Row]:
    listed: set[tuple[str, int, int]] = set()
    for (thing, lat, lon), region in zip(found, regions, strict=True):
        said = thing.tags
        if thing.is_street and "name" in said:
            cell = (said["name"], int(lat // STREET_CELL_DEG), int(lon // STREET_CELL_DEG))
            if cell not in listed:
                listed.add(cell)
                yield Row("street", _names(said), region, "", lat, lon, "")
        elif "name" in said and said.get("boundary") != "administrative":
            yield Row(_kind(said), _names(said), region, said.get("population", ""), lat, lon, "")
        if "addr:housenumber" in said and (street := said.get("addr:street") or said.get("addr:place")):
            names = [street, *[""] * (len(NAME_KEYS) - 1), said.get("addr:city", "")]
            yield Row("address", names, region, "", lat, lon, said["addr:housenumber"])


def _kind(said: dict[str, str]) -> str:
    """What a thing is: the value of its first telling tag, or that tag where the value only says yes."""
    key = next((key for key in KIND_KEYS if key in said), None)
    if key is None:
        return "landmark"
    return key if said[key] == "yes" else said[key]


def _names(said: dict[str, str]) -> list[str]:
    """The columns from `name` to `other`."""
    own = {key.casefold().replace("_", "-"): value for key, value in said.items()}
    names = [next((own[key] for key in keys if key in own), "") for keys in NAME_KEYS]
    other = dict.fromkeys(part.strip() for key in OTHER_KEYS if key in own for part in own[key].split(";"))
    return [*(" ".join(name.split()) for name in names), ";".join(part for part in other if part)]
