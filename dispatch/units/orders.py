"""Orders to units: published once their events are committed, and again until the unit has them.

Which orders live, and when one is due again, is the core's decision; this file carries the committed ones
to the broker. With the broker away nothing waits here: the orders stay in the committed state, and all
that no unit has answered go out when the broker is back. It is not told what a unit does with an order:
that comes in as an event like any other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from dispatch.core.events import AssignmentCleared, Event, OrderSent, OrderStaged, PlaceTold, UnitAssigned
from dispatch.core.state import RegionState
from dispatch.core.terms import Order, OrderId, RegionId, Stage
from dispatch.errors import ServiceAway
from dispatch.units.line import publish_properties
from dispatch.units.wording import order_payload

SENDERS = 16
"""Publications under way at once; each waits for the broker to have its order."""
TIMED_LIMIT = 10_000
"""Orders whose way is being timed; the oldest untold one is forgotten beyond it."""
SAMPLES_KEPT = 10_000
UNDELIVERED = frozenset({Stage.PENDING, Stage.SENT})

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """What the outbox needs of the line to the broker."""

    @property
    def up(self) -> bool: ...

    async def publish(self, topic: str, payload: bytes, *, properties: Any = None) -> None: ...


class ServiceClock(Protocol):
    """Service time, the wall's, and how many seconds of the wall a span of service time takes."""

    def now(self) -> datetime: ...

    def wall(self) -> datetime: ...

    def wall_delay_s(self, service_delay_s: float) -> float: ...


class Latencies:
    """The newest SAMPLES_KEPT durations of one kind, in milliseconds."""

    def __init__(self) -> None:
        self.samples_ms: deque[float] = deque(maxlen=SAMPLES_KEPT)

    def add(self, seconds: float) -> None:
        self.samples_ms.append(seconds * 1000.0)

    def quantile_ms(self, share: float) -> float | None:
        """The duration that `share` (0..1) of the samples do not exceed; None without samples."""
        ordered = sorted(self.samples_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class _Timing(msgspec.Struct):
    """When an order was committed, by the monotonic clock, and whether the broker has had it since."""

    committed_s: float
    published: bool = False


class OrderCounts(msgspec.Struct):
    """`published` counts repetitions; `waiting` found the broker away; `lapsed` wait for
    their time to begin anew; `unled` are for the region's next leader to send."""

    published: int = 0
    waiting: int = 0
    lapsed: int = 0
    unled: int = 0


class Outbox:
    """Sends the orders of committed events. `committed` goes into the engine's `on_commit`, `resume` is
    called whenever the line has come up or a region was loaded, `run` does the sending.

    `states` are the committed ones (the replica), never the engine's own, which are ahead of the commit.
    `leads` says whether a region's lease is ours at this moment.
    """

    def __init__(
        self,
        states: Mapping[RegionId, RegionState],
        line: Publisher,
        clock: ServiceClock,
        leads: Callable[[RegionId], bool] = lambda region: True,
    ) -> None:
        self._states = states
        self._leads = leads
        self._line = line
        self._clock = clock
        # Waiting to be sent, each order once, in the order they came; bounded by the live orders.
        self._due: OrderedDict[OrderId, RegionId] = OrderedDict()
        self._wake = asyncio.Semaphore(0)
        self._timings: OrderedDict[OrderId, _Timing] = OrderedDict()
        self.counts = OrderCounts()
        self.to_published = Latencies()
        self.to_delivered = Latencies()

    def committed(self, region: RegionId, _recorded: object, events: Sequence[Event]) -> None:
        """Note which orders the committed events make due. Never waits, never raises."""
        for event in events:
            match event:
                case UnitAssigned(order=order) | AssignmentCleared(order=Order() as order) | PlaceTold(order=order):
                    self._time(order.order_id)
                    self._make_due(region, order.order_id)
                case OrderSent(order_id=order_id):
                    self._make_due(region, order_id)
                case OrderStaged(order_id=order_id):
                    self._due.pop(order_id, None)
                    self._arrived(order_id)

    def resume(self, only: RegionId | None = None) -> None:
        """The line is up, or a region was loaded: everything that no unit has answered yet goes out, once."""
        for region, state in self._states.items():
            if only is None or region == only:
                for order in state.orders.values():
                    if order.stage in UNDELIVERED:
                        self._make_due(region, order.order_id)

    def unanswered(self) -> int:
        """How many orders no unit is known to have."""
        orders = (order for state in self._states.values() for order in state.orders.values())
        return sum(order.stage in UNDELIVERED for order in orders)

    async def run(self) -> None:
        """Send what is due; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_on())

    async def _send_on(self) -> None:
        while True:
            await self._wake.acquire()
            if self._due:
                # Nothing waits between taking an order and writing it to the line, so the orders of one
                # unit leave in their own order however many senders there are.
                order_id, region = self._due.popitem(last=False)
                await self._send(region, order_id)

    async def _send(self, region: RegionId, order_id: OrderId) -> None:
        state = self._states.get(region)
        order = state.orders.get(order_id) if state else None
        if state is None or order is None or order.stage not in UNDELIVERED:
            return
        # Asked in the turn in which it is written to the line: a process that was frozen sends nothing when it
        # wakes, for another leads by then and sends what no unit has answered.
        if not self._leads(region):
            self.counts.unled += 1
            return
        left_s = self._clock.wall_delay_s((order.expires_at - self._clock.now()).total_seconds())
        if left_s <= 0:
            self.counts.lapsed += 1
            return
        try:
            await self._publish(state, order, expiry_s=max(1, round(left_s)))
        except ServiceAway:
            self.counts.waiting += 1
        except Exception:
            log.exception("order not sent", extra={"action": "send_order", "unit": order.unit_id})

    async def _publish(self, state: RegionState, order: Order, *, expiry_s: int) -> None:
        properties = publish_properties(
            expiry_s=expiry_s,
            response_topic=f"112/units/{order.unit_id}/ack",
            correlation=order.order_id.encode(),
        )
        topic = f"112/units/{order.unit_id}/orders"
        await self._line.publish(topic, order_payload(state, order), properties=properties)
        self.counts.published += 1
        timing = self._timings.get(order.order_id)
        if timing is not None and not timing.published:
            timing.published = True
            self.to_published.add(time.monotonic() - timing.committed_s)

    def _make_due(self, region: RegionId, order_id: OrderId) -> None:
        if not self._line.up:
            self.counts.waiting += 1
            return
        if order_id not in self._due:
            self._due[order_id] = region
            self._wake.release()

    def _time(self, order_id: OrderId) -> None:
        self._timings[order_id] = _Timing(time.monotonic())
        if len(self._timings) > TIMED_LIMIT:
            self._timings.popitem(last=False)

    def _arrived(self, order_id: OrderId) -> None:
        timing = self._timings.pop(order_id, None)
        if timing is not None:
            self.to_delivered.add(time.monotonic() - timing.committed_s)
