"""A crew's whole errand with the real engine, over the real broker, on both stores; and after a crash."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from dispatch.clock import SystemClock
from dispatch.core.commands import OpenIncident, RegisterUnit, ShiftUnit
from dispatch.core.terms import SYSTEM, Stage, UnitId, UnitStatus
from dispatch.engine import Engine
from dispatch.fanout import LocalFanout
from dispatch.field import Field, FieldPlan
from dispatch.formats.mqtt import Order
from dispatch.servers.broker import Broker
from dispatch.store import Store
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from simulators.radio import Radio, RadioPlan
from tests.servers.crew_desk import POINT, TASHKENT, a_place, a_position, a_unit
from tests.servers.field_world import until

UNIT = UnitId("TK-A22")


class Centre:
    """Engine, leader and field as a process has them, without HTTP."""

    def __init__(self, store: Store, broker_url: str) -> None:
        self.positions = Positions()
        self.engine = Engine(store, SystemClock(), Reacher(self.positions, None), self.positions)
        self.positions.region_of = self.engine.region_of_unit
        self.leader = Leader(self.engine, store, [TASHKENT], "centre")
        plan = FieldPlan(url=broker_url)
        self.field = Field(
            self.engine, self.positions, plan, states=self.engine.replicas.states, clock=self.engine.clock
        )
        self.leader.on_led.append(self.field.outbox.resume)
        self.fanout = LocalFanout(store)
        self.engine.on_commit.append(lambda region, recorded, _: self.fanout.publish(region, recorded))


@asynccontextmanager
async def centre(store: Store, broker_url: str, *, with_field: bool = True) -> AsyncIterator[Centre]:
    """Ends as a killed process does: nothing is given up or finished."""
    made = Centre(store, broker_url)
    parts = [made.engine.run(), *([made.field.run()] if with_field else [])]
    running = [asyncio.create_task(part) for part in parts]
    await made.leader.start()
    running.append(asyncio.create_task(made.leader.run()))
    try:
        if with_field:
            await until(lambda: made.field.health() == "ok")
        yield made
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def a_broker(home: Path) -> AsyncIterator[str]:
    broker = Broker(home)
    try:
        yield await broker.start()
    finally:
        await broker.stop()


@asynccontextmanager
async def a_crew(url: str, orders: "asyncio.Queue[Order]") -> AsyncIterator[Radio]:
    crew = Radio(RadioPlan(url=url, name="crew", units=(UNIT,)), on_order=lambda _, order: orders.put_nowait(order))
    running = asyncio.create_task(crew.run())
    await crew.ready()
    yield crew
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def on_duty(made: Centre) -> None:
    await made.engine.submit(TASHKENT, RegisterUnit(actor=SYSTEM, unit=a_unit(UNIT)))
    await made.engine.submit(TASHKENT, ShiftUnit(actor=SYSTEM, unit_id=UNIT, on_shift=True))
    state = made.engine.states[TASHKENT]
    assert state.units[UNIT].on_shift


async def test_a_crew_is_sent_reports_and_is_free_again(store: Store, tmp_path: Path) -> None:
    orders: asyncio.Queue[Order] = asyncio.Queue()
    async with a_broker(tmp_path) as url, centre(store, url) as made, a_crew(url, orders) as crew:
        await on_duty(made)
        await crew.position(UNIT, POINT, at=datetime.now(UTC))
        await until(lambda: made.positions.get(UNIT) is not None)
        asked = OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=a_place())
        assert (await made.engine.submit(TASHKENT, asked)).refusal is None
        order = await asyncio.wait_for(orders.get(), 60)
        await crew.ack(UNIT, order.order_id, "accepted")
        for status in ("en_route", "on_scene", "available"):
            receipt = await crew.status(UNIT, status, assignment_id=order.assignment_id)
            assert receipt.refused is None
        state = made.engine.replicas.states[TASHKENT]
        assert state.units[UNIT].status is UnitStatus.AVAILABLE
        assert not state.incidents
        kinds = [event.kind for event in await store.events(TASHKENT, 0, 100)]
        assert kinds.count("unit_assigned") == 1
        assert kinds[-1] == "incident_closed" or "incident_closed" in kinds


async def test_an_order_that_a_crash_kept_back_goes_out_after_the_start(store: Store, tmp_path: Path) -> None:
    orders: asyncio.Queue[Order] = asyncio.Queue()
    async with a_broker(tmp_path) as url, a_crew(url, orders):
        async with centre(store, url, with_field=False) as crashed:
            await on_duty(crashed)
            crashed.positions.put(a_position())
            asked = OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=a_place())
            await crashed.engine.submit(TASHKENT, asked)
            assert len(crashed.engine.replicas.states[TASHKENT].orders) == 1
        assert orders.empty()
        async with centre(store, url) as made:
            order = await asyncio.wait_for(orders.get(), 60)
            state = made.engine.replicas.states[TASHKENT]
            await until(lambda: state.orders[order.order_id].stage is Stage.DELIVERED)  # type: ignore[index]
            await asyncio.sleep(0.3)
        assert orders.empty()
