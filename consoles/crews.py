"""What a crew, or a dispatcher for it, says of a unit by HTTP: its status, its orders, and whether it
is on shift.

Crews speak MQTT as a rule (dispatch/field.py); these addresses serve the field page, programs and
dispatchers who take a report over the radio.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from consoles.board import unit_row
from consoles.calling import Identifier
from consoles.desk import Act, Asked, Desk
from dispatch.calling.evidence import Moment
from dispatch.core.commands import Command, ReportStatus, ShiftUnit, StageOrder
from dispatch.core.state import RegionState
from dispatch.core.terms import AssignmentId, OrderId, Stage, UnitId, UnitStatus
from dispatch.formats.mqtt import AckStage, Words
from dispatch.web.replies import Answering, answering
from dispatch.web.routes import Route

OF = "/api/v1/units/{unit_id}"


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A status; the same `status_id` again changes nothing. `assignment_id` guards against a late report.

    `at` is when the crew said so, as over MQTT: what has been overtaken since is refused. Absent: now.
    """

    status: UnitStatus
    at: Moment | None = None
    status_id: Identifier | None = None
    assignment_id: Identifier | None = None


class Shift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    on_shift: bool


class Ack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far an order has come: on the device, seen, accepted or refused by the crew.

    `at` is when that was, as over MQTT: it shows what time it is on the device. Absent: nobody can say.
    """

    order_id: Identifier
    stage: AckStage
    at: Moment | None = None
    reason: Words | None = None


class UnitReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The unit as it is after the report."""

    seq: int
    region: str
    unit: dict[str, Any]


def _report(asked: Asked) -> Command:
    said: Report = asked.body
    return ReportStatus(
        actor=asked.actor.actor_id,
        unit_id=UnitId(asked.id),
        status=said.status,
        status_id=said.status_id,
        assignment_id=AssignmentId(said.assignment_id) if said.assignment_id else None,
        age_s=_age_s(asked, said.at) or 0.0,
    )


def _age_s(asked: Asked, at: datetime | None) -> float | None:
    """How old a report is by the clock of whoever said it; one that comes from the future is new."""
    return max(0.0, (asked.wall - at).total_seconds()) if at is not None else None


def _ack(asked: Asked) -> Command:
    said: Ack = asked.body
    return StageOrder(
        actor=asked.actor.actor_id,
        unit_id=UnitId(asked.id),
        order_id=OrderId(said.order_id),
        stage=Stage(said.stage),
        reason=said.reason,
        age_s=_age_s(asked, said.at),
    )


def _shift(asked: Asked) -> Command:
    return ShiftUnit(actor=asked.actor.actor_id, unit_id=UnitId(asked.id), on_shift=asked.body.on_shift)


ACTS = (
    Act(
        name="status",
        summary="A unit's status, reported by its crew or for it",
        action="unit.report",
        body=Report,
        make=_report,
        errors=("unknown_unit", "illegal_status", "assignment_over", "no_assignment", "unit_unavailable"),
    ),
    Act(
        name="ack",
        summary="What a crew says of an order; by MQTT as a rule",
        action="unit.report",
        body=Ack,
        make=_ack,
        errors=("unknown_unit", "unknown_order", "illegal_status"),
    ),
    Act(
        name="shift",
        summary="On shift or off",
        action="unit.shift",
        body=Shift,
        make=_shift,
        errors=("unknown_unit", "unit_on_assignment"),
    ),
)


def routes(desk: Desk) -> list[Route]:
    """The addresses of what is reported of units."""
    return desk.routes(OF, ACTS, desk.unit, _answer)


def _answer(asked: Asked) -> Answering:
    def made(state: RegionState) -> UnitReceipt:
        unit = state.units[UnitId(asked.id)]
        return UnitReceipt(seq=state.seq, region=state.region, unit=unit_row(unit))

    return answering(200, made)
