"""Where every unit is now: the latest fix of each, in the order of the fixes, not of their arrival.

Positions are no events: nothing here is kept in the journal (`tracks.py` keeps a thinned trace), and
whatever is wrong with a fix makes it dropped and counted, never an error. Age is wall time: how old a fix
is does not depend on the speed of the service's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from dispatch.core.terms import RegionId, UnitId
from routing.geometry import COUNTRY_EAST, COUNTRY_NORTH, COUNTRY_SOUTH, COUNTRY_WEST

FUTURE_LIMIT = timedelta(seconds=120)
"""A device's clock may be this far ahead of ours; beyond it, its fixes could hide the true ones for hours."""
FIX_INTERVAL_S = 0.5
FIX_BURST = 60
"""A unit may send a fix each FIX_INTERVAL_S, and so many at once after it was without a link."""

FIRST_SLOTS = 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLACK_S = FIX_INTERVAL_S * FIX_BURST


class Position(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fix of one unit: WGS84 degrees; `at` is the time of the fix, `received_at` ours, both wall time."""

    unit_id: UnitId
    lat: float
    lon: float
    at: datetime
    received_at: datetime
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None

    def age_s(self, now: datetime) -> float:
        """Seconds since the fix at the wall's time `now`; a clock ahead of ours gives 0."""
        return max(0.0, (now - self.at).total_seconds())


class PositionCounts(msgspec.Struct):
    """What became of the fixes so far; each is in exactly one of these."""

    accepted: int = 0
    older: int = 0
    future: int = 0
    outside: int = 0
    unknown: int = 0
    too_often: int = 0


class Positions:
    """The latest position of each unit, and which units moved since a reader last looked.

    `region_of` names a unit's region, or None for a unit that we do not know; without it nobody is known,
    and it may be set later, for an engine is made with its positions. `on_move(unit_id, lat, lon)`
    and `on_fix(position)` are called for each accepted fix; they must be quick and must not raise.
    """

    def __init__(
        self,
        region_of: Callable[[UnitId], RegionId | None] = lambda _unit_id: None,
        *,
        on_move: Callable[[UnitId, float, float], None] | None = None,
        on_fix: Callable[[Position], None] | None = None,
    ) -> None:
        self.region_of = region_of
        self.on_move = on_move
        self.on_fix = on_fix
        self.counts = PositionCounts()
        self._latest: dict[UnitId, Position] = {}
        self._full_at_s: dict[UnitId, float] = {}
        # The times of the latest fixes side by side, so that the ages of hundreds are one subtraction.
        self._slots: dict[UnitId, int] = {}
        self._at_s = np.zeros(FIRST_SLOTS)
        self._tick = 0
        # Units of a region in the order of their last move: what moved since a tick stands at the end.
        self._moved: dict[RegionId, dict[UnitId, int]] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, position: Position) -> bool:
        """Take a fix. False when it is not newer than the one known, or cannot be true; it is counted."""
        unit_id, counts = position.unit_id, self.counts
        known = self._latest.get(unit_id)
        if known is not None and position.at <= known.at:
            counts.older += 1
            return False
        if position.at - position.received_at > FUTURE_LIMIT:
            counts.future += 1
            return False
        # A comparison with NaN is false, so what is no number is outside as well.
        if not (COUNTRY_SOUTH <= position.lat <= COUNTRY_NORTH and COUNTRY_WEST <= position.lon <= COUNTRY_EAST):
            counts.outside += 1
            return False
        region = self.region_of(unit_id)
        if region is None:
            counts.unknown += 1
            return False
        if not self._in_rate(unit_id, position.received_at):
            counts.too_often += 1
            return False
        counts.accepted += 1
        self._keep(region, position)
        if self.on_fix is not None:
            self.on_fix(position)
        return True

    def restore(self, position: Position) -> bool:
        """Take where a unit was before this process began, unless it has said something since."""
        region = self.region_of(position.unit_id)
        if region is None or position.unit_id in self._latest:
            return False
        self._keep(region, position)
        return True

    def get(self, unit_id: UnitId) -> Position | None:
        """The latest position of a unit, or None when it never sent one."""
        return self._latest.get(unit_id)

    def ages_s(self, units: Sequence[UnitId], now: datetime) -> NDArray[np.float32]:
        """Seconds since each unit's fix at the wall's time `now`; NaN for a unit that never sent one."""
        slots = np.fromiter(map(self._slots.get, units, repeat(-1)), np.int32, len(units))
        age_s = np.maximum(0.0, (now - _EPOCH).total_seconds() - self._at_s[slots])
        return np.where(slots >= 0, age_s, np.nan).astype(np.float32)

    def moved_since(self, region: RegionId, tick: int) -> tuple[int, list[Position]]:
        """The units of a region that moved after `tick`, oldest move first, and the tick for the next time.

        Tick 0 gives every unit with a position. The cost grows with the units that moved, not with all.
        """
        moved: list[Position] = []
        for unit_id, moved_at in reversed(self._moved.get(region, {}).items()):
            if moved_at <= tick:
                break
            moved.append(self._latest[unit_id])
        moved.reverse()
        return self._tick, moved

    def _in_rate(self, unit_id: UnitId, received_at: datetime) -> bool:
        """A leaky bucket in one number: the moment at which the unit's allowance would be full again."""
        now_s = (received_at - _EPOCH).total_seconds()
        # Never further away than it can be: after the machine's clock was ahead for a while nobody would be heard.
        known_s = min(self._full_at_s.get(unit_id, 0.0), now_s + _SLACK_S)
        full_at_s = max(now_s, known_s) + FIX_INTERVAL_S
        if full_at_s - now_s > _SLACK_S:
            self._full_at_s[unit_id] = known_s
            return False
        self._full_at_s[unit_id] = full_at_s
        return True

    def _keep(self, region: RegionId, position: Position) -> None:
        unit_id = position.unit_id
        self._latest[unit_id] = position
        slot = self._slots.setdefault(unit_id, len(self._slots))
        if slot == len(self._at_s):
            self._at_s = np.concatenate([self._at_s, np.zeros(slot)])
        self._at_s[slot] = (position.at - _EPOCH).total_seconds()
        self._tick += 1
        moved = self._moved.setdefault(region, {})
        moved.pop(unit_id, None)
        moved[unit_id] = self._tick
        if self.on_move is not None:
            self.on_move(unit_id, position.lat, position.lon)
