"""Where the demo's people live: the sites of a region, each a place with the people who belong to it.

Stations stand at sites and calls come from around them. A city with districts is its districts; a district is
its seat with the villages around it. Invented beyond the table of settlements: how people lie around a seat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from random import Random

import msgspec

from routing.geometry import Point, distance_m, from_local_m
from routing.places import Settlement, radius_m, settlements
from routing.regions import Regions

RURAL_PER_KM2 = 280.0
"""Density of a district's settled land: that by which the demo's villages are drawn."""
RURAL_REACH_MOST_M = 14_000.0
RURAL_SHARE = 0.5
"""Share of a district's people who live in villages and not around its seat."""
TRIES = 6


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place with its people. `town_m` is the reach of its streets, `reach_m` of all who belong to it."""

    name: str
    region: str
    at: Point
    people: int
    town_m: float
    reach_m: float


@cache
def sites(region: str) -> tuple[Site, ...]:
    """The sites of a region, the largest first."""
    places = [place for place in settlements() if place.region == region]
    wards = [place for place in places if place.kind == "city_district"]
    districts = [place for place in places if place.kind == "district"]
    taken = {place.at for place in districts}
    found = [_ward(ward) for ward in wards] + [_district(district, places) for district in districts]
    for town in places:
        if town.kind in ("city", "town") and town.at not in taken and not _divided(town, wards):
            found.append(_town(town))
    assert found, f"nobody lives in {region}"
    return tuple(sorted(found, key=lambda site: (-site.people, site.name)))


def somewhere(site: Site, rng: Random) -> Point:
    """A place where somebody of this site may be: dense in its middle, thin at its edge, in its own region."""
    for _ in range(TRIES):
        rural = site.reach_m > site.town_m and rng.random() < RURAL_SHARE
        reach_m = site.reach_m if rural else site.town_m
        away_m = reach_m * math.sqrt(rng.random()) * (1.0 if rural else 0.9)
        turn = rng.uniform(0.0, 2 * math.pi)
        point = from_local_m(site.at, away_m * math.sin(turn), away_m * math.cos(turn))
        if _regions().at(point.lat, point.lon).region == site.region:
            return point
    return site.at


def chosen(options: Sequence[Site], rng: Random) -> Site:
    """One of the sites, by its people."""
    return rng.choices(options, [site.people for site in options])[0]


@cache
def _regions() -> Regions:
    return Regions()


def _divided(town: Settlement, wards: Sequence[Settlement]) -> bool:
    """Whether the city is there by its districts already."""
    people = sum(ward.population for ward in wards if distance_m(ward.at, town.at) < 2 * radius_m(town.population))
    return people > town.population / 2


def _ward(place: Settlement) -> Site:
    return _site(place, radius_m(place.population), 0.0)


def _town(place: Settlement) -> Site:
    return _site(place, radius_m(place.population), 0.0)


def _district(place: Settlement, places: Sequence[Settlement]) -> Site:
    seat = next((p for p in places if p.kind == "town" and p.at == place.at), None)
    town_m = radius_m(seat.population if seat is not None else 8_000)
    reach_m = 1000 * math.sqrt(place.population / RURAL_PER_KM2 / math.pi)
    return _site(place, town_m, min(reach_m, RURAL_REACH_MOST_M))


def _site(place: Settlement, town_m: float, reach_m: float) -> Site:
    return Site(
        name=place.names.uz_latn.removesuffix(" tumani"),
        region=place.region,
        at=place.at,
        people=place.population,
        town_m=town_m,
        reach_m=max(town_m, reach_m),
    )
