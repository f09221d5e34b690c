"""The store on Postgres, for work: one connection appends, a few serve intake, a few those who read, two leases.

They never wait for each other: a hundred consoles that list cannot delay a call. (A system whose intake
shared its consoles' pool stopped taking calls at 160 of them.)
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
from msgspec.structs import astuple

from dispatch.keeping import append as appending
from dispatch.keeping.access import PostgresAccess
from dispatch.keeping.connection import Writer
from dispatch.keeping.migrate import require_schema
from dispatch.keeping.pool import Pool
from dispatch.keeping.pruning import PostgresPruning
from dispatch.store import (
    LISTED,
    PAGE_LIMIT,
    SNAPSHOTS_KEPT,
    TRACK_DAYS_MAX,
    Filters,
    cursor_after,
    cursor_place,
    filter_values,
    page,
)
from dispatch.writing.journal import GENESIS
from dispatch.writing.records import (
    Answer,
    AnsweredKeys,
    Appended,
    AuditEntry,
    Batch,
    DecisionInputs,
    Leadership,
    Loaded,
    Personal,
    Process,
    Recorded,
    Seat,
    TrackPoint,
    UnreadableContact,
)

READERS_MAX = 6
INTAKE_MAX = 2
LEASES_MAX = 2


class PostgresStore(PostgresPruning, PostgresAccess):
    """`dispatch.store.Store` on a Postgres that `migrate` has prepared. At most eleven connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._writer = Writer(url)
        self._intake = Pool(url, name="dispatch112 intake", connections_max=INTAKE_MAX)
        self._leases = Pool(url, name="dispatch112 leases", connections_max=LEASES_MAX)
        self._readers = Pool(url, name="dispatch112 reader", connections_max=READERS_MAX)
        self._track_days: set[date] = set()

    async def open(self) -> None:
        """Begin to serve; again after it failed, too. Raises StoreAway, or UserMistake for a foreign schema."""
        try:
            for pool in (self._intake, self._leases, self._readers):
                await pool.open()
            async with self._readers.connection() as connection:
                await require_schema(connection)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pools = (self._intake, self._leases, self._readers)
        await asyncio.gather(self._writer.close(), *(pool.close() for pool in pools))

    async def ping(self) -> None:
        await self._readers.run("journal.heads")

    # The journal

    async def append(self, batch: Batch) -> Appended:
        return await appending.append(self._writer, batch)

    async def head(self, region: str) -> tuple[int, bytes]:
        # On the writer's connection, for a new one ends the old before it answers: no late commit follows.
        rows = await self._writer.run("head", region)
        return (rows[0]["seq"], rows[0]["hash"]) if rows else (0, GENESIS)

    async def heads(self) -> dict[str, tuple[int, bytes]]:
        return {row["region"]: (row["seq"], row["hash"]) for row in await self._readers.run("journal.heads")}

    async def latest(self) -> datetime | None:
        at: datetime | None = (await self._readers.run("journal.latest"))[0][0]
        return at

    async def load(self, region: str) -> Loaded:
        found = await self._intake.run("journal.load", region)
        if not found:
            return Loaded(
                snapshot=None, snapshot_seq=0, snapshot_hash=GENESIS, head_seq=0, head_hash=GENESIS,
                tail=self._tail(region, 0, 0),
            )  # fmt: skip
        row = found[0]
        after = row["snapshot_seq"] or 0
        return Loaded(
            snapshot=row["state"],
            snapshot_seq=after,
            snapshot_hash=row["snapshot_hash"] or GENESIS,
            head_seq=row["head_seq"],
            head_hash=row["head_hash"],
            tail=self._tail(region, after, row["head_seq"]),
        )

    async def _tail(self, region: str, after: int, last: int) -> AsyncIterator[Recorded]:
        while after < last:
            for event in await self._events(self._intake, region, after, min(1_000, last - after)):
                after = event.seq
                yield event

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        return await self._events(self._readers, region, after, page(limit))

    async def _events(self, pool: Pool, region: str, after: int, limit: int) -> list[Recorded]:
        rows = await pool.run("journal.events", region, after, limit)
        return [Recorded(**{**row, "payload": row["payload"].encode()}) for row in rows]

    async def snapshot(self, region: str, seq: int, state: bytes) -> None:
        kept = await self._intake.run("journal.snapshot", region, seq, state)
        assert kept, f"a snapshot of {region} after event {seq}, which is not committed"
        await self._intake.run("journal.drop_snapshots", region, SNAPSHOTS_KEPT)

    async def decisions(self, region: str, after: int, limit: int) -> list[DecisionInputs]:
        rows = await self._readers.run("journal.decisions", region, after, page(limit))
        return [DecisionInputs(**row) for row in rows]

    # Leadership

    async def claim(
        self, region: str, holder: str, lease_s: float, address: str = "", *, dead: Seat | None = None
    ) -> int | None:
        await self._leases.run("journal.begin_journal", region, GENESIS)
        gone = (dead.holder, dead.epoch, dead.until) if dead is not None else ("", 0, None)
        rows = await self._leases.run("journal.claim", region, holder, lease_s, address, *gone)
        return rows[0]["epoch"] if rows else None

    async def renew(self, regions: Sequence[str], holder: str, lease_s: float, address: str = "") -> set[str]:
        rows = await self._leases.run("journal.renew", list(regions), holder, lease_s, address)
        return {row["region"] for row in rows}

    async def release(self, regions: Sequence[str], holder: str) -> None:
        await self._leases.run("journal.release", list(regions), holder)

    async def attend(self, process: Process, lease_s: float) -> None:
        p = process
        await self._leases.run("journal.attend", p.holder, p.address, p.secret, list(p.regions), lease_s)

    async def depart(self, holder: str) -> None:
        await self._leases.run("journal.depart", holder)

    async def leadership(self) -> Leadership:
        rows = await self._leases.run("journal.leadership")
        return Leadership(
            seats=tuple(
                Seat(
                    region=row["region"],
                    holder=row["holder"],
                    address=row["address"],
                    epoch=row["epoch"],
                    until=row["expires_at"],
                    left_s=row["left_s"],
                )
                for row in rows
                if row["region"] is not None
            ),
            processes=tuple(
                Process(
                    holder=row["holder"],
                    address=row["address"],
                    secret=row["secret"],
                    regions=tuple(row["regions"]),
                )
                for row in rows
                if row["region"] is None
            ),
        )

    # Answers and personal data

    async def recall(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Answer]:
        actors, keys = [actor for actor, _ in pairs], [key for _, key in pairs]
        rows = await self._intake.run("journal.recall", actors, keys) if pairs else []
        return {(row["actor"], row["key"]): Answer(**row) for row in rows}

    async def answered(self, regions: Collection[str], after: tuple[str, str] | None, limit: int) -> AnsweredKeys:
        rows = await self._intake.run("journal.answered", list(regions), *(after or ("", "")), limit)
        (page_of_keys,) = rows
        last = (page_of_keys["last_actor"], page_of_keys["last_key"])
        return AnsweredKeys(digests=page_of_keys["digests"], last=last if page_of_keys["found"] == limit else None)

    async def personal(self, ids: Sequence[str]) -> dict[str, Personal]:
        rows = await self._readers.run("keeping.personal", list(ids))
        return {row["id"]: Personal(**row) for row in rows}

    async def erase(self, id: str, by: str, at: datetime) -> bool:
        return bool(await self._readers.run("keeping.erase", id, by, at))

    async def audit(self, entries: Sequence[AuditEntry]) -> None:
        columns = [[getattr(entry, name) for entry in entries] for name in AuditEntry.__struct_fields__]
        await self._readers.run("keeping.audit", *columns)

    async def audited(self, subject: str, limit: int) -> list[AuditEntry]:
        return [AuditEntry(**row) for row in await self._readers.run("keeping.audited", subject, page(limit))]

    async def keep_contact(self, contact: UnreadableContact) -> None:
        c = contact
        await self._intake.run(
            "keeping.keep_contact",
            c.contact_id,
            c.region,
            c.at,
            c.actor,
            c.door,
            c.content_type,
            c.raw,
            c.fault,
        )

    async def contacts(
        self, region: str | None, cursor: str | None, limit: int
    ) -> tuple[list[UnreadableContact], str | None]:
        key, at = cursor_place(cursor) if cursor else ("", None)
        rows = await self._readers.run("keeping.contacts", region, at, key, page(limit) + 1)
        found = [UnreadableContact(**row) for row in rows[: page(limit)]]
        more = len(rows) > len(found)
        return found, cursor_after(found[-1].contact_id, found[-1].at) if more else None

    async def settle_contact(
        self, contact_id: str, by: str, at: datetime, regions: Sequence[str] | None = None
    ) -> bool:
        seen = None if regions is None else list(regions)
        return bool(await self._readers.run("keeping.settle_contact", contact_id, by, at, seen))

    # Read models

    async def row(self, table: str, id: str) -> dict[str, Any] | None:
        assert table in LISTED, f"{table} is no read model"
        rows = await self._readers.run(f"lists.one_of_{table}", id)
        return _plain(rows[0]) if rows else None

    async def rows(
        self, table: str, filters: Filters, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        listed, most = LISTED[table], page(limit)
        key, at = cursor_place(cursor) if cursor else (None, None)
        found = await self._readers.run(f"lists.{table}", at, key, most + 1, *filter_values(table, filters))
        rows = [_plain(row) for row in found[:most]]
        if len(found) <= most:
            return rows, None
        return rows, cursor_after(rows[-1][listed.key], rows[-1][listed.time] if listed.time else None)

    async def tracks(self, points: Sequence[TrackPoint]) -> int:
        days: dict[date, list[tuple[Any, ...]]] = {}
        for point in points:
            days.setdefault(point.at.astimezone(UTC).date(), []).append(astuple(point))
        kept = [point for day in sorted(days) if await self._has_day(day) for point in days[day]]
        if kept:
            async with self._readers.connection() as connection:
                columns = TrackPoint.__struct_fields__
                await connection.copy_records_to_table("tracks", records=kept, columns=columns)
        return len(kept)

    async def _has_day(self, day: date) -> bool:
        if day not in self._track_days:
            made = (await self._readers.run("keeping.make_track_day", day, TRACK_DAYS_MAX))[0][0]
            if made:
                self._track_days.add(day)
        return day in self._track_days

    async def track(self, unit_id: str, since: datetime, until: datetime, limit: int) -> list[TrackPoint]:
        rows = await self._readers.run("keeping.track", unit_id, since, until, page(limit))
        return [TrackPoint(**row) for row in rows]

    async def last_tracks(self, unit_ids: Sequence[str], since: datetime) -> list[TrackPoint]:
        assert len(unit_ids) <= PAGE_LIMIT
        rows = await self._readers.run("keeping.last_tracks", list(unit_ids), since)
        return [TrackPoint(**row) for row in rows]


def _plain(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "doc": row["doc"].encode()}
