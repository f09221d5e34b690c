"""What a drawing means: the streets along a line or near a point, and no others."""

import numpy as np
import pytest

from routing import snapping
from routing.drawn import AHEAD, BOTH, STEP_M, arcs_along, arcs_around
from routing.geometry import Point, from_local_m
from routing.roads import Roads
from routing.travel import Travel
from tests.routing.oracle import small_roads

CORNER = Point(41.3, 69.2)


def town() -> Roads:
    """Crossings 200 m apart in three columns and three rows, all streets two-way: nodes 0..8 row by row from the
    south-west."""
    places = [at(200.0 * (i % 3), 200.0 * (i // 3)) for i in range(9)]
    pairs = [(i, i + 1) for i in range(9) if i % 3 < 2] + [(i, i + 3) for i in range(6)]
    arcs = [(a, b, 20_000) for a, b in pairs] + [(b, a, 20_000) for a, b in pairs]
    return small_roads(places, arcs)


def ends(roads: Roads, arcs: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(roads.tail[arcs].tolist(), roads.head[arcs].tolist(), strict=True))


def at(east_m: float, north_m: float) -> Point:
    return from_local_m(CORNER, east_m, north_m)


def drawn(line: list[Point], radius_m: float = 15.0, direction: str = BOTH) -> set[tuple[int, int]]:
    roads = town()
    return ends(roads, arcs_along(roads, snapping.grid(roads), line, radius_m, direction))


def test_a_line_along_a_street_means_both_directions_and_none_of_its_crossings() -> None:
    assert drawn([at(10, 205), at(380, 195)]) == {(3, 4), (4, 3), (4, 5), (5, 4)}


def test_a_line_ahead_means_the_direction_in_which_it_is_drawn() -> None:
    assert drawn([at(10, 203), at(190, 203)], direction=AHEAD) == {(3, 4)}
    assert drawn([at(190, 203), at(10, 203)], direction=AHEAD) == {(4, 3)}


def test_a_line_around_a_corner_means_both_streets() -> None:
    assert drawn([at(20, 0), at(200, 0), at(200, 190)], direction=AHEAD) == {(0, 1), (1, 4)}


def test_a_line_that_only_crosses_streets_or_lies_apart_from_them_means_none() -> None:
    assert drawn([at(50, 150), at(50, 250)]) == set()
    assert drawn([at(30, 100), at(170, 100)]) == set()
    assert drawn([at(30, 200), at(30, 200)]) == set()


def test_both_sides_of_a_dual_carriageway_are_meant() -> None:
    sides = [(0.0, 0.0), (500.0, 0.0), (500.0, 14.0), (0.0, 14.0)]
    roads = small_roads([at(*side) for side in sides], [(0, 1, 30_000), (2, 3, 30_000)])
    cells = snapping.grid(roads)
    line = [at(5, 7), at(490, 7)]
    assert arcs_along(roads, cells, line, 20.0).tolist() == [0, 1]
    assert arcs_along(roads, cells, line, 20.0, AHEAD).tolist() == [0]


def test_a_short_street_is_found_and_a_very_long_line_is_walked_in_longer_steps() -> None:
    places = [at(0, 0), at(2 * STEP_M, 0), at(400_000, 0)]
    short = small_roads(places, [(0, 1, 500), (1, 2, 9_000)])
    cells = snapping.grid(short)
    assert arcs_along(short, cells, [at(-4, 0), at(8, 0)], 5.0).tolist() == [0]
    assert arcs_along(short, cells, [at(-4, 0), at(40, 0)], 5.0).tolist() == [0, 1]
    assert arcs_along(short, cells, [at(0, 0), at(400_000, 0)], 500.0).tolist() == [1]


def test_what_comes_within_a_distance_of_a_point_is_meant() -> None:
    roads = town()
    cells = snapping.grid(roads)
    assert ends(roads, arcs_around(roads, cells, at(100, 210), 15.0)) == {(3, 4), (4, 3)}
    assert len(arcs_around(roads, cells, at(200, 200), 5.0)) == 8
    assert len(arcs_around(roads, cells, at(100, 100), 50.0)) == 0


def test_copies_of_a_closed_street_are_closed_with_it() -> None:
    roads = town()
    again = small_roads(
        [*zip(roads.lat.tolist(), roads.lon.tolist(), strict=True), (float(roads.lat[4]), float(roads.lon[4]))],
        [
            *zip(roads.tail.tolist(), roads.head.tolist(), roads.ms.tolist(), strict=True),
            (3, 9, 20_000),
            (9, 5, 20_000),
        ],
    )

    class Apart:
        """The network as an imported map has it: with copies on which nobody stands."""

        snaps = np.arange(len(again.tail)) < len(roads.tail)

        def __getattr__(self, name: str) -> object:
            return getattr(again, name)

    found = arcs_along(Apart(), snapping.grid(roads), [at(10, 200), at(190, 200)], 10.0)  # type: ignore[arg-type]
    assert ends(again, found) == {(3, 4), (4, 3), (3, 9)}


def test_closing_the_pass_between_angren_and_pop_sends_the_valley_round_or_leaves_it_cut_off(
    demo_roads: Roads, demo_travel: Travel
) -> None:
    """The road A373 over the Qamchiq pass joins the Fergana valley with the rest of the country; snow and avalanches
    close it some days of a winter."""
    angren, pop = (41.0167, 70.1436), (40.8736, 71.1089)
    open_way = demo_travel.path(angren, pop)
    assert open_way is not None
    middle = open_way.points[len(open_way.points) // 3 : 2 * len(open_way.points) // 3]
    arcs = arcs_along(demo_roads, demo_travel.cells, middle, 30.0)
    ms = demo_roads.ms.copy()
    ms[arcs] = 2**30 - 1
    demo_travel.reweigh(ms)
    for _ in range(2):
        closed_way = demo_travel.path(angren, pop)
        assert closed_way is None or closed_way.seconds_at[-1] > open_way.seconds_at[-1]
        assert closed_way is None or not set(middle[1:-1]) <= set(closed_way.points)
        demo_travel.catch_up()


@pytest.mark.parametrize("radius_m", [0.0, 5_000.0])
def test_a_radius_out_of_bounds_is_a_fault_of_the_caller(radius_m: float) -> None:
    roads = town()
    with pytest.raises(AssertionError):
        arcs_around(roads, snapping.grid(roads), at(0, 0), radius_m)
