"""Finding places by what people type or say, and naming the place where a position lies.

A text may be a name in any script, an address with a house number, a kilometre of a road, a plus code, a position
in any notation or a link of a web map. Put together here; the parts are in addresses (reading a text), matching
(names), ranking (several names), houses, kilometres, notation, landmarks and describing.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.addresses import MOST_CHARS, name_keys, readings
from routing.describing import Describer
from routing.geometry import distance_m, in_country
from routing.houses import House, Houses, street_keys
from routing.kilometres import Kilometres, asked_kilometre
from routing.landmarks import Landmarks
from routing.matching import Ints, Matcher
from routing.names import Names, completed
from routing.notation import Position, decode, find_code, read_position
from routing.place_files import Found, landmarks_of, read_places
from routing.places import SETTLEMENTS, Settlement, known_landmarks, settlements
from routing.ranking import WITH_HOUSES, Near, Ranking
from routing.regions import REGIONS, Regions

FOUND_MIN: Final = 60.0  # a lower score is no answer
MOST_SEEN: Final = 400  # places looked at for one answer, many of which may be the same
MOST_HOUSED: Final = 24  # places whose houses decide between them
HOUSES_BEYOND_M: Final = 2_000.0  # a map lists a long street once in so many metres
SAME_PLACE_M: Final = 1_500.0  # two entries of one name and kind so near, or within their reach, are one place
REACH_OF_DISC: Final = 1.3  # a region is no disc, and its capital not in its middle
EXACT: Final = 100.0
ABROAD: Final = "abroad"  # the region of a place that lies in none

_KIND_ORDER: Final = ("city", "town", "region", "district", "city_district", "village")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place that was found. `name` is in Uzbek Latin, `names` in all five; `score` is 0 to 100.

    `region` is empty outside every region. `accuracy_m` is how far from the position somebody may be who only said
    this: the reach of a settlement, half of a street, a house's plot.
    """

    name: str
    kind: str
    region: str
    lat: float
    lon: float
    score: float
    names: Names
    accuracy_m: float


class Gazetteer:
    """All named places in memory, with their keys; our own table, and what files add to it. `regions` say in which
    region a place lies that no file puts anywhere; without them the built-in outlines do."""

    def __init__(
        self, places: Sequence[Settlement] | None = None, more: Found | None = None, regions: Regions | None = None
    ) -> None:
        more = Found() if more is None else more
        landmarks, outlines = landmarks_of(more)
        own = (*_regions(), *settlements(), *known_landmarks()) if places is None else tuple(places)
        self.places = (*own, *more.places, *(place for place, _ in more.outlines))
        self.notes = tuple(more.notes)
        self._matcher = Matcher(self.places)
        self._houses = Houses(more.houses)
        self._kilometres = Kilometres(more.posts, more.roads)
        self._describer = Describer(self.places, Landmarks(landmarks, outlines))
        self._own_regions = regions
        regions_of = (place.region for place in self.places)
        known = dict.fromkeys(
            ("", ABROAD, *(regions.outlines if regions else ()), *(r.id for r in REGIONS), *regions_of)
        )
        self._region_numbers = {region: number for number, region in enumerate(known)}
        self._region_of = np.array([self._region_numbers[place.region] for place in self.places], dtype=np.int64)

    def built_up(self) -> Iterator[Settlement]:
        """The cities, towns and villages: what has streets."""
        return (place for place in self.places if place.kind in SETTLEMENTS)

    @property
    def is_abroad(self) -> bool:
        """Whether files brought places of another country."""
        return any(not in_country(*place.at) for place in self.places)

    def search(self, text: str, near: Near = None, limit: int = 10) -> list[Place]:
        """What the text may mean, best first, each place once; `near` (lat, lon) favours what is close.

        Empty where it means nothing that is known, also for a text of over 500 characters.
        """
        if limit <= 0 or len(text) > MOST_CHARS:
            return []
        at = read_position(text)
        if at is not None:
            return [self._at(at, "position")]
        if "://" in text:
            return []  # a link that hides its position names nothing by its letters
        if (code := find_code(text)) is not None:
            return self._by_code(*code, near)
        if (kilometre := asked_kilometre(text)) is not None:
            on_road = self._kilometres.find(kilometre)
            name = f"{kilometre.ref} {kilometre.km:g} km"
            if on_road is not None:
                return [self._at(Position(on_road.at, on_road.accuracy_m), "kilometre_post", name)]
        found: list[Place] = []
        for place in self._by_name(text, near):
            if not any(_is_same(place, other) for other in found):
                found.append(place)
            if len(found) == limit:
                break
        return found

    def streets(self, text: str, near: Near = None) -> list[tuple[float, Settlement]]:
        """The streets that a text may mean, (score, street), best first; the words of their kind need not be said. A
        long street comes once for each neighbourhood that it runs through."""
        ways = readings(text) if len(text) <= MOST_CHARS else []
        if not any(part.kind for way in ways[:1] for part in way.parts):
            ways = readings(f"{text} koʻchasi")
        ranked = Ranking(self._matcher, self._regions_at, near).best(ways) if ways else []
        found = (
            (round(min(EXACT, score), 1), self.places[number]) for score, number, _ in ranked if score >= FOUND_MIN
        )
        return list(islice((each for each in found if each[1].kind == "street"), MOST_SEEN))

    def describe(self, lat: float, lon: float) -> Names:
        """Words for a position in all five languages: the settlement, its district in a large city, or the
        distance and direction from the nearest settlement, and the landmark beside it."""
        return self._describer.describe(lat, lon)

    def _by_name(self, text: str, near: Near) -> Iterator[Place]:
        ranked = Ranking(self._matcher, self._regions_at, near).best(readings(text))[:MOST_SEEN]
        ranked = [found for found in ranked if found[0] >= FOUND_MIN]
        ranked.sort(key=lambda found: (-round(found[0], 1), self._tie(found[1])))
        keys: dict[Names, list[str]] = {}
        housed = [(*found, self._house(*found[1:], keys)) for found in ranked[:MOST_HOUSED]]
        housed.sort(key=lambda found: -round(found[0] - _lacks_house(found[2], found[3]), 1))
        yield from (self._place(*found) for found in housed)
        for found in ranked[MOST_HOUSED:]:
            yield self._place(*found, self._house(*found[1:], keys))

    def _house(self, number: int, house: str | None, keys: dict[Names, list[str]]) -> House | None:
        """The house of a street, if a number was said; `keys` are those of streets looked at for this text."""
        place = self.places[number]
        if house is None or not len(self._houses) or place.kind not in WITH_HOUSES:
            return None
        if place.names not in keys:
            names = [name for name in (*place.names.each(), *place.other) if name]
            keys[place.names] = list(dict.fromkeys(key for each in name_keys(names) for key in street_keys(each)))
        return self._houses.find(keys[place.names], house, place.at, 2 * place.accuracy_m + HOUSES_BEYOND_M)

    def _place(self, score: float, number: int, asked: str | None, house: House | None) -> Place:
        place = self.places[number]
        names, at, accuracy_m, kind = completed(place.names), place.at, place.accuracy_m, place.kind
        if asked is not None and house is not None:
            shown = house.number.upper()
            names, kind = Names(*(f"{name}, {shown}" for name in names.each())), "house"
            at, accuracy_m = house.at, house.accuracy_m
        return Place(
            name=names.uz_latn, kind=kind, region=self._region(number), lat=at.lat, lon=at.lon,
            score=round(min(EXACT, max(0.0, score)), 1), names=names, accuracy_m=round(accuracy_m, 1),
        )  # fmt: skip

    def _at(self, position: Position, kind: str, name: str = "") -> Place:
        lat, lon = round(position.at.lat, 6), round(position.at.lon, 6)
        name = name or f"{lat:.5f}, {lon:.5f}"
        return Place(
            name=name, kind=kind, region=self._regions.at(lat, lon).region or "", lat=lat, lon=lon, score=EXACT,
            names=Names(*[name] * 5), accuracy_m=position.accuracy_m,
        )  # fmt: skip

    def _by_code(self, code: str, around: str, near: Near) -> list[Place]:
        """A short code means the cell nearest to the place said with it, else to where the call is."""
        said = self.search(around, near, 1) if around else []
        reference = (said[0].lat, said[0].lon) if said else near
        found = decode(code, reference)
        return [] if found is None else [self._at(found, "plus_code", code)]

    def _tie(self, number: int) -> tuple[int, int, int]:
        """Between equal scores: cities before areas, then the larger."""
        place = self.places[number]
        order = _KIND_ORDER.index(place.kind) if place.kind in _KIND_ORDER else len(_KIND_ORDER)
        return order, -place.population, number

    @cached_property
    def _regions(self) -> Regions:
        return self._own_regions or Regions()

    def _region(self, number: int) -> str:
        """A place's region, by its position where no file says it."""
        place = self.places[number]
        return place.region or self._regions.at(*place.at).region or ""

    def _regions_at(self, places: Ints) -> NDArray[np.int64]:
        """The numbers of places' regions. From any thread: what two of them find out of one place is the same."""
        numbers = self._region_numbers
        for i in places[self._region_of[places] == numbers[""]].tolist():
            self._region_of[i] = numbers[self._region(i) or ABROAD]
        return np.asarray(self._region_of[places])


def load(paths: Sequence[Path], regions: Regions | None = None) -> Gazetteer:
    """Our own places with those of files: CSV lists, GeoJSON landmarks, directories of maps.

    Raises ValueError with one sentence when a file cannot be read.
    """
    return Gazetteer(more=read_places(paths) if paths else None, regions=regions)


def _regions() -> tuple[Settlement, ...]:
    return tuple(
        Settlement(
            kind="region", region=r.id, names=r.names, at=r.capital_at, population=r.population,
            reach_m=round(REACH_OF_DISC * 1000 * math.sqrt(r.area_km2 / math.pi), -3),
        )
        for r in REGIONS
    )  # fmt: skip


def _lacks_house(asked: str | None, house: House | None) -> float:
    """Of streets with one name the one that has the number is meant, else one that has a number near it."""
    if asked is None or (house is not None and house.number == asked):
        return 0.0
    return 1.0 if house is None else 0.5


def _is_same(a: Place, b: Place) -> bool:
    near_m = max(SAME_PLACE_M, min(a.accuracy_m, b.accuracy_m)) if a.kind != "house" else a.accuracy_m
    return a.name == b.name and a.kind == b.kind and distance_m((a.lat, a.lon), (b.lat, b.lon)) <= near_m
