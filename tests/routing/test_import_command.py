"""`dispatch112 import-map` and `travel --map`: what they make, what they print, and how they refuse."""

import csv
import hashlib
import json
import math
from pathlib import Path

import osmium
import pytest

from dispatch.cli import main
from dispatch.maps import imported_roads
from routing import manifest, mapfolder
from routing.basemap import Basemap
from routing.cch import UNREACHABLE
from routing.travel import Travel
from tests.routing.osm_files import SOUTH, STEP_DEG, WEST, Drawn, drawn

HOUSES = {"addr__street": "Navoiy koʻchasi", "addr__housenumber": "12a", "addr__city": "Buxoro"}


def town() -> Drawn:
    """A square of named streets with a house, a hospital, a village, and a region around it."""
    sheet = drawn()
    for id, row, column in ((1, 0.0, 0.0), (2, 0.0, 2.0), (3, 2.0, 2.0), (4, 2.0, 0.0)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 2], name="Navoiy koʻchasi", name__ru="улица Навои", alt_name="Alisher Navoiy;Navoi st")
    sheet.way(12, [2, 3], name="Bobur koʻchasi")
    sheet.way(13, [3, 4, 1], name="Bobur koʻchasi", oneway="yes")
    sheet.node(20, 0.5, 0.5, **HOUSES)
    sheet.node(21, 1, 1, place="village", name="Gʻijduvon", name__uz_Cyrl="Ғиждувон", population="1200")
    for id, row, column in ((30, 1.0, 1.0), (31, 1.0, 1.2), (32, 1.2, 1.2)):
        sheet.node(id, row, column)
    sheet.ways[40] = ([30, 31, 32, 30], {"amenity": "hospital", "name": "Shifoxona", "building": "yes"})
    for id, row, column in ((50, -9, -9), (51, -9, 9), (52, 9, 9), (53, 9, -9)):
        sheet.node(id, row, column)
    sheet.ways[60] = ([50, 51, 52], {})
    sheet.ways[61] = ([52, 53, 50], {})
    region = {"type": "boundary", "boundary": "administrative", "admin_level": "4", "name": "Buxoro viloyati"}
    sheet.relations.append(([("w", 60, "outer"), ("w", 61, "outer")], {**region, "ISO3166-2": "UZ-BU"}))
    return sheet


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    return town().write(tmp_path / "town.osm.pbf")


@pytest.fixture
def folder(extract: Path, tmp_path: Path) -> Path:
    assert (
        main(["import-map", str(extract), "--map", str(tmp_path / "map"), "--export-edges", str(tmp_path / "e.csv")])
        == 0
    )
    return tmp_path / "map"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_map_says_what_it_is_from_and_what_it_holds(folder: Path, extract: Path) -> None:
    manifest = json.loads((folder / "map.json").read_text("utf-8"))
    assert manifest["source_sha256"] == hashlib.sha256(extract.read_bytes()).hexdigest()
    assert manifest["profile"] == "car" and manifest["unit_profile"] == "unit"
    assert manifest["factors"]["moh-sirens"]["urban"] == 0.65
    assert manifest["counts"]["nodes"] == 3
    for name, digest in manifest["files_sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {path.name for path in folder.iterdir()} == {*manifest["files_sha256"], "map.json"}


def test_the_gazetteer_has_streets_houses_places_and_sights_with_their_region(folder: Path) -> None:
    found = {(row["kind"], row["name"]): row for row in rows(folder / "gazetteer.csv")}
    assert found["street", "Navoiy koʻchasi"]["name_ru"] == "улица Навои"
    assert found["street", "Navoiy koʻchasi"]["other"] == "Alisher Navoiy;Navoi st"
    assert found["address", "Navoiy koʻchasi"]["house"] == "12a"
    assert found["village", "Gʻijduvon"]["name_uz_cyrl"] == "Ғиждувон"
    assert found["village", "Gʻijduvon"]["population"] == "1200"
    hospital = found["hospital", "Shifoxona"]
    assert float(hospital["lat"]) == pytest.approx(SOUTH + STEP_DEG * 1.05, abs=STEP_DEG / 10)
    assert {row["region"] for row in found.values()} == {"UZ-BU"}
    regions = json.loads((folder / "regions.geojson").read_text("utf-8"))["features"]
    assert [feature["properties"]["code"] for feature in regions] == ["UZ-BU"]
    assert regions[0]["geometry"]["type"] == "Polygon"
    assert json.loads((folder / "districts.geojson").read_text("utf-8"))["features"] == []


def test_the_way_between_two_positions_has_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    start, end = f"{SOUTH},{WEST + STEP_DEG}", f"{SOUTH + 2 * STEP_DEG},{WEST + STEP_DEG}"
    assert main(["travel", "--from", start, "--to", end, "--map", str(folder)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["names"] == ["Navoiy koʻchasi", "Bobur koʻchasi"]
    assert answer["map_version"].startswith("town-") and answer["map_version"].endswith("-car")
    assert len(answer["path"]["coordinates"]) == answer["points"] == 4


def test_tables_hold_every_pair_and_leave_unreachable_ones_empty(folder: Path, tmp_path: Path) -> None:
    nodes = rows(tmp_path / "nodes.csv")
    assert {row["source_id"] for row in nodes} <= {"1", "2", "3", "4"}
    (tmp_path / "a.csv").write_text("id,lat,lon\nhere,41.0,69.002\nthere,41.004,69.002\n")
    (tmp_path / "b.csv").write_text("id, node\n" + "".join(f"n{row['id']}, {row['id']}\n" for row in nodes))
    words = [
        "travel",
        "--map",
        str(folder),
        "--from-file",
        str(tmp_path / "a.csv"),
        "--to-file",
        str(tmp_path / "b.csv"),
    ]
    assert main([*words, "--out", str(tmp_path / "m.csv")]) == 0
    table = rows(tmp_path / "m.csv")
    assert [(row["from"], row["to"]) for row in table] == [(a, f"n{n['id']}") for a in ("here", "there") for n in nodes]
    assert all(int(row["ms"]) > 0 and float(row["metres"]) > 0 for row in table)


def test_other_profiles_are_a_word_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {}
    for profile in ("car", "moh-sirens"):
        capsys.readouterr()
        words = ["--from", "41.0,69.002", "--to", "41.004,69.002", "--map", str(folder), "--profile", profile]
        assert main(["travel", *words]) == 0
        seconds[profile] = json.loads(capsys.readouterr().out)["seconds"]
    assert seconds["moh-sirens"] == pytest.approx(0.75 * seconds["car"], rel=1e-3)


def test_a_service_takes_the_profile_that_its_core_multiplies(folder: Path) -> None:
    found = imported_roads(folder)
    assert found.version.startswith("town-") and found.version.endswith("-unit")
    x, y = tile_of(SOUTH + STEP_DEG, WEST + STEP_DEG, 14)
    assert len(Basemap(found).tile(14, x, y)) > 50
    travel = Travel(found)
    travel.move("unit", SOUTH, WEST + STEP_DEG)
    assert travel.times(["unit"], SOUTH + 2 * STEP_DEG, WEST + STEP_DEG).ms[0] < UNREACHABLE


def tile_of(lat: float, lon: float, zoom: int) -> tuple[int, int]:
    """The map tile in which a position lies."""
    north = math.asinh(math.tan(math.radians(lat)))
    return int((lon + 180) / 360 * 2**zoom), int((1 - north / math.pi) / 2 * 2**zoom)


def test_a_street_that_is_one_way_for_a_profile_has_no_other_way(tmp_path: Path) -> None:
    sheet = town()
    sheet.node(70, 0.0, 2.5)
    sheet.way(71, [2, 70], name="Tor koʻcha", oneway="yes")
    sheet.way(72, [70, 3], name="Uzun koʻcha")
    assert main(["import-map", str(sheet.write(tmp_path / "t.osm.pbf")), "--map", str(tmp_path / "map")]) == 0
    alone = {}
    for profile in ("car", "moh-sirens"):
        found = mapfolder.load(tmp_path / "map", profile).roads
        closed = found.ms >= UNREACHABLE
        assert (found.twin[closed] == -1).all() and found.snaps is not None and not found.snaps[closed].any()
        alone[profile] = int((found.twin[~closed] == -1).sum())
        place = Travel(found).snap(*sheet.between(2, 70))
        assert place.distance_m < 0.01 and not closed[place.edge]
    assert alone["car"] == alone["moh-sirens"] + 1


@pytest.mark.parametrize("times", [1, 2])
def test_edges_may_lie_in_the_map_s_own_folder(extract: Path, tmp_path: Path, times: int) -> None:
    place = tmp_path / "map"
    for _ in range(times):
        assert main(["import-map", str(extract), "--map", str(place), "--export-edges", str(place / "edges.csv")]) == 0
    assert rows(place / "edges.csv") and rows(place / "nodes.csv")


def test_edges_that_cannot_be_written_are_refused_before_the_work(
    extract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--map", str(tmp_path / "map"), "--export-edges", str(tmp_path / "nowhere" / "e.csv")]
    assert main(["import-map", str(extract), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1  # and no line of progress
    assert not (tmp_path / "map").exists()


def test_a_second_import_takes_the_place_of_the_first(folder: Path, tmp_path: Path) -> None:
    other = town()
    other.node(70, 4, 4)
    other.way(71, [3, 70])
    assert main(["import-map", str(other.write(tmp_path / "grown.osm.pbf")), "--map", str(folder)]) == 0
    assert json.loads((folder / "map.json").read_text("utf-8"))["source"] == "grown.osm.pbf"
    assert sorted(path.name for path in tmp_path.iterdir() if "map" in path.name) == ["map"]


def test_a_drawing_of_another_kind_is_refused_by_its_own_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = town().write(tmp_path / "town.osm")
    path.write_text(path.read_text("utf-8").replace('lat="41"', 'lat="north"'), "utf-8")
    assert main(["import-map", str(path), "--map", str(tmp_path / "map")]) == 2
    said = capsys.readouterr().err
    assert "north" in said and said.count("\n") == 1


def broken(name: str, place: Path, whole: Path) -> Path:
    path = place / f"{name}.osm.pbf"
    if name == "directory":
        path.mkdir()
    elif name == "text":
        path.write_text("not a map\n" * 1_000)
    elif name == "truncated":
        path.write_bytes(whole.read_bytes()[:-40])
    elif name == "empty":
        path.touch()
    elif name == "roadless":
        sheet = drawn()
        sheet.node(1, 0, 0, name="alone")
        sheet.write(path)
    elif name == "nodeless":
        sheet = drawn()
        sheet.way(11, [1, 2])
        sheet.write(path)
    return path


@pytest.mark.parametrize("name", ["missing", "directory", "text", "truncated", "empty", "roadless", "nodeless"])
def test_a_file_that_is_no_extract_is_one_line_and_leaves_nothing(
    name: str, extract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "out" / "map"
    assert main(["import-map", str(broken(name, tmp_path, extract)), "--map", str(place)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dispatch112: ") and said.count("\n") == 1
    assert not place.exists() and not list(tmp_path.glob("out/.*"))


@pytest.mark.parametrize("wrong", ["/dev/null/map", "/proc/map", "full", "file"])
def test_a_place_that_cannot_hold_a_map_is_one_line(
    wrong: str, extract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert main(["import-map", str(extract), "--map", str(tmp_path / wrong)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dispatch112: ") and said.count("\n") == 1
    assert (tmp_path / "full" / "letter.txt").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "words", [["--profile", "tank"], ["--export-edges", "/dev/null/edges.csv"], ["--profiles", "/nowhere/own.json"]]
)
def test_a_mistake_in_a_flag_makes_no_map(
    words: list[str], extract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-map", str(extract), "--map", str(tmp_path / "map"), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,lat,lon\na,41.0,69.001\nb,x,69\n", "line 3"),
        ("id,lat,lon\na,69.001,41.0\n", "swapped"),
        ("id,lat,lon\na,nan,69.001\n", "line 2"),
        ("id,lat,lon\na,41.0\n", "line 2"),
        ("id,lat,lon\na,41.0,69.0,7\n", "line 2"),
        ("id,node\na,99\n", "line 2"),
        ("id,node\na,-1\n", "line 2"),
        ("id,node\n,1\n", "line 2"),
        ("place,lat,lon\na,41,69\n", "line 1"),
        ("id,lat,lon\n", "no place"),
        ("", "line 1"),
    ],
)
def test_a_bad_row_names_its_file_and_line(
    text: str, line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    (tmp_path / "good.csv").write_text("id,node\na,1\n")
    out = tmp_path / "m.csv"
    words = ["--from-file", str(tmp_path / "good.csv"), "--to-file", str(tmp_path / "bad.csv"), "--out", str(out)]
    capsys.readouterr()
    assert main(["travel", "--map", str(folder), *words]) == 2
    said = capsys.readouterr().err
    assert "bad.csv" in said and line in said and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "41.0,69.0"],
        ["--from", "41.0,69.0", "--to", "41.0,69.0", "--out", "m.csv"],
        ["--from-file", "a.csv", "--to-file", "b.csv"],
        ["--from", "41.0,69.001", "--to", "47.1,9.5"],
        ["--from", "41.0,69.001", "--to", "41.0,69.002", "--profile", "tank"],
    ],
)
def test_a_question_that_cannot_be_meant_is_one_line(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["travel", "--map", str(folder), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["roads.npz", "profiles.npz", "map.json", "streets.txt"])
def test_a_damaged_map_is_one_line(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    assert main(["travel", "--map", str(folder), "--from", "41.0,69.001", "--to", "41.0,69.003"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dispatch112: ") and said.count("\n") == 1


@pytest.mark.parametrize("text", ["{}", "[]", "7"])
def test_another_map_json_is_said_to_be_none_of_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(ValueError, match=r"map\.json is not what dispatch112 import-map writes"):
        mapfolder.check(tmp_path)


READ_BY_A_SERVICE = (
    *("roads.npz", "profiles.npz", "streets.txt", "gazetteer.csv", "kilometres.geojson"),
    *("regions.geojson", "districts.geojson"),
)


@pytest.mark.parametrize("name", READ_BY_A_SERVICE)
def test_a_file_that_is_not_as_it_was_written_is_found_before_anything_starts(name: str, folder: Path) -> None:
    mapfolder.check(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is not as it was written; import it anew"):
        mapfolder.check(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        mapfolder.check(folder)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["serve", "--port", "0"], "gazetteer.csv"),
        (["travel", "--from", "41.0,69.001", "--to", "41.0,69.003"], "streets.txt"),
        (["bench", "travel"], "profiles.npz"),
        (["search", "Navoiy"], "gazetteer.csv"),
    ],
)
def test_each_command_refuses_a_damaged_map_in_one_line(
    words: list[str], name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    capsys.readouterr()
    assert main([*words, "--map", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "is damaged" in error and name in error and error.count("\n") == 1


def test_a_file_is_read_through_once_however_often_it_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapfolder.check(folder)
    read: list[Path] = []
    monkeypatch.setattr(manifest, "digest", read.append)
    mapfolder.check(folder)
    mapfolder.load(folder)
    assert not read


def test_an_extract_may_be_xml(tmp_path: Path) -> None:
    town().write(tmp_path / "town.osm")
    assert main(["import-map", str(tmp_path / "town.osm"), "--map", str(tmp_path / "map")]) == 0
    assert osmium is not None and mapfolder.load(tmp_path / "map").manifest["counts"]["nodes"] == 3
