"""Read models and tracks of the store's twin; the Postgres side is lists.sql."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from dispatch.store import (
    LISTED,
    PAGE_LIMIT,
    TRACK_DAYS_MAX,
    Filters,
    cursor_after,
    cursor_place,
    filter_values,
    page,
)
from dispatch.writing.records import TrackPoint


class MemoryRows:
    """The part of the twin that lists and cards read."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {table: {} for table in LISTED}
        self._tracks: dict[date, list[TrackPoint]] = {}

    def _reach(self) -> None:
        raise NotImplementedError("the store says whether it is away")

    async def row(self, table: str, id: str) -> dict[str, Any] | None:
        self._reach()
        row = self._tables[table].get(id)
        return None if row is None else msgspec.structs.asdict(row)

    async def rows(
        self, table: str, filters: Filters, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        self._reach()
        listed = LISTED[table]
        wanted = list(zip(listed.filters, filter_values(table, filters), strict=True))
        place = cursor_place(cursor) if cursor else None

        def order(row: dict[str, Any]) -> tuple[Any, str]:
            return (row[listed.time] if listed.time else None, row[listed.key])

        fitting = (msgspec.structs.asdict(row) for row in self._tables[table].values())
        found = [row for row in fitting if all(values is None or row[c] in values for c, values in wanted)]
        found.sort(key=lambda row: order(row) if listed.time else row[listed.key], reverse=listed.time is not None)
        if place and listed.time:
            found = [row for row in found if order(row) < (place[1], place[0])]
        elif place:
            found = [row for row in found if row[listed.key] > place[0]]
        rows = found[: page(limit)]
        if len(rows) == len(found):
            return rows, None
        at, key = order(rows[-1])
        return rows, cursor_after(key, at)

    async def tracks(self, points: Sequence[TrackPoint]) -> int:
        self._reach()
        kept = 0
        for point in points:
            day = point.at.astimezone(UTC).date()
            if day in self._tracks or len(self._tracks) < TRACK_DAYS_MAX:
                self._tracks.setdefault(day, []).append(point)
                kept += 1
        return kept

    async def track(self, unit_id: str, since: datetime, until: datetime, limit: int) -> list[TrackPoint]:
        self._reach()
        points = [p for day in self._tracks.values() for p in day if p.unit_id == unit_id]
        return sorted((p for p in points if since <= p.at < until), key=lambda p: p.at)[: page(limit)]

    async def last_tracks(self, unit_ids: Sequence[str], since: datetime) -> list[TrackPoint]:
        self._reach()
        assert len(unit_ids) <= PAGE_LIMIT
        newest: dict[str, TrackPoint] = {}
        for point in (p for day in self._tracks.values() for p in day if p.at >= since):
            known = newest.get(point.unit_id)
            if known is None or point.at > known.at:
                newest[point.unit_id] = point
        return [newest[unit_id] for unit_id in unit_ids if unit_id in newest]
