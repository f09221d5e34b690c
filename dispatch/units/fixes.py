"""From a position message to `Positions`: quick for what nearly every phone sends, patient with the rest.

A device's will says that it is gone at once, also when it is back a moment later, and a phone with OwnTracks
never says that it is back: a grace stands before every loss of contact here, and any word from the unit ends
it or finds the unit again, however its contact was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from dispatch.core.terms import UnitId
from dispatch.formats.mqtt import LinkReport, decode_position, parse_topic
from dispatch.formats.trackers import PRESSED, Ignored, LastWill
from dispatch.formats.trackers import Position as Heard
from dispatch.formats.values import FormatError
from dispatch.units.complaints import Complaints
from dispatch.writing.positions import Position, Positions

LOST_AFTER_S = 30.0
"""A device that has gone is out of contact after this long."""
CONNECTING = timedelta(seconds=10)
"""A will is made before its connection and a birth after it: so much older than the birth it may be."""

KMH_PER_MPS = 3.6
SANE_EPOCH_S = (946_684_800, 4_102_444_800)
"""2000 to 2100; outside it the patient reader looks at the time."""

log = logging.getLogger(__name__)


class _Plain(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename={"type_": "_type"}):
    """The usual OwnTracks location; whatever deviates goes to the full reader."""

    type_: Literal["location"]
    lat: float
    lon: float
    tst: int
    acc: float | None = None
    vel: float | None = None
    cog: float | None = None
    t: str | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode


class FixCounts(msgspec.Struct):
    """Messages that gave no fix, by reason; what became of the fixes is in `Positions.counts`."""

    malformed: int = 0
    incomplete: int = 0
    ignored: int = 0
    panics: int = 0


class Fixes:
    """`take` each message of the position topics. `on_link` gets a contact lost or found again.

    `is_lost` says of a unit whether its contact counts as lost now, whoever found that: a unit that did not
    answer its order is given up by the core, and one that was lost before a restart still is.
    """

    def __init__(
        self,
        positions: Positions,
        *,
        on_link: Callable[[UnitId, LinkReport], None],
        is_lost: Callable[[UnitId], bool] = lambda _unit_id: False,
    ) -> None:
        self._positions = positions
        self._on_link = on_link
        self._is_lost = is_lost
        self._leaving: dict[UnitId, asyncio.TimerHandle] = {}
        self._gone: set[UnitId] = set()
        self._births: dict[UnitId, datetime] = {}
        self._complaints = Complaints(log, "mqtt_position")
        self.counts = FixCounts()

    def take(self, topic: str, payload: bytes) -> None:
        """One position message, worked off at once. Never raises for what a device sent."""
        parsed = parse_topic(topic)
        if parsed is None:
            self.counts.malformed += 1
            return
        unit_id = UnitId(parsed[0])
        try:
            heard = _plain(payload) or decode_position(payload, unit_id)
        except FormatError as fault:
            self.counts.malformed += 1
            self._complaints.say(unit_id, f"malformed at {fault.where}")
            return
        match heard:
            case _Plain() | Heard():
                self._fix(unit_id, heard)
            case LastWill():
                self.left(unit_id)
            case Ignored():
                self.counts.ignored += 1

    def heard(self, unit_id: UnitId) -> None:
        """The unit's phone speaks: it has not gone, or is back."""
        leaving = self._leaving.pop(unit_id, None)
        if leaving is not None:
            leaving.cancel()
        if unit_id in self._gone or self._is_lost(unit_id):
            self._gone.discard(unit_id)
            self._on_link(unit_id, LinkReport(online=True))

    def born(self, unit_id: UnitId, at: datetime | None) -> None:
        """The unit's device is connected since `at`: no will from before counts any more."""
        self.heard(unit_id)
        if at is not None and self._positions.region_of(unit_id) is not None:
            self._births[unit_id] = at

    def left(self, unit_id: UnitId, at: datetime | None = None) -> None:
        """The unit's device, or its broker, says that it has gone: it is lost unless it speaks within the grace.

        `at` is when it said so, which for a will is when its connection was made.
        """
        if unit_id in self._leaving or self._positions.region_of(unit_id) is None:
            return
        born = self._births.get(unit_id)
        if at is not None and born is not None and at < born - CONNECTING:
            self.counts.ignored += 1
            return
        loop = asyncio.get_running_loop()
        self._leaving[unit_id] = loop.call_later(self._grace_s(unit_id, at), self._lose, unit_id)

    def close(self) -> None:
        """Forget the graces that still run."""
        for leaving in self._leaving.values():
            leaving.cancel()
        self._leaving.clear()

    def _fix(self, unit_id: UnitId, heard: _Plain | Heard) -> None:
        self.heard(unit_id)
        position = _from_plain(unit_id, heard) if isinstance(heard, _Plain) else _from_heard(unit_id, heard)
        if position is None:
            self.counts.incomplete += 1
            return
        pressed = heard.t == PRESSED if isinstance(heard, _Plain) else heard.panic
        if self._positions.put(position) and pressed:
            self.counts.panics += 1
            log.warning("a crew pressed for help", extra={"unit": unit_id, "action": "panic"})

    def _grace_s(self, unit_id: UnitId, at: datetime | None) -> float:
        """A broker may have held a will back: a device that sent fixes on that connection was silent meanwhile,
        and its silence counts.
        """
        last, now = self._positions.get(unit_id), datetime.now(UTC)
        if at is None or last is None or last.received_at < at or (now - at).total_seconds() < LOST_AFTER_S:
            return LOST_AFTER_S
        return max(0.0, LOST_AFTER_S - max(0.0, (now - last.received_at).total_seconds()))

    def _lose(self, unit_id: UnitId) -> None:
        self._leaving.pop(unit_id, None)
        self._gone.add(unit_id)
        self._on_link(unit_id, LinkReport(online=False))


def _plain(payload: bytes) -> _Plain | None:
    """The message when it has the usual shape and sane values, at a tenth of the full reader's cost."""
    try:
        plain = _decode_plain(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    sane = SANE_EPOCH_S[0] < plain.tst < SANE_EPOCH_S[1] and -90.0 <= plain.lat <= 90.0
    quick = plain.vel is None or 0.0 <= plain.vel <= 2000.0
    return plain if sane and quick else None


def _from_plain(unit_id: UnitId, plain: _Plain) -> Position:
    return Position(
        unit_id=unit_id,
        lat=plain.lat,
        lon=plain.lon,
        at=datetime.fromtimestamp(plain.tst, UTC),
        received_at=datetime.now(UTC),
        heading_deg=None if plain.cog is None else plain.cog % 360.0,
        speed_mps=None if plain.vel is None else plain.vel / KMH_PER_MPS,
        accuracy_m=plain.acc if plain.acc is not None and plain.acc >= 0.0 else None,
    )


def _from_heard(unit_id: UnitId, heard: Heard) -> Position | None:
    """None without a point, or without a time: such a fix cannot be put in order."""
    if heard.lat is None or heard.lon is None or heard.at is None:
        return None
    return Position(
        unit_id=unit_id,
        lat=heard.lat,
        lon=heard.lon,
        at=heard.at,
        received_at=datetime.now(UTC),
        heading_deg=heard.heading_deg,
        speed_mps=heard.speed_mps,
        accuracy_m=heard.accuracy_m,
    )
