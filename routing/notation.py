"""Positions written as text: decimal degrees, degrees and minutes, geo: URIs, links of web maps, plus codes.

The country lies where no latitude can be taken for a longitude, so the two may come in any order and the marks
of the compass need not be understood: 69.28 is always the longitude. Plus codes follow the Open Location Code
specification (github.com/google/open-location-code). Not here: short codes' reference places (gazetteer).
"""

import math
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from routing.geometry import METRES_PER_DEGREE, Point, in_country

LEAST_ACCURACY_M: Final = 10.0
LINK_ACCURACY_M: Final = 30.0  # a finger on a map

_DECIMAL: Final = r"[-+]?\d{1,3}(?:[.,]\d+)?"
_PAIRS: Final = tuple(
    re.compile(rf"^({number})(?:{between})({number})$")
    for number, between in (
        (r"\d{1,3}\.\d+", r"\s*[,;/]\s*|\s+"),
        (r"\d{1,3},\d+", r"\s*[,;/]\s+|\s*[;/]\s*|\s+|,"),
    )
)
# What may stand around the numbers: compass letters and their words in three languages, without which all is clear.
_MARKS: Final = re.compile(
    r"(?<![^\W\d_])(?:north|east|n|e|latitude|longitude|lat|lon|lng|с\.?\s*ш\.?|в\.?\s*д\.?|с|в|ш|д"
    r"|сев\w*|вост\w*|широт\w*|долгот\w*|ш\.?\s*к\.?|ш[қк]\.?\s*у\.?|sh\.?\s*k\.?|shq\.?\s*u\.?|кенглик|узунлик|kenglik|uzunlik|кеңлик|узынлық|keńlik|uzınlıq"
    r"|шимолий|шарқий|shimoliy|sharqiy|арқа|шығыс|arqa|shıǵıs|gps|координаты|koordinata(?:lar|lari)?)(?![^\W\d_])[.:=]*"
)
_DEGREES: Final = re.compile(
    r"(\d{1,3})\s*(?:°|[:\s-])\s*"
    r"(?:(\d{1,2}(?:[.,]\d+)?)\s*(?:'(?!')|[:\s-]|$)\s*(?:([0-5]?\d(?:[.,]\d+)?)\s*(?:\"|''|\s|$))?)?"
)
# The words for degrees, minutes and seconds, as they are read out over the telephone.
_SPOKEN: Final = tuple(
    (re.compile(rf"\s*(?<![^\W\d_])(?:{words})(?![^\W\d_])\.?,?"), sign)
    for words, sign in (
        (r"deg|degrees?|град|градус\w*|gradus\w*|daraja\w*|даража\w*", "°"),
        (r"min|minutes?|мин|минут\w*|minut\w*|daqiqa\w*|дақиқа\w*", "'"),
        (r"sec|seconds?|сек|секунд\w*|sekund\w*|soniya\w*|сония\w*", '"'),
    )
)
_NMEA: Final = re.compile(
    r"^(\d{2})(\d{2}\.\d+)[\s,;]+0?(\d{2})(\d{2}\.\d+)$"
)  # as receivers write it: 4118.667 06916.783
_ONE_SIGN: Final = str.maketrans({"º": "°", "˚": "°", **dict.fromkeys("′’‘ʹʼʻ`´", "'"), **dict.fromkeys("″”“„ʺ", '"')})
_LINK: Final = re.compile(r"\bgeo:|https?://|\b(?:maps?|go|yandex|google|2gis|openstreetmap)\.[\w./-]+|[?&#@!]\w+[=/]")
# The pin before the middle of the map.
_IN_LINK: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"!3d({_DECIMAL})!4d({_DECIMAL})",
        rf"[?&]mlat=({_DECIMAL})&mlon=({_DECIMAL})",
        rf"[?&](?:pt|point|whatshere\[point\]|q|query|destination|daddr|rtext|loc)=(?:loc:|~)?({_DECIMAL}),\s*({_DECIMAL})",
        rf"[?&]lat=({_DECIMAL})&(?:lon|lng|long)=({_DECIMAL})",
        rf"geo:({_DECIMAL}),({_DECIMAL})",
        rf"[?&](?:ll|sll|center|cp|c|m)=({_DECIMAL})[,~]({_DECIMAL})",
        rf"@({_DECIMAL}),({_DECIMAL})",
        rf"#map=[\d.]+/({_DECIMAL})/({_DECIMAL})",
        rf"/({_DECIMAL}),({_DECIMAL})",
    )
)
_CODE_DIGITS: Final = "23456789CFGHJMPQRVWX"
_CODE: Final = re.compile(
    rf"(?<![\w+])([{_CODE_DIGITS}]{{2}}(?:[{_CODE_DIGITS}]{{2}}){{0,3}}\+(?:[{_CODE_DIGITS}]{{2,7}})?|[{_CODE_DIGITS}]{{4,6}}0{{2,4}}\+)"
    r"(?![\w+])"
)
_PAIR_LETTERS: Final = 10  # the letters of a code that come in pairs, latitude first; each later one is a cell of 5 × 4
_FULL_LENGTH: Final = 8  # letters before the plus sign of a full code


class Position(msgspec.Struct, frozen=True):
    """A written position, as exact as it was written: `accuracy_m` is half of its last digit, 10 m at least."""

    at: Point
    accuracy_m: float


def read_position(text: str) -> Position | None:
    """The position that a text is, in any notation but a plus code; None where it is none, or lies abroad."""
    if not any(letter.isdigit() for letter in text):
        return None
    if _LINK.search(text):
        return _in_link(unquote_plus(text))
    signed = text.casefold().translate(_ONE_SIGN)
    for words, sign in _SPOKEN:
        signed = words.sub(sign, signed)
    plain = _NMEA.sub(r"\1° \2' \3° \4'", " ".join(_MARKS.sub(" ", signed).split()).strip(" ,;.()[]{}"))
    return _decimal(plain) or _sexagesimal(plain)


def find_code(text: str) -> tuple[str, str] | None:
    """A plus code in a text, full or short, and the text around it; None where there is none."""
    match = _CODE.search(text.upper())
    if match is None or len(text.upper()) != len(text):
        return None
    return match[1], (text[: match.start()] + " " + text[match.end() :]).strip(" ,;")


def decode(code: str, reference: tuple[float, float] | None) -> Position | None:
    """The middle of a plus code's cell; a short code (`8F6H+CX`) means the cell nearest to the reference.

    None when the code is short and there is no reference, or when it lies abroad.
    """
    before, _, behind = code.partition("+")
    if len(before) < _FULL_LENGTH:
        return None if reference is None else _nearest(before, behind, reference)
    return _cell(before.rstrip("0") + behind)


def _in_link(text: str) -> Position | None:
    found = (_as_position(match[1], match[2]) for pattern in _IN_LINK for match in pattern.finditer(text))
    at = next((position.at for position in found if position is not None), None)
    return None if at is None else Position(at, LINK_ACCURACY_M)


def _decimal(plain: str) -> Position | None:
    bare = re.sub(r"\s*°\s*", " ", plain).strip()
    bare = re.sub(r"\s+([,;])", r"\1", bare)
    matches = (pattern.match(bare) for pattern in _PAIRS)
    return next((_as_position(match[1], match[2]) for match in matches if match is not None), None)


def _as_position(first: str, second: str) -> Position | None:
    digits = min(len(re.split("[.,]", number)[1]) if re.search("[.,]", number) else 0 for number in (first, second))
    return _ordered(float(first.replace(",", ".")), float(second.replace(",", ".")), 0.5 * 10.0**-digits)


def _sexagesimal(plain: str) -> Position | None:
    parts = list(_DEGREES.finditer(plain))
    rest = _DEGREES.sub("", plain).strip(" ,;/")
    if len(parts) != 2 or rest or any(match[2] is None for match in parts):
        return None
    first, second = (_in_degrees(match) for match in parts)
    unit = 1 / 3600 if all(match[3] for match in parts) else 1 / 60
    fractions = [
        len(re.split("[.,]", number)[1]) for match in parts if re.search("[.,]", number := match[3] or match[2])
    ]
    return _ordered(first, second, 0.5 * unit * 10.0 ** -min(fractions, default=0))


def _in_degrees(match: re.Match[str]) -> float:
    degrees, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    return degrees + minutes / 60 + seconds / 3600 if minutes < 60 and seconds < 60 else math.nan


def _ordered(a: float, b: float, half_digit_deg: float) -> Position | None:
    accuracy_m = max(LEAST_ACCURACY_M, round(half_digit_deg * METRES_PER_DEGREE, 1))
    pairs = (Point(lat, lon) for lat, lon in ((a, b), (b, a)) if in_country(lat, lon))
    return next((Position(at, accuracy_m) for at in pairs), None)


def _steps() -> Iterator[tuple[float, float]]:
    """The height and width in degrees of a code's cells, one for each pair of letters and then for each letter."""
    for power in range(_PAIR_LETTERS // 2):
        yield 20.0 * 20.0**-power, 20.0 * 20.0**-power
    for power in range(1, 6):
        yield 20.0**-3 * 5.0**-power, 20.0**-3 * 4.0**-power


def _cell(letters: str) -> Position | None:
    lat, lon, height, width = -90.0, -180.0, 0.0, 0.0
    steps = _steps()
    for i in range(0, min(len(letters), _PAIR_LETTERS) - 1, 2):
        height, width = next(steps)
        lat += _CODE_DIGITS.index(letters[i]) * height
        lon += _CODE_DIGITS.index(letters[i + 1]) * width
    for letter in letters[_PAIR_LETTERS:]:
        height, width = next(steps)
        lat += _CODE_DIGITS.index(letter) // 4 * height
        lon += _CODE_DIGITS.index(letter) % 4 * width
    at = Point(lat + height / 2, lon + width / 2)
    if not in_country(*at):
        return None
    corner_m = METRES_PER_DEGREE * math.hypot(height, width * math.cos(math.radians(lat))) / 2
    return Position(at, max(LEAST_ACCURACY_M, round(corner_m, 1)))


def _nearest(before: str, behind: str, reference: tuple[float, float]) -> Position | None:
    """The short code's cell in the block of the reference, or in a neighbouring block when that is nearer."""
    missing = _FULL_LENGTH - len(before)
    block = 20.0 * 20.0 ** -(missing // 2 - 1)  # degrees that the missing letters tell apart
    own = _cell_letters(reference, missing)
    found = _cell(own + before + behind)
    if found is None:
        return None
    lat, lon = (
        value + block * ((value < wanted - block / 2) - (value > wanted + block / 2))
        for value, wanted in zip(found.at, reference, strict=True)
    )
    return Position(Point(lat, lon), found.accuracy_m) if in_country(lat, lon) else None


def _cell_letters(at: tuple[float, float], count: int) -> str:
    """The first letters of a position's code."""
    rest, letters = [at[0] + 90.0, at[1] + 180.0], ""
    for _, (height, _) in zip(range(count // 2), _steps(), strict=False):
        for axis in (0, 1):
            digit = int(rest[axis] / height)
            letters, rest[axis] = letters + _CODE_DIGITS[digit], rest[axis] - digit * height
    return letters
