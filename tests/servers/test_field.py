"""Crews report over a real broker: nothing counts before its commit, nothing is told twice or to another."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from dispatch.core.commands import ReportLink
from dispatch.core.events import OrderStaged, UnitLinked, UnitMoved
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, Stage, UnitId, UnitStatus
from dispatch.field import Field, FieldPlan
from dispatch.servers.broker_programs import find_broker
from dispatch.units import fixes
from dispatch.units.fixes import Fixes
from dispatch.writing.positions import Positions
from simulators import radio as radio_module
from simulators.radio import RadioPlan
from tests.servers.crew_desk import POINT, TASHKENT, CrewDesk, a_position
from tests.servers.field_world import FieldWorld, field_world, plain_client, until
from tests.servers.wire import Wire

AT = "2026-11-23T09:00:00Z"
SETTLE_S = 0.3
FIX = {"_type": "location", "lat": POINT[0], "lon": POINT[1], "tst": 1795424400}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FieldWorld]:
    async with field_world(tmp_path) as made:
        yield made


@pytest.fixture
async def unit(world: FieldWorld) -> UnitId:
    return await world.desk.add_unit("TK-A22")


def moves(world: FieldWorld) -> list[UnitStatus]:
    return [event.status for event in world.desk.happened(UnitMoved)]


async def test_a_status_has_its_receipt_only_after_its_commit(world: FieldWorld, unit: UnitId) -> None:
    receipts = await world.ear("112/units/+/receipts")
    world.desk.gate.clear()
    await world.say(f"112/units/{unit}/status", {"status_id": "s1", "status": "out_of_service", "at": AT})
    await until(lambda: world.desk.ahead.units[unit].status is UnitStatus.OUT_OF_SERVICE)
    await asyncio.sleep(SETTLE_S)
    assert receipts.heard == []
    world.desk.gate.set()
    await until(lambda: receipts.heard == [(f"112/units/{unit}/receipts", {"status_id": "s1"})])
    assert moves(world) == [UnitStatus.OUT_OF_SERVICE]


async def test_a_repeated_status_is_one_event_and_has_its_receipt_again(world: FieldWorld, unit: UnitId) -> None:
    receipts = await world.ear("112/units/+/receipts")
    gone = {"status_id": "s1", "status": "out_of_service", "at": AT}
    back = {"status_id": "s2", "status": "available", "at": AT}
    for said in (gone, back, gone):
        await world.say(f"112/units/{unit}/status", said)
    await until(lambda: [got["status_id"] for _, got in receipts.heard] == ["s1", "s2", "s1"])
    assert moves(world) == [UnitStatus.OUT_OF_SERVICE, UnitStatus.AVAILABLE]
    assert world.desk.ahead.units[unit].status is UnitStatus.AVAILABLE


async def test_a_refused_status_is_receipted_with_the_rule(world: FieldWorld, unit: UnitId) -> None:
    crews = await world.crews(unit)
    receipt = await crews.status(unit, "en_route")
    assert receipt.refused == "no_assignment"
    assert moves(world) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"status": 7}',
        b'{"status_id": "x", "status": "dancing"}',
        b"{}" * 9000,
    ],
)
async def test_malformed_messages_are_counted_and_the_next_is_understood(
    world: FieldWorld, unit: UnitId, payload: bytes
) -> None:
    for kind in ("status", "ack", "link", "position"):
        await world.say(f"112/units/{unit}/{kind}", payload)
    field = world.field
    await until(lambda: field.counts.malformed + field.fixes.counts.malformed >= 4)
    crews = await world.crews(unit)
    assert (await crews.status(unit, "out_of_service")).refused is None


async def test_a_stuck_device_fills_no_log(
    world: FieldWorld, unit: UnitId, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.units.complaints.SAID_EVERY_S", 3600.0)
    with caplog.at_level("INFO"):
        for _ in range(50):
            await world.say(f"112/units/{unit}/position", b"x")
            await world.say(f"112/units/{unit}/status", b"x")
        field = world.field
        await until(lambda: (field.counts.malformed, field.fixes.counts.malformed) == (50, 50))
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("malformed")]
    assert len(said) == 2, said


async def test_an_unreadable_status_that_names_itself_is_not_repeated_for_ever(world: FieldWorld, unit: UnitId) -> None:
    receipts = await world.ear("112/units/+/receipts")
    await world.say(f"112/units/{unit}/status", {"status_id": "s9", "status": "dancing", "at": AT})
    await until(lambda: receipts.on(f"112/units/{unit}/receipts") == [{"status_id": "s9", "refused": "malformed"}])


async def test_an_unknown_unit_is_counted_and_has_no_receipt(world: FieldWorld) -> None:
    receipts = await world.ear("112/units/+/receipts")
    await world.say("112/units/XX-1/status", {"status_id": "s1", "status": "available", "at": AT})
    await until(lambda: world.field.counts.unknown_unit == 1)
    await asyncio.sleep(SETTLE_S)
    assert receipts.heard == []


async def test_the_statuses_of_one_unit_are_committed_in_their_order(world: FieldWorld) -> None:
    units = [await world.desk.add_unit(f"TK-A{number}") for number in range(1, 6)]
    crews = await world.crews(*units)
    turns = ["out_of_service", "available"] * 4
    world.desk.gate.clear()
    reports = [asyncio.create_task(crews.status(unit, turn)) for turn in turns for unit in units]
    await until(lambda: crews.counts.statuses == len(units))
    world.desk.gate.set()
    receipts = await asyncio.gather(*reports)
    assert all(receipt.refused is None for receipt in receipts)
    for unit in units:
        said = [event.status for event in world.desk.happened(UnitMoved) if event.unit_id == unit]
        assert said == turns


async def test_with_the_store_away_a_status_is_repeated_until_it_is_kept(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radio_module, "REPEAT_S", 0.1)
    crews = await world.crews(unit)
    world.desk.away = True
    report = asyncio.create_task(crews.status(unit, "out_of_service"))
    await until(lambda: world.field.counts.away >= 2)
    assert not report.done()
    world.desk.away = False
    assert (await report).refused is None
    assert moves(world) == [UnitStatus.OUT_OF_SERVICE]


async def test_a_device_whose_wire_is_cut_is_out_of_contact_and_comes_back(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "LOST_AFTER_S", 0.3)
    url = await world.unit_url(unit)
    async with Wire(int(url.rpartition(":")[2])) as wire:
        plan = RadioPlan(url=wire.url(url), name="device", units=(unit,), alone=True)
        await world.radio(plan)
        wire.cut()
        await until(lambda: not world.desk.committed[world.desk.ahead.region].units[unit].linked)
        assert world.desk.ahead.units[unit].status is UnitStatus.AVAILABLE, "lost contact is not off duty"
        wire.mend()
        await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False, True])


async def test_a_short_break_is_not_lost_contact(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "LOST_AFTER_S", 2.0)
    url = await world.unit_url(unit)
    async with Wire(int(url.rpartition(":")[2])) as wire:
        plan = RadioPlan(url=wire.url(url), name="device", units=(unit,), alone=True)
        device = await world.radio(plan)
        wire.cut()
        await until(lambda: not device.line.up)
        wire.mend()
        await until(lambda: device.line.ups == 2)
        await asyncio.sleep(2.5)
    assert world.desk.happened(UnitLinked) == []


async def test_a_device_that_says_it_is_gone_is_lost_only_when_it_stays_silent(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "LOST_AFTER_S", 1.0)
    await world.say(f"112/units/{unit}/link", {"online": False})
    await until(lambda: world.field.counts.links == 1)
    await world.say(f"112/units/{unit}/position", FIX)
    await asyncio.sleep(1.0 + SETTLE_S)
    assert world.desk.happened(UnitLinked) == [], "its next fix ended the grace"
    await world.say(f"112/units/{unit}/link", {"online": False})
    await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False])


async def test_the_will_of_an_earlier_connection_loses_nobody(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "LOST_AFTER_S", 0.1)
    await world.say(f"112/units/{unit}/link", {"online": True, "at": "2026-11-23T09:10:00Z"})
    await world.say(f"112/units/{unit}/link", {"online": False, "at": "2026-11-23T09:00:00Z"})
    await until(lambda: world.field.fixes.counts.ignored == 1)
    await asyncio.sleep(0.1 + SETTLE_S)
    assert world.desk.happened(UnitLinked) == []
    await world.say(f"112/units/{unit}/link", {"online": False, "at": "2026-11-23T09:09:58Z"})
    await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False])


@pytest.mark.parametrize("silent_s", [5.0, 31.0])
async def test_silence_before_a_will_that_the_broker_held_back_counts(silent_s: float) -> None:
    now, said = datetime.now(UTC), []
    positions = Positions({UnitId("TK-A22"): TASHKENT}.get)
    looked_at = Fixes(positions, on_link=lambda unit_id, report: said.append(report.online))
    heard_at = now - timedelta(seconds=silent_s)
    positions.put(msgspec.structs.replace(a_position(), at=heard_at, received_at=heard_at))
    looked_at.left(UnitId("TK-A22"), now - timedelta(minutes=10))
    await asyncio.sleep(0.1)
    looked_at.close()
    assert said == ([False] if silent_s > fixes.LOST_AFTER_S else [])


@pytest.mark.parametrize("topic", ["112/units/{}/position", "owntracks/{}/phone"])
async def test_a_unit_that_was_given_up_is_found_by_its_next_fix(world: FieldWorld, unit: UnitId, topic: str) -> None:
    await world.desk.submit(TASHKENT, ReportLink(actor=SYSTEM, unit_id=unit, linked=False))
    await world.say(topic.format(unit), FIX)
    await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False, True])


async def test_a_phone_that_has_gone_is_lost_after_a_grace_and_found_by_its_next_fix(
    world: FieldWorld, unit: UnitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixes, "LOST_AFTER_S", 0.2)
    await world.say(f"owntracks/{unit}/phone", {"_type": "lwt", "tst": 1795424400})
    await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False])
    await world.say(f"owntracks/{unit}/phone", FIX)
    await until(lambda: [event.linked for event in world.desk.happened(UnitLinked)] == [False, True])


async def test_positions_come_by_both_topics_and_the_topic_says_whose_they_are(world: FieldWorld, unit: UnitId) -> None:
    other = await world.desk.add_unit("TK-A23")
    fix = {
        "_type": "location",
        "lat": 41.3,
        "lon": 69.2,
        "tst": 1795424400,
        "vel": 36,
        "cog": 90,
        "tid": "XX",
    }
    await world.say(f"112/units/{unit}/position", fix)
    await world.say(f"owntracks/{other}/phone", fix | {"lat": "41.4"})
    await until(lambda: len(world.positions) == 2)
    first, second = world.positions.get(unit), world.positions.get(other)
    assert first is not None
    assert (first.lat, first.lon, first.speed_mps, first.heading_deg) == (41.3, 69.2, 10.0, 90.0)
    assert second is not None
    assert second.lat == 41.4


async def test_what_the_last_leader_had_committed_moves_nobody_again_under_the_next(
    world: FieldWorld, unit: UnitId
) -> None:
    """The next one heard it all, and applies only what nobody will say again."""
    second = CrewDesk()
    second.committed = world.desk.committed
    field = Field(
        second,
        Positions(second.region_of_unit),
        FieldPlan(url=world.url, name="second"),
        states=second.committed,
        clock=second.clock,
    )
    world.run(field)
    await until(lambda: field.health() == "ok")
    crews = await world.crews(unit)
    await crews.status(unit, "out_of_service")
    await crews.status(unit, "available")
    (order,) = await world.desk.assign(unit)
    committed = second.committed[TASHKENT]
    await until(lambda: committed.orders[order.order_id].stage is Stage.DELIVERED)
    world.desk.ahead = RegionState(TASHKENT)
    await crews.ack(unit, order.order_id, "seen")
    await until(lambda: field.counts.elsewhere == 4)
    second.ahead = committed.copy()
    field.led(TASHKENT)
    await until(lambda: committed.orders[order.order_id].stage is Stage.SEEN)
    await asyncio.sleep(SETTLE_S)
    assert [type(event) for event in second.log] == [OrderStaged]
    assert committed.units[unit].assignment_id == order.assignment_id


async def test_an_acknowledgement_moves_its_order(world: FieldWorld, unit: UnitId) -> None:
    crews = await world.crews(unit)
    (order,) = await world.desk.assign(unit)
    await until(lambda: [event.stage for event in world.desk.happened(OrderStaged)] == [Stage.DELIVERED])
    await crews.ack(unit, order.order_id, "accepted")
    await until(lambda: [event.stage for event in world.desk.happened(OrderStaged)][-1] is Stage.ACCEPTED)
    assert world.field.outbox.to_delivered.quantile_ms(0.5) is not None


async def test_a_unit_cannot_speak_for_another_nor_read_its_orders(world: FieldWorld, unit: UnitId) -> None:
    if not find_broker().enforces_rights:
        pytest.skip("this broker does not enforce topic rights")
    other = await world.desk.add_unit("TK-A23")
    service = await world.ear("112/units/+/status", "112/units/+/orders")
    async with plain_client(await world.unit_url(unit)) as client:
        await client.subscribe([("112/units/+/orders", 1), (f"112/units/{other}/orders", 1)])
        for forged in (f"112/units/{other}/status", f"112/units/{other}/orders"):
            await client.publish(forged, b'{"status_id": "forged"}', qos=1)
        orders = await world.desk.assign(unit), await world.desk.assign(other)
        await until(lambda: len(service.heard) == len(orders))
        await asyncio.sleep(SETTLE_S)
        heard = [message.topic.value async for message in _so_far(client)]
    assert heard == [f"112/units/{unit}/orders"]
    assert "forged" not in str(service.heard)


async def _so_far(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Message]:
    for _ in range(len(client.messages)):
        yield await anext(client.messages)
