"""PIDF-LO: a location as telephone networks and SIP hand it over (RFC 4119, 5491, 6442, 7459).

Liberal: namespaces may be wrong, the document may lie inside another one (HELD, a carrier's own
envelope), rings may be open. The first location that can be read is taken, which RFC 5491 (rule 8)
also asks for. Usage rules are not read: an emergency service may always use what it is sent.
"""

from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from dispatch.formats.numbers import e164
from dispatch.formats.pidf_shapes import SHAPES, Circle, local_name, reduce_shape
from dispatch.formats.values import (
    MAX_TEXT_CHARS,
    FormatError,
    Point,
    as_bytes,
    as_number,
    capped,
    from_iso,
    shown,
)

MAX_PIDF_BYTES = 65_536
# RFC 5491: what a shape means when the sender states no confidence.
DEFAULT_CONFIDENCE = 95.0

_HOLDERS = ("tuple", "device", "person")
# Speaking order of RFC 5139 civic elements; the others follow as they come.
_CIVIC_ORDER = [
    "NAM",
    "LMK",
    "LOC",
    "RD",
    "STS",
    "HNO",
    "HNS",
    "BLD",
    "UNIT",
    "FLR",
    "ROOM",
    "A6",
    "A5",
    "A4",
    "A3",
    "A2",
    "A1",
    "PC",
    "country",
]
_SAME_STREET = ("STS", "HNO", "HNS")


class PidfLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A located caller: geodetic position, civic address, or both.

    `accuracy_m` is the radius that covers the shape at `confidence` percent, `None` for a bare point.
    `address` is the civic address as one line of text. `number` is the entity's, when it is a number.
    """

    position: Point | None = None
    accuracy_m: float | None = None
    altitude_m: float | None = None
    shape: str | None = None
    at: datetime | None = None
    method: str | None = None
    confidence: float | None = None
    address: str | None = None
    entity: str | None = None
    number: str | None = None
    warnings: tuple[str, ...] = ()


def decode_pidf_lo(data: bytes | str) -> PidfLocation:
    """A PIDF-LO document of at most 64 KiB, without a document type.

    Raises `FormatError` when it is not XML, or neither presence nor location is in it.
    """
    root = _parsed(as_bytes(data, MAX_PIDF_BYTES, "pidf-lo"))
    presence = next((e for e in root.iter() if local_name(e) == "presence"), None)
    warnings: list[str] = []
    if not any(local_name(e) in SHAPES or local_name(e) == "civicAddress" for e in root.iter()):
        if presence is None:
            what = f"no location in <{local_name(root)[:40]}>"
            raise FormatError("pidf-lo", what, "send a presence document")
        warnings.append("no location in this document")
    holder, shape, circle = _first_located(root, warnings)
    entity = _short(presence.get("entity") if presence is not None else None)
    return PidfLocation(
        position=circle.centre if circle else None,
        accuracy_m=circle.radius_m if circle else None,
        altitude_m=circle.altitude_m if circle else None,
        shape=shape,
        at=_time(_text_of(holder, "timestamp") or _text_of(root, "timestamp"), warnings),
        method=_text_of(holder, "method"),
        confidence=_confidence(holder, warnings) if circle and circle.radius_m else None,
        address=_address(holder) or _address(root),
        entity=entity,
        number=e164(entity),
        warnings=capped(warnings),
    )


def _parsed(raw: bytes) -> Element:
    start = raw.find(b"<?xml")
    if start > 0:
        # SIP carries the document as one part of several (RFC 6442): boundaries stand around it.
        raw = raw[start : raw.rfind(b">") + 1]
    try:
        root = fromstring(raw.strip(), forbid_dtd=True)
    except DefusedXmlException:
        raise FormatError("pidf-lo", "a document type", "send it without DOCTYPE and entities") from None
    except (ParseError, LookupError, ValueError) as error:
        # A made-up encoding name raises LookupError, a multi-byte one ValueError.
        raise FormatError("pidf-lo", f"not XML ({error})", "send one XML document in UTF-8") from None
    assert isinstance(root, Element), "fromstring gives the root element"
    return root


def _first_located(root: Element, warnings: list[str]) -> tuple[Element, str | None, Circle | None]:
    """The holder (tuple, device, person), shape name and circle of the first location that can be read."""
    holders = list(_holders(root))
    shaped = [holder for holder in holders if next(_shapes(holder, None), None)] or [root]
    for holder in shaped:
        for shape, crs in _shapes(holder, None):
            if circle := reduce_shape(shape, crs, warnings):
                return holder, local_name(shape), circle
    civic = (holder for holder in [*shaped, *holders] if _address(holder))
    return next(civic, shaped[0]), None, None


def _holders(root: Element) -> Iterator[Element]:
    """Outermost holders only: nested ones would cost the square of the document's size."""
    pending = [root]
    while pending:
        node = pending.pop()
        if local_name(node) in _HOLDERS:
            yield node
        else:
            pending.extend(reversed(node))


def _shapes(element: Element, crs: str | None) -> Iterator[tuple[Element, str | None]]:
    """Outermost shapes with the reference system in force, which may be named on a parent or a child."""
    pending = [(element, crs)]
    while pending:
        node, inherited = pending.pop()
        named = node.get("srsName") or inherited
        if local_name(node) in SHAPES:
            inside = (child.get("srsName") for child in node.iter())
            yield node, named or next((name for name in inside if name), None)
        else:
            pending.extend((child, named) for child in reversed(node))


def _time(text: str | None, warnings: list[str]) -> datetime | None:
    if text is None:
        return None
    at, named = from_iso(text)
    if at is None:
        warnings.append(f"timestamp: {shown(text)} is not a time, ignored")
    elif not named:
        warnings.append("timestamp: no time zone, taken as UTC")
    return at


def _confidence(holder: Element, warnings: list[str]) -> float | None:
    """Percent (RFC 7459); `unknown` is a value of the format."""
    text = _text_of(holder, "confidence")
    if text is None:
        return DEFAULT_CONFIDENCE
    value = as_number(text)
    if text != "unknown" and (value is None or not 0.0 <= value <= 100.0):
        warnings.append(f"confidence: {shown(text)} is not a percentage, ignored")
        return None
    return value


def _address(holder: Element) -> str | None:
    civic = next((e for e in holder.iter() if local_name(e) == "civicAddress"), None)
    if civic is None:
        return None
    parts = {local_name(child): text for child in civic if (text := _short(child.text))}
    known = [key for key in _CIVIC_ORDER if key in parts]
    line = ""
    for key in [*known, *(key for key in parts if key not in _CIVIC_ORDER)]:
        line += (" " if key in _SAME_STREET else ", ") + parts[key] if line else parts[key]
    return line or None


def _text_of(holder: Element, name: str) -> str | None:
    texts = (_short(element.text) for element in holder.iter() if local_name(element) == name)
    return next((text for text in texts if text), None)


def _short(text: str | None) -> str | None:
    """Text in one line, cut to a bounded length."""
    return " ".join((text or "").split())[:MAX_TEXT_CHARS] or None
