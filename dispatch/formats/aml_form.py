"""AML by HTTPS: the form that Google's Emergency Location Service posts, and its signature.

Format: Google's ELS HTTPS specification. Every field is optional. The last field, `hmac`, signs every
byte before it; a message with a wrong one is still decoded, marked `verified=False`, and is the
caller's to record and never to use.
"""

import hashlib
import hmac
import re
from urllib.parse import parse_qsl

from dispatch.formats.aml_message import AmlMessage, caller_number, imei, says_none, technique
from dispatch.formats.values import Fields, FormatError, as_bytes, capped, first_of_each, shown

MAX_FORM_BYTES = 16_384
MAX_FORM_FIELDS = 200
SIGNATURE_FIELD = b"&hmac="

_DIGESTS = {40: hashlib.sha1, 64: hashlib.sha256}
_HEX = re.compile(rb"[0-9a-fA-F]+")
_PLACE = ("location_latitude", "location_longitude")
_BLANK = b" \t\r\n\x00"
_KNOWN = frozenset(
    [
        "v",
        "emergency_number",
        "source",
        "thunderbird_version",
        "time",
        "gt_location_latitude",
        "gt_location_longitude",
        "location_latitude",
        "location_longitude",
        "location_time",
        "location_altitude",
        "location_altitude_msl",
        "location_floor",
        "location_source",
        "location_accuracy",
        "location_vertical_accuracy",
        "location_vertical_accuracy_msl",
        "location_confidence",
        "location_certainty",
        "location_bearing",
        "location_speed",
        "device_number",
        "device_model",
        "device_imsi",
        "device_imei",
        "device_iccid",
        "device_os",
        "device_languages",
        "cell_carrier",
        "cell_id",
        "cell_home_mcc",
        "cell_home_mnc",
        "cell_network_mcc",
        "cell_network_mnc",
        "adr_carcrash_time",
    ]
)


def decode_form(body: bytes | str, key: bytes | None = None) -> AmlMessage:
    """A form body; with the shared `key` its signature is checked (SHA-1 or SHA-256, by its length).

    Raises `FormatError` when no field of AML is in it.
    """
    raw = as_bytes(body, MAX_FORM_BYTES, "form").strip(_BLANK)
    warnings: list[str] = []
    signed, signature = split_signature(raw, warnings)
    verified = None if key is None else _verified(signed, signature, key)
    if verified is False:
        warnings.append("hmac: missing or wrong, the message is not authenticated")
    fields = Fields(first_of_each(_pairs(signed), warnings), warnings)
    if not _KNOWN & fields.values.keys():
        raise FormatError("form", "no field of AML in it", "send location_latitude, location_longitude, …")
    fields.refuse_unknown(_KNOWN)
    return _message(fields, verified)


def sign_form(body: str, key: bytes, digest: str = "sha256") -> str:
    """The body with its `hmac` field appended, as a handset would send it."""
    return f"{body}&hmac={hmac.new(key, body.encode(), digest).hexdigest()}"


def split_signature(raw: bytes, warnings: list[str]) -> tuple[bytes, bytes | None]:
    """What is signed, and the signature. Fields behind the signature are not signed, so they do not count."""
    if raw.startswith(SIGNATURE_FIELD[1:]):
        raw = b"&" + raw
    signed, found, signature = raw.partition(SIGNATURE_FIELD)
    if not found:
        return raw, None
    signature, more, _ = signature.partition(b"&")
    if more:
        warnings.append("fields after hmac are not signed, ignored")
    return signed, signature.strip(_BLANK)


def _verified(signed: bytes, signature: bytes | None, key: bytes) -> bool:
    digest = _DIGESTS.get(len(signature or b""))
    if signature is None or digest is None or not _HEX.fullmatch(signature):
        return False
    return hmac.compare_digest(hmac.new(key, signed, digest).hexdigest().encode(), signature.lower())


def _pairs(signed: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            signed.decode("utf-8", "replace").removeprefix("?"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except ValueError:
        raise FormatError("form", "too many fields", f"send at most {MAX_FORM_FIELDS} fields") from None
    return [(key.strip().lower(), value) for key, value in pairs]


def _message(fields: Fields, verified: bool | None) -> AmlMessage:
    return AmlMessage(
        transport="form",
        version=fields.text("v") or "1",
        position=fields.point(*_PLACE),
        unknown=not any(fields.text(key) for key in _PLACE) or says_none(fields, _PLACE, None),
        accuracy_m=fields.accuracy("location_accuracy"),
        at=fields.epoch("location_time"),
        confidence=_confidence(fields),
        method=_method(fields),
        number=_number(fields),
        imei=imei(fields, "device_imei"),
        imsi=fields.digits("device_imsi", 6, 16),
        mcc=fields.digits("cell_network_mcc", 3, 3),
        mnc=fields.digits("cell_network_mnc", 1, 3),
        call_at=fields.epoch("time"),
        emergency_number=fields.text("emergency_number"),
        altitude_m=fields.altitude("location_altitude"),
        altitude_accuracy_m=fields.accuracy("location_vertical_accuracy"),
        floor=fields.text("location_floor"),
        speed_mps=fields.known_number("location_speed"),
        heading_deg=fields.known_number("location_bearing", 360.0),
        language=fields.text("device_languages"),
        verified=verified,
        warnings=capped(fields.warnings),
    )


def _number(fields: Fields) -> str | None:
    """A plus that the sender did not escape arrives as a blank."""
    raw = fields.values.get("device_number")
    if isinstance(raw, str) and raw.startswith(" "):
        raw = "+" + raw.strip()
    return caller_number(raw if isinstance(raw, str) else None, fields.warnings)


def _confidence(fields: Fields) -> float | None:
    """Percent: Google's field is a share of 1, the older `location_certainty` is a percentage."""
    share = fields.number("location_confidence", 0.0, 100.0)
    if share is None:
        return fields.number("location_certainty", 0.0, 100.0)
    return round(share * 100.0, 6) if share <= 1.0 else share


def _method(fields: Fields) -> str | None:
    word = (fields.text("location_source") or "").lower()
    if word and technique(word) == "unknown" and not word.startswith("u"):
        fields.warn("location_source", f"{shown(word)} is not gps, wifi, cell or unknown")
    return word or None
