"""Positions by the OsmAnd protocol, as Traccar Client speaks it: a query string or JSON.

Format: traccar.org/osmand. The query gives speed in knots, the JSON in metres a second with -1 for
unknown. A report without a device id is refused: nobody could use it. One without coordinates (only
cell towers or WiFi stations) is a report of a living device, and stays.
"""

import re
from urllib.parse import parse_qsl

from dispatch.formats.trackers import MAX_TRACKER_BYTES, Position, fix_time, heading
from dispatch.formats.values import (
    Fields,
    FormatError,
    Point,
    as_bytes,
    as_json,
    as_number,
    as_point,
    capped,
    first_of_each,
    shown,
)

MPS_PER_KNOT = 1852.0 / 3600.0
MAX_QUERY_FIELDS = 100
HELP_ALARMS = frozenset({"sos", "panic"})

_REQUEST_LINE = re.compile(r"(?:GET|POST|PUT|HEAD) (\S+)(?: HTTP/\S+)?")
_REPEATABLE = ("cell", "wifi")


def decode_osmand(data: bytes | str) -> Position:
    """A query string, a path or URL with one, a form body, or Traccar Client's JSON.

    Raises `FormatError` when there is no device id or nothing can be read.
    """
    raw = as_bytes(data, MAX_TRACKER_BYTES, "osmand").strip()
    if raw.removeprefix(b"\xef\xbb\xbf").startswith((b"{", b"[")):
        return _from_json(Fields(as_json(raw, MAX_TRACKER_BYTES, "osmand"), []))
    return _from_query(_query(raw.decode("utf-8", "replace")))


def _query(text: str) -> Fields:
    request = _REQUEST_LINE.match(text)
    target = request.group(1) if request and "?" in request.group(1) else text
    query = target.partition("?")[2] if "?" in target else target
    try:
        pairs = parse_qsl(query.partition("#")[0], keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        mend = f"send at most {MAX_QUERY_FIELDS} parameters"
        raise FormatError("osmand", "too many parameters", mend) from None
    warnings: list[str] = []
    once = [(key, value) for key, value in pairs if key not in _REPEATABLE]
    for key in _REPEATABLE:
        if count := sum(1 for name, _ in pairs if name == key):
            warnings.append(f"{key}: {count} given, not used to locate")
    return Fields(first_of_each(once, warnings), warnings)


def _from_query(fields: Fields) -> Position:
    device = _device(fields, ("id", "deviceid"))
    point = _place(fields)
    knots = fields.known_number("speed", 2000.0)
    if (fields.text("valid") or "1").lower() not in ("true", "1"):
        fields.warn("valid", "the sender marks its own fix as not valid")
    alarm = (fields.text("alarm") or "").lower()
    return Position(
        device=device,
        lat=point.lat if point else None,
        lon=point.lon if point else None,
        at=fix_time(fields, "timestamp"),
        accuracy_m=fields.accuracy("accuracy"),
        speed_mps=None if knots is None else knots * MPS_PER_KNOT,
        heading_deg=heading(fields, "bearing" if "bearing" in fields.values else "heading"),
        battery_pct=fields.known_number("batt", 100.0),
        altitude_m=fields.altitude("altitude"),
        trigger=fields.text("event") or alarm or None,
        panic=alarm in HELP_ALARMS,
        warnings=capped(fields.warnings),
    )


def _from_json(fields: Fields) -> Position:
    device = _device(fields, ("device_id", "deviceId", "id"))
    location = _inner(fields, "location")
    coords = _inner(location, "coords")
    point = coords.point("latitude", "longitude")
    _note_absence(point, coords)
    share = _inner(location, "battery").known_number("level", 1.0)
    alarm = (_inner(location, "extras").text("alarm") or "").lower()
    return Position(
        device=device,
        lat=point.lat if point else None,
        lon=point.lon if point else None,
        at=fix_time(location, "timestamp"),
        accuracy_m=coords.accuracy("accuracy"),
        speed_mps=coords.known_number("speed", 1000.0),
        heading_deg=heading(coords, "heading"),
        battery_pct=None if share is None else round(share * 100.0, 6),
        altitude_m=coords.altitude("altitude"),
        trigger=location.text("event") or alarm or None,
        panic=alarm in HELP_ALARMS,
        warnings=capped(fields.warnings),
    )


def _place(fields: Fields) -> Point | None:
    """From `lat` and `lon`, or from `location=lat,lon`."""
    pair = fields.text("location")
    if pair and "lat" not in fields.values:
        lat, _, lon = pair.partition(",")
        point = as_point(as_number(lat), as_number(lon), fields.warnings)
        if point is None:
            fields.warn("location", f"{shown(pair)} is not lat,lon")
    else:
        point = fields.point("lat", "lon")
    _note_absence(point, fields)
    return point


def _note_absence(point: Point | None, fields: Fields) -> None:
    if point is None:
        fields.warnings.append("no position in this report")


def _device(fields: Fields, keys: tuple[str, ...]) -> str:
    for key in keys:
        if device := fields.text(key):
            return device
    raise FormatError("osmand/id", "no device id", f"send {keys[0]} with the device's identifier")


def _inner(fields: Fields, key: str) -> Fields:
    """An object inside, whose warnings go to the same list; anything else counts as empty."""
    value = fields.values.get(key)
    if value is not None and not isinstance(value, dict):
        fields.warn(key, f"{shown(value)} is not an object, ignored")
    inside = value if isinstance(value, dict) else {}
    return Fields(inside, fields.warnings, f"{fields.where}{key}/")
