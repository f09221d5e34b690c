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
from dispatch.keeping.connection import PRIMARY, away_or_same, hang_up
from dispatch.services import database
from dispatch.settings import Settings, settings_from

SCHEMA_VERSION = 2
LOCK = 0x112
"""Key of the advisory lock that migrations of one database take turns by."""

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 15.0
LOCK_TIMEOUT_S = 30.0
"""Another process migrates: whoever waits for it longer is told so, and may come again."""
WORK_TIMEOUT_S = 21_600.0
"""One script; it may have to rewrite a large table."""
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


class NotLetIn(UserMistake):
    """The database answers, and does not know us: a wrong password, or no database of that name."""


async def migrate(url: str) -> MigrationReport:
    """Apply what the database lacks. Raises ServiceAway, or UserMistake where a person must act.

    Only the scripts may take long: a server that falls silent at any other moment is away within seconds.
    """
    connection: asyncpg.Connection | None = None
    try:
        connection = await _connected(url)
        await connection.execute("BEGIN")
        await _take_turn(connection)
        report = await _migrated(connection)
        await connection.execute("COMMIT")
        return report
    except Exception as fault:
        raise away_or_same(fault) from fault
    finally:
        if connection is not None:
            # What was not committed ends with its connection: a ROLLBACK would wait for a server that is silent.
            await hang_up(connection)


async def _connected(url: str) -> asyncpg.Connection:
    """A connection to the server that writes. Raises ServiceAway, NotLetIn."""
    try:
        return await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, command_timeout=ANSWER_TIMEOUT_S, target_session_attrs=PRIMARY
        )
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as fault:
        raise ServiceAway(f"no database answers at the URL given: {fault}") from fault
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as fault:
        raise NotLetIn(f"the database does not let us in: {fault}") from fault


async def _take_turn(connection: asyncpg.Connection) -> None:
    """Return when no other process migrates. Raises ServiceAway."""
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=LOCK_TIMEOUT_S)
    except TimeoutError as late:
        raise ServiceAway("another process migrates the database, or it does not answer") from late


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
        await connection.execute(script.read_text("utf-8"), timeout=WORK_TIMEOUT_S)
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
