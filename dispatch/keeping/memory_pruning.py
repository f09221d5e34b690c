"""What the store's twin drops by age; the Postgres side is pruning.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from dispatch.ids import made_at
from dispatch.store import LISTED, USUAL_AGES, Ages, TableFacts
from dispatch.writing.records import (
    Answer,
    AuditEntry,
    DecisionInputs,
    Personal,
    Session,
    TrackPoint,
    UnreadableContact,
)


class MemoryPruning:
    """The part of the twin that forgets."""

    _answers: dict[tuple[str, str], Answer]
    _decisions: dict[tuple[str, int, bytes], DecisionInputs]
    _sessions: dict[bytes, Session]
    _contacts: dict[str, UnreadableContact]
    _personal: dict[str, Personal | None]
    _audit: list[AuditEntry]
    _tables: dict[str, dict[str, Any]]
    _tracks: dict[date, list[TrackPoint]]

    def _reach(self) -> None:
        raise NotImplementedError("the store says whether it is away")

    async def prune(self, now: datetime, ages: Ages = USUAL_AGES, wall: datetime | None = None) -> dict[str, int]:
        self._reach()
        wall = wall or now
        entries = len(self._audit)
        self._audit = [entry for entry in self._audit if entry.at >= now - ages.audit]
        days = [day for day in self._tracks if day < (wall - ages.tracks).date()]
        for day in days:
            del self._tracks[day]
        old_work, forgotten = now - ages.work, now - ages.personal
        tables, contacts = self._tables, self._contacts
        return {
            "answers": _drop(self._answers, lambda answer: answer.at < now - ages.answers),
            "decisions": _drop(self._decisions, lambda inputs: inputs.at < now - ages.decisions),
            "sessions": _drop(self._sessions, lambda session: session.expires_at < wall),
            "contacts": _drop(contacts, lambda c: c.settled_at is not None and c.settled_at < now - ages.contacts),
            "contacts_waiting": _drop(contacts, lambda c: c.settled_at is None and c.at < forgotten),
            "audit": entries - len(self._audit),
            "orders": _drop(tables["orders"], lambda row: row.at < old_work),
            "assignments": _drop(tables["assignments"], lambda row: _over(row.cleared_at, old_work)),
            "calls": _drop(tables["calls"], lambda row: _over(row.closed_at, old_work)),
            "incidents": _drop(tables["incidents"], lambda row: _over(row.closed_at, old_work)),
            "personal": self._forget(forgotten, now),
            "tracks": len(days),
        }

    async def facts(self) -> dict[str, TableFacts]:
        self._reach()
        found: dict[str, list[datetime]] = {
            "answers": [answer.at for answer in self._answers.values()],
            "decisions": [inputs.at for inputs in self._decisions.values()],
            "audit": [entry.at for entry in self._audit],
            "contacts": [contact.at for contact in self._contacts.values() if contact.settled_at is None],
            "personal": [at for id in self._personal if (at := made_at(id)) is not None],
            "tracks": [datetime.combine(day, datetime.min.time(), UTC) for day in self._tracks],
        }
        for table, listed in LISTED.items():
            if listed.time is not None:
                found[table] = [getattr(row, listed.time) for row in self._tables[table].values()]
        return {name: TableFacts(oldest=min(times, default=None)) for name, times in found.items()}

    def _forget(self, before: datetime, now: datetime) -> int:
        old = [id for id in self._personal if (at := made_at(id)) is not None and at < before]
        for id in old:
            del self._personal[id]
        if old:
            subject = f"personal:before:{before.date()}"
            self._audit.append(AuditEntry(at=now, actor="system", action="erased", subject=subject))
        return len(old)


def _over(at: datetime | None, before: datetime) -> bool:
    return at is not None and at < before


def _drop(kept: dict[Any, Any], is_old: Callable[[Any], bool]) -> int:
    old = [key for key, value in kept.items() if is_old(value)]
    for key in old:
        del kept[key]
    return len(old)
