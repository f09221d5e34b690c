"""The devices of crews as one program: what units send over MQTT, repeated as real devices repeat it.

One Radio speaks for one unit with the unit's own log-in, or for many through the service's account (for
load: thousands of units over few connections). What a crew decides to do with an order is not here.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec

from dispatch.core.terms import UnitId
from dispatch.errors import ServiceAway
from dispatch.formats.mqtt import (
    LinkReport,
    Order,
    OrderAck,
    Receipt,
    StatusReport,
    decode_order,
    decode_receipt,
    encode_report,
)
from dispatch.formats.values import FormatError
from dispatch.units.line import Line, LinePlan, Will

REPEAT_S = 3.0
"""A status without its receipt is sent again after this long; nothing is kept until the receipt says so."""
ORDERS_KNOWN = 32
"""Order numbers that one unit remembers: an order that comes again is acknowledged and not obeyed again."""
SENDERS = 4
SAY_LIMIT = 50_000
AWAY_S = 0.5

_encode = msgspec.json.Encoder().encode


class RadioPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`name` tells this connection from every other one at the broker.

    `alone`: the one unit's own device, with birth and will; the broker says it is gone after `will_delay_s`, and
    the service gives it its grace from then on.
    """

    url: str
    name: str
    units: tuple[UnitId, ...]
    alone: bool = False
    will_delay_s: int = 0


class RadioCounts(msgspec.Struct):
    """What was said and heard; `repeated` counts statuses sent again, `unsent` what found no broker."""

    positions: int = 0
    statuses: int = 0
    repeated: int = 0
    orders: int = 0
    orders_again: int = 0
    receipts: int = 0
    garbled: int = 0
    unsent: int = 0


class Radio:
    """`run` until cancelled. `on_order(unit_id, order)` is called once for each order, after it was
    acknowledged as delivered; it must not wait.
    """

    def __init__(self, plan: RadioPlan, *, on_order: Callable[[UnitId, Order], None] | None = None) -> None:
        assert plan.units and (len(plan.units) == 1 or not plan.alone), "a device of its own has one unit"
        self.counts = RadioCounts()
        self._plan = plan
        self._on_order = on_order
        self._up = asyncio.Event()
        self._say: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(SAY_LIMIT)
        self._known: dict[UnitId, OrderedDict[str, None]] = {unit: OrderedDict() for unit in plan.units}
        self._turns: dict[UnitId, asyncio.Lock] = {}
        self._awaited: dict[str, asyncio.Future[Receipt]] = {}
        self._numbers = itertools.count(1)
        self._start = int(time.time() * 1000)
        self.line = Line(
            LinePlan(
                url=plan.url,
                client_id=f"radio-{plan.name}",
                subscriptions=_subscriptions(plan.units),
                will=partial(_will, plan) if plan.alone else None,
            ),
            on_message=self._heard,
            on_up=self._came_up,
            on_down=self._up.clear,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.line.run())
            for _ in range(SENDERS):
                group.create_task(self._send_on())

    async def ready(self) -> None:
        """Return once the line is up and the orders are subscribed to."""
        await self._up.wait()

    async def position(
        self,
        unit_id: UnitId,
        point: tuple[float, float],
        *,
        at: datetime | None = None,
        speed_mps: float | None = None,
        heading_deg: float | None = None,
    ) -> None:
        """One fix at (lat, lon), as OwnTracks sends it: whole seconds, km/h. It is lost without a line."""
        fix: dict[str, object] = {"_type": "location", "lat": point[0], "lon": point[1]}
        fix["tst"] = int((at or datetime.now(UTC)).timestamp())
        if speed_mps is not None:
            fix["vel"] = round(speed_mps * 3.6, 1)
        if heading_deg is not None:
            fix["cog"] = round(heading_deg)
        try:
            await self.line.publish(f"112/units/{unit_id}/position", _encode(fix), qos=0)
            self.counts.positions += 1
        except ServiceAway:
            self.counts.unsent += 1

    async def status(
        self, unit_id: UnitId, status: str, *, at: datetime | None = None, assignment_id: str | None = None
    ) -> Receipt:
        """Report a status and repeat it until its receipt comes. A unit's next report waits for that."""
        report = StatusReport(
            status_id=f"{self._plan.name}-{self._start}-{next(self._numbers)}",
            status=status,  # type: ignore[arg-type]
            at=at or datetime.now(UTC),
            assignment_id=assignment_id,
        )
        async with self._turns.setdefault(unit_id, asyncio.Lock()):
            return await self._repeated(unit_id, report)

    async def ack(self, unit_id: UnitId, order_id: str, stage: str, *, reason: str | None = None) -> None:
        """Say how far an order has come: delivered, seen, accepted, refused."""
        said = OrderAck(order_id=order_id, stage=stage, at=datetime.now(UTC), reason=reason)  # type: ignore[arg-type]
        self._queue(f"112/units/{unit_id}/ack", encode_report(said))

    async def link(self, unit_id: UnitId, online: bool) -> None:
        """Say that the unit's device is there, or is going."""
        said = LinkReport(online=online, at=datetime.now(UTC))
        self._queue(f"112/units/{unit_id}/link", encode_report(said))

    async def _repeated(self, unit_id: UnitId, report: StatusReport) -> Receipt:
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._awaited[report.status_id] = receipt
        self.counts.statuses += 1
        try:
            while True:
                self._queue(f"112/units/{unit_id}/status", encode_report(report))
                done, _ = await asyncio.wait((receipt,), timeout=REPEAT_S)
                if done:
                    return receipt.result()
                self.counts.repeated += 1
        finally:
            del self._awaited[report.status_id]

    def _queue(self, topic: str, payload: bytes) -> None:
        try:
            self._say.put_nowait((topic, payload))
        except asyncio.QueueFull:
            self.counts.unsent += 1

    async def _send_on(self) -> None:
        """Hand over what is queued. What the broker did not get is said again: nobody else repeats an ack."""
        while True:
            topic, payload = await self._say.get()
            while True:
                await self._up.wait()
                try:
                    await self.line.publish(topic, payload)
                    break
                except ServiceAway:
                    self.counts.unsent += 1
                    await asyncio.sleep(AWAY_S)

    def _came_up(self) -> None:
        self._up.set()
        if self._plan.alone:
            said = LinkReport(online=True, at=datetime.now(UTC))
            self._queue(f"112/units/{self._plan.units[0]}/link", encode_report(said))

    def _heard(self, topic: str, payload: bytes) -> None:
        _, _, unit, kind = topic.split("/")
        try:
            if kind == "receipts":
                self._receive_receipt(decode_receipt(payload))
            else:
                self._receive_order(UnitId(unit), decode_order(payload))
        except (msgspec.DecodeError, FormatError):
            self.counts.garbled += 1

    def _receive_receipt(self, receipt: Receipt) -> None:
        self.counts.receipts += 1
        awaited = self._awaited.get(receipt.status_id)
        if awaited is not None and not awaited.done():
            awaited.set_result(receipt)

    def _receive_order(self, unit_id: UnitId, order: Order) -> None:
        """Acknowledge every copy; obey the first."""
        said = OrderAck(order_id=order.order_id, stage="delivered", at=datetime.now(UTC))
        self._queue(f"112/units/{unit_id}/ack", encode_report(said))
        known = self._known[unit_id]
        if order.order_id in known:
            self.counts.orders_again += 1
            return
        self.counts.orders += 1
        known[order.order_id] = None
        if len(known) > ORDERS_KNOWN:
            known.popitem(last=False)
        if self._on_order is not None:
            self._on_order(unit_id, order)


def _subscriptions(units: Sequence[UnitId]) -> tuple[tuple[str, int], ...]:
    return tuple((f"112/units/{unit}/{kind}", 1) for unit in units for kind in ("orders", "receipts"))


def _will(plan: RadioPlan) -> Will:
    """The will's time is when its connection is made: a broker cannot know another."""
    gone = LinkReport(online=False, at=datetime.now(UTC))
    return Will(topic=f"112/units/{plan.units[0]}/link", payload=encode_report(gone), delay_s=plan.will_delay_s)
