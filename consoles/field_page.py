"""The sockets of crews' field pages: a unit gets its own orders, receipts and status, and says what it says by MQTT.

A page is another way to the same unit, beside its device on the broker: it gets the same orders, and what either of
them says counts. A page that takes nothing is sent nothing and owed a snapshot.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from time import monotonic
from urllib.parse import quote

import msgspec

from consoles.access import Access
from consoles.board import unit_row
from consoles.field_frames import (
    FieldError,
    FieldHeartbeat,
    FieldMessage,
    FieldOrder,
    FieldReceipt,
    FieldSnapshot,
    FieldUnit,
    Row,
)
from consoles.onward import Onward, Refused
from consoles.sittings import Sittings, let_in
from dispatch.actors import Actor, require
from dispatch.clock import Clock
from dispatch.core.events import Event
from dispatch.core.needs import live
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import Assignment, RegionId, Unit, UnitId
from dispatch.errors import ServiceAway
from dispatch.formats.mqtt import OrderAck, StatusReport, decode_ack, decode_status, status_id_in
from dispatch.formats.values import FormatError
from dispatch.units.orders import UNDELIVERED
from dispatch.units.wording import incident_part, order_message
from dispatch.web.metrics import Metrics
from dispatch.web.problems import DETAIL_MAX, Problem
from dispatch.web.websocket import Closed, Socket, frame
from dispatch.writing.records import Recorded
from dispatch.writing.replica import Replicas

PATH = "/ws/v1/unit"
BEAT_S = 1.0
SAYINGS_PER_S = 20
"""A page that says more is read more slowly: crews press a few buttons an hour."""
PAGES_MAX = 8
"""Pages of one unit: a crew has a phone or two, and a few lines that are dead and do not know it yet. A device in
strange hands must not take the seats of the consoles."""
SETTLED = frozenset({404, 409, 422})
"""Answers that will be the same next time: the rules are against it, so the page need not repeat it."""

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Page:
    """One field page. `owed`: it missed something and gets a snapshot when it takes anything again."""

    def __init__(self, socket: Socket, actor: Actor, unit_id: UnitId) -> None:
        self.socket = socket
        self.actor = actor
        self.unit_id = unit_id
        self.owed = False
        self.shown: tuple[Row, Row | None] | None = None
        self.state: RegionState | None = None
        self.sent: dict[str, int] = {}

    def send(self, message: FieldMessage) -> None:
        """Whoever takes nothing is waited for by nobody."""
        if self.socket.slow:
            self.owed = True
        else:
            self.socket.send(frame(_encode(message)))


class _Sort(msgspec.Struct, frozen=True):
    type: str


class FieldPages:
    """All field pages of one process. `handle` is the door's handler of PATH, `run` and `sittings` go beside it."""

    def __init__(self, replicas: Replicas, access: Access, onward: Onward, *, clock: Clock, metrics: Metrics) -> None:
        self.sittings = Sittings(access, metrics)
        self._access = access
        self._replicas = replicas
        self._touched = replicas.follow()
        self._onward = onward
        self._clock = clock
        self._metrics = metrics
        self._pages: dict[UnitId, dict[Page, None]] = {}

    async def handle(self, socket: Socket) -> None:
        """Answer a handshake, and stay with the page until it leaves."""
        admission = await let_in(socket, self._admitted(socket))
        if admission is None:
            return
        actor, unit_id = admission
        page = Page(socket, actor, unit_id)
        self._enter(page)
        self.sittings.enter(socket, actor)
        try:
            socket.on_drained = lambda: self._drained(page)
            self._begin(page)
            await self._listen(page)
        except Closed:
            pass
        finally:
            self._leave(page)

    async def run(self) -> None:
        """Heartbeats until cancelled; a region that was loaded again is shown anew."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                self._beat()
            except Exception:
                log.exception("fault in the beat of the field pages")
                self._metrics.faults.labels("field_pages").inc()

    def committed(self, region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
        """Told after each commit, when the replica has followed it. Never waits."""
        touched = self._touched.pop(region, None)
        if touched is None or not self._pages:
            return
        state = self._replicas.states[region]
        for unit_id in _units_in(touched):
            for page in self._pages.get(unit_id, ()):
                self._show(page, state)

    # Coming and going

    async def _admitted(self, socket: Socket) -> tuple[Actor, UnitId]:
        actor = await self._access.actor_of_handshake(socket)
        if actor is None:
            raise Problem("unauthenticated")
        require(actor, "unit.field")
        region = self._replicas.region_of_unit(actor.unit_id) if actor.unit_id is not None else None
        if actor.unit_id is None or region is None:
            raise Problem("unknown_unit", f"{actor.username} is no unit of this service.")
        require(actor, "unit.field", region)
        return actor, actor.unit_id

    def _enter(self, page: Page) -> None:
        """The newest page is the one that somebody looks at: the oldest has to go."""
        of_unit = self._pages.setdefault(page.unit_id, {})
        if len(of_unit) >= PAGES_MAX:
            oldest = next(iter(of_unit))
            del of_unit[oldest]
            oldest.socket.abort()
        of_unit[page] = None

    def _leave(self, page: Page) -> None:
        page.socket.on_drained = None
        self.sittings.leave(page.socket, page.actor)
        of_unit = self._pages.get(page.unit_id, {})
        of_unit.pop(page, None)
        if not of_unit:
            self._pages.pop(page.unit_id, None)

    # What a page is shown

    def _begin(self, page: Page) -> None:
        """Everything that it has to know; what it knew before counts no more."""
        state = self._state_of(page)
        if state is None:
            return
        page.owed, page.state = False, state
        page.shown = _shown(state, page.unit_id)
        mine = [order for order in state.orders.values() if order.unit_id == page.unit_id]
        page.sent = {order.order_id: order.sends for order in mine}
        unit, assignment = page.shown
        orders = [order_message(state, order) for order in mine]
        page.send(FieldSnapshot(seq=state.seq, unit=unit, assignment=assignment, orders=orders))

    def _show(self, page: Page, state: RegionState) -> None:
        """What has changed for it: an order that it has not got yet, its own row, what it is on."""
        if page.owed or page.state is not state:
            return
        for order in [order for order in state.orders.values() if order.unit_id == page.unit_id]:
            if order.stage in UNDELIVERED and page.sent.get(order.order_id) != order.sends:
                page.sent[order.order_id] = order.sends
                page.send(FieldOrder(order=order_message(state, order)))
        page.sent = {order_id: sends for order_id, sends in page.sent.items() if order_id in state.orders}
        shown = _shown(state, page.unit_id)
        if shown != page.shown:
            page.shown = shown
            page.send(FieldUnit(seq=state.seq, unit=shown[0], assignment=shown[1]))

    def _drained(self, page: Page) -> None:
        if page.owed:
            self._begin(page)

    def _beat(self) -> None:
        beat = frame(_encode(FieldHeartbeat(at=self._clock.now())))
        for page in [page for of_unit in self._pages.values() for page in of_unit]:
            if not page.socket.slow:
                if page.owed or self._state_of(page) is not page.state:
                    self._begin(page)
                page.socket.send(beat)

    def _state_of(self, page: Page) -> RegionState | None:
        region = self._replicas.region_of_unit(page.unit_id)
        return self._replicas.states[region] if region is not None else None

    # What a page says

    async def _listen(self, page: Page) -> None:
        """Until the page leaves. One word after the other; nothing that it says ends this."""
        began_s, sayings = monotonic(), 0
        while True:
            await self._hear(page, await page.socket.receive())
            sayings += 1
            rest_s = began_s + 1.0 - monotonic()
            if rest_s <= 0:
                began_s, sayings = monotonic(), 0
            elif sayings >= SAYINGS_PER_S:
                await asyncio.sleep(rest_s)

    async def _hear(self, page: Page, raw: bytes) -> None:
        try:
            match _sort_of(raw):
                case "status":
                    await self._status(page, decode_status(raw))
                case "ack":
                    await self._ack(page, decode_ack(raw))
                case _:
                    raise FormatError("/type", "neither a status nor an ack", "say one of the two")
        except msgspec.ValidationError as fault:
            page.send(FieldError(code="invalid_body", detail=str(fault), pointer="/type"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
            page.send(FieldError(code="malformed_json", detail=f"Send one JSON object in UTF-8: {fault}"))
        except FormatError as fault:
            self._misunderstood(page, raw, fault)
        except Exception:
            log.exception("a word of a field page failed", extra={"unit": page.unit_id, "action": "field_page"})
            self._metrics.faults.labels("field_pages").inc()
            page.send(FieldError(code="fault", detail="Our fault. It was recorded; try again."))

    def _misunderstood(self, page: Page, raw: bytes, fault: FormatError) -> None:
        """A status that names itself gets its receipt as well, or the page would repeat it for ever."""
        status_id = status_id_in(raw)
        detail = str(fault)[:DETAIL_MAX]
        page.send(FieldError(code="invalid_body", detail=detail, pointer=fault.where, status_id=status_id))
        if status_id is not None:
            page.send(FieldReceipt(status_id=status_id, refused="malformed"))

    async def _status(self, page: Page, report: StatusReport) -> None:
        refused = await self._put(page, "status", report, report.status_id)
        if refused is None:
            page.send(FieldReceipt(status_id=report.status_id))
        elif refused.status in SETTLED:
            page.send(FieldReceipt(status_id=report.status_id, refused=refused.code))
        else:
            page.send(FieldError(code=refused.code, detail=refused.detail, status_id=report.status_id))

    async def _ack(self, page: Page, report: OrderAck) -> None:
        refused = await self._put(page, "ack", report, f"{report.order_id} {report.stage}")
        if refused is not None:
            page.send(FieldError(code=refused.code, detail=refused.detail, order_id=report.order_id))

    async def _put(self, page: Page, name: str, report: StatusReport | OrderAck, about: str) -> Refused | None:
        """Under a key made of what it is about: said twice, also after a lost line, it is done once."""
        key = f"{name}-{hashlib.sha256(about.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        body = {field: value for field, value in msgspec.to_builtins(report).items() if value is not None}
        path = f"/api/v1/units/{quote(page.unit_id, safe='')}/{name}"
        try:
            return await self._onward.post(page.socket, path, body, key)
        except ServiceAway as away:
            return Refused(status=503, code="service_away", detail=str(away))


def _sort_of(raw: bytes) -> str:
    """What a frame says that it is. Raises ValidationError for no object with a type, DecodeError for no JSON."""
    return msgspec.json.decode(raw, type=_Sort).type


def _units_in(touched: Touched) -> dict[UnitId, None]:
    """The units whose page may have changed: their own row, an order, or the incident that they are on."""
    units = dict(touched.units)
    units |= {order.unit_id: None for order in touched.orders.values()}
    units |= {assignment.unit_id: None for incident in touched.incidents.values() for assignment in live(incident)}
    return units


def _shown(state: RegionState, unit_id: UnitId) -> tuple[Row, Row | None]:
    unit = state.units[unit_id]
    return unit_row(unit), _assignment_part(state, unit)


def _assignment_part(state: RegionState, unit: Unit) -> Row | None:
    """What the unit is on, with the incident as its order shows it."""
    if unit.incident_id is None:
        return None
    incident = state.incidents[unit.incident_id]
    found: Assignment = next(one for one in live(incident) if one.unit_id == unit.unit_id)
    return {
        "assignment_id": found.assignment_id,
        "order_id": found.order_id,
        "status": found.status,
        "assigned_at": found.assigned_at,
        "accepted_at": found.accepted_at,
        "incident": incident_part(state, incident),
    }
