"""The nearest road: what the grid finds is what looking at every road would find."""

import math

import numpy as np
import pytest

from routing import snapping
from routing.geometry import on_segment
from routing.roads import Roads
from tests.routing.oracle import small_roads


def all_distances_m(roads: Roads, lat: float, lon: float) -> float:
    ends = ((roads.lat[nodes], roads.lon[nodes]) for nodes in (roads.tail, roads.head))
    pairs = zip(*(zip(lats.tolist(), lons.tolist(), strict=True) for lats, lons in ends), strict=True)
    return min(on_segment((lat, lon), a, b).distance_m for a, b in pairs)


def test_the_grid_finds_the_nearest_street_in_a_random_country() -> None:
    rng = np.random.default_rng(5)
    places = list(zip(rng.uniform(40, 40.5, 60).tolist(), rng.uniform(65, 65.5, 60).tolist(), strict=True))
    arcs = [(int(a), int(b), 1_000) for a, b in rng.integers(0, 60, (80, 2))]
    roads = small_roads(places, arcs)
    cells = snapping.grid(roads)
    for lat, lon in rng.uniform((39.8, 64.8), (40.7, 65.7), (200, 2)).tolist():
        edge, offset, distance_m = snapping.nearest(cells, lat, lon)[:3]
        assert distance_m == pytest.approx(all_distances_m(roads, lat, lon), rel=1e-6, abs=1e-3)
        assert 0 <= offset <= 1 and 0 <= edge < len(arcs)


def test_a_position_hundreds_of_kilometres_away_still_has_a_nearest_road() -> None:
    roads = small_roads([(41.0, 69.0), (41.0, 69.01)], [(0, 1, 1_000)])
    edge, offset, distance_m, *at = snapping.nearest(snapping.grid(roads), 45.0, 57.0)
    assert (edge, offset) == (0, 0.0) and distance_m > 900_000 and at == [41.0, 69.0]


def test_a_two_way_street_is_one_edge_named_by_its_first_arc() -> None:
    roads = small_roads([(41.0, 69.0), (41.0, 69.01)], [(1, 0, 1_000), (0, 1, 1_000)])
    edge, offset, _, *at = snapping.nearest(snapping.grid(roads), 41.0001, 69.0025)
    assert edge == 0 and offset == pytest.approx(0.75, abs=1e-6) and at == pytest.approx([41.0, 69.0025])


def test_a_street_of_no_length_can_be_found() -> None:
    roads = small_roads([(41.0, 69.0), (41.0, 69.01)], [(0, 0, 1_000), (1, 1, 1_000)])
    edge, offset, distance_m = snapping.nearest(snapping.grid(roads), 41.0, 69.011)[:3]
    assert (edge, offset) == (1, 0.0) and math.isclose(distance_m, 83.9, abs_tol=0.5)
