"""Brings a database to the schema of this program: `dispatch112 migrate`. It never goes back to an older one.

An empty database gets schema.sql as a whole. One made by an older version gets the numbered steps of
`dispatch/sql/steps/` that it lacks (`0002.sql` brings version 1 to 2), each of which records its version as
schema.sql does. All of it is one transaction under a lock, so any number of processes may start at once.
"""

import argparse
import asyncio
from pathlib import Path

import asyncpg
import msgspec

from dispatch.errors import ServiceAway, UserMistake
from dispatch.services import database
from dispatch.settings import Settings, settings_from

SCHEMA_VERSION = 2
LOCK = 0x112
"""Key of the advisory lock that migrations of one database take turns by."""

CONNECT_TIMEOUT_S = 10.0
SCHEMA = Path(__file__).parents[1] / "schema.sql"
STEPS = Path(__file__).parents[1] / "sql" / "steps"


class MigrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """`before` is None when the database was empty; `applied` names what was run, in order."""

    before: int | None
    after: int
    applied: tuple[str, ...]

    def __str__(self) -> str:
        if not self.applied:
            return f"The database has schema {self.after} already."
        return f"The database has schema {self.after} now ({', '.join(self.applied)})."


async def migrate(url: str) -> MigrationReport:
    """Apply what the database lacks. Raises ServiceAway, or UserMistake where a person must act."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as fault:
        raise ServiceAway(f"no database answers at the URL given: {fault}") from fault
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as fault:
        raise UserMistake(f"the database does not let us in: {fault}") from fault
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            return await _migrated(connection)
    finally:
        await connection.close()


async def version(connection: asyncpg.Connection) -> int | None:
    """The schema's version, None when there is none."""
    if await connection.fetchval("SELECT to_regclass('schema_version') IS NULL"):
        return None
    found: int | None = await connection.fetchval("SELECT max(version) FROM schema_version")
    return found


async def require_schema(connection: asyncpg.Connection) -> None:
    """Raise UserMistake unless the database has exactly the schema of this program."""
    found = await version(connection)
    if found is None or found < SCHEMA_VERSION:
        raise UserMistake("the database has no schema of ours, or an older one: run `dispatch112 migrate`")
    _refuse_newer(found)


async def _migrated(connection: asyncpg.Connection) -> MigrationReport:
    before = await version(connection)
    if before is not None:
        _refuse_newer(before)
    elif await connection.fetchval("SHOW server_encoding") != "UTF8":
        raise UserMistake("the database is not in UTF8: create it with ENCODING 'UTF8'")
    scripts = [SCHEMA] if before is None else steps_after(before, STEPS)
    for script in scripts:
        await connection.execute(script.read_text("utf-8"))
    after = await version(connection)
    assert after == SCHEMA_VERSION, f"the scripts end at schema {after}, not {SCHEMA_VERSION}"
    return MigrationReport(before=before, after=after, applied=tuple(script.name for script in scripts))


def steps_after(before: int, folder: Path) -> list[Path]:
    """The steps that a database of version `before` lacks, in order; none may be missing."""
    steps = [folder / f"{number:04}.sql" for number in range(before + 1, SCHEMA_VERSION + 1)]
    missing = [step.name for step in steps if not step.exists()]
    assert not missing, f"steps are missing from the program: {missing}"
    return steps


def _refuse_newer(found: int) -> None:
    if found > SCHEMA_VERSION:
        raise UserMistake(
            f"the database has schema {found}, this program knows {SCHEMA_VERSION}: install the newer program"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `dispatch112 migrate`."""
    parser.add_argument("--database-url", metavar="URL", help="default: our own Postgres")
    parser.add_argument("--data-dir", metavar="DIR", help="where our own Postgres lies")


def run(args: argparse.Namespace) -> int:
    """Migrate, say what was done, and give the exit status."""
    print(asyncio.run(_run(settings_from(args))))
    return 0


async def _run(settings: Settings) -> MigrationReport:
    async with database(settings) as url:
        return await migrate(url)
