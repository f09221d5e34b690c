"""Road travel times from many units to one place, and the way between two places.

Each unit's forward label is kept and renewed only when it has moved and somebody asks for it, so a question
costs one backward label and a scan of the common prefixes: well under a millisecond for 3,000 units. Times
are those of a plain car; the caller multiplies by a factor for lights and sirens, for which `urban` is told.

Weights may change at any time (weights). From that moment answers obey the new ones: a search for the nearest units
gives them (nearest) until the hierarchy and the labels are made anew in a second buffer (renewal), which the next
question takes. Every answer says which of the two gave it, and below which time it is exact. All questions come
from one thread.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing import cch, labels, lines, nearest, snapping
from routing.answers import LABELS, SEARCH, Path, Snap, TravelTimes
from routing.cch import UNREACHABLE
from routing.drawn import arcs_along
from routing.geometry import METRES_PER_DEGREE, Point
from routing.labels import EMPTY, MOVED, PLACED, Network, Target, Units
from routing.nearest import Spot
from routing.renewal import Renewal, Wish, swapped
from routing.roads import Roads
from routing.snapping import Grid, Place, grid
from routing.weights import USUAL_LATE

FIRST_SLOTS: Final = 256
MOST_UNITS: Final = 100_000
STILL_M: Final = 10.0  # within the error of a good receiver, and less than a second of driving

SEARCH_MOST_NODES: Final = 8_000
"""Crossings that one search settles, 3 to 6 ms of work: a third of the capital, or the whole of another town."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Driven = tuple[int, float, float]  # an arc and the offsets between which it is driven, the first the lower
Asked = tuple[tuple[str, ...], Ints]  # units and their slots
Stop = tuple[float, Point]  # a place on an arc, and which share of the way along it lies behind

NOBODY: Final[Asked] = (), np.empty(0, np.int32)

__all__ = ["LABELS", "SEARCH", "UNREACHABLE", "Path", "Snap", "Travel", "TravelTimes", "warm"]


class Travel:
    """The units on one road network, and the questions about them. `late` is by what share of their time nine drives of
    ten are late at most, LATE_FIXED_S apart, in the country and in towns: a word of the hour, as the weights are."""

    def __init__(self, roads: Roads) -> None:
        shape = cch.build(roads.order, roads.tail, roads.head)
        metric = cch.customise(shape, roads.tail, roads.head, roads.ms)
        self.roads = roads
        self.map_version, self.weights_version = roads.version, 1
        self.late = USUAL_LATE, USUAL_LATE
        self._net = Network(shape, metric, grid(roads), roads.tail, roads.head, roads.ms, roads.ms, roads.twin)
        self._fresh: Network | None = None  # the network with weights for which the metric is still being made
        self._renewal = Renewal()
        self._into = nearest.arrivals(len(roads.lat), roads.tail, roads.head)
        self._ground = nearest.ground(len(roads.lat))
        self._units = _no_units(FIRST_SLOTS, int(shape.depth.max()) + 1)
        self._slots: dict[str, int] = {}
        self._asked = NOBODY
        self._free = list(range(FIRST_SLOTS - 1, -1, -1))

    @property
    def ms(self) -> Ints:
        """The weights in force: milliseconds of each arc, UNREACHABLE where it is closed. Not to be written to."""
        return (self._fresh or self._net).ms

    @property
    def cells(self) -> Grid:
        """Where the streets are: for finding what a drawing means."""
        return self._net.cells

    def reweigh(self, ms: Ints, ends: Ints | None = None) -> int:
        """Put other weights in force, from this moment on; their version. Nobody writes to the arrays from now on.

        `ms` (arcs) is UNREACHABLE where nobody drives through; `ends` (arcs) what it takes there all the same to come
        to a place on such a street, or away from it, by its nearer end: as on the map where it is not given.
        """
        ends = self.roads.ms if ends is None else ends
        assert len(ms) == len(ends) == len(self.roads.tail)
        cch.check_ms(ms)
        self.weights_version += 1
        self._fresh = self._net._replace(ms=ms, ends=ends)
        units = self._units
        self._renewal.ask(
            Wish(
                net=self._fresh,
                version=self.weights_version,
                state=units.state.copy(),
                edge=units.edge.copy(),
                offset=units.offset.copy(),
                width=units.label.shape[1],
            )
        )
        return self.weights_version

    def catch_up(self) -> None:
        """Wait until the hierarchy has the weights in force: for a start, for a planner, for tests."""
        self._renewal.wait()
        self._take_renewed()
        assert self._fresh is None, "the weights were not prepared"

    def _take_renewed(self) -> None:
        """Swap the buffers when the other one is ready."""
        if self._fresh is None:
            return
        made = self._renewal.taken(self.weights_version)
        if made is not None:
            self._renewal.give_back(self._net.metric)
            self._net, self._fresh = made.net, None
            self._units = swapped(self._units, made)

    def move(self, key: str, lat: float, lon: float) -> None:
        """Note where a unit is; where that is on the roads is found out when somebody asks.

        A unit within STILL_M of where it was last found has not moved: its receiver only trembles.
        """
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._new_slot()
            self._asked = NOBODY
        elif self._units.state[slot] >= PLACED and self._is_still(slot, lat, lon):
            return
        self._units.lat[slot], self._units.lon[slot] = lat, lon
        self._units.state[slot] = MOVED

    def _is_still(self, slot: int, lat: float, lon: float) -> bool:
        north_m = (lat - self._units.lat[slot]) * METRES_PER_DEGREE
        east_m = (lon - self._units.lon[slot]) * METRES_PER_DEGREE * math.cos(math.radians(lat))
        return bool(north_m * north_m + east_m * east_m < STILL_M * STILL_M)

    def forget(self, key: str) -> None:
        """Let a unit go; an unknown key is no fault."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._units.state[slot] = EMPTY
            self._free.append(slot)
            self._asked = NOBODY

    def times(self, keys: Sequence[str], lat: float, lon: float, most: int | None = None) -> TravelTimes:
        """The times from each unit of `keys` to a position.

        While the hierarchy lacks the weights in force, the `most` nearest are found by a search (without it as many as
        it meets among SEARCH_MOST_NODES crossings), and the others' times are estimates.
        """
        self._take_renewed()
        slots = self._slots_of(keys)
        if self._fresh is None:
            place, ms, edges, offsets = labels.ask(self._net, self._units, slots, lat, lon)
            return self._answer(place, ms, (edges, offsets))
        most_met = len(keys) if most is None else most
        place, ms, horizon_ms = self._searched(slots, (lat, lon), (most_met, SEARCH_MOST_NODES))
        beyond = (ms == UNREACHABLE) & (slots >= 0)
        if horizon_ms < UNREACHABLE and beyond.any():  # what was so before, but not nearer
            before = labels.ask(self._net, self._units, slots[beyond], lat, lon)[1]
            ms[beyond] = np.maximum(before, horizon_ms)
        return self._answer(place, ms, labels.whereabouts(self._units, slots), horizon_ms)

    def nearest(self, keys: Sequence[str], lat: float, lon: float, most: int) -> TravelTimes:
        """The `most` nearest units of `keys`, by a search that covers whatever ground it needs: the hierarchy's
        oracle. The others' times are UNREACHABLE."""
        self._take_renewed()
        slots = self._slots_of(keys)
        place, ms, horizon_ms = self._searched(slots, (lat, lon), (most, len(self.roads.lat) + 1))
        return self._answer(place, ms, labels.whereabouts(self._units, slots), horizon_ms)

    def _slots_of(self, keys: Sequence[str]) -> Ints:
        """Of the same units as the time before, as when many incidents wait for them, it is known."""
        names = tuple(keys)
        if names != self._asked[0]:
            self._asked = names, np.fromiter(map(self._slots.get, names, repeat(-1)), np.int32, len(names))
        return self._asked[1]

    def _answer(
        self, target: Place, ms: Ints, starts: tuple[Ints, Floats], horizon_ms: int | None = None
    ) -> TravelTimes:
        """What is answered; with a horizon, by a search. `starts` are the units' edges and offsets."""
        edges, offsets = starts
        return TravelTimes(
            ms=ms,
            edges=edges,
            offsets=offsets,
            snapped=partial(self._snap, target),
            map_version=self.map_version,
            weights_version=self.weights_version,
            engine=LABELS if horizon_ms is None else SEARCH,
            exact_below_ms=UNREACHABLE if horizon_ms is None else horizon_ms,
        )

    def _searched(self, slots: Ints, at: tuple[float, float], most: tuple[int, int]) -> tuple[Place, Ints, int]:
        """The target on the roads, milliseconds to it by the weights in force, and the horizon, both with the way off
        the road to it."""
        net, units = self._fresh or self._net, self._units
        labels.place(net, units, slots)
        edges, offsets = labels.whereabouts(units, slots)
        place = snapping.nearest(net.cells, *at)
        to_target_ms = labels.access_ms(place.distance_m)
        starts, spot = (edges, offsets, units.access_ms[slots]), Spot(place.edge, place.offset)
        most = (min(most[0], int(np.count_nonzero(slots >= 0))), most[1])
        ms, horizon_ms = nearest.nearest_units(net, self._into, self._ground, starts, spot, most)
        ms = np.minimum(ms + (ms < UNREACHABLE) * to_target_ms, UNREACHABLE).astype(np.int32)
        return place, ms, min(UNREACHABLE, horizon_ms + to_target_ms)

    def snap(self, lat: float, lon: float) -> Snap:
        """The nearest place on a road."""
        return self._snap(snapping.nearest(self._net.cells, lat, lon))

    def path(self, start: tuple[float, float], end: tuple[float, float]) -> Path | None:
        """The quickest way between two positions, or None where no road leads. It begins and ends on the
        road, except that a position far off the road is itself its first or last point."""
        self._take_renewed()
        return self._path(start, end)

    def path_on_map(self, start: tuple[float, float], end: tuple[float, float]) -> Path | None:
        """The same on the map's own weights, whatever is closed or slow now. By a search: not for long ways."""
        self._take_renewed()
        in_force, self._fresh = self._fresh, self._net._replace(ms=self.roads.ms, ends=self.roads.ms)
        try:
            return self._path(start, end)
        finally:
            self._fresh = in_force

    def _path(self, start: tuple[float, float], end: tuple[float, float]) -> Path | None:
        source, target = labels.aim(self._net, *start, True), labels.aim(self._net, *end, False)
        arcs = self._arcs(source, target)
        if arcs is None:
            return None
        legs = [leg for leg in self._legs(source, target, arcs) if leg[2] > 0]
        points, seconds, metres = [self._at(source.edge, source.offset)], [source.access_ms / 1000], 0.0
        for places, length_m, ms in legs:
            before = seconds[-1]
            points += [place for _, place in places]
            seconds += [before + ms / 1000 * share for share, _ in places]
            metres += length_m
        if source.access_ms:
            points.insert(0, Point(*start))
            seconds.insert(0, 0.0)
        if target.access_ms:
            points.append(Point(*end))
            seconds.append(seconds[-1] + target.access_ms / 1000)
        return Path(points, seconds, metres, [arc for arc, start_at, end_at in arcs if end_at > start_at])

    def driven(self, start: tuple[float, float], end: tuple[float, float]) -> list[Driven] | None:
        """The arcs of the quickest way between two positions, and which part of each; None where no road leads."""
        self._take_renewed()
        return self._arcs(labels.aim(self._net, *start, True), labels.aim(self._net, *end, False))

    def _arcs(self, source: Target, target: Target) -> list[Driven] | None:
        """The way as the arcs driven, or None where no road leads."""
        if self._fresh is not None:
            return self._arcs_searched(self._fresh, source, target)
        net = self._net
        direct = labels.same_edge_ms(net, source.edge, source.offset, target.offset)
        depth = labels.meeting_depth(source, target)
        around = int(source.label[depth] + target.label[depth]) if depth >= 0 else UNREACHABLE
        if source.edge == target.edge and direct <= around and direct < UNREACHABLE:
            return [_oriented(net, source.edge, source.offset, target.offset)]
        if depth < 0:
            return None
        out = labels.walk_down(net, source, True, depth)[::-1]
        back = labels.walk_down(net, target, False, depth)
        between = cch.path_arcs(net.shape, net.metric, np.array(out + back[1:], dtype=np.int32))
        return [
            self._part(source, out[0], True),
            *((int(arc), 0.0, 1.0) for arc in between),
            self._part(target, back[-1], False),
        ]

    def _arcs_searched(self, net: Network, source: Target, target: Target) -> list[Driven] | None:
        """The same on weights for which there is no hierarchy yet."""
        ends = Spot(source.edge, source.offset), Spot(target.edge, target.offset)
        around, leave, between = nearest.way_to(net, self._into, self._ground, *ends)
        direct = labels.same_edge_ms(net, source.edge, source.offset, target.offset)
        if source.edge == target.edge and direct <= around and direct < UNREACHABLE:
            return [_oriented(net, source.edge, source.offset, target.offset)]
        if leave < 0:
            return None
        arrive = net.head[between[-1]] if between else leave
        return [
            self._part(source, int(net.shape.rank[leave]), True),
            *((int(arc), 0.0, 1.0) for arc in between),
            self._part(target, int(net.shape.rank[arrive]), False),
        ]

    def _part(self, place: Target, rank: int, leaving: bool) -> Driven:
        """The part of its edge that is driven between a place and the crossing of that rank. Where both ends of the
        street are that crossing, the quicker way round."""
        net, twin = self._fresh or self._net, int(self._net.twin[place.edge])
        own, other = (node == rank for node in labels.ways_out(net, place.edge, leaving))
        ahead = (int(place.edge), place.offset, 1.0) if leaving else (int(place.edge), 0.0, place.offset)
        behind = (twin, 1.0 - place.offset, 1.0) if leaving else (twin, 0.0, 1.0 - place.offset)
        ways = [ahead] if own else []
        if other:  # of a one-way street its own end, where nothing is driven
            ways.append(behind if twin >= 0 else (int(place.edge), place.offset, place.offset))
        return min(ways, key=lambda way: labels.end_ms(net, way[0], way[2] - way[1]))

    def _legs(self, source: Target, target: Target, arcs: list[Driven]) -> list[tuple[list[Stop], float, int]]:
        """For each arc driven: its bends and where it leaves us, its metres and its milliseconds."""
        roads, net = self.roads, self._fresh or self._net
        parts = [(arc, start, end, abs(end - start)) for arc, start, end in arcs]
        return [
            (
                self._stops(arc, start, end),
                float(roads.metres[arc]) * part,
                labels.part_ms(_driven_ms(net, arc), part),
            )
            for arc, start, end, part in parts
        ]

    def _stops(self, arc: int, start: float, end: float) -> list[Stop]:
        """The places met on an arc between two offsets, each with the share of the way that lies behind it."""
        between = lines.bends(self.roads, arc, start, end)
        return [*(((at - start) / (end - start), place) for at, place in between), (1.0, self._at(arc, end))]

    def _at(self, edge: int, offset: float) -> Point:
        return lines.place_at(self.roads, edge, offset)

    def _snap(self, place: Place) -> Snap:
        return Snap(*place, urban=bool(self.roads.urban[place.edge]))

    def _new_slot(self) -> int:
        if not self._free:
            size = len(self._units.state)
            assert size < MOST_UNITS, f"more than {MOST_UNITS:,} units"
            more = _no_units(size, self._units.label.shape[1])
            self._units = Units._make(np.concatenate([old, new]) for old, new in zip(self._units, more, strict=True))
            self._free = list(range(2 * size - 1, size - 1, -1))
        return self._free.pop()


def warm() -> None:
    """Compile the inner loops, or read them from numba's cache, before the first call that matters: on four short
    streets in a row, since the compiled code depends on the types of the columns alone."""
    crossings = np.arange(5, dtype=np.int32)
    tail, head = np.concatenate([crossings[:-1], crossings[1:]]), np.concatenate([crossings[1:], crossings[:-1]])
    place, twin = 41 + crossings / 100, ((np.arange(8) + 4) % 8).astype(np.int32)
    kind, urban = np.zeros(8, np.uint8), np.zeros(8, bool)
    ms, metres = np.full(8, 90_000, np.int32), np.full(8, 1_390, np.float32)
    travel = Travel(Roads(place, place, tail, head, ms, metres, kind, urban, twin, crossings, "warm"))
    travel.move("unit", 41.001, 41.001)
    travel.times(["unit"], 41.039, 41.039)
    travel.path((41.001, 41.001), (41.039, 41.039))
    travel.path((41.001, 41.001), (41.002, 41.002))
    arcs_along(travel.roads, travel.cells, [Point(41.001, 41.001), Point(41.02, 41.02)], 30.0)
    travel.reweigh(ms.copy())
    travel.catch_up()
    travel.nearest(["unit"], 41.039, 41.039, 1)
    travel._arcs_searched(
        travel._net, labels.aim(travel._net, 41.001, 41.001, True), labels.aim(travel._net, 41.039, 41.039, False)
    )


def _no_units(size: int, width: int) -> Units:
    return Units(
        np.zeros(size), np.zeros(size), np.zeros(size, np.uint8), np.full(size, -1, np.int32), np.zeros(size),
        np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros((size, width), np.int32),
    )  # fmt: skip


def _driven_ms(net: Network, arc: int) -> int:
    """The time of a whole arc that is driven, or of a closed one of which only a part is."""
    return int(net.ms[arc] if net.ms[arc] < UNREACHABLE else net.ends[arc])


def _oriented(net: Network, edge: int, start: float, end: float) -> Driven:
    """An edge driven from offset to offset, as the arc that runs that way."""
    if start <= end or net.twin[edge] < 0:
        return int(edge), float(start), float(end)
    return int(net.twin[edge]), 1.0 - start, 1.0 - end
