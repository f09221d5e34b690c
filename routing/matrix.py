"""Tables of times: from every place of one list to every place of another, in milliseconds and metres.

For planners and for checking from outside; live questions go to travel. The metres are those of the quickest way:
each arc of the hierarchy carries the length of the way that it stands for, and labels carry both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import cch, far
from routing.cch import UNREACHABLE, Hierarchy
from routing.compiled import compiled
from routing.labels import access_ms, part_ms
from routing.roads import Roads
from routing.snapping import Grid, grid, nearest

ROWS_AT_ONCE: Final = 512  # labels of so many starts are kept at a time

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Places(NamedTuple):
    """Places as columns. A place is a node (`node` >= 0), or lies on edge `edge` at `offset`, `away_m` from where it
    was asked for."""

    node: Ints
    edge: Ints
    offset: Floats
    away_m: Floats

    def part(self, begin: int, end: int) -> Places:
        """Those from one number to another."""
        own = slice(begin, end)
        return Places(self.node[own], self.edge[own], self.offset[own], self.away_m[own])


class _Labels(NamedTuple):
    """Times and metres from (or to) some places by the depth of ancestors; `low` (k) is where each label begins."""

    low: Ints
    ms: Ints
    metres: NDArray[np.float32]


class Matrix:
    """One network under one profile, ready for tables."""

    def __init__(self, roads: Roads) -> None:
        self.roads = roads
        self._shape = cch.build(roads.order, roads.tail, roads.head)
        metric = cch.customise(self._shape, roads.tail, roads.head, roads.ms)
        lengths = carried_metres(self._shape.first, self._shape.head, metric, roads.metres)
        self._weights = ((metric.up, lengths[0]), (metric.down, lengths[1]))
        self._is_far = far.may_overflow(metric.up, metric.down)
        self._cells: Grid | None = None

    def at_nodes(self, nodes: list[int]) -> Places:
        """Places that are nodes of the network."""
        count = len(nodes)
        return Places(np.array(nodes, np.int32), np.full(count, -1, np.int32), np.zeros(count), np.zeros(count))

    def at_positions(self, points: list[tuple[float, float]]) -> Places:
        """The places on the roads nearest to positions (lat, lon)."""
        if self._cells is None:
            self._cells = grid(self.roads)
        found = [nearest(self._cells, lat, lon)[:3] for lat, lon in points]
        edge, offset, away_m = (np.array(column) for column in zip(*found, strict=True)) if found else [np.zeros(0)] * 3
        edge = edge.astype(np.int32)
        # Whoever is at a crossing leaves by any of its streets, not only by that which was found first.
        node = np.where(offset == 0.0, self.roads.tail[edge], np.where(offset == 1.0, self.roads.head[edge], -1))
        return Places(node.astype(np.int32), np.where(node >= 0, -1, edge).astype(np.int32), offset, away_m)

    def rows(self, starts: Places, ends: Places) -> list[tuple[NDArray[np.integer], NDArray[np.float32]]]:
        """For each start its ms and metres to every end: UNREACHABLE and not a number where no road leads. At most
        ROWS_AT_ONCE starts."""
        assert len(starts.node) <= ROWS_AT_ONCE
        out, back = self._labels(starts, True), self._labels(ends, False)
        if self._is_far or far.may_overflow(out.ms, back.ms):
            return list(far.rows(self.roads, starts, ends))
        columns = (self.roads.ms, self.roads.twin, self.roads.metres)
        return [meet(self._shape, (out, i, starts), (back, ends), columns) for i in range(len(starts.node))]

    def _labels(self, places: Places, leaving: bool) -> _Labels:
        shape, roads = self._shape, self.roads
        count, width = len(places.node), int(shape.depth.max()) + 1
        labels = _Labels(
            np.zeros(count, np.int32),
            np.full((count, width), UNREACHABLE, np.int32),
            np.zeros((count, width), np.float32),
        )
        weights, ends = (self._weights[0], roads.head) if leaving else (self._weights[1], roads.tail)
        fill(shape, weights, (roads.ms, roads.twin, roads.metres), (ends, leaving), places, labels)
        return labels


@compiled
def carried_metres(
    first: Ints, head: Ints, metric: cch.Metric, metres: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The length of the way for which each upward arc stands, up and down. A way over a lower node is that node's two
    arcs, which are done before."""
    up, down = np.zeros(len(head), np.float32), np.zeros(len(head), np.float32)
    for low in range(len(first) - 1):
        for i in range(first[low], first[low + 1]):
            if metric.up[i] < UNREACHABLE:
                via = metric.via_up[i]
                if via >= 0:
                    up[i] = metres[via]
                else:
                    up[i] = (
                        down[cch.arc_between(first, head, ~via, low)] + up[cch.arc_between(first, head, ~via, head[i])]
                    )
            if metric.down[i] < UNREACHABLE:
                via = metric.via_down[i]
                if via >= 0:
                    down[i] = metres[via]
                else:
                    to_high = cch.arc_between(first, head, ~via, head[i])
                    down[i] = down[to_high] + up[cch.arc_between(first, head, ~via, low)]
    return up, down


@compiled
def fill(
    shape: Hierarchy,
    weights: tuple[Ints, NDArray[np.float32]],
    arcs: tuple[Ints, Ints, NDArray[np.float32]],
    side: tuple[Ints, bool],
    places: Places,
    labels: _Labels,
) -> None:
    """Fill the labels of places. `side` is the column of nodes at which an arc is left (or, arriving, entered) and
    whether it is left."""
    ms, twin, metres = arcs
    ends, leaving = side
    for k in range(len(places.node)):
        label, length = labels.ms[k], labels.metres[k]
        if places.node[k] >= 0:
            low = shape.rank[places.node[k]]
            label[shape.depth[low]] = 0
        else:
            edge, offset = places.edge[k], places.offset[k]
            part = 1.0 - offset if leaving else offset
            low = shape.rank[ends[edge]]
            label[shape.depth[low]] = part_ms(ms[edge], part)
            length[shape.depth[low]] = metres[edge] * part
            back = twin[edge]
            if back >= 0:
                other, way = shape.rank[ends[back]], part_ms(ms[back], 1.0 - part)
                if way < label[shape.depth[other]]:
                    label[shape.depth[other]] = way
                    length[shape.depth[other]] = metres[back] * (1.0 - part)
                low = min(low, other)
        labels.low[k] = low
        v = low
        while v >= 0:
            here, here_m = label[shape.depth[v]], length[shape.depth[v]]
            if here < UNREACHABLE:
                for i in range(shape.first[v], shape.first[v + 1]):
                    through, d = here + weights[0][i], shape.depth[shape.head[i]]
                    if through < label[d]:
                        label[d], length[d] = through, here_m + weights[1][i]
            v = shape.parent[v]


@compiled
def meet(
    shape: Hierarchy,
    start: tuple[_Labels, int, Places],
    target: tuple[_Labels, Places],
    arcs: tuple[Ints, Ints, NDArray[np.float32]],
) -> tuple[Ints, NDArray[np.float32]]:
    """Times and metres from one start to every target: over the best of their common ancestors, or straight along
    one edge; with the way to the road and from it."""
    out, k, places = start
    back, ends = target
    ms, twin, metres = arcs
    answer, length = np.full(len(ends.node), UNREACHABLE, np.int32), np.full(len(ends.node), np.nan, np.float32)
    for j in range(len(ends.node)):
        best, best_m = np.int64(2 * UNREACHABLE), np.float32(0.0)
        v = out.low[k]
        while not (shape.enter[v] <= shape.enter[back.low[j]] < shape.leave[v]):
            v = shape.parent[v]
            if v < 0:
                break
        top = shape.depth[v] if v >= 0 else -1
        for d in range(top + 1):
            way = np.int64(out.ms[k, d]) + back.ms[j, d]
            if way < best:
                best, best_m = way, out.metres[k, d] + back.metres[j, d]
        edge = places.edge[k]
        if edge >= 0 and edge == ends.edge[j]:
            ahead = ends.offset[j] - places.offset[k]
            arc = edge if ahead >= 0 else twin[edge]
            if arc >= 0 and part_ms(ms[arc], abs(ahead)) < best:
                best, best_m = np.int64(part_ms(ms[arc], abs(ahead))), np.float32(metres[arc] * abs(ahead))
        if best < UNREACHABLE:
            away = access_ms(places.away_m[k]) + access_ms(ends.away_m[j])
            answer[j] = min(np.int64(UNREACHABLE), best + away)
            length[j] = best_m
    return answer, length
