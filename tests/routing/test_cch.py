"""The hierarchy against Dijkstra's algorithm: on any small graph, in any order of the nodes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import cch
from routing.cch import UNREACHABLE, Hierarchy, Metric
from tests.routing.oracle import Arc, dijkstra, neighbours, small_roads

weights = st.one_of(st.integers(0, 50), st.integers(0, UNREACHABLE), st.just(UNREACHABLE))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[Arc]]:
    """An order of up to nine nodes, and arcs between any of them: loops, parallels, closed and free ones."""
    count = draw(st.integers(2, 9))
    nodes = st.integers(0, count - 1)
    return draw(st.permutations(range(count))), draw(
        st.lists(st.tuples(nodes, nodes, weights), min_size=1, max_size=30)
    )


def prepared(order: list[int], arcs: list[Arc]) -> tuple[Hierarchy, Metric]:
    tail, head, ms = (np.array(column, dtype=np.int32) for column in zip(*arcs, strict=True))
    shape = cch.build(np.array(order, dtype=np.int32), tail, head)
    return shape, cch.customise(shape, tail, head, ms)


def label(shape: Hierarchy, weight: np.ndarray, node: int) -> np.ndarray:
    rank = shape.rank[node]
    times = np.full(shape.depth[rank] + 1, UNREACHABLE, np.int32)
    times[-1] = 0
    cch.climb(shape, weight, rank, times)
    return times


def ancestors(shape: Hierarchy, node: int) -> list[int]:
    line, rank = [], int(shape.rank[node])
    while rank >= 0:
        line.append(rank)
        rank = int(shape.parent[rank])
    return line[::-1]


@settings(deadline=None, max_examples=300)
@given(graphs())
def test_two_labels_meet_at_the_shortest_time(graph: tuple[list[int], list[Arc]]) -> None:
    order, arcs = graph
    shape, metric = prepared(order, arcs)
    near = neighbours(small_roads([(41.0, 69.0)] * len(order), arcs, order))
    for start in range(len(order)):
        best = dijkstra(near, {start: 0})
        out = label(shape, metric.up, start)
        for end in range(len(order)):
            back = label(shape, metric.down, end)
            shared = [a == b for a, b in zip(ancestors(shape, start), ancestors(shape, end), strict=False)]
            meet = min([int(out[d]) + int(back[d]) for d, same in enumerate(shared) if same], default=UNREACHABLE)
            assert min(meet, UNREACHABLE) == best.get(end, UNREACHABLE)


@settings(deadline=None)
@given(graphs())
def test_upper_neighbours_lie_on_the_way_to_the_root_and_intervals_say_so(graph: tuple[list[int], list[Arc]]) -> None:
    order, arcs = graph
    shape, _ = prepared(order, arcs)
    for node in range(len(order)):
        line = ancestors(shape, node)
        rank = int(shape.rank[node])
        upper = shape.head[shape.first[rank] : shape.first[rank + 1]].tolist()
        assert set(upper) <= set(line) and upper == sorted(set(upper)) and all(x > rank for x in upper)
        inside = [r for r in range(len(order)) if shape.enter[r] <= shape.enter[rank] < shape.leave[r]]
        assert sorted(inside) == sorted(line)
        assert shape.depth[rank] == len(line) - 1


@settings(deadline=None)
@given(graphs())
def test_weights_stay_within_bounds_and_name_what_they_stand_for(graph: tuple[list[int], list[Arc]]) -> None:
    order, arcs = graph
    _, metric = prepared(order, arcs)
    for weight, via in ((metric.up, metric.via_up), (metric.down, metric.via_down)):
        assert ((weight >= 0) & (weight <= UNREACHABLE)).all()
        for ms, what in zip(weight.tolist(), via.tolist(), strict=True):
            assert ms == UNREACHABLE or what < 0 or arcs[what][2] == ms


def test_the_hierarchy_grows_its_arrays_when_the_graph_is_dense() -> None:
    count = 40
    star = [(0, node, 1) for node in range(1, count)]
    shape, _ = prepared(list(range(count)), star)  # the hub goes first: every pair of its neighbours gets an arc
    assert len(shape.head) == count * (count - 1) // 2
