"""What `dispatch112 search` prints, and how it refuses."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from routing import search_command

KEYS = {"name", "kind", "region", "lat", "lon", "score", "accuracy_m"}


def search(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser()
    search_command.add_arguments(parser)
    assert search_command.run(parser.parse_args(words)) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_places_are_printed_as_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    (place,) = search(capsys, "Гиждуван", "--limit", "1")
    assert set(place) == KEYS
    assert (place["name"], place["region"]) == ("Gʻijduvon", "UZ-BU")


def test_a_position_is_a_place_with_its_region(capsys: pytest.CaptureFixture[str]) -> None:
    (place,) = search(capsys, "41,3111 69,2797")
    assert (place["kind"], place["region"], place["lat"], place["lon"]) == ("position", "UZ-TK", 41.3111, 69.2797)
    (code,) = search(capsys, "876H+CV Toshkent")
    assert (code["kind"], code["region"]) == ("plus_code", "UZ-TK")


def test_files_add_their_places_and_what_was_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mahallas.csv"
    file.write_text("kind,name,lat,lon\nmahalla,Labzak,41.33,69.26\nmahalla,Labzak,0,0\n")
    parser = argparse.ArgumentParser()
    search_command.add_arguments(parser)
    assert search_command.run(parser.parse_args(["Лабзак МФЙ", "--places", str(file)])) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["kind"] == "mahalla"
    assert "1 rows left out" in printed.err


def test_a_map_of_another_country_may_be_searched_near_its_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gazetteer.csv").write_text("kind,name,lat,lon\nstreet,High Street,39.96,-83.0\n")
    found = search(capsys, "high street", "--map", str(tmp_path), "--near=39.97,-83.01")
    assert [place["name"] for place in found] == ["High Street"]
    with pytest.raises(ValueError, match="outside"):
        search(capsys, "high street", "--map", str(tmp_path), "--near=10,10")


@pytest.mark.parametrize(
    "text", ["", " ", "...!?", "🔥🚑", "\x00\x1b[31m", "\udcff", "ʻʻʻ", "qwzzkpf", "9" * 400, "https://maps.app/xK3q"]
)
def test_a_text_that_names_nothing_is_an_empty_list(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert search(capsys, text) == []


@pytest.mark.parametrize(
    "wrong", [("--limit", "0"), ("--limit", "1000"), ("--near", "69,41"), ("--places", "none.csv")]
)
def test_limits_positions_and_files_that_cannot_be_meant_are_refused(
    capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    with pytest.raises(ValueError):
        search(capsys, "Xiva", *wrong)


def test_a_text_that_no_place_is_called_by_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="10000 characters"):
        search(capsys, "a" * 10_000)
