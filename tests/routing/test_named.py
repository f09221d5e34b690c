"""Streets by name on a map: one name in several towns, and the stretch between two crossings on both carriageways."""

from pathlib import Path

import pytest

from routing import mapfolder, stretches
from routing.geometry import Point, distance_m
from routing.lines import course
from routing.named import NamedStreets, Street
from routing.roads import Roads
from tests.routing.avenue import APART, AVENUE, BOBUR, COLUMN, NAVOIY, ROW, avenue_map
from tests.routing.oracle import small_roads
from tests.routing.osm_files import SOUTH, STEP_DEG, WEST


@pytest.fixture(scope="module")
def roads_and_names(tmp_path_factory: pytest.TempPathFactory) -> tuple[Roads, NamedStreets]:
    found = mapfolder.load(avenue_map(tmp_path_factory.mktemp("avenue")))
    return found.roads, NamedStreets(found.roads, found.names)


@pytest.fixture
def named(roads_and_names: tuple[Roads, NamedStreets]) -> NamedStreets:
    return roads_and_names[1]


def at(row: float, column: float) -> Point:
    """A place on the sheet."""
    return Point(SOUTH + (ROW + row) * STEP_DEG, WEST + (COLUMN + column) * STEP_DEG)


def avenue(named: NamedStreets) -> Street:
    return named.bearing([AVENUE])[0]


def columns(line: list[Point]) -> tuple[float, float]:
    """The columns between which a line runs, in its direction."""
    begin, end = ((point.lon - WEST) / STEP_DEG - COLUMN for point in (line[0], line[-1]))
    return round(begin, 2), round(end, 2)


def cut(street: Street, named: NamedStreets, first: str, second: str) -> list[list[Point]]:
    starts, ends = (stretches.crossings(street, named.bearing([name])) for name in (first, second))
    assert len(starts) == len(ends) == 1
    return stretches.between(street, starts[0], ends[0])


def test_a_name_means_a_street_in_each_town_in_whatever_letters(named: NamedStreets) -> None:
    found = named.bearing([AVENUE])
    assert len(found) == 2
    assert distance_m(found[0].middle, found[1].middle) > 200_000
    for spelt in ("AMIR TEMUR SHOH KO'CHASI", "Амир Темур шоҳ кўчаси"):
        assert [len(street.edges) for street in named.bearing([spelt])] == [len(street.edges) for street in found]
    assert named.bearing(["Shota Rustaveli koʻchasi"]) == []


def test_both_carriageways_are_one_street(named: NamedStreets) -> None:
    street = avenue(named)
    lines = stretches.whole(street)
    assert sorted(columns(line) for line in lines) == [(0, 10), (10, 0)]
    assert street.metres == pytest.approx(2 * 10 * distance_m(at(0, 0), at(0, 1)), rel=0.01)


def test_between_two_crossings_both_carriageways_are_cut_also_where_a_street_meets_only_one(
    named: NamedStreets,
) -> None:
    lines = cut(avenue(named), named, NAVOIY, BOBUR)
    assert [columns(line) for line in lines] == [(2, 6), (2, 6)]
    assert {round((line[0].lat - SOUTH) / STEP_DEG - ROW, 2) for line in lines} == {0.0, APART}


def test_the_lines_lead_from_the_first_crossing_to_the_second(named: NamedStreets) -> None:
    assert [columns(line) for line in cut(avenue(named), named, BOBUR, NAVOIY)] == [(6, 2), (6, 2)]


def test_a_street_is_cut_at_positions_on_it(named: NamedStreets) -> None:
    lines = stretches.between(avenue(named), [at(0, 1)], [at(0, 1.5)])
    assert [columns(line) for line in lines] == [(1, 1.5), (1, 1.5)]


def test_the_stretch_around_a_place_reaches_as_far_as_was_said(named: NamedStreets) -> None:
    lines = stretches.around(avenue(named), at(0, 3), 167.0)
    assert all(1.9 < min(columns(line)) < 2.3 and 3.7 < max(columns(line)) < 4.1 for line in lines) and len(lines) == 2
    assert stretches.around(avenue(named), at(20, 3), 100.0) == []


def test_a_street_knows_what_meets_it(named: NamedStreets) -> None:
    assert named.met_by(avenue(named)) == [NAVOIY, BOBUR]
    assert stretches.crossings(avenue(named), named.bearing(["Mustaqillik koʻchasi"])) == []


def test_roads_without_names_have_no_named_streets() -> None:
    bare = small_roads([(41.3, 69.2), (41.3, 69.3)], [(0, 1, 1000), (1, 0, 1000)])
    assert len(NamedStreets(bare, [])) == 0 and NamedStreets(bare, ["Navoiy"]).bearing(["Navoiy"]) == []


def test_an_arc_is_drawn_from_its_tail_to_its_head(roads_and_names: tuple[Roads, NamedStreets]) -> None:
    roads, _ = roads_and_names
    for arc in range(len(roads.tail)):
        first, last = course(roads, arc)[0], course(roads, arc)[-1]
        tail, head = roads.tail[arc], roads.head[arc]
        assert (first, last) == (Point(roads.lat[tail], roads.lon[tail]), Point(roads.lat[head], roads.lon[head]))


def test_a_map_folder_gives_its_street_names(tmp_path: Path) -> None:
    assert AVENUE in mapfolder.street_names(avenue_map(tmp_path))
