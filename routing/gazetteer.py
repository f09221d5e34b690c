"""Finding places by name in any script, and naming the place where a position lies.

Searching compares fold keys, so that Latin, Cyrillic and Russian spellings and a slip of the finger all find
the same place. Describing gives a row of the queue its words: "Urgut, 4 km north-east". Not here: streets and
houses.
"""

import math
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from rapidfuzz import fuzz, process

from routing.geometry import Point, bearing_deg, compass_point, distance_m, distances_m
from routing.names import Names, fold, loosen
from routing.places import Settlement, settlements
from routing.regions import REGIONS

MIN_SCORE: Final = 70.0  # below this, what is found has little in common with what was asked
LOOSE_COST: Final = 6.0
PREFIX_SCORE: Final = 84.0
NEAR_COST_PER_KM: Final = 0.05
NEAR_COST_MOST: Final = 12.0
LABEL_CELL_DEG: Final = 0.0025  # about 250 m: the label of a cell is that of its centre

_KIND_ORDER: Final = ("city", "town", "region", "district", "city_district")
_KIND_WORDS: Final = {
    fold(word): kind
    for kind, words in {
        "district": "tumani tuman т. туман тумани район р-н rayon rayonı district t.",
        "city": "shahri shahar шаҳри шаҳар город гор г. г sh. city qala qalası",
        "region": "viloyati viloyat вилояти вилоят область обл. обл wálayatı region respublikasi республика",
    }.items()
    for word in words.split()
}
_DIRECTIONS: Final = {
    "n": Names("shimolda", "шимолда", "к северу", "arqada", "N"),
    "ne": Names("shimoli-sharqda", "шимоли-шарқда", "к северо-востоку", "arqa-shıǵısta", "NE"),
    "e": Names("sharqda", "шарқда", "к востоку", "shıǵısta", "E"),
    "se": Names("janubi-sharqda", "жануби-шарқда", "к юго-востоку", "qubla-shıǵısta", "SE"),
    "s": Names("janubda", "жанубда", "к югу", "qublada", "S"),
    "sw": Names("janubi-gʻarbda", "жануби-ғарбда", "к юго-западу", "qubla-batısta", "SW"),
    "w": Names("gʻarbda", "ғарбда", "к западу", "batısta", "W"),
    "nw": Names("shimoli-gʻarbda", "шимоли-ғарбда", "к северо-западу", "arqa-batısta", "NW"),
}
_KILOMETRE: Final = Names("km", "км", "км", "km", "km")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place that was found. `name` is in Uzbek Latin, `names` in all five; `score` is 0 to 100."""

    name: str
    kind: str
    region: str
    lat: float
    lon: float
    score: float
    names: Names


class Gazetteer:
    """All named places in memory, with their keys."""

    def __init__(self, places: tuple[Settlement, ...] | None = None) -> None:
        self.places = (*_regions(), *settlements()) if places is None else places
        keys = [(key, i) for i, place in enumerate(self.places) for key in sorted(_keys(place))]
        self._keys = [key for key, _ in keys]
        self._loose = [loosen(key) for key in self._keys]
        self._owner = np.array([i for _, i in keys], dtype=np.int64)
        towns = [place for place in self.places if place.kind in ("city", "town")]
        self._towns, self._wards = towns, [p for p in self.places if p.kind == "city_district"]
        self._town_lats = np.array([town.at.lat for town in towns])
        self._town_lons = np.array([town.at.lon for town in towns])
        self._town_radii_m = np.array([radius_m(town.population) for town in towns])
        self._label_of_cell = lru_cache(maxsize=65_536)(self._describe_cell)

    def search(self, text: str, near: tuple[float, float] | None = None, limit: int = 10) -> list[Place]:
        """The places whose names come nearest to the text, best first; `near` (lat, lon) favours what is
        close."""
        query, kind = _query(text)
        if not query:
            return []
        best = np.zeros(len(self.places))
        np.maximum.at(best, self._owner, self._scores(query))
        found = [self._found(int(i), best[i], kind, near) for i in np.flatnonzero(best >= MIN_SCORE)]
        whole = fold(text)
        found.sort(key=lambda scored: (-scored[0], _tie(scored[1], whole)))
        return [_place(place, score) for score, place in found[: max(0, limit)]]

    def describe(self, lat: float, lon: float) -> Names:
        """Words for a position in all five languages: the settlement, its district in a large city, or the
        distance and direction from the nearest settlement. Remembered by cells of 250 m."""
        return self._label_of_cell(math.floor(lat / LABEL_CELL_DEG), math.floor(lon / LABEL_CELL_DEG))

    def _scores(self, query: str) -> np.ndarray:
        """The score of each key, 0 to 100."""
        exact = _ratios(query, self._keys)
        loose = _ratios(loosen(query), self._loose) - LOOSE_COST
        begins = np.array([len(query) / len(key) if key.startswith(query) else 0.0 for key in self._keys])
        prefix = np.where(begins > 0, PREFIX_SCORE + (100 - PREFIX_SCORE) * begins, 0.0)
        return np.asarray(np.maximum(np.maximum(exact, loose), prefix if len(query) > 1 else 0.0))

    def _found(
        self, i: int, score: float, kind: str | None, near: tuple[float, float] | None
    ) -> tuple[float, Settlement]:
        place = self.places[i]
        if kind is not None and kind not in place.kind.replace("town", "city").split("_"):
            score -= 4.0
        if near is not None:
            score -= min(NEAR_COST_MOST, distance_m(near, place.at) / 1000 * NEAR_COST_PER_KM)
        return float(score), place

    def _describe_cell(self, row: int, column: int) -> Names:
        at = Point((row + 0.5) * LABEL_CELL_DEG, (column + 0.5) * LABEL_CELL_DEG)
        away_m = distances_m(self._town_lats, self._town_lons, at)
        nearest = int(np.argmin(away_m - self._town_radii_m))
        town = self._towns[nearest]
        if away_m[nearest] <= self._town_radii_m[nearest]:
            return self._inside(town, at)
        direction = _DIRECTIONS[compass_point(bearing_deg(town.at, at))]
        distance = str(max(1, round(float(away_m[nearest]) / 1000)))
        said = zip(town.names.each(), _KILOMETRE.each(), direction.each(), strict=True)
        return Names(*(f"{name}, {distance} {unit} {where}" for name, unit, where in said))

    def _inside(self, town: Settlement, at: Point) -> Names:
        """The town itself, and in a city with districts the one whose middle is nearest."""
        wards = [ward for ward in self._wards if distance_m(ward.at, town.at) < radius_m(town.population) * 1.5]
        if not wards:
            return town.names
        ward = min(wards, key=lambda ward: distance_m(ward.at, at))
        pairs = zip(town.names.each(), ward.names.each(), strict=True)
        return Names(*(f"{name}, {district}" for name, district in pairs))


def radius_m(population: int) -> float:
    """How far a settlement reaches from its middle, taken as a disc of 9,000 people per km² (3,000 in a
    village, where houses have gardens)."""
    per_km2 = min(9_000.0, 2_600.0 + population / 120)
    return 1000 * math.sqrt(max(population, 500) / per_km2 / math.pi)


def _tie(place: Settlement, whole: str) -> tuple[bool, int, int]:
    """Between equal scores: the name as it was written in full, then cities before areas, then the larger."""
    return whole not in map(fold, place.names.each()), _KIND_ORDER.index(place.kind), -place.population


def _regions() -> tuple[Settlement, ...]:
    return tuple(
        Settlement(kind="region", region=r.id, names=r.names, at=r.capital_at, population=r.population) for r in REGIONS
    )


def _keys(place: Settlement) -> set[str]:
    """Every key a place is found by, without the words that only say its kind."""
    keys = {_query(name)[0] for name in (*place.names.each(), *place.other)}
    return {key for key in keys if key}


def _query(text: str) -> tuple[str, str | None]:
    """The folded text without the words for district, city and region, and the kind those words asked for."""
    words = fold(text).replace(",", " ").split()
    kinds = [_KIND_WORDS[word] for word in words if word in _KIND_WORDS]
    rest = [word for word in words if word not in _KIND_WORDS]
    return (" ".join(rest), kinds[0]) if kinds and rest else (" ".join(rest or words), None)


def _ratios(query: str, keys: list[str]) -> np.ndarray:
    return np.asarray(process.cdist([query], keys, scorer=fuzz.ratio, dtype=np.float32)[0])


def _place(place: Settlement, score: float) -> Place:
    return Place(
        name=place.names.uz_latn, kind=place.kind, region=place.region, lat=place.at.lat, lon=place.at.lon,
        score=round(max(0.0, score), 1), names=place.names,
    )  # fmt: skip
