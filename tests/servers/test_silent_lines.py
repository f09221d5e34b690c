"""A line to the database that goes silent, with nobody told, is given up in time: the next one is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consoles.front import cancelled
from dispatch.clock import SystemClock
from dispatch.core.commands import SetPolicy
from dispatch.core.terms import SYSTEM, Policy, RegionId
from dispatch.engine import Engine
from dispatch.following.follower import Follower
from dispatch.following.polled import PolledFanout
from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.replica import Replicas
from tests.servers.cut_line import CutLine

TASHKENT = RegionId("UZ-TK")
PATIENCE_S = 60.0


@pytest.fixture
async def line(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CutLine]:
    """Whoever waits here for the pool to take a connection back, or to make one, waits longer than the test."""
    monkeypatch.setattr("dispatch.keeping.pool.CONNECT_TIMEOUT_S", 10 * PATIENCE_S)
    monkeypatch.setattr("dispatch.keeping.pool.ANSWER_TIMEOUT_S", 10 * PATIENCE_S)
    await migrate(postgres_url)
    async with CutLine(postgres_url, tmp_path) as made:
        yield made


@pytest.fixture
async def store(line: CutLine) -> AsyncIterator[PostgresStore]:
    kept = PostgresStore(line.url)
    await kept.open()
    yield kept
    await kept.close()


async def test_a_lease_is_renewed_on_a_new_line(store: PostgresStore, line: CutLine) -> None:
    positions = Positions()
    engine = Engine(store, SystemClock(), Reacher(positions, None), positions)
    leader = Leader(engine, store, (TASHKENT,), "desk")
    committing = asyncio.create_task(engine.run())
    await leader.start()
    line.hush()
    known_s = leader.leases.until_s[TASHKENT]
    async with asyncio.timeout(PATIENCE_S):
        while leader.leases.until_s[TASHKENT] == known_s or engine.writable(TASHKENT) is None:
            await leader.leases.renew()
    await leader.leases.close()
    await cancelled(committing)


async def test_a_gateway_shows_what_is_committed_by_a_new_line(
    store: PostgresStore, line: CutLine, postgres_url: str
) -> None:
    direct = PostgresStore(postgres_url)
    await direct.open()
    positions = Positions()
    engine = Engine(direct, SystemClock(), Reacher(positions, None), positions)
    leader = Leader(engine, direct, (TASHKENT,), "desk")
    committing = asyncio.create_task(engine.run())
    await leader.start()
    leading = asyncio.create_task(leader.run())
    fanout, replicas = PolledFanout(store), Replicas()
    follower = Follower(store, fanout, replicas, None)
    await follower.start((TASHKENT,))
    tasks = [asyncio.create_task(fanout.run()), asyncio.create_task(follower.run())]
    async with asyncio.timeout(PATIENCE_S):
        for attended in (True, False):
            known = replicas.states[TASHKENT].seq
            await engine.submit(TASHKENT, SetPolicy(actor=SYSTEM, policy=Policy(attended=attended)))
            while replicas.states[TASHKENT].seq == known:
                await asyncio.sleep(0.01)
            line.hush()
    await cancelled(*tasks, leading)
    await leader.stop()
    await cancelled(committing)
    await direct.close()


async def test_the_database_counts_as_away_and_is_found_again_on_a_new_line(
    store: PostgresStore, line: CutLine
) -> None:
    health = Health(Metrics(), store.ping, lambda: True)
    await health.ask()
    assert health.words()["postgres"] == "ok"
    line.hush()
    async with asyncio.timeout(PATIENCE_S):
        await health.ask()
        assert health.words()["postgres"] == "away"
        while health.words()["postgres"] == "away":
            await health.ask()
