"""A street that was named instead of drawn: found on the map by its name in any script, and the stretch that is meant.

Nothing is guessed. A name that several streets bear, or that fits none well, is answered with what there is to choose
from; where the map has no names, or no such crossing, the answer says that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from dispatch.calling.evidence import Coordinates
from dispatch.calling.locating import FOUND_SCORE_MIN, FOUND_SCORE_SPAN, Locator
from dispatch.web.problems import Choice, Fault, Problem
from routing import stretches
from routing.geometry import Point, distance_m, from_lonlat
from routing.named import NamedStreets, Street
from routing.stretches import Line

NAME_MAX = 200
WITHIN_MAX_M = 20_000.0
NEAR_M = 1_000.0
"""A street that is meant by a position near it comes so near."""
AS_NEAR_M = 30.0
"""Streets whose distances differ by less are equally near."""
ROW_M = 3_000.0
"""A street's row among the places lies so near to the street, which it stands for."""
LIKE_MAX = 40
"""Rows of streets with a name like it that are looked at."""

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]


class StreetPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A street by its name in any language and script, with its town or district if need be; `near` tells streets of
    one name apart. All of it, or the stretch within `within_m` of `near`, in a `district`, or `between` two crossings:
    each the name of the street that crosses, or a position on this one. A district is a name, or a position in it."""

    name: Name
    near: Coordinates | None = None
    within_m: Annotated[float, Meta(gt=0, le=WITHIN_MAX_M)] | None = None
    between: Annotated[list[Name | Coordinates], Meta(min_length=2, max_length=2)] | None = None
    district: Name | Coordinates | None = None


class Stretch(NamedTuple):
    """What was meant: the street's name as the map has it, with the crossings between which it was cut, the lines along
    it, and the names of all that meet it."""

    name: str
    lines: list[Line]
    meets: list[str]


class _Found(NamedTuple):
    street: Street
    score: float


def stretch_of(said: StreetPart, named: NamedStreets | None, locator: Locator) -> Stretch:
    """The stretch that was meant. Takes milliseconds; from any thread. Raises Problem."""
    if named is None or not len(named):
        raise Problem("no_street_names", errors=[Fault("/street/name", "The map has no street names.")])
    ways = [name for name in ("within_m", "between", "district") if getattr(said, name) is not None]
    if len(ways) > 1 or (said.within_m is not None and said.near is None):
        detail = "Give at most one of within_m, between and district, and near together with within_m."
        raise Problem("invalid_body", detail, [Fault("/street", detail)])
    near = from_lonlat(said.near) if said.near is not None else None
    finder = _Finder(named, locator)
    street = finder.one(said.name, near)
    meets = named.met_by(street)
    if said.between is not None:
        return Stretch(*_between(said.between, street, finder), meets)
    return Stretch(street.name, _lines(said, street, near, finder), meets)


def _lines(said: StreetPart, street: Street, near: Point | None, finder: _Finder) -> list[Line]:
    if said.within_m is not None and near is not None:
        lines, pointer = stretches.around(street, near, said.within_m), "/street/within_m"
        missing = f"{street.name} does not come within {said.within_m:g} m of that position."
    elif said.district is not None:
        lines, pointer = finder.inside(street, said.district), "/street/district"
        missing = f"{street.name} does not run through that district."
    else:
        return stretches.whole(street)
    if not lines:
        raise Problem("no_road_there", missing, [Fault(pointer, missing)])
    return lines


def _between(ends: Sequence[str | list[float]], street: Street, finder: _Finder) -> tuple[str, list[Line]]:
    first, second = (finder.crossing(street, said, f"/street/between/{i}") for i, said in enumerate(ends))
    lines = stretches.between(street, first.corners, second.corners)
    if not lines:
        detail = f"{street.name} does not lead from the one to the other."
        raise Problem("no_road_there", detail, [Fault("/street/between", detail)])
    named = first.name and second.name
    return f"{street.name} ({first.name} – {second.name})" if named else street.name, lines


class _Crossing(NamedTuple):
    """The corners of a crossing, and the name of the street that crosses; "" for a position."""

    corners: list[Point]
    name: str = ""


class _Finder:
    """Looks streets up for one request."""

    def __init__(self, named: NamedStreets, locator: Locator) -> None:
        self._named = named
        self._locator = locator

    def one(self, text: str, near: Point | None) -> Street:
        """The one street that the words mean. Raises Problem with what there is to choose from."""
        found = self.alike(text, near)
        good = [each for each in found if each.score >= max(FOUND_SCORE_MIN, found[0].score - FOUND_SCORE_SPAN)]
        meant = good if near is None else _nearest(good, near)
        if len(meant) == 1:
            return meant[0].street
        code = "street_ambiguous" if meant else "unknown_street"
        detail = f"{len(meant)} streets fit." if meant else f"No street of the map is called {text[:80]} there."
        raise Problem(code, detail, [Fault("/street/name", detail)], choices=map(self._choice, meant or found))

    def alike(self, text: str, near: Point | None) -> list[_Found]:
        """The streets of the map that have such a name, the best first."""
        known: dict[tuple[str, ...], list[Street]] = {}
        found: dict[tuple[int, ...], _Found] = {}
        for score, row in self._locator.streets(text, near)[:LIKE_MAX]:
            names = tuple(dict.fromkeys(name for name in (*row.names.each(), *row.other) if name))
            if names not in known:
                known[names] = self._named.bearing(names)
            there = [each for each in known[names] if distance_m(each.origin, row.at) <= each.reach_m + ROW_M]
            street = min(there, key=lambda each: stretches.off_m(each, row.at), default=None)
            if street is not None and stretches.off_m(street, row.at) <= ROW_M:
                found.setdefault((int(street.edges.min()), len(street.edges)), _Found(street, score))
        return sorted(found.values(), key=lambda each: (-each.score, -each.street.metres))

    def crossing(self, street: Street, said: str | list[float], pointer: str) -> _Crossing:
        """Where a street is crossed by another, or the place on it that a position means. Raises Problem."""
        if not isinstance(said, str):
            at = from_lonlat(said)
            if stretches.off_m(street, at) > stretches.ON_IT_M:
                detail = f"This position is not on {street.name}."
                raise Problem("no_road_there", detail, [Fault(pointer, detail)])
            return _Crossing([at])
        others = [each for each in self.alike(said, street.middle) if each.score >= FOUND_SCORE_MIN]
        met = [
            (each.score, _Crossing(corners, each.street.name))
            for each in others
            for corners in stretches.crossings(street, [each.street])
        ]
        best = max((score for score, _ in met), default=0.0)
        found = [crossing for score, crossing in met if score >= best - FOUND_SCORE_SPAN]
        if len(found) == 1:
            return found[0]
        if found:
            detail = f"{said} crosses {street.name} {len(found)} times: give the position of the crossing."
            places = [self._place(crossing.name, crossing.corners[0]) for crossing in found]
        else:
            known = ", ".join(self._named.met_by(street))
            detail, places = f"{said} does not cross {street.name}, which meets {known or 'no named street'}.", []
        raise Problem("no_such_crossing", detail, [Fault(pointer, detail)], choices=places)

    def inside(self, street: Street, said: str | list[float]) -> list[Line]:
        """What of a street lies in the one district that is meant. Raises Problem with what there is to choose from: a
        town and the district around it may bear one name."""
        pointer = "/street/district"
        known = self._locator.districts(said if isinstance(said, str) else from_lonlat(said))
        if not known:
            raise Problem("unknown_district", errors=[Fault(pointer, f"No outline of {said}.")])
        parts = [(name, lines) for name, outline in known if (lines := stretches.inside(street, outline))]
        if len(parts) > 1:
            detail = f"{street.name} runs through {len(parts)} districts called {said}: give the point of one."
            places = [self._place(name, _middle(lines[0]), length_m(lines)) for name, lines in parts]
            raise Problem("district_ambiguous", detail, [Fault(pointer, detail)], choices=places)
        return parts[0][1] if parts else []

    def _choice(self, found: _Found) -> Choice:
        return self._place(found.street.name, found.street.middle, found.street.metres)

    def _place(self, name: str, at: Point, metres: float = 0.0) -> Choice:
        point = (round(at.lon, 6), round(at.lat, 6))
        return Choice(name=name, where=self._locator.describe(at), point=point, metres=round(metres))


def length_m(lines: Iterable[Sequence[tuple[float, float]]]) -> float:
    """How long lines of (lat, lon) are together, in metres."""
    return sum(distance_m(a, b) for line in lines for a, b in pairwise(line))


def _middle(line: Line) -> Point:
    """A place on a line and off its ends."""
    before, after = line[(len(line) - 1) // 2], line[len(line) // 2]
    return Point((before.lat + after.lat) / 2, (before.lon + after.lon) / 2)


def _nearest(found: list[_Found], near: Point) -> list[_Found]:
    """Those that come as near to a position as any, if one comes near at all."""
    off_m = [stretches.off_m(each.street, near) for each in found]
    least_m = min(off_m, default=NEAR_M)
    return [each for each, m in zip(found, off_m, strict=True) if m <= least_m + AS_NEAR_M and m <= NEAR_M]
