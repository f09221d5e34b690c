"""Places from files of others: a map's own (gazetteer.csv, kilometres.geojson), lists as CSV, landmarks as GeoJSON.

docs/places.md says what the files may hold. A file that cannot be read is the user's mistake (ValueError, one
sentence); a row that cannot be used is left out, counted, and said in the notes.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import shapely

from routing.geometry import Point, from_lonlat, in_country
from routing.houses import HouseRow
from routing.kilometres import Post, posts_along
from routing.landmarks import KIND_OF_TAG, LANDMARK_KINDS, Feature, kind_of, landmark, read_features
from routing.manifest import check_files
from routing.names import fold, read_names
from routing.places import Settlement
from routing.regions import REGIONS

COLUMNS: Final = (
    *("kind", "name", "name_uz", "name_uz_cyrl", "name_ru", "name_kaa", "name_en", "other"),
    *("region", "population", "lat", "lon", "house"),
)
"""What a map's gazetteer.csv has, and any other list may have; `lat` and `lon` must be there, and a name."""
POST_COLUMNS: Final = ("ref", "km")
"""What a list of kilometre posts has beside `lat` and `lon`."""
MOST_ROWS: Final = 2_000_000  # of one file
GAZETTEER_FILE: Final = "gazetteer.csv"
KILOMETRES_FILE: Final = "kilometres.geojson"
_NAME_COLUMNS: Final = frozenset(column for column in COLUMNS if column.startswith("name"))


class Found(msgspec.Struct):
    """What files hold: places, landmarks with their outlines, houses, kilometre posts, lines of roads without
    kilometres of their own; and what was left out."""

    places: list[Settlement] = []
    outlines: list[tuple[Settlement, shapely.Geometry]] = []
    houses: list[HouseRow] = []
    posts: list[Post] = []
    roads: list[tuple[str, list[Point]]] = []
    notes: list[str] = []


def read_places(paths: Iterable[Path]) -> Found:
    """All places of files, CSV or GeoJSON by their endings, and of directories of maps (their gazetteer.csv)."""
    found = Found()
    for path in paths:
        if path.is_dir():
            _read_map(path, found)
        elif path.suffix.lower() in (".geojson", ".json"):
            _read_geojson(path, found)
        else:
            _read_csv(path, found)
    return found


def _read_map(directory: Path, found: Found) -> None:
    names, posts = directory / GAZETTEER_FILE, directory / KILOMETRES_FILE
    check_files(directory, names.name, posts.name)
    if names.exists():
        _read_csv(names, found, anywhere=True)
    else:
        found.notes.append(f"{directory} has no {GAZETTEER_FILE}: the map's names are not searched")
    if posts.exists():
        _read_geojson(posts, found)


def _read_csv(path: Path, found: Found, anywhere: bool = False) -> None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            _read_rows(path, csv.reader(file), found, anywhere)
    except OSError as fault:
        raise ValueError(f"{path} cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as fault:
        raise ValueError(f"{path} is no CSV file in UTF-8: {fault}") from None


def _read_rows(path: Path, rows: Iterator[list[str]], found: Found, anywhere: bool) -> None:
    header = [column.strip().lower() for column in next(rows, [])]
    missing = [column for column in ("lat", "lon") if column not in header]
    if missing or not (_NAME_COLUMNS & set(header) or set(POST_COLUMNS) <= set(header)):
        lacks = ", ".join(missing or ["name"])
        raise ValueError(f"{path} has no column {lacks} in its first row; the columns are {', '.join(COLUMNS)}")
    known = (*COLUMNS, *POST_COLUMNS)
    unknown = [column for column in header if column and column not in known]
    if unknown:
        found.notes.append(f"{path.name}: columns left unread: {', '.join(unknown)}")
    at = [header.index(column) if column in header else -1 for column in known]
    bad: list[str] = []
    for number, row in enumerate(rows, 2):
        if number > MOST_ROWS:
            raise ValueError(f"{path} has more than {MOST_ROWS:,} rows")
        if row and (fault := _read_row([row[i].strip() if 0 <= i < len(row) else "" for i in at], found, anywhere)):
            bad.append(f"row {number}: {fault}")
    if bad:
        found.notes.append(f"{path.name}: {len(bad)} rows left out, the first is {bad[0]}")


def _read_row(cells: list[str], found: Found, anywhere: bool) -> str | None:
    """Take one row; what is wrong with it, if anything. `anywhere`: a map may be of another country."""
    kind, name, uz, uz_cyrl, ru, kaa, en, other, region, population, lat, lon, house, ref, km = cells
    try:
        at = Point(float(lat), float(lon))
    except ValueError:
        return "lat or lon is no number"
    if not (in_country(*at) or (anywhere and abs(at.lat) <= 90 and abs(at.lon) <= 180)):
        return f"{lat},{lon} is outside Uzbekistan"
    if ref and km:
        return _read_post(ref, km, at, found)
    kind = KIND_OF_TAG.get(kind, kind) or "landmark"
    names = read_names(name, uz, uz_cyrl, ru, kaa, en)
    if not names.uz_latn:
        return "it has no name"
    if house and kind == "kilometre_post":
        return _read_post(names.uz_latn, house, at, found)
    if house:
        found.houses.extend(HouseRow(each, house, at) for each in dict.fromkeys((name, *names.each())) if each)
        return None
    found.places.append(
        Settlement(
            kind=kind, region=_region(region), names=names, at=at,
            population=int(float(population)) if population.replace(".", "", 1).isdecimal() else 0,
            other=tuple(dict.fromkeys(_others(other, name, names.each()))),
        )
    )  # fmt: skip
    return None


def _others(other: str, name: str, known: tuple[str, ...]) -> Iterator[str]:
    for each in (name, *other.replace("/", ";").split(";")):
        if each.strip() and each.strip() not in known:
            yield each.strip()


def _read_post(ref: str, km: str, at: Point, found: Found) -> str | None:
    try:
        found.posts.append(Post(ref, float(km.replace(",", ".")), at))
    except ValueError:
        return f"{km!r} is no kilometre"
    return None


_REGION_OF: Final = {fold(name): facts.id for facts in REGIONS for name in (facts.id, *facts.names.each())}


def _region(text: str) -> str:
    """A region's id from its id or name; empty where it is neither: the position tells then."""
    return _REGION_OF.get(fold(text), "") if text else ""


def _read_geojson(path: Path, found: Found) -> None:
    nameless = 0
    for feature in read_features(path):
        ref = feature.properties.get("ref", feature.properties.get("road", ""))
        is_line = bool(ref) and feature.geometry.geom_type in ("LineString", "MultiLineString")
        if is_line or kind_of(feature.properties) == "kilometre_post":
            _read_road(feature, ref, found)
        elif (place := landmark(feature)) is not None:
            found.outlines.append((msgspec.structs.replace(place[0], region=_region(place[0].region)), place[1]))
        else:
            nameless += 1
    if nameless:
        found.notes.append(f"{path.name}: {nameless} features left out: they have no name, or lie outside Uzbekistan")


def _read_road(feature: Feature, ref: str, found: Found) -> None:
    """A post of its own, or a road's line: from `km_from` on, or to be measured by posts."""
    said = feature.properties
    lines = [_points(line) for line in shapely.get_parts(feature.geometry) if line.geom_type == "LineString"]
    try:
        if feature.geometry.geom_type == "Point":
            km = float(said.get("km", said.get("distance", "")))
            found.posts.append(Post(ref, km, Point(feature.geometry.y, feature.geometry.x)))
        elif "km_from" in said:
            until = float(said["km_to"]) if "km_to" in said else None
            found.posts.extend(posts_along(ref, chain.from_iterable(lines), float(said["km_from"]), until))
        else:
            found.roads.extend((ref, line) for line in lines)
    except ValueError:
        raise ValueError(f"{feature.where}: km, km_from and km_to are kilometres, in numbers") from None


def _points(line: shapely.LineString) -> list[Point]:
    return [from_lonlat(position) for position in shapely.get_coordinates(line).tolist()]


def landmarks_of(found: Found) -> tuple[list[Settlement], list[shapely.Geometry]]:
    """What positions are described by: landmarks with outlines, and the points of lists that are landmarks."""
    points = [place for place in found.places if place.kind in LANDMARK_KINDS]
    outlines = [shapely.Point(place.at.lon, place.at.lat) for place in points]
    return [place for place, _ in found.outlines] + points, [outline for _, outline in found.outlines] + outlines
