"""The demo country with nobody in it: real roads and units, and crews that do only what a test tells them.

`dispatch112 demo --no-load` as a process of its own, and the radios of the units that a test looks at.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future

from dispatch.core.terms import UnitId
from dispatch.formats.mqtt import Order
from dispatch.servers.child import dying_with_us
from simulators.country import UnitSpec, roster
from simulators.radio import Radio, RadioPlan
from tests.conftest import LoopThread
from tests.journeys.service import ROOT, START_LIMIT_S, Service

FIX_EVERY_S = 2.0
LOOK_S = 0.01
ORDER_LIMIT_S = 30.0
"""Far beyond what is usual: an order or a receipt that has not come by now is lost."""


def units_of(region: str) -> list[UnitSpec]:
    """The demo's units in a region."""
    return [spec for spec in roster(112) if spec.region == region]


class EmptyCountry(Service):
    """The demo without its load, at the speed of the wall clock; `options` are further ones of the command."""

    options: Sequence[str] = ()

    async def start(self) -> float:
        """Start it and return when it is ready; says after how many seconds."""
        began_s = time.monotonic()
        command = [sys.executable, "-m", "dispatch", "demo", "--no-load", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir), *self.options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        while await self.ready() != 200:
            assert self._process.poll() is None, f"it ended by itself:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() - began_s < START_LIMIT_S, f"never ready:\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.05)
        return time.monotonic() - began_s


class Crews:
    """Units that stand at their stations, are heard every two seconds, and keep the orders they get."""

    def __init__(self, loop: LoopThread, mqtt_url: str, units: Sequence[UnitSpec]) -> None:
        self.orders: list[tuple[UnitId, Order]] = []
        self._loop = loop
        self._units = units
        plan = RadioPlan(url=mqtt_url, name="crews", units=tuple(spec.unit_id for spec in units))
        self._radio = Radio(plan, on_order=lambda unit_id, order: self.orders.append((unit_id, order)))
        self._work: Future[None] | None = None

    def start(self) -> None:
        """Return when the line is up and everybody was heard once."""
        self._work = asyncio.run_coroutine_threadsafe(self._run(), self._loop.loop)
        self._loop.run(self._radio.ready())
        self._loop.run(self._report())

    def stop(self) -> None:
        assert self._work is not None
        self._work.cancel()

    def order(self, unit_id: str, incident_id: str) -> Order:
        """The order that takes the unit to the incident, when it has come."""
        give_up = time.monotonic() + ORDER_LIMIT_S
        while time.monotonic() < give_up:
            for unit, order in self.orders:
                if unit == unit_id and order.incident["incident_id"] == incident_id:
                    return order
            time.sleep(LOOK_S)
        raise AssertionError(f"no order for {incident_id} reached {unit_id} within {ORDER_LIMIT_S:g} s")

    def accept(self, unit_id: str, order: Order) -> None:
        self._loop.run(self._radio.ack(UnitId(unit_id), order.order_id, "accepted"))

    def report(self, unit_id: str, status: str, order: Order) -> None:
        """Report a status; returns once its receipt is there."""
        work = self._radio.status(UnitId(unit_id), status, assignment_id=order.assignment_id)
        receipt = self._loop.run(asyncio.wait_for(work, ORDER_LIMIT_S))
        assert receipt.refused is None, receipt.refused

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._radio.run())
            while True:
                await asyncio.sleep(FIX_EVERY_S)
                await self._report()

    async def _report(self) -> None:
        for spec in self._units:
            await self._radio.position(spec.unit_id, spec.at)
