"""Travel times and ways: exact on small networks of any shape, and on the demo's roads."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.geometry import Point, distance_m
from routing.labels import ACCESS_MS_PER_M, FREE_ACCESS_M
from routing.roads import Roads, save
from routing.travel import STILL_M, UNREACHABLE, Travel, TravelTimes
from routing.travel import Path as Way
from tests.routing.oracle import Arc, answer_ms, dijkstra, expected_ms, neighbours, small_roads, starts_at

ROOT = Path(__file__).parents[2]
SQUARE = [(41.00, 69.00), (41.00, 69.01), (41.01, 69.01), (41.01, 69.00)]
RING = [(0, 1, 60_000), (1, 2, 70_000), (2, 3, 80_000), (3, 0, 90_000)]


@st.composite
def networks(draw: st.DrawFn) -> Roads:
    """A few crossings within a few kilometres, in any order, joined by streets of any time, some one-way."""
    places = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=7, unique=True))
    node = st.integers(0, len(places) - 1)
    street = st.tuples(node, node, st.integers(1, 400_000), st.booleans())
    arcs: list[Arc] = []
    for a, b, ms, both in draw(st.lists(street, min_size=1, max_size=12)):
        arcs += [(a, b, ms), (b, a, ms + 7)] if both else [(a, b, ms)]
    order = draw(st.permutations(range(len(places))))
    return small_roads([(41.0 + x / 1000, 69.0 + y / 1000) for x, y in places], arcs, order)


near_by = st.tuples(st.floats(40.998, 41.032), st.floats(68.998, 69.032))


@settings(deadline=None, max_examples=250)
@given(networks(), st.lists(near_by, min_size=1, max_size=6), near_by)
def test_times_are_those_of_dijkstra_on_any_network(
    roads: Roads, units: list[tuple[float, float]], target: tuple[float, float]
) -> None:
    travel = Travel(roads)
    for i, at in enumerate(units):
        travel.move(str(i), *at)
    answer = travel.times([str(i) for i in range(len(units))], *target)
    snaps = [travel.snap(*at) for at in units]
    assert answer.ms.tolist() == [expected_ms(roads, snap, answer.target) for snap in snaps]
    assert answer.edges.tolist() == [snap.edge for snap in snaps]
    assert answer.offsets.tolist() == [snap.offset for snap in snaps]


@settings(deadline=None, max_examples=150)
@given(networks(), near_by, near_by)
def test_the_way_takes_the_time_that_was_promised(
    roads: Roads, start: tuple[float, float], end: tuple[float, float]
) -> None:
    travel = Travel(roads)
    travel.move("unit", *start)
    promised = int(travel.times(["unit"], *end).ms[0])
    path = travel.path(start, end)
    if path is None:
        assert promised == UNREACHABLE
        return
    assert path.seconds_at[-1] * 1000 == pytest.approx(promised, abs=0.01)
    assert path.seconds_at == sorted(path.seconds_at) and len(path.points) == len(path.seconds_at)
    assert_driven_on_roads(roads, path)


def assert_driven_on_roads(roads: Roads, path: Way) -> None:
    """Every point between the ends is a crossing, and the metres are those between the points."""
    crossings = {(float(lat), float(lon)) for lat, lon in zip(roads.lat, roads.lon, strict=True)}
    assert all(tuple(point) in crossings for point in path.points[2:-2])
    on_road = path.points[1:-1] if len(path.points) > 3 else path.points
    length = sum(distance_m(a, b) for a, b in pairwise(on_road))
    assert length <= path.metres * 1.01 + 1 or len(path.points) <= 3


def test_times_on_the_demo_roads_are_those_of_dijkstra(demo_roads: Roads, demo_travel: Travel) -> None:
    rng = np.random.default_rng(3)
    near = neighbours(demo_roads)
    nodes = rng.integers(0, len(demo_roads.lat), (4, 41))
    for row in nodes:
        at = [(float(demo_roads.lat[n]) + 0.0007, float(demo_roads.lon[n]) - 0.0004) for n in row]
        demo_travel.move("unit", *at[0])
        start = demo_travel.snap(*at[0])
        best = dijkstra(near, starts_at(demo_roads, start))
        for target in at[1:]:
            answer = demo_travel.times(["unit"], *target)
            assert int(answer.ms[0]) == answer_ms(demo_roads, (start, answer.target), best)
            path = demo_travel.path(at[0], target)
            assert path is not None
            assert path.seconds_at[-1] * 1000 == pytest.approx(int(answer.ms[0]), abs=0.1)


def test_many_units_get_the_times_that_each_would_get_alone(demo_roads: Roads, demo_travel: Travel) -> None:
    rng = np.random.default_rng(4)
    nodes = rng.integers(0, len(demo_roads.lat), 700)
    keys = [f"unit {i}" for i in range(len(nodes))]
    for key, node in zip(keys, nodes, strict=True):
        demo_travel.move(key, float(demo_roads.lat[node]), float(demo_roads.lon[node]))
    target = (41.3111, 69.2797)
    together = demo_travel.times(keys, *target).ms
    alone = Travel(demo_roads)
    for i in range(0, len(keys), 50):
        alone.move("only", float(demo_roads.lat[nodes[i]]), float(demo_roads.lon[nodes[i]]))
        assert alone.times(["only"], *target).ms[0] == together[i]
    assert (together < UNREACHABLE).all()


def test_a_unit_that_moved_is_placed_anew_and_one_that_did_not_keeps_its_time() -> None:
    travel = Travel(small_roads(SQUARE, RING))
    travel.move("a", *SQUARE[0])
    travel.move("b", *SQUARE[1])
    before = travel.times(["a", "b"], *SQUARE[3]).ms.tolist()
    travel.move("a", *SQUARE[2])
    after = travel.times(["a", "b"], *SQUARE[3]).ms.tolist()
    assert before == [210_000, 150_000]
    assert after == [80_000, 150_000]


def test_a_unit_just_past_its_target_on_a_one_way_street_drives_around() -> None:
    travel = Travel(small_roads(SQUARE, RING))
    travel.move("before", 41.0, 69.002)
    travel.move("past", 41.0, 69.008)
    assert travel.times(["before", "past"], 41.0, 69.005).ms.tolist() == [18_000, 282_000]


def test_unknown_and_forgotten_units_are_unreachable_and_their_places_are_used_again() -> None:
    travel = Travel(small_roads(SQUARE, RING))
    travel.move("a", *SQUARE[0])
    travel.forget("a")
    travel.forget("never seen")
    travel.move("b", *SQUARE[0])
    answer = travel.times(["a", "b", "c"], *SQUARE[1])
    assert answer.ms.tolist() == [UNREACHABLE, 60_000, UNREACHABLE]
    assert answer.edges.tolist()[0] == -1
    assert travel.times([], *SQUARE[1]).ms.tolist() == []


def test_the_same_units_asked_about_again_are_those_that_are_there_now() -> None:
    travel, keys = Travel(small_roads(SQUARE, RING)), ["a", "b"]
    travel.move("a", *SQUARE[0])
    changes: list[Callable[[], None]] = [lambda: None, lambda: travel.move("b", *SQUARE[0]), lambda: travel.forget("a")]
    asked = []
    for change in changes:
        change()
        asked += [travel.times(keys, *SQUARE[1]).ms.tolist(), travel.times(tuple(keys), *SQUARE[1]).ms.tolist()]
    alone, both, other = [60_000, UNREACHABLE], [60_000, 60_000], [UNREACHABLE, 60_000]
    assert asked == [alone, alone, both, both, other, other]


def test_where_no_road_leads_is_a_value_and_not_a_fault() -> None:
    travel = Travel(small_roads(SQUARE, [(0, 1, 60_000), (2, 3, 60_000)]))
    travel.move("a", *SQUARE[0])
    assert travel.times(["a"], *SQUARE[3]).ms.tolist() == [UNREACHABLE]
    assert travel.path(SQUARE[0], SQUARE[3]) is None


def test_a_closed_road_is_not_driven() -> None:
    closed = [(0, 1, UNREACHABLE), (1, 0, 1_000), *RING[1:]]
    travel = Travel(small_roads(SQUARE, closed))
    travel.move("a", 41.0, 69.005)
    assert travel.times(["a"], *SQUARE[1]).ms[0] == UNREACHABLE  # it can only turn back, and there the road ends


def test_what_is_far_off_the_road_costs_the_time_to_reach_it() -> None:
    travel = Travel(small_roads(SQUARE, RING))
    travel.move("near", 41.0 - 0.0005, 69.005)
    travel.move("far", 41.0 - 0.02, 69.005)
    near, far = travel.times(["near", "far"], *SQUARE[1]).ms.tolist()
    away_m = travel.snap(41.0 - 0.02, 69.005).distance_m
    assert near == 30_000
    assert far == 30_000 + int((away_m - FREE_ACCESS_M) * ACCESS_MS_PER_M)
    path = travel.path((41.0 - 0.02, 69.005), SQUARE[1])
    assert path is not None
    assert path.points[0] == Point(41.0 - 0.02, 69.005) and path.seconds_at[-1] * 1000 == pytest.approx(far, abs=1)


def test_more_units_than_first_expected_find_room() -> None:
    travel = Travel(small_roads(SQUARE, RING))
    keys = [str(i) for i in range(1_000)]
    for key in keys:
        travel.move(key, *SQUARE[0])
    assert set(travel.times(keys, *SQUARE[1]).ms.tolist()) == {60_000}


def test_an_answer_names_the_map_and_the_place_it_is_for(demo_travel: Travel) -> None:
    answer = demo_travel.times([], 41.3111, 69.2797)
    assert answer.map_version.startswith("demo-") and answer.weights_version == 1
    assert answer.target.urban and answer.target.distance_m < 300
    assert not demo_travel.snap(42.6, 61.5).urban


def test_driving_times_between_cities_are_of_the_right_size(demo_travel: Travel) -> None:
    path = demo_travel.path((41.3111, 69.2797), (39.6546, 66.9645))  # 300 km by road in the real country
    assert path is not None
    assert 270_000 < path.metres < 420_000
    assert 3 * 3600 < path.seconds_at[-1] < 6 * 3600


ASK_AFTER_WARMING = """
import sys
from pathlib import Path
from routing import cch, drawn, labels, nearest, roads, snapping
from routing.travel import Travel, warm

warm()
modules = (cch, drawn, labels, nearest, snapping)
loops = {loop for module in modules for loop in vars(module).values() if hasattr(loop, "signatures")}
before = {loop: len(loop.signatures) for loop in loops}
travel = Travel(roads.load(Path(sys.argv[1])))
travel.move("unit", 41.3111, 69.2797)
travel.times(["unit"], 41.35, 69.25)
travel.path((41.3111, 69.2797), (39.6546, 66.9645))
drawn.arcs_along(travel.roads, travel.cells, travel.path((41.3111, 69.2797), (41.35, 69.25)).points, 20.0)
travel.reweigh(travel.ms.copy())
travel.times(["unit"], 41.35, 69.25)
travel.path((41.3111, 69.2797), (39.6546, 66.9645))
travel.catch_up()
print(len(loops), [loop.__name__ for loop in loops if len(loop.signatures) != before[loop]])
"""


def test_after_warming_the_first_question_compiles_nothing(demo_roads: Roads, tmp_path: Path) -> None:
    save(demo_roads, tmp_path / "roads.npz")
    command = [sys.executable, "-c", ASK_AFTER_WARMING, str(tmp_path / "roads.npz")]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)
    count, compiled_late = asked.stdout.split(maxsplit=1)
    assert int(count) >= 30 and compiled_late.strip() == "[]"


def test_a_receiver_that_trembles_moves_no_unit_and_a_unit_that_creeps_does_move() -> None:
    travel = Travel(small_roads(SQUARE, RING, [0, 1, 2, 3]))
    travel.move("A1", 41.0, 69.002)
    there = travel.times(["A1"], 41.005, 69.01).ms.tolist()
    travel.move("A1", 41.0, 69.002 + STILL_M / 2 / 84_000)
    assert travel.times(["A1"], 41.005, 69.01).ms.tolist() == there
    for step in range(1, 8):
        travel.move("A1", 41.0, 69.002 + step * STILL_M / 2 / 84_000)
    crept = travel.times(["A1"], 41.005, 69.01)
    assert crept.ms[0] < there[0]
    assert distance_m((41.0, 69.002 + 3.5 * STILL_M / 84_000), (crept_at := at_of(travel, crept))) <= STILL_M, crept_at


def at_of(travel: Travel, answer: TravelTimes) -> Point:
    """Where the only unit of an answer was found."""
    return travel._at(int(answer.edges[0]), float(answer.offsets[0]))


def test_whoever_is_at_a_crossing_is_not_forced_along_the_one_way_street_that_was_found_first() -> None:
    places = [(41.0, 69.0), (41.0, 69.01), (41.01, 69.0), (41.0, 68.99)]
    one_ways = [(0, 1, 60_000), (1, 2, 60_000), (2, 0, 60_000), (0, 3, 50_000), (3, 0, 40_000)]
    roads = small_roads(places, one_ways, [3, 1, 2, 0])
    travel = Travel(roads)
    near = neighbours(roads)
    for start, position in enumerate(places):
        travel.move("unit", *position)
        best = dijkstra(near, {start: 0})
        for end, target in enumerate(places):
            assert travel.times(["unit"], *target).ms[0] == best[end], (start, end)
            path = travel.path(position, target)
            assert path is not None
            assert path.seconds_at[-1] == pytest.approx(best[end] / 1000)
