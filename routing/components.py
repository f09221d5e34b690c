"""Which parts of a network hang together: from where everything else can be reached, and back.

A street from which nowhere can be reached (a car park behind a wall, the stump of a road that an extract cut off) is
a poor place to say that a unit stands on. Large islands stay: an exclave or a real island has its own units.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.compiled import compiled

ISLAND_NODES: Final = 200  # the streets of a small town; of a map smaller than that, one in ten of its nodes
ISLAND_SHARE: Final = 0.1

Ints = NDArray[np.int32]


def main_nodes(count: int, tail: Ints, head: Ints) -> NDArray[np.bool_]:
    """The nodes of the largest strongly connected part and of those that are no mere islands."""
    part = components(count, tail, head)
    size = np.bincount(part)
    least = min(ISLAND_NODES, max(3, ISLAND_SHARE * count))
    return np.asarray((size >= min(least, size.max()))[part])


def components(count: int, tail: Ints, head: Ints) -> Ints:
    """The number of each node's strongly connected part."""
    by_tail = np.argsort(tail, kind="stable")
    first = np.searchsorted(tail[by_tail], np.arange(count + 1)).astype(np.int32)
    return np.asarray(strong_parts(first, head[by_tail].astype(np.int32)))


@compiled
def strong_parts(first: Ints, head: Ints) -> Ints:
    """Tarjan's algorithm (1972) with a stack of its own, for networks deeper than any recursion."""
    n = len(first) - 1
    index, low, part = np.full(n, -1, np.int32), np.zeros(n, np.int32), np.full(n, -1, np.int32)
    following = first[:-1].copy()
    stack, trail = np.empty(n, np.int32), np.empty(n, np.int32)
    stacked, walked, seen, parts = 0, 0, 0, 0
    for root in range(n):
        if index[root] >= 0:
            continue
        trail[0], walked = root, 1
        while walked > 0:
            v = trail[walked - 1]
            if index[v] < 0:
                index[v] = low[v] = seen
                seen += 1
                stack[stacked] = v
                stacked += 1
            if following[v] < first[v + 1]:
                w = head[following[v]]
                following[v] += 1
                if index[w] < 0:
                    trail[walked] = w
                    walked += 1
                elif part[w] < 0:
                    low[v] = min(low[v], index[w])
                continue
            walked -= 1
            if walked > 0:
                low[trail[walked - 1]] = min(low[trail[walked - 1]], low[v])
            if low[v] == index[v]:
                while True:
                    stacked -= 1
                    part[stack[stacked]] = parts
                    if stack[stacked] == v:
                        break
                parts += 1
    return part
