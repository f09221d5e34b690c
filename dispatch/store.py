"""What keeps everything that must not be lost, as the service sees it: an interface and its faults.

Two things fulfil it and pass one contract suite: keeping/postgres.py for work, keeping/memory.py for simulation
and tests. A store knows regions, sequence numbers, rows and bytes; what they mean it does not know.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from dispatch.errors import ServiceAway, UserMistake
from dispatch.writing.records import (
    Answer,
    AnsweredKeys,
    Appended,
    AssignmentRow,
    AuditEntry,
    Batch,
    CallRow,
    DecisionInputs,
    Device,
    IncidentRow,
    Leadership,
    Loaded,
    Operator,
    OrderRow,
    Personal,
    Process,
    Recorded,
    Rows,
    Seat,
    Session,
    TrackPoint,
    UnitRow,
    UnreadableContact,
)

__all__ = [
    "Ages", "Answer", "Appended", "AssignmentRow", "AuditEntry", "BadCursor", "Batch", "CallRow", "CommitUnknown",
    "DecisionInputs", "Device", "IncidentRow", "Loaded", "Operator", "OrderRow", "Personal", "Recorded",
    "Rows", "Session", "Store", "StoreAway", "TableFacts", "TrackPoint", "UnitRow", "UnreadableContact", "refuses",
]  # fmt: skip

SNAPSHOTS_KEPT = 3
PAGE_LIMIT = 1_000
"""No list gives more rows at once, whatever was asked for."""

ANSWERS_KEPT = timedelta(hours=24)
DECISIONS_KEPT = timedelta(days=30)
TRACKS_KEPT = timedelta(days=7)
CONTACTS_KEPT = timedelta(days=90)
"""An unreadable contact that a supervisor has settled; one that waits stays as long as personal data may."""
AUDIT_KEPT = timedelta(days=3 * 365)
WORK_KEPT = timedelta(days=400)
"""Closed calls and incidents, cleared assignments and orders in the read models: a year, and the same month of
the year before to compare with. What happened stays in the journal, from which they could be made again."""
PERSONAL_KEPT = timedelta(days=3 * 365)
"""Names, numbers and words, from the call or the note on; Settings.personal_kept_days says otherwise."""
TRACK_DAYS_MAX = 16
"""Partitions of tracks at once: a device with a wrong clock cannot make more."""


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """How long what may be dropped is kept. The journal is not here: it is never dropped."""

    answers: timedelta = ANSWERS_KEPT
    decisions: timedelta = DECISIONS_KEPT
    tracks: timedelta = TRACKS_KEPT
    contacts: timedelta = CONTACTS_KEPT
    audit: timedelta = AUDIT_KEPT
    work: timedelta = WORK_KEPT
    personal: timedelta = PERSONAL_KEPT


USUAL_AGES = Ages()


class TableFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How large a table is with its indexes, and the time of its oldest row, where that is cheap to know."""

    size_bytes: int = 0
    oldest: datetime | None = None


class StoreAway(ServiceAway):
    """The database does not answer; nothing of this request was kept."""


class Refused(StoreAway):
    """Nothing was kept, and not because the database is away: it will not have the batch, nor would it again. One of
    those that were together in it is to blame."""


class CommitUnknown(StoreAway):
    """The line broke after the batch was sent: committed or not, `head` tells, once it is sure."""


_OF_THE_VALUES = ("22", "23", "54")  # a value that fits no column, a constraint, a limit such as nesting


def refuses(fault: BaseException) -> bool:
    """Whether what the database was given is to blame, so that the same again is refused again.

    No other fault of it is the caller's: it cannot serve anybody then, and may later.
    """
    return isinstance(fault, ValueError) or (getattr(fault, "sqlstate", None) or "")[:2] in _OF_THE_VALUES


class BadCursor(UserMistake):
    """A list was asked to go on from a place that no list of ours gave."""


class Listed(msgspec.Struct, frozen=True):
    """How a read model is listed: newest first by (time, key), or by key alone where `time` is None."""

    key: str
    time: str | None
    filters: tuple[str, ...]


LISTED: Mapping[str, Listed] = {
    "calls": Listed("call_id", "at", ("region", "status", "incident_id")),
    "incidents": Listed("incident_id", "opened_at", ("region", "status")),
    "units": Listed("unit_id", None, ("region", "status", "body")),
    "assignments": Listed("assignment_id", "assigned_at", ("region", "status", "body", "incident_id", "unit_id")),
    "orders": Listed("order_id", "at", ("region", "status", "unit_id")),
}
"""The read models and the columns by which a list of each may be narrowed."""

Filters = Mapping[str, str | Sequence[str]]
"""Column -> the value, or the values of which one must fit."""


class Store(Protocol):
    """Every method may raise StoreAway. Times are aware UTC; tokens are SHA-256 digests."""

    async def open(self) -> None:
        """Connect; the schema must be there."""

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Return if the database answers, for the health page."""

    # The journal

    async def append(self, batch: Batch) -> Appended:
        """Commit a batch in one transaction. A region that cannot be written is left out, and said.

        Events, rows and decisions of a region need an event of that region in the batch, whose epoch fences
        them. Raises CommitUnknown when the line broke after sending.
        """

    async def head(self, region: str) -> tuple[int, bytes]:
        """The last event's number and hash. After CommitUnknown it is final: no late commit follows."""

    async def heads(self) -> dict[str, tuple[int, bytes]]:
        """Number and hash of the last event of every region that was ever led."""

    async def latest(self) -> datetime | None:
        """The time of the newest event of all regions: a clock that is multiplied goes on from there."""

    async def load(self, region: str) -> Loaded:
        """The newest snapshot and the events after it."""

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        """Events in order, those after number `after`, at most PAGE_LIMIT."""

    async def snapshot(self, region: str, seq: int, state: bytes) -> None:
        """Keep the state after event `seq`, which must be committed; the newest SNAPSHOTS_KEPT stay."""

    async def decisions(self, region: str, after: int, limit: int) -> list[DecisionInputs]:
        """Inputs of the decisions after event `after`, in order."""

    # Leadership, on the database's clock

    async def claim(
        self, region: str, holder: str, lease_s: float, address: str = "", *, dead: Seat | None = None
    ) -> int | None:
        """Lead a region: the new epoch, or None while another holds a live lease.

        `address` is where the holder answers by HTTP; empty while it does not yet. The lease of `dead`, whose
        process is no more, does not count unless it was renewed since it was seen so.
        """

    async def renew(self, regions: Sequence[str], holder: str, lease_s: float, address: str = "") -> set[str]:
        """Prolong the leases and say the address anew; returns the regions that are still ours.

        One that has run out is still ours while nobody has taken it and we have not given it up.
        """

    async def release(self, regions: Sequence[str], holder: str) -> None:
        """Give the regions up, so that a standby need not wait for the lease to run out."""

    async def attend(self, process: Process, lease_s: float) -> None:
        """Say that a core process lives, for so long; another time under the same holder says it anew."""

    async def depart(self, holder: str) -> None:
        """The process goes: it takes part in the sharing no more."""

    async def leadership(self) -> Leadership:
        """The live leases and the processes that live, as they are at one moment."""

    # Answers and personal data

    async def recall(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Answer]:
        """The first answers to those (actor, key) that have one, in one round trip."""

    async def answered(self, regions: Collection[str], after: tuple[str, str] | None, limit: int) -> AnsweredKeys:
        """Which keys have an answer of these regions, as digests, a page at a time in the order of (actor, key)."""

    async def personal(self, ids: Sequence[str]) -> dict[str, Personal]:
        """Documents by id; one that was erased or never was is absent."""

    async def erase(self, id: str, by: str, at: datetime) -> bool:
        """Erase a document and its salt for ever, and say so in the audit. False: there was none."""

    async def audit(self, entries: Sequence[AuditEntry]) -> None: ...

    async def audited(self, subject: str, limit: int) -> list[AuditEntry]:
        """Who did what with one subject, newest first."""

    async def keep_contact(self, contact: UnreadableContact) -> None:
        """Keep what could not be understood; the same id twice is kept once."""

    async def contacts(
        self, region: str | None, cursor: str | None, limit: int
    ) -> tuple[list[UnreadableContact], str | None]:
        """Those that wait for a supervisor, oldest first; `region` None: all, also those of none."""

    async def settle_contact(
        self, contact_id: str, by: str, at: datetime, regions: Sequence[str] | None = None
    ) -> bool:
        """A supervisor of these regions (None: of all) has seen to it. False when it is unknown to such a one, or
        already settled."""

    # Read models

    async def row(self, table: str, id: str) -> dict[str, Any] | None:
        """One row as column -> value; `doc` is JSON text as bytes, equal in value to what was given."""

    async def rows(
        self, table: str, filters: Filters, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page in the order of LISTED, and the cursor of the next page or None. Raises BadCursor."""

    async def tracks(self, points: Sequence[TrackPoint]) -> int:
        """Keep thinned positions; returns how many: none of a day beyond TRACK_DAYS_MAX."""

    async def track(self, unit_id: str, since: datetime, until: datetime, limit: int) -> list[TrackPoint]:
        """Where a unit was, oldest first."""

    async def last_tracks(self, unit_ids: Sequence[str], since: datetime) -> list[TrackPoint]:
        """The newest point of each of these units that has one since then, at most PAGE_LIMIT units at once."""

    # Access

    async def put_operator(self, operator: Operator) -> None: ...
    async def get_operator(self, username: str) -> Operator | None: ...
    async def list_operators(self) -> list[Operator]: ...
    async def put_session(self, session: Session) -> None: ...
    async def get_session(self, token: bytes) -> Session | None: ...
    async def drop_session(self, token: bytes) -> None: ...
    async def drop_sessions(self, username: str) -> int:
        """Log a person out everywhere; returns how many log-ins ended."""

    async def put_device(self, device: Device) -> None: ...
    async def get_device(self, token: bytes) -> Device | None: ...
    async def list_devices(self) -> list[Device]: ...
    async def drop_device(self, token: bytes) -> None: ...

    async def prune(self, now: datetime, ages: Ages = USUAL_AGES, wall: datetime | None = None) -> dict[str, int]:
        """Drop what is past its age, in bounded steps: what -> rows (tracks: days). Call it hourly.

        `wall`: the wall's time for tracks and sessions, where service time is another.
        """

    async def facts(self) -> dict[str, TableFacts]:
        """What every table holds, for the metrics page."""


def unfit_regions(batch: Batch) -> dict[str, str]:
    """Regions whose part breaks the journal's rules by itself: a gap in it, or rows without an event."""
    refused = dict.fromkeys(_broken_runs(batch.events), "gap")
    rows = batch.rows
    fenced = {event.region for event in batch.events}
    for part in (rows.calls, rows.incidents, rows.units, rows.assignments, rows.orders, batch.decisions):
        refused |= {record.region: "unfenced" for record in part if record.region not in fenced}
    return refused


def _broken_runs(events: Sequence[Recorded]) -> set[str]:
    last: dict[str, tuple[int, int]] = {}
    found: set[str] = set()
    for event in events:
        before = last.get(event.region)
        if before is not None and before != (event.seq - 1, event.epoch):
            found.add(event.region)
        last[event.region] = (event.seq, event.epoch)
    return found


def fit(text: str) -> str:
    """The text as a database can keep it: U+0000 and lone surrogates replaced by U+FFFD."""
    if "\0" not in text and text.isascii():
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def page(limit: int) -> int:
    """How many rows a list gives when so many were asked for."""
    return max(1, min(limit, PAGE_LIMIT))


def filter_values(table: str, filters: Filters) -> list[list[str] | None]:
    """The values for each filter of LISTED in order; None where a list is not narrowed by it."""
    known = LISTED[table].filters
    assert set(filters) <= set(known), f"{table} cannot be narrowed by {sorted(set(filters) - set(known))}"
    given = [filters.get(column) for column in known]
    return [None if one is None else [one] if isinstance(one, str) else list(one) for one in given]


def cursor_after(key: str, at: datetime | None) -> str:
    """An opaque text that names the last row of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode((key, at))).decode().rstrip("=")


def cursor_place(cursor: str) -> tuple[str, datetime | None]:
    """The (key, time) that a cursor names."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key, at = msgspec.json.decode(text, type=tuple[str, datetime | None])
        if "\0" in key or (at is not None and at.tzinfo is None):
            raise ValueError("no list of ours has such a place")
        at = at.astimezone(UTC) if at is not None else None
    except (ValueError, OverflowError) as fault:  # binascii's, msgspec's and Unicode's faults are all ValueErrors
        raise BadCursor("the cursor is not one that a list gave") from fault
    return key, at
