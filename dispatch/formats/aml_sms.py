"""AML by SMS: the text of versions 1 and 2 (beta), also as the octets of a data SMS.

Formats: ETSI TS 103 625 and Google's ELS SMS specification. The two versions give other meanings to
the same keys (`lt` is a latitude in one and seconds in the other), so the version is read first.
The sender's number is not in the text but on the SMS, and must be handed in.
"""

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from dispatch.formats.aml_message import TECHNIQUES, AmlMessage, caller_number, imei, says_none
from dispatch.formats.values import (
    Fields,
    FormatError,
    Point,
    as_bytes,
    as_number,
    capped,
    first_of_each,
    from_compact,
    plausible,
    shown,
)

MAX_SMS_BYTES = 4096
# Four concatenated messages of 140 octets: an AML text fits into one.
MAX_DATA_SMS_OCTETS = 560
MAX_FIX_AGE_S = 7 * 86_400

# Gateways turn the quote into typographic ones, escape it, or drop it.
_HEADER = re.compile(r"(?:\bA\\?[\"'“”„″]|\A\s*A?)ML\s*=\s*(\d{1,3})\b", re.IGNORECASE | re.ASCII)
_HEX = re.compile(rb"(?:0x)?((?:[0-9a-f]{2}\s*){8,})", re.IGNORECASE)
_V1_KEYS = frozenset({"lt", "lg", "rd", "top", "lc", "pm", "si", "ei", "mcc", "mnc", "ml"})
_V2_KEYS = frozenset({"en", "et", "lo", "lt", "lc", "lz", "ls", "ei", "nc", "hc", "lg"})
# 3GPP TS 23.038, clause 6.2.1: the default alphabet of seven-bit SMS.
_GSM_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Between two fields, never inside one: a field begins with its key.
_COMMA = re.compile(r",(?=[a-z]{2,3}=)", re.IGNORECASE | re.ASCII)
_PADDING = " \t\r\n\"'\x00@"


def decode_sms(data: bytes | str, sender: str | None = None) -> AmlMessage:
    """An AML SMS as text, as octets of a data SMS, or as their hex; `sender` is the SMS's own number.

    Raises `FormatError` when there is no AML header or its version is not 1 or 2.
    """
    text = sms_text(data)
    if text is None:
        raise FormatError("sms", 'no A"ML= header', 'send the whole text, starting with A"ML=1;')
    header = _HEADER.search(text)
    assert header is not None, "sms_text returns only text with a header"
    body = text[header.start() :].strip(_PADDING)
    version = str(int(header.group(1)))
    if version not in ("1", "2"):
        raise FormatError("sms/ML", f"version {version} is not known", "send version 1 or 2")
    fields = _fields(body)
    number = caller_number(sender, fields.warnings)
    return _version_1(fields, body, number) if version == "1" else _version_2(fields, number)


def sms_text(data: bytes | str) -> str | None:
    """The text with an AML header that `data` holds in any of the known wrappings, or `None`."""
    raw = as_bytes(data, MAX_SMS_BYTES, "sms")
    return next((text for text in _readings(raw) if _HEADER.search(text)), None)


def unpack_septets(octets: bytes) -> str:
    """GSM 7-bit text from packed octets, least significant bits first (3GPP TS 23.038, 6.1.2.1)."""
    groups = (octets[start : start + 7] for start in range(0, len(octets), 7))
    return "".join(
        _GSM_ALPHABET[(int.from_bytes(group, "little") >> 7 * index) & 0x7F]
        for group in groups
        for index in range(len(group) * 8 // 7)
    )


def _readings(raw: bytes) -> Iterator[str]:
    yield html.unescape(raw.decode("utf-8", "replace")).replace("\N{BOM}", "")
    octets = raw
    if spelled := _HEX.fullmatch(raw.strip()):
        octets = bytes.fromhex(spelled.group(1).decode("ascii"))
        yield octets.decode("latin-1")
    if 0 < len(octets) <= MAX_DATA_SMS_OCTETS:
        yield unpack_septets(octets)
        # A data SMS may still carry its user data header: its length, then the ports.
        yield unpack_septets(octets[octets[0] + 1 :])
    yield octets.decode("utf-16-be", "replace")


def _fields(body: str) -> Fields:
    warnings: list[str] = []
    pairs: list[tuple[str, str]] = []
    # Blanks carry no meaning in AML, but gateways wrap and pad lines.
    text = "".join(body.split())
    if ";" not in text and _COMMA.search(text):
        warnings.append("commas where semicolons belong, read as those")
        text = _COMMA.sub(";", text)
    for part in text.split(";")[1:]:
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key.lower(), value))
        elif part:
            warnings.append(f"{shown(part)} has no value, ignored")
    return Fields(first_of_each(pairs, warnings), warnings)


def _look_at_keys(fields: Fields, known: frozenset[str]) -> None:
    fields.refuse_unknown(known)
    if not known & fields.values.keys():
        fields.warn("ML", "no field of AML follows")


def _version_1(fields: Fields, body: str, number: str | None) -> AmlMessage:
    _look_at_keys(fields, _V1_KEYS)
    method = _method(fields, "pm")
    _check_length(fields, body)
    unmeasured = (fields.text("rd") or "").upper() == "N"
    return AmlMessage(
        transport="sms",
        version="1",
        position=_position(fields, method),
        unknown=says_none(fields, ("lt", "lg"), "N" if unmeasured else method),
        accuracy_m=None if unmeasured else fields.accuracy("rd"),
        at=_time(fields, "top"),
        confidence=fields.number("lc", 0.0, 100.0),
        method=method,
        number=number,
        imei=imei(fields, "ei"),
        imsi=fields.digits("si", 6, 16),
        mcc=fields.digits("mcc", 3, 3),
        mnc=fields.digits("mnc", 1, 3),
        warnings=capped(fields.warnings),
    )


def _version_2(fields: Fields, number: str | None) -> AmlMessage:
    _look_at_keys(fields, _V2_KEYS)
    place = _inside(fields, "lo", ("lat", "lon", "accuracy"))
    height = _inside(fields, "lz", ("altitude", "accuracy"))
    call_at = fields.epoch("et")
    method = _method(fields, "ls")
    network = fields.digits("nc", 5, 6) or ""
    return AmlMessage(
        transport="sms",
        version="2",
        position=place.point("lat", "lon"),
        unknown=says_none(place, ("lat", "lon"), method),
        accuracy_m=place.accuracy("accuracy"),
        at=_fix_time(fields, call_at),
        confidence=fields.number("lc", 0.0, 100.0),
        method=method,
        number=number,
        imei=imei(fields, "ei"),
        mcc=network[:3] or None,
        mnc=network[3:] or None,
        call_at=call_at,
        emergency_number=fields.text("en"),
        altitude_m=height.altitude("altitude"),
        altitude_accuracy_m=height.accuracy("accuracy"),
        language=fields.text("lg"),
        warnings=capped(fields.warnings),
    )


def _position(fields: Fields, method: str | None) -> Point | None:
    """Method N with zeros is the null message, a normal one; N with a position is a contradiction."""
    if method == "N" and not any(as_number(fields.values.get(key)) for key in ("lt", "lg")):
        return None
    position = fields.point("lt", "lg")
    if method == "N" and position is not None:
        fields.warn("pm", "N says there is no position, yet one is given: check it")
    return position


def _time(fields: Fields, key: str) -> datetime | None:
    text = fields.text(key)
    at = from_compact(text) if text else None
    if text and at is None:
        fields.warn(key, f"{shown(text)} is not a time YYYYMMDDhhmmss, ignored")
    return at


def _fix_time(fields: Fields, call_at: datetime | None) -> datetime | None:
    """Version 2 counts the fix in seconds from the start of the call, mostly backwards."""
    offset_s = fields.number("lt", -MAX_FIX_AGE_S, MAX_FIX_AGE_S)
    if call_at is None or offset_s is None:
        return None
    return plausible(call_at + timedelta(seconds=offset_s))


def _method(fields: Fields, key: str) -> str | None:
    code = (fields.text(key) or "").upper()
    if code and code not in TECHNIQUES:
        fields.warn(key, f"{shown(code)} is not one of {' '.join(TECHNIQUES)}")
    return code or None


def _inside(fields: Fields, key: str, names: tuple[str, ...]) -> Fields:
    """The numbers of one key, parted by commas, as fields of their own."""
    text = fields.text(key)
    parts = text.split(",") if text else []
    if parts and len(parts) != len(names):
        fields.warn(key, f"{len(parts)} numbers instead of {len(names)}")
    return Fields(dict(zip(names, parts, strict=False)), fields.warnings, f"{key}/")


def _check_length(fields: Fields, body: str) -> None:
    """A wrong length is only a warning: the published examples themselves are off by one."""
    declared = fields.number("ml", 0.0, MAX_SMS_BYTES)
    if declared is not None and declared != len(body):
        fields.warn("ml", f"{declared:g} is not the message's length of {len(body)}")
