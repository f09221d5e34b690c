"""A process that only follows keeps what it shows, and nothing of what it was told on the way."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from consoles.access import hashed
from consoles.gateway_process import following
from consoles.serving import Options
from dispatch.calling import aml
from dispatch.settings import Settings
from tests.servers.field_world import until
from tests.servers.two_processes import REGIONS, enrolled


async def test_what_changed_is_not_kept_for_an_index_that_a_gateway_does_not_have(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aml, "TIDY_S", 0.05)
    settings = Settings(database_url=postgres_url, data_dir=tmp_path, port=0, regions=REGIONS)
    async with following(settings, Options(), lambda said: None) as process:
        replicas = process.engine.replicas
        await enrolled(postgres_url, await hashed("a long pass phrase"))
        await until(lambda: any(state.seq > 1 for state in replicas.states.values()))
        await until(lambda: not any(replicas._followers))


async def test_a_database_that_refuses_for_a_while_ends_nothing_that_keeps_a_gateway_true(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatch.writing.upkeep.AGAIN_S", 0.05)
    settings = Settings(database_url=postgres_url, data_dir=tmp_path, port=0, regions=REGIONS)
    async with following(settings, Options(), lambda said: None) as process:
        refused = 0

        async def refusing() -> dict[str, tuple[int, bytes]]:
            nonlocal refused
            refused += 1
            raise asyncpg.InvalidPasswordError("password authentication failed")

        with monkeypatch.context() as patched:
            patched.setattr(process.store, "heads", refusing)
            await until(lambda: refused > 3)
        await enrolled(postgres_url, await hashed("a long pass phrase"))
        await until(lambda: any(state.seq > 1 for state in process.engine.replicas.states.values()))
        assert process.follower.ready
