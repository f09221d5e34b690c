"""House numbers: where a numbered house of a street stands, or the nearest number that is known."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from routing.addresses import house_number, name_keys
from routing.geometry import Point, distances_m

HOUSE_M: Final = 30.0  # of a house whose number is known
SAME_BASE_M: Final = 60.0  # of 12/3 where 12 is known
NEIGHBOUR_M: Final = 40.0  # for each number between, at least: the plots of a street
MOST_BETWEEN: Final = 12  # numbers; what is farther says nothing

_BASE: Final = re.compile(r"\d+")


class HouseRow(NamedTuple):
    """One house of a file: the name of its street or quarter, its number as written, where it stands."""

    name: str
    number: str
    at: Point


class House(NamedTuple):
    """Where a number is, or the nearest known one; `number` is the one that was found."""

    at: Point
    accuracy_m: float
    number: str


class Houses:
    """All houses, by the keys of their streets' names."""

    def __init__(self, rows: Iterable[HouseRow]) -> None:
        rows = sorted(rows, key=lambda row: row.name)
        names = sorted({row.name for row in rows})
        starts = np.searchsorted([row.name for row in rows], names).tolist() if rows else []
        ends = [*starts[1:], len(rows)][: len(starts)]
        self._spans: dict[str, list[tuple[int, int]]] = {}
        for keys, span in zip(name_keys(names), zip(starts, ends, strict=True), strict=True):
            for key in (key for key, cost in keys.items() if cost == 0):
                self._spans.setdefault(key, []).append(span)
        self._lats = np.array([row.at.lat for row in rows])
        self._lons = np.array([row.at.lon for row in rows])
        self._numbers = [house_number(row.number) for row in rows]

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, names: Iterable[str], number: str, around: Point, within_m: float) -> House | None:
        """A house of the street of these names near a position: the number itself, else 12 for 12/3, else the
        nearest number on the same side; None where no such street or no near number is known."""
        keys = [key for each in name_keys([name for name in names if name]) for key, cost in each.items() if cost == 0]
        rows = sorted({i for key in keys for low, high in self._spans.get(key, ()) for i in range(low, high)})
        if not rows:
            return None
        away_m = distances_m(self._lats[rows], self._lons[rows], around)
        near = [row for row, away in zip(rows, away_m.tolist(), strict=True) if away <= within_m]
        ranked = sorted((fit, row) for row in near if (fit := _fit(number, self._numbers[row])) is not None)
        if not ranked:
            return None
        (accuracy_m, _), row = ranked[0]
        return House(Point(float(self._lats[row]), float(self._lons[row])), accuracy_m, self._numbers[row])


def _fit(asked: str, known: str) -> tuple[float, int] | None:
    """How far from a known number the asked one may be, in metres; the other side of the street comes later."""
    if asked == known:
        return HOUSE_M, 0
    a, b = _BASE.match(asked), _BASE.match(known)
    if a is None or b is None:
        return None
    between = abs(int(a[0]) - int(b[0]))
    if between > MOST_BETWEEN:
        return None
    return SAME_BASE_M + NEIGHBOUR_M * between / (1 if between % 2 else 2), between % 2
