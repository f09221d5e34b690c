"""Which region a call is in: cities, exclaves, borders, and agreement with outlines that others drew."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from routing.gazetteer import Gazetteer
from routing.geometry import distance_m, from_local_m
from routing.places import settlements
from routing.regions import BORDER_UNCERTAINTY_M, REGIONS, SNAP_LIMIT_M, RegionFacts, Regions

REGION_OF = Regions()
NEIGHBOURS = [
    (one, other)
    for one, other in itertools.combinations(REGION_OF.outlines, 2)
    if REGION_OF.outlines[one].intersection(REGION_OF.outlines[other]).length > 0.01
]
lats, lons = st.floats(37.2, 45.5), st.floats(56.1, 73.1)


@pytest.mark.parametrize("facts", REGIONS, ids=lambda facts: facts.id)
def test_each_capital_lies_in_its_region(facts: RegionFacts) -> None:
    match = REGION_OF.at(*facts.capital_at)
    assert match.region == facts.id and not match.snapped
    south, west, north, east = facts.box
    assert south < facts.capital_at.lat < north and west < facts.capital_at.lon < east


@pytest.mark.parametrize(
    ("place", "lat", "lon"),
    [
        ("Shohimardon", 39.983, 71.805),
        ("Soʻx", 39.977, 71.135),
        ("Chong-Gʻara", 40.245, 71.045),
        ("Quvasoy", 40.297, 71.980),
    ],
)
def test_exclaves_and_the_town_beyond_the_coarse_border_belong_to_fergana(place: str, lat: float, lon: float) -> None:
    match = REGION_OF.at(lat, lon)
    assert match.region == "UZ-FA" and not match.snapped, place


@pytest.mark.parametrize(("ward", "lat", "lon"), [("Sirgʻali", 41.198, 69.222), ("Bektemir", 41.2097, 69.3342)])
def test_the_citys_southern_districts_are_the_city(ward: str, lat: float, lon: float) -> None:
    assert REGION_OF.at(lat, lon).region == "UZ-TK", ward


def test_near_a_border_both_regions_are_named() -> None:
    match = REGION_OF.at(41.4033, 69.2232)  # the northern corner of Tashkent city
    assert {match.region, *match.also} == {"UZ-TK", "UZ-TO"}
    assert match.distance_to_border_m < BORDER_UNCERTAINTY_M


def test_a_wide_radius_names_the_regions_it_reaches() -> None:
    assert REGION_OF.at(41.3111, 69.2797, 300).also == ()
    assert REGION_OF.at(41.3111, 69.2797, 12_000).also == ("UZ-TO",)


def test_just_outside_the_country_the_nearest_region_is_taken_and_flagged() -> None:
    match = REGION_OF.at(37.17, 67.32)  # across the Amu Darya, by the bridge of Hairatan
    assert match.region == "UZ-SU" and match.snapped
    assert match.distance_to_border_m < SNAP_LIMIT_M


@pytest.mark.parametrize("abroad", [(42.87, 74.59), (38.56, 68.79), (37.95, 58.38), (0.0, 0.0), (43.24, 76.89)])
def test_abroad_there_is_no_region(abroad: tuple[float, float]) -> None:
    assert REGION_OF.at(*abroad).region is None


@given(lats, lons, st.floats(0, 20_000))
def test_the_grid_answers_as_the_outlines_would(lat: float, lon: float, accuracy_m: float) -> None:
    quick, slow = REGION_OF.at(lat, lon, accuracy_m), REGION_OF._look(lat, lon, accuracy_m)
    assert (quick.region, quick.also, quick.snapped) == (slow.region, slow.also, slow.snapped)
    if quick.region is not None:
        far = REGION_OF._look(lat, lon, quick.distance_to_border_m + 1_000)
        assert quick.distance_to_border_m <= far.distance_to_border_m + 1


@given(st.lists(st.tuples(lats, lons, st.floats(0, 20_000)), min_size=1, max_size=20))
def test_many_at_once_are_answered_as_each_alone(asked: list[tuple[float, float, float]]) -> None:
    columns = np.array(asked).T
    for many, alone in zip(REGION_OF.at_many(*columns), (REGION_OF.at(*one) for one in asked), strict=True):
        assert (many.region, many.also, many.snapped) == (alone.region, alone.also, alone.snapped)
        assert many.distance_to_border_m == pytest.approx(alone.distance_to_border_m)


@given(lats, lons)
def test_a_point_is_in_one_region_or_in_none(lat: float, lon: float) -> None:
    match = REGION_OF.at(lat, lon)
    holding = [name for name, area in REGION_OF.outlines.items() if area.intersects(shapely.Point(lon, lat))]
    if match.snapped or match.region is None:
        assert not holding
    else:
        assert match.region in holding and set(holding) <= {match.region, *match.also}


@given(st.data())
def test_on_either_side_of_a_border_both_regions_are_named(data: st.DataObject) -> None:
    one, other = data.draw(st.sampled_from(NEIGHBOURS))
    shared = REGION_OF.outlines[one].intersection(REGION_OF.outlines[other].buffer(1e-4))
    along = shared.boundary.interpolate(data.draw(st.floats(0, 1)), normalized=True)
    away = data.draw(st.floats(-150, 150)), data.draw(st.floats(-150, 150))
    match = REGION_OF.at(*from_local_m((along.y, along.x), *away))
    assert {one, other} <= {match.region, *match.also}


@given(lats, lons, st.floats(-1, 1), st.floats(-1, 1))
def test_no_border_is_crossed_within_the_distance_to_the_border(lat: float, lon: float, x: float, y: float) -> None:
    match = REGION_OF.at(lat, lon)
    if match.region is None or match.snapped:
        return
    reach_m = min(match.distance_to_border_m, 20_000) * 0.7
    moved = from_local_m((lat, lon), x * reach_m, y * reach_m)
    if distance_m((lat, lon), moved) <= reach_m:
        assert REGION_OF.at(*moved).region == match.region


def test_regions_do_not_overlap_and_cover_the_countrys_area() -> None:
    areas = list(REGION_OF.outlines.values())
    shared = sum(a.intersection(b).area for i, a in enumerate(areas) for b in areas[i + 1 :])
    assert shared < 1e-5
    assert sum(facts.area_km2 for facts in REGIONS) == pytest.approx(447_400, rel=0.01)


def test_fourteen_regions_have_names_in_five_languages_and_the_nations_people() -> None:
    assert len(REGIONS) == 14 and len({facts.id for facts in REGIONS}) == 14
    assert all(all(facts.names.each()) for facts in REGIONS)
    assert sum(facts.population for facts in REGIONS) == 38_069_116
    assert sum(facts.calls_103_in_2025 for facts in REGIONS) == pytest.approx(14_299_948, abs=1_000)


def test_settlements_lie_in_the_region_that_the_table_gives_them() -> None:
    matches = [(place, REGION_OF.at(*place.at)) for place in settlements()]
    assert not [place.names.en for place, match in matches if place.region not in (match.region, *match.also)]
    assert sum(place.region != match.region for place, match in matches) <= 2


def test_districts_drawn_by_others_lie_in_the_same_regions(districts_file: Path) -> None:
    gazetteer = Gazetteer(tuple(place for place in settlements() if place.kind == "district"))
    agree, compared = 0, 0
    for feature in json.loads(districts_file.read_text())["features"]:
        inside = shape(feature["geometry"]).representative_point()
        found = gazetteer.search(feature["properties"]["shapeName"], near=(inside.y, inside.x), limit=1)
        if found and found[0].score >= 88 and distance_m((inside.y, inside.x), (found[0].lat, found[0].lon)) < 60_000:
            match = REGION_OF.at(inside.y, inside.x)
            compared += 1
            agree += found[0].region in (match.region, *match.also)
    assert compared >= 120
    assert agree / compared >= 0.96


def test_the_outlines_are_valid_and_small() -> None:
    assert all(shapely.is_valid(area) for area in REGION_OF.outlines.values())
    assert sum(shapely.get_num_coordinates(area) for area in REGION_OF.outlines.values()) < 2_000


@pytest.mark.parametrize(("away_m", "agree"), [(50.0, 0.95), (3_000.0, 0.985)])
def test_away_from_our_borders_others_outlines_give_the_same_region(
    districts_file: Path, away_m: float, agree: float
) -> None:
    theirs = regions_of_districts(districts_file)
    rng = np.random.default_rng(1)
    lats, lons = rng.uniform(37.2, 45.6, 20_000), rng.uniform(56.0, 73.2, 20_000)
    inside = {name: shapely.contains_xy(area, lons, lats) for name, area in theirs.items()}
    compared = [
        any(inside[name][i] for name in (match.region, *match.also) if name is not None)
        for i, match in enumerate(REGION_OF.at_many(lats, lons, away_m))
        if not match.snapped and match.distance_to_border_m >= away_m and any(one[i] for one in inside.values())
    ]
    assert len(compared) > 2_000
    assert sum(compared) / len(compared) >= agree


def regions_of_districts(file: Path) -> dict[str, shapely.Geometry]:
    """Regions put together of others' districts, each given to the region that holds most of it."""
    parts: dict[str, list[shapely.Geometry]] = {}
    for feature in json.loads(file.read_text())["features"]:
        area = shapely.make_valid(shape(feature["geometry"]))
        most = max(REGION_OF.outlines, key=lambda name: REGION_OF.outlines[name].intersection(area).area)
        parts.setdefault(most, []).append(area)
    return {name: shapely.union_all(areas) for name, areas in parts.items()}
