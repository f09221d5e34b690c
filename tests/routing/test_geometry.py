"""Distances, bearings and projections against each other and against known places."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import geometry
from routing.geometry import Point

lats = st.floats(geometry.COUNTRY_SOUTH, geometry.COUNTRY_NORTH)
lons = st.floats(geometry.COUNTRY_WEST, geometry.COUNTRY_EAST)
points = st.builds(Point, lats, lons)
metres = st.floats(-15_000, 15_000)

TASHKENT, SAMARKAND = Point(41.3111, 69.2797), Point(39.6546, 66.9645)


def test_tashkent_is_267_km_from_samarkand() -> None:
    assert geometry.distance_m(TASHKENT, SAMARKAND) == pytest.approx(268_000, rel=0.01)


@given(points, points)
def test_distance_is_the_same_both_ways_and_to_many_at_once(a: Point, b: Point) -> None:
    there = geometry.distance_m(a, b)
    assert there == pytest.approx(geometry.distance_m(b, a), abs=1e-6)
    assert geometry.distances_m(np.array([a.lat]), np.array([a.lon]), b)[0] == pytest.approx(there, abs=1e-6)


@given(points, metres, metres)
def test_local_metres_lead_back_and_measure_what_haversine_measures(origin: Point, east: float, north: float) -> None:
    there = geometry.from_local_m(origin, east, north)
    assert geometry.local_m(origin, there) == pytest.approx((east, north), abs=1e-3)
    assert geometry.distance_m(origin, there) == pytest.approx(math.hypot(east, north), rel=2e-3, abs=0.01)


@given(points, st.floats(0, 359.9), st.floats(500, 10_000))
def test_bearing_points_where_one_goes(origin: Point, bearing: float, away: float) -> None:
    east, north = away * math.sin(math.radians(bearing)), away * math.cos(math.radians(bearing))
    seen = geometry.bearing_deg(origin, geometry.from_local_m(origin, east, north))
    assert abs((seen - bearing + 180) % 360 - 180) < 0.2


@pytest.mark.parametrize(("bearing", "name"), [(0, "n"), (44, "ne"), (90, "e"), (200, "s"), (337.6, "n"), (300, "nw")])
def test_eight_compass_points_cover_the_circle(bearing: float, name: str) -> None:
    assert geometry.compass_point(bearing) == name


@given(points, metres, metres, st.floats(0, 1))
def test_a_place_on_a_segment_is_found_where_it_is(a: Point, east: float, north: float, share: float) -> None:
    b = geometry.from_local_m(a, east, north)
    found = geometry.on_segment(geometry.along(a, b, share), a, b)
    assert found.distance_m < 0.5
    length = math.hypot(east, north)
    assert abs(found.offset - share) * length < 2 or length < 1


def test_beyond_the_end_of_a_segment_its_end_is_nearest() -> None:
    a, b = Point(41.0, 69.0), Point(41.0, 69.01)
    found = geometry.on_segment(Point(41.0, 69.02), a, b)
    assert found.offset == 1.0
    assert found.distance_m == pytest.approx(geometry.distance_m(b, Point(41.0, 69.02)), rel=1e-3)


def test_a_segment_of_no_length_answers_its_end() -> None:
    found = geometry.on_segment(Point(41.0, 69.001), Point(41.0, 69.0), Point(41.0, 69.0))
    assert found.offset == 0.0 and found.distance_m == pytest.approx(83.9, abs=0.5)


@given(points)
def test_geojson_order_swaps_and_swaps_back(point: Point) -> None:
    assert geometry.to_lonlat(point) == [point.lon, point.lat]
    assert geometry.from_lonlat(geometry.to_lonlat(point)) == point


@pytest.mark.parametrize("nowhere", [(0.0, 0.0), (69.28, 41.31), (math.nan, 69.0), (55.75, 37.62), (41.3, math.inf)])
def test_zero_swapped_and_foreign_coordinates_are_not_in_the_country(nowhere: tuple[float, float]) -> None:
    assert not geometry.in_country(*nowhere)


def test_a_typed_position_is_read() -> None:
    assert geometry.parse_point("41.3111, 69.2797") == TASHKENT


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("69.2797,41.3111", "swapped"),
        ("41.3", "LAT,LON"),
        ("a,b", "LAT,LON"),
        ("1,2,3", "LAT,LON"),
        ("nan,69", "outside"),
    ],
)
def test_a_mistyped_position_is_refused_in_one_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        geometry.parse_point(text)
    assert "\n" not in str(refusal.value)
