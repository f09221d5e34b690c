"""One place out of much evidence: who wins, how the radius grows, what contradicts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.geometry import distance_m, from_local_m, local_m
from routing.locate import Estimate, fuse, radius_at
from routing.regions import Regions
from routing.sectors import Sector
from routing.sources import Fix, Source, Spot

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
CENTRE = (41.3111, 69.2797)
REGIONS = Regions()
SOURCES: list[Source] = ["aml", "app", "ecall", "cell", "address", "landmark", "vehicle", "operator"]


def fix(source: Source, ago_s: float = 0, accuracy_m: float | None = None, away: tuple[float, float] = (0, 0)) -> Fix:
    lat, lon = from_local_m(CENTRE, *away)
    return Fix(lat=lat, lon=lon, source=source, at=NOW - timedelta(seconds=ago_s), accuracy_m=accuracy_m)


def spot(at: tuple[float, float], score: float) -> Spot:
    return Spot(lat=at[0], lon=at[1], accuracy_m=400, score=score)


def sector_at(away: tuple[float, float], azimuth_deg: float) -> Fix:
    lat, lon = from_local_m(CENTRE, *away)
    sector = Sector(azimuth_deg=azimuth_deg, width_deg=65, range_m=2_500)
    return Fix(lat=lat, lon=lon, source="cell", at=NOW, sector=sector)


def best(*fixes: Fix) -> Estimate:
    estimate = fuse(fixes, NOW, REGIONS)
    assert estimate is not None
    return estimate


def test_no_evidence_is_no_estimate() -> None:
    assert fuse([], NOW, REGIONS) is None


@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (69.28, 41.31), (float("nan"), 69.0), (999.0, 69.0)])
def test_null_swapped_and_impossible_positions_are_no_evidence(lat: float, lon: float) -> None:
    nowhere = Fix(lat=lat, lon=lon, source="aml", at=NOW, accuracy_m=10)
    assert fuse([nowhere], NOW, REGIONS) is None
    assert best(nowhere, fix("cell", 60)).source == "cell"


def test_of_one_device_the_newest_fix_counts_alone() -> None:
    assert best(fix("aml", 30, 40, (60, 0)), fix("aml", 5, 40)) == best(fix("aml", 5, 40))


def test_a_newer_fix_with_a_radius_over_four_times_worse_does_not_replace_one() -> None:
    exact = fix("aml", 5, 30)
    assert best(exact, fix("aml", 0, 3_000, (2_000, 0))) == best(exact)
    assert best(fix("aml", 5, 900), fix("aml", 0, 3_000, (2_000, 0))).accuracy_m > 3_000


def test_an_old_exact_fix_gives_way_when_its_caller_may_have_gone_far() -> None:
    assert best(fix("vehicle", 600, 10, (900, 0)), fix("vehicle", 0, 900)).at == NOW


def test_two_that_agree_are_known_better_than_each_alone() -> None:
    phone, words = fix("aml", 0, 300, (100, 0)), fix("address", 0, 300)
    together = best(phone, words)
    assert together.accuracy_m < 0.85 * min(best(phone).accuracy_m, best(words).accuracy_m)
    east, _ = local_m(CENTRE, (together.lat, together.lon))
    assert 5 < east < 95


def test_an_exact_phone_is_hardly_moved_by_a_cell_that_agrees() -> None:
    together = best(fix("aml", 0, 15), fix("cell", 0, 2_000, (900, 300)))
    assert distance_m(CENTRE, (together.lat, together.lon)) < 5 and together.source == "aml"


@pytest.mark.parametrize("apart_m", [30_000, 60_000, 100_000, 266_000])
@pytest.mark.parametrize(("source", "accuracy_m"), [("app", 10), ("cell", 3_000), ("address", 500)])
def test_who_contradicts_from_however_far_is_never_met_half_way(
    source: Source, accuracy_m: float, apart_m: float
) -> None:
    """Nobody said that the caller is on the steppe between two towns."""
    estimate = best(fix("aml", accuracy_m=10), fix(source, accuracy_m=accuracy_m, away=(0, apart_m)))
    assert distance_m((estimate.lat, estimate.lon), CENTRE) < 100
    assert estimate.contradiction is not None


def test_evidence_that_disagrees_widens_the_circle_until_it_holds_both() -> None:
    estimate = best(fix("aml", 0, 20), fix("address", 0, 100, (5_000, 0)))
    assert estimate.accuracy_m > 4_500 and estimate.contradiction is not None


def test_a_third_piece_says_which_of_two_is_wrong() -> None:
    estimate = best(fix("aml", 0, 20), fix("address", 0, 100, (5_000, 0)), fix("landmark", 0, 200, (5_100, 0)))
    assert distance_m((estimate.lat, estimate.lon), from_local_m(CENTRE, 5_000, 0)) < 150
    assert estimate.accuracy_m < 1_000
    assert estimate.contradiction is not None and estimate.contradiction.other.source == "aml"


def test_of_two_addresses_the_caller_meant_the_second() -> None:
    estimate = best(fix("address", 30, 200, (4_000, 0)), fix("address", 0, 200))
    assert distance_m(CENTRE, (estimate.lat, estimate.lon)) < 150


def test_the_same_words_said_twice_are_one_piece() -> None:
    once, twice = best(fix("address", 0, 200)), best(fix("address", 40, 200), fix("address", 0, 200))
    assert twice.accuracy_m == once.accuracy_m


def test_what_a_person_confirmed_is_never_overwritten() -> None:
    confirmed = Fix(lat=CENTRE[0], lon=CENTRE[1], source="operator", at=NOW - timedelta(hours=2), confirmed=True)
    estimate = best(confirmed, fix("aml", 0, 5, (9_000, 0)))
    assert estimate.source == "operator" and estimate.confirmed
    assert (estimate.lat, estimate.lon) == CENTRE
    assert estimate.accuracy_m == 20
    assert estimate.contradiction is not None and estimate.contradiction.other.source == "aml"


def test_the_last_of_two_confirmations_counts() -> None:
    first = Fix(lat=41.30, lon=69.2, source="operator", at=NOW - timedelta(60), confirmed=True)
    second = Fix(lat=41.32, lon=69.3, source="address", at=NOW, confirmed=True)
    assert best(second, first).source == "address"


def test_a_circle_grows_with_silence_faster_in_a_vehicle_and_not_for_a_building_or_a_crashed_car() -> None:
    now = {source: radius_at(fix(source, 0, 20), NOW) for source in SOURCES}
    later = {source: radius_at(fix(source, 120, 20), NOW) for source in SOURCES}
    assert later["vehicle"] > 2 * later["aml"] > 4 * now["aml"]
    assert all(later[source] == now[source] for source in ("address", "landmark", "operator", "ecall"))
    assert radius_at(fix("vehicle", 10**7), NOW) < 60_000
    assert radius_at(fix("aml", -30, 20), NOW) == now["aml"]  # a phone whose clock is ahead


def test_a_source_that_states_no_radius_gets_its_usual_one() -> None:
    assert radius_at(fix("cell"), NOW) == radius_at(fix("cell", accuracy_m=3_000), NOW)
    assert radius_at(fix("app", accuracy_m=0.0), NOW) > 0


def test_a_radius_that_is_meant_for_two_cases_in_three_becomes_one_for_nine_in_ten() -> None:
    assert 1.4 * 100 < radius_at(fix("app", 0, 100), NOW) < 3 * 100
    assert radius_at(fix("ecall", 0, 100), NOW) < radius_at(fix("app", 0, 100), NOW)


def test_words_that_may_mean_three_places_are_decided_by_the_cell() -> None:
    near, far = from_local_m(CENTRE, 1_000, 0), from_local_m(CENTRE, 150_000, 0)
    spots = (spot(far, 96), spot(from_local_m(CENTRE, -90_000, 0), 95), spot(near, 94))
    words = Fix(lat=far.lat, lon=far.lon, source="landmark", at=NOW, spots=spots)
    assert best(words).accuracy_m > 80_000
    told = best(words, fix("cell", 0, 3_000))
    assert distance_m((told.lat, told.lon), near) < 300 and told.accuracy_m < 1_200


def test_a_sector_lies_in_front_of_its_mast() -> None:
    sector = Sector(azimuth_deg=90, width_deg=60, range_m=2_000, min_range_m=500)
    estimate = best(Fix(lat=CENTRE[0], lon=CENTRE[1], source="cell", at=NOW, sector=sector))
    east, north = local_m(CENTRE, (estimate.lat, estimate.lon))
    assert 900 < east < 1_700 and abs(north) < 50
    assert 700 < estimate.accuracy_m < 1_500


def test_two_sectors_of_one_moment_are_better_than_one() -> None:
    east = sector_at((-1_000, 0), 90)
    north = sector_at((0, -1_000), 0)
    both = best(east, north)
    assert both.accuracy_m < 0.8 * best(east).accuracy_m
    assert distance_m(CENTRE, (both.lat, both.lon)) < 700


def test_an_area_that_was_drawn_holds_its_estimate() -> None:
    corners = ((41.30, 69.20), (41.30, 69.24), (41.33, 69.24), (41.33, 69.20))
    estimate = best(Fix(lat=41.30, lon=69.20, source="cell", at=NOW, area=corners))
    assert (estimate.lat, estimate.lon) == pytest.approx((41.315, 69.22), abs=0.002)
    assert 1_500 < estimate.accuracy_m < 3_000


def test_evidence_far_apart_is_said_to_contradict() -> None:
    found = best(fix("cell", 20, 1_000, (25_000, 0)), fix("aml", 0, 20)).contradiction
    assert found is not None and {found.one.source, found.other.source} == {"aml", "cell"}
    assert found.apart_m == pytest.approx(25_000, rel=0.01)


def test_a_cell_around_the_phone_does_not_contradict_it() -> None:
    assert best(fix("cell", 20, 3_000, (2_500, 0)), fix("aml", 0, 20)).contradiction is None


def test_a_callers_own_old_track_does_not_contradict_itself() -> None:
    assert best(fix("vehicle", 600, 10, (-9_000, 0)), fix("vehicle", 0, 10)).contradiction is None


def test_a_wide_estimate_near_a_border_names_both_regions() -> None:
    estimate = best(fix("cell", 0, 12_000))
    assert estimate.region == "UZ-TK" and estimate.also == ("UZ-TO",)


fixes = st.builds(
    fix,
    st.sampled_from(SOURCES),
    st.floats(-60, 7_200),
    st.none() | st.floats(0, 50_000),
    st.tuples(st.floats(-30_000, 30_000), st.floats(-30_000, 30_000)),
)


@given(st.lists(fixes, min_size=1, max_size=6, unique_by=lambda fix: fix.at), st.randoms(use_true_random=False))
def test_the_order_in_which_evidence_arrives_does_not_matter(evidence: list[Fix], chance: object) -> None:
    shuffled = sorted(evidence, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert fuse(evidence, NOW, REGIONS) == fuse(shuffled, NOW, REGIONS)


@given(st.lists(fixes, min_size=1, max_size=6))
def test_whatever_comes_there_is_one_place_near_the_evidence_with_a_finite_circle(evidence: list[Fix]) -> None:
    estimate = best(*evidence)
    at = (estimate.lat, estimate.lon)
    assert 0 < estimate.accuracy_m < 200_000
    assert distance_m(at, CENTRE) < 60_000
    assert estimate.source in {fix.source for fix in evidence}


@given(fixes, st.floats(1, 3_600))
def test_a_lone_fix_stays_where_it_is_and_is_never_known_better_later(one: Fix, later_s: float) -> None:
    estimate, later = best(one), fuse([one], NOW + timedelta(seconds=later_s), REGIONS)
    assert later is not None
    assert (estimate.lat, estimate.lon) == (one.lat, one.lon)
    assert later.accuracy_m >= estimate.accuracy_m * 0.98, "radii are right to 2 %"


def test_words_of_which_one_place_fits_the_phone_do_not_contradict_it() -> None:
    far = from_local_m(CENTRE, 150_000, 0)
    words = Fix(lat=far.lat, lon=far.lon, source="landmark", at=NOW, spots=(spot(far, 100), spot(CENTRE, 99)))
    estimate = best(words, fix("aml", 0, 20))
    assert estimate.contradiction is None and estimate.accuracy_m < 200


def test_whoever_names_an_area_may_be_anywhere_in_it() -> None:
    """Of a telephone near the edge of what was named the circle stays where the telephone is; in the middle it helps no
    more than there."""
    words = fix("address", 0, 2_500)
    near_edge, in_middle = (best(fix("aml", 0, 400, (away_m, 0)), words) for away_m in (1_800, 0))
    east, _ = local_m(CENTRE, (near_edge.lat, near_edge.lon))
    assert 1_450 < east <= 1_800
    assert near_edge.accuracy_m < 1.3 * in_middle.accuracy_m
