"""From ways to chains: the pieces of road between crossings, where nothing about the road changes.

A node at which two equal pieces of street meet and nothing else happens is no node of the network: it stays as a
bend in the line of its chain, so distances and drawings follow the true road and the hierarchy has a third of the
nodes. Not here: what may be done at the crossings (junctions).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.compiled import compiled
from routing.osm import Extract

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Segments(NamedTuple):
    """Straight pieces between neighbouring nodes of a way: `a`, `b` index the extract's nodes, `way` its ways."""

    a: Ints
    b: Ints
    way: Ints


class Chains(NamedTuple):
    """c chains. Chain i goes over segments `segment[first[i]:first[i + 1]]`, those with `backward` from b to a, and
    over nodes `node[first[i] + i:first[i + 1] + i + 1]` (of the extract), its two ends among them."""

    first: Ints
    segment: Ints
    backward: Flags
    node: Ints

    @property
    def size(self) -> int:
        """How many chains there are."""
        return len(self.first) - 1

    @property
    def start(self) -> Ints:
        """The node where each chain begins."""
        return np.asarray(self.node[self.first[:-1] + np.arange(self.size)])

    @property
    def end(self) -> Ints:
        """The node where each chain ends."""
        return np.asarray(self.node[self.first[1:] + np.arange(self.size)])


def segments(extract: Extract) -> Segments:
    """All pieces whose two nodes are in the extract; a way that leaves the extract is cut there."""
    index = extract.nodes.find(extract.refs).astype(np.int32)
    way = np.repeat(np.arange(len(extract.way_ids), dtype=np.int32), np.diff(extract.first))
    a, b = index[:-1], index[1:]
    whole = (way[:-1] == way[1:]) & (a >= 0) & (b >= 0) & (a != b)
    return Segments(a[whole], b[whole], way[:-1][whole])


def chains(extract: Extract, pieces: Segments, special: Flags) -> Chains:
    """Join pieces of equal streets at nodes where two meet, except at `special` ones (a flag for each node)."""
    count = len(extract.nodes.ids)
    street = extract.street[pieces.way]
    symmetric = np.array([street.is_symmetric for street in extract.streets])[street]
    ends = np.concatenate([pieces.a, pieces.b])
    by_node = np.argsort(ends, kind="stable").astype(np.int32)
    first = np.searchsorted(ends[by_node], np.arange(count + 1)).astype(np.int32)
    keep = special | (np.diff(first) != 2)
    mark_changes(first, by_node, street, symmetric, keep)
    return Chains(*walk(first, by_node, pieces.a, pieces.b, keep))


@compiled
def mark_changes(first: Ints, by_node: Ints, street: Ints, symmetric: Flags, keep: Flags) -> None:
    """Keep the nodes where the street changes, or where two one-way pieces do not follow one another."""
    m = len(street)
    for node in range(len(keep)):
        if not keep[node]:
            one, other = by_node[first[node]], by_node[first[node] + 1]
            s, t = one % m, other % m
            keep[node] = s == t or street[s] != street[t] or (not symmetric[s] and (one < m) == (other < m))


@compiled
def walk(first: Ints, by_node: Ints, a: Ints, b: Ints, keep: Flags) -> tuple[Ints, Ints, Flags, Ints]:
    """Follow each chain from a kept node to the next; then the circles that have none, from wherever."""
    m, n = len(a), len(keep)
    done = np.zeros(m, np.bool_)
    chain_first, segment = np.zeros(m + 1, np.int32), np.empty(m, np.int32)
    backward, nodes = np.empty(m, np.bool_), np.empty(2 * m, np.int32)
    count, used, placed = 0, 0, 0
    for i in range(2 * m + m):
        # First every end at a kept node, then whatever piece is left.
        end = by_node[i] if i < 2 * m else i - 2 * m
        s = end % m
        start = b[s] if i < 2 * m and end >= m else a[s]
        if done[s] or (i < 2 * m and not keep[start]):
            continue
        node = start
        nodes[placed] = node
        placed += 1
        while True:
            done[s] = True
            segment[used] = s
            backward[used] = b[s] == node
            node = a[s] if b[s] == node else b[s]
            used += 1
            nodes[placed] = node
            placed += 1
            if keep[node] or node == start or node >= n:
                break
            one, other = by_node[first[node]] % m, by_node[first[node] + 1] % m
            s = other if one == s else one
        count += 1
        chain_first[count] = used
    return chain_first[: count + 1].copy(), segment, backward, nodes[:placed].copy()
