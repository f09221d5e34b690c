"""`dispatch112 verify-log`: the one-file verifier on an export, or on the rows of a live database.

The verdict is verify_log.py's alone; this only brings it the rows, all of one moment.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from dispatch.errors import ServiceAway, UserMistake
from dispatch.keeping.migrate import CONNECT_TIMEOUT_S, require_schema
from dispatch.services import database
from dispatch.settings import Settings, settings_from
from dispatch.sql import queries
from dispatch.verify_log import (
    Commitments,
    Event,
    Report,
    Unverifiable,
    Verification,
    add_file_arguments,
    anchors_of,
    verify_path,
)

PREFETCH_ROWS = 2_000
"""Rows that travel at once: memory stays bounded however long the journal is."""

HEADS = "heads"
"""The signed heads' place in the data directory and in an export."""

_queries = queries("copying")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 verify-log`."""
    add_file_arguments(parser)
    parser.add_argument("--database-url", metavar="URL", help="without a file: this database (our own Postgres)")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres and the signed heads lie")


def run(args: argparse.Namespace) -> int:
    """Verify, print what is wrong, and give the status: 0 whole, 1 faults."""
    try:
        return asyncio.run(_live(args, settings_from(args))) if args.path is None else verify_path(args)
    except Unverifiable as mistake:
        raise UserMistake(str(mistake)) from None


async def _live(args: argparse.Namespace, settings: Settings) -> int:
    report = Report()
    heads: Path = args.heads or settings.data_dir / HEADS
    anchors = anchors_of(heads, report, args.public_key) if args.heads or heads.is_dir() else {}
    verification = Verification(report, anchors, args.region)
    async with database(settings) as url, of_one_moment(url) as connection:
        await verify_rows(connection, verification)
    return report.close(verification, [] if anchors else ["no signed heads were found"])


@asynccontextmanager
async def of_one_moment(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the database as it is now, whatever is written meanwhile. It writes nothing."""
    connection = await connected(url)
    try:
        await require_schema(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close()


async def connected(url: str) -> asyncpg.Connection:
    """A connection for one long piece of work. Raises ServiceAway, or UserMistake where we are not let in."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings={"jit": "off"})
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as fault:
        raise UserMistake(f"the database does not let us in: {fault}") from fault
    except (OSError, TimeoutError, asyncpg.PostgresError) as fault:
        raise ServiceAway(f"no database answers at the URL given: {fault}") from fault


async def verify_rows(connection: asyncpg.Connection, verification: Verification) -> None:
    """The rows of a database, inside a transaction, against each other and the signed heads."""
    found = await connection.fetch(_queries["heads"])
    heads = {row["region"]: (row["seq"], row["hash"]) for row in found if verification.only in (None, row["region"])}
    verification.commitments = Commitments(verification.say) if verification.only is None else None
    async for event in events(connection, verification.only):
        verification.add(event)
    if verification.only is not None and not heads and not verification.events:
        raise UserMistake(f"the database has no region {verification.only!r}")
    verification.end(heads)
    if verification.commitments is not None:
        async for row in rows(connection, _queries["personal"]):
            verification.commitments.check(msgspec.json.decode(row[0]))


async def events(connection: asyncpg.Connection, region: str | None = None) -> AsyncIterator[Event]:
    """The journal, one region behind the other, each in order."""
    async for row in rows(connection, _queries["events"], region):
        region, seq, at, kind, payload, actor, epoch, digest = row
        yield Event(region, seq, at, kind, payload.encode(), actor, epoch, digest)


async def rows(connection: asyncpg.Connection, query: str, *values: Any) -> AsyncIterator[asyncpg.Record]:
    """The rows of a query, a few thousand in memory at once."""
    async for row in connection.cursor(query, *values, prefetch=PREFETCH_ROWS):
        yield row
