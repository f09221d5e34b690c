"""Location evidence as callers and operators send it, and as the core keeps it. Not the estimate:
locating.py.

A point is RFC 7946: `{"type": "Point", "coordinates": [lon, lat]}`; the bare `[lon, lat]` is read as well,
for people in a hurry. A cell may say its sector about the mast as its point, or the area that it covers. A point
outside the country is a mistake of the sender, most often swapped coordinates, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dispatch.core.terms import Location, LocationFix, Sector, Source
from dispatch.formats.values import plausible
from dispatch.web.problems import Fault
from routing.geometry import from_lonlat, in_country, to_lonlat
from routing.sectors import USUAL_REACH_M, Area

EVIDENCE_MAX = 16
"""As many pieces as a call keeps."""

TEXT_MAX = 2000
RANGE_MAX_M = 100_000.0
ACCURACY_MAX_M = 1_000_000.0
USUAL_WIDTH_DEG = 120.0
"""The opening of an antenna whose direction alone is said."""
CORNERS_MAX = 100
"""As many has an area at most."""
FUTURE_MAX = timedelta(minutes=5)
"""A fix further ahead than this, or from before there were such phones, was made by a wrong clock: it counts as made
now."""
PAST_MAX = timedelta(days=366)
"""A fix further back counts as so old: nothing that it says has any weight."""

Coordinates = Annotated[list[float], Meta(min_length=2, max_length=3, description="[longitude, latitude]")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a zone")]
Words = Annotated[str, Meta(max_length=TEXT_MAX)]
Accuracy = Annotated[
    float,
    Meta(
        ge=0,
        le=ACCURACY_MAX_M,
        description="Radius in metres as the source states it: 68 % for aml and app, 95 % for ecall, the reach of a "
        "cell (80 %) or of what was named (90 %).",
    ),
]
Range = Annotated[float, Meta(ge=0, le=RANGE_MAX_M, description="Metres from the mast.")]
Azimuth = Annotated[float, Meta(ge=0, le=360, description="Where the antenna looks, degrees clockwise from north.")]
Width = Annotated[float, Meta(gt=0, le=360, description="Its opening; 120 where only the azimuth is said.")]
Corners = Annotated[list[Coordinates], Meta(min_length=4, max_length=CORNERS_MAX)]


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GeoJSON point in WGS84."""

    type: Literal["Point"] = "Point"
    coordinates: Coordinates


class Polygon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GeoJSON polygon in WGS84; of its rings the first counts."""

    type: Literal["Polygon"] = "Polygon"
    coordinates: Annotated[list[Corners], Meta(min_length=1, max_length=CORNERS_MAX)]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of evidence: a point, or words that a place can be found by, or both. Of the source `cell` also a
    sector, with the mast as its point, or the area that it covers; for other sources those say nothing.
    """

    source: Source
    point: Point | Coordinates | None = None
    accuracy_m: Accuracy | None = None
    text: Words | None = None
    at: Moment | None = None
    azimuth_deg: Azimuth | None = None
    width_deg: Width | None = None
    range_m: Range | None = None
    min_range_m: Range | None = None
    area: Polygon | None = None

    def lonlat(self) -> list[float] | None:
        """The position as [lon, lat], whichever way it was written."""
        return self.point.coordinates if isinstance(self.point, Point) else self.point

    def sector(self) -> Sector | None:
        """The sector of a cell that says more than its reach."""
        if self.source is not Source.CELL or (self.azimuth_deg, self.range_m, self.min_range_m) == (None,) * 3:
            return None
        everywhere = self.azimuth_deg is None
        return Sector(
            azimuth_deg=self.azimuth_deg or 0.0,
            width_deg=360.0 if everywhere else self.width_deg or USUAL_WIDTH_DEG,
            range_m=self.range_m or self.accuracy_m or USUAL_REACH_M,
            min_range_m=self.min_range_m or 0.0,
        )

    def ring(self) -> tuple[tuple[float, float], ...]:
        """The corners of a cell's area as (lat, lon)."""
        if self.source is not Source.CELL or self.area is None:
            return ()
        return tuple(from_lonlat(corner) for corner in self.area.coordinates[0])


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """Words of evidence that came after the call, as a personal document of the shape that notes have."""

    text: str
    actor: str


Metres90 = Annotated[float, Meta(description="Radius of the circle about the point that holds nine cases of ten.")]


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call is, in an answer, and from what it is known most. `contradiction` says per language tag which two
    pieces of evidence cannot both be right; `regions` are all those within the circle, that of the point first."""

    point: Point
    accuracy_m: Metres90
    source: Source
    at: datetime
    regions: tuple[str, ...] = ()
    confirmed: bool = False
    place: dict[str, str] = {}
    district: dict[str, str] = {}
    contradiction: dict[str, str] = {}


def fault_in(evidence: Sequence[Evidence], pointer: str = "/location") -> Fault | None:
    """The first point that cannot be meant, if any; `pointer` leads to the list in the body."""
    faults = (fault_of(piece, f"{pointer}/{index}") for index, piece in enumerate(evidence))
    return next((fault for fault in faults if fault is not None), None)


def fault_of(piece: Evidence, pointer: str = "") -> Fault | None:
    """What is wrong with the piece's positions, if anything: one lies outside the country, maybe swapped."""
    for where, lonlat in _positions(piece):
        if not in_country(lonlat[1], lonlat[0]):
            swapped = ": did you send [lat, lon]? It is [lon, lat]" if in_country(lonlat[0], lonlat[1]) else ""
            return Fault(pointer + where, f"[{lonlat[0]:g}, {lonlat[1]:g}] is outside the country{swapped}.")
    return None


def _positions(piece: Evidence) -> Iterator[tuple[str, list[float]]]:
    lonlat = piece.lonlat()
    if lonlat is not None:
        yield "/point", lonlat
    if piece.area is not None:
        for index, corner in enumerate(piece.area.coordinates[0]):
            yield f"/area/coordinates/0/{index}", corner


def made_at(said: datetime | None, now: datetime, wall: datetime | None = None) -> datetime:
    """When a fix was made, as far as its clock can be believed, in the time of the service.

    A handset's clock is the wall's, so what it says gives an age on the wall (None: it is `now`); the service's own
    time is another one in a demo, and for hours after the machine's clock was set back.
    """
    at, wall = plausible(said) if said is not None else None, wall or now
    return now if at is None or at > wall + FUTURE_MAX else now - min(wall - at, PAST_MAX)


def fix_of(piece: Evidence, now: datetime, wall: datetime | None = None) -> LocationFix:
    """The piece as the core keeps it: without words, which are personal. A confirmed one is a person's."""
    lonlat, ring = piece.lonlat(), piece.ring()
    at = made_at(piece.at, now, wall)
    if lonlat is None and not ring:
        return LocationFix(source=piece.source, at=at)
    point = from_lonlat(lonlat) if lonlat is not None else Area.of_ring(ring).middle
    return LocationFix(
        source=piece.source,
        at=at,
        lat=point.lat,
        lon=point.lon,
        accuracy_m=piece.accuracy_m or None,
        confirmed=piece.source is Source.OPERATOR,
        sector=piece.sector(),
        area=ring,
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
        district=location.district,
        contradiction=contradiction_of(location),
    )


def contradiction_of(location: Location) -> dict[str, str]:
    """What cannot both be right, per language tag; empty where nothing contradicts."""
    said = location.contradiction
    return {"en": said} if isinstance(said, str) else said or {}
