"""Named places, and the table of ours: 14 regions' cities, towns, districts and their centres.

Read once from the data beside this file; what the names are built from is said in data/README.md. The demo's
roads join these places, the gazetteer finds them, and the console's map names them. Not here: places from
files of others (place_files, landmarks).
"""

import csv
import math
from functools import cache
from typing import Final

import msgspec

from routing.geometry import Point
from routing.names import Names, to_cyrillic, to_plain
from routing.regions import DATA

SETTLEMENTS: Final = ("city", "town", "village")
"""Kinds that have streets and inhabitants of their own."""

USUAL_REACH_M: Final = {
    "region": 60_000.0, "district": 15_000.0, "quarter": 500.0, "mahalla": 600.0, "street": 500.0, "house": 30.0,
    "park": 300.0, "market": 250.0, "airport": 1_500.0, "hospital": 200.0, "station": 150.0, "metro": 100.0,
    "stop": 60.0, "school": 100.0, "clinic": 100.0, "kilometre_post": 150.0,
}  # fmt: skip
"""How far from a place's middle somebody may be who only gave its name, where nothing better is known."""
OTHER_REACH_M: Final = 250.0
KNOWN_LANDMARK_M: Final = 500.0  # how exactly our own are placed
LEAST_REACH_M: Final = 500.0  # of a settlement

Row = dict[str, str]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A named place, from a region down to a bus stop.

    `region` is empty where only the position says it. `population` counts the settlement itself, or the whole
    district; 0: unknown. `other` are further names. `reach_m` is how far the place extends from `at`, None: what
    is usual for its kind.
    """

    kind: str
    region: str
    names: Names
    at: Point
    population: int = 0
    other: tuple[str, ...] = ()
    reach_m: float | None = None

    @property
    def accuracy_m(self) -> float:
        """How far from `at` somebody may be who only gave this name, in metres."""
        if self.reach_m is not None:
            return self.reach_m
        if self.kind in SETTLEMENTS:
            return max(LEAST_REACH_M, radius_m(self.population))
        if self.kind == "city_district":
            return radius_m(max(self.population, 60_000))
        return USUAL_REACH_M.get(self.kind, OTHER_REACH_M)


@cache
def settlements() -> tuple[Settlement, ...]:
    """Every place of the table, districts and their centres as two places, in the table's order."""
    with (DATA / "places.csv").open(encoding="utf-8", newline="") as file:
        return tuple(place for row in csv.DictReader(file) for place in _places(row))


@cache
def known_landmarks() -> tuple[Settlement, ...]:
    """A few landmarks that everybody knows, placed too coarsely to describe a position by them."""
    with (DATA / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Settlement(
                kind=row["kind"],
                region=row["region"],
                names=Names(row["name"], "", row["name_ru"], "", row["name_en"]),
                at=Point(float(row["lat"]), float(row["lon"])),
                reach_m=max(KNOWN_LANDMARK_M, USUAL_REACH_M.get(row["kind"], OTHER_REACH_M)),
            )
            for row in csv.DictReader(file)
        )


def built_up() -> tuple[Settlement, ...]:
    """The cities and towns alone: what has streets."""
    return tuple(place for place in settlements() if place.kind in SETTLEMENTS)


def radius_m(population: int) -> float:
    """How far a settlement reaches from its middle, taken as a disc of 9,000 people per km² (3,000 in a
    village, where houses have gardens)."""
    per_km2 = min(9_000.0, 2_600.0 + population / 120)
    return 1000 * math.sqrt(max(population, 500) / per_km2 / math.pi)


def _places(row: Row) -> list[Settlement]:
    if row["kind"] not in ("district", "city_district"):
        return [_settlement(row)]
    district = _place(row, _district_names(row), int(row["population"]))
    return [district, _centre(row)] if row["centre"] else [district]


def _place(row: Row, names: Names, population: int) -> Settlement:
    return Settlement(
        kind=row["kind"],
        region=row["region"],
        names=names,
        at=Point(float(row["lat"]), float(row["lon"])),
        population=population,
        other=tuple(name for name in row["other"].split("/") if name),
    )


def _settlement(row: Row) -> Settlement:
    return _place(row, _names(row["name"], row["ru"], row["kaa"], row["en"]), int(row["population"]))


def _centre(row: Row) -> Settlement:
    """The district's seat as a town: where it bears the district's name, it has its other names too."""
    same = row["centre"] == row["name"]
    names = _names(row["centre"], row["centre_ru"], row["kaa"] if same else "", row["en"] if same else "")
    return _place({**row, "kind": "town"}, names, int(row["centre_population"]))


def _names(latin: str, russian: str, karakalpak: str, english: str) -> Names:
    return Names(latin, to_cyrillic(latin), russian, karakalpak or latin, english or to_plain(latin))


def _district_names(row: Row) -> Names:
    latin = row["name"]
    return Names(
        f"{latin} tumani",
        f"{to_cyrillic(latin)} тумани",
        f"{row['ru']} район",
        f"{row['kaa'] or latin} rayonı",
        f"{row['en'] or to_plain(latin)} District",
    )
