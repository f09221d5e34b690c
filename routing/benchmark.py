"""Measuring the travel engine on a road network, for `dispatch112 bench travel`: every figure in milliseconds.

Wall time on this machine, medians of repeated questions. Not a test: nothing here can fail.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final

import numpy as np

from routing import cch
from routing.gazetteer import Gazetteer
from routing.regions import Regions
from routing.roads import Roads
from routing.travel import Travel, warm

UNITS: Final = (100, 1_000, 3_000)
QUESTIONS: Final = 60


def measure(roads: Roads, seed: int = 1) -> dict[str, float]:
    """Build, customise, label and many-to-one times; region and label look-ups. Keys name their units."""
    warm()
    rng = np.random.default_rng(seed)
    shape = cch.build(roads.order, roads.tail, roads.head)
    figures = {
        "road_nodes": float(len(roads.lat)),
        "build_ms": _median_ms(lambda: cch.build(roads.order, roads.tail, roads.head), 3),
        "customise_ms": _median_ms(lambda: cch.customise(shape, roads.tail, roads.head, roads.ms), 5),
    }
    travel, keys = Travel(roads), [f"u{i}" for i in range(max(UNITS))]
    places = _places(roads, rng, len(keys))
    for key, place in zip(keys, places, strict=True):
        travel.move(key, *place)
    figures["first_labels_ms_3000_units"] = _median_ms(lambda: travel.times(keys, *places[0]), 1)
    for units in UNITS:
        some = keys[:units]
        ask = partial(_ask, travel, some)
        figures[f"many_to_one_ms_{units}_units"] = _median_each_ms(ask, places[:QUESTIONS])
    return figures | _moved(travel, keys, places) | _looked_up(places)


def _ask(travel: Travel, keys: list[str], place: tuple[float, float]) -> object:
    return travel.times(keys, *place)


def _moved(travel: Travel, keys: list[str], places: list[tuple[float, float]]) -> dict[str, float]:
    """What the next question costs more for each unit that has moved."""
    still_ms = _median_ms(lambda: travel.times(keys[:1_000], *places[0]), 9)

    def move_and_ask() -> None:
        for key, place in zip(keys[:1_000], places[1:], strict=False):
            travel.move(key, *place)
        travel.times(keys[:1_000], *places[0])

    return {
        "label_us_per_moved_unit": _median_ms(move_and_ask, 5) - still_ms,
        "path_ms": _median_each_ms(lambda place: travel.path(places[0], place), places[:QUESTIONS]),
    }


def _looked_up(places: list[tuple[float, float]]) -> dict[str, float]:
    regions, gazetteer, ask = Regions(), Gazetteer(), places[:QUESTIONS]
    for place in ask:
        regions.at(*place)
        gazetteer.describe(*place)
    return {
        "region_us": 1000 * _median_each_ms(lambda place: regions.at(*place), ask),
        "describe_us": 1000 * _median_each_ms(lambda place: gazetteer.describe(*place), ask),
        "search_ms": _median_each_ms(lambda _: gazetteer.search("Гиждувон"), ask),
    }


def _places(roads: Roads, rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Positions some 100 m from random crossings: where people and units are."""
    nodes = rng.integers(0, len(roads.lat), count)
    lats, lons = (column[nodes] + rng.normal(0, 0.001, count) for column in (roads.lat, roads.lon))
    return list(zip(lats.tolist(), lons.tolist(), strict=True))


def _median_ms(work: Callable[[], object], times: int) -> float:
    return median(_ms(work) for _ in range(times))


def _median_each_ms(work: Callable[[tuple[float, float]], object], places: list[tuple[float, float]]) -> float:
    return median(_ms(partial(work, place)) for place in places)


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
