"""Writes a database into files: the journal as lines of JSON, tables as they are, a manifest over all of it.

One repeatable-read transaction, so that all files are of one moment while the service goes on; a few thousand rows
in memory at once. The folder takes its name only when everything is in it and on the disk.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import asyncpg
import msgspec

from dispatch import __version__
from dispatch.errors import UserMistake
from dispatch.keeping.files import new_file, whole_folder
from dispatch.keeping.heads import Series
from dispatch.keeping.migrate import version
from dispatch.keeping.verifying import HEADS, events, rows
from dispatch.sql import queries
from dispatch.store import LISTED
from dispatch.verify_log import Event

FORMAT = "dispatch112 journal 1"
MANIFEST = "manifest.json"
READ_MODELS = tuple(LISTED)
PERSONAL = "personal"
LEFT_OUT = {
    "events": "they stand in journal/",
    "schema_version": "the manifest names it",
    "snapshots": "made again from the journal",
    "processes": "who lives says so again each moment",
    "sessions": "people log in again",
    "tracks": "thinned positions, dropped after a week anyway",
}
"""Tables that no backup holds, and why."""

_queries = queries("copying")


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says of one file; `bytes` and `sha256` are of the file as it lies there."""

    rows: int
    bytes: int
    sha256: str


class HeadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a region's journal ends."""

    seq: int
    hash: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The last file that is written. `kind`: export or backup; `made_at`: the moment that all files are of."""

    format: str
    kind: str
    made_at: datetime
    program: str
    schema: int
    personal: bool
    heads: dict[str, HeadFacts]
    files: dict[str, FileFacts]
    left_out: dict[str, str] = {}

    @property
    def events(self) -> int:
        """How many events the journal has."""
        return sum(facts.rows for name, facts in self.files.items() if name.startswith("journal/"))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to write: kind, tables beside the journal, whether packed; `heads`: whose signed heads go along."""

    kind: str
    tables: Sequence[str]
    packed: bool = False
    heads: Series | None = None


async def copy(connection: asyncpg.Connection, folder: Path, wanted: Wanted) -> Manifest:
    """Write `folder`, which must not be there; the connection is in its transaction of one moment.

    Raises UserMistake where the folder cannot be written: nothing of it is left then.
    """
    mode = 0o700 if PERSONAL in wanted.tables else 0o755
    try:
        with whole_folder(folder, mode) as fresh:
            return await _filled(connection, fresh, wanted)
    except OSError as fault:
        raise UserMistake(f"cannot write {folder}: {fault.strerror}") from None


async def all_tables(connection: asyncpg.Connection) -> list[str]:
    """Every table of the schema that a backup holds, also one that this file has never heard of."""
    found = [row[0] for row in await connection.fetch(_queries["tables"])]
    return [table for table in found if table not in LEFT_OUT]


async def _filled(connection: asyncpg.Connection, folder: Path, wanted: Wanted) -> Manifest:
    await connection.execute(_queries["plainly"])
    made_at, schema = await connection.fetchval("SELECT clock_timestamp()"), await version(connection)
    heads = {row["region"]: (row["seq"], row["hash"]) for row in await connection.fetch(_queries["heads"])}
    files: dict[str, FileFacts] = {}
    end = ".jsonl.gz" if wanted.packed else ".jsonl"
    # A region whose head somebody removed leaves as well: whoever verifies the copy is told that it has none.
    for region in sorted(heads.keys() | {row["region"] for row in await connection.fetch(_queries["regions"])}):
        name = f"journal/{region}{end}"
        files[name] = await _written(folder / name, _journal(connection, region))
    for table in wanted.tables:
        name = f"tables/{table}{end}"
        files[name] = await _written(folder / name, _table(connection, table))
    if wanted.heads is not None:
        wanted.heads.copy(folder / HEADS)
    manifest = Manifest(
        format=FORMAT,
        kind=wanted.kind,
        made_at=made_at,
        program=__version__,
        schema=schema or 0,
        personal=PERSONAL in wanted.tables,
        heads={region: HeadFacts(seq=seq, hash=digest.hex()) for region, (seq, digest) in heads.items()},
        files=files,
        left_out=LEFT_OUT if wanted.kind == "backup" else {},
    )
    with new_file(folder / MANIFEST, 0o600) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return manifest


async def _journal(connection: asyncpg.Connection, region: str) -> AsyncIterator[bytes]:
    async for event in events(connection, region):
        yield line_of(event)


async def _table(connection: asyncpg.Connection, table: str) -> AsyncIterator[bytes]:
    async for row in rows(connection, _queries["table"].format(table=quoted(table))):
        yield row[0].encode()


def quoted(table: str) -> str:
    """The table's name as SQL writes it."""
    return '"' + table.replace('"', '""') + '"'


def line_of(event: Event) -> bytes:
    """An event as a line of JSON, without the line's end: the fields as the hash chain takes them."""
    row = event._asdict()
    row["payload"], row["hash"] = event.payload.decode(), row.pop("digest").hex()
    return msgspec.json.encode(row)


async def _written(path: Path, lines: AsyncIterator[bytes]) -> FileFacts:
    path.parent.mkdir(exist_ok=True)
    count = 0
    with new_file(path, 0o600) as file:
        tallied = Tallied(file)
        with _packed(tallied, path.suffix == ".gz") as target:
            async for line in lines:
                target.write(line + b"\n")
                count += 1
    return FileFacts(rows=count, bytes=tallied.length, sha256=tallied.digest.hexdigest())


class Tallied:
    """A file that knows what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.length = 0

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        self.length += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def _packed(file: Tallied, packed: bool) -> Iterator[Tallied]:
    if not packed:
        yield file
        return
    with gzip.GzipFile(fileobj=cast(BinaryIO, file), mode="wb", mtime=0) as unpacked:
        yield cast(Tallied, unpacked)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an export or a backup. Raises UserMistake where there is none, so the copy is not whole."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise UserMistake(f"{folder} has no {MANIFEST}: it is no backup, or not a whole one") from None
    except (OSError, msgspec.DecodeError) as fault:
        raise UserMistake(f"{folder / MANIFEST} is no manifest of ours: {fault}") from None
    if manifest.format != FORMAT:
        raise UserMistake(f"{folder} has the format {manifest.format!r}, this program reads {FORMAT!r}")
    return manifest
