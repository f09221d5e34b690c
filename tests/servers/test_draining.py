"""Out of the spool into the journal: in order, each region for itself, and whatever one of its calls is."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec
import pytest
from asyncpg import DataCorruptedError

from consoles.carrying import Carried, Carrier
from dispatch import draining
from dispatch.calling.contacts import BURST
from dispatch.calling.reception import Contact
from dispatch.core.terms import CallId, RegionId
from dispatch.engine import Reply
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.spool import Spooled
from dispatch.store import StoreAway
from dispatch.writing.leases import Load
from dispatch.writing.records import Process, UnreadableContact
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld
from tests.servers.test_api_spool import HERE, SENDER, committed


def keep_samarkand_unled(world: ApiWorld) -> Load:
    """From the next time on that it must be loaded; what is returned loads it, put back."""
    load = world.leader.leases.load

    async def loaded(region: RegionId, epoch: int) -> None:
        if region == SA:
            raise RuntimeError("a fault of our own keeps the region from being led")
        await load(region, epoch)

    world.leader.leases.load = loaded
    return load


async def unasked(process: Process, path: str, raw: bytes) -> tuple[int, bytes]:
    raise AssertionError("nothing is sent on from here")


async def test_a_spooled_call_that_this_version_cannot_read_waits_for_a_person_and_holds_nobody_up(
    world: ApiWorld, twin: MemoryStore
) -> None:
    assert world.spool is not None
    twin.faults.away = True
    strange = Spooled(
        call_id=CallId("c-strange"), at=world.clock.now(), actor=SENDER, raw=b'{"channel":"beacon"}', answer=b"{}"
    )
    await world.spool.add(strange)
    call = await world.new_call(location=HERE)
    twin.faults.away = False
    await committed(world, call["call_id"])
    (kept,), _ = await twin.contacts(None, None, 9)
    assert (kept.raw, kept.door) == (strange.raw, "spool")


async def test_a_region_that_cannot_be_written_holds_up_no_call_of_another(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "DRAINED_AT_ONCE", 3)
    load = keep_samarkand_unled(world)
    twin.faults.away = True
    there = [{"source": "app", "point": REGISTAN, "accuracy_m": 20}]
    waiting = [await world.new_call(location=there) for _ in range(4)]
    here = await world.new_call(location=HERE)
    assert world.spool is not None
    await world.spool.add(
        Spooled(call_id=CallId("c-strange"), at=world.clock.now(), actor=SENDER, raw=b"{}", answer=b"{}", region=TK)
    )
    twin.faults.away = False
    async with asyncio.timeout(60):
        while len(world.spool) > len(waiting):
            await asyncio.sleep(0.02)
    await asyncio.sleep(3 * draining.DRAIN_S)
    assert here["call_id"] in world.engine.replicas.states[TK].calls
    kept, _ = await twin.contacts(None, None, 9)
    assert [contact.raw for contact in kept] == [b"{}"], "a call that nobody can read waits for a person once"
    world.leader.leases.load = load
    async with asyncio.timeout(60):
        while len(world.spool):
            await asyncio.sleep(0.02)
    assert list(world.engine.replicas.states[SA].calls) == [call["call_id"] for call in waiting]


async def test_calls_that_turn_out_to_be_a_silent_regions_hold_up_none_behind_them(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spooled for one region, and of another by what the map says today, which nobody can write."""
    monkeypatch.setattr(draining, "DRAINED_AT_ONCE", 3)
    load = keep_samarkand_unled(world)
    twin.faults.away = True
    there = [{"source": "app", "point": REGISTAN, "accuracy_m": 20}]
    async with asyncio.timeout(60):
        while SA in world.engine.led:
            await world.new_call(location=there)
            await asyncio.sleep(0.1)
    assert world.spool is not None
    told = msgspec.json.encode({"channel": "app", "location": there})
    for number in range(4):
        await world.spool.add(
            Spooled(
                call_id=CallId(f"c-{number}"), at=world.clock.now(), actor=SENDER, raw=told, answer=b"{}", region=TK
            )
        )
    here = await world.new_call(location=HERE)
    twin.faults.away = False
    async with asyncio.timeout(60):
        while here["call_id"] not in world.engine.replicas.states[TK].calls:
            await asyncio.sleep(0.02)
    world.leader.leases.load = load
    async with asyncio.timeout(60):
        while len(world.spool):
            await asyncio.sleep(0.02)
    assert {f"c-{number}" for number in range(4)} <= set(world.engine.replicas.states[SA].calls)


async def test_of_carried_calls_those_that_can_be_kept_are_and_are_named(world: ApiWorld) -> None:
    there = RegionId("UZ-SA")
    await world.leader.leases.give([there])
    carrier = Carrier(world.interface.intake, world.neighbours.inbox, world.leader.leases, unasked)
    calls = [
        Spooled(
            call_id=CallId(name),
            at=world.clock.now(),
            actor=SENDER,
            raw=msgspec.json.encode({"channel": "app", "location": [{"source": "app", "point": point}]}),
            answer=b"{}",
        )
        for name, point in (("c-sa", REGISTAN), ("c-tk", CHORSU))
    ]
    world.leader.leases.retiring = True  # Nobody leads it meanwhile.
    kept = await carrier.keep(Carried(calls=tuple(calls)))
    assert kept is not None and kept.calls == ("c-tk",)
    world.leader.leases.retiring = False
    async with asyncio.timeout(60):
        while there not in world.engine.led:
            await asyncio.sleep(0.02)
    assert await carrier.keep(Carried(calls=tuple(calls))) is None
    assert "c-sa" in world.engine.replicas.states[SA].calls


async def test_a_fault_in_one_loop_of_the_interface_stops_no_other_and_begins_that_one_again(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain, aml, fallen, turns = world.interface.intake.drain, world.interface.aml, asyncio.Event(), []

    def broken(tasks: asyncio.TaskGroup) -> None:
        fallen.set()
        raise ZeroDivisionError("our own bug")

    async with asyncio.timeout(60):
        with monkeypatch.context() as planted:
            planted.setattr(drain, "_begin", broken)
            planted.setattr(aml, "tidy", lambda: turns.append(fallen.is_set()))
            while turns.count(True) < 3:
                await asyncio.sleep(0.02)
    twin.faults.away = True
    call = await world.new_call(location=HERE)
    twin.faults.away = False
    await committed(world, call["call_id"])
    assert await world.counted("dispatch112_faults_total", where="drain") >= 1
    assert await world.counted("dispatch112_faults_total", where="aml") == 0


def poison(name: str, world: ApiWorld, region: RegionId = TK) -> Spooled:
    """A call that no version can read."""
    return Spooled(
        call_id=CallId(name), at=world.clock.now(), actor=SENDER, raw=name.encode(), answer=b"{}", region=region
    )


@pytest.mark.parametrize("fault", [DataCorruptedError("invalid page"), StoreAway("no answer")])
async def test_calls_that_cannot_even_be_kept_raw_hold_up_none_behind_them_and_none_of_another_region(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def damaged(contact: UnreadableContact) -> None:
        raise fault

    monkeypatch.setattr(draining, "DRAINED_AT_ONCE", 3)
    assert world.spool is not None
    with monkeypatch.context() as planted:
        planted.setattr(twin, "keep_contact", damaged)
        twin.faults.away = True
        poisons = [poison(f"{region}-{number}", world, region) for number in range(4) for region in (TK, SA)]
        for each in poisons:
            await world.spool.add(each)
        here = await world.new_call(location=HERE)
        there = await world.new_call(location=[{"source": "app", "point": REGISTAN, "accuracy_m": 20}])
        twin.faults.away = False
        async with asyncio.timeout(60):
            while len(world.spool) > len(poisons):
                await asyncio.sleep(0.02)
        states = world.engine.replicas.states
        assert (list(states[TK].calls), list(states[SA].calls)) == ([here["call_id"]], [there["call_id"]])
    async with asyncio.timeout(60):
        while len(world.spool):
            await asyncio.sleep(0.02)
    kept, _ = await twin.contacts(None, None, 20)
    assert sorted(contact.raw for contact in kept) == sorted(each.raw for each in poisons)


async def test_a_call_that_can_neither_be_decided_nor_kept_raw_does_not_stop_its_region_at_each_turn(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding: list[Contact] = []

    async def failing(contact: Contact) -> Reply:
        deciding.append(contact)
        raise KeyError("our own bug")

    async def away(contact: UnreadableContact) -> None:
        raise StoreAway("no answer")

    assert world.spool is not None
    oldest, turns = world.spool.oldest, []

    def counted(region: str, most: int, but: Collection[CallId] = ()) -> list[Spooled]:
        turns.append(region)
        return oldest(region, most, but)

    monkeypatch.setattr(draining, "REST_S", 3600.0)
    monkeypatch.setattr(twin, "keep_contact", away)
    twin.faults.away = True
    await world.new_call(location=HERE)
    monkeypatch.setattr(world.interface.intake.reception, "receive", failing)
    monkeypatch.setattr(world.spool, "oldest", counted)
    twin.faults.away = False
    async with asyncio.timeout(60):
        while len(turns) < 6:
            await asyncio.sleep(0.02)
    assert (len(deciding), len(world.spool)) == (1, 1)


async def test_a_call_that_a_passing_fault_kept_from_journal_and_contacts_is_committed_behind_it(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def failing(*_: object) -> Reply:
        tried.append("")
        raise DataCorruptedError("invalid page")

    monkeypatch.setattr(draining, "REST_S", 0.0)
    twin.faults.away = True
    call = await world.new_call(location=HERE)
    with monkeypatch.context() as planted:
        planted.setattr(twin, "keep_contact", failing)
        planted.setattr(world.interface.intake.reception, "receive", failing)
        twin.faults.away = False
        async with asyncio.timeout(60):
            while len(tried) < 4:
                await asyncio.sleep(0.02)
    await committed(world, call["call_id"])
    assert (await twin.contacts(None, None, 9))[0] == []


async def test_a_fault_of_the_spool_in_one_region_leaves_the_others_their_turns(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.spool is not None
    oldest = world.spool.oldest

    def failing(region: str, most: int, but: Collection[CallId] = ()) -> list[Spooled]:
        if region == SA:
            raise ZeroDivisionError("our own bug")
        return oldest(region, most, but)

    twin.faults.away = True
    await world.new_call(location=[{"source": "app", "point": REGISTAN, "accuracy_m": 20}])
    here = await world.new_call(location=HERE)
    with monkeypatch.context() as planted:
        planted.setattr(world.spool, "oldest", failing)
        twin.faults.away = False
        async with asyncio.timeout(60):
            while len(world.spool) > 1:
                await asyncio.sleep(0.02)
    assert here["call_id"] in world.engine.replicas.states[TK].calls
    async with asyncio.timeout(60):
        while len(world.spool):
            await asyncio.sleep(0.02)
    assert await world.counted("dispatch112_faults_total", where="drain") == 0


async def test_no_spooled_call_is_dropped_for_its_senders_rate(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.faults.away = True
    texts = [f"Yordam {number}" for number in range(BURST + 10)]
    for text in texts:
        await world.new_call(location=HERE, text=text)

    async def broken(contact: Contact) -> Reply:
        raise ZeroDivisionError("our own bug")

    monkeypatch.setattr(world.interface.intake.reception, "receive", broken)
    twin.faults.away = False
    async with asyncio.timeout(60):
        while len(world.spool or ()):
            await asyncio.sleep(0.02)
    found, _ = await twin.contacts(None, None, 100)
    assert [msgspec.json.decode(contact.raw)["text"] for contact in found] == texts
