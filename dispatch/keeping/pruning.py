"""What Postgres drops by age, in steps that hold no lock for long, and what is left. The rules are store.py's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from dispatch.ids import first_at, made_at
from dispatch.keeping.pool import Pool
from dispatch.store import USUAL_AGES, Ages, TableFacts

PRUNE_ROWS = 5_000
PRUNE_STEPS = 20
PRUNE_MOST = PRUNE_ROWS * PRUNE_STEPS
"""One prune drops at most so many rows of a table; the next one goes on."""
PERSONAL_LETTERS = ("c", "n")
"""Under which letters personal documents are kept: those of calls and of notes. Their ids sort by time."""


class PostgresPruning:
    """The part of the Postgres store that keeps its tables from growing for ever."""

    _readers: Pool
    _track_days: set[date]

    async def prune(self, now: datetime, ages: Ages = USUAL_AGES, wall: datetime | None = None) -> dict[str, int]:
        wall = wall or now
        old_work = now - ages.work
        oldest = {
            "answers": now - ages.answers,
            "decisions": now - ages.decisions,
            "sessions": wall,
            "contacts": now - ages.contacts,
            "contacts_waiting": now - ages.personal,
            "audit": now - ages.audit,
            "orders": old_work,
            "assignments": old_work,
            "calls": old_work,
            "incidents": old_work,
        }
        dropped = {what: await self._pruned(what, before) for what, before in oldest.items()}
        dropped["personal"] = await self._forgotten(now - ages.personal, now)
        days = await self._readers.run("pruning.tracks", (wall - ages.tracks).date())
        self._track_days.clear()
        return {**dropped, "tracks": days[0][0]}

    async def facts(self) -> dict[str, TableFacts]:
        oldest: dict[str, datetime | None] = {row[0]: row[1] for row in await self._readers.run("pruning.oldest")}
        first = (await self._readers.run("pruning.oldest_personal"))[0][0]
        oldest["personal"] = made_at(first) if first is not None else None
        days = (await self._readers.run("pruning.oldest_track_day"))[0][0]
        oldest["tracks"] = datetime.combine(days, datetime.min.time(), UTC) if days is not None else None
        return {
            row["name"]: TableFacts(size_bytes=row["size_bytes"], oldest=oldest.get(row["name"]))
            for row in await self._readers.run("pruning.sizes")
        }

    async def _pruned(self, what: str, before: Any, *more: Any) -> int:
        total = 0
        for _ in range(PRUNE_STEPS):
            dropped = (await self._readers.run(f"pruning.{what}", before, PRUNE_ROWS, *more))[0][0]
            total += dropped
            if dropped < PRUNE_ROWS:
                break
        return total

    async def _forgotten(self, before: datetime, now: datetime) -> int:
        """Personal documents go with their rows: whoever repeats such an old one would be three years late."""
        total = 0
        for letter in PERSONAL_LETTERS:
            total += await self._pruned("personal", first_at(letter, before), f"{letter}-")
        if total:
            await self._readers.run("pruning.say_forgotten", now, f"personal:before:{before.date()}")
        return total
