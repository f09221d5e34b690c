"""The served AsyncAPI 3.0 document: what goes over the WebSockets of boards and field pages, and over MQTT.

The MQTT messages are described by the types that decode and encode them; the board's messages are declared
here as types, and `tests/consoles/test_documents.py` reads real frames with them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from consoles.closure_rows import BoardClosure
from consoles.field_frames import SAID, SENT
from consoles.field_page import PATH as FIELD_PATH
from consoles.gateway import PATH
from dispatch import __version__
from dispatch.core.terms import RegionId
from dispatch.formats.mqtt import LinkReport, Order, OrderAck, Receipt, StatusReport
from dispatch.web.alarms import Alarm

Json = dict[str, Any]
Word = Literal["ok", "away", "none", "degraded", "unknown"]
Row = dict[str, Any]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A text frame of JSON."""


class HelloActor(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    role: str
    body: str | None


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First: who you are to us, and what you will see.

    `owed`: the regions of which a snapshot or deltas follow now, each with the number up to which they lead. Until they
    have come, what you know is as old as the last connection left it.
    """

    at: datetime
    regions: list[RegionId]
    owed: dict[RegionId, int]
    view: str
    actor: HelloActor
    mode: Literal["LIVE", "SIMULATION"]
    speed: float
    alarms: list[Alarm]


class BoardPolicy(msgspec.Struct, frozen=True, kw_only=True):
    dispatch: Literal["automatic", "confirm"]
    attended: bool


class UnitCounts(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    free: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """`more`: waiting incidents beyond those on the board."""

    waiting: dict[str, int]
    oldest: dict[str, datetime | None]
    calls: dict[str, int]
    units: UnitCounts
    more: int


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a region's board shows. Rows by id."""

    region: RegionId
    policy: BoardPolicy
    phase: Literal["legacy", "parallel", "live"]
    counts: Counts
    incidents: dict[str, Row]
    calls: dict[str, Row]
    units: dict[str, Row]
    closures: dict[str, BoardClosure]


class Changes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What differs: rows merge by id and null removes one; the rest replaces. What is absent is as it was."""

    policy: BoardPolicy | None = None
    phase: str | None = None
    counts: Counts | None = None
    incidents: dict[str, Row | None] = {}
    calls: dict[str, Row | None] = {}
    units: dict[str, Row | None] = {}
    closures: dict[str, BoardClosure | None] = {}


class Snapshot(Message, frozen=True, kw_only=True, tag="snapshot"):
    """The whole board of a region at event `seq`; replaces what was known."""

    region: RegionId
    seq: int
    mark: str
    board: Board


class Delta(Message, frozen=True, kw_only=True, tag="delta", rename={"before": "from", "after": "to"}):
    """Leads from event `from` to event `to`. When `from` is not where you are, connect again with `after`."""

    region: RegionId
    before: int
    after: int
    mark: str
    changes: Changes


class Positions(Message, frozen=True, kw_only=True, tag="positions"):
    """Units that moved, at most twice a second: [unit_id, lon, lat, heading, age_s]."""

    region: RegionId
    at: datetime
    units: list[tuple[str, float, float, int | None, float]]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Each second. `at` is service time, which runs `speed` times as fast as the wall's.

    `health`: postgres, mqtt, redis, travel, disk, cells, and `core`: whether each region has a process that leads it,
    and that commands reach. While none does a gateway says `unknown` for what only that could say.
    `alarms`: all that stand now, each with the role that owns it; from a gateway process also those of whoever leads,
    without `detail`. One that is no longer here is over.
    """

    at: datetime
    speed: float
    health: dict[str, Word]
    alarms: list[Alarm]


FRAMES = (Hello, Snapshot, Delta, Positions, Heartbeat)
Frame = Hello | Snapshot | Delta | Positions | Heartbeat


class OwnTracksLocation(msgspec.Struct, frozen=True, kw_only=True):
    """OwnTracks' own message; more fields are welcome. `tst`: time of the fix, unix seconds."""

    _type: Literal["location"]
    lat: float
    lon: float
    tst: int
    acc: float | None = None
    vel: float | None = None
    cog: float | None = None


class Channel(msgspec.Struct, frozen=True):
    """One MQTT topic: its name here, its address, what it is for, its message, and whether we receive it."""

    name: str
    address: str
    summary: str
    message: type
    received: bool


CHANNELS = (
    Channel("position", "112/units/{unit_id}/position", "Where a unit is", OwnTracksLocation, True),
    Channel("owntracks", "owntracks/{unit_id}/{device}", "The same, from OwnTracks", OwnTracksLocation, True),
    Channel("status", "112/units/{unit_id}/status", "What a crew does; repeated until receipt", StatusReport, True),
    Channel("ack", "112/units/{unit_id}/ack", "How far an order has come", OrderAck, True),
    Channel(
        "link",
        "112/units/{unit_id}/link",
        "Birth and will of a unit's device; offline is lost contact after 30 s "
        "without a word, so a will needs no delay of its own",
        LinkReport,
        True,
    ),
    Channel("orders", "112/units/{unit_id}/orders", "What a unit is to do, and what threatens there", Order, False),
    Channel("receipts", "112/units/{unit_id}/receipts", "A status is committed, or refused", Receipt, False),
)


def asyncapi_document() -> Json:
    """The document."""
    kinds = list(dict.fromkeys([*FRAMES, *SENT, *SAID, *(channel.message for channel in CHANNELS)]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    messages = {
        kind.__name__: {"name": kind.__name__, "contentType": "application/json", "payload": schema}
        for kind, schema in zip(kinds, schemas, strict=True)
    }
    channels: Json = {"board": _board_channel(), "unit": _unit_channel()}
    operations: Json = {
        "send_board": _operation("board", "send", [kind.__name__ for kind in FRAMES]),
        "send_unit": _operation("unit", "send", [kind.__name__ for kind in SENT]),
        "receive_unit": _operation("unit", "receive", [kind.__name__ for kind in SAID]),
    }
    for channel in CHANNELS:
        channels[channel.name] = _mqtt_channel(channel)
        action = "receive" if channel.received else "send"
        operations[f"{action}_{channel.name}"] = _operation(channel.name, action, [channel.message.__name__])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "dispatch112",
            "version": __version__,
            "description": "Boards and field pages over WebSocket, units over MQTT 5. The broker acknowledges before "
            "we have committed: only a receipt means kept.",
        },
        "servers": {
            "service": {
                "host": "localhost",
                "protocol": "ws",
                "security": [{"$ref": _ref("securitySchemes", "bearer")}],
            },
            "broker": {"host": "localhost", "protocol": "mqtt", "protocolVersion": "5"},
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": components,
            "messages": messages,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _ref(sort: str, name: str) -> str:
    return f"#/components/{sort}/{name}"


def _board_channel() -> Json:
    query = {
        "type": "object",
        "properties": {
            "regions": {"type": "string", "description": "Regions by comma; none: all in your scope."},
            "after": {
                "type": "string",
                "description": "`UZ-TK:81:MARK,UZ-TO:40:MARK`: what you know "
                "already, by the number and the mark of the last frame; without marks a number is believed.",
            },
        },
    }
    return {
        "address": PATH,
        "description": "Close codes: 4401, log in again; 4403, what you may see has changed, connect again. "
        "What a console says is ignored.",
        "servers": [{"$ref": "#/servers/service"}],
        "messages": {kind.__name__: {"$ref": _ref("messages", kind.__name__)} for kind in FRAMES},
        "bindings": {"ws": {"method": "GET", "query": query}},
    }


def _unit_channel() -> Json:
    return {
        "address": FIELD_PATH,
        "description": "A crew's field page, with its unit's token: the same orders, statuses and receipts as by MQTT. "
        "Close codes: 4401, log in again; 4403, what you may do has changed, connect again. What cannot be understood "
        "is answered by an error and ends nothing.",
        "servers": [{"$ref": "#/servers/service"}],
        "messages": {kind.__name__: {"$ref": _ref("messages", kind.__name__)} for kind in (*SENT, *SAID)},
        "bindings": {"ws": {"method": "GET"}},
    }


def _mqtt_channel(channel: Channel) -> Json:
    names = [part[1:-1] for part in channel.address.split("/") if part.startswith("{")]
    name = channel.message.__name__
    return {
        "address": channel.address,
        "description": channel.summary,
        "servers": [{"$ref": "#/servers/broker"}],
        "parameters": {parameter: {} for parameter in names},
        "messages": {name: {"$ref": _ref("messages", name)}},
    }


def _operation(channel: str, action: str, messages: list[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
