"""Backup and restore on real databases: all of it comes back, or nothing does and the reason is said."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from dispatch.cells.exchange import concluded, messages
from dispatch.cells.outbox import Outbox
from dispatch.cli import main
from dispatch.core.commands import LocateCall, MarkSent, RecallCall, ReleaseCall
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, CallId, LocationFix, Source
from dispatch.errors import UserMistake
from dispatch.keeping.backup import backed_up
from dispatch.keeping.copying import MANIFEST, Manifest, read_manifest
from dispatch.keeping.migrate import SCHEMA_VERSION
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.replaying import Replay
from dispatch.keeping.restore import restored
from dispatch.keeping.verifying import of_one_moment
from dispatch.store import WORK_KEPT
from dispatch.writing.recovery import recovered
from tests.journeys.ledger import read_ledger
from tests.servers.api_world import CHORSU, SA, TK
from tests.servers.lived import HERE, every_row, life, settings

UNEQUAL = {"snapshots", "leaders", "audit", "sessions"}
"""Made again, freed, added to, or left out."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
async def backup(postgres_url: str, tmp_path: Path) -> Path:
    """A backup made while the service was at work."""
    async with life(postgres_url):
        await backed_up(settings(postgres_url, tmp_path / "data"), tmp_path / "backup")
    return tmp_path / "backup"


async def test_everything_comes_back_as_it_was(
    backup: Path, postgres_url: str, second_url: str, tmp_path: Path
) -> None:
    done = await restored(settings(second_url, tmp_path / "new"), backup)
    assert done.faults == ()
    before, after = await every_row(postgres_url), await every_row(second_url)
    assert before.keys() == after.keys()
    for table in before.keys() - UNEQUAL:
        assert after[table] == before[table], table
    assert len(before["events"]) > 20 and len(before["personal"]) > 5 and before["answers"] and before["devices"]


async def test_the_next_leader_reads_a_snapshot_and_raises_the_epoch(
    backup: Path, second_url: str, tmp_path: Path
) -> None:
    await restored(settings(second_url, tmp_path / "new"), backup)
    store = PostgresStore(second_url)
    await store.open()
    try:
        loaded = await store.load("UZ-TK")
        assert loaded.snapshot_seq == loaded.head_seq > 0
        state: RegionState = await recovered("UZ-TK", loaded)  # type: ignore[arg-type]
        assert "TK-1" in state.incidents
        assert await store.claim("UZ-TK", "somebody else", 10.0) == 2, "no lease of the old leader stands in the way"
    finally:
        await store.close()


async def test_a_backup_is_its_owners_alone(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in backup.rglob("*.jsonl*")} == {0}


async def test_a_table_that_nobody_told_the_backup_of_is_in_it(
    postgres_url: str, second_url: str, tmp_path: Path
) -> None:
    for url in (postgres_url, second_url):
        connection = await asyncpg.connect(url)
        await connection.execute(
            "CREATE TABLE afterthought (id text PRIMARY KEY, at timestamptz, raw bytea, many text[])"
        )
        await connection.close()
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(
        "INSERT INTO afterthought VALUES ('a', now(), '\\x00ff', '{x,\"y,z\"}'), ('b', NULL, NULL, NULL)"
    )
    await connection.close()
    await backed_up(settings(postgres_url, tmp_path / "data"), tmp_path / "backup")
    await restored(settings(second_url, tmp_path / "new"), tmp_path / "backup")
    assert (await every_row(second_url))["afterthought"] == (await every_row(postgres_url))["afterthought"]


async def test_only_an_empty_database_is_filled(backup: Path, postgres_url: str, tmp_path: Path) -> None:
    before = await every_row(postgres_url)
    with pytest.raises(UserMistake, match="the database is not empty"):
        await restored(settings(postgres_url, tmp_path / "new"), backup)
    assert await every_row(postgres_url) == before


async def test_half_a_backup_is_refused(backup: Path, second_url: str, tmp_path: Path) -> None:
    shutil.copytree(backup, tmp_path / "half")
    (tmp_path / "half" / MANIFEST).unlink()
    with pytest.raises(UserMistake, match="not a whole one"):
        await restored(settings(second_url, tmp_path / "new"), tmp_path / "half")


async def test_an_export_is_no_backup(postgres_url: str, second_url: str, tmp_path: Path) -> None:
    words = ["--database-url", postgres_url, "--data-dir", str(tmp_path)]
    assert await asyncio.to_thread(main, ["export", str(tmp_path / "export"), *words]) == 0
    with pytest.raises(UserMistake, match="restore a backup"):
        await restored(settings(second_url, tmp_path / "new"), tmp_path / "export")


async def test_another_schema_is_refused_with_the_way_out(backup: Path, second_url: str, tmp_path: Path) -> None:
    rewritten(backup, schema=SCHEMA_VERSION + 1)
    with pytest.raises(UserMistake, match="restore it with version"):
        await restored(settings(second_url, tmp_path / "new"), backup)


@pytest.mark.parametrize("table", ["journal/UZ-TK", "tables/calls", "tables/personal"])
async def test_a_damaged_file_is_refused_and_nothing_is_kept(
    backup: Path, second_url: str, tmp_path: Path, table: str
) -> None:
    path = backup / f"{table}.jsonl.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    empty = await every_row(second_url)
    with pytest.raises(UserMistake, match="the backup is damaged"):
        await restored(settings(second_url, tmp_path / "new"), backup)
    with pytest.raises(UserMistake, match="cannot be loaded"):
        await restored(settings(second_url, tmp_path / "new"), backup, accept_faults=True)
    assert await every_row(second_url) == empty


LIES = {
    "a call that no event leads to": (
        "INSERT INTO calls (call_id, region, status, channel, at, doc)"
        " VALUES ('c-forged', 'UZ-TK', 'queued', 'app', now(), '{}')",
        "no event leads to c-forged",
    ),
    "a priority that nobody gave": (
        "UPDATE incidents SET doc = jsonb_set(doc, '{priority}', '\"P4\"') WHERE incident_id = 'TK-1'",
        "TK-1 is not what the journal leads to",
    ),
    "a call that is gone": ("DELETE FROM calls WHERE call_id = (SELECT max(call_id) FROM calls)", "is missing"),
    "an event that was altered": (
        "ALTER TABLE events DISABLE TRIGGER events_stay; UPDATE events SET actor = 'user:x' WHERE seq = 3",
        "event 3: its content was altered",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_true_copy_of_a_database_that_lies_is_not_declared_good(
    postgres_url: str, second_url: str, tmp_path: Path, lie: str
) -> None:
    statement, said = LIES[lie]
    async with life(postgres_url):
        pass
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(statement)
    await connection.close()
    await backed_up(settings(postgres_url, tmp_path / "data"), tmp_path / "backup")
    empty = await every_row(second_url)
    with pytest.raises(UserMistake, match="nothing was kept"):
        await restored(settings(second_url, tmp_path / "new"), tmp_path / "backup")
    assert await every_row(second_url) == empty
    done = await restored(settings(second_url, tmp_path / "new"), tmp_path / "backup", accept_faults=True)
    assert any(said in fault for fault in done.faults), done.faults
    assert (await every_row(second_url))["events"] == (await every_row(postgres_url))["events"]


async def test_closed_work_that_was_dropped_by_its_age_is_not_missed(
    postgres_url: str, second_url: str, tmp_path: Path
) -> None:
    async with life(postgres_url) as world:
        call = await world.new_call(channel="voice")
        await world.post(f"calls/{call['call_id']}/claim", token="taker")
        closed = await world.post(f"calls/{call['call_id']}/close", {"disposition": "no_trace"}, token="taker")
        assert closed.status < 300, closed.raw
        world.clock.advance((WORK_KEPT + timedelta(days=1)).total_seconds())
        await world.new_call(channel="voice")
        dropped = await world.store.prune(world.clock.now())
        assert dropped["calls"] == 1
    await backed_up(settings(postgres_url, tmp_path / "data"), tmp_path / "backup")
    assert (await restored(settings(second_url, tmp_path / "new"), tmp_path / "backup")).faults == ()


async def test_a_call_that_was_taken_is_its_takers_whatever_its_giver_has_heard(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost, so a person wants the call back; at each moment a backup would be a good one."""

    async def differing() -> list[str]:
        async with of_one_moment(postgres_url) as connection:
            found = [what for region in (TK, SA) async for what in Replay(region, LONG_AGO).differences(connection)]
        connection = await asyncpg.connect(postgres_url)
        try:
            return [*found, *(await read_ledger(connection)).faults]
        finally:
            await connection.close()

    async with life(postgres_url) as world:
        monkeypatch.setattr(Outbox, "_may_go", lambda *_: False)
        call_id = CallId((await world.new_call(channel="voice", location=HERE))["call_id"])
        await world.post(f"calls/{call_id}/transfer", {"region": SA}, token="dispatcher")
        (offer,) = messages(world.engine.replicas.states[TK])
        await world.engine.submit(TK, MarkSent(actor=SYSTEM, call_id=call_id, offer_id=offer.id))
        assert await differing() == []
        said = await world.neighbours.inbox.receive(offer)
        follows = concluded(offer, said, SYSTEM, abroad=False)
        assert isinstance(follows, ReleaseCall)
        for wish in (None, RecallCall(actor=SYSTEM, call_id=call_id), follows):
            if wish is not None:
                await world.engine.submit(TK, wish)
            row = await world.store.row("calls", call_id)
            assert row is not None and row["region"] == SA
            assert await differing() == []


async def test_a_call_that_is_found_sent_and_wanted_back_in_one_commit_has_the_row_that_its_journal_leads_to(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(postgres_url) as world:
        monkeypatch.setattr(Outbox, "_may_go", lambda *_: False)
        call_id = CallId((await world.new_call(channel="voice"))["call_id"])
        await world.post(f"calls/{call_id}/transfer", {"region": SA}, token="dispatcher")
        (offer,) = messages(world.engine.replicas.states[TK])
        fix = LocationFix(source=Source.AML, at=world.clock.now(), lat=CHORSU[1], lon=CHORSU[0], accuracy_m=10.0)
        wishes = (
            LocateCall(actor=SYSTEM, call_id=call_id, fix=fix),
            MarkSent(actor=SYSTEM, call_id=call_id, offer_id=offer.id),
            RecallCall(actor=SYSTEM, call_id=call_id),
        )
        before = await world.store.head(TK)
        # All three are decided before the first of them is written, so they are written together.
        await asyncio.gather(*(world.engine.submit(TK, wish) for wish in wishes))
        assert (await world.store.head(TK))[0] == before[0] + 3
        async with of_one_moment(postgres_url) as connection:
            assert [what async for what in Replay(TK, LONG_AGO).differences(connection)] == []


async def test_a_count_that_does_not_agree_is_a_fault(backup: Path, second_url: str, tmp_path: Path) -> None:
    manifest = read_manifest(backup)
    name = "tables/devices.jsonl.gz"
    facts = msgspec.structs.replace(manifest.files[name], rows=manifest.files[name].rows + 1)
    rewritten(backup, files={**manifest.files, name: facts})
    with pytest.raises(UserMistake, match=r"devices: \d+ rows instead of"):
        await restored(settings(second_url, tmp_path / "new"), backup)


def test_the_commands_say_what_they_did_and_what_is_lost(
    postgres_url: str, second_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def before() -> None:
        async with life(postgres_url):
            pass

    asyncio.run(before())
    where = ["--data-dir", str(tmp_path / "data"), "--database-url"]
    assert main(["backup", str(tmp_path / "backup"), *where, postgres_url]) == 0
    said = capsys.readouterr().out
    assert "what came later is not in it" in said and "WHOLE" in said
    assert main(["restore", str(tmp_path / "backup"), *where, second_url]) == 0
    said = capsys.readouterr().out
    assert "restored and verified" in said and "what came later is not here" in said
    assert main(["verify-log", *where, second_url]) == 0
    assert main(["restore", str(tmp_path / "backup"), *where, second_url]) == 2


def rewritten(folder: Path, **changes: object) -> None:
    """The manifest with something else in it."""
    manifest: Manifest = msgspec.structs.replace(read_manifest(folder), **changes)
    (folder / MANIFEST).write_text(json.dumps(msgspec.to_builtins(manifest)))
