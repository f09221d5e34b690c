"""What keeps a follower true goes on after every fault, and says what stands still and what is wrong elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import asyncpg
import pytest

from consoles.access import Access
from consoles.front import cancelled
from consoles.watched import followed
from dispatch.clock import ManualClock, SystemClock
from dispatch.core.commands import SetPolicy
from dispatch.core.terms import SYSTEM, Policy, RegionId
from dispatch.door import open_door
from dispatch.engine import Engine
from dispatch.fanout import LocalFanout
from dispatch.following.follower import Follower
from dispatch.following.leaders import Leaders
from dispatch.keeping.memory import MemoryStore
from dispatch.web.alarms import TECHNICIAN, Alarms, Watched
from dispatch.web.application import application
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Routes
from dispatch.web.websocket import Socket
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Position, Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Recorded
from dispatch.writing.replica import Replicas
from tests.servers.field_world import until

TASHKENT = RegionId("UZ-TK")


class Bus(LocalFanout):
    """A bus whose positions nobody can take while `spoilt`."""

    spoilt = False
    refused = 0

    async def positions(self, region: RegionId) -> AsyncGenerator[Sequence[Position], None]:
        if self.spoilt:
            self.refused += 1
            raise KeyError("positions of another version")
        async for moved in super().positions(region):
            yield moved


class Followed:
    """A region that an engine writes, and a follower of it with replicas of its own."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        positions = Positions()
        self.engine = Engine(self.store, SystemClock(), Reacher(positions, None), positions)
        self.bus = Bus(self.store)
        self.engine.on_commit.append(lambda region, recorded, events: self.bus.publish(region, recorded))
        self.replicas = Replicas()
        self.follower = Follower(self.store, self.bus, self.replicas, Positions())

    async def commit(self) -> int:
        """Something that changes the region; the number of its event."""
        command = SetPolicy(actor=SYSTEM, policy=Policy(attended=True))
        return (await self.engine.submit(TASHKENT, command)).seq

    def shows(self, seq: int) -> bool:
        return self.replicas.states[TASHKENT].seq == seq


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    monkeypatch.setattr("dispatch.following.follower.AGAIN_S", 0.02)
    made = Followed()
    await made.store.open()
    leader = Leader(made.engine, made.store, (TASHKENT,), "test")
    committing = asyncio.create_task(made.engine.run())
    await leader.start()
    leasing = asyncio.create_task(leader.leases.run())
    await made.follower.start((TASHKENT,))
    yield made
    await leader.stop()
    await cancelled(committing, leasing)


@contextlib.asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        await cancelled(task)


async def test_positions_that_cannot_be_taken_make_no_board_stand_still(
    world: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    world.bus.spoilt = True
    async with running(world.follower):
        await until(lambda: world.bus.refused > 3)
        seq = await world.commit()
        await until(lambda: world.shows(seq))
        assert (world.follower.ready, world.follower.behind()) == (True, None)
    said = [record for record in caplog.records if record.getMessage() == "fault while watching positions"]
    assert len(said) == 1, "what comes again and again is said once"


async def test_a_follower_that_was_closed_is_not_ready_and_its_regions_are_an_alarm(world: Followed) -> None:
    alarms = Alarms(Metrics(), ManualClock().now)
    condition = followed(world.follower)
    alarms.watch(condition)
    async with running(world.follower):
        await until(lambda: bool(world.follower._tasks))
        assert (world.follower.ready, condition.said()) == (True, None)
    assert not world.follower.ready
    for codes in ([], [], ["region_unfollowed"]):
        alarms.look()
        assert [alarm.code for alarm in alarms.standing()] == codes
    assert "UZ-TK" in alarms.standing()[0].detail
    seq = await world.commit()
    async with running(world.follower):
        await until(lambda: world.follower.ready and world.shows(seq))
        alarms.look()
        assert alarms.standing() == ()


async def test_a_region_that_cannot_be_loaded_again_is_said_to_stand_still(
    world: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(region: str) -> object:
        raise asyncpg.InsufficientPrivilegeError("permission denied for table events")

    async with running(world.follower):
        await until(lambda: bool(world.follower._tasks))
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "load", refusing)
            world.follower.leave(TASHKENT)
            world.follower.begin(TASHKENT)
            await until(lambda: world.follower.behind() is not None)
            assert not world.follower.ready
        seq = await world.commit()
        await until(lambda: world.follower.ready and world.shows(seq))


async def test_a_board_whose_journal_is_silent_is_said_to_be_old_until_it_answers(
    world: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.following.follower.SILENT_S", 0.05)
    monkeypatch.setattr("dispatch.fanout.QUIET_S", 0.05)
    answers, events = asyncio.Event(), world.store.events

    async def silent(region: str, after: int, limit: int) -> Sequence[Recorded]:
        await answers.wait()
        return await events(region, after, limit)

    async with running(world.follower):
        monkeypatch.setattr(world.store, "events", silent)
        await until(lambda: "UZ-TK" in (world.follower.behind() or ""))
        assert world.follower.ready, "what is shown is old, and nothing need be loaded again"
        seq = await world.commit()
        answers.set()
        await until(lambda: world.shows(seq) and world.follower.behind() is None)


class Led:
    """A process that leads, as others see it: what it says of itself, and what is wrong with it."""

    def __init__(self) -> None:
        self.word = "ok"
        self.wrong: str | None = None
        self.metrics = Metrics()
        self.alarms = Alarms(self.metrics, ManualClock().now)
        self.alarms.watch(Watched(code="disk_low", owner=TECHNICIAN, said=lambda: self.wrong, grave=True))

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[str]:
        """Its address, where it answers."""
        store = MemoryStore()
        await store.open()
        health = Health(self.metrics, store.ping, lambda: True, {"travel": lambda: self.word}, alarms=self.alarms)
        access = Access(store, ManualClock(), self.metrics)
        app = application(Routes(*health.routes()), access.actor_of, self.metrics)
        door = await open_door(app, nobody, ("127.0.0.1", 0), self.metrics)
        try:
            yield f"http://127.0.0.1:{door.port}"
        finally:
            await door.close(0.1)


async def nobody(socket: Socket) -> None:
    socket.abort()


async def test_what_stands_at_a_leader_is_known_while_it_answers() -> None:
    led = Led()
    at: dict[str, str] = {}
    leaders = Leaders(lambda: known(at), lambda: [TASHKENT])
    async with led.answering() as address:
        at[TASHKENT] = address
        await leaders.look()
        await leaders.ask()
        assert (leaders.health(), leaders.word("travel"), leaders.word("mqtt")) == ("ok", "ok", "none")
        assert leaders.alarms() == ()
        led.word, led.wrong = "degraded", "17 MiB are free"
        led.alarms.look()
        await leaders.ask()
        (alarm,) = leaders.alarms()
        assert (alarm.code, alarm.owner, alarm.grave, alarm.detail) == ("disk_low", TECHNICIAN, True, "")
        assert leaders.word("travel") == "degraded"
    await leaders.ask()
    assert leaders.alarms() == ()
    # Nobody says that the broker is away: nobody says anything.
    assert (leaders.health(), leaders.word("travel"), leaders.word("mqtt")) == ("away", "unknown", "unknown")
    await leaders.close()


async def known(at: Mapping[str, str]) -> Mapping[str, str]:
    return dict(at)


async def test_a_database_that_refuses_to_say_who_leads_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dispatch.following.leaders.LOOK_S", 0.01)
    refused = 0
    at: dict[str, str] = {}

    async def led_at() -> Mapping[str, str]:
        nonlocal refused
        if not at:
            refused += 1
            raise asyncpg.InvalidPasswordError("password authentication failed")
        return at

    leaders = Leaders(led_at, lambda: [TASHKENT])
    task = asyncio.create_task(leaders.run())
    await until(lambda: refused > 3)
    assert not leaders.known
    at[TASHKENT] = "http://127.0.0.1:9"
    await until(lambda: leaders.at == at)
    await cancelled(task)
    await leaders.close()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
