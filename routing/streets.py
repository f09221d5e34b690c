"""Drawing roads for the demo: a sketch that collects nodes and streets, and the streets of one settlement.

Invented streets with the measures of real ones: blocks of 130 to 260 m, arterials every few blocks, gaps,
one-way streets. A sketch becomes a road network when it is finished. Not here: which settlements there are
(demo_roads).
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.compiled import compiled
from routing.geometry import Point, from_local_m
from routing.roads import PRIMARY, RESIDENTIAL, SECONDARY, TERTIARY, Roads, lengths_m, twins

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

# km/h by class, trunk to residential: in the country, and in built-up places with their lights and crossings.
SPEEDS_KMH: Final = np.array([[85.0, 72.0, 60.0, 45.0, 28.0], [52.0, 44.0, 38.0, 30.0, 22.0]])
URBAN_FROM: Final = 10_000  # inhabitants
LARGEST: Final = (10_000, 3_164_000)  # nodes for so many inhabitants; others by a power of their population
NODES_POWER: Final = 0.9
GAPS, ONE_WAYS = 0.13, 0.07  # shares of the residential streets


class Town(NamedTuple):
    """The drawn streets of a settlement: its middle, its reach, its nodes, and of these the arterial ones."""

    at: Point
    reach_m: float
    nodes: Ints
    gates: Ints


class Sketch:
    """Nodes and streets under construction. `density` multiplies the nodes on the same ground: closer crossings in the
    places, shorter pieces of highway."""

    def __init__(self, density: float = 1.0, most_nodes: int = 400_000) -> None:
        assert density >= 1, "a sketch is not drawn thinner than the demo"
        self.density = density
        self._place = np.empty((2, round(most_nodes * density)))
        self._count = 0
        self._streets: list[NDArray[np.int64]] = []

    @property
    def lat(self) -> Floats:
        """Latitudes of the nodes so far."""
        return self._place[0, : self._count]

    @property
    def lon(self) -> Floats:
        """Longitudes of the nodes so far."""
        return self._place[1, : self._count]

    def add_nodes(self, lat: Floats, lon: Floats) -> Ints:
        """Add nodes and give their numbers."""
        start, self._count = self._count, self._count + len(lat)
        assert self._count <= self._place.shape[1], "more nodes than the sketch has room for"
        self._place[:, start : self._count] = lat, lon
        return np.arange(start, self._count, dtype=np.int32)

    def nearest(self, at: Point) -> int:
        """The node nearest to a position, on a plane: good enough within a region, and ten times quicker."""
        east = math.cos(math.radians(at.lat))
        return int(np.argmin((self.lat - at.lat) ** 2 + ((self.lon - at.lon) * east) ** 2))

    def add_streets(self, ends: Ints, kind: Ints, urban: bool, one_way: NDArray[np.bool_] | None = None) -> None:
        """Add streets: `ends` (k, 2) nodes, `kind` (k) classes, `one_way` (k) from the first end to the
        second."""
        single = np.zeros(len(ends), bool) if one_way is None else one_way
        self._streets.append(np.column_stack([ends, kind, np.full(len(ends), urban), single]).astype(np.int64))

    def finish(self, rng: np.random.Generator) -> Roads:
        """The network of all that can be reached from the first node and left again; without order and
        version."""
        street = np.concatenate(self._streets)
        pace = rng.uniform(0.9, 1.12, len(street))  # no two streets are equally quick
        both = street[street[:, 4] == 0]
        arcs = np.concatenate([street, both[:, [1, 0, 2, 3, 4]]])
        pace = np.concatenate([pace, pace[street[:, 4] == 0]])
        inside = _strongly_connected(len(self.lat), arcs)
        kept = inside[arcs[:, 0]] & inside[arcs[:, 1]]
        number = np.cumsum(inside) - 1
        return self._roads(inside, np.column_stack([number[arcs[kept, :2]], arcs[kept, 2:4]]), pace[kept])

    def _roads(self, inside: NDArray[np.bool_], arcs: NDArray[np.int64], pace: Floats) -> Roads:
        lat, lon = self.lat[inside], self.lon[inside]
        tail, head = arcs[:, 0].astype(np.int32), arcs[:, 1].astype(np.int32)
        metres = lengths_m(lat, lon, tail, head)
        kind, urban = arcs[:, 2].astype(np.uint8), arcs[:, 3].astype(bool)
        speed = SPEEDS_KMH[urban.astype(int), kind] * pace / 3.6
        ms = np.maximum(1, np.rint(metres / speed * 1000)).astype(np.int32)
        order = np.arange(len(lat), dtype=np.int32)
        return Roads(
            lat,
            lon,
            tail,
            head,
            ms,
            metres.astype(np.float32),
            kind,
            urban,
            twins(tail, head),
            order,
            "unordered",
        )


def draw_town(sketch: Sketch, rng: np.random.Generator, at: Point, population: int, others: list[Town]) -> Town:
    """Draw a settlement's streets: a turned, uneven grid within a wavy outline, outside what is already
    drawn."""
    count = round(node_count(population) * sketch.density)
    block_m = rng.uniform(170, 200) if population > 1_000_000 else rng.uniform(160, 240)
    block_m /= math.sqrt(sketch.density)
    reach_m = block_m * math.sqrt(count / math.pi)
    place = _lattice(rng, reach_m, block_m)
    keep = _outline(rng, place, reach_m)
    lat, lon = _placed(at, place[:, 2:])
    for other in others:
        keep &= np.hypot(*_local(other.at, lat, lon)) > other.reach_m + block_m
    if keep.sum() < 4:
        return min(others, key=lambda other: float(np.hypot(*_local(other.at, lat, lon)).min()))
    place = place[keep]
    nodes = sketch.add_nodes(lat[keep], lon[keep])
    every = (6 if population > 100_000 else 4) * round(math.sqrt(sketch.density))
    ends, kind = _grid_streets(place[:, :2].astype(np.int64), nodes, every)
    quiet = kind == RESIDENTIAL
    if population < URBAN_FROM:
        kind = np.maximum(kind, TERTIARY)  # no highways inside a village
    kept = ~quiet | (rng.random(len(kind)) >= GAPS)
    one_way = quiet & (rng.random(len(kind)) < ONE_WAYS)
    sketch.add_streets(ends[kept], kind[kept], population >= URBAN_FROM, one_way[kept])
    arterial = np.unique(ends[~quiet])
    return Town(at, reach_m, nodes, arterial if len(arterial) else nodes)


def node_count(population: int) -> int:
    """How many crossings are drawn for a settlement."""
    nodes, people = LARGEST
    return max(9, round(nodes * math.pow(population / people, NODES_POWER)))


def _lattice(rng: np.random.Generator, reach_m: float, block_m: float) -> Floats:
    """Crossings as rows of (column, row, east, north): a grid, unevenly spaced, turned by some angle."""
    half = math.ceil(reach_m * 1.25 / block_m)
    column, row = (axis.ravel() for axis in np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1)))
    uneven = rng.normal(0, 0.12, (2, 2 * half + 1)).cumsum(axis=1)
    uneven -= uneven[:, half : half + 1]
    east = (column + uneven[0][column + half]) * block_m + rng.normal(0, 0.07 * block_m, len(column))
    north = (row + uneven[1][row + half]) * block_m + rng.normal(0, 0.07 * block_m, len(row))
    turn = rng.uniform(0, math.pi / 2)
    turned_east = east * math.cos(turn) - north * math.sin(turn)
    return np.column_stack([column, row, turned_east, east * math.sin(turn) + north * math.cos(turn)])


def _outline(rng: np.random.Generator, place: Floats, reach_m: float) -> NDArray[np.bool_]:
    angle = np.arctan2(place[:, 3], place[:, 2])
    wave = 1 + 0.10 * np.sin(2 * angle + rng.uniform(0, 6.3)) + 0.06 * np.sin(5 * angle + rng.uniform(0, 6.3))
    return np.asarray(np.hypot(place[:, 2], place[:, 3]) <= reach_m * wave)


def _grid_streets(cells: NDArray[np.int64], nodes: Ints, every: int) -> tuple[Ints, Ints]:
    """The streets between neighbours of the grid, and their classes: each `every`-th line is an arterial."""
    index = {(c, r): n for (c, r), n in zip(cells.tolist(), nodes.tolist(), strict=True)}
    found = [
        (node, index[ahead], line)
        for (c, r), node in index.items()
        for ahead, line in (((c + 1, r), r), ((c, r + 1), c))
        if ahead in index
    ]
    ends = np.array([pair[:2] for pair in found], dtype=np.int32).reshape(-1, 2)
    line = np.array([pair[2] for pair in found], dtype=np.int32)
    half = np.where(line % (every // 2) == 0, TERTIARY, RESIDENTIAL)
    return ends, np.where(line % (2 * every) == 0, PRIMARY, np.where(line % every == 0, SECONDARY, half))


def _placed(at: Point, metres: Floats) -> tuple[Floats, Floats]:
    corner = from_local_m(at, 1.0, 1.0)
    return at.lat + metres[:, 1] * (corner.lat - at.lat), at.lon + metres[:, 0] * (corner.lon - at.lon)


def _local(at: Point, lat: Floats, lon: Floats) -> tuple[Floats, Floats]:
    """Metres east and north of a point."""
    corner = from_local_m(at, 1.0, 1.0)
    return (lon - at.lon) / (corner.lon - at.lon), (lat - at.lat) / (corner.lat - at.lat)


def _strongly_connected(count: int, arcs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which nodes can be reached from node 0 and can reach it."""
    there = reached(count, arcs[:, 0].astype(np.int32), arcs[:, 1].astype(np.int32))
    return there & reached(count, arcs[:, 1].astype(np.int32), arcs[:, 0].astype(np.int32))


@compiled
def reached(count: int, tail: Ints, head: Ints) -> NDArray[np.bool_]:
    """The nodes to which arcs lead from node 0."""
    order = np.argsort(tail)
    first = np.searchsorted(tail[order], np.arange(count + 1))
    seen = np.zeros(count, np.bool_)
    stack = np.empty(count, np.int32)
    stack[0], top = 0, 1
    seen[0] = True
    while top > 0:
        top -= 1
        node = stack[top]
        for i in range(first[node], first[node + 1]):
            end = head[order[i]]
            if not seen[end]:
                seen[end] = True
                stack[top] = end
                top += 1
    return seen
