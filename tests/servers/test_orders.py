"""An order reaches its crew after its commit, whatever the broker and the line do, and is obeyed once."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.commands import RecallUnits, SendOrder
from dispatch.core.deadlines import due
from dispatch.core.events import AssignmentCleared
from dispatch.core.terms import SYSTEM, Stage, UnitId
from dispatch.formats.mqtt import Order as Received
from dispatch.units.measures import FieldMeasures
from dispatch.web.metrics import Metrics
from tests.servers.crew_desk import POINT, TASHKENT
from tests.servers.field_world import FieldWorld, field_world, plain_client, until

SETTLE_S = 0.3


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FieldWorld]:
    async with field_world(tmp_path) as made:
        yield made


@pytest.fixture
async def unit(world: FieldWorld) -> UnitId:
    return await world.desk.add_unit("TK-A22")


async def test_an_order_is_published_only_after_its_commit(world: FieldWorld, unit: UnitId) -> None:
    orders = await world.ear("112/units/+/orders")
    world.desk.gate.clear()
    assigning = asyncio.create_task(world.desk.assign(unit))
    await asyncio.sleep(SETTLE_S)
    assert orders.heard == []
    world.desk.gate.set()
    (order,) = await assigning
    await until(lambda: [got["order_id"] for _, got in orders.heard] == [order.order_id])


async def test_an_order_says_what_the_contract_promises(world: FieldWorld, unit: UnitId) -> None:
    async with plain_client(world.url) as client:
        await client.subscribe("112/units/+/orders", 1)
        (order,) = await world.desk.assign(unit)
        async with asyncio.timeout(60):
            message = await anext(client.messages)
    assert message.topic.value == f"112/units/{unit}/orders"
    assert isinstance(message.payload, bytes)
    said = json.loads(message.payload)
    assert {key: said[key] for key in ("order_id", "kind", "assignment_id")} == {
        "order_id": order.order_id,
        "kind": "dispatch",
        "assignment_id": order.assignment_id,
    }
    assert datetime.fromisoformat(said["expires_at"]) == order.expires_at
    assert said["incident"] == {
        "incident_id": "TK-1",
        "number": 1,
        "incident_type": "cardiac_arrest",
        "priority": "P1",
        "calls": 0,
        "hazards": [],
        "location": {
            "point": {"type": "Point", "coordinates": [POINT[1], POINT[0]]},
            "accuracy_m": 12.0,
            "source": "aml",
        },
        "place": {"ru": "Чиланзар"},
    }
    properties: Any = message.properties
    assert properties is not None
    assert properties.ResponseTopic == f"112/units/{unit}/ack"
    assert properties.CorrelationData == order.order_id.encode()
    assert 590 <= properties.MessageExpiryInterval <= 600


async def test_an_order_that_nobody_answered_goes_out_once_when_the_line_is_back(
    world: FieldWorld, unit: UnitId
) -> None:
    orders = await world.ear("112/units/+/orders")
    world.wire.cut()
    await until(lambda: not world.field.line.up)
    await world.desk.assign(unit)
    await asyncio.sleep(SETTLE_S)
    assert orders.heard == []
    world.wire.mend()
    await until(lambda: len(orders.heard) == 1)
    await asyncio.sleep(SETTLE_S)
    assert len(orders.heard) == 1


async def test_an_order_without_an_answer_is_sent_again_after_a_broken_line(world: FieldWorld, unit: UnitId) -> None:
    orders = await world.ear("112/units/+/orders")
    await world.desk.assign(unit)
    await until(lambda: len(orders.heard) == 1)
    world.wire.cut()
    await until(lambda: not world.field.line.up)
    world.wire.mend()
    await until(lambda: world.field.line.up and len(orders.heard) == 2)
    assert orders.heard[0] == orders.heard[1]


async def test_a_delivered_order_is_not_sent_again(world: FieldWorld, unit: UnitId) -> None:
    obeyed: list[str] = []
    orders = await world.ear("112/units/+/orders")
    await world.crews(unit, on_order=lambda _, order: obeyed.append(order.order_id))
    (order,) = await world.desk.assign(unit)
    state = world.desk.committed[TASHKENT]
    await until(lambda: state.orders[order.order_id].stage is Stage.DELIVERED)
    world.wire.cut()
    await until(lambda: not world.field.line.up)
    world.wire.mend()
    await until(lambda: world.field.line.up)
    await asyncio.sleep(SETTLE_S)
    assert len(orders.heard) == 1
    assert obeyed == [order.order_id]


async def test_the_cores_repetition_is_published_and_the_crew_obeys_once(world: FieldWorld, unit: UnitId) -> None:
    orders = await world.ear("112/units/+/orders")
    (order,) = await world.desk.assign(unit)
    await until(lambda: len(orders.heard) == 1)
    world.desk.pass_time(16)
    await world.desk.submit(TASHKENT, SendOrder(actor=SYSTEM, order_id=order.order_id))
    await until(lambda: len(orders.heard) == 2)
    obeyed: list[str] = []
    crews = await world.crews(unit, on_order=lambda _, order: obeyed.append(order.order_id))
    world.desk.pass_time(16)
    await world.desk.submit(TASHKENT, SendOrder(actor=SYSTEM, order_id=order.order_id))
    await world.say(f"112/units/{unit}/orders", orders.heard[0][1])
    await until(lambda: crews.counts.orders + crews.counts.orders_again == 2)
    assert obeyed == [order.order_id]


async def test_a_recall_follows_its_dispatch_in_order(world: FieldWorld) -> None:
    units = [await world.desk.add_unit(f"TK-A{number}") for number in range(20)]
    told: dict[UnitId, list[str]] = {unit: [] for unit in units}

    def hear(unit: UnitId, order: Received) -> None:
        told[unit].append(order.kind)

    await world.crews(*units, on_order=hear)
    for unit in units:
        (order,) = await world.desk.assign(unit)
        assert order.incident_id is not None
        await world.desk.submit(TASHKENT, RecallUnits(actor=SYSTEM, incident_id=order.incident_id))
    await until(lambda: all(told.values()))
    await asyncio.sleep(SETTLE_S)
    assert all(kinds[-1] == "recall" for kinds in told.values())


async def test_an_expired_order_is_not_sent(world: FieldWorld, unit: UnitId) -> None:
    orders = await world.ear("112/units/+/orders")
    world.wire.cut()
    await until(lambda: not world.field.line.up)
    await world.desk.assign(unit)
    world.desk.pass_time(601)
    world.wire.mend()
    await until(lambda: world.field.outbox.counts.lapsed == 1)
    assert orders.heard == []


async def test_an_order_that_the_broker_was_away_for_longer_than_it_holds_reaches_its_crew(
    world: FieldWorld, unit: UnitId
) -> None:
    world.wire.cut()
    await until(lambda: not world.field.line.up)
    (order,) = await world.desk.assign(unit)
    world.desk.pass_time(601)
    world.wire.mend()
    await until(lambda: world.field.outbox.counts.lapsed == 1)
    told: list[Received] = []
    await world.crews(unit, on_order=lambda _, got: told.append(got))
    for waited_s in (0, 16, 16):
        world.desk.pass_time(waited_s)
        for command in due(world.desk.ahead, world.desk.clock.now()):
            await world.desk.submit(TASHKENT, command)
        await until(lambda: world.desk.committed[TASHKENT].orders[order.order_id].stage is Stage.DELIVERED)
    assert [(got.kind, got.order_id) for got in told] == [("dispatch", order.order_id)]
    assert told[0].expires_at > world.desk.clock.now()
    assert not world.desk.happened(AssignmentCleared)


async def test_what_the_field_counts_can_be_read_as_metrics(world: FieldWorld, unit: UnitId) -> None:
    metrics = Metrics()
    metrics.registry.register(FieldMeasures(world.field, world.positions))
    crews = await world.crews(unit)
    await world.desk.assign(unit)
    await until(lambda: crews.counts.orders == 1)
    await until(lambda: world.field.outbox.to_delivered.quantile_ms(0.5) is not None)
    page = metrics.exposition().decode()
    assert 'dispatch112_orders_sent_total{fate="published"} 1.0' in page
    assert 'dispatch112_unit_reports_total{fate="acks"} 1.0' in page
    assert 'dispatch112_order_delivered_seconds{quantile="0.99"}' in page
    assert 'dispatch112_broker_up{line="reports"} 1.0' in page


async def test_a_killed_broker_costs_no_order(world: FieldWorld) -> None:
    units = [await world.desk.add_unit(f"TK-A{number}") for number in range(10)]
    crews = await world.crews(*units)
    pid = world.broker.status()["pid"]
    assert isinstance(pid, int)
    for number, unit in enumerate(units):
        await world.desk.assign(unit)
        if number == 4:
            os.kill(pid, signal.SIGKILL)
    orders = world.desk.committed[TASHKENT].orders
    await until(lambda: all(order.stage is Stage.DELIVERED for order in orders.values()), 20)
    assert crews.counts.orders == len(units)


async def test_a_process_that_leads_no_more_sends_no_order(world: FieldWorld, unit: UnitId) -> None:
    orders = await world.ear("112/units/+/orders")
    world.desk.deposed = True
    await world.desk.assign(unit)
    await until(lambda: world.field.outbox.counts.unled == 1)
    assert (orders.heard, world.field.outbox.counts.published) == ([], 0)
    world.desk.deposed = False
    world.field.led(TASHKENT)
    await until(lambda: len(orders.heard) == 1)
