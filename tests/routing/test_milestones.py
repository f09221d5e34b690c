"""Kilometre posts of a map: read with their roads at the import, found by the words of a caller afterwards."""

import json
from pathlib import Path

import pytest

from dispatch.cli import main
from routing.geometry import distance_m
from routing.milestones import FILE, kilometre
from tests.routing.osm_files import Drawn, drawn


def motorway() -> Drawn:
    """A road of three ways, its number changing half-way, with posts beside it every kilometre or so."""
    sheet = drawn()
    for column in range(0, 61, 5):
        sheet.node(column, 0, column)
    sheet.node(31, 1, 30)
    sheet.way(1, [0, 5, 10, 15, 20], "trunk", ref="A373")
    sheet.way(2, [20, 25, 30], "trunk", ref="A373;AH5", oneway="yes")
    sheet.way(3, [60, 55, 50, 45, 40, 35, 30], "trunk", ref="M39", name="Katta yoʻl")
    sheet.way(4, [30, 31], "residential", name="Navoiy koʻchasi")
    for number, (column, tags) in enumerate(
        [
            (2, {"distance": "131"}),
            (12, {"distance": "132 km"}),
            (24, {"distance": "133,5", "name": "post"}),
            (28, {"distance": "?"}),
            (40, {"distance": "10", "ref": "M-39"}),
            (50, {"distance": "11", "ref": "nothing that is known"}),
            (55, {"pk": "11+400"}),
        ],
        101,
    ):
        sheet.node(number, 0.05, column, highway="milestone", **tags)
    return sheet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    extract = motorway().write(tmp_path / "road.osm.pbf")
    assert main(["import-map", str(extract), "--map", str(tmp_path / "map")]) == 0
    return tmp_path / "map"


def found_at(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    assert main(["search", words, "--map", str(folder)]) == 0
    found: list[dict[str, float]] = json.loads(capsys.readouterr().out)
    return next((place for place in found if str(place["kind"]) == "kilometre_post"), {})


@pytest.mark.parametrize(
    ("words", "column"), [("A373 km 132", 12), ("М-39, 11-км", 50), ("A373 132+750", 18), ("M39 km 11,2", 52.5)]
)
def test_a_kilometre_that_a_caller_names_is_found_on_an_imported_map(
    words: str, column: float, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = motorway().between(0, 60, column / 60)
    words = words if "km" in words or "км" in words else f"{words} km"
    place = found_at(words, folder, capsys)
    assert distance_m((place["lat"], place["lon"]), there) < 40


def test_a_road_with_fewer_than_two_posts_is_left_out_and_what_is_no_number_as_well(folder: Path) -> None:
    written = json.loads((folder / FILE).read_text("utf-8"))
    said = [feature["properties"] for feature in written["features"]]
    assert {each["ref"] for each in said} == {"A373", "M39"}
    assert sorted(each["km"] for each in said if "km" in each) == [10, 11, 11.4, 131, 132, 133.5]
    assert json.loads((folder / "map.json").read_text("utf-8"))["counts"]["kilometre_posts"] == 6


@pytest.mark.parametrize(
    ("text", "km"),
    [("132", 132), ("132.5", 132.5), ("132,5 км", 132.5), ("km 7", 7), ("7+050", 7.05), ("82 mi", None), ("", None)],
)
def test_what_stands_on_a_post_is_read_or_left(text: str, km: float | None) -> None:
    assert kilometre(text) == km


def test_posts_of_a_map_whose_streets_have_no_numbers_are_nobodys(tmp_path: Path) -> None:
    sheet = drawn()
    sheet.way(1, [sheet.node(1, 0, 0), sheet.node(2, 0, 5)])
    sheet.way(2, [901, 902], ref="A373")  # wholly beyond the extract's edge
    for number, column in ((3, 1), (4, 4)):
        sheet.node(number, 0, column, highway="milestone", distance=str(number))
    assert main(["import-map", str(sheet.write(tmp_path / "road.osm.pbf")), "--map", str(tmp_path / "map")]) == 0
    assert json.loads((tmp_path / "map" / FILE).read_text("utf-8"))["features"] == []
