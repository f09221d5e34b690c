"""The nearest units by a search backward from the target, on weights that need no preparation.

The companion of the hierarchy: Dijkstra's algorithm against the direction of travel, so that one search meets every
unit. It answers at once after the weights have changed, while the hierarchy is made anew, and it is the hierarchy's
independent check. Units hang on the ends of their edges as further nodes of the heap: the time of one is final when it
comes off. The work grows with the ground covered, so it stops at a number of units or of crossings; what lies beyond
the *horizon*, the time at which it stopped, is only known to be no nearer.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.compiled import compiled
from routing.labels import Network, end_ms, same_edge_ms

FIRST_HEAP: Final = 4_096
NODE_BITS: Final = 32  # an entry of the heap is ms and node in one number
MS, BY = range(2)
UNUSED: Final = (UNREACHABLE, -1)
SCATTER: Final = 2_654_435_761  # Knuth's multiplier: neighbouring nodes get shelves far apart

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


class Arrivals(NamedTuple):
    """The arcs by their head: `first` (n + 1) indexes `arc` (m), and `tail` (m) repeats their tails beside them."""

    first: Ints
    arc: Ints
    tail: Ints


class Ground(NamedTuple):
    """What a search writes to, and cleans up when it ends; after one that broke off the next does it. A row of `node`
    (n, 2) is MS to the target, UNREACHABLE where it has not come, and BY which arc that begins, -1 at the target's own
    edge. `touched` lists the nodes in use, of which there are `used[0]`."""

    node: Ints
    touched: Ints
    used: Longs


class Hung(NamedTuple):
    """Units by the nodes where they leave their edges. Way 2 i is that of unit i by its edge's end, way 2 i + 1 the one
    back; `node` (2 units) is where a way leads, -1 nowhere, `shelf` (a power of two) where a node's ways begin, and
    `following` (2 units) which way is next on the shelf. Small, for it is asked at every crossing."""

    node: Ints
    shelf: Ints
    following: Ints


class Spot(NamedTuple):
    """A place on the roads: an arc, and the offset from its tail (0) to its head (1)."""

    edge: int
    offset: float


def arrivals(nodes: int, tail: Ints, head: Ints) -> Arrivals:
    """Index a graph's arcs by where they arrive."""
    arc = np.argsort(head, kind="stable").astype(np.int32)
    first = np.searchsorted(head[arc], np.arange(nodes + 1)).astype(np.int32)
    return Arrivals(first, arc, tail[arc])


def ground(nodes: int) -> Ground:
    """Room for searches on a graph of so many nodes."""
    return Ground(np.tile(np.array(UNUSED, np.int32), (nodes, 1)), np.empty(nodes, np.int32), np.zeros(1, np.int64))


@compiled
def nearest_units(
    net: Network, into: Arrivals, area: Ground, units: tuple[Ints, Floats, Ints], target: Spot, most: tuple[int, int]
) -> tuple[Ints, int]:
    """Milliseconds from each unit to the target, and the horizon.

    `units` are edge (-1: unknown), offset and access_ms; `most` is after how many units and after how many crossings
    to stop. A unit that was not met is UNREACHABLE; it is no nearer than the horizon, which is UNREACHABLE
    itself when the whole ground that can be reached was covered.
    """
    edges, offsets, access = units
    nodes = len(area.node)
    heap, size = begin(net, area, target)
    hung = hang(net, edges)
    best = np.full(len(edges), UNREACHABLE, np.int32)
    for i in range(len(edges)):
        if edges[i] >= 0 and edges[i] == target.edge:
            best[i] = reached_ms(same_edge_ms(net, target.edge, offsets[i], target.offset), access[i])
            if best[i] < UNREACHABLE:
                heap, size = push(heap, size, best[i], nodes + i)
    answer = np.full(len(edges), UNREACHABLE, np.int32)
    met, settled, horizon = 0, 0, UNREACHABLE
    while size > 0:
        ms, node, size = pop(heap, size)
        if met >= most[0] or settled >= most[1]:
            horizon = ms
            break
        if node >= nodes:
            if answer[node - nodes] == UNREACHABLE:
                answer[node - nodes] = ms
                met += 1
            continue
        if ms > area.node[node, MS]:
            continue
        settled += 1
        way = hung.shelf[shelf_of(hung, node)]
        while way >= 0:
            if hung.node[way] == node:
                unit = way // 2
                through = reached_ms(ms, reached_ms(way_out_ms(net, edges[unit], offsets[unit], way % 2), access[unit]))
                if through < best[unit]:
                    best[unit] = through
                    heap, size = push(heap, size, through, nodes + unit)
            way = hung.following[way]
        heap, size = spread(net, into, area, node, heap, size)
    clear(area)
    return answer, horizon


@compiled
def way_to(net: Network, into: Arrivals, area: Ground, start: Spot, target: Spot) -> tuple[int, int, list[int]]:
    """The quickest way from a place to the target over crossings: its milliseconds (UNREACHABLE where there is none),
    the node at which it leaves the start's edge, and the arcs driven from there to the target's edge."""
    heap, size = begin(net, area, target)
    back = net.twin[start.edge]
    head, tail = net.head[start.edge], (net.head[back] if back >= 0 else net.tail[start.edge])
    over_head, over_tail = end_ms(net, start.edge, 1.0 - start.offset), end_ms(net, back, start.offset)
    best, leave = UNREACHABLE, -1
    while size > 0:
        ms, node, size = pop(heap, size)
        if ms >= best:
            break
        if ms > area.node[node, MS]:
            continue
        if node == head and ms + over_head < best:
            best, leave = ms + over_head, head
        if node == tail and ms + over_tail < best:
            best, leave = ms + over_tail, tail
        heap, size = spread(net, into, area, node, heap, size)
    arcs, node = [0][:0], leave
    while node >= 0 and area.node[node, BY] >= 0:
        arcs.append(area.node[node, BY])
        node = net.head[area.node[node, BY]]
    clear(area)
    return best, leave, arcs


@compiled
def clear(area: Ground) -> None:
    """Clean up after a search: only where it has been, while that is still at hand for the processor."""
    for i in range(area.used[0]):
        node = area.touched[i]
        area.node[node, MS], area.node[node, BY] = UNREACHABLE, -1
    area.used[0] = 0


@compiled
def touch(area: Ground, node: int) -> None:
    """Remember that a node is in use, before anything is written to it."""
    if area.node[node, MS] == UNREACHABLE:
        area.touched[area.used[0]] = node
        area.used[0] += 1


@compiled
def begin(net: Network, area: Ground, target: Spot) -> tuple[Longs, int]:
    """The heap of a search: the ends of the target's edge, from which it is reached."""
    if area.used[0] > 0:
        clear(area)
    heap, size = np.empty(FIRST_HEAP, np.int64), 0
    back = net.twin[target.edge]
    ahead, behind = end_ms(net, target.edge, target.offset), end_ms(net, back, 1.0 - target.offset)
    # The way back begins where its own arc does: where turns are banned that is another node than this arc's end.
    for node, ms in ((net.tail[target.edge], ahead), (net.tail[back] if back >= 0 else net.head[target.edge], behind)):
        if ms < area.node[node, MS]:
            touch(area, node)
            area.node[node, MS] = ms
            heap, size = push(heap, size, ms, node)
    return heap, size


@compiled
def hang(net: Network, edges: Ints) -> Hung:
    """Hang units on the nodes where they leave their edges (-1: none)."""
    size = 16
    while size < 4 * len(edges):
        size *= 2
    hung = Hung(np.full(2 * len(edges), -1, np.int32), np.full(size, -1, np.int32), np.empty(2 * len(edges), np.int32))
    for i in range(len(edges)):
        edge = edges[i]
        if edge >= 0:
            back = net.twin[edge]
            hung.node[2 * i] = net.head[edge]
            # The way back ends where its own arc does: where turns are banned that is no end of this one.
            hung.node[2 * i + 1] = net.head[back] if back >= 0 else net.tail[edge]
            for way in (2 * i, 2 * i + 1):
                shelf = shelf_of(hung, hung.node[way])
                hung.following[way] = hung.shelf[shelf]
                hung.shelf[shelf] = way
    return hung


@compiled
def shelf_of(hung: Hung, node: int) -> int:
    """The shelf on which the ways over a node are, perhaps with others'."""
    return ((node * SCATTER) >> 12) & (len(hung.shelf) - 1)


@compiled
def way_out_ms(net: Network, edge: int, offset: float, backward: int) -> int:
    """The time from a place on an edge to the node where that is left: its end, or the end of the way back."""
    return end_ms(net, net.twin[edge], offset) if backward else end_ms(net, edge, 1.0 - offset)


@compiled
def reached_ms(ms: int, more_ms: int) -> int:
    """A sum that stays UNREACHABLE."""
    return min(ms + more_ms, UNREACHABLE)


@compiled
def spread(net: Network, into: Arrivals, area: Ground, node: int, heap: Longs, size: int) -> tuple[Longs, int]:
    """Go on from a settled node to those from which an arc leads to it."""
    here = area.node[node, MS]
    for i in range(into.first[node], into.first[node + 1]):
        before = into.tail[i]
        through = here + net.ms[into.arc[i]]
        if through < area.node[before, MS]:
            touch(area, before)
            area.node[before, MS], area.node[before, BY] = through, into.arc[i]
            heap, size = push(heap, size, through, before)
    return heap, size


@compiled
def push(heap: Longs, size: int, ms: int, node: int) -> tuple[Longs, int]:
    """Put a node on the binary heap, which grows when it is full."""
    if size == len(heap):
        larger = np.empty(2 * size, np.int64)
        larger[:size] = heap
        heap = larger
    entry = (np.int64(ms) << NODE_BITS) | np.int64(node)
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= entry:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = entry
    return heap, size + 1


@compiled
def pop(heap: Longs, size: int) -> tuple[int, int, int]:
    """Take the nearest off the heap: its ms, its node, and the size that remains."""
    top, last, size = heap[0], heap[size - 1], size - 1
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= last:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = last
    return top >> NODE_BITS, top & ((1 << NODE_BITS) - 1), size
