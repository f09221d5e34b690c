"""The twin fails on request as a database fails by itself; the simulation relies on it."""

import asyncio

import pytest

from dispatch.keeping.memory import MemoryStore
from dispatch.store import CommitUnknown, StoreAway
from tests.servers.store_cases import leader


async def test_a_failure_before_the_commit_keeps_nothing() -> None:
    store = MemoryStore()
    scribe = await leader(store)
    batch = scribe.batch(2)
    store.faults.fail_before_commit = 1
    with pytest.raises(StoreAway) as fault:
        await store.append(batch)
    assert not isinstance(fault.value, CommitUnknown)
    assert (await store.head("UZ-TK"))[0] == 0
    assert (await store.append(batch)).refused == {}


async def test_a_failure_after_the_commit_keeps_everything_and_says_that_it_does_not_know() -> None:
    store = MemoryStore()
    scribe = await leader(store)
    store.faults.fail_after_commit = 1
    with pytest.raises(CommitUnknown):
        await store.append(scribe.batch(2))
    assert await store.head("UZ-TK") == (2, scribe.hash)


async def test_a_lost_commit_says_that_it_does_not_know_either() -> None:
    store = MemoryStore()
    scribe = await leader(store)
    store.faults.lose_commit = 1
    with pytest.raises(CommitUnknown):
        await store.append(scribe.batch(2))
    assert (await store.head("UZ-TK"))[0] == 0


async def test_while_it_is_away_nothing_answers_and_afterwards_everything_is_there() -> None:
    store = MemoryStore()
    scribe = await leader(store)
    await store.append(scribe.batch(2))
    store.faults.away = True
    for asked in (store.head("UZ-TK"), store.ping(), store.recall([]), store.rows("calls", {}, None, 1)):
        with pytest.raises(StoreAway):
            await asked
    store.faults.away = False
    assert await store.head("UZ-TK") == (2, scribe.hash)


async def test_an_append_takes_as_long_as_it_was_told() -> None:
    store = MemoryStore()
    scribe = await leader(store)
    store.faults.latency_s = 0.02
    begun_s = asyncio.get_running_loop().time()
    await store.append(scribe.batch(1))
    assert asyncio.get_running_loop().time() - begun_s >= 0.02
