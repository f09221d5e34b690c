"""`dispatch112 restore DIR`: a backup into an empty database, declared good only after everything agrees.

One transaction: the database has all of it or nothing. Before it commits, the hash chain holds, every table has as
many rows as the manifest says, and the read models equal a replay of the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg
import msgspec

from dispatch.core import snapshot
from dispatch.errors import UserMistake
from dispatch.keeping.copying import LEFT_OUT, Manifest, all_tables, quoted, read_manifest
from dispatch.keeping.migrate import SCHEMA_VERSION, migrate
from dispatch.keeping.replaying import Replay
from dispatch.keeping.verifying import connected, verify_rows
from dispatch.services import database
from dispatch.settings import Settings, settings_from
from dispatch.sql import queries
from dispatch.store import WORK_KEPT
from dispatch.verify_log import Finding, Verification, event_of, opened, verify_directory

ACTOR = "command:restore"
ROWS_AT_ONCE = 1_000
FAULTS_SAID = 20

UNLOADABLE = (ValueError, OSError, EOFError, zlib.error, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What a file gives that is no longer what was written: whatever was accepted, no rows can be made of it."""

_queries = queries("copying")
_journal = queries("journal")


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the database now. `faults` is empty unless they were accepted; `newest` the last event's time."""

    manifest: Manifest
    newest: datetime | None
    faults: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 restore`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `backup` wrote")
    parser.add_argument("--accept-faults", action="store_true", help="keep what there is, though not all of it agrees")
    parser.add_argument("--database-url", metavar="URL", help="an empty database (our own Postgres)")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres lies, or will lie")


def run(args: argparse.Namespace) -> int:
    """Restore and say what was restored; 1 when faults were accepted."""
    began_s = perf_counter()
    done = asyncio.run(restored(settings_from(args), args.folder, accept_faults=args.accept_faults))
    took_s = perf_counter() - began_s
    for fault in done.faults[:FAULTS_SAID]:
        print(fault)
    verdict = f"restored with {len(done.faults)} faults" if done.faults else "restored and verified"
    newest = f"{done.newest:%Y-%m-%dT%H:%M:%SZ}" if done.newest is not None else "never"
    regions = len(done.manifest.heads)
    print(f"{verdict}: {done.manifest.events} events of {regions} regions in {took_s:.1f} s; the newest is of {newest}")
    print(f"the backup's moment was {done.manifest.made_at:%Y-%m-%dT%H:%M:%SZ}: what came later is not here")
    return 1 if done.faults else 0


async def restored(settings: Settings, folder: Path, *, accept_faults: bool = False) -> Restored:
    """Restore into the database that the settings name. Raises UserMistake with the reason when it is not good."""
    manifest = read_manifest(folder)
    if manifest.kind != "backup":
        raise UserMistake(f"{folder} is an {manifest.kind}, which lacks what a service needs: restore a backup")
    if manifest.schema != SCHEMA_VERSION:
        raise UserMistake(
            f"the backup has schema {manifest.schema}, this program {SCHEMA_VERSION}: restore it with "
            f"version {manifest.program} of the program, then `migrate` with this one"
        )
    faults = _file_faults(folder)
    _refuse(faults, accept_faults, "the backup is damaged")
    async with database(settings) as url:
        await migrate(url)
        connection = await connected(url)
        try:
            async with connection.transaction():
                await _refuse_used(connection)
                await _load(connection, folder, manifest)
                faults = _new(faults, [fault async for fault in _checked(connection, manifest)])
                _refuse(faults, accept_faults, "what was restored does not agree")
                await connection.execute(_queries["note"], ACTOR, "restored", f"backup:{folder.name}")
            await connection.execute("ANALYZE")
            newest = await connection.fetchval(_queries["newest"])
        finally:
            await connection.close()
    return Restored(manifest=manifest, newest=newest, faults=tuple(faults))


def _refuse(faults: list[str], accepted: bool, why: str) -> None:
    if faults and not accepted:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserMistake(f"{why}: {faults[0]}{more}; nothing was kept. Another backup, or --accept-faults")


def _new(before: list[str], found: list[str]) -> list[str]:
    return before + [fault for fault in found if fault not in before]


def _file_faults(folder: Path) -> list[str]:
    findings: list[Finding] = []
    verify_directory(folder, Verification(findings.append, {}), findings.append)
    return list(map(str, findings))


async def _refuse_used(connection: asyncpg.Connection) -> None:
    """Only an empty database is filled: nothing that somebody has is ever overwritten."""
    await connection.execute(_queries["keep_others_out"])
    tables = [*await all_tables(connection), *(set(LEFT_OUT) - {"schema_version"})]
    for table in sorted(tables):
        if await connection.fetchval(_queries["filled"].format(table=quoted(table))):
            raise UserMistake(f"the database is not empty (it has {table}): restore into an empty one")


async def _load(connection: asyncpg.Connection, folder: Path, manifest: Manifest) -> None:
    known = await all_tables(connection)
    for name in manifest.files:
        kind, _, rest = name.partition("/")
        table = rest.partition(".")[0]
        if kind == "tables" and table not in known:
            raise UserMistake(f"the backup holds a table {table!r} that this schema has not")
        try:
            if kind == "journal":
                await connection.copy_records_to_table("events", records=_records(folder / name))
            else:
                await _load_table(connection, folder / name, table)
        except UNLOADABLE as fault:
            raise UserMistake(f"{name} cannot be loaded ({type(fault).__name__}): nothing was kept") from fault
    await connection.execute(_queries["free_leases"])


def _records(path: Path) -> Iterator[tuple[Any, ...]]:
    for line in _whole_lines(path):
        event = event_of(line)
        at = datetime.fromisoformat(event.at)
        yield event.region, event.seq, at, event.kind, event.payload.decode(), event.actor, event.epoch, event.digest


async def _load_table(connection: asyncpg.Connection, path: Path, table: str) -> None:
    fill = _queries["fill"].format(table=quoted(table))
    gathered: list[str] = []
    for line in _whole_lines(path):
        gathered.append(line.decode())
        if len(gathered) >= ROWS_AT_ONCE:
            await connection.execute(fill, f"[{','.join(gathered)}]")
            gathered.clear()
    await connection.execute(fill, f"[{','.join(gathered)}]")


def _whole_lines(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        for line in file:
            yield line.rstrip(b"\n")


async def _checked(connection: asyncpg.Connection, manifest: Manifest) -> AsyncIterator[str]:
    """What does not hold of the rows as they are in the database now; each region gets its snapshot on the way."""
    findings: list[Finding] = []
    await verify_rows(connection, Verification(findings.append, {}))
    for finding in findings:
        yield str(finding)
    for name, facts in manifest.files.items():
        kind, _, rest = name.partition("/")
        table = rest.partition(".")[0]
        if kind == "tables":
            count = await connection.fetchval(_queries["count"].format(table=quoted(table)))
            if count != facts.rows:
                yield f"{table}: {count} rows instead of {facts.rows}"
    newest = await connection.fetchval(_queries["newest"]) or manifest.made_at
    dropped_before = max(newest, manifest.made_at) - WORK_KEPT  # In a demo service time runs ahead of the wall.
    for region, head in manifest.heads.items():
        replay = Replay(region, dropped_before)
        differs = False
        async for difference in replay.differences(connection):
            differs = True
            yield difference
        if head.seq and not differs:
            await connection.execute(_journal["snapshot"], region, head.seq, snapshot.take(replay.state))
