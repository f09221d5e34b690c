"""Road travel times from many units to one place, and the way between two places.

Each unit's forward label is kept and renewed only when it has moved and somebody asks for it, so a question
costs one backward label and a scan of the common prefixes: well under a millisecond for 3,000 units. Times
are those of a plain car; the caller multiplies by a factor for lights and sirens, for which `urban` is told.
Not thread-safe.
"""

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing import cch, labels, lines
from routing.cch import UNREACHABLE
from routing.geometry import METRES_PER_DEGREE, Point
from routing.labels import EMPTY, MOVED, READY, Network, Target, Units
from routing.roads import Roads
from routing.snapping import grid

FIRST_SLOTS: Final = 256
MOST_UNITS: Final = 100_000
STILL_M: Final = 10.0  # within the error of a good receiver, and less than a second of driving

Ints = NDArray[np.int32]
Driven = tuple[int, float, float]  # an arc and the offsets between which it is driven, the first the lower
Stop = tuple[float, Point]  # a place on an arc, and which share of the way along it lies behind

__all__ = ["UNREACHABLE", "Path", "Snap", "Travel", "TravelTimes", "warm"]


class Snap(msgspec.Struct, frozen=True):
    """A place on the roads: an arc, the offset (0 at its tail, 1 at its head), and how far the position
    was."""

    edge: int
    offset: float
    distance_m: float
    lat: float
    lon: float
    urban: bool


class TravelTimes(msgspec.Struct, frozen=True):
    """Times from units to one place, in the order of the keys. `ms` int32, UNREACHABLE where no road leads or
    the key is unknown; `edges` int32 (-1 unknown) and `offsets` float64 say from where. What a decision
    records."""

    ms: Ints
    edges: Ints
    offsets: NDArray[np.float64]
    target: Snap
    map_version: str
    weights_version: int


class Path(msgspec.Struct, frozen=True):
    """A way to drive: positions, the seconds from the start at each, the metres of it all, the arcs driven."""

    points: list[Point]
    seconds_at: list[float]
    metres: float
    arcs: list[int] = []


class Travel:
    """The units on one road network, and the questions about them."""

    def __init__(self, roads: Roads) -> None:
        shape = cch.build(roads.order, roads.tail, roads.head)
        metric = cch.customise(shape, roads.tail, roads.head, roads.ms)
        self.roads = roads
        self.map_version, self.weights_version = roads.version, 1
        self._net = Network(shape, metric, grid(roads), roads.tail, roads.head, roads.ms, roads.twin)
        self._units = _no_units(FIRST_SLOTS, int(shape.depth.max()) + 1)
        self._slots: dict[str, int] = {}
        self._free = list(range(FIRST_SLOTS - 1, -1, -1))

    def move(self, key: str, lat: float, lon: float) -> None:
        """Note where a unit is; where that is on the roads is found out when somebody asks.

        A unit within STILL_M of where it was last found has not moved: its receiver only trembles.
        """
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._new_slot()
        elif self._units.state[slot] == READY and self._is_still(slot, lat, lon):
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

    def times(self, keys: Sequence[str], lat: float, lon: float) -> TravelTimes:
        """The times from each unit of `keys` to a position."""
        slots = np.fromiter(map(self._slots.get, keys, repeat(-1)), np.int32, len(keys))
        labels.refresh(self._net, self._units, slots)
        target = labels.aim(self._net, lat, lon, False)
        known = slots >= 0
        return TravelTimes(
            ms=labels.many_to_one(self._net, self._units, slots, target),
            edges=np.where(known, self._units.edge[slots], -1).astype(np.int32),
            offsets=np.where(known, self._units.offset[slots], 0.0),
            target=self._snap(target),
            map_version=self.map_version,
            weights_version=self.weights_version,
        )

    def snap(self, lat: float, lon: float) -> Snap:
        """The nearest place on a road."""
        return self._snap(labels.aim(self._net, lat, lon, False))

    def path(self, start: tuple[float, float], end: tuple[float, float]) -> Path | None:
        """The quickest way between two positions, or None where no road leads. It begins and ends on the
        road, except that a position far off the road is itself its first or last point."""
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
        return Path(points, seconds, metres, [arc for arc, _, _ in arcs])

    def _arcs(self, source: Target, target: Target) -> list[Driven] | None:
        """The way as the arcs driven, or None where no road leads."""
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

    def _part(self, place: Target, rank: int, leaving: bool) -> Driven:
        """The part of its edge that is driven between a place and the crossing of that rank. Where both ends of the
        street are that crossing, the quicker way round."""
        net, twin = self._net, int(self._net.twin[place.edge])
        own, other = (node == rank for node in labels.ways_out(net, place.edge, leaving))
        ahead = (int(place.edge), place.offset, 1.0) if leaving else (int(place.edge), 0.0, place.offset)
        behind = (twin, 1.0 - place.offset, 1.0) if leaving else (twin, 0.0, 1.0 - place.offset)
        ways = [ahead] if own else []
        ways += [behind] if twin >= 0 and other else []
        return min(ways, key=lambda way: labels.part_ms(net.ms[way[0]], way[2] - way[1]))

    def _legs(self, source: Target, target: Target, arcs: list[Driven]) -> list[tuple[list[Stop], float, int]]:
        """For each arc driven: its bends and where it leaves us, its metres and its milliseconds."""
        roads = self.roads
        parts = [(arc, start, end, abs(end - start)) for arc, start, end in arcs]
        return [
            (self._stops(arc, start, end), float(roads.metres[arc]) * part, labels.part_ms(roads.ms[arc], part))
            for arc, start, end, part in parts
        ]

    def _stops(self, arc: int, start: float, end: float) -> list[Stop]:
        """The places met on an arc between two offsets, each with the share of the way that lies behind it."""
        between = lines.bends(self.roads, arc, start, end)
        return [*(((at - start) / (end - start), place) for at, place in between), (1.0, self._at(arc, end))]

    def _at(self, edge: int, offset: float) -> Point:
        return lines.place_at(self.roads, edge, offset)

    def _snap(self, place: Target) -> Snap:
        at = self._at(place.edge, place.offset)
        return Snap(
            int(place.edge),
            place.offset,
            place.distance_m,
            at.lat,
            at.lon,
            bool(self.roads.urban[place.edge]),
        )

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


def _no_units(size: int, width: int) -> Units:
    return Units(
        np.zeros(size), np.zeros(size), np.zeros(size, np.uint8), np.full(size, -1, np.int32), np.zeros(size),
        np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros((size, width), np.int32),
    )  # fmt: skip


def _oriented(net: Network, edge: int, start: float, end: float) -> Driven:
    """An edge driven from offset to offset, as the arc that runs that way."""
    if start <= end or net.twin[edge] < 0:
        return int(edge), float(start), float(end)
    return int(net.twin[edge]), 1.0 - start, 1.0 - end
