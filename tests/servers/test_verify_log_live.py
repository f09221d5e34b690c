"""The verifier on a real database whose owner has gone bad: the trigger is off, rows are changed, each is named."""

from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from dispatch.cli import main
from dispatch.errors import UserMistake
from dispatch.keeping.copying import Wanted, copy
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.verifying import of_one_moment, verify_rows
from dispatch.store import Batch, Personal
from dispatch.verify_log import Finding, Verification, verify_directory
from dispatch.writing.journal import commitment
from tests.servers.store_cases import NOW, Scribe, leader

COUNT = 30
SALT = b"0123456789abcdef"
DOCUMENT = b'{"number":"+998901234567"}'


@pytest.fixture
async def kept(postgres: PostgresStore, postgres_url: str) -> str:
    """Two regions with a short journal each; the URL of their database."""
    for region in ("UZ-TK", "UZ-TO"):
        scribe = await leader(postgres, region)
        await postgres.append(Batch(events=scribe.events(COUNT)))
    return postgres_url


async def tampered(url: str, *statements: str) -> None:
    """What a superuser can do who first switches the trigger off."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("ALTER TABLE events DISABLE TRIGGER events_stay")
        for statement in statements:
            await connection.execute(statement)
        await connection.execute("ALTER TABLE events ENABLE TRIGGER events_stay")
    await connection.close()


async def found(url: str, only: str | None = None) -> list[Finding]:
    findings: list[Finding] = []
    async with of_one_moment(url) as connection:
        await verify_rows(connection, Verification(findings.append, {}, only))
    return findings


async def test_a_journal_that_nobody_touched_is_whole(kept: str) -> None:
    assert await found(kept) == []


CHANGES = {
    "its time": "at = at + interval '1 microsecond'",
    "its kind": "kind = 'call_closed'",
    "a space in its payload": "payload = (payload::text || ' ')::json",
    "its actor": "actor = 'user:mallory'",
    "its epoch": "epoch = epoch + 1",
    "its hash": "hash = sha256(hash)",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_an_altered_row_is_named(kept: str, change: str) -> None:
    seq = Random(change).randint(1, COUNT)
    await tampered(kept, f"UPDATE events SET {CHANGES[change]} WHERE region = 'UZ-TK' AND seq = {seq}")
    assert [(finding.region, finding.seq) for finding in await found(kept)] == [("UZ-TK", seq)]


async def test_removed_moved_and_swapped_rows_are_named(kept: str) -> None:
    mine = "region = 'UZ-TK' AND seq"
    await tampered(
        kept,
        f"DELETE FROM events WHERE {mine} = 4",
        f"UPDATE events SET region = 'UZ-XO' WHERE {mine} = 9",
        f"UPDATE events SET seq = 99 WHERE {mine} = 14",
        f"UPDATE events SET seq = 1041 - seq WHERE {mine} IN (20, 21)",
        f"UPDATE events SET seq = seq - 1000 WHERE {mine} > 1000",
    )
    said = {(finding.region, finding.seq): finding.what for finding in await found(kept)}
    assert set(said) == {("UZ-TK", 4), ("UZ-TK", 9), ("UZ-TK", 14), ("UZ-TK", 20), ("UZ-XO", 1), ("UZ-XO", 0)}
    assert said["UZ-TK", 14] == "its number was altered to 99"
    assert said["UZ-TK", 20] == "it and event 21 have changed places"


async def test_a_cut_off_end_is_named_by_the_head(kept: str) -> None:
    await tampered(kept, f"DELETE FROM events WHERE region = 'UZ-TO' AND seq > {COUNT - 3}")
    (finding,) = await found(kept)
    assert finding[:2] == ("UZ-TO", COUNT - 2)
    assert "the end is missing" in finding.what


HEADLESS = Finding("UZ-TO", 0, "has events and no head: nothing says where they end")


async def test_an_end_cut_off_together_with_its_head_is_named(kept: str) -> None:
    await tampered(
        kept,
        f"DELETE FROM events WHERE region = 'UZ-TO' AND seq > {COUNT - 3}",
        "DELETE FROM heads WHERE region = 'UZ-TO'",
    )
    assert await found(kept) == [HEADLESS]
    assert await found(kept, "UZ-TO") == [HEADLESS]
    assert await found(kept, "UZ-TK") == []


async def test_a_journal_forged_for_a_region_that_was_never_led_is_named(kept: str) -> None:
    rows = [
        (e.region, e.seq, e.at, e.kind, e.payload.decode(), e.actor, e.epoch, e.hash)
        for e in Scribe("UZ-XO", 1).events(3)
    ]
    connection = await asyncpg.connect(kept)
    await connection.copy_records_to_table("events", records=rows)
    await connection.close()
    assert await found(kept) == [HEADLESS._replace(region="UZ-XO")]


async def test_a_copy_takes_a_region_without_a_head_along_and_says_so(kept: str, tmp_path: Path) -> None:
    await tampered(kept, "DELETE FROM heads WHERE region = 'UZ-TO'")
    async with of_one_moment(kept) as connection:
        manifest = await copy(connection, tmp_path / "copy", Wanted(kind="export", tables=()))
    assert manifest.events == 2 * COUNT
    findings: list[Finding] = []
    verify_directory(tmp_path / "copy", Verification(findings.append, {}), findings.append)
    assert findings == [HEADLESS]


async def test_an_inserted_row_is_named(kept: str) -> None:
    row = "SELECT region, {seq}, at, kind, payload, 'user:mallory', epoch, hash FROM events"
    await tampered(kept, f"INSERT INTO events {row.format(seq=COUNT + 1)} WHERE region = 'UZ-TK' AND seq = 5")
    said = {(finding.region, finding.seq) for finding in await found(kept)}
    assert said == {("UZ-TK", COUNT + 1)}


async def test_erasing_somebodys_words_leaves_the_journal_whole_and_changing_them_does_not(
    postgres: PostgresStore, postgres_url: str
) -> None:
    scribe = await leader(postgres)
    for name in ("c-1", "c-2", "c-3"):
        await postgres.append(_call(scribe, name))
    assert await found(postgres_url) == []
    assert await postgres.erase("c-1", "user:lola", NOW)
    assert await found(postgres_url) == []
    await tampered(postgres_url, "UPDATE personal SET document = document || ' ' WHERE id = 'c-2'")
    await tampered(postgres_url, "UPDATE personal SET id = 'c-9' WHERE id = 'c-3'")
    said = sorted(finding.what for finding in await found(postgres_url))
    assert len(said) == 2
    assert "c-2 is not what its event commits to" in said[0]
    assert "c-9 belongs to no event" in said[1]


def _call(scribe: Scribe, name: str) -> Batch:
    payload = f'{{"call":{{"call_id":"{name}","commitment":"{commitment(SALT, DOCUMENT)}"}}}}'
    words = Personal(id=name, region=scribe.region, kind="call", salt=SALT, document=DOCUMENT)
    return Batch(events=[scribe.event(payload.encode())], personal=[words])


async def test_a_region_that_was_never_led_is_a_mistake(kept: str) -> None:
    with pytest.raises(UserMistake):
        await found(kept, "UZ-XX")


def test_the_command_says_what_it_found(postgres_url: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify-log", "--database-url", postgres_url, "--data-dir", str(tmp_path)]
    assert main(words) == 0
    assert "WHOLE: 0 events" in capsys.readouterr().out
    assert main([*words, "--region", "UZ-XX"]) == 2
    assert main(["verify-log", str(tmp_path / "nothing")]) == 2
