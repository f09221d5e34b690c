"""From an extract to a network: lines, lengths, paces, gates, islands, on sheets that the tests draw themselves."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from routing import snapping
from routing.cch import UNREACHABLE
from routing.geometry import distance_m
from routing.roads import Roads
from routing.travel import Travel
from tests.routing.osm_files import STEP_DEG, Drawn, drawn, imported


def line(sheet: Drawn, *columns: float, start: int = 1) -> list[int]:
    """Nodes in a row on one parallel."""
    return [sheet.node(start + i, 0, column) for i, column in enumerate(columns)]


def kmh(roads: Roads) -> list[float]:
    """The pace of each street, forward."""
    streets = np.flatnonzero(roads.metres > 0)
    return sorted({round(float(roads.metres[i] / roads.ms[i] * 3_600), 1) for i in streets})


def test_nodes_where_nothing_happens_are_bends_and_keep_length_and_shape(tmp_path: Path) -> None:
    sheet = drawn()
    for id, row, column in ((1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 0, 1), (5, 0, 3)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 2, 3])
    sheet.way(12, [5, 4, 3])  # drawn toward the first: a street in both directions all the same
    roads, made = imported(sheet, tmp_path)
    assert len(roads.lat) == 2 and len(roads.tail) == 2 and made.counts["shape_points"] == 5
    length_m = sum(distance_m(sheet.at(a), sheet.at(b)) for a, b in ((1, 2), (2, 3), (3, 4), (4, 5)))
    assert roads.metres == pytest.approx([length_m] * 2, rel=1e-6)
    travel = Travel(roads)
    path = travel.path(sheet.between(1, 2, 0.25), sheet.between(4, 5, 0.75))
    assert path is not None
    corners = [sheet.between(1, 2, 0.25), sheet.at(2), sheet.at(3), sheet.at(4), sheet.between(4, 5, 0.75)]
    assert [tuple(point) for point in path.points] == [pytest.approx(corner, abs=1e-7) for corner in corners]
    driven_m = sum(distance_m(a, b) for a, b in itertools.pairwise(corners))
    assert path.metres == pytest.approx(driven_m, rel=1e-4)
    back = travel.path(corners[-1], corners[0])
    assert back is not None and back.metres == pytest.approx(path.metres)
    assert [tuple(point) for point in back.points] == [pytest.approx(corner, abs=1e-7) for corner in corners[::-1]]
    assert path.seconds_at == sorted(path.seconds_at)
    assert path.seconds_at[2] - path.seconds_at[1] == pytest.approx(
        path.seconds_at[-1] * distance_m(*corners[1:3]) / driven_m, rel=1e-3
    )


def test_a_position_is_found_on_the_bent_line_and_not_on_its_chord(tmp_path: Path) -> None:
    sheet = drawn()
    for id, row, column in ((1, 0, 0), (2, 3, 0), (3, 3, 3)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 2, 3])
    roads, _ = imported(sheet, tmp_path)
    place = Travel(roads).snap(*sheet.between(1, 2, 0.5))
    assert place.distance_m < 0.01 and (place.lat, place.lon) == pytest.approx(sheet.between(1, 2, 0.5))
    edge, offset, *_ = snapping.nearest(snapping.grid(roads), *sheet.between(1, 2, 0.5))
    lengths = [distance_m(sheet.at(1), sheet.at(2)), distance_m(sheet.at(2), sheet.at(3))]
    part = lengths[0] / 2 / sum(lengths)
    assert offset == pytest.approx(part if roads.lon[roads.tail[edge]] < 69.001 else 1 - part, rel=1e-3)


def test_a_street_stops_being_one_where_its_name_or_class_changes(tmp_path: Path) -> None:
    sheet = drawn()
    a, b, c, d = line(sheet, 0, 1, 2, 3)
    sheet.way(11, [a, b], name="Navoiy")
    sheet.way(12, [b, c], name="Bobur")
    sheet.way(13, [c, d], highway="primary", name="Bobur")
    roads, made = imported(sheet, tmp_path)
    assert len(roads.lat) == 4 and roads.name is not None
    assert {made.names[i] for i in roads.name} == {"Navoiy", "Bobur"}


@pytest.mark.parametrize("one_way", [{"oneway": "yes"}, {"oneway": "-1"}])
def test_a_one_way_street_leads_one_way(tmp_path: Path, one_way: dict[str, str]) -> None:
    sheet = drawn()
    a, b, c, d = line(sheet, 0, 1, 2, 3)
    sheet.way(11, [a, b])
    sheet.way(12, [b, c] if one_way["oneway"] == "yes" else [c, b], **one_way)
    sheet.way(13, [c, d])
    roads, _ = imported(sheet, tmp_path)
    roads = roads._replace(snaps=None)  # both sides of it are islands
    travel = Travel(roads)
    travel.move("west", *sheet.between(a, b))
    travel.move("east", *sheet.between(c, d))
    assert travel.times(["west"], *sheet.between(c, d)).ms[0] < UNREACHABLE
    assert travel.times(["east"], *sheet.between(a, b)).ms[0] == UNREACHABLE


def test_a_roundabout_is_driven_one_way_round(tmp_path: Path) -> None:
    sheet = drawn()
    for id, row, column in ((1, 0, 1), (2, 1, 0), (3, 0, -1), (4, -1, 0), (5, 0, 3), (6, 3, 0)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 2, 3, 4, 1], highway="tertiary", junction="roundabout")  # counter-clockwise
    sheet.way(12, [1, 5], highway="tertiary")
    sheet.way(13, [2, 6], highway="tertiary")
    travel = Travel(imported(sheet, tmp_path)[0])
    there, back = (travel.path(sheet.at(a), sheet.at(b)) for a, b in ((5, 6), (6, 5)))
    assert there is not None and back is not None
    arms_m = distance_m(sheet.at(1), sheet.at(5)) + distance_m(sheet.at(2), sheet.at(6))
    quarter_m = distance_m(sheet.at(1), sheet.at(2))
    assert there.metres == pytest.approx(arms_m + quarter_m, rel=1e-3)
    assert back.metres == pytest.approx(arms_m + 3 * quarter_m, rel=1e-3)


def test_a_circle_without_a_crossing_is_a_street(tmp_path: Path) -> None:
    sheet = drawn()
    for id, row, column in ((1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 0, 1)):
        sheet.node(id, row, column)
    sheet.way(11, [1, 2, 3, 4, 1])
    roads, _ = imported(sheet, tmp_path)
    assert len(roads.lat) == 1 and len(roads.tail) == 2
    path = Travel(roads).path(sheet.between(1, 2), sheet.between(3, 4))
    assert path is not None
    assert path.metres == pytest.approx(roads.metres[0] / 2, rel=0.02)


@pytest.mark.parametrize(
    ("said", "pace"),
    [
        ({"maxspeed": "80"}, 72.0),
        ({"maxspeed": "50 mph"}, 72.4),
        ({"maxspeed": "UZ:rural"}, 28.0),
        ({"maxspeed": "UZ:urban"}, 22.0),
        ({"highway": "trunk", "maxspeed": "UZ:urban"}, 52.0),
        ({"highway": "trunk"}, 85.0),
        ({"highway": "motorway", "oneway": "no", "maxspeed": "none"}, 117.0),
        ({"highway": "trunk_link"}, 50.0),
        ({"highway": "living_street"}, 12.0),
        ({"highway": "track", "maxspeed": "80"}, 18.0),
    ],
)
def test_the_pace_follows_the_sign_and_else_the_class(tmp_path: Path, said: dict[str, str], pace: float) -> None:
    sheet = drawn()
    sheet.way(11, line(sheet, 0, 50), **said)
    assert kmh(imported(sheet, tmp_path)[0]) == [pytest.approx(pace, abs=0.1)]


def test_dense_crossings_make_a_place_built_up(tmp_path: Path) -> None:
    sheet = drawn()
    for row in range(25):
        for column in range(25):
            sheet.node(1 + row * 25 + column, row / 2, column / 2)
    for i in range(25):
        sheet.way(1_000 + i, [1 + i * 25 + j for j in range(25)])
        sheet.way(2_000 + i, [1 + j * 25 + i for j in range(25)])
    sheet.node(9_000, 100, 100)
    sheet.way(3_000, [25 * 25, 9_000])
    roads, _ = imported(sheet, tmp_path)
    longest = roads.metres > 5_000
    assert longest.sum() == 2 and not roads.urban[longest].any()
    assert roads.urban[~longest].mean() > 0.95


def test_a_bollard_stops_everybody_and_a_locked_gate_only_others(tmp_path: Path) -> None:
    def times(barrier: dict[str, str]) -> list[int]:
        sheet = drawn()
        a, b, c = line(sheet, 0, 1, 2)
        sheet.nodes[b] = (*sheet.at(b), barrier)
        sheet.way(11, [a, b, c])
        found = []
        for profile in ("car", "unit"):
            roads = imported(sheet, tmp_path, profile)[0]
            travel = Travel(roads._replace(snaps=roads.metres > 0))
            travel.move("unit", *sheet.between(a, b))
            found.append(int(travel.times(["unit"], *sheet.between(b, c)).ms[0]))
        return found

    free = times({})
    assert free[0] == free[1] < UNREACHABLE
    assert times({"barrier": "gate"}) == free
    assert times({"barrier": "bollard"}) == [UNREACHABLE, UNREACHABLE]
    assert times({"barrier": "lift_gate", "access": "private"}) == [UNREACHABLE, pytest.approx(free[1] + 10_000, abs=2)]


def test_private_grounds_and_bus_lanes_are_open_to_crews(tmp_path: Path) -> None:
    for said in ({"access": "private"}, {"highway": "busway"}, {"motor_vehicle": "no", "bus": "designated"}):
        sheet = drawn()
        a, b, c = line(sheet, 0, 1, 2)
        sheet.way(11, [a, b])
        sheet.way(12, [b, c], **said)
        _, made = imported(sheet, tmp_path)
        assert (made.ms["car"] == UNREACHABLE).sum() == 2, said
        assert made.ms["unit"].max() < UNREACHABLE


def test_sirens_go_against_short_lesser_one_way_streets_only(tmp_path: Path) -> None:
    sheet = drawn()
    nodes = line(sheet, 0, 0.5, 1, 3)
    sheet.way(11, nodes[:2], oneway="yes")
    sheet.way(12, nodes[1:3], highway="primary", oneway="yes")
    sheet.way(13, nodes[2:], oneway="yes")
    _, made = imported(sheet, tmp_path)
    assert [(made.ms[name] < UNREACHABLE).sum() for name in ("car", "unit", "moh-sirens")] == [3, 3, 4]


def test_factors_of_a_profile_multiply_a_cars_times(tmp_path: Path) -> None:
    sheet = drawn()
    a, b, c = line(sheet, 0, 50, 100)
    sheet.way(11, [a, b], maxspeed="UZ:urban")
    sheet.way(12, [b, c], maxspeed="UZ:rural")
    roads, made = imported(sheet, tmp_path)
    factors = made.ms["moh-sirens"] / made.ms["car"]
    assert factors == pytest.approx(np.where(roads.urban, 0.65, 0.75), rel=1e-4)
    assert made.ms["unit"].tolist() == made.ms["car"].tolist()


def test_nobody_is_found_on_a_road_that_leads_nowhere(tmp_path: Path) -> None:
    sheet = drawn()
    row = line(sheet, *range(12))
    for i, (a, b) in enumerate(itertools.pairwise(row)):
        sheet.way(100 + i, [a, b], name=str(i))
    sheet.node(50, 0.5, 3)
    sheet.node(51, 0.5, 4)
    sheet.way(200, [50, 51])
    roads, _ = imported(sheet, tmp_path)
    assert roads.snaps is not None and (~roads.snaps).sum() == 2
    place = Travel(roads).snap(*sheet.between(50, 51))
    assert place.distance_m == pytest.approx(STEP_DEG / 2 * 111_195, rel=0.01)


def test_a_town_of_its_own_stays_one(tmp_path: Path) -> None:
    sheet = drawn()
    for block, start in ((0, 1), (40, 5_000)):
        for i in range(18):
            for j in range(18):
                sheet.node(start + i * 18 + j, i, j + block)
        for i in range(18):
            sheet.way(start + i, [start + i * 18 + j for j in range(18)])
            sheet.way(start + 100 + i, [start + j * 18 + i for j in range(18)])
    roads, _ = imported(sheet, tmp_path)
    assert roads.snaps is not None and roads.snaps.all()


def test_a_way_is_cut_where_the_extract_ends(tmp_path: Path) -> None:
    sheet = drawn()
    a, b, c, d = line(sheet, 0, 1, 2, 3)
    sheet.way(11, [a, b, 777, c, d])
    roads, _ = imported(sheet, tmp_path)
    assert len(roads.lat) == 4 and len(roads.tail) == 4


def test_speeds_and_factors_come_from_a_file(tmp_path: Path) -> None:
    from routing.profiles import read_profiles

    path = tmp_path / "own.json"
    path.write_text('{"speeds_kmh": {}}')
    with pytest.raises(ValueError, match=r"own\.json"):
        read_profiles(path)
    with pytest.raises(ValueError, match=r"absent\.json"):
        read_profiles(tmp_path / "absent.json")
