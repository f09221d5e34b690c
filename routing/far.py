"""Tables of networks with ways of many days, which the hierarchy's 32 bits do not hold: Dijkstra in whole numbers.

Nobody drives for a week. But networks that were made up to check a program have arcs of a day each, and a way that is
there is not to be called unreachable.
"""

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.labels import access_ms, part_ms
from routing.roads import Roads

if TYPE_CHECKING:
    from routing.matrix import Places

SUMS_FIT: Final = UNREACHABLE // 2  # two times below this never come to UNREACHABLE

Ints = NDArray[np.int32]
Found = dict[int, tuple[int, float]]


class Reached(NamedTuple):
    """A node, and what it takes between there and a place: milliseconds and metres."""

    node: int
    ms: int
    metres: float


def may_overflow(*columns: Ints) -> bool:
    """Whether some time is so long that a sum of two may have been cut off."""
    return any(bool(((column >= SUMS_FIT) & (column < UNREACHABLE)).any()) for column in columns)


def rows(roads: Roads, starts: "Places", ends: "Places") -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each start its ms and metres to every end, as `Matrix.rows`."""
    leaving: dict[int, list[int]] = {}
    for arc in np.flatnonzero(roads.ms < UNREACHABLE).tolist():
        leaving.setdefault(int(roads.tail[arc]), []).append(arc)
    arrivals = [_between(roads, ends, j, leaving=False) for j in range(len(ends.node))]
    for k in range(len(starts.node)):
        found = _search(roads, leaving, _between(roads, starts, k, leaving=True))
        ms, metres = np.full(len(arrivals), UNREACHABLE, np.int64), np.full(len(arrivals), np.nan, np.float32)
        for j, arrival in enumerate(arrivals):
            ways = [(found[at][0] + more, found[at][1] + away) for at, more, away in arrival if at in found]
            ways += _along(roads, starts, k, ends, j)
            if ways:
                best, metres[j] = min(ways)
                ms[j] = best + access_ms(starts.away_m[k]) + access_ms(ends.away_m[j])
        yield ms, metres


def _between(roads: Roads, places: "Places", k: int, leaving: bool) -> list[Reached]:
    """The nodes at which a place is left, or entered."""
    if places.node[k] >= 0:
        return [Reached(int(places.node[k]), 0, 0.0)]
    edge, offset = int(places.edge[k]), float(places.offset[k])
    part, nodes = (1.0 - offset, roads.head) if leaving else (offset, roads.tail)
    ways = [(edge, part), (int(roads.twin[edge]), 1.0 - part)]
    return [
        Reached(int(nodes[arc]), int(part_ms(roads.ms[arc], share)), float(roads.metres[arc]) * share)
        for arc, share in ways
        if arc >= 0 and roads.ms[arc] < UNREACHABLE
    ]


def _along(roads: Roads, starts: "Places", k: int, ends: "Places", j: int) -> list[tuple[int, float]]:
    """The way straight along the edge on which both places lie, if they do."""
    edge = int(starts.edge[k])
    if edge < 0 or edge != ends.edge[j]:
        return []
    ahead = float(ends.offset[j] - starts.offset[k])
    arc = edge if ahead >= 0 else int(roads.twin[edge])
    if arc < 0 or roads.ms[arc] >= UNREACHABLE:
        return []
    return [(int(part_ms(roads.ms[arc], abs(ahead))), float(roads.metres[arc]) * abs(ahead))]


def _search(roads: Roads, leaving: dict[int, list[int]], begin: list[Reached]) -> Found:
    """Milliseconds and metres to every node that can be reached."""
    heap = [(ms, metres, node) for node, ms, metres in begin]
    heapq.heapify(heap)
    found: Found = {}
    while heap:
        ms, metres, node = heapq.heappop(heap)
        if node not in found:
            found[node] = ms, metres
            for arc in leaving.get(node, []):
                further = ms + int(roads.ms[arc]), metres + float(roads.metres[arc]), int(roads.head[arc])
                heapq.heappush(heap, further)
    return found
