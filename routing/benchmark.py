"""Measuring the travel engine on a road network, for `dispatch112 bench travel`: every key names its unit.

Wall time on this machine. Beside each figure stand those of others in the same run, and every time that is measured is
compared with an independent Dijkstra: `exact` is false when a single one differs. Not here: those others (comparison).
"""

import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import cch, labels, roads
from routing.comparison import Oracle, dijkstra_figures, routingkit_figures
from routing.drawn import arcs_along
from routing.gazetteer import Gazetteer
from routing.geometry import Point
from routing.regions import Regions
from routing.roads import Roads
from routing.travel import SEARCH, UNREACHABLE, Travel, TravelTimes, warm

UNITS: Final = (100, 1_000, 3_000)
QUESTIONS: Final = 200
CHECKED: Final = 8  # questions of each kind whose times are compared with Dijkstra's
CLOSURES: Final = 5
NEAREST: Final = 10
NODES_OF_DEMO: Final = 87_000

Place = tuple[float, float]
Figures = dict[str, Any]
Say = Callable[[str], None]


def country(cache_dir: Path, nodes: int, say: Say) -> Roads:
    """The drawn country with about so many nodes: drawn and ordered once, then read from the cache."""
    if nodes <= NODES_OF_DEMO:
        return roads.demo(cache_dir, say=say)
    path = cache_dir / f"country-{roads.DEMO_VERSION}-{roads.DEMO_SEED}-{nodes}.npz"
    if path.exists():
        return roads.load(path)
    from routing.demo_roads import generate  # only a first run needs the generator

    drawn = generate(roads.DEMO_SEED, say, density=nodes / NODES_OF_DEMO)
    say(f"ordering {len(drawn.lat):,} road nodes: minutes, once")
    drawn = roads.with_order(drawn, f"country-{nodes}")
    roads.save(drawn, path)
    return drawn


class Fleet(NamedTuple):
    """Units on the roads, and how long each needs to come to a road."""

    travel: Travel
    keys: list[str]
    off_road_ms: NDArray[np.int32]

    def times(self, count: int, place: Place) -> TravelTimes:
        """The times of the first so many units."""
        return self.travel.times(self.keys[:count], *place)


def measure(network: Roads, seed: int = 1) -> Figures:
    """Every figure of the engine on a network."""
    warm()
    rng = np.random.default_rng(seed)
    places = _places(network, rng, max(UNITS) + QUESTIONS)
    asked = places[max(UNITS) :]
    oracle = Oracle(network, network.ms)
    figures = _prepared(network)
    fleet = _fleet(network, places[: max(UNITS)])
    figures["first_labels_ms_3000_units"] = _p50_ms(lambda: fleet.times(max(UNITS), asked[0]), 1)
    exact: list[bool] = []
    for units in UNITS:
        figures |= _spread(f"many_to_one_ms_{units}_units", partial(fleet.times, units), asked)
        exact += [oracle.agrees(fleet.times(units, at), fleet.off_road_ms) for at in asked[:CHECKED]]
    nearest = partial(_nearest, fleet)
    figures |= _spread(f"search_ms_nearest_{NEAREST}_of_{max(UNITS)}_units", nearest, asked)
    exact += [oracle.agrees(nearest(at), fleet.off_road_ms) for at in asked[:CHECKED]]
    figures |= _moved(fleet, places) | _closed(fleet, asked, exact)
    targets = rng.integers(0, len(network.lat), QUESTIONS).tolist()
    figures |= dijkstra_figures(oracle, targets[:5]) | routingkit_figures(network, UNITS, targets[:60])
    resident_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures |= _looked_up(asked) | {"resident_mib_at_most": resident_mib}
    return figures | {"answers_compared_with_dijkstra": len(exact), "exact": all(exact)}


def _prepared(network: Roads) -> Figures:
    """The hierarchy's own making."""
    shape = cch.build(network.order, network.tail, network.head)
    metric = cch.customise(shape, network.tail, network.head, network.ms)
    return {
        "map_version": network.version,
        "road_nodes": len(network.lat),
        "road_arcs": len(network.tail),
        "hierarchy_arcs": len(shape.head),
        "build_ms": _p50_ms(lambda: cch.build(network.order, network.tail, network.head), 3),
        "customise_ms": _p50_ms(lambda: cch.customise(shape, network.tail, network.head, network.ms, metric), 3),
    }


def _fleet(network: Roads, places: list[Place]) -> Fleet:
    travel, keys = Travel(network), [f"u{i}" for i in range(len(places))]
    for key, place in zip(keys, places, strict=True):
        travel.move(key, *place)
    off_road_ms = [labels.access_ms(travel.snap(*place).distance_m) for place in places]
    return Fleet(travel, keys, np.array(off_road_ms, np.int32))


def _nearest(fleet: Fleet, place: Place) -> TravelTimes:
    return fleet.travel.nearest(fleet.keys, *place, NEAREST)


def _closed(fleet: Fleet, asked: list[Place], exact: list[bool]) -> Figures:
    """From the drawing of a closure to the first answer that obeys it, and until the hierarchy does; each answer
    is compared with Dijkstra on the new weights, and with what it was before."""
    travel, plain = fleet.travel, fleet.travel.ms
    first_ms, ready_ms, engines = [], [], []
    for place in asked[:CLOSURES]:
        before = fleet.times(max(UNITS), place)
        line = _on_the_way(travel, before, place)
        began = time.perf_counter()
        closed = plain.copy()
        closed[arcs_along(travel.roads, travel.cells, line, 15.0)] = UNREACHABLE
        travel.reweigh(closed)
        first = fleet.times(max(UNITS), place)
        first_ms.append(_since_ms(began))
        engines.append(first.engine)
        travel.catch_up()
        ready_ms.append(_since_ms(began))
        settled = fleet.times(max(UNITS), place)
        oracle = Oracle(travel.roads, closed)
        exact += [oracle.agrees(first, fleet.off_road_ms), oracle.agrees(settled, fleet.off_road_ms)]
        exact.append(bool((settled.ms >= before.ms).all()))
        travel.reweigh(plain)
        travel.catch_up()
    return {
        "closure_to_first_answer_ms_p50": _rounded(np.median(first_ms)),
        "closure_to_first_answer_ms_max": _rounded(max(first_ms)),
        "closure_to_hierarchy_ms_p50": _rounded(np.median(ready_ms)),
        "closures": CLOSURES,
        "first_answers_by_search": engines.count(SEARCH),
    }


def _on_the_way(travel: Travel, answer: TravelTimes, place: Place) -> list[Point]:
    """A piece in the middle of the way from the nearest unit that is not on the spot."""
    nearest = int(np.argmin(np.where(answer.ms > 60_000, answer.ms, UNREACHABLE)))
    node = travel.roads.tail[answer.edges[nearest]]
    path = travel.path((float(travel.roads.lat[node]), float(travel.roads.lon[node])), place)
    assert path is not None and len(path.points) >= 2, "the nearest unit has a way"
    middle = (len(path.points) - 1) // 2
    return path.points[middle : middle + 2]


def _moved(fleet: Fleet, places: list[Place]) -> Figures:
    """What the next question costs more for each unit that has moved."""
    travel, keys = fleet.travel, fleet.keys
    still_ms = _p50_ms(lambda: travel.times(keys[:1_000], *places[0]), 9)

    def move_and_ask(by: int) -> None:
        for key, place in zip(keys[:1_000], places[by:], strict=False):
            travel.move(key, *place)
        travel.times(keys[:1_000], *places[0])

    moved_ms = _p50_ms(lambda: move_and_ask(1), 1)
    move_and_ask(0)
    figures = _spread("path_ms", lambda place: travel.path(places[0], place), places[:60])
    return {"label_us_per_moved_unit": _rounded(moved_ms - still_ms)} | figures


def _looked_up(asked: list[Place]) -> Figures:
    regions, gazetteer = Regions(), Gazetteer()
    for place in asked:
        regions.at(*place)
        gazetteer.describe(*place)
    return {
        "region_us": _rounded(1000 * _p50_each_ms(lambda place: regions.at(*place), asked)),
        "describe_us": _rounded(1000 * _p50_each_ms(lambda place: gazetteer.describe(*place), asked)),
        "search_ms": _rounded(_p50_each_ms(lambda _: gazetteer.search("Гиждувон"), asked[:20])),
    }


def _places(network: Roads, rng: np.random.Generator, count: int) -> list[Place]:
    """Positions some 100 m from random crossings: where people and units are."""
    nodes = rng.integers(0, len(network.lat), count)
    lats, lons = (column[nodes] + rng.normal(0, 0.001, count) for column in (network.lat, network.lon))
    return list(zip(lats.tolist(), lons.tolist(), strict=True))


def _spread(name: str, work: Callable[[Place], object], places: list[Place]) -> Figures:
    spent = [_ms(partial(work, place)) for place in places]
    return {f"{name}_p50": _rounded(np.median(spent)), f"{name}_p99": _rounded(np.percentile(spent, 99))}


def _p50_ms(work: Callable[[], object], times: int) -> float:
    return _rounded(np.median([_ms(work) for _ in range(times)]))


def _p50_each_ms(work: Callable[[Place], object], places: list[Place]) -> float:
    return float(np.median([_ms(partial(work, place)) for place in places]))


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return _since_ms(began)


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _rounded(figure: float | np.floating[Any]) -> float:
    return round(float(figure), 4)
