"""Weights that change while questions are asked: answers obey the new ones at once, by either engine."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import nearest
from routing.roads import ROAD_CLASSES, Roads
from routing.travel import LABELS, SEARCH, SEARCH_MOST_NODES, UNREACHABLE, Travel
from routing.weights import (
    Profile,
    Restriction,
    flat,
    profile_from,
    profiled,
    restricted,
)
from tests.routing.oracle import expected_ms, small_roads
from tests.routing.test_travel import RING, SQUARE, near_by, networks

NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
Place = tuple[float, float]


def closing(*arcs: int, factor: float | None = None) -> Restriction:
    return Restriction(arcs=np.array(arcs, np.int32), factor=factor, since=NOW)


@st.composite
def restrictions(draw: st.DrawFn, roads: Roads) -> list[Restriction]:
    arcs = st.lists(st.integers(0, len(roads.tail) - 1), max_size=4, unique=True)
    factor = st.one_of(st.none(), st.floats(1, 100))
    drawn = draw(st.lists(st.tuples(arcs, factor), max_size=4))
    return [closing(*some, factor=factor) for some, factor in drawn]


def placed(roads: Roads, units: list[Place]) -> tuple[Travel, list[str]]:
    travel, keys = Travel(roads), [str(i) for i in range(len(units))]
    for key, at in zip(keys, units, strict=True):
        travel.move(key, *at)
    return travel, keys


@settings(deadline=None, max_examples=200)
@given(st.data(), networks(), st.lists(near_by, min_size=1, max_size=6), near_by)
def test_after_a_change_both_engines_give_the_times_of_dijkstra(
    data: st.DataObject, roads: Roads, units: list[Place], target: Place
) -> None:
    travel, keys = placed(roads, units)
    before = travel.times(keys, *target)
    ms, ends = restricted(roads.ms, data.draw(restrictions(roads)), NOW)
    assert travel.reweigh(ms, ends) == travel.weights_version == before.weights_version + 1
    changed = roads._replace(ms=ms)
    expected = [expected_ms(changed, travel.snap(*at), before.target, ends) for at in units]
    searched = travel.nearest(keys, *target, most=len(units))
    assert searched.ms.tolist() == expected
    at_once = travel.times(keys, *target)
    assert at_once.ms.tolist() == expected
    travel.catch_up()
    labelled = travel.times(keys, *target)
    assert labelled.ms.tolist() == expected and labelled.engine == LABELS
    assert (labelled.ms >= before.ms).all(), "a restriction made a way shorter"


def test_a_search_that_broke_off_leaves_nothing_for_the_next() -> None:
    travel, keys = placed(small_roads(SQUARE, RING), [SQUARE[0], SQUARE[1]])
    target, way = SQUARE[2], (SQUARE[0], SQUARE[2])
    expected, path = travel.nearest(keys, *target, most=2).ms.tolist(), travel.path(*way)
    for _ in range(2):
        for node in range(len(SQUARE)):  # as one ends that ran out of memory: every node in use, with other times
            nearest.touch(travel._ground, node)
            travel._ground.node[node] = 1, -1
        assert travel.nearest(keys, *target, most=2).ms.tolist() == expected
        travel._ground.touched[0], travel._ground.used[0] = 0, 1
        travel._ground.node[0] = 1, -1
        assert travel.path(*way) == path


@settings(deadline=None, max_examples=100)
@given(st.data(), networks(), near_by, near_by)
def test_the_way_obeys_new_weights_before_and_after_the_hierarchy_has_them(
    data: st.DataObject, roads: Roads, start: Place, end: Place
) -> None:
    travel = Travel(roads)
    ms, ends = restricted(roads.ms, data.draw(restrictions(roads)), NOW)
    changed = roads._replace(ms=ms)
    expected = expected_ms(changed, travel.snap(*start), travel.snap(*end), ends)
    travel.reweigh(ms, ends)
    for _ in range(2):
        path = travel.path(start, end)
        assert (path is None) == (expected == UNREACHABLE)
        assert path is None or path.seconds_at[-1] * 1000 == pytest.approx(expected, abs=0.01)
        travel.catch_up()


@settings(deadline=None, max_examples=100)
@given(networks(), near_by, near_by)
def test_symmetric_streets_give_symmetric_times(roads: Roads, here: Place, there: Place) -> None:
    ends = zip(roads.tail.tolist(), roads.head.tolist(), strict=True)
    streets = {(min(pair), max(pair)): ms for pair, ms in zip(ends, roads.ms.tolist(), strict=True)}
    both = [(*pair, ms) for (a, b), ms in streets.items() for pair in ((a, b), (b, a))]
    places = list(zip(roads.lat.tolist(), roads.lon.tolist(), strict=True))
    travel, _ = placed(small_roads(places, both), [here, there])
    assert travel.times(["0"], *there).ms.tolist() == travel.times(["1"], *here).ms.tolist()
    assert travel.nearest(["0"], *there, most=1).ms.tolist() == travel.nearest(["1"], *here, most=1).ms.tolist()


def test_on_the_demo_roads_the_search_and_the_labels_agree_before_and_after_closures(demo_roads: Roads) -> None:
    rng = np.random.default_rng(11)
    nodes = rng.integers(0, len(demo_roads.lat), 60)
    places = list(zip(demo_roads.lat[nodes].tolist(), demo_roads.lon[nodes].tolist(), strict=True))
    travel, keys = placed(demo_roads, places[:50])
    arcs = rng.integers(0, len(demo_roads.tail), 4_000)
    closures = [closing(*arcs[:2_000].tolist()), closing(*arcs[2_000:].tolist(), factor=3.5)]
    before = [travel.times(keys, *at).ms for at in places[50:]]
    for at, was in zip(places[50:], before, strict=True):
        assert travel.nearest(keys, *at, most=50).ms.tolist() == was.tolist()
    travel.reweigh(*restricted(demo_roads.ms, closures, NOW))
    searched = [travel.nearest(keys, *at, most=50).ms for at in places[50:]]
    travel.catch_up()
    for at, found, was in zip(places[50:], searched, before, strict=True):
        labelled = travel.times(keys, *at).ms
        assert labelled.tolist() == found.tolist()
        assert (labelled >= was).all() and (labelled > was).any()


def test_what_a_search_that_stopped_has_not_met_is_no_nearer_than_it_says(demo_roads: Roads) -> None:
    assert len(demo_roads.lat) > SEARCH_MOST_NODES, "the search would cover it all"
    rng = np.random.default_rng(12)
    nodes = rng.integers(0, len(demo_roads.lat), 400)
    places = list(zip(demo_roads.lat[nodes].tolist(), demo_roads.lon[nodes].tolist(), strict=True))
    travel, keys = placed(demo_roads, places)
    slow = rng.integers(0, len(demo_roads.tail), 30_000).tolist()
    ms, _ = restricted(demo_roads.ms, [closing(*slow, factor=2.0)], NOW)
    travel._fresh = travel._net._replace(ms=ms)  # as it is while the hierarchy is being made, for as long as we look
    at = (41.3111, 69.2797)
    given_at_once = travel.times(keys, *at)
    exact = travel.nearest(keys, *at, most=len(keys)).ms
    known = given_at_once.ms < given_at_once.exact_below_ms
    assert given_at_once.engine == SEARCH and 10 < known.sum() < len(keys)
    assert (given_at_once.ms[known] == exact[known]).all()
    assert (exact[~known] >= given_at_once.exact_below_ms).all()
    some = travel.times(keys, *at, most=5)
    assert (some.ms < some.exact_below_ms).sum() <= 5 and some.exact_below_ms < given_at_once.exact_below_ms


def test_times_near_the_largest_number_do_not_overflow_in_either_engine() -> None:
    huge = UNREACHABLE - 1
    travel, keys = placed(small_roads(SQUARE, [(a, b, huge) for a, b, _ in RING]), [SQUARE[0], (44.0, 69.0), SQUARE[3]])
    labelled = travel.times(keys, *SQUARE[3]).ms.tolist()
    assert labelled == travel.nearest(keys, *SQUARE[3], most=3).ms.tolist()
    assert labelled[0] == UNREACHABLE and all(0 <= ms <= UNREACHABLE for ms in labelled)
    one = placed(small_roads(SQUARE, [(0, 1, huge), (1, 2, 1), (2, 3, 1)]), [SQUARE[0]])
    assert (
        one[0].times(["0"], *SQUARE[1]).ms.tolist() == one[0].nearest(["0"], *SQUARE[1], most=1).ms.tolist() == [huge]
    )
    assert one[0].times(["0"], *SQUARE[2]).ms.tolist() == [UNREACHABLE]


def test_units_that_move_come_and_go_while_weights_are_prepared_keep_their_own_times() -> None:
    roads = small_roads(SQUARE, RING)
    travel, keys = placed(roads, [SQUARE[0], SQUARE[1], SQUARE[2]])
    travel.times(keys, *SQUARE[3])
    travel.reweigh(*restricted(roads.ms, [closing(1, factor=2.0)], NOW))
    travel.move("0", *SQUARE[2])
    travel.forget("1")
    for i in range(300):  # more slots than there were when the wish was made
        travel.move(f"new {i}", *SQUARE[1])
    for _ in range(2):
        assert travel.times(["0", "1", "2", "new 299"], *SQUARE[3]).ms.tolist() == [
            80_000,
            UNREACHABLE,
            80_000,
            220_000,
        ]
        travel.catch_up()


def test_of_several_changes_in_a_row_the_last_holds() -> None:
    roads = small_roads(SQUARE, RING)
    travel, _ = placed(roads, [SQUARE[0]])
    for factor in (2.0, 3.0, 4.0, 5.0):
        travel.reweigh(*restricted(roads.ms, [closing(0, factor=factor)], NOW))
        assert travel.times(["0"], *SQUARE[1]).ms.tolist() == [60_000 * factor]
    travel.catch_up()
    answer = travel.times(["0"], *SQUARE[1])
    assert (answer.ms.tolist(), answer.weights_version, answer.engine) == ([300_000], 5, LABELS)


def test_who_is_on_a_closed_street_comes_and_goes_by_the_nearer_end_and_nobody_drives_through() -> None:
    both_ways = [*RING, *((b, a, ms) for a, b, ms in RING)]
    roads = small_roads(SQUARE, both_ways)
    travel, keys = placed(roads, [(41.0, 69.001), (41.0, 69.009), SQUARE[0], SQUARE[3]])
    travel.reweigh(*restricted(roads.ms, [closing(0, 4)], NOW))  # the street between the first two corners
    for _ in range(2):
        to_the_second = travel.times(keys, *SQUARE[1]).ms.tolist()
        assert to_the_second == [246_000, 6_000, 240_000, 150_000]
        assert travel.times(keys, 41.0, 69.002).ms.tolist() == [6_000, 258_000, 12_000, 102_000]
        path = travel.path((41.0, 69.001), SQUARE[1])
        assert path is not None and path.seconds_at[-1] == pytest.approx(246, abs=0.01)
        travel.catch_up()


def test_of_several_restrictions_on_a_street_the_slowest_counts_and_a_slow_street_stays_open() -> None:
    roads = small_roads(SQUARE, [(0, 1, 60_000), (1, 2, UNREACHABLE - 5), (2, 3, UNREACHABLE)])
    both = [closing(0, factor=2.0), closing(0, 1, 2, factor=3.0), closing(0, factor=1.5)]
    assert restricted(roads.ms, both, NOW).ms.tolist() == [180_000, UNREACHABLE - 1, UNREACHABLE]
    ms, ends = restricted(roads.ms, [*both, closing(0)], NOW)
    assert (ms[0], ends[0]) == (UNREACHABLE, 180_000)


def test_a_restriction_counts_from_its_beginning_until_its_end() -> None:
    roads, hour = small_roads(SQUARE, RING), timedelta(hours=1)
    closed = Restriction(arcs=np.array([0], np.int32), since=NOW, until=NOW + hour)
    states = [restricted(roads.ms, [closed], at).ms[0] == UNREACHABLE for at in (NOW - hour, NOW, NOW + hour)]
    assert states == [False, True, False]


@pytest.mark.parametrize("factor", [0.5, 0.0, -1.0, 101.0, float("nan")])
def test_a_slowdown_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="slowdown"):
        closing(0, factor=factor)


def test_a_profile_slows_its_class_at_its_hour_of_the_countrys_own_time() -> None:
    roads = small_roads(SQUARE, RING)._replace(
        kind=np.array([0, 1, 1, 1], np.uint8), urban=np.array([True, True, False, True])
    )
    factors = np.ones((2, 24, len(ROAD_CLASSES), 2))
    factors[0, 13, 1, 1] = 1.5  # 08:30 UTC on a Wednesday is 13:30 there
    profile = profile_from(factors)
    assert profiled(roads, profile, NOW).tolist() == [60_000, 105_000, 80_000, 135_000]
    assert profiled(roads, profile, NOW + timedelta(hours=1)).tolist() == roads.ms.tolist()
    assert profiled(roads, profile, NOW + timedelta(days=3)).tolist() == roads.ms.tolist()
    assert profiled(roads, flat(), NOW).tolist() == roads.ms.tolist()
    assert profiled(roads._replace(ms=np.array([1, 0, UNREACHABLE, UNREACHABLE - 1], np.int32)),
                    Profile(np.full_like(factors, 0.2)), NOW).tolist()[:3] == [1, 0, UNREACHABLE]  # fmt: skip


@pytest.mark.parametrize("wrong", [np.ones((2, 24)), np.zeros((2, 24, 5, 2)), np.full((2, 24, 5, 2), np.nan)])
def test_a_profile_that_cannot_be_right_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="profile"):
        profile_from(wrong)
