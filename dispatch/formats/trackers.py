"""Where a unit is, as its crew's phone says it: the value, and the reader of OwnTracks.

OwnTracks (owntracks.org, JSON over MQTT or HTTP) and Traccar Client (`osmand`) run on the crews' own
phones without code of ours. Which fix is newer, and whose phone it is, is decided elsewhere.
"""

import re
from datetime import datetime

import msgspec

from dispatch.formats.values import Fields, FormatError, Point, as_json, as_number, capped, from_iso, shown

MAX_TRACKER_BYTES = 8192
KMH_PER_MPS = 3.6
# OwnTracks calls a report that the user pressed for "u"; it is the only thing a crew can press there.
PRESSED = "u"

_TOPIC = re.compile(r"owntracks/([^/+#]{1,64})/([^/+#]{1,64})")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One report of a device; `lat` and `lon` are both `None` when it had no position to give.

    `at` is the time of the fix in aware UTC, `None` when the sender named none. `panic` is the crew
    pressing for help. `trigger` is the sender's own word for why it reports.
    """

    device: str | None
    lat: float | None = None
    lon: float | None = None
    at: datetime | None = None
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    battery_pct: float | None = None
    altitude_m: float | None = None
    trigger: str | None = None
    panic: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def point(self) -> Point | None:
        """The place as a point."""
        return None if self.lat is None or self.lon is None else Point(lat=self.lat, lon=self.lon)


class LastWill(msgspec.Struct, frozen=True, kw_only=True):
    """The device's connection is lost; `at` is when that connection began, not when it ended."""

    device: str | None
    at: datetime | None
    warnings: tuple[str, ...] = ()


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a kind that dispatch does not use (waypoint, transition, status, encrypted, …)."""

    device: str | None
    kind: str


def decode_owntracks(data: bytes | str, topic: str | None = None) -> Position | LastWill | Ignored:
    """An OwnTracks JSON message; `topic` (MQTT) names the device better than the message does.

    Raises `FormatError` when it is not a JSON object or says nothing of its kind.
    """
    fields = Fields(as_json(data, MAX_TRACKER_BYTES, "owntracks"), [])
    device = _device(fields, topic)
    kind = fields.text("_type")
    if kind is None and {"lat", "lon"} <= fields.values.keys():
        fields.warn("_type", "missing, read as a location")
        kind = "location"
    if kind == "location":
        return _location(fields, device)
    if kind == "lwt":
        at = fields.epoch("tst")
        return LastWill(device=device, at=at, warnings=capped(fields.warnings))
    if kind is None:
        raise FormatError("owntracks/_type", "missing", 'send "_type": "location" with lat, lon and tst')
    return Ignored(device=device, kind=kind)


def heading(fields: Fields, key: str) -> float | None:
    """Degrees clockwise from north in [0, 360)."""
    degrees = fields.known_number(key, 360.0)
    return None if degrees is None else degrees % 360.0


def fix_time(fields: Fields, key: str) -> datetime | None:
    """Unix seconds or milliseconds, or ISO 8601; a fix without a time cannot be put in order."""
    value = fields.values.get(key)
    if value is None or value == "":
        fields.warn(key, "missing, the fix has no time")
        return None
    if as_number(value) is not None:
        return fields.epoch(key)
    text = fields.text(key)
    at, named = from_iso(text) if text else (None, False)
    if text and at is None:
        fields.warn(key, f"{shown(text)} is not a time, ignored")
    elif at is not None and not named and "T" in str(text):
        fields.warn(key, "no time zone, taken as UTC")
    return at


def _location(fields: Fields, device: str | None) -> Position:
    point = fields.point("lat", "lon")
    if point is None:
        fields.warn("lat", "no position in this report")
    speed_kmh = fields.known_number("vel", 2000.0)
    trigger = fields.text("t")
    return Position(
        device=device,
        lat=point.lat if point else None,
        lon=point.lon if point else None,
        at=fix_time(fields, "tst"),
        accuracy_m=fields.accuracy("acc"),
        speed_mps=None if speed_kmh is None else speed_kmh / KMH_PER_MPS,
        heading_deg=heading(fields, "cog"),
        battery_pct=fields.known_number("batt", 100.0),
        altitude_m=fields.altitude("alt"),
        trigger=trigger,
        panic=trigger == PRESSED,
        warnings=capped(fields.warnings),
    )


def _device(fields: Fields, topic: str | None) -> str | None:
    """`user/device` of the topic, which the broker has checked; else what the message says of itself."""
    for name in (topic, fields.text("topic")):
        if name and (found := _TOPIC.match(name)):
            return "/".join(found.groups())
    return fields.text("tid")
