"""Units over MQTT: positions, statuses, acknowledgements and links in; receipts and orders out.

The topic says which unit speaks, for the broker has checked it against the log-in; a payload may say what
it likes. The broker acknowledges before we have committed, so a status is kept only when its receipt says
so, and the unit repeats it until then. What cannot be understood is counted and left alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from dispatch.clock import elapsing_s
from dispatch.core.commands import Command, ReportLink, ReportStatus, StageOrder
from dispatch.core.state import RegionState
from dispatch.core.terms import ActorId, AssignmentId, OrderId, Refusal, RegionId, Stage, UnitId, UnitStatus
from dispatch.engine import Listener
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.formats.mqtt import (
    LinkReport,
    OrderAck,
    StatusReport,
    decode_ack,
    decode_link,
    decode_status,
    encode_receipt,
    parse_topic,
    status_id_in,
)
from dispatch.formats.values import FormatError
from dispatch.units.complaints import Complaints
from dispatch.units.fixes import Fixes
from dispatch.units.held import Held
from dispatch.units.lanes import Lanes
from dispatch.units.line import LinePlan
from dispatch.units.orders import Outbox, ServiceClock
from dispatch.units.reading import connected
from dispatch.writing.positions import Positions

RECEIPTS_KEPT = 16
"""Receipts of one unit that are given again without asking the core, which knows only the last report."""
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""An acknowledgement or a link report is not repeated by its unit: with the store away we try so often."""

RETURN_GRACE_S = 5.0
"""After the broker came back crews have so long to hear what waited before an order may be given up."""

REPORT_TOPICS = (("112/units/+/status", 1), ("112/units/+/ack", 1), ("112/units/+/link", 1))
POSITION_TOPICS = (("112/units/+/position", 0), ("owntracks/+/+", 0))

log = logging.getLogger(__name__)


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A status of which only its own number could be read; it is refused, in its unit's order."""

    status_id: str


Report = StatusReport | OrderAck | LinkReport | Unreadable


class Answered(Protocol):
    """What the field needs of an engine's reply."""

    @property
    def refusal(self) -> Refusal | None: ...


class Desk(Protocol):
    """What the field needs of the engine. `submit` raises Elsewhere for a region that is not led here now."""

    @property
    def on_commit(self) -> list[Listener]: ...

    def region_of_unit(self, unit_id: UnitId) -> RegionId | None: ...

    def leads(self, region: RegionId) -> bool: ...

    async def submit(self, region: RegionId, command: Command) -> Answered: ...


class Connection(Protocol):
    """What the field needs of a line to the broker; `dispatch.units.line.Line` is the one over TCP."""

    @property
    def up(self) -> bool: ...

    @property
    def ups(self) -> int: ...

    async def run(self) -> None: ...

    async def publish(self, topic: str, payload: bytes, *, properties: Any = None) -> None: ...


class Connecting(Protocol):
    """Makes a connection that tells of messages and of its own coming up."""

    def __call__(
        self, plan: LinePlan, *, on_message: Callable[[str, bytes], None], on_up: Callable[[], None] = ...
    ) -> Connection: ...


class FieldPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and the name under which it keeps our session: one for each core process."""

    url: str
    name: str = "core"


class FieldCounts(msgspec.Struct):
    """Reports that came in by kind, and what became of those that led to nothing."""

    statuses: int = 0
    acks: int = 0
    links: int = 0
    receipts: int = 0
    receipts_unsent: int = 0
    malformed: int = 0
    unknown_unit: int = 0
    elsewhere: int = 0
    repeated: int = 0
    overflowed: int = 0
    refused: int = 0
    away: int = 0


class Field:
    """`run` until cancelled. Orders are sent by `outbox`, which the engine tells of every commit.

    `states` are the committed states (the replica). Reports travel on a line with a session of its own;
    positions come on another, so that a flood of them fills the broker's buffer for that line and is
    dropped there, while statuses pass by.
    """

    def __init__(
        self,
        engine: Desk,
        positions: Positions,
        plan: FieldPlan,
        *,
        states: Mapping[RegionId, RegionState],
        clock: ServiceClock,
        connect: Connecting = connected,
    ) -> None:
        self._engine = engine
        self.counts = FieldCounts()
        self._complaints = Complaints(log, "mqtt_report")
        self._states = states
        self.fixes = Fixes(positions, on_link=self._offer, is_lost=self._is_lost)
        name = f"dispatch112-{plan.name}"
        self.line: Connection = connect(
            LinePlan(url=plan.url, client_id=name, subscriptions=REPORT_TOPICS),
            on_message=self._on_report,
            on_up=self._on_up,
        )
        self.position_line: Connection = connect(
            LinePlan(url=plan.url, client_id=f"{name}-positions", subscriptions=POSITION_TOPICS, light=True),
            on_message=self.fixes.take,
        )
        self._clock = clock
        self._states = states
        self.outbox = Outbox(states, self.line, clock, engine.leads)
        self.held: Held[OrderAck | LinkReport] = Held(elapsing_s)
        self.lanes: Lanes[Report] = Lanes(self._work_off)
        self._receipts: dict[UnitId, OrderedDict[str, bytes]] = {}
        self._up_at_s = 0.0
        engine.on_commit.append(self.outbox.committed)

    def health(self) -> str:
        """`ok` while both lines are up, otherwise `away`."""
        return "ok" if self.line.up and self.position_line.up else "away"

    def carries_orders(self) -> bool:
        """Whether a crew that does not answer could have: while the broker is away nobody can."""
        return self.line.up and time.monotonic() - self._up_at_s >= RETURN_GRACE_S

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.line.run())
                group.create_task(self.position_line.run())
                group.create_task(self.outbox.run())
        finally:
            self.fixes.close()
            await self.lanes.close()

    def _on_up(self) -> None:
        log.info("broker is back" if self.line.ups > 1 else "broker is there", extra={"action": "mqtt_line"})
        self._up_at_s = time.monotonic()
        self.outbox.resume()

    def _on_report(self, topic: str, payload: bytes) -> None:
        """One message, in the moment it is read: understand it and put it into its unit's lane."""
        parsed = parse_topic(topic)
        if parsed is None:
            self.counts.malformed += 1
            return
        unit_id, kind = UnitId(parsed[0]), parsed[1]
        try:
            report = self._decode(kind, payload)
        except FormatError as fault:
            self._misunderstood(unit_id, kind, payload, fault)
            return
        if isinstance(report, LinkReport):
            self._linked(unit_id, report)
            return
        self.fixes.heard(unit_id)
        self._offer(unit_id, report)

    def _linked(self, unit_id: UnitId, report: LinkReport) -> None:
        """A birth counts at once, a loss of contact only after the grace."""
        if not report.online:
            self.fixes.left(unit_id, report.at)
            return
        self.fixes.born(unit_id, report.at)
        self._offer(unit_id, report)

    def _is_lost(self, unit_id: UnitId) -> bool:
        """Whether the unit's contact counts as lost, by what is committed."""
        region = self._engine.region_of_unit(unit_id)
        state = self._states.get(region) if region is not None else None
        unit = state.units.get(unit_id) if state is not None else None
        return unit is not None and not unit.linked

    def _decode(self, kind: str, payload: bytes) -> Report:
        if kind == "status":
            self.counts.statuses += 1
            return decode_status(payload)
        if kind == "ack":
            self.counts.acks += 1
            return decode_ack(payload)
        self.counts.links += 1
        return decode_link(payload)

    def _misunderstood(self, unit_id: UnitId, kind: str, payload: bytes, fault: FormatError) -> None:
        """A status that names itself is told so, or its unit would repeat it for ever."""
        self.counts.malformed += 1
        self._complaints.say(unit_id, f"malformed {kind} at {fault.where}")
        status_id = status_id_in(payload) if kind == "status" else None
        if status_id is not None:
            self._offer(unit_id, Unreadable(status_id=status_id))

    def led(self, region: RegionId) -> None:
        """This process leads a region now: its orders go out, and what its units said meanwhile is heard."""
        self.outbox.resume(region)
        units = self._states[region].units
        for unit_id, report in list(self.held.taken(lambda unit_id: unit_id in units)):
            self._offer(unit_id, report)

    def _offer(self, unit_id: UnitId, report: Report) -> None:
        if self._engine.region_of_unit(unit_id) is None:
            self._leave(unit_id, report)
        elif self.lanes.holds(unit_id, report):
            self.counts.repeated += 1
        elif not self.lanes.put(unit_id, report):
            self.counts.overflowed += 1

    def _leave(self, unit_id: UnitId, report: Report) -> None:
        """A unit whose region is led elsewhere: for its leader, or for us if we are the next.

        A status is not held: its unit repeats the one that has no receipt yet, and those before it are past. Said
        again here, such a one would move a unit that has been sent out since.
        """
        if not any(unit_id in state.units for state in self._states.values()):
            self.counts.unknown_unit += 1
            return
        self.counts.elsewhere += 1
        if isinstance(report, OrderAck | LinkReport):
            self.held.keep(unit_id, report)

    async def _work_off(self, unit_id: UnitId, report: Report) -> None:
        region = self._engine.region_of_unit(unit_id)
        if region is None:
            self._leave(unit_id, report)
            return
        try:
            await self._handle(region, unit_id, report)
        except Elsewhere:
            self._leave(unit_id, report)

    async def _handle(self, region: RegionId, unit_id: UnitId, report: Report) -> None:
        match report:
            case StatusReport() | Unreadable():
                await self._status(region, unit_id, report)
            case OrderAck():
                await self._submit_surely(region, _staged(unit_id, report))
            case LinkReport(online=online):
                link = ReportLink(actor=_actor(unit_id), unit_id=unit_id, linked=online)
                await self._submit_surely(region, link)

    async def _status(self, region: RegionId, unit_id: UnitId, report: StatusReport | Unreadable) -> None:
        """Commit, then say so. A repeated report that has its receipt gets that again, and makes no event."""
        known = self._receipts.get(unit_id)
        receipt = known.get(report.status_id) if known else None
        if receipt is not None:
            self.counts.repeated += 1
        else:
            receipt = await self._kept(region, unit_id, report)
        if receipt is not None:
            await self._send_receipt(unit_id, receipt)

    async def _kept(self, region: RegionId, unit_id: UnitId, report: StatusReport | Unreadable) -> bytes | None:
        """The receipt of a report that is committed or refused; None when it could not be kept now."""
        refused: str | None = "malformed"
        if isinstance(report, StatusReport):
            try:
                said = _reported(unit_id, report, self._clock.wall())
                refusal = (await self._engine.submit(region, said)).refusal
            except Elsewhere:
                raise
            except ServiceAway:
                self.counts.away += 1
                return None
            refused = refusal.code if refusal else None
        self.counts.refused += refused is not None
        receipt = encode_receipt(report.status_id, refused)
        self._remember(unit_id, report.status_id, receipt)
        return receipt

    async def _send_receipt(self, unit_id: UnitId, receipt: bytes) -> None:
        try:
            await self.line.publish(f"112/units/{unit_id}/receipts", receipt)
            self.counts.receipts += 1
        except ServiceAway:
            self.counts.receipts_unsent += 1

    def _remember(self, unit_id: UnitId, status_id: str, receipt: bytes) -> None:
        known = self._receipts.setdefault(unit_id, OrderedDict())
        known[status_id] = receipt
        if len(known) > RECEIPTS_KEPT:
            known.popitem(last=False)

    async def _submit_surely(self, region: RegionId, command: Command) -> None:
        """Submit, again and again while the store is away, within RETRY_S."""
        for wait_s in RETRY_S:
            try:
                self.counts.refused += (await self._engine.submit(region, command)).refusal is not None
                return
            except Elsewhere:
                raise
            except ServiceAway:
                await asyncio.sleep(wait_s)
        self.counts.away += 1


def _actor(unit_id: UnitId) -> ActorId:
    return ActorId(f"unit:{unit_id}")


def _reported(unit_id: UnitId, report: StatusReport, now: datetime) -> ReportStatus:
    assignment_id = None if report.assignment_id is None else AssignmentId(report.assignment_id)
    return ReportStatus(
        actor=_actor(unit_id),
        unit_id=unit_id,
        status=UnitStatus(report.status),
        status_id=report.status_id,
        assignment_id=assignment_id,
        age_s=max(0.0, (now - report.at).total_seconds()),
    )


def _staged(unit_id: UnitId, report: OrderAck) -> StageOrder:
    return StageOrder(
        actor=_actor(unit_id),
        unit_id=unit_id,
        order_id=OrderId(report.order_id),
        stage=Stage(report.stage),
        reason=report.reason,
    )
