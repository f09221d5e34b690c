"""Measuring the travel engine on a road network, for `dispatch112 bench travel`: every key names its unit.

Wall time on this machine. Beside each figure stand those of others in the same run, and every time that is measured is
compared with an independent Dijkstra: `exact` is false when a single one differs. Not here: those others (comparison).
"""

import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import cch, labels, roads
from routing.comparison import Oracle, routingkit_figures, scipy_figures
from routing.drawn import arcs_along
from routing.gazetteer import Gazetteer
from routing.geometry import Point
from routing.regions import Regions
from routing.roads import Roads
from routing.travel import SEARCH, UNREACHABLE, Travel, TravelTimes, warm
from routing.weights import Restriction, restricted

UNITS: Final = (100, 1_000, 3_000)
QUESTIONS: Final = 200
CHECKED: Final = 8  # questions of each kind whose times are compared with Dijkstra's
CLOSURES: Final = 10
SLOWDOWN: Final = 3.0
WIDE_M: Final = 15.0  # how near to a drawing a street lies that it means
BESIDE: Final = 60  # questions to others, whose slowest answers take half a second
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
    figures |= _moved(fleet, places) | _changed(fleet, asked[:CLOSURES], oracle, exact)
    targets = rng.integers(0, len(network.lat), BESIDE).tolist()
    figures |= scipy_figures(network, targets) | routingkit_figures(network, UNITS, targets)
    resident_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures |= _looked_up(asked) | {"resident_mib_at_most": resident_mib}
    return figures | {"dijkstra": oracle.name, "answers_compared_with_dijkstra": len(exact), "exact": all(exact)}


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


class Change(NamedTuple):
    """What followed a change of the weights: the answer that obeyed it first and how soon it came, and how soon the
    hierarchy had it."""

    first: TravelTimes
    first_ms: float
    ready_ms: float


def _changed(fleet: Fleet, places: list[Place], plain: Oracle, exact: list[bool]) -> Figures:
    """A street on the way is closed, opened again, slowed, and left alone again: from the drawing to the first answer.

    Each answer is compared with Dijkstra on the weights that hold then, and with what it was before.
    """
    made: dict[str, list[Change]] = {"closure": [], "slowdown": [], "reopening": []}
    for place in places:
        before = fleet.times(max(UNITS), place)
        line = _on_the_way(fleet.travel, before, place)
        for what, factor in (("closure", None), ("slowdown", SLOWDOWN)):
            made[what].append(_change(fleet, place, line, factor))
            oracle, settled = Oracle(fleet.travel.roads, fleet.travel.ms), fleet.times(max(UNITS), place)
            exact += [oracle.agrees(each, fleet.off_road_ms) for each in (made[what][-1].first, settled)]
            exact.append(bool((settled.ms >= before.ms).all()))
            made["reopening"].append(_change(fleet, place, [], None))
            exact.append(plain.agrees(made["reopening"][-1].first, fleet.off_road_ms))
            exact.append(bool((fleet.times(max(UNITS), place).ms == before.ms).all()))
    figures: Figures = {}
    for what, changes in made.items():
        spent = [change.first_ms for change in changes]
        figures[f"{what}_to_first_answer_ms_p50"] = _rounded(np.median(spent))
        figures[f"{what}_to_first_answer_ms_max"] = _rounded(max(spent))
    return figures | {
        "closure_to_hierarchy_ms_p50": _rounded(np.median([change.ready_ms for change in made["closure"]])),
        "closures": len(places),
        "first_answers_by_search": sum(
            change.first.engine == SEARCH for changes in made.values() for change in changes
        ),
    }


def _change(fleet: Fleet, place: Place, line: list[Point], factor: float | None) -> Change:
    """Close, or slow, what was drawn, and nothing else; without a line nothing is restricted."""
    travel, now = fleet.travel, datetime.now(UTC)
    began = time.perf_counter()
    arcs = [arcs_along(travel.roads, travel.cells, line, WIDE_M)] if line else []
    restrictions = [Restriction(arcs=each, factor=factor, since=now) for each in arcs]
    travel.reweigh(*restricted(travel.roads.ms, restrictions, now))
    first = fleet.times(max(UNITS), place)
    first_ms = _since_ms(began)
    travel.catch_up()
    return Change(first, first_ms, _since_ms(began))


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
