"""What every foreign format has to read: numbers, points, times; and the one error all parsers raise.

Not a format itself. The rule of the house is that an emergency is never refused for its form: a value
that cannot be read becomes `None` and a warning, and only a message of which nothing can be
understood becomes a `FormatError`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

MAX_WARNINGS = 20
MAX_SHOWN_CHARS = 40
MAX_TEXT_CHARS = 256
# Half the way round the earth: a wider circle says nothing.
MAX_ACCURACY_M = 20_040_000.0
ALTITUDES_M = (-1_000.0, 100_000.0)
# Epoch numbers above this are milliseconds: as seconds they would lie after the year 5138.
EPOCH_MS_FROM = 100_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A fix outside this span is a handset that has lost its clock, not a time to match calls with.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(?:\d{1,19}(?:\.\d{0,19})?|\.\d{1,19})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COMPACT_TIME = re.compile(r"\d{14}", re.ASCII)
# An unescaped "+05:00" in a query string arrives with a space where the plus was.
_LOST_PLUS = re.compile(r"(T\d{2}:?\d{2}\S*) (\d{2}:?\d{2})$", re.ASCII)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A position on WGS84, degrees: lat in [-90, 90], lon in [-180, 180], never (0, 0)."""

    lat: float
    lon: float


class FormatError(ValueError):
    """A message of which nothing can be used: `where` it broke, `what` is wrong, how to `mend` it."""

    def __init__(self, where: str, what: str, mend: str) -> None:
        super().__init__(f"{where or 'message'}: {what}; {mend}")
        self.where = where
        self.what = what
        self.mend = mend


class Fields:
    """The keys and raw values of one message, read one by one; collects what was odd about them.

    Values may be text (SMS, forms) or decoded JSON. Every reader returns `None` for an absent value
    without a word, and `None` with a warning for one that cannot be used.
    """

    def __init__(self, values: Mapping[str, object], warnings: list[str], where: str = "") -> None:
        self.values = values
        self.warnings = warnings
        self.where = where

    def warn(self, key: str, what: str) -> None:
        self.warnings.append(f"{self.where}{key}: {what}")

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Warns about keys outside `known`; they are otherwise left alone."""
        for key in self.values:
            if key not in known:
                self.warnings.append(f"unknown key {shown(key)}")

    def text(self, key: str) -> str | None:
        """Text without outer blanks; whole numbers are taken as text; empty is absent."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS or not value.strip().isprintable():
            self.warn(key, "not a short text, ignored")
            return None
        return value.strip()

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        """A finite number in [low, high]; text is read as a decimal number."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        read = as_number(value)
        if read is None and isinstance(value, str) and "," in value:
            read = as_number(value.replace(",", ".", 1))
            self.warn(key, f"comma in {shown(value)}, read as a decimal point")
        if read is None or not low <= read <= high:
            self.warn(key, f"{shown(value)} is not a number{_span(low, high)}, ignored")
            return None
        return read

    def known_number(self, key: str, high: float = math.inf) -> float | None:
        """A number in [0, high]; senders write -1 for "unknown", which is absent, not an error."""
        if as_number(self.values.get(key)) == -1:
            return None
        return self.number(key, 0.0, high)

    def accuracy(self, key: str) -> float | None:
        """A radius in metres; 0 and -1 are how senders say that they do not know."""
        return self.known_number(key, MAX_ACCURACY_M) or None

    def altitude(self, key: str) -> float | None:
        """Metres above the ellipsoid or the sea, as the sender has it."""
        return self.number(key, *ALTITUDES_M)

    def digits(self, key: str, shortest: int, longest: int) -> str | None:
        """An identifier made of digits, kept as text ("01" stays "01")."""
        text = self.text(key)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and shortest <= len(text) <= longest):
            self.warn(key, f"{shown(text)} is not {shortest} to {longest} digits, ignored")
            return None
        return text

    def identity(self, key: str, shortest: int, longest: int) -> str | None:
        """Digits that name one thing: all zeros name nobody, and would match every other nobody."""
        text = self.digits(key, shortest, longest)
        if text is not None and not text.strip("0"):
            self.warn(key, "all zeros, ignored")
            return None
        return text

    def epoch(self, key: str) -> datetime | None:
        """Unix time in seconds or, by its size, milliseconds."""
        seconds = self.number(key)
        if seconds is None:
            return None
        at = from_epoch(seconds)
        if at is None:
            self.warn(key, f"{shown(self.values[key])} is not a plausible time, ignored")
        return at

    def point(self, lat_key: str, lon_key: str) -> Point | None:
        """A position from two keys of degrees."""
        lat, lon = self.number(lat_key), self.number(lon_key)
        if (lat is None) != (lon is None):
            self.warn(lon_key if lon is None else lat_key, "half a position is none")
        return as_point(lat, lon, self.warnings)


def as_number(value: object) -> float | None:
    """A finite float from JSON or decimal text, else `None` (never nan, inf, hex, `1_000` or a bool)."""
    if isinstance(value, str):
        text = value.strip().replace("\N{MINUS SIGN}", "-")
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) > 10**19:
        return None
    return float(value) if math.isfinite(value) else None


def as_point(lat: float | None, lon: float | None, warnings: list[str]) -> Point | None:
    """A point, or `None` with the reason in `warnings`: not on earth, or 0, 0, which means "none"."""
    if lat is None or lon is None:
        return None
    if not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
        warnings.append(f"position {lat:g}, {lon:g} is not on earth, ignored")
        return None
    if lat == 0.0 and lon == 0.0:
        warnings.append("position 0, 0 means no position, ignored")
        return None
    return Point(lat=lat, lon=lon)


def from_epoch(value: float) -> datetime | None:
    """Unix seconds or milliseconds as aware UTC; `None` outside the years 2000 to 2099."""
    seconds = value / 1000.0 if abs(value) >= EPOCH_MS_FROM else value
    if abs(seconds) >= EPOCH_MS_FROM:
        return None
    # Whole microseconds: binary fractions must not turn .435 into .434999.
    return plausible(_EPOCH + timedelta(microseconds=round(seconds * 1_000_000)))


def from_compact(text: str) -> datetime | None:
    """`YYYYMMDDhhmmss` in UTC, else `None`."""
    if not _COMPACT_TIME.fullmatch(text):
        return None
    parts = [int(text[0:4]), *(int(text[i : i + 2]) for i in range(4, 14, 2))]
    try:
        return plausible(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def from_iso(text: str) -> tuple[datetime | None, bool]:
    """An ISO 8601 time as aware UTC, and whether it named its zone; without one it is taken as UTC."""
    try:
        at = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text.strip()))
        named = at.tzinfo is not None
        return plausible(at.astimezone(UTC) if named else at.replace(tzinfo=UTC)), named
    except (ValueError, OverflowError):
        return None, False


def plausible(at: datetime) -> datetime | None:
    """The time itself in UTC, or `None` when no living clock could have said it.

    In a zone of its own the first and the last day of the calendar cannot be brought to UTC at all.
    """
    assert at.tzinfo is not None, "times are aware"
    return at.astimezone(UTC) if _EARLIEST <= at < _LATEST else None


def first_of_each(pairs: Iterable[tuple[str, str]], warnings: list[str]) -> dict[str, str]:
    """Pairs as a mapping; a repeated key keeps its first value, so that nothing appended can overrule it."""
    kept: dict[str, str] = {}
    for key, value in pairs:
        if key in kept:
            warnings.append(f"{shown(key)} is given twice, the first is taken")
        else:
            kept[key] = value
    return kept


def as_bytes(data: bytes | str, limit_bytes: int, where: str) -> bytes:
    """The message as bytes, refused when longer than its format can be."""
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    if len(raw) > limit_bytes:
        raise FormatError(where, f"{len(raw)} bytes", f"send at most {limit_bytes} bytes")
    return raw


def as_json(data: bytes | str, limit_bytes: int, where: str) -> dict[str, object]:
    """A JSON object as a dict; nesting, encoding and syntax faults all become a `FormatError`."""
    raw = as_bytes(data, limit_bytes, where).removeprefix(b"\xef\xbb\xbf")
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(where, f"not JSON ({error})", "send one JSON object in UTF-8") from None
    if not isinstance(decoded, dict):
        raise FormatError(where, f"a JSON {type(decoded).__name__}", "send one JSON object")
    return decoded


def capped(warnings: list[str]) -> tuple[str, ...]:
    """At most `MAX_WARNINGS` warnings: a hostile message must not fill a log."""
    if len(warnings) <= MAX_WARNINGS:
        return tuple(warnings)
    return (*warnings[: MAX_WARNINGS - 1], f"and {len(warnings) - MAX_WARNINGS + 1} more")


def shown(value: object) -> str:
    """A value for a warning: quoted, escaped, and short."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def _span(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    return f" from {low:g}" + ("" if high == math.inf else f" to {high:g}")
