"""An estimate's circle holds nine callers in ten, whatever is known of them: simulated, on seeds of its own."""

from functools import cache

import pytest

from routing.geometry import distance_m
from routing.locate import Estimate, fuse
from routing.regions import Regions
from simulators.whereabouts import MIXES, NOW, WORLDS, Case, Witness

SEED, CASES = 4_711, 1_500
REGIONS = Regions()


@cache
def estimates(mix: str, world: str = "usual") -> list[tuple[Case, Estimate]]:
    witness = Witness(SEED, WORLDS[world])
    found = []
    for _ in range(CASES):
        case = witness.case(mix)
        estimate = fuse(case.fixes, NOW, REGIONS)
        assert estimate is not None
        found.append((case, estimate))
    return found


def held(mix: str, world: str = "usual") -> float:
    inside = [distance_m((e.lat, e.lon), case.truth) <= e.accuracy_m for case, e in estimates(mix, world)]
    return sum(inside) / len(inside)


@pytest.mark.parametrize("mix", MIXES)
def test_the_circle_holds_about_nine_in_ten_of_each_mix(mix: str) -> None:
    assert 0.87 <= held(mix) <= 0.93


def test_over_all_mixes_it_holds_nine_in_ten() -> None:
    assert sum(map(held, MIXES)) / len(MIXES) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("mix", ["aml", "aml_address", "cell_landmark"])
def test_where_sources_boast_it_still_holds_two_in_three(mix: str) -> None:
    assert held(mix, "boastful") >= 0.66


def test_who_is_mistaken_by_kilometres_is_contradicted_and_hardly_anybody_else() -> None:
    told, alarms, lies, truths = 0, 0, 0, 0
    for case, estimate in (pair for mix in ("aml_address", "aml_app") for pair in estimates(mix)):
        gross = bool(case.mistaken)
        lies, truths = lies + gross, truths + (not gross)
        told += gross and estimate.contradiction is not None
        alarms += not gross and estimate.contradiction is not None
    assert told / lies > 0.75
    assert alarms / truths < 0.01


def test_a_witness_of_the_same_seed_says_the_same() -> None:
    one, two = (Witness(3, WORLDS["usual"]).case("aml_cell_address_landmark") for _ in range(2))
    assert one == two
