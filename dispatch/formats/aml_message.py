"""What an AML message says, whichever way it came: the value that both readers fill.

Advanced Mobile Location (ETSI TS 103 625): a handset in an emergency call sends where it is, by SMS
or by HTTPS. Whether the message belongs to a call is decided elsewhere.
"""

from datetime import datetime
from typing import Literal

import msgspec

from dispatch.formats.numbers import e164
from dispatch.formats.values import Fields, Point, as_number, shown

# First letters are the codes of the SMS; Google's form spells the same words out.
TECHNIQUES: dict[str, str] = {
    "G": "gnss",
    "W": "wifi",
    "C": "cell",
    "F": "fused",
    "U": "unknown",
    "N": "none",
}


class AmlMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One handset's own location, with what could not be read in `warnings`.

    `at` is the time of the fix, `call_at` the start of the call, both aware UTC. `confidence` is the
    percentage that the handset is within `accuracy_m` of `position`. `method` is the sender's own word
    (`G`, `W`, … in SMS; `gps`, `wifi`, … in forms); `technique` translates it. `number` is the caller's
    in E.164; `emergency_number` is what was dialled. `verified` is `None` when nobody could check. `unknown`
    says that the handset itself knows no position: a normal message, unlike one whose position cannot be used.
    """

    transport: Literal["sms", "form"]
    version: str
    position: Point | None = None
    unknown: bool = False
    accuracy_m: float | None = None
    at: datetime | None = None
    confidence: float | None = None
    method: str | None = None
    number: str | None = None
    imei: str | None = None
    imsi: str | None = None
    mcc: str | None = None
    mnc: str | None = None
    call_at: datetime | None = None
    emergency_number: str | None = None
    altitude_m: float | None = None
    altitude_accuracy_m: float | None = None
    floor: str | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    language: str | None = None
    verified: bool | None = None
    warnings: tuple[str, ...] = ()


def says_none(fields: Fields, keys: tuple[str, str], method: str | None) -> bool:
    """Whether the sender says that it knows no position: zeros, or nothing in `keys` and its word for none."""
    given = [str(fields.values.get(key) or "").strip() for key in keys]
    if all(as_number(text) == 0.0 for text in given):
        return True
    return all(not text or as_number(text) == 0.0 for text in given) and method in ("N", "none")


def technique(method: str | None) -> str | None:
    """`gnss`, `wifi`, `cell`, `fused`, `unknown` or `none` for a sender's word; `None` for an absent one."""
    if not method:
        return None
    return TECHNIQUES.get(method[0].upper(), "unknown")


def caller_number(raw: str | None, warnings: list[str]) -> str | None:
    """The caller's number in E.164; one that cannot be read is a warning, the position still counts."""
    if raw is None or not raw.strip():
        return None
    number = e164(raw)
    if number is None:
        warnings.append(f"number {shown(raw)} is not a phone number, ignored")
    return number


def imei(fields: Fields, key: str) -> str | None:
    """14 to 17 digits (IMEI, IMEISV and what handsets make of them); never the all-zero one."""
    return fields.identity(key, 14, 17)
