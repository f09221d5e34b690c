"""What `dispatch112 bench search` measures, on few names: its figures are there, and its questions are fair."""

import argparse
from random import Random

from routing.gazetteer import Gazetteer
from routing.names import fold
from routing.places import settlements
from simulators.bench_search import all_questions, invented_places, is_right, measure, slipped


def test_the_figures_are_percentages_and_milliseconds() -> None:
    figures = measure(argparse.Namespace(names=1_000, seed=1))
    rates = {name: rate for name, rate in figures.items() if name.endswith("_percent")}
    assert set(rates) == {
        *("first_exact_latin_percent", "first_exact_cyrillic_percent"),
        *("first_one_slip_latin_percent", "first_one_slip_cyrillic_percent"),
        *("first_other_order_percent", "first_other_name_percent"),
    }
    assert min(rates.values()) > 95
    assert 0 < figures["search_ms"]["p50"] <= figures["search_ms"]["p99"] <= figures["search_ms"]["worst"]
    assert figures["names"] >= 1_000


def test_a_slip_is_one_slip_and_the_same_seed_makes_the_same() -> None:
    for place in settlements():
        typed = slipped(place.names.uz_latn, Random(5))
        assert typed == slipped(place.names.uz_latn, Random(5))
        assert typed is None or abs(len(typed) - len(place.names.uz_latn)) <= 1


def test_invented_names_have_their_shares_and_many_streets_share_one() -> None:
    places = list(invented_places(1_000, 1))
    assert places == list(invented_places(1_000, 1))
    streets = [place.names.uz_latn for place in places if place.kind == "street"]
    assert (len(streets), len(set(streets)) < 120) == (400, True)


def test_another_place_is_a_wrong_answer() -> None:
    gazetteer = Gazetteer()
    question = next(each for each in all_questions(1) if fold(each.name) == "andijon")
    assert is_right(question, gazetteer.search("Andijon")[0])
    assert not is_right(question, gazetteer.search("Urgut")[0])
