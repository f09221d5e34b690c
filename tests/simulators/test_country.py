"""The demo country has the units it says: all five bodies, in proportion, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest

from dispatch.core.plans import PLANS
from dispatch.errors import UserMistake
from routing.geometry import distance_m
from routing.regions import Regions, region_facts
from simulators.country import CONFIRMED, FLEETS, SHARE, UNITS_A_STATION, UnitSpec, roster, share_for
from simulators.sites import sites

SEED = 112


@pytest.fixture(scope="module")
def units() -> tuple[UnitSpec, ...]:
    return roster(SEED)


def test_the_country_has_between_1200_and_1500_units(units: tuple[UnitSpec, ...]) -> None:
    assert 1_200 <= len(units) <= 1_500
    assert len({unit.unit_id for unit in units}) == len(units)


def test_ambulances_are_the_stated_share_of_the_national_brigades(units: tuple[UnitSpec, ...]) -> None:
    assert sum(unit.body == "moh" for unit in units) == pytest.approx(2_865 * SHARE, rel=0.01)


def test_ambulances_follow_the_calls_to_103(units: tuple[UnitSpec, ...]) -> None:
    many = Counter(unit.region for unit in units if unit.body == "moh")
    total = sum(fact.calls_103_in_2025 for fact in region_facts().values())
    for fact in region_facts().values():
        assert many[fact.id] == pytest.approx(2_865 * SHARE * fact.calls_103_in_2025 / total, abs=0.51)  # type: ignore[index]


def test_brigades_share_stations_as_in_the_country(units: tuple[UnitSpec, ...]) -> None:
    ambulances = [unit for unit in units if unit.body == "moh"]
    stations = {(unit.region, unit.station, unit.at) for unit in ambulances}
    assert len(ambulances) / len(stations) == pytest.approx(UNITS_A_STATION, rel=0.15)


def test_every_region_can_do_whatever_a_plan_needs(units: tuple[UnitSpec, ...]) -> None:
    asked = {(n.body, n.capability) for plan in PLANS.values() for n in plan.needs + plan.more_at_p1}
    for region in region_facts():
        able = {(u.body, capability) for u in units if u.region == region for capability in u.capabilities}
        assert asked <= able, region


def test_call_signs_say_the_kind(units: tuple[UnitSpec, ...]) -> None:
    kinds = {fleet.letter: fleet.kind for fleet in FLEETS}
    assert all(kinds[unit.call_sign[0]] == unit.kind for unit in units)
    assert all(unit.unit_id == f"{unit.region[3:]}-{unit.call_sign}" for unit in units)


def test_the_unit_of_the_demos_log_in_is_an_ambulance_in_tashkent(units: tuple[UnitSpec, ...]) -> None:
    first = next(unit for unit in units if unit.unit_id == "TK-A1")
    assert first.capabilities == ("als", "bls")


def test_stations_stand_at_settlements_of_their_region(units: tuple[UnitSpec, ...]) -> None:
    regions = Regions()
    for unit in units:
        near = min(distance_m(site.at, unit.at) - site.town_m for site in sites(unit.region))
        assert near <= 0, unit
        assert regions.at(*unit.at, accuracy_m=5_000).region is not None


def test_the_same_seed_gives_the_same_country() -> None:
    assert roster(7) == roster(7)
    assert roster(7) != roster(8)


def test_most_regions_assign_by_themselves() -> None:
    assert 0 < len(CONFIRMED) < len(region_facts()) / 2
    assert "UZ-TK" not in CONFIRMED


def test_a_fleet_that_no_share_has_is_said_and_not_sought_for_ever() -> None:
    assert len(roster(1, share_for(20_000, 1))) >= 20_000
    with pytest.raises(UserMistake, match="no 99,999 units"):
        share_for(99_999, 1)
