"""Others beside the travel engine: an independent Dijkstra that says what is right, and their times for the same work.

scipy's Dijkstra where it is installed, else a plain one of our own, and the figures say which; and RoutingKit's
customisable contraction hierarchy on the same order of nodes. Only benchmarks ask.
"""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from heapq import heappop, heappush
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import routingkit_cch
from numpy.typing import NDArray

from routing import labels
from routing.cch import UNREACHABLE
from routing.compiled import compiled
from routing.nearest import Arrivals, arrivals
from routing.roads import Roads
from routing.travel import Snap, TravelTimes

WITHIN_MS: Final = 900_000
"""How far a search goes that only asks who is near: 15 minutes."""
SCIPY_MISSING: Final = "not installed: make setup-dev installs it"
FREE: Final = 1e-6  # ms of an arc that takes none: an entry of 0 would be no arc; thousands of them round away

Ints = NDArray[np.int32]
Figures = dict[str, Any]
Search = Callable[[int], NDArray[np.float64]]
Ends = list[tuple[int, int]]


class Oracle:
    """Shortest times on a network with some weights, by an algorithm that knows nothing of hierarchies."""

    def __init__(self, roads: Roads, ms: Ints) -> None:
        """`ms` are the weights in force; to and from places on closed streets those of the map count."""
        self._roads, self._ms = roads, ms
        search = self._plain() if find_spec("scipy") is None else partial(_scipy_search, backward(roads, ms))
        self._to_node: Search = lru_cache(2)(search)  # the two ends of the street that answers were last asked for

    @property
    def name(self) -> str:
        """Whose Dijkstra it is."""
        return "own" if find_spec("scipy") is None else "scipy"

    def _plain(self) -> Search:
        roads, ms = self._roads, self._ms.astype(np.float64)
        into = arrivals(len(roads.lat), roads.tail, roads.head)
        ms[self._ms == UNREACHABLE] = np.inf
        return lambda node: flooded(into, ms, node)

    def to_node(self, node: int) -> NDArray[np.float64]:
        """Milliseconds from every node to one; inf where no road leads."""
        return self._to_node(node)

    def agrees(self, answer: TravelTimes, off_road_ms: Ints) -> bool:
        """Whether every time that an answer gives as exact is the shortest, and no other is below what it says.

        `off_road_ms` is what each unit needs to come to the road.
        """
        ends = self._ends(answer.target, arriving=True)
        best = np.rint(np.min([self.to_node(node) + ms for node, ms in ends], axis=0)) if ends else None
        to_target_ms = labels.access_ms(answer.target.distance_m)
        for i, ms in enumerate(answer.ms.tolist()):
            start = Snap(int(answer.edges[i]), float(answer.offsets[i]), 0.0, 0.0, 0.0, False)
            way = UNREACHABLE if best is None or start.edge < 0 else self._way_ms(best, start, answer.target)
            right = min(UNREACHABLE, way + int(off_road_ms[i]) + to_target_ms)
            if ms != right if ms < answer.exact_below_ms else right < answer.exact_below_ms:
                return False
        return True

    def _way_ms(self, best: NDArray[np.float64], start: Snap, target: Snap) -> int:
        ways = [float(best[node]) + ms for node, ms in self._ends(start, arriving=False)]
        if start.edge == target.edge:
            ways.append(self._along_ms(start.edge, start.offset, target.offset))
        return int(min([*ways, UNREACHABLE]))

    def _ends(self, place: Snap, arriving: bool) -> Ends:
        """The nodes by which a place is reached, or left, and in how many ms."""
        roads, back = self._roads, int(self._roads.twin[place.edge])
        ends = roads.tail if arriving else roads.head
        ahead, behind = (place.offset, 1.0 - place.offset) if arriving else (1.0 - place.offset, place.offset)
        found = [(int(ends[place.edge]), self._end_ms(place.edge, ahead))]
        if back >= 0:
            found.append((int(ends[back]), self._end_ms(back, behind)))
        elif behind == 0.0:  # at that very end of a one-way street
            found.append((int((roads.head if arriving else roads.tail)[place.edge]), 0))
        return [(node, ms) for node, ms in found if ms < UNREACHABLE]

    def _end_ms(self, arc: int, part: float) -> int:
        if arc < 0 or (self._ms[arc] == UNREACHABLE and part > 0.5 and self._roads.twin[arc] >= 0):
            return UNREACHABLE
        return self._part_ms(arc, part)

    def _part_ms(self, arc: int, part: float) -> int:
        ms = int(self._ms[arc] if self._ms[arc] < UNREACHABLE else self._roads.ms[arc])
        return round(ms * part) if ms < UNREACHABLE else UNREACHABLE

    def _along_ms(self, edge: int, start: float, end: float) -> int:
        arc = edge if start <= end else int(self._roads.twin[edge])
        apart = (start - 0.5) * (end - 0.5) < 0
        if arc < 0 or (self._ms[arc] == UNREACHABLE and self._roads.twin[arc] >= 0 and apart):
            return UNREACHABLE
        return self._part_ms(arc, abs(end - start))


@compiled
def flooded(into: Arrivals, ms: NDArray[np.float64], target: int) -> NDArray[np.float64]:
    """Dijkstra's algorithm with nothing else, against the direction of travel."""
    best = np.full(len(into.first) - 1, np.inf)
    best[target] = 0.0
    heap = [(0.0, np.int64(target))]
    while len(heap) > 0:
        so_far, node = heappop(heap)
        if so_far > best[node]:
            continue
        for i in range(into.first[node], into.first[node + 1]):
            through = so_far + ms[into.arc[i]]
            if through < best[into.tail[i]]:
                best[into.tail[i]] = through
                heappush(heap, (through, np.int64(into.tail[i])))
    return best


def backward(roads: Roads, ms: Ints) -> Any:
    """The roads as scipy takes them, against the direction of travel: a sparse matrix of floating milliseconds."""
    from scipy.sparse import csr_array

    usable = ms < UNREACHABLE
    n = len(roads.lat)
    pair = roads.head[usable].astype(np.int64) * n + roads.tail[usable]
    by_pair = np.lexsort((ms[usable], pair))
    pairs, first = np.unique(pair[by_pair], return_index=True)  # of parallel arcs the fastest
    weight = np.maximum(ms[usable][by_pair[first]].astype(np.float64), FREE)
    return csr_array((weight, (pairs // n, pairs % n)), shape=(n, n))


def _scipy_search(matrix: Any, node: int, limit_ms: float = np.inf) -> NDArray[np.float64]:
    from scipy.sparse.csgraph import dijkstra

    return np.asarray(dijkstra(matrix, indices=node, limit=limit_ms))


def scipy_figures(roads: Roads, targets: list[int]) -> Figures:
    """scipy's Dijkstra on a matrix made beforehand. One search serves any number of units: over the whole network as
    the hierarchy answers, or only as far as WITHIN_MS, and no word of those beyond."""
    if find_spec("scipy") is None:
        return {"scipy": SCIPY_MISSING}
    import scipy

    matrix = backward(roads, roads.ms)
    everywhere = partial(_scipy_search, matrix)
    within = partial(_scipy_search, matrix, limit_ms=WITHIN_MS)
    named = {"": (everywhere, targets[: len(targets) // 3]), f"_within_{WITHIN_MS // 60_000}_min": (within, targets)}
    figures: Figures = {"scipy": scipy.__version__}
    for name, (search, asked) in named.items():
        figures |= _spread(f"scipy_many_to_one{name}_ms", _spent_ms(search, asked))
    return figures


def _spent_ms(work: Callable[[int], object], nodes: list[int]) -> list[float]:
    spent = []
    for node in nodes:
        began = time.perf_counter()
        work(node)
        spent.append((time.perf_counter() - began) * 1000)
    return spent


def _spread(name: str, spent_ms: list[float]) -> Figures:
    return {f"{name}_p{percent}": round(float(np.percentile(spent_ms, percent)), 4) for percent in (50, 99)}


def routingkit_figures(roads: Roads, units: tuple[int, ...], targets: list[int]) -> Figures:
    """RoutingKit on the same order and weights: customising, and from so many crossings to each target."""
    began = time.perf_counter()
    tail, head, ms = (column.tolist() for column in (roads.tail, roads.head, roads.ms))
    hierarchy = routingkit_cch.CCH(roads.order.tolist(), tail, head, False)
    figures: Figures = {"routingkit_build_ms": round((time.perf_counter() - began) * 1000, 1)}
    began = time.perf_counter()
    metric = routingkit_cch.CCHMetric(hierarchy, ms)
    figures["routingkit_customise_ms"] = round((time.perf_counter() - began) * 1000, 1)
    sources = np.random.default_rng(1).integers(0, len(roads.lat), max(units)).tolist()
    for count in units:
        query = routingkit_cch.CCHManyToOne(metric, sources[:count])
        figures |= _spread(f"routingkit_many_to_one_ms_{count}_units", _spent_ms(query.distances_to, targets))
    return figures
