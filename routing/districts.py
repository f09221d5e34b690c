"""Districts, where an imported map brings their boundaries: which one a position lies in.

They name a place for people; nothing is decided by them. Not here: regions.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import shapely

from routing.addresses import BARE_COST, name_keys
from routing.boundaries import Boundary, read_boundaries
from routing.manifest import check_files
from routing.names import Names, to_cyrillic, to_plain


class District(msgspec.Struct, frozen=True):
    """A district by the map's own id, where it has one, and its names."""

    id: str
    names: Names


class Districts:
    """District look-up by polygon."""

    def __init__(self, boundaries: list[Boundary]) -> None:
        self._districts = [_district(boundary) for boundary in boundaries]
        areas = [boundary.outline for boundary in boundaries]
        shapely.prepare(areas)
        self._tree = shapely.STRtree(areas)

    @staticmethod
    def from_map(folder: Path) -> "Districts | None":
        """Those of a map's `districts.geojson`; None without that file. Raises ValueError in one line."""
        path = folder / "districts.geojson"
        check_files(folder, path.name)
        return Districts(list(read_boundaries(path, level=6))) if path.exists() else None

    def __len__(self) -> int:
        return len(self._districts)

    def named(self, name: str) -> list[tuple[District, shapely.Geometry]]:
        """The districts of a name, in any language, with or without the word for what they are; each with its outline,
        (lon, lat)."""
        asked = _keys([name])
        pairs = zip(self._districts, self._tree.geometries, strict=True)
        return [(district, outline) for district, outline in pairs if asked & _keys(district.names.each())]

    def at(self, lat: float, lon: float) -> District | None:
        """The district of a position; of several that overlap there the first of the file."""
        return next((district for district, _ in self.outlined_at(lat, lon)), None)

    def outlined_at(self, lat: float, lon: float) -> list[tuple[District, shapely.Geometry]]:
        """The same with its outline, (lon, lat); empty where no district is."""
        found = self._tree.query(shapely.Point(lon, lat), predicate="intersects")
        return [(self._districts[i], self._tree.geometries[i]) for i in sorted(found.tolist())[:1]]


def _district(boundary: Boundary) -> District:
    """Names that the map lacks are written from those it has."""
    said = boundary.said
    plain = said.get("") or said.get("uz") or said.get("ru") or boundary.title
    latin = said.get("uz-Latn") or _first(said.get("uz"), plain, cyrillic=False) or plain
    cyrillic = said.get("uz-Cyrl") or _first(said.get("uz"), plain, cyrillic=True) or to_cyrillic(latin)
    english = said.get("en") or to_plain(latin)
    return District(boundary.id, Names(latin, cyrillic, said.get("ru") or cyrillic, said.get("kaa") or latin, english))


def _keys(names: Iterable[str]) -> set[str]:
    return {key for keys in name_keys(list(names)) for key, cost in keys.items() if cost <= BARE_COST}


def _first(*names: str | None, cyrillic: bool) -> str | None:
    return next((name for name in names if name and _is_cyrillic(name) is cyrillic), None)


def _is_cyrillic(text: str) -> bool:
    return any("\u0400" <= letter <= "\u04ff" for letter in text)
