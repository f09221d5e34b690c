"""Kept lists of what people type: every script, one slip each, exonyms, word order; the first answer counts."""

import csv
from pathlib import Path

import pytest

from routing.gazetteer import Gazetteer, Place
from routing.geometry import Point, distance_m, from_local_m
from routing.names import fold

QUERIES = Path(__file__).parent / "queries"
GAZETTEER = Gazetteer()
SETTLED = ("region", "city", "town", "district", "city_district")
Row = dict[str, str]


def rows(file: str) -> list[Row]:
    with (QUERIES / file).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


ONE_SLIP = rows("one_slip.csv")
SPELLINGS = rows("spellings.csv")


def bears(place: Place, name: str) -> bool:
    return fold(name) in map(fold, place.names.each())


def is_right(row: Row, found: list[Place]) -> bool:
    """The first answer bears the name that was meant, or is the district around it or the seat in it."""
    if not found:
        return False
    at = Point(float(row["lat"]), float(row["lon"]))
    beside = found[0].kind in SETTLED and distance_m((found[0].lat, found[0].lon), at) < 15_000
    return bears(found[0], row["name"]) or (beside and found[0].region == row["region"])


def test_enough_queries_are_kept() -> None:
    assert len(ONE_SLIP) >= 500
    assert {row["sort"] for row in ONE_SLIP} == {"latin", "cyrillic", "russian", "karakalpak"}


@pytest.mark.parametrize("sort", ["latin", "cyrillic", "russian", "karakalpak"])
def test_a_name_with_one_slip_is_found_first(sort: str) -> None:
    asked = [row for row in ONE_SLIP if row["sort"] == sort]
    missed = [row["typed"] for row in asked if not is_right(row, GAZETTEER.search(row["typed"]))]
    assert len(missed) <= 0.02 * len(asked), missed


def test_near_the_place_even_more_are_found_and_at_that_very_place() -> None:
    missed = []
    for row in ONE_SLIP:
        at = Point(float(row["lat"]), float(row["lon"]))
        found = GAZETTEER.search(row["typed"], near=from_local_m(at, 4_000, -3_000))
        if not found or distance_m((found[0].lat, found[0].lon), at) > 15_000:
            missed.append(row["typed"])
    assert len(missed) <= 0.01 * len(ONE_SLIP), missed


@pytest.mark.parametrize("row", SPELLINGS, ids=[row["typed"] for row in SPELLINGS])
def test_a_spelling_finds_its_place_first(row: Row) -> None:
    first = GAZETTEER.search(row["typed"])[0]
    seat = row["sort"] in ("exonym", "karakalpak") and first.region == row["region"]
    assert (first.name, first.region) == (row["name"], row["region"]) or (seat and bears(first, row["name"]))


@pytest.mark.parametrize("column", ["name_uz", "name_oz", "name_ru"])
def test_every_district_of_an_official_list_is_found_first(
    districts_by_name: list[dict[str, str]], column: str
) -> None:
    """Names that nobody here wrote, in Latin, Cyrillic and Russian, with and without the place at hand."""
    wrong = []
    for row in districts_by_name:
        first = next(iter(GAZETTEER.search(row[column])), None)
        if first is None or first.region != row["region"] or first.kind not in SETTLED[1:]:
            wrong.append((row[column], first and first.name))
    assert wrong == []


def test_the_table_has_every_district_of_an_official_list(districts_by_name: list[dict[str, str]]) -> None:
    ours = {(place.region, fold(name)) for place in GAZETTEER.places for name in (*place.names.each(), *place.other)}
    theirs = {(row["region"], fold(row["name_uz"])) for row in districts_by_name}
    bare = {(region, name.removesuffix(" tumani").removesuffix(" şahar")) for region, name in theirs - ours}
    assert bare - ours == {("UZ-JI", "ş.raşidov")}  # written with an initial there
