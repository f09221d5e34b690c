"""A customisable contraction hierarchy: shortest times on a road graph whose weights may change.

After Dibbelt, Strasser and Wagner, "Customizable Contraction Hierarchies" (2014). The node order is given.
The chordal supergraph adds an arc between the upper neighbours of every node, so that the upper neighbours of
a node all lie on its path to the root of the elimination tree. Customising gives each arc the shortest time
over lower nodes, by lower triangles in ascending order. A *label* is then the times from a node to all its
ancestors (or back), stored root first, and two labels meet in their common prefix.

Nodes are ranks here: 0 is the least important. Times are milliseconds in int32, never above UNREACHABLE, so
that the sum of two never overflows. Not here: positions, units, streets (travel, snapping).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.compiled import compiled, released

UNREACHABLE: Final = 2**30 - 1  # ms, twelve days: twice this still fits int32

Ints = NDArray[np.int32]


class Hierarchy(NamedTuple):
    """The shape: depends on the graph and the order, not on the weights. n nodes, m upward arcs.

    `first` (n + 1) indexes `head` (m), the upper neighbours of each node in ascending rank; `parent` (n) is
    the first of them or -1; `depth` (n) counts ancestors; `enter` and `leave` (n) number the elimination tree
    so that a is an ancestor of b, or b itself, when enter[a] <= enter[b] < leave[a].
    """

    rank: Ints
    first: Ints
    head: Ints
    parent: Ints
    depth: Ints
    enter: Ints
    leave: Ints


class Metric(NamedTuple):
    """The weights: `up` and `down` (m) are ms from the lower end to the upper and back. Their `via` holds the
    road arc (>= 0) that an upward arc stands for, or the complement (~) of the lower node that it goes
    over."""

    up: Ints
    down: Ints
    via_up: Ints
    via_down: Ints


def build(order: Ints, tail: Ints, head: Ints) -> Hierarchy:
    """The hierarchy of a graph: `order` (n) lists the nodes, least important first; `tail`, `head` (arcs)."""
    assert len(order) > 0 and len(tail) == len(head)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    low = np.minimum(rank[tail], rank[head])
    high = np.maximum(rank[tail], rank[head])
    sort = np.lexsort((high, low))
    first = np.searchsorted(low[sort], np.arange(len(order) + 1)).astype(np.int32)
    upper_first, upper_head, parent = fill(first, high[sort])
    return Hierarchy(rank, upper_first, upper_head, parent, *number(parent))


def customise(shape: Hierarchy, tail: Ints, head: Ints, ms: Ints, into: Metric | None = None) -> Metric:
    """The weights of every upward arc, from the ms of each road arc (UNREACHABLE closes one); written `into` an old
    metric that nobody reads any more, where one is given."""
    check_ms(ms)
    metric = into or Metric(*(np.empty(len(shape.head), np.int32) for _ in range(4)))
    weigh(shape, tail, head, ms, metric)
    return metric


def check_ms(ms: Ints) -> None:
    """Assert that the weights of road arcs are such that no sum of two overflows."""
    # As numbers without a sign those below 0 are the largest, so that one pass is enough.
    assert ms.dtype == np.int32 and ms.view(np.uint32).max(initial=0) <= UNREACHABLE


@compiled
def fill(first: Ints, near: Ints) -> tuple[Ints, Ints, Ints]:
    """The chordal supergraph: give each node's upper neighbours, as upper ones, to the lowest of them."""
    n = len(first) - 1
    child, sibling = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    parent, mark = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    upper_first = np.zeros(n + 1, np.int32)
    upper = np.empty(max(16, 4 * len(near)), np.int32)
    buffer = np.empty(n, np.int32)
    for v in range(n):
        count = 0
        for i in range(first[v], first[v + 1]):
            if near[i] != v and mark[near[i]] != v:
                mark[near[i]] = v
                buffer[count] = near[i]
                count += 1
        c = child[v]
        while c >= 0:
            for i in range(upper_first[c], upper_first[c + 1]):
                if upper[i] != v and mark[upper[i]] != v:
                    mark[upper[i]] = v
                    buffer[count] = upper[i]
                    count += 1
            c = sibling[c]
        start = upper_first[v]
        if start + count > len(upper):
            larger = np.empty(2 * (start + count), np.int32)
            larger[:start] = upper[:start]
            upper = larger
        upper[start : start + count] = np.sort(buffer[:count])
        upper_first[v + 1] = start + count
        if count:
            parent[v] = upper[start]
            sibling[v] = child[parent[v]]
            child[parent[v]] = v
    return upper_first, upper[: upper_first[n]].copy(), parent


@compiled
def number(parent: Ints) -> tuple[Ints, Ints, Ints]:
    """Depth of each node in the elimination forest, and its preorder interval (enter, leave)."""
    n = len(parent)
    size, depth = np.ones(n, np.int32), np.zeros(n, np.int32)
    for v in range(n):
        if parent[v] >= 0:
            size[parent[v]] += size[v]
    enter, leave, used = np.zeros(n, np.int32), np.zeros(n, np.int32), np.ones(n, np.int32)
    roots = 0
    for v in range(n - 1, -1, -1):
        p = parent[v]
        if p < 0:
            enter[v] = roots
            roots += size[v]
        else:
            depth[v] = depth[p] + 1
            enter[v] = enter[p] + used[p]
            used[p] += size[v]
        leave[v] = enter[v] + size[v]
    return depth, enter, leave


@compiled
def arc_between(first: Ints, head: Ints, low: int, high: int) -> int:
    """The index of the upward arc from `low` to `high`, by bisection; -1 where there is none."""
    left, right = first[low], first[low + 1]
    while left < right:
        middle = (left + right) // 2
        if head[middle] < high:
            left = middle + 1
        else:
            right = middle
    return left if left < first[low + 1] and head[left] == high else -1


@released
def weigh(shape: Hierarchy, tail: Ints, head: Ints, ms: Ints, metric: Metric) -> None:
    """Fill a metric anew."""
    metric.up[:] = UNREACHABLE
    metric.down[:] = UNREACHABLE
    lay(shape, tail, head, ms, metric)
    relax_triangles(shape.first, shape.head, metric)


@compiled
def lay(shape: Hierarchy, tails: Ints, heads: Ints, ms: Ints, metric: Metric) -> None:
    """Lay the road arcs onto the upward arcs; of parallel ones the fastest counts."""
    first, head = shape.first, shape.head
    for arc in range(len(ms)):
        tail, end = shape.rank[tails[arc]], shape.rank[heads[arc]]
        if tail < end:
            i = arc_between(first, head, tail, end)
            if ms[arc] < metric.up[i]:
                metric.up[i] = ms[arc]
                metric.via_up[i] = arc
        elif end < tail:
            i = arc_between(first, head, end, tail)
            if ms[arc] < metric.down[i]:
                metric.down[i] = ms[arc]
                metric.via_down[i] = arc


@compiled
def relax_triangles(first: Ints, head: Ints, metric: Metric) -> None:
    """Shorten the arc x–y by the way over each lower node v, nodes ascending: v's own arcs are final by
    then."""
    for v in range(len(first) - 1):
        for a in range(first[v], first[v + 1]):
            x = head[a]
            c = first[x]
            for b in range(a + 1, first[v + 1]):
                while head[c] != head[b]:
                    c += 1
                over = metric.down[a] + metric.up[b]
                if over < metric.up[c]:
                    metric.up[c] = over
                    metric.via_up[c] = ~v
                over = metric.down[b] + metric.up[a]
                if over < metric.down[c]:
                    metric.down[c] = over
                    metric.via_down[c] = ~v


@compiled
def climb(shape: Hierarchy, weights: Ints, low: int, distances: Ints) -> None:
    """Finish a label in place: `distances` by depth, with starts set at `low` or at ancestors of it.

    With `weights` = up the label leads away from the starts, with down it leads to them.
    """
    v = low
    while v >= 0:
        here = distances[shape.depth[v]]
        if here < UNREACHABLE:
            for i in range(shape.first[v], shape.first[v + 1]):
                through = here + weights[i]
                d = shape.depth[shape.head[i]]
                if through < distances[d]:
                    distances[d] = through
        v = shape.parent[v]


@compiled
def path_arcs(shape: Hierarchy, metric: Metric, ancestors: Ints) -> list[int]:
    """The road arcs of a walk along upward arcs: `ancestors` are the ranks it visits, neighbours joined by
    one upward arc each, in the direction of travel. The stack holds pairs still to be unpacked, the next on
    top."""
    arcs = [0][:0]
    stack = [(ancestors[i], ancestors[i + 1]) for i in range(len(ancestors) - 1)][::-1]
    while len(stack) > 0:
        x, y = stack.pop()
        i = arc_between(shape.first, shape.head, min(x, y), max(x, y))
        via = metric.via_up[i] if x < y else metric.via_down[i]
        if via >= 0:
            arcs.append(via)
        else:
            stack.append((np.int32(~via), y))
            stack.append((x, np.int32(~via)))
    return arcs
