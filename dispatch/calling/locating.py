"""From a call's evidence to the one place where help is sent, as the core takes it.

The estimate itself is routing's; here words are looked up, and the estimate gets its label for people and
says whether it lies in a town. No evidence is a normal case: the answer is None then, and the call waits in
the region of whoever sent it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
import numpy as np
from shapely import Geometry

from dispatch.calling.contradictions import in_words
from dispatch.calling.evidence import Evidence, fix_of, made_at
from dispatch.core.terms import Location, LocationFix, RegionId, Source, Spot
from dispatch.formats.aml_message import AmlMessage
from routing import sources
from routing.addresses import MOST_CHARS
from routing.gazetteer import Gazetteer, Place
from routing.geometry import distance_m, distances_m, in_country
from routing.locate import Estimate, fuse
from routing.names import LANGUAGES, Names
from routing.places import Settlement, radius_m
from routing.regions import Regions

SEARCH_CHARS = MOST_CHARS
"""Of longer words the beginning is searched."""

FOUND_SCORE_MIN = 85.0
"""A name that fits less well is shown to a person, but sends nobody anywhere."""

FOUND_SCORE_SPAN = 5.0
"""A place whose name fits so much less well than the best is not what was meant."""

CANDIDATES_MAX = 5
"""So many places are kept that words may mean."""

PLACES_DEG = 7
"""Decimals of a degree that are kept: a centimetre."""

URBAN_CELL_DEG = 0.01
CELLS_KEPT = 100_000
LABELS_KEPT = 20_000


class Locator:
    """Places evidence on the map. One for a process: it holds the outlines and the names."""

    def __init__(self, regions: Regions, gazetteer: Gazetteer) -> None:
        self._regions = regions
        self._gazetteer = gazetteer
        towns = [(*town.at, radius_m(town.population)) for town in gazetteer.built_up()]
        self._towns = np.array(towns, dtype=np.float64).reshape(-1, 3).T
        self._is_urban = lru_cache(maxsize=CELLS_KEPT)(self._cell_is_urban)
        self._labels = lru_cache(maxsize=LABELS_KEPT)(_label)

    def fixes(
        self, evidence: Sequence[Evidence], now: datetime, wall: datetime | None = None
    ) -> tuple[LocationFix, ...]:
        """The evidence as the core keeps it; words alone become the place that they name, if any.

        `now` is the service's time, `wall` that of clocks such as a handset's (None: the same).
        """
        found = [fix_of(piece, now, wall) for piece in evidence]
        near = next((at for fix in found if (at := _point(fix)) is not None), None)
        return tuple(
            self._named(piece.text, fix, near) if piece.text and fix.lat is None else fix
            for piece, fix in zip(evidence, found, strict=True)
        )

    def estimate(self, fixes: Sequence[LocationFix], now: datetime) -> Location | None:
        """The best estimate from all of a call's evidence, with its regions; None when nothing places it."""
        usable = [_as_routing(fix) for fix in fixes if fix.lat is not None]
        found = fuse(usable, now, self._regions) if usable else None
        return None if found is None else self._placed(found)

    def search(self, text: str, near: tuple[float, float] | None = None, limit: int = 10) -> list[Place]:
        """Places by name, best first."""
        return self._gazetteer.search(text[:SEARCH_CHARS], near, limit)

    def streets(self, text: str, near: tuple[float, float] | None = None) -> list[tuple[float, Settlement]]:
        """The streets that words may mean, (score, street), best first."""
        return self._gazetteer.streets(text[:SEARCH_CHARS], near)

    def districts(self, said: str | tuple[float, float]) -> list[tuple[str, Geometry]]:
        """The districts of a name, or the one of a position, with their outlines, (lon, lat), where the map brings
        districts."""
        known = self._regions.districts
        if known is None:
            return []
        found = known.named(said[:SEARCH_CHARS]) if isinstance(said, str) else known.outlined_at(*said)
        return [(district.names.uz_latn, outline) for district, outline in found]

    def describe(self, at: tuple[float, float]) -> dict[str, str]:
        """Words for where a position is, by language tag."""
        return self._labels(self._gazetteer.describe(*at))

    def is_urban(self, lat: float, lon: float) -> bool:
        """Whether the point lies in a city or town, to a kilometre."""
        return self._is_urban(math.floor(lat / URBAN_CELL_DEG), math.floor(lon / URBAN_CELL_DEG))

    def _named(self, text: str, fix: LocationFix, near: tuple[float, float] | None) -> LocationFix:
        spots = spots_of(self.search(text, near, CANDIDATES_MAX))
        if not spots:
            return fix
        best = spots[0]
        return msgspec.structs.replace(
            fix, lat=best.lat, lon=best.lon, accuracy_m=best.accuracy_m, spots=spots if len(spots) > 1 else ()
        )

    def _placed(self, found: Estimate) -> Location:
        doubt, district = found.contradiction, self._regions.district_at(found.lat, found.lon)
        return Location(
            lat=round(found.lat, PLACES_DEG),
            lon=round(found.lon, PLACES_DEG),
            accuracy_m=round(found.accuracy_m, 1),
            source=Source(found.source),
            at=found.at,
            regions=() if found.region is None else (RegionId(found.region), *map(RegionId, found.also)),
            confirmed=found.confirmed,
            urban=self.is_urban(found.lat, found.lon),
            contradiction=None if doubt is None else in_words(doubt, self._gazetteer.describe),
            outside=found.match.snapped,
            place=self._labels(self._gazetteer.describe(found.lat, found.lon)),
            district={} if district is None else self._labels(district.names),
        )

    def _cell_is_urban(self, row: int, column: int) -> bool:
        middle = ((row + 0.5) * URBAN_CELL_DEG, (column + 0.5) * URBAN_CELL_DEG)
        lats, lons, reach_m = self._towns
        return bool((distances_m(lats, lons, middle) <= reach_m).any())


def spots_of(places: Sequence[Place]) -> tuple[Spot, ...]:
    """The places that words may mean, best first. One that lies in or around a better one says nothing new."""
    least = max(FOUND_SCORE_MIN, places[0].score - FOUND_SCORE_SPAN) if places else FOUND_SCORE_MIN
    spots: list[Spot] = []
    for place in places:
        reach_m = place.accuracy_m
        known = any(
            distance_m((place.lat, place.lon), (spot.lat, spot.lon)) <= max(reach_m, spot.accuracy_m) for spot in spots
        )
        if place.score >= least and not known:
            spots.append(Spot(lat=place.lat, lon=place.lon, accuracy_m=reach_m, score=place.score))
    return tuple(spots)


def aml_fix(message: AmlMessage, now: datetime, wall: datetime | None = None) -> LocationFix | None:
    """A handset's own location as evidence; None when it says that it knows none, or lies abroad. Times as above.

    Its radius is brought from the message's confidence to the one that AML has among sources.
    """
    point = message.position
    if point is None or not in_country(point.lat, point.lon):
        return None
    at, accuracy_m = made_at(message.at, now, wall), message.accuracy_m
    if accuracy_m is not None and message.confidence is not None:
        accuracy_m = round(sources.restated(accuracy_m, message.confidence / 100, "aml"), 1)
    return LocationFix(source=Source.AML, at=at, lat=point.lat, lon=point.lon, accuracy_m=accuracy_m)


def _as_routing(fix: LocationFix) -> sources.Fix:
    at = _point(fix)
    assert at is not None, "only fixes with a point place a call"
    if not (fix.spots or fix.sector or fix.area):
        return sources.Fix(
            lat=at[0],
            lon=at[1],
            source=fix.source.value,
            at=fix.at,
            accuracy_m=fix.accuracy_m,
            confirmed=fix.confirmed,
        )
    return msgspec.convert(fix, sources.Fix, from_attributes=True)


def _point(fix: LocationFix) -> tuple[float, float] | None:
    return None if fix.lat is None or fix.lon is None else (fix.lat, fix.lon)


def _label(names: Names) -> dict[str, str]:
    """Shared between calls of one cell: nobody changes a location's label."""
    return dict(zip(LANGUAGES, names.each(), strict=True))
