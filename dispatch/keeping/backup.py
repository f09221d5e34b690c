"""`dispatch112 backup DIR`: everything that a restore needs, of one moment, while the service works.

It holds personal data and the digests of passwords: the folder is its owner's alone. What came after its moment is not
in it; docs/recovery.md says what that means.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from time import perf_counter

from dispatch.keeping.copying import Manifest, Wanted, all_tables, copy
from dispatch.keeping.heads import Series
from dispatch.keeping.verifying import connected, of_one_moment
from dispatch.services import database
from dispatch.settings import Settings, settings_from
from dispatch.sql import queries
from dispatch.verify_log import Report, Verification, verify_directory

ACTOR = "command:backup"

_queries = queries("copying")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 backup`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new directory; it appears when it is whole")
    parser.add_argument("--plain", action="store_true", help="lines as they are, not packed by gzip")
    parser.add_argument("--database-url", metavar="URL", help="default: our own Postgres, running or not")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres lies")


def run(args: argparse.Namespace) -> int:
    """Write, read back and verify; 1 when the journal itself has faults: the copy is then a true copy of them."""
    settings = settings_from(args)
    began_s = perf_counter()
    manifest = asyncio.run(backed_up(settings, args.folder, packed=not args.plain))
    took_s = perf_counter() - began_s
    size = sum(facts.bytes for facts in manifest.files.values())
    print(f"{manifest.events} events and {len(manifest.files)} files, {size} bytes, in {took_s:.1f} s")
    print(f"the moment is {manifest.made_at:%Y-%m-%dT%H:%M:%S.%fZ}: what came later is not in it")
    report = Report()
    verification = Verification(report, {})
    verify_directory(args.folder, verification, report)
    return report.close(verification)


async def backed_up(settings: Settings, folder: Path, *, packed: bool = True) -> Manifest:
    """Write a backup of the database that the settings name. Raises UserMistake or ServiceAway."""
    async with database(settings) as url:
        async with of_one_moment(url) as connection:
            tables = await all_tables(connection)
            wanted = Wanted(kind="backup", tables=tables, packed=packed, heads=Series(settings.data_dir))
            manifest = await copy(connection, folder, wanted)
        await noted(url, ACTOR, "backed_up", f"backup:{manifest.made_at:%Y-%m-%dT%H:%M:%SZ}")
    return manifest


async def noted(url: str, actor: str, action: str, subject: str) -> None:
    """Say in the audit that personal data left the database."""
    connection = await connected(url)
    try:
        await connection.execute(_queries["note"], actor, action, subject)
    finally:
        await connection.close()
