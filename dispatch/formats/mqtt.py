"""What units and the service say to each other over MQTT: topics, payloads, and their limits.

Up: position, status, ack, link. Down: orders, receipts. Payloads are JSON; keys that we do not know
are left alone, so that phones may be newer than the centre. Which unit may publish where is the
broker's rule, what a report changes is decided by the core.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from dispatch.formats.fitting import SENTENCE_MAX, fitting
from dispatch.formats.trackers import Ignored, LastWill, Position, decode_owntracks
from dispatch.formats.values import FormatError, as_bytes

MAX_PAYLOAD_BYTES = 8192

UnitStatus = Literal[
    "available",
    "dispatched",
    "acknowledged",
    "en_route",
    "on_scene",
    "transporting",
    "at_facility",
    "returning",
    "out_of_service",
]
AckStage = Literal["delivered", "seen", "accepted", "refused"]
OrderKind = Literal["dispatch", "recall", "divert", "move_up", "message"]
UpKind = Literal["position", "status", "ack", "link"]
DownKind = Literal["orders", "receipts"]

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Words = Annotated[str, msgspec.Meta(max_length=500)]

_UP = re.compile(r"112/units/([^/+#\x00]{1,64})/(position|status|ack|link)")
_OWNTRACKS = re.compile(r"owntracks/([^/+#\x00]{1,64})/[^/+#\x00]{1,64}")
_UNIT_ID = re.compile(r"[^/+#\x00]{1,64}")
_PATH = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """A crew's own status; repeated by the unit until a receipt names its `status_id`."""

    status_id: Identifier
    status: UnitStatus
    at: Time
    assignment_id: Identifier | None = None


class OrderAck(msgspec.Struct, frozen=True, kw_only=True):
    """How far an order has come: on the device, seen, accepted or refused by the crew."""

    order_id: Identifier
    stage: AckStage
    at: Time
    reason: Words | None = None


class LinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """Birth and will of a device's connection; a will carries the time at which it was left."""

    online: bool
    at: Time | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a crew is told to do; worthless after `expires_at`."""

    order_id: str
    kind: OrderKind
    at: datetime
    expires_at: datetime
    assignment_id: str | None = None
    incident: dict[str, Any] = {}


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The status is committed, or `refused` by the rule of this code: the unit may stop repeating it."""

    status_id: str
    refused: str | None = None


UpMessage = Position | LastWill | Ignored | StatusReport | OrderAck | LinkReport
Report = TypeVar("Report", StatusReport, OrderAck, LinkReport)

# Not strict: phones write 1 for true and unix seconds for a time, and mean well.
_STATUS = msgspec.json.Decoder(StatusReport, strict=False)
_ACK = msgspec.json.Decoder(OrderAck, strict=False)
_LINK = msgspec.json.Decoder(LinkReport, strict=False)
_ORDER = msgspec.json.Decoder(Order)
_RECEIPT = msgspec.json.Decoder(Receipt)
_ENCODER = msgspec.json.Encoder()


def parse_topic(topic: str) -> tuple[str, UpKind] | None:
    """The unit and the kind of an upward topic, OwnTracks' own topics included; `None` for any other."""
    if found := _UP.fullmatch(topic):
        return found.group(1), found.group(2)  # type: ignore[return-value]
    if found := _OWNTRACKS.fullmatch(topic):
        return found.group(1), "position"
    return None


def topic_of(unit_id: str, kind: UpKind | DownKind) -> str:
    """The topic of one unit; its id must hold no MQTT wildcard or separator."""
    assert _UNIT_ID.fullmatch(unit_id), f"{unit_id!r} cannot be part of a topic"
    return f"112/units/{unit_id}/{kind}"


def decode_up(topic: str, payload: bytes) -> tuple[str, UpMessage]:
    """The unit and its report. Raises `FormatError`, whose `where` is a JSON pointer into the payload."""
    parsed = parse_topic(topic)
    if parsed is None:
        raise FormatError("topic", "not a topic of units", "publish on 112/units/{unit_id}/{kind}")
    unit_id, kind = parsed
    match kind:
        case "position":
            return unit_id, decode_position(payload, unit_id)
        case "status":
            return unit_id, decode_status(payload)
        case "ack":
            return unit_id, decode_ack(payload)
        case "link":
            return unit_id, decode_link(payload)


def decode_position(payload: bytes, unit_id: str) -> Position | LastWill | Ignored:
    """An OwnTracks message of this unit: the topic, not the payload, says whose it is."""
    decoded = decode_owntracks(as_bytes(payload, MAX_PAYLOAD_BYTES, "position"))
    return msgspec.structs.replace(decoded, device=unit_id)


def decode_status(payload: bytes) -> StatusReport:
    """A status report; `at` in UTC."""
    report = _decoded(_STATUS, payload)
    return msgspec.structs.replace(report, at=_utc(report.at))


def status_id_in(payload: bytes) -> str | None:
    """The number of a status report that is otherwise not one of ours."""
    try:
        status_id = msgspec.json.decode(payload)["status_id"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, IndexError):
        return None
    return status_id if isinstance(status_id, str) and 1 <= len(status_id) <= 64 else None


def decode_ack(payload: bytes) -> OrderAck:
    """An order's acknowledgement; `at` in UTC."""
    report = _decoded(_ACK, payload)
    return msgspec.structs.replace(report, at=_utc(report.at))


def decode_link(payload: bytes) -> LinkReport:
    """A birth or a will; `at` in UTC."""
    report = _decoded(_LINK, payload)
    return report if report.at is None else msgspec.structs.replace(report, at=_utc(report.at))


def encode_order(order: Order) -> bytes:
    """An order as the unit reads it. The sender gives the broker `expires_at` as message expiry."""
    assert order.at.tzinfo is not None and order.expires_at.tzinfo is not None, "times are aware"
    return _ENCODER.encode(order)


def decode_order(payload: bytes) -> Order:
    """An order as encoded here, for simulated crews and tests."""
    return _typed(_ORDER, payload)


def encode_report(report: StatusReport | OrderAck | LinkReport) -> bytes:
    """A unit's report, for simulated crews and tests."""
    return _ENCODER.encode(report)


def encode_receipt(status_id: str, refused: str | None = None) -> bytes:
    """The receipt for a status that is committed, or that the rule of this code was against."""
    return _ENCODER.encode(Receipt(status_id=status_id, refused=refused))


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt as encoded here, for simulated crews and tests."""
    return _typed(_RECEIPT, payload)


def _decoded(decoder: "msgspec.json.Decoder[Report]", payload: bytes) -> Report:
    return _typed(decoder, as_bytes(payload, MAX_PAYLOAD_BYTES, ""))


Typed = TypeVar("Typed")


def _typed(decoder: "msgspec.json.Decoder[Typed]", payload: bytes) -> Typed:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        found = _PATH.fullmatch(str(error))
        assert found is not None, "the pattern takes any text"
        what, where = found[1][:SENTENCE_MAX], _pointer(found[2])
        known = fitting(what, decoder.type, where.split("/")[1:])
        mend = f"send one of {', '.join(known)}" if known else "send the fields that /api/asyncapi.json names"
        raise FormatError(where, what, mend) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError("", f"not JSON ({error})", "send one JSON object in UTF-8") from None


def _pointer(path: str | None) -> str:
    """msgspec's `.a.b[0]` as the JSON pointer `/a/b/0`."""
    return re.sub(r"\.|\[", "/", (path or "").replace("]", ""))


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise FormatError("/at", "a time out of range", "send the time of the report") from None
