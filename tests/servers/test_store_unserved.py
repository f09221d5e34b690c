"""A server that answers and serves nobody is away, as one that is silent; what it refuses is told apart from that."""

from __future__ import annotations

import logging

import asyncpg
import pytest

from dispatch.keeping.connection import SetBack, away_or_same, broken
from dispatch.keeping.postgres import PostgresStore
from dispatch.store import StoreAway, refuses
from tests.servers.store_cases import Scribe, leader

UNSERVED = ["28P01", "28000", "3D000", "XX000", "XX001", "42501", "42P01", "55P03", "0A000", "P0001", "25006", "53300"]
REFUSED = ["22P05", "22021", "23505", "23514", "54001"]


def spoken(code: str, severity: str = "ERROR") -> asyncpg.PostgresError:
    """What the client makes of a server's word."""
    fault = asyncpg.PostgresError.new({"C": code, "S": severity, "V": severity, "M": "no"})
    assert isinstance(fault, asyncpg.PostgresError)
    return fault


@pytest.mark.parametrize("code", UNSERVED)
def test_whatever_is_not_to_blame_on_what_was_asked_is_away(code: str) -> None:
    fault = spoken(code)
    assert not refuses(fault)
    assert isinstance(away_or_same(fault), StoreAway)


@pytest.mark.parametrize("code", REFUSED)
def test_what_was_asked_to_keep_is_refused_for_good(code: str) -> None:
    fault = spoken(code)
    assert refuses(fault)
    assert away_or_same(fault) is fault


def test_a_batch_set_back_is_told_from_one_that_must_wait() -> None:
    assert type(away_or_same(spoken("40P01"))) is SetBack
    assert away_or_same(KeyError("a bug of ours")).args == ("a bug of ours",)


@pytest.mark.parametrize("code", ["XX000", "53100", "22023"])
def test_a_session_that_the_server_ends_leaves_a_commit_in_doubt(code: str) -> None:
    assert broken(spoken(code, "PANIC")) and broken(spoken(code, "FATAL"))
    assert not broken(spoken(code))
    assert isinstance(away_or_same(spoken(code, "FATAL")), StoreAway)


async def test_a_database_that_does_not_let_us_in_is_away_and_named_once(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    store = PostgresStore(postgres_url.replace(f"/{name}?", "/there_is_no_such_database?"))
    for _ in range(3):
        with pytest.raises(StoreAway, match="there_is_no_such_database"):
            await store.open()
        with pytest.raises(StoreAway):
            await store.head("UZ-TK")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len([line for line in said if "reader" in line]) == 1
    assert len([line for line in said if "writer" in line]) == 1
    assert all("there_is_no_such_database" in line and "3D000" in line for line in said)


async def test_a_table_that_we_may_not_read_is_away_and_comes_back(postgres: PostgresStore, postgres_url: str) -> None:
    server = await asyncpg.connect(postgres_url)
    await server.execute("REVOKE SELECT ON answers FROM CURRENT_USER")
    with pytest.raises(StoreAway, match="permission denied"):
        await postgres.recall([("device:app", "k")])
    await server.execute("GRANT SELECT ON answers TO CURRENT_USER")
    assert await postgres.recall([("device:app", "k")]) == {}
    await server.close()


async def test_a_connection_that_may_only_read_is_not_kept(postgres: PostgresStore, postgres_url: str) -> None:
    """As after a change of servers: the one that writes is found by whoever looks again."""
    server = await asyncpg.connect(postgres_url)
    name = await server.fetchval("SELECT current_database()")
    scribe = await leader(postgres)
    await postgres.close()
    await server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await postgres.open()
    for asked in (postgres.append(scribe.batch()), postgres.renew(["UZ-TK"], "core-1", 60)):
        with pytest.raises(StoreAway, match="read-only"):
            await asked
    await server.execute("SET default_transaction_read_only = off")
    await server.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert (await postgres.append(Scribe("UZ-TK", scribe.epoch).batch())).refused == {}
    assert await postgres.renew(["UZ-TK"], "core-1", 60) == {"UZ-TK"}
    await server.close()
