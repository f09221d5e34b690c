"""The store's twin in memory, for simulation and tests: the same promises and refusals, faults on request.

It keeps nothing when the process ends. What it keeps outlives an engine, as a database does, so a test may
crash the engine and start another on the same twin.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec

from dispatch.core.terms import CallStatus, IncidentStatus, Stage, UnitStatus
from dispatch.keeping.memory_access import MemoryAccess
from dispatch.keeping.memory_leases import MemoryLeases, Region
from dispatch.keeping.memory_pruning import MemoryPruning
from dispatch.keeping.memory_rows import MemoryRows
from dispatch.store import (
    LISTED,
    SNAPSHOTS_KEPT,
    CommitUnknown,
    StoreAway,
    cursor_after,
    cursor_place,
    page,
    unfit_regions,
)
from dispatch.writing.journal import GENESIS
from dispatch.writing.records import (
    REPEATED,
    Answer,
    AnsweredKeys,
    Appended,
    AssignmentRow,
    AuditEntry,
    Batch,
    DecisionInputs,
    Loaded,
    Personal,
    Recorded,
    UnreadableContact,
    digest_of_key,
)

_STATUSES = {
    "calls": frozenset(CallStatus),
    "incidents": frozenset(IncidentStatus),
    "units": frozenset(UnitStatus),
    "orders": frozenset(Stage),
}


class Faults(msgspec.Struct, kw_only=True):
    """What goes wrong next. The numbers count the appends that still suffer."""

    away: bool = False
    """Every method raises StoreAway."""
    fail_before_commit: int = 0
    """StoreAway, nothing kept."""
    fail_after_commit: int = 0
    """CommitUnknown, everything kept."""
    lose_commit: int = 0
    """CommitUnknown, nothing kept."""
    latency_s: float = 0.0
    """How long an append takes, on the loop's clock."""


class MemoryStore(MemoryPruning, MemoryRows, MemoryAccess, MemoryLeases):
    """`dispatch.store.Store` without a server. `now` is the clock of its leases."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        MemoryRows.__init__(self)
        MemoryAccess.__init__(self)
        MemoryLeases.__init__(self, now)
        self.faults = Faults()
        self._live: dict[str, str] = {}  # unit -> its live assignment
        self._answers: dict[tuple[str, str], Answer] = {}
        self._personal: dict[str, Personal | None] = {}  # None: erased
        self._decisions: dict[tuple[str, int, bytes], DecisionInputs] = {}
        self._contacts: dict[str, UnreadableContact] = {}
        self._audit: list[AuditEntry] = []

    async def open(self) -> None:
        self._reach()

    async def close(self) -> None: ...

    async def ping(self) -> None:
        self._reach()

    def _reach(self) -> None:
        if self.faults.away:
            raise StoreAway("the twin was told to be away")

    # The journal

    async def append(self, batch: Batch) -> Appended:
        if self.faults.latency_s:
            await asyncio.sleep(self.faults.latency_s)
        self._reach()
        return self._judged(batch)

    def _judged(self, batch: Batch) -> Appended:
        """Commit, or fail in the way that was asked for next."""
        faults = self.faults
        if faults.fail_before_commit:
            faults.fail_before_commit -= 1
            raise StoreAway("the twin was told to fail before the commit")
        if faults.lose_commit:
            faults.lose_commit -= 1
            raise CommitUnknown("the twin was told to lose a commit")
        appended = self._append(batch)
        if faults.fail_after_commit:
            faults.fail_after_commit -= 1
            raise CommitUnknown("the twin was told to fail after the commit")
        return appended

    def _append(self, batch: Batch) -> Appended:
        refused = unfit_regions(batch)
        refused |= self._fenced_off(batch.events, refused)
        rest = batch if not refused else batch.only(batch.regions() - refused.keys())
        keys = {(answer.actor, answer.key): answer.region for answer in rest.answers}
        repeated = {pair: self._answers[pair] for pair in keys if pair in self._answers}
        refused |= {keys[pair]: REPEATED for pair in repeated}
        rest = rest.only(rest.regions() - refused.keys()) if repeated else rest
        if self._conflict(rest) is None:
            self._keep(rest)
            return Appended(refused=refused, repeated=repeated)
        for region in sorted(rest.regions()):
            part = rest.only({region})
            conflict = self._conflict(part)
            if conflict is None:
                self._keep(part)
            else:
                refused[region] = conflict
        return Appended(refused=refused, repeated=repeated)

    def _fenced_off(self, events: Sequence[Recorded], known: dict[str, str]) -> dict[str, str]:
        """Regions that the journal refuses, each judged by its first event."""
        judged: dict[str, str] = {}
        for event in events:
            if event.region not in judged and event.region not in known:
                judged[event.region] = self._fence(event)
        return {region: reason for region, reason in judged.items() if reason}

    def _fence(self, first: Recorded) -> str:
        region = self._regions.get(first.region)
        if region is None or region.leader is None:
            return "unled"
        if region.leader.epoch != first.epoch:
            return "stale_epoch"
        return "" if region.head[0] == first.seq - 1 else "gap"

    def _conflict(self, batch: Batch) -> str | None:
        """The constraint that this would break, named as the database names it."""
        changed = {row.assignment_id: row for row in batch.rows.assignments}
        taken: set[str] = set()
        for row in changed.values():
            if row.cleared_at is not None:
                continue
            holder = changed.get(self._live.get(row.unit_id, ""))
            other = self._live.get(row.unit_id) not in (None, row.assignment_id) and (
                holder is None or holder.cleared_at is None
            )
            if other or row.unit_id in taken:
                return "conflict: assignments_one_live_a_unit"
            taken.add(row.unit_id)
        for table, statuses in _STATUSES.items():
            if any(row.status not in statuses for row in getattr(batch.rows, table)):
                return f"conflict: {table}_status_check"
        return None

    def _keep(self, batch: Batch) -> None:
        for event in batch.events:
            self._regions[event.region].events.append(event)
        for table, listed in LISTED.items():
            kept = self._tables[table]
            for row in getattr(batch.rows, table):
                kept[getattr(row, listed.key)] = row
        self._keep_live(batch.rows.assignments)
        for document in batch.personal:
            self._personal.setdefault(document.id, document)
        for inputs in batch.decisions:
            self._decisions.setdefault((inputs.region, inputs.seq, inputs.digest), inputs)
        self._answers.update({(answer.actor, answer.key): answer for answer in batch.answers})

    def _keep_live(self, assignments: Sequence[AssignmentRow]) -> None:
        for row in assignments:
            if row.cleared_at is not None and self._live.get(row.unit_id) == row.assignment_id:
                del self._live[row.unit_id]
        self._live |= {row.unit_id: row.assignment_id for row in assignments if row.cleared_at is None}

    async def head(self, region: str) -> tuple[int, bytes]:
        self._reach()
        return self._regions[region].head if region in self._regions else (0, GENESIS)

    async def heads(self) -> dict[str, tuple[int, bytes]]:
        self._reach()
        return {region: journal.head for region, journal in sorted(self._regions.items())}

    async def latest(self) -> datetime | None:
        self._reach()
        return max((r.events[-1].at for r in self._regions.values() if r.events), default=None)

    async def load(self, region: str) -> Loaded:
        self._reach()
        journal = self._regions.get(region) or Region()
        seq = max(journal.snapshots, default=0)
        return Loaded(
            snapshot=journal.snapshots.get(seq),
            snapshot_seq=seq,
            snapshot_hash=journal.hash_at(seq),
            head_seq=journal.head[0],
            head_hash=journal.head[1],
            tail=_each(journal.events[seq:]),
        )

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        self._reach()
        journal = self._regions.get(region) or Region()
        return journal.events[max(0, after) : max(0, after) + page(limit)]

    async def snapshot(self, region: str, seq: int, state: bytes) -> None:
        self._reach()
        journal = self._regions.get(region) or Region()
        committed = 0 < seq <= len(journal.events)
        assert committed, f"a snapshot of {region} after event {seq}, which is not committed"
        journal.snapshots[seq] = state
        for old in sorted(journal.snapshots)[:-SNAPSHOTS_KEPT]:
            del journal.snapshots[old]

    async def decisions(self, region: str, after: int, limit: int) -> list[DecisionInputs]:
        self._reach()
        wanted = sorted(key for key in self._decisions if key[0] == region and key[1] > after)
        return [self._decisions[key] for key in wanted[: page(limit)]]

    # Answers and personal data

    async def recall(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Answer]:
        self._reach()
        return {pair: self._answers[pair] for pair in pairs if pair in self._answers}

    async def answered(self, regions: Collection[str], after: tuple[str, str] | None, limit: int) -> AnsweredKeys:
        self._reach()
        wanted = sorted(pair for pair, answer in self._answers.items() if answer.region in regions)
        found = [pair for pair in wanted if after is None or pair > after][:limit]
        last = found[-1] if len(found) == limit else None
        return AnsweredKeys(digests=b"".join(digest_of_key(*pair) for pair in found), last=last)

    async def personal(self, ids: Sequence[str]) -> dict[str, Personal]:
        self._reach()
        found = {id: self._personal.get(id) for id in ids}
        return {id: document for id, document in found.items() if document is not None}

    async def erase(self, id: str, by: str, at: datetime) -> bool:
        self._reach()
        if self._personal.get(id) is None:
            return False
        self._personal[id] = None
        self._audit.append(AuditEntry(at=at, actor=by, action="erased", subject=f"personal:{id}"))
        return True

    async def audit(self, entries: Sequence[AuditEntry]) -> None:
        self._reach()
        self._audit.extend(entries)

    async def audited(self, subject: str, limit: int) -> list[AuditEntry]:
        self._reach()
        found = [entry for entry in self._audit if entry.subject == subject]
        return sorted(found, key=lambda entry: entry.at, reverse=True)[: page(limit)]

    async def keep_contact(self, contact: UnreadableContact) -> None:
        self._reach()
        self._contacts.setdefault(contact.contact_id, contact)

    async def contacts(
        self, region: str | None, cursor: str | None, limit: int
    ) -> tuple[list[UnreadableContact], str | None]:
        self._reach()
        key, at = cursor_place(cursor) if cursor else ("", None)
        waiting = [c for c in self._contacts.values() if c.settled_at is None and region in (None, c.region)]
        waiting.sort(key=lambda c: (c.at, c.contact_id))
        rest = [c for c in waiting if at is None or (c.at, c.contact_id) > (at, key)]
        found = rest[: page(limit)]
        return found, cursor_after(found[-1].contact_id, found[-1].at) if len(rest) > len(found) else None

    async def settle_contact(
        self, contact_id: str, by: str, at: datetime, regions: Sequence[str] | None = None
    ) -> bool:
        self._reach()
        contact = self._contacts.get(contact_id)
        if contact is None or contact.settled_at is not None:
            return False
        if regions is not None and contact.region is not None and contact.region not in regions:
            return False
        self._contacts[contact_id] = msgspec.structs.replace(contact, settled_at=at, settled_by=by)
        return True


async def _each(events: list[Recorded]) -> AsyncIterator[Recorded]:
    for event in events:
        yield event
