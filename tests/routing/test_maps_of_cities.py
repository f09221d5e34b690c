"""Real extracts and networks that nobody here drew: every time in a table is that of a search over the edges exported.

Skipped where the reference data is absent.
"""

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from dispatch.cli import main
from routing import jemss, junctions, mapfolder, network, osm, roads
from routing.cch import UNREACHABLE
from routing.geometry import Point, along, distance_m
from routing.osm import Extract, Restriction
from routing.profiles import Profiles, Speeds, read_profiles
from routing.progress import Progress
from routing.roads import Roads
from routing.travel import Travel
from tests.routing.oracle import dijkstra

STARTS, ENDS = 4, 60


class Imported(NamedTuple):
    """A map folder, and the edges and nodes that were exported beside it."""

    folder: Path
    edges: dict[int, list[tuple[int, int]]]
    nodes: dict[int, dict[str, str]]


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def import_map(source: Path, place: Path, *words: str) -> Imported:
    edges = place / "edges.csv"
    assert main(["import-map", str(source), "--map", str(place / "map"), "--export-edges", str(edges), *words]) == 0
    near: dict[int, list[tuple[int, int]]] = {}
    for row in rows(edges):
        near.setdefault(int(row["tail"]), []).append((int(row["head"]), int(row["ms"])))
    return Imported(place / "map", near, {int(row["id"]): row for row in rows(place / "nodes.csv")})


def table(found: Imported, place: Path, starts: list[int], ends: list[int], *words: str) -> dict[tuple[int, int], str]:
    for name, nodes in (("a", starts), ("b", ends)):
        (place / f"{name}.csv").write_text("id,node\n" + "".join(f"{node},{node}\n" for node in nodes))
    files = ["--from-file", str(place / "a.csv"), "--to-file", str(place / "b.csv"), "--out", str(place / "m.csv")]
    assert main(["travel", "--map", str(found.folder), *files, *words]) == 0
    return {(int(row["from"]), int(row["to"])): row["ms"] for row in rows(place / "m.csv")}


@pytest.fixture(scope="module", params=["columbus.osm.pbf", "liechtenstein-latest.osm.pbf"])
def city(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    pytest.importorskip("osmium")
    return import_map(shared_data / "geo" / request.param, tmp_path_factory.mktemp("city"))


def check_table(found: Imported, place: Path, *words: str) -> None:
    chance = random.Random(7)
    starts, ends = (chance.sample(sorted(found.nodes), count) for count in (STARTS, ENDS))
    answers = table(found, place, starts, ends, *words)
    for start in starts:
        best = dijkstra(found.edges, {start: 0})
        assert {end: answers[start, end] for end in ends} == {end: str(best.get(end, "")) for end in ends}


def test_a_table_of_a_city_is_what_dijkstra_finds_on_its_edges(city: Imported, tmp_path: Path) -> None:
    check_table(city, tmp_path)
    assert len(city.nodes) > 3_000


def test_positions_anywhere_in_a_city_get_the_times_that_live_questions_get(city: Imported, tmp_path: Path) -> None:
    travel, chance = Travel(mapfolder.load(city.folder).roads), random.Random(3)
    points = [
        (float(row["lat"]) + chance.gauss(0, 5e-4), float(row["lon"]) + chance.gauss(0, 5e-4))
        for row in chance.sample(list(city.nodes.values()), 40)
    ]
    for name, own in (("a", points[:10]), ("b", points[10:])):
        text = "".join(f"{name}{i},{lat!r},{lon!r}\n" for i, (lat, lon) in enumerate(own))
        (tmp_path / f"{name}.csv").write_text("id,lat,lon\n" + text)
    files = [
        "--from-file",
        str(tmp_path / "a.csv"),
        "--to-file",
        str(tmp_path / "b.csv"),
        "--out",
        str(tmp_path / "m.csv"),
    ]
    assert main(["travel", "--map", str(city.folder), *files]) == 0
    answers = list(rows(tmp_path / "m.csv"))
    for i, start in enumerate(points[:10]):
        for j, end in enumerate(points[10:]):
            row, path = answers[i * 30 + j], travel.path(start, end)
            travel.move("unit", *start)
            ms = int(travel.times(["unit"], *end).ms[0])
            assert (int(row["ms"]) if row["ms"] else UNREACHABLE) == ms
            assert (path is None) == (row["ms"] == "")
            if path is not None:
                assert path.seconds_at[-1] == pytest.approx(ms / 1000, abs=0.002)
                assert float(row["metres"]) == pytest.approx(path.metres, abs=max(1.0, path.metres / 1000))
                drawn_m = sum(distance_m(a, b) for a, b in zip(path.points[:-1], path.points[1:], strict=True))
                assert drawn_m >= path.metres * 0.99


def test_the_restrictions_of_a_city_are_obeyed(shared_data: Path) -> None:
    """From just before each crossing to just behind it: straight over it without the ban, another way with it."""
    extract = osm.read(shared_data / "geo" / "columbus.osm.pbf", Progress(io.StringIO()))
    banned, free = (Travel(ordered(extract._replace(restrictions=said))) for said in (extract.restrictions, []))
    obeyed = 0
    for said in extract.restrictions:
        for start, end, over_m in forbidden(extract, said):
            direct, around = free.path(start, end), banned.path(start, end)
            if direct is not None and direct.metres == pytest.approx(over_m, rel=0.02):
                assert around is None or around.metres > over_m + 20, said
                obeyed += 1
    assert obeyed >= 3


def test_bends_change_no_time(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every node of every way kept as a crossing, journeys take what they take with bends, to the rounding."""
    extract = osm.read(shared_data / "geo" / "liechtenstein-latest.osm.pbf", Progress(io.StringIO()))
    bent = Travel(ordered(extract, alike()))
    monkeypatch.setattr(junctions, "special_nodes", lambda extract: np.ones(len(extract.nodes.ids), bool))
    straight = Travel(ordered(extract, alike()))
    assert len(straight.roads.lat) > 4 * len(bent.roads.lat)
    chance, nodes = random.Random(11), np.unique(extract.nodes.find(extract.refs))
    points = [(float(extract.nodes.lat[i]), float(extract.nodes.lon[i])) for i in chance.sample(nodes.tolist(), 80)]
    points = [point for point in points if bent.snap(*point).distance_m < 0.01][:60]  # not what lies on islands
    for start, end in zip(points[:30], points[30:], strict=True):
        ways = [travel.path(start, end) for travel in (bent, straight)]
        assert (ways[0] is None) == (ways[1] is None)
        if ways[0] is not None and ways[1] is not None:
            assert ways[0].seconds_at[-1] == pytest.approx(ways[1].seconds_at[-1], abs=0.3)


def ordered(extract: Extract, profiles: Profiles | None = None) -> Roads:
    return roads.with_order(network.build(extract, profiles or read_profiles()).roads, "city")


def alike() -> Profiles:
    """The profiles with one pace in places and outside: which a street is in is judged by its middle."""
    found = read_profiles()
    speeds = {name: Speeds(urban=pair.rural, rural=pair.rural) for name, pair in found.speeds_kmh.items()}
    return msgspec.structs.replace(found, speeds_kmh=speeds, share_of_limit=Speeds(urban=0.9, rural=0.9))


def forbidden(extract: Extract, said: Restriction) -> Iterator[tuple[Point, Point, float]]:
    """For each turn that a ban by node names: a place before it, a place behind it, and the metres between."""
    if said.is_only or not said.via_nodes:
        return
    for before in _neighbours(extract, said.from_ways, said.via_nodes[0]):
        for behind in _neighbours(extract, said.to_ways, said.via_nodes[0]):
            middle, start, end = (_at(extract, node) for node in (said.via_nodes[0], before, behind))
            if start != end:
                places = along(start, middle, 0.5), along(middle, end, 0.5)
                yield *places, distance_m(places[0], middle) + distance_m(middle, places[1])


def _neighbours(extract: Extract, ways: tuple[int, ...], node: int) -> Iterator[int]:
    for way in ways:
        for i in (extract.way_ids == way).nonzero()[0]:
            refs = extract.refs[extract.first[i] : extract.first[i + 1]].tolist()
            yield from (refs[1] if refs[0] == node else refs[-2] for end in (refs[0], refs[-1]) if end == node)


def _at(extract: Extract, node: int) -> Point:
    i = extract.nodes.ids.searchsorted(node)
    return Point(float(extract.nodes.lat[i]), float(extract.nodes.lon[i]))


@pytest.fixture(scope="module")
def auckland(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    source = next((shared_data / "sim" / "jemss").rglob("roads.zip"))
    return import_map(source, tmp_path_factory.mktemp("auckland"))


@pytest.mark.parametrize("mode", ["mode_1", "mode_2"])
def test_minutes_from_stations_to_hospitals_are_those_that_others_found(
    mode: str, auckland: Imported, shared_data: Path, tmp_path: Path
) -> None:
    known = json.loads((shared_data / "sim" / "jemss" / "auckland_station_hospital_minutes.json").read_text())[
        "auckland"
    ]
    starts, ends = known["station_node"], known["hospital_node"]
    found = table(auckland, tmp_path, starts, ends, "--profile", mode)
    for start, minutes in zip(starts, known["station_to_hospital_minutes"][mode], strict=True):
        assert [int(found[start, end]) / 60_000 for end in ends] == pytest.approx(minutes, abs=0.001)


def test_a_table_of_auckland_is_what_dijkstra_finds_on_its_edges(auckland: Imported, tmp_path: Path) -> None:
    check_table(auckland, tmp_path)


def test_tiny_networks_are_read_as_they_are_meant(shared_data: Path, tmp_path: Path) -> None:
    folders = sorted(path.parent for path in (shared_data / "sim" / "jemss_small_tests").rglob("nodes.csv"))
    assert len(folders) > 5
    for number, source in enumerate(folders):
        place = tmp_path / str(number)
        place.mkdir()
        found = import_map(source, place)
        nodes = sorted(found.nodes)
        answers = table(found, place, nodes, nodes)
        for start in nodes:
            best = dijkstra(found.edges, {start: 0}, limit_ms=2**62)
            assert {end: answers[start, end] for end in nodes} == {end: str(best.get(end, "")) for end in nodes}, source


def test_a_network_of_days_and_kilometres(tmp_path: Path) -> None:
    write_jemss(tmp_path, "1,1,2,1.5,0.001,0.002\n2,2,3,0.5,0.0005,0.001\n")
    made = jemss.read(tmp_path)
    assert made.roads.tail.tolist() == [0, 1] and made.roads.head.tolist() == [1, 2]
    assert made.ms["mode_1"].tolist() == [86_400, 43_200] and made.ms["mode_2"].tolist() == [172_800, 86_400]
    assert made.roads.metres.tolist() == [1_500, 500]


def test_ways_of_many_days_are_in_the_table(tmp_path: Path) -> None:
    """Twelve days are as many milliseconds as the hierarchy holds."""
    write_jemss(tmp_path, "1,1,2,1,7,1\n2,2,1,1,7,1\n3,2,3,1,8,1\n4,3,2,1,6,1\n")
    found = import_map(tmp_path, tmp_path)
    days = {(1, 2): 7, (1, 3): 15, (2, 1): 7, (2, 3): 8, (3, 1): 13, (3, 2): 6} | {
        (node, node): 0 for node in (1, 2, 3)
    }
    assert table(found, tmp_path, [1, 2, 3], [1, 2, 3]) == {pair: str(days[pair] * 86_400_000) for pair in days}
    (tmp_path / "p.csv").write_text("id,lat,lon\na,41.0,69.0025\nb,41.0,69.0125\nc,41.0,69.0175\n")
    files = [word for flag in ("--from-file", "--to-file") for word in (flag, str(tmp_path / "p.csv"))]
    assert main(["travel", "--map", str(found.folder), *files, "--out", str(tmp_path / "m.csv")]) == 0
    ms = {(row["from"], row["to"]): int(row["ms"]) for row in rows(tmp_path / "m.csv")}
    known = {("a", "c"): 5.25 + 6, ("c", "a"): 4.5 + 5.25, ("b", "c"): 4, ("c", "b"): 3, ("a", "a"): 0}
    assert {pair: round(ms[pair] / 86_400_000, 2) for pair in known} == known


def test_a_way_of_many_days_is_not_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jemss(tmp_path, "1,1,2,1,7,1\n2,2,3,1,8,1\n")
    found = import_map(tmp_path, tmp_path)
    for start, end, said in (("69.0", "69.02", "takes 15.0 days"), ("69.02", "69.0", "no road leads")):
        capsys.readouterr()
        assert main(["travel", "--map", str(found.folder), "--from", f"41.0,{start}", "--to", f"41.0,{end}"]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arcs", "said"),
    [
        ("1,1,9,1,0.1,0.1\n", "line 7"),
        ("1,1,2,1,x,0.1\n", "line 7"),
        ("1,1,2,1,-1,0.1\n", "line 7"),
        ("1,1,2,1,nan,0.1\n", "line 7"),
        ("", "arcs"),
    ],
)
def test_a_fault_in_such_a_network_names_file_and_line(
    arcs: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jemss(tmp_path, arcs)
    assert main(["import-map", str(tmp_path), "--map", str(tmp_path / "map")]) == 2
    error = capsys.readouterr().err
    assert "arcs.csv" in error and said in error and error.count("\n") == 1
    assert not (tmp_path / "map").exists()


def test_a_zip_file_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "roads.zip").write_text("no zip")
    assert main(["import-map", str(tmp_path / "roads.zip"), "--map", str(tmp_path / "map")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def write_jemss(place: Path, arcs: str) -> None:
    (place / "nodes.csv").write_text("nodes,,\nindex,x,y\n1,69.0,41.0\n2,69.01,41.0\n3,69.02,41.0\n")
    head = "miscData,,\narcForm,numModes\ndirected,2\n,\narcs,,\nindex,fromNode,toNode,distance,mode_1,mode_2\n"
    (place / "arcs.csv").write_text(head + arcs)
