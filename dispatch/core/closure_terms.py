"""A closed road as the core keeps it: what was said and drawn, not which streets of a map that is."""

from __future__ import annotations

from datetime import datetime
from typing import NewType

from dispatch.core.terms import ActorId, Value
from dispatch.core.words import Direction

ClosureId = NewType("ClosureId", str)


class Closure(Value, frozen=True, kw_only=True):
    """A road that is closed, or slower by `factor`, from `since` on and before `until`, or until it is opened again.

    It is kept as it was drawn, for maps change: `line` holds (lat, lon) pairs along the road; a single one means
    all roads within `radius_m` of it. Which streets that are, routing knows.
    """

    closure_id: ClosureId
    line: tuple[tuple[float, float], ...]
    radius_m: float
    direction: Direction = Direction.BOTH
    factor: float | None = None
    reason: str
    since: datetime
    until: datetime | None = None
    by: ActorId
    at: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether its time has passed."""
        return self.until is not None and self.until <= now
