"""Which named places a name may mean, and how well each fits: 0 to 100 before anything but the name is looked at.

Holds the places' names, kinds, positions and sizes as arrays, so that a name borne by a thousand streets costs
little more than one. Not here: reading a text (addresses), weighing several names of one text (ranking).
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.addresses import name_keys
from routing.keys import KeyIndex
from routing.places import Settlement

MIN_SCORE: Final = 68.0  # below this, what is found has little in common with what was asked
BEGUN_SCORE, BEGUN_SHARE = 74.0, 18.0  # of a beginning, and what its share of the whole name adds
ORDER_COST: Final = 2.0  # words in another order
OTHER_NAME_COST: Final = 1.0  # a former or everyday name, which may be the present one elsewhere
OTHER_KIND_COST: Final = 5.0  # a district is not a city, but people say so
OTHER_SIZE_COST: Final = 10.0  # a region or a village is neither
NO_SUCH_KIND_COST: Final = 20.0  # a street or a park is never a city
SIZE_COST: Final = 2.0  # of a place without inhabitants, by the logarithm
MOST_HITS: Final = 1_000  # places with one name that are weighed

_UNSAID: Final = {"region": 3.0, "district": 2.0, "city_district": 0.5, "city": 0.0, "town": 0.0, "village": 0.0}
_FINE_UNSAID: Final = 4.0  # who says a name alone means the town rather than the street
_MEANT: Final = {
    "district": {"district", "city_district"},
    "city": {"city", "town"},
    "region": {"region"},
    "town": {"town", "city", "village"},
    "village": {"village", "town"},
    "street": {"street", "house", "road"},
    "quarter": {"quarter", "mahalla"},
    "mahalla": {"mahalla", "quarter", "village"},
    "park": {"park", "garden", "square"},
    "station": {"station", "stop", "metro"},
    "metro": {"metro", "station", "stop"},
    "hospital": {"hospital", "clinic"},
    "clinic": {"clinic", "hospital"},
}
_OF_ONE_NAME: Final = frozenset(("district", "city_district", "city", "town"))
_COARSE: Final = frozenset(("region", "district", "city", "town", "village", "city_district"))
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Hits(NamedTuple):
    """Places by number, ascending, with what each scores for its name alone."""

    places: Ints
    scores: Floats


NO_HITS: Final = Hits(np.zeros(0, np.int64), np.zeros(0))


class Matcher:
    """All places with their keys."""

    def __init__(self, places: Sequence[Settlement]) -> None:
        keys, self._key_starts, self._key_places, self._key_costs = _keys(places)
        whole = np.zeros(len(keys), bool)
        whole[np.repeat(np.arange(len(keys)), np.diff(self._key_starts))[self._key_costs <= OTHER_NAME_COST]] = True
        self._index = KeyIndex(keys, whole)
        self.lats = np.array([place.at.lat for place in places])
        self.lons = np.array([place.at.lon for place in places])
        self.reach_m = np.array([place.accuracy_m for place in places])
        self.populations = np.array([place.population for place in places], dtype=np.int64)
        self._sizes = SIZE_COST * (1 - np.log10(self.populations + 1) / 6.5).clip(0, 1)
        self._kind_names = sorted({place.kind for place in places})
        numbers = {kind: i for i, kind in enumerate(self._kind_names)}
        self._kinds = np.array([numbers[place.kind] for place in places], dtype=np.int64)

    def hits(self, words: tuple[str, ...], whole: bool, thorough: bool = True) -> Hits:
        """The places that a name may mean. One that is not `whole` may be the beginning of a longer one;
        `thorough` also finds names that differ in more than one slip."""
        scored = self._keys_like(words, whole, thorough)
        if not scored:
            return NO_HITS
        pieces, scores = [], []
        for key, score in scored.items():
            low, high = self._key_starts[key], self._key_starts[key + 1]
            pieces.append(self._key_places[low:high])
            scores.append(score - self._key_costs[low:high])
        return _best_each(np.concatenate(pieces), np.concatenate(scores))

    def costs(self, places: Ints, kind: str | None, in_name: bool) -> Floats:
        """What is taken off places for their size, and for their kind, which was said, or not, or in the name."""
        if in_name:
            return np.asarray(self._sizes[places])
        each = np.array([_kind_cost(known, kind) for known in self._kind_names])
        return np.asarray(each[self._kinds[places]] + self._sizes[places])

    def is_kind(self, places: Ints, kinds: frozenset[str]) -> NDArray[np.bool_]:
        """Which of the places are of one of these kinds."""
        each = np.array([known in kinds for known in self._kind_names])
        return np.asarray(each[self._kinds[places]])

    def _keys_like(self, words: tuple[str, ...], whole: bool, thorough: bool) -> dict[int, float]:
        query, index = "".join(words), self._index
        scored = index.likeness(query, index.near(query))
        one_slip = 100.0 * (1 - 1 / max(2, len(query))) - 0.01
        for order in permutations(words) if thorough and 2 <= len(words) <= 3 else ():
            swapped = "".join(order)
            if swapped != query and max(scored.values(), default=0.0) < one_slip - ORDER_COST:
                for i, score in index.likeness(swapped, index.near(swapped)).items():
                    scored[i] = max(scored.get(i, 0.0), score - ORDER_COST)
        if not thorough:
            scored = {i: score for i, score in scored.items() if score >= one_slip - ORDER_COST}
        elif max(scored.values(), default=0.0) < one_slip:
            scored |= index.likeness(query, [i for i in index.alike(query) if i not in scored])
        for i in index.beginning(query) if len(query) > 1 and not whole else ():
            begun = BEGUN_SCORE + BEGUN_SHARE * len(query) / len(index.keys[i])
            scored[i] = max(scored.get(i, 0.0), begun)
        least = MIN_SCORE if len(query) > 3 else 66.0
        return {i: score for i, score in scored.items() if score >= least}


def _kind_cost(kind: str, said: str | None) -> float:
    if said is None:
        return _UNSAID.get(kind, _FINE_UNSAID)
    if kind in _MEANT.get(said, {said}):
        return 0.0
    if said not in _COARSE or kind not in _COARSE:
        return NO_SUCH_KIND_COST
    return OTHER_KIND_COST if {said, kind} <= _OF_ONE_NAME else OTHER_SIZE_COST


def _best_each(places: Ints, scores: Floats) -> Hits:
    """Each place once, with its best score; of too many the best."""
    order = np.lexsort((-scores, places))
    places, scores = places[order], scores[order]
    first = np.ones(len(places), bool)
    first[1:] = places[1:] != places[:-1]
    places, scores = places[first], scores[first]
    if len(places) > MOST_HITS:
        kept = np.sort(np.argpartition(-scores, MOST_HITS)[:MOST_HITS])
        places, scores = places[kept], scores[kept]
    return Hits(places, scores)


def _keys(places: Sequence[Settlement]) -> tuple[list[str], Ints, Ints, Floats]:
    """All keys; where each one's places begin; the places; and what is taken off for this key of theirs."""
    names: dict[str, int] = {}
    pairs = [
        (names.setdefault(name, len(names)), i, cost)
        for i, place in enumerate(places)
        for cost, each in ((0.0, place.names.each()), (OTHER_NAME_COST, place.other))
        for name in dict.fromkeys(each)
        if name
    ]
    keys_of_name = name_keys(list(names))
    numbers: dict[str, int] = {}
    found: dict[tuple[int, int], float] = {}
    for name, place, name_cost in pairs:
        for key, key_cost in keys_of_name[name].items():
            pair, cost = (numbers.setdefault(key, len(numbers)), place), name_cost + key_cost
            if cost < found.get(pair, 100.0):
                found[pair] = cost
    keys = np.array([key for key, _ in found], dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    owners = np.array([place for _, place in found], dtype=np.int64)[order]
    costs = np.array(list(found.values()), dtype=np.float64)[order]
    return list(numbers), np.searchsorted(keys[order], np.arange(len(numbers) + 1)), owners, costs
