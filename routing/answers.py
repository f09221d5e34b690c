"""What the travel engine answers: a place on the roads, times to it, a way."""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.geometry import Point

LABELS: Final = "labels"
SEARCH: Final = "search"

Ints = NDArray[np.int32]


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
    records.

    `engine` is LABELS or SEARCH. Times below `exact_below_ms` are exact on the weights of that version. At or above
    it, which only a search that stopped leaves, they are the former weights' times, and no less than it.
    """

    ms: Ints
    edges: Ints
    offsets: NDArray[np.float64]
    snapped: Callable[[], Snap]
    map_version: str
    weights_version: int
    engine: str = LABELS
    exact_below_ms: int = UNREACHABLE

    @property
    def target(self) -> Snap:
        """The place on the roads that the times lead to: worked out when asked, for a decision does not."""
        return self.snapped()


class Path(msgspec.Struct, frozen=True):
    """A way to drive: positions, the seconds from the start at each, the metres of it all, the arcs driven."""

    points: list[Point]
    seconds_at: list[float]
    metres: float
    arcs: list[int] = []
