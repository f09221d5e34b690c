"""One place out of much evidence: who wins, how the radius grows, what contradicts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.geometry import from_local_m
from routing.locate import Estimate, Fix, Source, fuse, radius_at
from routing.regions import Regions

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
CENTRE = (41.3111, 69.2797)
REGIONS = Regions()
SOURCES: list[Source] = ["aml", "app", "ecall", "cell", "address", "landmark", "vehicle", "operator"]


def fix(source: Source, ago_s: float = 0, accuracy_m: float | None = None, away: tuple[float, float] = (0, 0)) -> Fix:
    lat, lon = from_local_m(CENTRE, *away)
    return Fix(lat=lat, lon=lon, source=source, at=NOW - timedelta(seconds=ago_s), accuracy_m=accuracy_m)


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


def test_the_newest_fix_wins() -> None:
    assert best(fix("aml", 30, 40), fix("app", 5, 40)).source == "app"


def test_a_newer_fix_with_a_radius_over_four_times_worse_does_not() -> None:
    assert best(fix("aml", 5, 30), fix("cell", 0, 3_000)).source == "aml"
    assert best(fix("aml", 5, 900), fix("cell", 0, 3_000)).source == "cell"


def test_an_old_exact_fix_gives_way_when_its_caller_may_have_gone_far() -> None:
    assert best(fix("aml", 1_200, 30), fix("cell", 0, 3_000)).source == "cell"


def test_what_a_person_confirmed_is_never_overwritten() -> None:
    confirmed = Fix(lat=CENTRE[0], lon=CENTRE[1], source="operator", at=NOW - timedelta(hours=2), confirmed=True)
    estimate = best(confirmed, fix("aml", 0, 5, (9_000, 0)))
    assert estimate.source == "operator" and estimate.confirmed
    assert (estimate.lat, estimate.lon) == CENTRE
    assert estimate.contradiction is not None and "aml" in estimate.contradiction


def test_the_last_of_two_confirmations_counts() -> None:
    first = Fix(lat=41.30, lon=69.2, source="operator", at=NOW - timedelta(60), confirmed=True)
    second = Fix(lat=41.32, lon=69.3, source="address", at=NOW, confirmed=True)
    assert best(second, first).source == "address"


def test_a_radius_grows_with_silence_faster_in_a_vehicle_and_not_for_a_building() -> None:
    assert radius_at(fix("aml", 60, 20), NOW) == pytest.approx(20 + 90)
    assert radius_at(fix("vehicle", 60, 20), NOW) == pytest.approx(20 + 1_200)
    assert radius_at(fix("address", 3_600, 20), NOW) == 20
    assert radius_at(fix("cell", 10**6), NOW) <= 3_000 + 20_000
    assert radius_at(fix("aml", -30, 20), NOW) == 20  # a phone whose clock is ahead


def test_a_source_that_states_no_radius_gets_its_usual_one() -> None:
    assert radius_at(fix("cell"), NOW) == 3_000
    assert radius_at(fix("app", accuracy_m=0.0), NOW) > 0


def test_evidence_far_apart_is_said_to_contradict() -> None:
    estimate = best(fix("cell", 20, 1_000, (25_000, 0)), fix("aml", 0, 20))
    assert estimate.contradiction == "cell is 25.0 km from aml"


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
def test_an_estimate_is_one_of_the_fixes_and_never_claims_more_than_it_said(evidence: list[Fix]) -> None:
    estimate = best(*evidence)
    origin = [
        fix for fix in evidence if (fix.lat, fix.lon, fix.source) == (estimate.lat, estimate.lon, estimate.source)
    ]
    assert origin
    assert estimate.accuracy_m >= min(fix.accuracy_m or 0 for fix in origin)
