"""What only a real server can do wrong, and what the store then says and keeps."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from dispatch.core.terms import CallStatus, IncidentStatus, Stage, UnitStatus
from dispatch.errors import UserMistake
from dispatch.keeping.migrate import SCHEMA, migrate
from dispatch.keeping.postgres import READERS_MAX, PostgresStore
from dispatch.store import SNAPSHOTS_KEPT, CommitUnknown, StoreAway
from dispatch.writing.journal import GENESIS
from dispatch.writing.records import Batch, Rows
from tests.servers.cut_line import CutLine
from tests.servers.store_cases import Scribe, answer, assignment, call, leader, order, with_rows

SOON_S = 2.0


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A second connection to the same database, to look and to get in the way."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def until_waiting(server: asyncpg.Connection, count: int = 1) -> None:
    """Return when so many other connections wait for a lock."""
    for _ in range(2_000):
        await server.execute("SELECT pg_stat_clear_snapshot()")
        waiting = await server.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        if waiting == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nobody waits for a lock")


async def test_a_line_cut_after_the_commit_leaves_the_result_unknown_and_the_head_tells(
    postgres: PostgresStore, postgres_url: str, tmp_path: Path
) -> None:
    async with CutLine(postgres_url, tmp_path) as line:
        store = PostgresStore(line.url)
        await store.open()
        scribe = await leader(store)
        await store.append(scribe.batch())
        line.deaf = True
        with pytest.raises(CommitUnknown):
            await store.append(scribe.batch())
        line.deaf = False
        assert await store.head("UZ-TK") == (2, scribe.hash)
        assert (await store.append(scribe.batch())).refused == {}
        await store.close()


@pytest.mark.parametrize("claimed", [("UZ-AN", "UZ-TK"), ("UZ-TK", "UZ-AN")], ids=["in order", "against it"])
@pytest.mark.parametrize("lets_go", [False, True], ids=["renew", "release"])
async def test_leases_are_locked_in_the_order_in_which_appends_lock_them(
    postgres: PostgresStore, server: asyncpg.Connection, claimed: tuple[str, str], lets_go: bool
) -> None:
    for region in claimed:
        await postgres.claim(region, "core-1", 60)
    an_append = server.transaction()
    await an_append.start()
    await server.execute("SELECT FROM leaders WHERE region = 'UZ-AN' FOR SHARE")
    leases = postgres.release(claimed, "core-1") if lets_go else postgres.renew(claimed, "core-1", 60)
    waiting = asyncio.create_task(leases)
    await until_waiting(server)
    # What waits for the first region holds none of those after it.
    await server.execute("SELECT FROM leaders WHERE region = 'UZ-TK' FOR SHARE NOWAIT")
    await an_append.rollback()
    await waiting


async def test_a_batch_still_under_way_behind_a_cut_line_never_commits_after_the_head_was_told(
    postgres: PostgresStore, postgres_url: str, server: asyncpg.Connection, tmp_path: Path
) -> None:
    async with CutLine(postgres_url, tmp_path) as line:
        store = PostgresStore(line.url)
        await store.open()
        scribe = await leader(store)
        in_the_way = server.transaction()
        await in_the_way.start()
        await server.execute("LOCK TABLE calls IN SHARE MODE")
        under_way = asyncio.create_task(store.append(with_rows(scribe, Rows(calls=[call("c-1")]))))
        await until_waiting(server)
        line.cut()
        with pytest.raises(CommitUnknown):
            await under_way
        assert await store.head("UZ-TK") == (0, GENESIS)
        await in_the_way.rollback()
        assert await store.head("UZ-TK") == (0, GENESIS)
        assert await store.row("calls", "c-1") is None
        await store.close()


async def test_a_takeover_waits_for_the_append_under_way_and_sees_it(
    postgres: PostgresStore, postgres_url: str, server: asyncpg.Connection
) -> None:
    standby = PostgresStore(postgres_url)
    await standby.open()
    scribe = await leader(postgres)
    in_the_way = server.transaction()
    await in_the_way.start()
    await server.execute("LOCK TABLE calls IN SHARE MODE")
    under_way = asyncio.create_task(postgres.append(with_rows(scribe, Rows(calls=[call("c-1")]))))
    await until_waiting(server)
    takeover = asyncio.create_task(standby.claim("UZ-TK", "core-1", 60))
    await until_waiting(server, 2)
    await in_the_way.rollback()
    assert (await under_way).refused == {}
    assert await takeover == 2
    assert (await standby.load("UZ-TK")).head_seq == 1
    assert (await postgres.append(scribe.batch())).refused == {"UZ-TK": "stale_epoch"}
    await standby.close()


async def test_without_a_server_everything_says_so_and_works_again_afterwards(
    postgres: PostgresStore, postgres_url: str, tmp_path: Path
) -> None:
    async with CutLine(postgres_url, tmp_path) as line:
        store = PostgresStore(line.url)
        await store.open()
        scribe = await leader(store)
    for asked in (store.append(Batch(events=scribe.events(1))), store.recall([("a", "k")]), store.ping()):
        with pytest.raises(StoreAway):
            await asked
    (tmp_path / ".s.PGSQL.5432").unlink(missing_ok=True)
    async with CutLine(postgres_url, tmp_path):
        assert await store.head("UZ-TK") == (0, GENESIS)
        await store.ping()
        await store.close()


async def test_no_server_at_the_start_is_a_service_away(tmp_path: Path) -> None:
    with pytest.raises(StoreAway):
        await PostgresStore(f"postgresql://nobody@/nothing?host={tmp_path}").open()


async def test_a_database_without_our_schema_is_the_users_mistake(empty_url: str) -> None:
    store = PostgresStore(empty_url)
    with pytest.raises(UserMistake, match="dispatch112 migrate"):
        await store.open()
    await store.close()


async def test_a_full_disk_halfway_leaves_the_result_unknown(
    postgres: PostgresStore, server: asyncpg.Connection
) -> None:
    """One region is committed, one refused, and then the server cannot go on: not "nothing was kept"."""
    await server.execute(
        """CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$;
           CREATE TRIGGER full_now BEFORE INSERT ON orders EXECUTE FUNCTION disk_full()"""
    )
    first, second, third = [await leader(postgres, region) for region in ("UZ-AN", "UZ-SA", "UZ-TK")]
    await postgres.append(with_rows(second, Rows(assignments=[assignment("as-1", "S-1", "UZ-SA")])))
    batch = Batch(
        events=[scribe.event() for scribe in (first, second, third)],
        rows=Rows(assignments=[assignment("as-2", "S-1", "UZ-SA")], orders=[order("o-1")]),
    )
    with pytest.raises(CommitUnknown):
        await postgres.append(batch)
    assert {region: seq for region, (seq, _) in (await postgres.heads()).items()} == {
        "UZ-AN": 1,
        "UZ-SA": 1,
        "UZ-TK": 0,
    }
    again = Scribe("UZ-TK", third.epoch)
    with pytest.raises(StoreAway) as fault:
        await postgres.append(with_rows(again, Rows(orders=[order("o-2")])))
    assert not isinstance(fault.value, CommitUnknown)


async def test_a_bug_of_ours_in_the_database_keeps_nothing_and_ends_nothing(
    postgres: PostgresStore, server: asyncpg.Connection
) -> None:
    scribe = await leader(postgres)
    await server.execute("ALTER FUNCTION append_batch RENAME TO append_batch_away")
    batch = scribe.batch()
    with pytest.raises(StoreAway) as fault:
        await postgres.append(batch)
    assert not isinstance(fault.value, CommitUnknown)
    await server.execute("ALTER FUNCTION append_batch_away RENAME TO append_batch")
    assert (await postgres.append(batch)).refused == {}


async def test_an_append_that_is_given_up_leaves_a_store_that_works(
    postgres: PostgresStore, server: asyncpg.Connection
) -> None:
    scribe = await leader(postgres)
    async with server.transaction():
        await server.execute("LOCK TABLE calls IN SHARE MODE")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(postgres.append(with_rows(scribe, Rows(calls=[call("c-1")]))), 0.1)
        assert await postgres.head("UZ-TK") == (0, GENESIS)
    assert (await postgres.append(Scribe("UZ-TK", scribe.epoch).batch())).refused == {}


async def test_characters_that_no_column_takes_cost_nobody_a_call(postgres: PostgresStore) -> None:
    scribe = await leader(postgres)
    doc = b'{"place": "a\\u0000b", "\\ud800": ["\\\\u0000"]}'
    batch = with_rows(scribe, Rows(calls=[call("c-1", doc=doc)]))
    assert (await postgres.append(batch)).refused == {}
    row = await postgres.row("calls", "c-1")
    assert row is not None
    assert msgspec.json.decode(row["doc"]) == {"place": "a\ufffdb", "\ufffd": ["\\u0000"]}
    appended = await postgres.append(Batch(events=scribe.events(1), answers=[answer("k\0")]))
    assert appended.refused == {}


async def test_a_value_that_fits_no_column_refuses_its_region_only(postgres: PostgresStore) -> None:
    bad, good = await leader(postgres, "UZ-TK"), await leader(postgres, "UZ-TO")
    rows = Rows(calls=[call("c-1", doc=b"{no json"), call("c-2", "UZ-TO")])
    appended = await postgres.append(Batch(events=[*bad.events(1), *good.events(1)], rows=rows))
    assert list(appended.refused) == ["UZ-TK"]
    assert appended.refused["UZ-TK"].startswith("unfit: ")
    assert (await postgres.head("UZ-TO"))[0] == 1


async def test_of_a_row_that_stands_twice_in_a_batch_the_last_is_kept(postgres: PostgresStore) -> None:
    scribe = await leader(postgres)
    rows = Rows(calls=[call("c-1"), call("c-1", status="linked")])
    assert (await postgres.append(with_rows(scribe, rows))).refused == {}
    row = await postgres.row("calls", "c-1")
    assert row is not None and row["status"] == "linked"


async def test_consoles_that_read_never_delay_a_call(postgres: PostgresStore) -> None:
    scribe = await leader(postgres)

    async def list_slowly() -> None:
        async with postgres._readers.connection() as connection:
            await connection.execute("SELECT pg_sleep(1.5)")

    readers = [asyncio.create_task(list_slowly()) for _ in range(READERS_MAX)]
    await asyncio.sleep(0.2)
    begun_s = time.monotonic()
    await postgres.recall([("device:app", "k-1")])
    await postgres.append(scribe.batch())
    assert time.monotonic() - begun_s < 1.0
    await asyncio.gather(*readers)


async def test_an_acknowledged_event_is_on_disk_even_where_the_server_is_set_to_less(
    postgres: PostgresStore, server: asyncpg.Connection
) -> None:
    name = await server.fetchval("SELECT current_database()")
    await server.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await postgres.append((await leader(postgres)).batch())
    connection = postgres._writer._connection
    assert connection is not None
    assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_only_the_newest_snapshots_stay(postgres: PostgresStore, server: asyncpg.Connection) -> None:
    await postgres.append((await leader(postgres)).batch(9))
    for seq in range(1, 10):
        await postgres.snapshot("UZ-TK", seq, b"state")
    assert await server.fetchval("SELECT count(*) FROM snapshots") == SNAPSHOTS_KEPT


@pytest.mark.parametrize("change", ["UPDATE events SET actor = 'x'", "DELETE FROM events", "TRUNCATE events"])
async def test_the_journal_is_only_ever_added_to(
    postgres: PostgresStore, server: asyncpg.Connection, change: str
) -> None:
    await postgres.append((await leader(postgres)).batch())
    with pytest.raises(asyncpg.RestrictViolationError):
        await server.execute(change)


async def test_every_table_says_what_it_is_for(postgres: PostgresStore, server: asyncpg.Connection) -> None:
    silent = await server.fetch(
        """SELECT relname FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
             AND obj_description(oid) IS NULL"""
    )
    assert silent == []


@pytest.mark.parametrize(
    ("table", "statuses"),
    [("calls", CallStatus), ("incidents", IncidentStatus), ("units", UnitStatus), ("orders", Stage)],
)
def test_the_schema_knows_the_statuses_of_the_service_and_says_which_move_leads_there(
    table: str, statuses: type[CallStatus | IncidentStatus | UnitStatus | Stage]
) -> None:
    text = SCHEMA.read_text("utf-8").partition(f"CREATE TABLE {table} (")[2]
    listed = text.partition("CHECK (status IN (")[2].partition("\n    channel")[0].split("NOT NULL")[0]
    assert re.findall(r"^ +'(\w+)'\)*, +-- \w+", listed, re.MULTILINE) == [str(status) for status in statuses]


async def test_no_waiting_line_is_left_when_a_store_closes(postgres_url: str, server: asyncpg.Connection) -> None:
    await migrate(postgres_url)
    store = PostgresStore(postgres_url)
    await store.open()
    await leader(store)
    await store.close()
    for _ in range(100):
        count = await server.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if count == 0:
            return
        await asyncio.sleep(SOON_S / 100)
    raise AssertionError(f"{count} connections are left")
