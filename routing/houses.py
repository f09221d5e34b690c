"""House numbers: where a numbered house of a street stands, or the nearest number that is known."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from routing.addresses import BARE_COST, house_number, name_keys
from routing.geometry import Point, distances_m

HOUSE_M: Final = 30.0  # of a house whose number is known
SAME_BASE_M: Final = 60.0  # of 12/3 where 12 is known
NEIGHBOUR_M: Final = 40.0  # for each number between, at least: the plots of a street
MOST_BETWEEN: Final = 12  # numbers; what is farther says nothing
LONGEST_NUMBER: Final = 5  # digits

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
    """All houses, by the keys of their streets' names and their numbers."""

    def __init__(self, rows: Iterable[HouseRow]) -> None:
        numbered = [(row.name, _base(number), number, row.at) for row in rows if (number := house_number(row.number))]
        numbered = sorted(row for row in numbered if row[1] >= 0)
        names = sorted({name for name, *_ in numbered})
        starts = np.searchsorted([name for name, *_ in numbered], names).tolist() if names else []
        ends = [*starts[1:], len(numbered)][: len(starts)]
        self._spans: dict[str, list[tuple[int, int]]] = {}
        for keys, span in zip(name_keys(names), zip(starts, ends, strict=True), strict=True):
            for key in street_keys(keys):
                self._spans.setdefault(key, []).append(span)
        self._bases = np.array([base for _, base, _, _ in numbered], dtype=np.int64)
        self._numbers = [number for _, _, number, _ in numbered]
        self._lats = np.array([at.lat for *_, at in numbered])
        self._lons = np.array([at.lon for *_, at in numbered])

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, keys: Iterable[str], number: str, around: Point, within_m: float) -> House | None:
        """A house of the street of these keys near a position: the number itself, else 12 for 12/3, else the
        nearest number on the same side; None where no such street or no near number is known."""
        base = _base(number)
        for slack in (0, MOST_BETWEEN) if base >= 0 else ():
            near = self._near(keys, (base - slack, base + slack), around, within_m)
            if near:
                accuracy_m, _, row = min((*_fit(number, self._numbers[row]), row) for row in near)
                return House(Point(float(self._lats[row]), float(self._lons[row])), accuracy_m, self._numbers[row])
        return None

    def _near(self, keys: Iterable[str], bases: tuple[int, int], around: Point, within_m: float) -> list[int]:
        pieces = [
            np.arange(*(low + np.searchsorted(self._bases[low:high], (bases[0], bases[1] + 1))))
            for low, high in {span for key in keys for span in self._spans.get(key, ())}
        ]
        rows = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        away_m = distances_m(self._lats[rows], self._lons[rows], around)
        return [int(row) for row in rows[away_m <= within_m]]


def street_keys(keys: dict[str, float]) -> list[str]:
    """Of the keys of a name those that stand for the whole of it."""
    return [key for key, cost in keys.items() if cost <= BARE_COST]


def _base(number: str) -> int:
    """The number without its letter or fraction; -1 where there is none."""
    match = _BASE.match(number)
    return int(match[0]) if match is not None and len(match[0]) <= LONGEST_NUMBER else -1


def _fit(asked: str, known: str) -> tuple[float, int]:
    """How far from a known number the asked one may be, in metres; the other side of the street comes later."""
    if asked == known:
        return HOUSE_M, 0
    between = abs(_base(asked) - _base(known))
    return SAME_BASE_M + NEIGHBOUR_M * between / (1 if between % 2 else 2), between % 2
