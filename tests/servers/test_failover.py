"""Two processes and one region: who may write, who may send, and what one request under one key leads to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from dispatch.clock import SystemClock
from dispatch.core.commands import ReceiveCall
from dispatch.core.terms import ActorId, CallId, Channel, RegionId
from dispatch.engine import Engine, Reply
from dispatch.errors import Elsewhere
from dispatch.keeping.memory import MemoryStore
from dispatch.store import Store
from dispatch.units.held import HELD_S, Held
from dispatch.web.replies import answering
from dispatch.writing.keys import Key
from dispatch.writing.leading import Leader
from dispatch.writing.leases import QUIET_S, nobody_listens
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.snapshots import SNAPSHOT_AGE_S
from tests.servers.field_world import until

TK, TO = RegionId("UZ-TK"), RegionId("UZ-TO")
BOTH = (TK, TO)
APP = ActorId("device:app")


class Core:
    """One process's engine and leader, whose clock of leases a test may move on."""

    def __init__(self, store: Store, name: str, regions: tuple[RegionId, ...] = BOTH) -> None:
        positions = Positions()
        self.engine = Engine(store, SystemClock(), Reacher(positions, None), positions)
        self.leader = Leader(self.engine, store, regions, name)
        self.leader.leases.address = f"http://{name}"
        self.slept_s = 0.0
        own_s = self.engine.now_s
        self.engine.now_s = lambda: own_s() + self.slept_s
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.tasks.append(asyncio.create_task(self.engine.run()))
        await self.leader.start()
        self.tasks.append(asyncio.create_task(self.leader.run()))

    async def freeze(self) -> None:
        """It does nothing any more, keeps what it knows, and gives nothing up."""
        for task in self.tasks[1:]:
            task.cancel()
        await asyncio.gather(*self.tasks[1:], return_exceptions=True)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def call(self, number: int, key: str | None = None, region: RegionId = TK) -> Reply:
        call_id = CallId(f"c-{number}")
        command = ReceiveCall(actor=APP, call_id=call_id, channel=Channel.APP)
        answer = answering(201, lambda state: {"call_id": call_id})
        used = Key(actor=APP, key=key, body_hash=b"h" * 32) if key else None
        return await self.engine.submit(region, command, answer=answer, key=used)


@asynccontextmanager
async def cores(store: Store, *names: str) -> AsyncIterator[list[Core]]:
    made = [Core(store, name) for name in names]
    try:
        yield made
    finally:
        for core in made:
            await core.end()


async def test_two_processes_share_the_regions_and_a_dead_ones_are_taken_over(store: Store) -> None:
    async with cores(store, "a", "b") as (a, b):
        await a.start()
        assert set(a.engine.led) == set(BOTH)
        await b.start()
        await until(lambda: len(a.engine.led) == len(b.engine.led) == 1, 10)
        await a.freeze()
        await until(lambda: set(b.engine.led) == set(BOTH), 10)
        assert b.leader.ready


async def test_a_region_goes_on_in_its_own_time_though_its_next_leaders_clock_is_behind(store: Store) -> None:
    async with cores(store, "a", "b") as (a, b):
        ahead = a.engine.clock.now() + timedelta(hours=1)
        a.engine.clock.at_least(ahead)
        await a.start()
        await a.call(1)
        await a.freeze()
        await a.leader.leases.release()
        assert b.engine.clock.now() < ahead
        await b.start()
        assert b.engine.clock.now() >= ahead


async def test_a_killed_process_is_replaced_before_its_lease_ends_and_a_silent_one_is_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.writing.leases.LEASE_S", 60.0)
    monkeypatch.setattr("dispatch.writing.leases.UNRENEWED_S", 0.8)
    door = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    async with cores(store, "a", "b") as (a, b):
        a.leader.leases.address = f"http://127.0.0.1:{port}"
        await a.start()
        await b.start()
        await until(lambda: len(a.engine.led) == len(b.engine.led) == 1, 10)
        await a.freeze()
        # Somebody listens there, who has only stopped renewing: his lease stands.
        await asyncio.sleep(2.0)
        assert len(b.engine.led) == 1
        door.close()
        await door.wait_closed()
        await until(lambda: set(b.engine.led) == set(BOTH), 10)
        # Nothing is given back to the dead, though its row among the processes stands for a minute.
        await asyncio.sleep(QUIET_S + 1.0)
        assert set(b.engine.led) == set(BOTH)
        # And should he live after all, he writes nothing.
        taken = next(iter(a.engine.led))
        with pytest.raises(Elsewhere):
            await a.call(1, region=taken)


async def test_a_lease_ends_though_the_databases_clock_is_set_back(store: Store) -> None:
    async with cores(store, "a", "b") as (a, b):
        await a.start()
        await a.freeze()
        # Seen by a clock that was set back, what is left of a lease is an hour and more.
        assert await store.renew(BOTH, "a", 3600.0, "http://a") == set(BOTH)
        await b.start()
        assert not b.engine.led
        await until(lambda: set(b.engine.led) == set(BOTH), 10)
        with pytest.raises(Elsewhere):
            await a.call(1)


async def test_only_a_refusal_that_can_be_the_holders_own_is_a_sign_of_death() -> None:
    async with cores(MemoryStore(), "here:a") as (a,):
        for holder, address, may in (
            ("here:b", "http://127.0.0.1:1", True),
            ("there:b", "http://127.0.0.1:1", False),
            ("there:b", "http://localhost", False),
            ("there:b", "http://core2.example", True),
            ("there:b", "", False),
            ("here:a", "http://core1.example", False),
        ):
            assert a.leader.leases._may_knock(holder, address) is may
    with socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))
        assert await nobody_listens(f"http://127.0.0.1:{shut.getsockname()[1]}")
    assert not await nobody_listens("http://no host")


@pytest.mark.parametrize(("address", "port"), [("http://core", 80), ("https://core/", 443), ("http://core:8080", 8080)])
async def test_a_knock_is_at_the_port_that_requests_go_to(
    monkeypatch: pytest.MonkeyPatch, address: str, port: int
) -> None:
    async def refused(host: str, at: int) -> None:
        raise ConnectionRefusedError if at == port else AssertionError(at)

    monkeypatch.setattr(asyncio, "open_connection", refused)
    assert await nobody_listens(address)


async def test_a_leader_that_slept_past_its_lease_decides_nothing(store: Store) -> None:
    async with cores(store, "a") as (a,):
        await a.start()
        await a.call(1)
        await a.freeze()
        a.slept_s = 60.0
        assert not a.engine.leads(TK)
        with pytest.raises(Elsewhere):
            await a.call(2)
        assert (await store.heads())[TK][0] == 1


async def test_a_leader_that_was_late_and_not_replaced_goes_on_and_is_told_so(store: Store) -> None:
    async with cores(store, "a") as (a,):
        await a.start()
        await a.call(1)
        await a.freeze()
        again: list[RegionId] = []
        a.leader.on_led.append(again.append)
        a.slept_s = 60.0
        await a.leader.leases.renew()
        assert sorted(again) == sorted(BOTH)
        assert (await a.call(2)).seq == 2


async def test_a_woken_leader_writes_nothing_once_another_leads(store: Store) -> None:
    async with cores(store, "a", "b") as (a, b):
        await a.start()
        await a.call(1)
        await a.freeze()
        for region in BOTH:
            await store.release([region], "a")
        await b.start()
        await b.call(2)
        # The old one still believes in its lease, as between its waking and its first look at the clock.
        with pytest.raises(Elsewhere):
            await a.call(3)
        assert TK not in a.engine.led
        assert set(b.engine.replicas.states[TK].calls) == {"c-1", "c-2"}
        assert (await store.heads())[TK][0] == b.engine.states[TK].seq


async def test_one_key_at_two_processes_leads_to_one_call(store: Store) -> None:
    a, b = Core(store, "a", (TK,)), Core(store, "b", (TO,))
    try:
        await a.start()
        await b.start()
        first, second = await asyncio.gather(a.call(1, "k", TK), b.call(2, "k", TO))
        assert first.body == second.body
        assert sorted((first.replayed, second.replayed)) == [False, True]
        heads = await store.heads()
        assert heads[TK][0] + heads[TO][0] == 1
        # Whoever came second has thrown its state away and goes on from the journal.
        await until(lambda: TK in a.engine.led and TO in b.engine.led, 10)
        assert (await b.call(3, "k2", TO)).seq == heads[TO][0] + 1
    finally:
        await a.end()
        await b.end()


async def test_keys_repeated_across_a_border_stop_a_region_once(store: Store) -> None:
    a, b = Core(store, "a", (TK,)), Core(store, "b", (TO,))
    try:
        await a.start()
        await b.start()
        await until(lambda: TO in b.engine._recollection._known.certain, 10)
        stopped: list[str] = []
        b.engine.on_down.append(lambda _, why: stopped.append(why))
        for number in range(4):
            first = await a.call(number, f"k{number}", TK)
            await until(lambda: TO in b.engine.led and TO in b.engine._recollection._known.certain, 10)
            again = await b.call(10 + number, f"k{number}", TO)
            assert (again.replayed, again.body) == (True, first.body)
        assert stopped == ["repeated"]
    finally:
        await a.end()
        await b.end()


async def test_a_process_that_goes_hands_its_regions_over_while_it_still_answers() -> None:
    store = MemoryStore()
    async with cores(store, "a", "b") as (a, b):
        await a.start()
        await b.start()
        calls = [await a.call(number) if TK in a.engine.led else await b.call(number) for number in range(3)]
        await a.leader.retire()
        assert set(b.engine.led) == set(BOTH)
        assert not a.leader.ready
        assert len(b.engine.replicas.states[TK].calls) == len(calls)
        assert (await store.load(TK)).snapshot_seq == 3


async def test_two_processes_that_go_at_once_do_not_wait_for_one_another(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with cores(store, "a", "b") as (a, b):
        await a.start()
        await b.start()
        await until(lambda: len(a.engine.led) == len(b.engine.led) == 1, 10)
        await asyncio.gather(a.leader.retire(), b.leader.retire())
    assert "went before every region had its next leader" not in caplog.text


async def test_one_that_goes_leaves_its_regions_to_a_third_that_stays(store: Store) -> None:
    async with cores(store, "a", "b", "c") as (a, b, c):
        for core in (a, b, c):
            await core.start()
        await asyncio.gather(a.leader.retire(), b.leader.retire())
        assert set(c.engine.led) == set(BOTH)


async def test_a_quiet_region_has_its_snapshot_by_age(store: Store) -> None:
    async with cores(store, "a") as (a,):
        await a.start()
        await a.call(1)
        assert list(a.leader.snapshots.due()) == []
        a.slept_s = SNAPSHOT_AGE_S + 1
        assert list(a.leader.snapshots.due()) == [TK]
        await a.leader.snapshots.take(TK)
        assert (await store.load(TK)).snapshot_seq == 1


def test_reports_are_held_for_whoever_leads_next_and_not_for_ever() -> None:
    now_s = 100.0
    held: Held[str] = Held(lambda: now_s)
    held.keep("TK-1", "old")  # type: ignore[arg-type]
    now_s += HELD_S + 1
    held.keep("TK-1", "first")  # type: ignore[arg-type]
    held.keep("SA-1", "other")  # type: ignore[arg-type]
    held.keep("TK-1", "second")  # type: ignore[arg-type]
    assert [report for _, report in held.taken(lambda unit_id: unit_id == "TK-1")] == ["first", "second"]
    assert list(held.taken(lambda unit_id: unit_id == "TK-1")) == []
    assert len(held) == 1
