"""A closed road as the core keeps it: what was said and drawn, not which streets of a map that is."""

from __future__ import annotations

from datetime import datetime
from typing import NewType

import msgspec

from dispatch.core.terms import ActorId, Value
from dispatch.core.words import Direction

ClosureId = NewType("ClosureId", str)
Line = tuple[tuple[float, float], ...]


class Closure(Value, frozen=True, kw_only=True):
    """A road that is closed, or slower by `factor`, from `since` on and before `until`, or until it is opened again.

    It is kept as it was drawn, for maps change: `line` holds (lat, lon) pairs along the road; a single one means
    all roads within `radius_m` of it. `more` are further lines of the same road, such as its other carriageway.
    Which streets that are, routing knows.
    """

    closure_id: ClosureId
    line: Line
    more: tuple[Line, ...] = ()
    radius_m: float
    direction: Direction = Direction.BOTH
    factor: float | None = None
    reason: str
    street: str = ""
    """The name by which it was closed, as the map has it, with its crossings; empty for what was drawn."""
    place: dict[str, str] = msgspec.field(default_factory=dict)
    """Words for where it is, by language tag."""
    since: datetime
    until: datetime | None = None
    by: ActorId
    at: datetime

    @property
    def lines(self) -> tuple[Line, ...]:
        """All that was drawn."""
        return self.line, *self.more

    @property
    def points(self) -> int:
        """How many positions that was."""
        return sum(map(len, self.lines))

    def is_over(self, now: datetime) -> bool:
        """Whether its time has passed."""
        return self.until is not None and self.until <= now
