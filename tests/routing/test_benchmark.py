"""What `bench travel` prints: figures with units in their names, and an honest word on whether they are exact."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from routing import benchmark, comparison
from routing.benchmark import country, measure
from routing.comparison import Oracle, flooded, scipy_figures
from routing.nearest import arrivals
from routing.roads import Roads, demo_file, save
from routing.travel import Travel, TravelTimes
from tests.routing.oracle import dijkstra, neighbours, small_roads
from tests.routing.test_travel import RING, SQUARE


def answered() -> tuple[Oracle, TravelTimes]:
    roads = small_roads(SQUARE, RING)
    travel = Travel(roads)
    for key, place in zip("abc", SQUARE, strict=False):
        travel.move(key, *place)
    return Oracle(roads, roads.ms), travel.times(["a", "b", "c"], 41.01, 69.004)


@pytest.fixture
def either_oracle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scipy's Dijkstra or our own, whatever is installed."""
    if request.param == "scipy":
        pytest.importorskip("scipy")
    else:
        monkeypatch.setattr(comparison, "find_spec", lambda name: None)


@pytest.mark.usefixtures("either_oracle")
@pytest.mark.parametrize("either_oracle", ["scipy", "own"], indirect=True)
def test_the_comparison_sees_a_single_millisecond_and_accepts_what_is_right() -> None:
    oracle, answer = answered()
    off_road_ms = np.zeros(3, np.int32)
    assert oracle.agrees(answer, off_road_ms)
    wrong = answer.ms.copy()
    wrong[1] += 1
    assert not oracle.agrees(msgspec.structs.replace(answer, ms=wrong), off_road_ms)
    estimated = msgspec.structs.replace(answer, ms=wrong, exact_below_ms=int(answer.ms[1]))
    assert oracle.agrees(estimated, off_road_ms), "what is given as an estimate may be one"
    too_bold = msgspec.structs.replace(answer, ms=wrong + 9, exact_below_ms=int(answer.ms.max()) + 1)
    assert not oracle.agrees(too_bold, off_road_ms)


def test_our_own_comparison_is_dijkstras_algorithm(demo_roads: Roads) -> None:
    into = arrivals(len(demo_roads.lat), demo_roads.tail, demo_roads.head)
    backward = demo_roads._replace(tail=demo_roads.head, head=demo_roads.tail)
    best = dijkstra(neighbours(backward), {7: 0})
    found = flooded(into, demo_roads.ms.astype(np.float64), 7)
    assert found.tolist() == [best.get(node, np.inf) for node in range(len(demo_roads.lat))]


def test_the_figures_are_exact_on_the_demos_roads(demo_roads: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "QUESTIONS", 20)
    monkeypatch.setattr(benchmark, "CLOSURES", 3)
    figures = measure(demo_roads)
    assert figures["exact"] and figures["answers_compared_with_dijkstra"] >= 4 * 8 + 10 * 3
    assert figures["road_nodes"] == len(demo_roads.lat) and figures["closures"] == 3
    timed = [name for name in figures if name.endswith(("_p50", "_p99", "_max"))]
    assert len(timed) > 15 and all("_ms" in name for name in timed)


def test_without_scipy_the_figures_say_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)
    assert scipy_figures(small_roads(SQUARE, RING), [0]) == {"scipy": "not installed: make setup-dev installs it"}


def test_scipys_own_times_stand_beside(demo_roads: Roads) -> None:
    figures = scipy_figures(demo_roads, [1, 2, 3])
    assert figures["scipy"][0].isdigit()
    assert figures["scipy_many_to_one_ms_p50"] > 0 and figures["scipy_many_to_one_within_15_min_ms_p99"] > 0


def test_the_figures_say_so_when_the_engine_is_wrong(demo_roads: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "QUESTIONS", 20)
    monkeypatch.setattr(benchmark, "CLOSURES", 3)
    right = Travel.times

    def a_second_short(travel: Travel, keys: list[str], lat: float, lon: float) -> TravelTimes:
        answer = right(travel, keys, lat, lon)
        return msgspec.structs.replace(answer, ms=np.maximum(answer.ms - 1_000, 0).astype(np.int32))

    monkeypatch.setattr(Travel, "times", a_second_short)
    assert measure(demo_roads)["exact"] is False


def test_a_small_country_is_the_demos_and_a_denser_one_is_drawn_once(demo_roads: Roads, tmp_path: Path) -> None:
    save(demo_roads, demo_file(tmp_path))
    assert country(tmp_path, 50_000, print).version == demo_roads.version
    said: list[str] = []
    dense = country(tmp_path, 130_000, said.append)
    assert 1.4 * len(demo_roads.lat) < len(dense.lat) < 1.6 * len(demo_roads.lat)
    assert said and dense.version != demo_roads.version
    again: list[str] = []
    assert country(tmp_path, 130_000, again.append).version == dense.version and not again
