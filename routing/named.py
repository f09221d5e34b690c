"""Streets by name: which pieces of a map's roads bear a name, each street of that name by itself.

Every town has its Navoiy street, so a name means several streets, told apart by the ground between them. Here names are
only compared, in whatever script; which names a text may mean the gazetteer knows, which part of a street is meant
stretches does. A map that was drawn, or imported without names, has no named streets.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.geometry import METRES_PER_DEGREE, Point, from_local_m, local_m
from routing.lines import courses, standing
from routing.names import fold, fold_each
from routing.roads import Roads

JOIN_M: Final = 300.0  # pieces of one name no further apart are one street: a square or a bridge has its own name

Ints = NDArray[np.int32]


class Street(NamedTuple):
    """One street: its name as the map has it, one arc of each of its pieces, their lines on a plane in metres about
    `origin`, their length, and how far from the origin any of it can be."""

    name: str
    edges: Ints
    origin: Point
    lines: tuple[shapely.LineString, ...]
    metres: float
    reach_m: float

    @property
    def middle(self) -> Point:
        """A place on it, half way along its longest piece."""
        longest = max(self.lines, key=lambda line: float(line.length))
        return self.place(longest.interpolate(0.5, normalized=True))

    def plane(self, at: tuple[float, float]) -> shapely.Point:
        """A (lat, lon) on the street's own plane."""
        return shapely.Point(local_m(self.origin, at))

    def place(self, at: shapely.Point) -> Point:
        """A point of the plane as a position."""
        return from_local_m(self.origin, at.x, at.y)


class NamedStreets:
    """The names of one map. Looked up from any thread: nothing here changes."""

    def __init__(self, roads: Roads, names: Sequence[str]) -> None:
        self._roads = roads
        self._names = list(names)
        self._middle = Point(float(roads.lat.mean()), float(roads.lon.mean()))
        self._edges, self._starts = _by_name(roads, len(self._names))
        self._numbers: dict[str, list[int]] = {}
        for number, key in enumerate(fold_each(self._names)):
            if self._starts[number] < self._starts[number + 1]:
                self._numbers.setdefault(key, []).append(number)

    def __len__(self) -> int:
        """How many different names there are."""
        return len(self._numbers)

    def bearing(self, names: Iterable[str]) -> list[Street]:
        """The streets that bear one of these names, which are names of one street in several languages and spellings:
        the longest first."""
        keys = dict.fromkeys(fold(name) for name in names)
        numbers = [number for key in keys for number in self._numbers.get(key, ())]
        if not numbers:
            return []
        edges = np.concatenate([self._edges[self._starts[n] : self._starts[n + 1]] for n in numbers])
        return sorted((self._street(each) for each in self._apart(edges)), key=lambda street: -street.metres)

    def met_by(self, street: Street) -> list[str]:
        """The names of the streets that meet it at a crossing, in their alphabet's order."""
        roads = self._roads
        if roads.name is None:
            return []
        own = np.isin(roads.name, roads.name[street.edges])
        ends = np.unique(np.concatenate([roads.tail[street.edges], roads.head[street.edges]]))
        meeting = (np.isin(roads.tail, ends) | np.isin(roads.head, ends)) & (roads.name >= 0) & ~own
        return sorted({self._names[number] for number in roads.name[meeting].tolist()})

    def _street(self, edges: Ints) -> Street:
        roads = self._roads
        assert roads.name is not None
        lengths_m = roads.metres[edges].astype(np.float64)
        numbers, which = np.unique(roads.name[edges], return_inverse=True)
        name = self._names[int(numbers[np.bincount(which, lengths_m).argmax()])]
        tails = roads.tail[edges]
        origin = Point(float(roads.lat[tails].mean()), float(roads.lon[tails].mean()))
        lines = self._lines(edges, origin)
        reach_m = float(np.hypot(*np.abs(shapely.total_bounds(lines)).reshape(2, 2).max(axis=0)))
        return Street(name, edges, origin, tuple(lines), float(lengths_m.sum()), reach_m)

    def _apart(self, edges: Ints) -> list[Ints]:
        """The pieces of one name, in groups that lie apart."""
        lines = self._lines(edges, self._middle)
        near = shapely.union_all(shapely.buffer(lines, JOIN_M / 2, quad_segs=2))
        areas = shapely.STRtree(shapely.get_parts(near))
        line, area = areas.query(shapely.get_point(lines, 0), predicate="intersects")
        return [edges[line[area == one]] for one in np.unique(area)]

    def _lines(self, edges: Ints, origin: Point) -> NDArray[np.object_]:
        """The lines of some arcs on a plane about a position: the one of `local_m`."""
        places, owner = courses(self._roads, edges)
        north = (places[:, 0] - origin.lat) * METRES_PER_DEGREE
        east = (places[:, 1] - origin.lon) * METRES_PER_DEGREE * np.cos(np.radians(origin.lat))
        return np.asarray(shapely.linestrings(np.column_stack([east, north]), indices=owner))


def _by_name(roads: Roads, count: int) -> tuple[Ints, NDArray[np.int64]]:
    """One arc of each piece of street that somebody can stand on, in the order of their names; and where each name
    begins, with the end of the last."""
    if roads.name is None or not count:
        return np.zeros(0, np.int32), np.zeros(count + 1, np.int64)
    chosen = np.flatnonzero((roads.name >= 0) & (roads.metres > 0) & standing(roads))
    chosen = chosen[np.argsort(roads.name[chosen], kind="stable")]
    return chosen.astype(np.int32), np.searchsorted(roads.name[chosen], np.arange(count + 1))
