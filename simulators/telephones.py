"""The demo's telephone list for the paper kit, made up: no operator of the country gives numbers that begin with 00."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from consoles.telephones import COLUMNS, EVERYWHERE, FILE
from dispatch.keeping.files import write_whole
from routing.regions import region_facts
from simulators.country import UnitSpec

DESKS = (
    ("Markaziy shifoxona, qabul boʻlimi", 1),
    ("Oʻt oʻchirish navbatchisi (101)", 2),
    ("Ichki ishlar navbatchisi (102)", 3),
    ("Tez yordam dispetcheri (103)", 4),
    ("Gaz avariya xizmati (104)", 5),
    ("Qutqaruv xizmati (1050)", 6),
    ("Elektr tarmoqlari navbatchisi", 7),
    ("Hokimlik navbatchisi", 8),
)
COUNTRY = (("112 respublika navbatchisi", 1), ("Favqulodda vaziyatlar vazirligi, shtab", 2))

Row = tuple[str, str, str, str, str]


def write_telephones(data_dir: Path, units: Sequence[UnitSpec]) -> None:
    """Write the list, unless somebody has put one there."""
    if (data_dir / FILE).exists():
        return
    made = io.StringIO()
    lines = csv.writer(made, lineterminator=os.linesep)
    lines.writerow(COLUMNS)
    lines.writerows(rows(units))
    write_whole(data_dir / FILE, made.getvalue().encode(), 0o600)


def rows(units: Iterable[UnitSpec]) -> Iterator[Row]:
    """Desks of the country and of each region, then every unit with its telephone and its radio channel."""
    for name, number in COUNTRY:
        yield (EVERYWHERE, name, _number(0, number), "", "")
    regions = list(region_facts())
    for region in regions:
        for name, number in DESKS:
            yield (region, name, _number(regions.index(region) + 1, number), "", "")
    for number, unit in enumerate(units, 100):
        place = regions.index(unit.region) + 1
        yield (unit.region, f"{unit.call_sign}, {unit.station}", _number(place, number), f"R{place}", unit.unit_id)


def _number(region: int, number: int) -> str:
    return f"+998 00 {region:03}-{number // 100:02}-{number % 100:02}"
