"""`dispatch112 migrate`: an empty database, one that is there already, several at once, one from the future."""

import argparse
import asyncio
from pathlib import Path

import asyncpg
import pytest

from dispatch.errors import ServiceAway, UserMistake
from dispatch.keeping import migrate as migration
from dispatch.keeping.migrate import LOCK, SCHEMA_VERSION, NotLetIn, migrate, steps_after
from tests.servers.sullen_server import SullenServer


async def test_an_empty_database_gets_the_whole_schema(empty_url: str) -> None:
    report = await migrate(empty_url)
    assert (report.before, report.after, report.applied) == (None, SCHEMA_VERSION, ("schema.sql",))


async def test_a_second_run_changes_nothing(postgres_url: str) -> None:
    await migrate(postgres_url)
    report = await migrate(postgres_url)
    assert (report.before, report.after, report.applied) == (SCHEMA_VERSION, SCHEMA_VERSION, ())


async def test_processes_that_start_at_once_apply_it_once(empty_url: str) -> None:
    reports = await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, 1]


async def test_a_newer_schema_is_refused_in_one_line(postgres_url: str) -> None:
    await migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("INSERT INTO schema_version VALUES (99)")
    await connection.close()
    with pytest.raises(UserMistake, match="schema 99") as mistake:
        await migrate(postgres_url)
    assert "\n" not in str(mistake.value)


async def test_a_script_that_fails_leaves_nothing_behind(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "schema.sql"
    broken.write_text("CREATE TABLE schema_version (version integer); SELECT 1/0;")
    with monkeypatch.context() as patch:
        patch.setattr(migration, "SCHEMA", broken)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(empty_url)
    assert (await migrate(empty_url)).before is None


async def test_no_server_is_a_service_away(tmp_path: Path) -> None:
    with pytest.raises(ServiceAway):
        await migrate(f"postgresql://nobody@/nothing?host={tmp_path}")


@pytest.mark.parametrize("code", ["57P03", "53300", "57P01", "XX000"])
async def test_a_server_that_cannot_take_us_now_is_a_service_away(code: str, tmp_path: Path) -> None:
    async with SullenServer(tmp_path, code) as server:
        with pytest.raises(ServiceAway, match="not now"):
            await migrate(server.url)


async def test_a_server_that_does_not_know_us_is_told_from_other_mistakes(tmp_path: Path) -> None:
    async with SullenServer(tmp_path, "28P01") as server:
        with pytest.raises(NotLetIn, match="not now"):
            await migrate(server.url)


async def test_a_server_that_falls_silent_is_a_service_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "ANSWER_TIMEOUT_S", 0.2)
    async with SullenServer(tmp_path) as server:
        with pytest.raises(ServiceAway):
            async with asyncio.timeout(60):
                await migrate(server.url)


async def test_nobody_waits_without_end_for_another_migration(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = await asyncpg.connect(empty_url)
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    with monkeypatch.context() as patch:
        patch.setattr(migration, "LOCK_TIMEOUT_S", 0.2)
        with pytest.raises(ServiceAway, match="another process"):
            async with asyncio.timeout(60):
                await migrate(empty_url)
    await other.close()
    assert (await migrate(empty_url)).after == SCHEMA_VERSION


async def test_a_database_that_does_not_exist_is_the_users_mistake(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.close()
    with pytest.raises(UserMistake):
        await migrate(postgres_url.replace(name, "there_is_no_such_database"))


def test_the_command_says_what_it_did(empty_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    migration.add_arguments(parser)
    words = parser.parse_args(["--database-url", empty_url])
    assert migration.run(words) == 0
    assert migration.run(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"The database has schema {SCHEMA_VERSION} now (schema.sql).",
        f"The database has schema {SCHEMA_VERSION} already.",
    ]


def test_steps_are_taken_in_order_from_the_version_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "SCHEMA_VERSION", 4)
    for number in (2, 3, 4):
        (tmp_path / f"{number:04}.sql").touch()
    assert [step.name for step in steps_after(2, tmp_path)] == ["0003.sql", "0004.sql"]
    assert steps_after(4, tmp_path) == []
    with pytest.raises(AssertionError):
        steps_after(2, tmp_path / "elsewhere")
