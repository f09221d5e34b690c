"""From the readings of a text to the places it may mean, best first.

Each name of a text may be the place that is meant; the others must then explain where it is: «Navoiy koʻchasi,
Urgut» is the street that lies in Urgut. What explains nothing costs, and least where it is only a detail that no
map shows, such as a quarter within the district that was found.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.addresses import Address, Part
from routing.geometry import distances_m
from routing.matching import Floats, Hits, Ints, Matcher
from routing.words import FINE

NEAR_COST_PER_KM: Final = 0.05
NEAR_COST_MOST: Final = 12.0
DETAIL_COST: Final = 6.0  # a quarter or a street that is not known, within what is
UNEXPLAINED_COST: Final = 15.0  # a name that does not fit, and half of that for each further word
UNEXPLAINED_MOST: Final = 32.0
CONTEXT_SHARE: Final = 0.3  # of what a context's name lacks
NO_HOUSE_COST: Final = 3.0  # a number was said, and what was found has no houses
LATER_READING_COST: Final = 0.5
SURE: Final = 96.0  # with so much, a text is not understood in further ways
GOOD: Final = 86.0  # with less, a text without commas is cut between its words
MOST_CONTEXTS: Final = 24
MOST_CUT_WORDS: Final = 5
MOST_SPOKEN_WORDS: Final = 12  # of a sentence in which a name is looked for
LEAST_SPOKEN: Final = 4  # letters of such a name
LEAST_FIT: Final = 50.0  # with less, nothing has been found
REACH_OF_CONTEXT: Final = 1.5  # a place is in its context when it is no farther than so many reaches
WITH_HOUSES: Final = frozenset((*FINE, "village"))

RegionsOf = Callable[[Ints], NDArray[np.int64]]
Near = tuple[float, float] | None


class Ranking:
    """The search for one text: what a part may mean is looked up once, however many readings have it."""

    def __init__(self, matcher: Matcher, regions_of: RegionsOf, near: Near) -> None:
        self._matcher = matcher
        self._regions_of = regions_of
        self._near = near
        self._known: dict[tuple[tuple[str, ...], bool, bool], Hits] = {}
        self._best: dict[int, tuple[float, str | None]] = {}
        self._fit = 0.0  # the best of all before distance is looked at

    def best(self, ways: list[Address]) -> list[tuple[float, int, str | None]]:
        """Places as (score, number, house number or None), best first."""
        for i, way in enumerate(ways):
            if i < 2 or self._fit < SURE:
                self._weigh(way, 0.0 if way.as_written else LATER_READING_COST * i, thorough=not way.as_written)
        if self._fit < GOOD:
            for way in ways[:2]:
                for cut in _cuts(way):
                    self._weigh(cut, LATER_READING_COST, thorough=False)
        if ways and self._fit < LEAST_FIT:
            for span in _spans(ways[-1]):
                self._weigh(span, LATER_READING_COST, thorough=False)
        ranked = [(score, place, house) for place, (score, house) in self._best.items()]
        return sorted(ranked, key=lambda found: (-round(found[0], 3), found[1]))

    def _weigh(self, way: Address, cost: float, thorough: bool) -> None:
        hits = [self._hits(part, thorough) for part in way.parts]
        for i, (part, found) in enumerate(zip(way.parts, hits, strict=True)):
            if not len(found.places):
                continue
            scores = found.scores - cost - self._matcher.costs(found.places, part.kind, way.as_written)
            for j, other in enumerate(way.parts):
                if j != i:
                    scores = scores - self._context_cost(found.places, part, other, hits[j])
            if way.house is not None:
                scores = scores - NO_HOUSE_COST * ~self._matcher.is_kind(found.places, WITH_HOUSES)
            self._fit = max(self._fit, float(scores.max()))
            self._keep(found.places, scores - self._near_cost(found.places), way.house)

    def _keep(self, places: Ints, scores: Floats, house: str | None) -> None:
        for place, score in zip(places.tolist(), scores.tolist(), strict=True):
            if score > self._best.get(place, (0.0, None))[0]:
                self._best[place] = (score, house)

    def _hits(self, part: Part, thorough: bool) -> Hits:
        asked = (part.words, part.kind is not None, thorough)
        if asked not in self._known:
            self._known[asked] = self._matcher.hits(*asked)
        return self._known[asked]

    def _context_cost(self, places: Ints, part: Part, other: Part, hits: Hits) -> Floats:
        """What it costs each place that the text also says `other`, which `hits` are found for."""
        costs = np.full(len(places), _unexplained(part, other))
        best = np.argsort(-hits.scores, kind="stable")[:MOST_CONTEXTS]
        for context, score in zip(hits.places[best].tolist(), hits.scores[best].tolist(), strict=True):
            cost = CONTEXT_SHARE * (100.0 - score)
            costs = np.where(self._lies_in(places, context), np.minimum(costs, cost), costs)
        return costs

    def _lies_in(self, places: Ints, context: int) -> NDArray[np.bool_]:
        matcher = self._matcher
        smaller = (matcher.reach_m[places] < matcher.reach_m[context]) & (places != context)
        if bool(matcher.is_kind(np.array([context]), frozenset(("region",)))[0]):
            own = self._regions_of(np.array([context]))[0]
            return np.asarray(smaller & (self._regions_of(places) == own))
        at = (float(matcher.lats[context]), float(matcher.lons[context]))
        away_m = distances_m(matcher.lats[places], matcher.lons[places], at)
        return np.asarray(smaller & (away_m <= REACH_OF_CONTEXT * matcher.reach_m[context] + 300.0))

    def _near_cost(self, places: Ints) -> Floats:
        if self._near is None:
            return np.zeros(len(places))
        away_m = distances_m(self._matcher.lats[places], self._matcher.lons[places], self._near)
        return np.asarray(np.minimum(NEAR_COST_MOST, away_m / 1000 * NEAR_COST_PER_KM))


def _unexplained(part: Part, other: Part) -> float:
    if other.kind in FINE and part.kind not in FINE:
        return DETAIL_COST
    return min(UNEXPLAINED_MOST, UNEXPLAINED_COST * (1 + len(other.words)) / 2)


def _cuts(way: Address) -> Iterator[Address]:
    """The address with one of its names cut in two between its words."""
    for i, part in enumerate(way.parts):
        for at in range(1, len(part.words) if len(part.words) <= MOST_CUT_WORDS else 0):
            left, right = part.words[:at], part.words[at:]
            for kinds in ((None, part.kind), (part.kind, None)) if part.kind else ((None, None),):
                pieces = (Part(left, kinds[0]), Part(right, kinds[1]))
                yield Address((*way.parts[:i], *pieces, *way.parts[i + 1 :]), way.house)


def _spans(way: Address) -> Iterator[Address]:
    """Each word, and each two words, of a long sentence as the one name in it."""
    words = tuple(word for part in way.parts for word in part.words)[:MOST_SPOKEN_WORDS]
    for length in (1, 2) if len(words) > MOST_CUT_WORDS // 2 else ():
        for at in range(len(words) - length + 1):
            span, rest = words[at : at + length], words[:at] + words[at + length :]
            if len("".join(span)) >= LEAST_SPOKEN:
                yield Address((Part(span), Part(rest)))
