"""AML across a restart, a takeover and an outage: a handset's location finds its call all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dispatch.calling.recognising import recognisable
from dispatch.core.events import Event
from dispatch.core.terms import CallId, RegionId
from dispatch.formats.aml import decode
from dispatch.keeping.memory import MemoryStore
from dispatch.writing.records import Recorded
from tests.servers.api_world import TK, ApiWorld, api_world
from tests.servers.test_api_aml import (
    IMEI,
    NUMBER,
    ended_call,
    form,
    incident_place,
    kept_for_a_person,
    outcome,
    place,
    send,
)


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        yield running


async def test_numbers_are_known_again_after_a_restart(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await world.stop()
    await world.start()
    await send(world, form(device_number=NUMBER))
    assert place(world, call["call_id"]).source == "aml"


async def test_locations_that_come_while_the_database_is_away_find_their_calls_when_it_is_back() -> None:
    twin = MemoryStore()
    async with api_world(twin) as world:
        numbers = [NUMBER, "+998901234568", "+998901234569"]
        calls = [await world.new_call(channel="voice", caller={"number": number}) for number in numbers]
        recognising: list[asyncio.Task[None]] = []

        def recognised(region: RegionId) -> None:
            known = list(world.engine.replicas.states[region].calls.values())
            recognising.append(asyncio.create_task(world.interface.aml.recognise(known)))

        world.leader.on_led.append(recognised)
        twin.faults.away = True
        for number in numbers:
            await send(world, form(device_number=number))
            world.interface.aml.tidy()
        assert (await outcome(world, "away"), await outcome(world, "late")) == (3, 0)
        twin.faults.away = False
        async with asyncio.timeout(60):
            while not all(place(world, call["call_id"]) for call in calls):
                await asyncio.sleep(0.02)
        await asyncio.gather(*recognising)


async def test_a_caller_that_cannot_be_read_when_a_region_is_taken_over_is_read_when_the_database_is_back() -> None:
    twin = MemoryStore()
    async with api_world(twin) as world:
        call = await world.new_call(channel="voice", caller={"number": NUMBER})
        aml, state = world.interface.aml, world.engine.replicas.states[TK]
        aml.matcher.forget(CallId(call["call_id"]))  # As in a process that did not take it.
        twin.faults.away = True
        await aml.recognise(recognisable(state))
        await send(world, form(device_number=NUMBER))
        assert (await outcome(world, "waiting"), len(aml.matcher)) == (1, 0)
        twin.faults.away = False
        async with asyncio.timeout(60):
            while place(world, call["call_id"]) is None:
                await asyncio.sleep(0.02)


async def test_a_location_is_tried_again_though_its_region_was_never_given_up(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could say for a moment what the last commit had kept."""
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    monkeypatch.setattr(world.engine._committer, "in_doubt", True)
    await send(world, form(device_number=NUMBER))
    monkeypatch.undo()
    assert (await outcome(world, "away"), place(world, call["call_id"])) == (1, None)
    async with asyncio.timeout(60):
        while place(world, call["call_id"]) is None:
            await asyncio.sleep(0.02)


async def test_a_call_that_the_spool_repeats_after_a_crash_is_still_found_by_its_handset(tmp_path: Path) -> None:
    twin = MemoryStore()
    async with api_world(twin, tmp_path) as world:
        assert world.spool is not None
        await world.get("regions")
        twin.faults.away = True
        call = await world.new_call(channel="voice", caller={"number": NUMBER})
        spooled = world.spool.first()
        assert spooled is not None
        twin.faults.away = False
        async with asyncio.timeout(60):
            while len(world.spool):
                await asyncio.sleep(0.02)
        # Committed, and killed before it was marked so.
        await world.interface.intake.drain.commit(spooled)
        await send(world, form(device_number=NUMBER))
        assert place(world, call["call_id"]).source == "aml"


async def test_a_location_that_could_not_be_kept_does_not_put_its_committed_call_into_the_spool(
    tmp_path: Path,
) -> None:
    twin = MemoryStore()
    async with api_world(twin, tmp_path) as world:

        def lose_the_next(region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
            twin.faults.fail_before_commit = int(recorded[0].kind == "call_received")

        world.engine.on_commit.append(lose_the_next)
        twin.faults.latency_s = 2.0
        calling = asyncio.create_task(world.new_call(channel="voice", caller={"number": NUMBER}))
        async with asyncio.timeout(60):
            while not world.engine.states[TK].calls:
                await asyncio.sleep(0.01)
        await send(world, form(device_number=NUMBER))
        call = await calling
        assert (await outcome(world, "waiting"), call["flags"]) == (1, ["unlocated"])
        assert len(world.interface.aml.matcher) == world.interface.aml.matcher.waiting == 1
        twin.faults.latency_s = 0.0
        async with asyncio.timeout(60):
            while place(world, call["call_id"]) is None:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("caller", "handset"),
    [({"number": "90 123-45-67"}, {"device_number": NUMBER}), ({"imei": "35-347210-434354-0"}, {"device_imei": IMEI})],
)
async def test_a_location_waits_as_long_as_its_call_does_in_the_spool(
    tmp_path: Path, caller: dict[str, str], handset: dict[str, Any]
) -> None:
    twin = MemoryStore()
    async with api_world(twin, tmp_path) as world:
        await world.get("regions")
        twin.faults.away = True
        call = await world.new_call(channel="voice", caller=caller)
        assert call["flags"] == ["spooled", "unlocated"]
        await send(world, form(**handset))
        await send(world, form(device_number="+998935554433"))
        for _ in range(6):
            world.clock.advance(601)
            world.interface.aml.tidy()
        assert await outcome(world, "expired") == 1, "nobody's location goes all the same"
        twin.faults.away = False
        calls = world.engine.replicas.states[TK].calls
        async with asyncio.timeout(60):
            while call["call_id"] not in calls or place(world, call["call_id"]) is None:
                await asyncio.sleep(0.02)
                calls = world.engine.replicas.states[TK].calls
        assert place(world, call["call_id"]).source == "aml"
        assert world.interface.aml.matcher.waiting == 0


@pytest.mark.parametrize("joined", [True, False])
async def test_what_comes_for_a_call_that_is_over_is_judged_when_its_region_is_written_again(joined: bool) -> None:
    twin = MemoryStore()
    async with api_world(twin) as world:
        over = await ended_call(world, join=joined)
        await world.new_call(channel="voice", caller={"number": "+998901234568"})
        twin.faults.away = True
        for number in ("+998901234568", NUMBER):
            await send(world, form(device_number=number))
        assert (await outcome(world, "away"), await outcome(world, "late")) == (2, 0)
        world.clock.advance(300)
        world.interface.aml.tidy()
        twin.faults.away = False
        async with asyncio.timeout(60):
            while not (incident_place(world, over) if joined else await kept_for_a_person(world)):
                await asyncio.sleep(0.02)
        assert await outcome(world, "late_used" if joined else "late") == 1
        assert len(await kept_for_a_person(world)) == (0 if joined else 1)


async def test_a_location_that_was_used_where_its_region_was_led_before_is_nobody_s_work_after_a_takeover(
    world: ApiWorld,
) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    body = form(device_number=NUMBER)
    await send(world, body)
    world.clock.advance(1)
    matcher = world.interface.aml.matcher
    matcher.keep(decode(body), world.clock.now())
    await world.post(f"calls/{call['call_id']}/close", {"disposition": "test"}, token="taker")
    world.interface.intake.reception.untold.add(CallId(call["call_id"]))
    async with asyncio.timeout(60):
        while matcher.waiting:
            await asyncio.sleep(0.02)
    assert (await outcome(world, "late"), await kept_for_a_person(world)) == (0, [])
