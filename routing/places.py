"""The table of settlements and districts: 14 regions' cities, towns, districts and their centres, with names.

Read once from the data beside this file; what the names are built from is said in data/README.md. The demo's
roads join these places, the gazetteer finds them, and the console's map names them.
"""

import csv
from functools import cache
from typing import Literal

import msgspec

from routing.geometry import Point
from routing.names import Names, to_cyrillic, to_plain
from routing.regions import DATA

Kind = Literal["region", "city", "town", "district", "city_district"]
Row = dict[str, str]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A named place. `population` counts the settlement itself, or the whole district; `other` are further
    names."""

    kind: Kind
    region: str
    names: Names
    at: Point
    population: int
    other: tuple[str, ...] = ()


@cache
def settlements() -> tuple[Settlement, ...]:
    """Every place of the table, districts and their centres as two places, in the table's order."""
    with (DATA / "places.csv").open(encoding="utf-8", newline="") as file:
        return tuple(place for row in csv.DictReader(file) for place in _places(row))


def built_up() -> tuple[Settlement, ...]:
    """The cities and towns alone: what has streets."""
    return tuple(place for place in settlements() if place.kind in ("city", "town"))


def _places(row: Row) -> list[Settlement]:
    if row["kind"] not in ("district", "city_district"):
        return [_settlement(row)]
    district = _place(row, _district_names(row), int(row["population"]))
    return [district, _centre(row)] if row["centre"] else [district]


def _place(row: Row, names: Names, population: int) -> Settlement:
    return Settlement(
        kind=row["kind"],  # type: ignore[arg-type]
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
