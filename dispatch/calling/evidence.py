"""Location evidence as callers and operators send it, and as the core keeps it. Not the estimate:
locating.py.

A point is RFC 7946: `{"type": "Point", "coordinates": [lon, lat]}`; the bare `[lon, lat]` is read as well,
for people in a hurry. A point outside the country is a mistake of the sender, most often swapped
coordinates, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dispatch.core.terms import Location, LocationFix, Source
from dispatch.web.problems import Fault
from routing.geometry import from_lonlat, in_country, to_lonlat

EVIDENCE_MAX = 16
"""As many pieces as a call keeps."""

TEXT_MAX = 2000
FUTURE_MAX = timedelta(minutes=5)
"""A fix further ahead than this was made by a wrong clock: it counts as made now."""

Coordinates = Annotated[list[float], Meta(min_length=2, max_length=3, description="[longitude, latitude]")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a zone")]
Words = Annotated[str, Meta(max_length=TEXT_MAX)]
Accuracy = Annotated[float, Meta(ge=0, le=1_000_000)]


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GeoJSON point in WGS84."""

    type: Literal["Point"] = "Point"
    coordinates: Coordinates


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of evidence: a point, or words that a place can be found by, or both."""

    source: Source
    point: Point | Coordinates | None = None
    accuracy_m: Accuracy | None = None
    text: Words | None = None
    at: Moment | None = None

    def lonlat(self) -> list[float] | None:
        """The position as [lon, lat], whichever way it was written."""
        return self.point.coordinates if isinstance(self.point, Point) else self.point


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call is, in an answer: point and 1-sigma-like radius, and from what it is known."""

    point: Point
    accuracy_m: float
    source: Source
    at: datetime
    regions: tuple[str, ...] = ()
    confirmed: bool = False
    place: dict[str, str] = {}


def fault_in(evidence: Sequence[Evidence], pointer: str = "/location") -> Fault | None:
    """The first point that cannot be meant, if any; `pointer` leads to the list in the body."""
    faults = (fault_of_point(piece, f"{pointer}/{index}/point") for index, piece in enumerate(evidence))
    return next((fault for fault in faults if fault is not None), None)


def fault_of_point(piece: Evidence, pointer: str) -> Fault | None:
    """What is wrong with the piece's point, if anything: it lies outside the country, maybe swapped."""
    lonlat = piece.lonlat()
    if lonlat is None or in_country(lonlat[1], lonlat[0]):
        return None
    swapped = ": did you send [lat, lon]? It is [lon, lat]" if in_country(lonlat[0], lonlat[1]) else ""
    return Fault(pointer, f"[{lonlat[0]:g}, {lonlat[1]:g}] is outside the country{swapped}.")


def fix_of(piece: Evidence, now: datetime) -> LocationFix:
    """The piece as the core keeps it: without words, which are personal. A confirmed one is a person's."""
    lonlat = piece.lonlat()
    at = piece.at if piece.at is not None and piece.at <= now + FUTURE_MAX else now
    if lonlat is None:
        return LocationFix(source=piece.source, at=at)
    point = from_lonlat(lonlat)
    return LocationFix(
        source=piece.source,
        at=at,
        lat=point.lat,
        lon=point.lon,
        accuracy_m=piece.accuracy_m or None,
        confirmed=piece.source is Source.OPERATOR,
    )


def whereabouts(location: Location | None) -> Whereabouts | None:
    """A location of the core as an answer shows it."""
    if location is None:
        return None
    return Whereabouts(
        point=Point(coordinates=to_lonlat((location.lat, location.lon))),
        accuracy_m=location.accuracy_m,
        source=location.source,
        at=location.at,
        regions=location.regions,
        confirmed=location.confirmed,
        place=location.place,
    )
