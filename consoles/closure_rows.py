"""What boards and lists say of a closed or slow road."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dispatch.core.closure_terms import Closure, Line
from dispatch.core.terms import RegionId
from dispatch.core.words import Direction


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Where a road is closed, or would be. `line` is [longitude, latitude] pairs; a single one is a circle's middle;
    `more` are further lines of the same road. `street` is its name, where it was closed by that, `place` says where it
    is."""

    region: str
    street: str
    place: dict[str, str]
    line: list[list[float]]
    more: list[list[list[float]]]
    radius_m: float


class BoardClosure(Shape, frozen=True, kw_only=True):
    """A closure as a board has it."""

    closure_id: str
    direction: Direction
    factor: float | None
    reason: str
    since: datetime
    until: datetime | None
    at: datetime


class ClosureRow(BoardClosure, frozen=True, kw_only=True):
    """A closure as the list has it: also `by` whom it was made."""

    by: str


def closure_row(region: RegionId, closure: Closure) -> ClosureRow:
    """A closure as the list has it."""
    return ClosureRow(
        closure_id=closure.closure_id,
        region=region,
        street=closure.street,
        place=closure.place,
        line=lonlat(closure.line),
        more=[lonlat(line) for line in closure.more],
        radius_m=closure.radius_m,
        direction=closure.direction,
        factor=closure.factor,
        reason=closure.reason,
        since=closure.since,
        until=closure.until,
        by=closure.by,
        at=closure.at,
    )


def on_board(region: RegionId, closure: Closure) -> dict[str, Any]:
    """A closure as a row of a board. One that is over stays until another road is closed: who looks knows the time."""
    row = closure_row(region, closure)
    return {name: getattr(row, name) for name in BoardClosure.__struct_fields__}


def lonlat(line: Line) -> list[list[float]]:
    """A line as GeoJSON has it."""
    return [[lon, lat] for lat, lon in line]


def latlon(points: list[list[float]]) -> Line:
    """The line of such a list."""
    return tuple((lat, lon) for lon, lat in points)
