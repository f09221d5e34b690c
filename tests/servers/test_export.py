"""Exports of a real database: whole, of one moment, verifiable by the file alone, nothing personal unasked."""

import asyncio
import gzip
import io
import json
import sys
from pathlib import Path
from random import Random

import asyncpg
import pytest

from consoles.access import hashed
from dispatch.cli import main
from dispatch.errors import UserMistake
from dispatch.keeping import copying
from dispatch.keeping.copying import READ_MODELS, Wanted, copy, read_manifest
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.verifying import of_one_moment
from dispatch.store import Batch, Operator
from dispatch.verify_log import Finding, Verification, verify_directory
from tests.servers.lived import NUMBER, life
from tests.servers.store_cases import leader


def said(folder: Path) -> list[Finding]:
    findings: list[Finding] = []
    verify_directory(folder, Verification(findings.append, {}), findings.append)
    return findings


def contents(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join((gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()).decode() for p in files)


def exported(url: str, folder: Path, *words: str) -> int:
    return main(["export", str(folder), "--database-url", url, "--data-dir", str(folder.parent / "data"), *words])


@pytest.mark.parametrize("packed", [False, True])
async def test_an_export_is_whole_verifies_and_holds_nothing_personal(
    postgres_url: str, tmp_path: Path, packed: bool
) -> None:
    folder = tmp_path / "export"
    async with life(postgres_url):
        assert await asyncio.to_thread(exported, postgres_url, folder, *(["--gzip"] if packed else [])) == 0
    assert said(folder) == []
    text = contents(folder)
    assert NUMBER not in text and "Лола" not in text and "«Қўқон» — дым" not in text
    manifest = read_manifest(folder)
    assert manifest.personal is False
    assert manifest.events == sum(head.seq for head in manifest.heads.values()) > 20
    end = ".jsonl.gz" if packed else ".jsonl"
    assert {name for name in manifest.files if name.startswith("tables/")} == {f"tables/{t}{end}" for t in READ_MODELS}
    for name, facts in manifest.files.items():
        raw = (folder / name).read_bytes()
        assert len(raw) == facts.bytes
        assert (gzip.decompress(raw) if packed else raw).count(b"\n") == facts.rows


async def test_the_payload_leaves_as_it_was_kept(postgres: PostgresStore, postgres_url: str, tmp_path: Path) -> None:
    payload = '{"a" : "Ж\\u2028\\n", "b":1.50}'.encode()
    scribe = await leader(postgres)
    await postgres.append(Batch(events=[scribe.event(payload)]))
    async with of_one_moment(postgres_url) as connection:
        await copy(connection, tmp_path / "export", Wanted(kind="export", tables=READ_MODELS))
    (line,) = (tmp_path / "export" / "journal" / "UZ-TK.jsonl").read_text().splitlines()
    assert json.loads(line)["payload"].encode() == payload


async def test_what_is_written_meanwhile_is_not_in_it(
    postgres: PostgresStore, postgres_url: str, tmp_path: Path
) -> None:
    scribe = await leader(postgres)
    await postgres.append(scribe.batch(10))
    async with of_one_moment(postgres_url) as connection:
        await connection.fetchval("SELECT 1")
        await postgres.append(scribe.batch(10))
        manifest = await copy(connection, tmp_path / "export", Wanted(kind="export", tables=READ_MODELS))
    assert (manifest.events, manifest.heads["UZ-TK"].seq) == (10, 10)
    assert said(tmp_path / "export") == []


@pytest.mark.parametrize("seed", range(6))
async def test_any_flipped_byte_of_an_export_is_named(
    postgres: PostgresStore, postgres_url: str, tmp_path: Path, seed: int
) -> None:
    scribe = await leader(postgres)
    await postgres.append(scribe.batch(20))
    folder, rng = tmp_path / "export", Random(seed)
    async with of_one_moment(postgres_url) as connection:
        await copy(connection, folder, Wanted(kind="export", tables=READ_MODELS, packed=seed % 2 == 0))
    (path,) = (folder / "journal").iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    path.write_bytes(damaged)
    assert any("checksum differs" in finding.what for finding in said(folder))


async def test_an_export_that_breaks_off_leaves_nothing_that_looks_whole(
    postgres: PostgresStore, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe = await leader(postgres)
    await postgres.append(scribe.batch(10))

    def full(event: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(copying, "line_of", full)
        with pytest.raises(UserMistake, match="No space left"):
            async with of_one_moment(postgres_url) as connection:
                await copy(connection, tmp_path / "export", Wanted(kind="export", tables=READ_MODELS))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "export.partial").mkdir()  # What a killed run leaves behind is no hindrance.
    async with of_one_moment(postgres_url) as connection:
        await copy(connection, tmp_path / "export", Wanted(kind="export", tables=READ_MODELS))
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_directory_in_use_is_never_written_into(
    postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "letter").touch()
    assert exported(postgres_url, tmp_path / "export") == 2
    assert "is there already" in capsys.readouterr().err


async def _people(url: str) -> None:
    store = PostgresStore(url)
    await store.open()
    for role, regions in (("admin", ()), ("dispatcher", ()), ("supervisor", ("UZ-TK",))):
        password = await hashed("right")
        await store.put_operator(Operator(username=role, role=role, password=password, regions=regions))
    await store.close()


@pytest.mark.parametrize(
    ("username", "password", "why"),
    [
        ("admin", "wrong", "the user name or the password is wrong"),
        ("nobody", "right", "the user name or the password is wrong"),
        ("dispatcher", "right", "may not export personal data"),
        ("supervisor", "right", "may not export personal data of every region"),
    ],
)
def test_personal_data_leaves_only_with_somebody_who_may(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    username: str, password: str, why: str,
) -> None:  # fmt: skip
    asyncio.run(_people(postgres_url))
    monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
    assert exported(postgres_url, tmp_path / "export", "--personal", "--as", username) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "export").exists()
    assert exported(postgres_url, tmp_path / "export", "--personal") == 2


def test_personal_data_that_leaves_fits_its_commitments_and_is_in_the_audit(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before() -> None:
        async with life(postgres_url):
            await _people(postgres_url)

    async def audited() -> list[tuple[str, str]]:
        connection = await asyncpg.connect(postgres_url)
        rows = await connection.fetch("SELECT actor, subject FROM audit WHERE action = 'exported'")
        await connection.close()
        return [tuple(row) for row in rows]

    asyncio.run(before())
    monkeypatch.setattr(sys, "stdin", io.StringIO("right\n"))
    folder = tmp_path / "export"
    assert exported(postgres_url, folder, "--personal", "--as", "admin") == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    assert NUMBER in bytes.fromhex("".join(_documents(folder))).decode()
    assert said(folder) == []
    assert asyncio.run(audited()) == [("user:admin", "personal:*")]


def _documents(folder: Path) -> list[str]:
    rows = map(json.loads, (folder / "tables" / "personal.jsonl").read_text().splitlines())
    return [row["document"].removeprefix("\\x") for row in rows]
