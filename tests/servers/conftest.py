"""The store under test: the twin in memory and the real Postgres, each empty, one after the other. And the interface
on the twin with a spool, for tests of calls that cannot be committed at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.store import Store
from tests.servers.api_world import ApiWorld, api_world


@pytest.fixture(params=["memory", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """None for the twin; a fresh database otherwise."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else None


@pytest.fixture
async def store(store_url: str | None) -> AsyncIterator[Store]:
    """An open store with nothing in it."""
    if store_url is not None:
        await migrate(store_url)
    kept: Store = PostgresStore(store_url) if store_url else MemoryStore()
    await kept.open()
    yield kept
    await kept.close()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """The real one alone, for what only a server can do wrong."""
    await migrate(postgres_url)
    kept = PostgresStore(postgres_url)
    await kept.open()
    yield kept
    await kept.close()


@pytest.fixture
async def empty_url(postgres_url: str) -> str:
    """A database in which nobody has done anything."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return postgres_url


@pytest.fixture
async def second_url(postgres_server: str) -> AsyncIterator[str]:
    """Another database beside the test's own: the migrated schema, no rows."""
    name = "test_second"
    everywhere = await asyncpg.connect(postgres_server.replace("/dispatch?", "/postgres?"))
    await everywhere.execute(f"CREATE DATABASE {name} TEMPLATE dispatch")
    yield postgres_server.replace("/dispatch?", f"/{name}?")
    await everywhere.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await everywhere.close()


@pytest.fixture
async def twin() -> MemoryStore:
    """Open and empty; its `faults` are the test's to set."""
    store = MemoryStore()
    await store.open()
    return store


@pytest.fixture
async def world(twin: MemoryStore, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """The interface on the twin, with a spool. A module that needs another kind has its own."""
    async with api_world(twin, tmp_path / "spool") as running:
        # A token is believed for a while without asking; let each be known.
        await running.get("regions")
        yield running
