"""What goes over the socket of a crew's field page, as types: they encode it, and the AsyncAPI document shows them.

What a crew says is decoded as the same report by MQTT is (`dispatch/formats/mqtt.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dispatch.formats.mqtt import AckStage, Identifier, Time, UnitStatus, Words

Row = dict[str, Any]


class FieldMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A text frame of JSON."""


class FieldSnapshot(FieldMessage, frozen=True, kw_only=True, tag="snapshot"):
    """First, and again after a gap; replaces what was known, true of event `seq` of the unit's region.

    `assignment`: what the unit is on, with its incident as an order shows it. `orders`: those that it has not
    accepted or refused yet.
    """

    seq: int
    unit: Row
    assignment: Row | None
    orders: list[Row]


class FieldOrder(FieldMessage, frozen=True, kw_only=True, tag="order"):
    """An order, as over MQTT; sent again until it is acknowledged, so its id may be known already."""

    order: Row


class FieldUnit(FieldMessage, frozen=True, kw_only=True, tag="unit"):
    """The unit, or what it is on, has changed."""

    seq: int
    unit: Row
    assignment: Row | None


class FieldReceipt(FieldMessage, frozen=True, kw_only=True, tag="receipt", omit_defaults=True):
    """The status is committed, or `refused` by the rule of this code: it need not be repeated."""

    status_id: str
    refused: str | None = None


class FieldError(FieldMessage, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """What was said led to nothing. `code` is one of docs/refusals.md; the page may go on, and repeat what was away.

    `pointer` leads to the fault in the frame; the id is that of the status or order which the frame named.
    """

    code: str
    detail: str
    pointer: str | None = None
    status_id: str | None = None
    order_id: str | None = None


class FieldHeartbeat(FieldMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """Each second, in service time."""

    at: datetime


class FieldStatus(FieldMessage, frozen=True, kw_only=True, tag="status"):
    """From the page: a crew's status, repeated until its receipt. `at`: when the crew said so."""

    status_id: Identifier
    status: UnitStatus
    at: Time
    assignment_id: Identifier | None = None


class FieldAck(FieldMessage, frozen=True, kw_only=True, tag="ack"):
    """From the page: how far an order has come."""

    order_id: Identifier
    stage: AckStage
    at: Time
    reason: Words | None = None


SENT = (FieldSnapshot, FieldOrder, FieldUnit, FieldReceipt, FieldError, FieldHeartbeat)
"""What the page gets."""
SAID = (FieldStatus, FieldAck)
"""What the page may say."""
