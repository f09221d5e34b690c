"""Crossings where not every turn may be made: barriers and turn restrictions, as nodes and arcs of the network.

Only such a crossing is taken apart. It gets an arrival node for each street end that leads to it, a departure node
for each that leads away, and for each pair of them a turn: an arc of no length that says what stands in its way. A
ban by way of a street (from A over B not to C) gets further copies of B: one that only those who come from A drive, one
for all others. All other crossings stay one node, so a country grows by a few thousand nodes and not tenfold.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.chains import Chains, Segments
from routing.osm import Extract, Restriction
from routing.profiles import FREE

Ints = NDArray[np.int32]

START, END = 0, 1
End = tuple[int, int]
"""A chain and which of its ends."""
Passage = tuple[int, int]
"""A chain and the end at which it is entered: a street in one direction."""

VIA_WAYS_MAX: Final = 6


class Turns(NamedTuple):
    """What junctions add to a network whose first nodes are its plain crossings. `place` gives for each added node the
    extract's node where it is; `tails`, `heads` the added node (or -1) at which each passage begins and ends, indexed
    by 2 * chain + the end where it is entered; `arcs` (k, 3) tail, head and what stands in the way; `copies` (k, 3)
    tail, head and the passage driven; `obeyed` counts restrictions that took effect."""

    place: Ints
    tails: Ints
    heads: Ints
    arcs: Ints
    copies: Ints
    obeyed: int


def special_nodes(extract: Extract) -> NDArray[np.bool_]:
    """The nodes that must stay nodes, because a barrier or a turn restriction may be there."""
    special = extract.nodes.barrier != FREE
    vias = [node for each in extract.restrictions for node in each.via_nodes]
    index = extract.nodes.find(np.array(vias, np.int64))
    special[index[index >= 0]] = True
    wanted = {way for each in extract.restrictions for way in each.via_ways}
    for i in np.flatnonzero(np.isin(extract.way_ids, np.fromiter(wanted, np.int64, len(wanted)))):
        refs = extract.refs[[extract.first[i], extract.first[i + 1] - 1]]
        index = extract.nodes.find(refs)
        special[index[index >= 0]] = True
    return np.asarray(special)


def turns(extract: Extract, pieces: Segments, road: Chains, is_open: NDArray[np.bool_], first_node: int) -> Turns:
    """Take the special crossings apart. `is_open` (2 * chains) says which passages anybody may drive; added nodes are
    numbered from `first_node`."""
    return _Crossings(extract, pieces, road, is_open, first_node).turns()


class _Crossings:
    """The crossings under construction."""

    def __init__(
        self, extract: Extract, pieces: Segments, road: Chains, is_open: NDArray[np.bool_], first_node: int
    ) -> None:
        self._extract, self._road, self._open = extract, road, is_open
        self._start, self._end = road.start, road.end
        self._way_of_piece = pieces.way
        self._number = {int(way): i for i, way in enumerate(extract.way_ids)} if extract.restrictions else {}
        self._next = first_node
        self.place: list[int] = []
        self.tails, self.heads = np.full(2 * road.size, -1, np.int32), np.full(2 * road.size, -1, np.int32)
        self._turns: dict[int, dict[int, int]] = {}
        self._arrivals: dict[int, dict[int, Passage]] = {}  # at each crossing, and by which passage one arrives there
        self.copies: list[tuple[int, int, int]] = []
        self._more_departures: dict[int, list[int]] = {}  # onto copies of the passage that departs there
        self._by_way: dict[int, list[End]] = {}
        self._bans: dict[tuple[End, End], int] = {}
        self._chain_bans: dict[tuple[Passage, ...], dict[End, dict[End, int]]] = {}
        self._apart: set[int] = set()
        self._obeyed = 0

    def turns(self) -> Turns:
        special = special_nodes(self._extract)
        self._ends = self._ends_at(special)
        for restriction in self._extract.restrictions:
            self._obeyed += self._understand(restriction)
        barriers = np.flatnonzero(self._extract.nodes.barrier != FREE).tolist()
        self._apart.update(node for node in barriers if len(self._ends_of(node)) > 1)
        for node in sorted(self._apart):
            self._take_apart(node)
        for path, bans in sorted(self._chain_bans.items()):
            self._part(path, bans)
        return Turns(
            np.array(self.place, np.int32),
            self.tails,
            self.heads,
            np.array(list(self._all_turns()), np.int32).reshape(-1, 3),
            np.array(self.copies, np.int32).reshape(-1, 3),
            self._obeyed,
        )

    def _all_turns(self) -> Iterator[tuple[int, int, int]]:
        for arrival, onto in self._turns.items():
            yield from ((arrival, departure, kind) for departure, kind in onto.items())

    def _ends_at(self, special: NDArray[np.bool_]) -> dict[int, list[End]]:
        """The street ends at each special node."""
        found: dict[int, list[End]] = {}
        for side, nodes in ((START, self._start), (END, self._end)):
            for chain in np.flatnonzero(special[nodes]).tolist():
                found.setdefault(int(nodes[chain]), []).append((chain, side))
        return found

    def _ends_of(self, node: int) -> list[End]:
        """The street ends at any node; those at nodes that are not special are looked up one by one."""
        if node not in self._ends:
            self._ends[node] = [
                (chain, side)
                for side, nodes in ((START, self._start), (END, self._end))
                for chain in np.flatnonzero(nodes == node).tolist()
            ]
        return self._ends[node]

    def _way_at(self, end: End) -> int:
        """The index of the way at this end of a chain."""
        chain, side = end
        at = self._road.first[chain] if side == START else self._road.first[chain + 1] - 1
        return int(self._way_of_piece[self._road.segment[at]])

    def _node(self, end: End) -> int:
        return int((self._start if end[1] == START else self._end)[end[0]])

    def _understand(self, said: Restriction) -> bool:
        """Note what a restriction bans; whether that was anything."""
        from_ways, to_ways = (
            {self._number[w] for w in ways if w in self._number} for ways in (said.from_ways, said.to_ways)
        )
        if not from_ways or not to_ways:
            return False
        if said.via_ways:
            return self._understand_chain(said, from_ways, to_ways)
        index = self._extract.nodes.find(np.array(said.via_nodes, np.int64))
        noted = [self._note_at(said, int(node), from_ways, to_ways) for node in index if node >= 0]
        return any(noted)

    def _note_at(self, said: Restriction, node: int, from_ways: set[int], to_ways: set[int]) -> bool:
        ends = self._ends_of(node)
        arriving = [end for end in ends if self._way_at(end) in from_ways and self._arrives(end)]
        leaving = [end for end in ends if self._way_at(end) in to_ways and self._leaves(end)]
        if not leaving or self._are_two_sides(arriving) or (not said.is_only and self._are_two_sides(leaving)):
            return False
        for come in arriving:
            for go in self._banned(said, ends, leaving):
                self._bans[come, go] = max(said.kind, self._bans.get((come, go), FREE))
                self._apart.add(node)
        return bool(arriving)

    def _are_two_sides(self, ends: list[End]) -> bool:
        """Whether a way goes on beyond the crossing, so that it does not say which of its sides is meant."""
        return len({self._way_at(end) for end in ends}) < len(ends)

    def _banned(self, said: Restriction, ends: list[End], leaving: list[End]) -> list[End]:
        if not said.is_only:
            return leaving
        return [go for go in ends if go not in leaving]

    def _arrives(self, end: End) -> bool:
        return bool(self._open[2 * end[0] + _other(end)[1]])

    def _leaves(self, end: End) -> bool:
        return bool(self._open[2 * end[0] + end[1]])

    def _understand_chain(self, said: Restriction, from_ways: set[int], to_ways: set[int]) -> bool:
        """A restriction by way of other ways: find the passages from the first crossing to the last."""
        vias = [self._number.get(way, -1) for way in said.via_ways]
        if -1 in vias or len(vias) > VIA_WAYS_MAX:
            return False
        noted = False
        for come in self._ends_of_ways(from_ways):
            if not self._arrives(come):
                continue
            for path in self._paths(self._node(come), vias, come):
                last = self._far(path[-1])
                ends = self._ends_of(last)
                leaving = [end for end in ends if self._way_at(end) in to_ways and self._leaves(end)]
                if leaving:
                    self._note_chain(come, path, dict.fromkeys(self._banned(said, ends, leaving), said.kind))
                    noted = True
        return noted

    def _ends_of_ways(self, ways: set[int]) -> list[End]:
        """Those ends of chains at special nodes that belong to some ways."""
        if not self._by_way:
            for end in [end for ends in self._ends.values() for end in ends]:
                self._by_way.setdefault(self._way_at(end), []).append(end)
        return [end for way in sorted(ways) for end in self._by_way.get(way, ())]

    def _paths(self, node: int, vias: list[int], come: End) -> Iterator[tuple[Passage, ...]]:
        """The passages that follow the ways `vias` one after another from a node, to the end of the last."""
        at, left, path = node, list(vias), list[Passage]()
        before = come[0]
        while True:
            onward = [
                end for end in self._ends_of(at) if end[0] != before and self._way_at(end) in left and self._leaves(end)
            ]
            if len(onward) != 1 or len(path) >= 4 * VIA_WAYS_MAX:
                break
            path.append(onward[0])
            at, before = self._far(onward[0]), onward[0][0]
        if path and {self._way_at(end) for end in path} == set(vias):
            yield tuple(path)

    def _far(self, passage: Passage) -> int:
        return int((self._end if passage[1] == START else self._start)[passage[0]])

    def _note_chain(self, come: End, path: tuple[Passage, ...], banned: dict[End, int]) -> None:
        self._chain_bans.setdefault(path, {}).setdefault(come, {}).update(banned)
        self._apart.update([self._node(come), *(self._far(passage) for passage in path)])

    def _take_apart(self, node: int) -> None:
        """Give a crossing its arrival and departure nodes and the turns between them."""
        ends, stands = self._ends_of(node), int(self._extract.nodes.barrier[node])
        for end in ends:
            if self._arrives(end):
                self.heads[2 * end[0] + _other(end)[1]] = arrival = self._added(node)
                self._arrivals.setdefault(node, {})[arrival] = _other(end)
            if self._leaves(end):
                self.tails[2 * end[0] + end[1]] = self._added(node)
        for come in ends:
            for go in ends:
                arrival, departure = self._arrival(come), self._departure(go)
                if arrival >= 0 and departure >= 0:
                    # Whoever stands before a barrier can turn back.
                    kind = max(self._bans.get((come, go), FREE), stands if come != go else FREE)
                    self._turns.setdefault(arrival, {})[departure] = kind

    def _added(self, node: int) -> int:
        self.place.append(node)
        self._next += 1
        return self._next - 1

    def _arrival(self, end: End) -> int:
        """The added node at which those arrive who come by this street end; -1 where nobody does."""
        return int(self.heads[2 * end[0] + _other(end)[1]])

    def _departure(self, end: End) -> int:
        return int(self.tails[2 * end[0] + end[1]])

    def _part(self, path: tuple[Passage, ...], bans: dict[End, dict[End, int]]) -> None:
        """Keep bans at the end of some passages. Whoever comes from a street with a ban has copies of the passages with
        that ban at their end, all others have copies without one; and the passages themselves, on which places lie and
        which all may enter, are left as if by any of those."""
        by = self._arrivals[self._node(path[0])]
        entries = self._entries(path[0])
        self._copy(path, [arrival for arrival in entries if _other(by[arrival]) not in bans], None)
        for come, banned in bans.items():
            self._copy(path, [arrival for arrival in entries if _other(by[arrival]) == come], banned)
        for banned in bans.values():
            self._ban(self._arrival(_other(path[-1])), banned)

    def _copy(self, path: tuple[Passage, ...], entries: list[int], banned: dict[End, int] | None) -> None:
        """A second copy of passages for those who come by `entries`; without a ban also for those who come onto a later
        passage from elsewhere than the one before it."""
        for k, passage in enumerate(path):
            departure = self._departure(passage)
            if banned is None and k > 0:
                entries += self._entries(passage, path[k - 1])
            tail, head = self._added(self._node(passage)), self._added(self._far(passage))
            for arrival in entries:
                if departure in self._turns.get(arrival, {}):
                    self._turns[arrival][tail] = self._turns[arrival][departure]
            self.copies.append((tail, head, 2 * passage[0] + passage[1]))
            self._arrivals[self._far(passage)][head] = passage
            self._more_departures.setdefault(departure, []).append(tail)
            self._turns[head] = dict(self._turns.get(self._arrival(_other(passage)), {}))
            entries = [head]
        if banned is not None:
            self._ban(entries[0], banned)

    def _entries(self, passage: Passage, but_from: Passage | None = None) -> list[int]:
        """The arrival nodes from which a passage is entered, without those of one passage."""
        departure = self._departure(passage)
        at = self._arrivals[self._node(passage)].items()
        return [arrival for arrival, by in at if by != but_from and departure in self._turns.get(arrival, {})]

    def _ban(self, arrival: int, banned: dict[End, int]) -> None:
        """Put what stands in the way into the turns of an arrival node."""
        turns = self._turns[arrival]
        for end, kind in banned.items():
            own = self._departure(end)
            for departure in (own, *self._more_departures.get(own, ())):
                if departure in turns:
                    turns[departure] = max(kind, turns[departure])


def _other(passage: Passage) -> End:
    """The street end at which a passage arrives."""
    return passage[0], END if passage[1] == START else START
