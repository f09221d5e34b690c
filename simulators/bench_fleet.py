"""Thousands of units for a benchmark, on a few lean lines: where each is, and what it makes of its orders."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from time import monotonic, time

import msgspec

from simulators.country import UnitSpec
from simulators.lean_mqtt import LeanLine, connected

LINES = 4
REPORT_EVERY_S = 5.0
TICKS = 250
KNOWN_MOST = 200_000
"""Orders told apart from their repetitions; over it the oldest is forgotten."""
AGAIN_S = 3.0
AGAIN_MOST = 10
SHARE_ON_SCENE = 0.3
"""When a crew arrives, as a share of the time that an incident takes it."""


class _Order(msgspec.Struct):
    order_id: str
    kind: str
    assignment_id: str | None = None


class _Receipt(msgspec.Struct):
    status_id: str
    refused: str | None = None


_order = msgspec.json.Decoder(_Order).decode
_receipt = msgspec.json.Decoder(_Receipt).decode
_encode = msgspec.json.Encoder().encode


class Fleet:
    """All units of a benchmark. `ordered` holds when the first order of each assignment reached its unit."""

    def __init__(self, units: Sequence[UnitSpec], on_task_s: float, seed: int) -> None:
        self.ordered: dict[str, float] = {}
        self.positions = self.orders = self.repeated = self.served = self.given_up = 0
        self._ended = False
        self._units = list(units)
        self._on_task_s = on_task_s
        self._chance = Random(f"{seed}:fleet")
        self._lines: list[LeanLine] = []
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, None] = {}
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._units)

    @property
    def at_work(self) -> int:
        """How many units are about an incident."""
        return len(self._at_work)

    async def connect(self, url: str) -> None:
        """Open the lines; one of them hears the orders and receipts of all units. Raises OSError."""
        for number in range(LINES):
            self._lines.append(await connected(url, f"fleet-{number}", self._heard))
        await self._lines[0].subscribe(["112/units/+/orders", "112/units/+/receipts"])

    async def run(self) -> None:
        """Report positions and keep the lines alive until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(line.keep_alive())
                group.create_task(self._report())
        finally:
            self._ended = True

    def say_where(self, units: Sequence[UnitSpec]) -> None:
        """A fix of each of these units, a few metres from its station, so that every one has moved."""
        chance, seconds = self._chance, int(time())
        for number, unit in enumerate(units):
            fix = {
                "_type": "location",
                "lat": round(unit.at.lat + chance.uniform(-1e-4, 1e-4), 6),
                "lon": round(unit.at.lon + chance.uniform(-1e-4, 1e-4), 6),
                "tst": seconds,
                "vel": 11,
                "cog": 90,
            }
            self._lines[number % LINES].publish(f"112/units/{unit.unit_id}/position", _encode(fix))
        self.positions += len(units)

    def close(self) -> None:
        for task in self._at_work.values():
            task.cancel()
        for line in self._lines:
            line.close()

    @property
    def broken(self) -> bool:
        """Whether the broker has closed a line, or no unit reports any more: what was measured since counts for
        nothing.
        """
        return self._ended or any(line.broken for line in self._lines)

    async def _report(self) -> None:
        began_s, tick = monotonic(), 0
        while True:
            self.say_where(self._units[tick % TICKS :: TICKS])
            tick += 1
            await asyncio.sleep(max(0.0, began_s + tick * REPORT_EVERY_S / TICKS - monotonic()))

    def _heard(self, topic: str, payload: bytes) -> None:
        unit_id, _, kind = topic[len("112/units/") :].rpartition("/")
        if kind == "receipts":
            waiting = self._awaited.pop(_receipt(payload).status_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            return
        order = _order(payload)
        first = order.order_id not in self._known
        self._say_of(unit_id, order, "delivered" if order.kind in ("recall", "message") or not first else "accepted")
        if not first:
            self.repeated += 1
            return
        self._known[order.order_id] = None
        if len(self._known) > KNOWN_MOST:
            del self._known[next(iter(self._known))]
        self._obey(unit_id, order)

    def _obey(self, unit_id: str, order: _Order) -> None:
        self.orders += 1
        old = self._at_work.pop(unit_id, None)
        if old is not None and order.kind != "message":
            old.cancel()
        if order.kind in ("dispatch", "divert") and order.assignment_id is not None:
            self.ordered.setdefault(order.assignment_id, monotonic())
            task = asyncio.get_running_loop().create_task(self._serve(unit_id, order.assignment_id))
            self._at_work[unit_id] = task
            task.add_done_callback(lambda done: self._over(unit_id, done))

    def _over(self, unit_id: str, done: asyncio.Task[None]) -> None:
        if self._at_work.get(unit_id) is done:
            del self._at_work[unit_id]

    async def _serve(self, unit_id: str, assignment_id: str) -> None:
        takes_s = self._chance.expovariate(1 / self._on_task_s)
        await asyncio.sleep(takes_s * SHARE_ON_SCENE)
        await self._say(unit_id, assignment_id, "on_scene")
        await asyncio.sleep(takes_s * (1 - SHARE_ON_SCENE))
        await self._say(unit_id, assignment_id, "available")
        self.served += 1

    async def _say(self, unit_id: str, assignment_id: str, status: str) -> None:
        """Report a status until its receipt comes, as real devices do."""
        status_id = f"fleet-{next(self._numbers)}"
        said = {"status_id": status_id, "status": status, "assignment_id": assignment_id}
        payload = _encode(said | {"at": datetime.now(UTC)})
        waiting = self._awaited[status_id] = asyncio.get_running_loop().create_future()
        for _ in range(AGAIN_MOST):
            self._line_of(unit_id).publish(f"112/units/{unit_id}/status", payload, qos=1)
            done, _ = await asyncio.wait((waiting,), timeout=AGAIN_S)
            if done:
                return
        self._awaited.pop(status_id, None)
        self.given_up += 1

    def _say_of(self, unit_id: str, order: _Order, stage: str) -> None:
        said = {"order_id": order.order_id, "stage": stage, "at": datetime.now(UTC)}
        self._line_of(unit_id).publish(f"112/units/{unit_id}/ack", _encode(said), qos=1)

    def _line_of(self, unit_id: str) -> LeanLine:
        """Always the same line for a unit: what it says must arrive in its order."""
        return self._lines[hash(unit_id) % LINES]


@asynccontextmanager
async def on_the_road(units: Sequence[UnitSpec], url: str, on_task_s: float, seed: int) -> AsyncIterator[Fleet]:
    """A fleet that is heard and has said where it is."""
    fleet = Fleet(units, on_task_s, seed)
    await fleet.connect(url)
    running = asyncio.create_task(fleet.run())
    try:
        for start in range(0, len(units), 500):
            fleet.say_where(units[start : start + 500])
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        yield fleet
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        fleet.close()
