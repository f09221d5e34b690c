"""The values that a store keeps and gives back: plain columns and bytes, without their meaning.

What a payload or a `doc` says is the core's and the consoles' business. Field order of the row types is the
column order of schema.sql, because a batch travels as arrays of those rows.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frozen value with named fields."""


class Recorded(Record, frozen=True, kw_only=True):
    """One event in the journal. `payload` is JSON; `hash` is chained as journal.py says."""

    region: str
    seq: int
    at: datetime
    kind: str
    payload: bytes
    actor: str
    epoch: int
    hash: bytes


class Answer(Record, frozen=True, kw_only=True):
    """The first answer to an idempotency key; `body_hash` tells another body and another address."""

    actor: str
    key: str
    region: str
    body_hash: bytes
    status: int
    body: bytes
    at: datetime


KEY_DIGEST_BYTES = 16
"""Of the SHA-256 of actor, line feed and key: by what a key is told from others without being carried about."""


def digest_of_key(actor: str, key: str) -> bytes:
    """The digest of an idempotency key; `answered` of journal.sql makes the same."""
    return hashlib.sha256(f"{actor}\n{key}".encode("utf-8", "surrogatepass")).digest()[:KEY_DIGEST_BYTES]


class AnsweredKeys(Record, frozen=True, kw_only=True):
    """Digests of keys, KEY_DIGEST_BYTES each, one after the other; `last` is where to go on, None at the end."""

    digests: bytes
    last: tuple[str, str] | None


class Personal(Record, frozen=True, kw_only=True):
    """Names, numbers and words. `kind`: call, note or contact; `document`: canonical JSON."""

    id: str
    region: str
    kind: str
    salt: bytes
    document: bytes


class DecisionInputs(Record, frozen=True, kw_only=True):
    """What a recommendation was made from; the event `seq` carries `digest`."""

    region: str
    seq: int
    digest: bytes
    at: datetime
    incident_id: str
    inputs: bytes


class CallRow(Record, frozen=True, kw_only=True):
    call_id: str
    region: str
    status: str
    channel: str
    at: datetime
    closed_at: datetime | None = None
    incident_id: str | None = None
    priority: str | None = None
    incident_type: str | None = None
    disposition: str | None = None
    doc: bytes = b"{}"


class IncidentRow(Record, frozen=True, kw_only=True):
    incident_id: str
    region: str
    number: int
    status: str
    priority: str
    incident_type: str
    opened_at: datetime
    closed_at: datetime | None = None
    disposition: str | None = None
    doc: bytes = b"{}"


class UnitRow(Record, frozen=True, kw_only=True):
    unit_id: str
    region: str
    body: str
    status: str
    call_sign: str
    kind: str
    incident_id: str | None = None
    doc: bytes = b"{}"


class AssignmentRow(Record, frozen=True, kw_only=True):
    """Live until `cleared_at`; a unit has at most one live assignment."""

    assignment_id: str
    region: str
    incident_id: str
    unit_id: str
    body: str
    status: str
    assigned_at: datetime
    accepted_at: datetime | None = None
    on_scene_at: datetime | None = None
    cleared_at: datetime | None = None
    doc: bytes = b"{}"


class OrderRow(Record, frozen=True, kw_only=True):
    """`status` is the order's stage: pending, sent, delivered, seen, accepted, refused."""

    order_id: str
    region: str
    unit_id: str
    kind: str
    status: str
    sends: int
    at: datetime
    expires_at: datetime
    assignment_id: str | None = None
    doc: bytes = b"{}"


class Regional(Protocol):
    """Whatever belongs to one region."""

    @property
    def region(self) -> str: ...


R = TypeVar("R", bound=Regional)


class Rows(Record, frozen=True, kw_only=True):
    """The read-model rows that a batch touches, each once, as they are after it."""

    calls: list[CallRow] = []
    incidents: list[IncidentRow] = []
    units: list[UnitRow] = []
    assignments: list[AssignmentRow] = []
    orders: list[OrderRow] = []


class Batch(Record, frozen=True, kw_only=True):
    """What one transaction commits. A region's events are in order, without a gap; regions may interleave."""

    events: list[Recorded] = []
    rows: Rows = Rows()
    answers: list[Answer] = []
    personal: list[Personal] = []
    decisions: list[DecisionInputs] = []

    def regions(self) -> set[str]:
        """Every region that any part of the batch belongs to."""
        rows = self.rows
        parts: tuple[Iterable[Regional], ...] = (
            self.events, rows.calls, rows.incidents, rows.units, rows.assignments, rows.orders,
            self.answers, self.personal, self.decisions,
        )  # fmt: skip
        return {record.region for part in parts for record in part}

    def only(self, regions: set[str]) -> "Batch":
        """The part of the batch that belongs to these regions, in the same order."""

        def kept(part: list[R]) -> list[R]:
            return [record for record in part if record.region in regions]

        rows = self.rows
        return Batch(
            events=kept(self.events),
            rows=Rows(
                calls=kept(rows.calls),
                incidents=kept(rows.incidents),
                units=kept(rows.units),
                assignments=kept(rows.assignments),
                orders=kept(rows.orders),
            ),
            answers=kept(self.answers),
            personal=kept(self.personal),
            decisions=kept(self.decisions),
        )


REPEATED = "repeated"
"""Why a region was refused whose batch answers a key that has its answer already."""


class Appended(Record, frozen=True, kw_only=True):
    """What became of a batch.

    `refused`: region -> reason; nothing of that region was kept, everything else is committed. Reasons:
    `unled` (never claimed), `stale_epoch` (somebody else leads), `gap` (the events do not continue the
    journal), `unfenced` (rows without an event), `conflict: NAME` (a constraint; the unit's second live
    assignment, for one), `unfit: …` (a value that no column takes).
    `repeated`: keys that another process had answered before, with that first answer: the regions of these
    answers are refused as `repeated`, for one request must not lead to two calls.
    """

    refused: dict[str, str] = {}
    repeated: dict[tuple[str, str], Answer] = {}


class Loaded(Record, frozen=True, kw_only=True):
    """A region as kept: the newest snapshot (None: begin with nothing) and the events after it.

    `snapshot_hash` is the hash that the tail's first event is chained to; `head_seq` and `head_hash` stand
    where the journal ended when it was read, and there the tail ends.
    """

    snapshot: bytes | None
    snapshot_seq: int
    snapshot_hash: bytes
    head_seq: int
    head_hash: bytes
    tail: AsyncIterator[Recorded]


class Seat(Record, frozen=True, kw_only=True):
    """A region whose lease is live, `until` then and for `left_s` more, and who holds it; `address` is empty before its
    door opens."""

    region: str
    holder: str
    address: str
    epoch: int
    until: datetime
    left_s: float


class Process(Record, frozen=True, kw_only=True):
    """A core process that lives: which regions it may lead, and the `secret` that lets others of us in."""

    holder: str
    address: str
    secret: str
    regions: tuple[str, ...]


class Leadership(Record, frozen=True, kw_only=True):
    """Who leads and who could, at one moment of the database's clock."""

    seats: tuple[Seat, ...] = ()
    processes: tuple[Process, ...] = ()


class UnreadableContact(Record, frozen=True, kw_only=True):
    """What somebody sent and nobody understood. `door`: http, aml, mqtt, spool; `raw`: at most 64 KiB."""

    contact_id: str
    at: datetime
    actor: str
    door: str
    content_type: str
    raw: bytes
    fault: str
    region: str | None = None
    settled_at: datetime | None = None
    settled_by: str | None = None


class AuditEntry(Record, frozen=True, kw_only=True):
    """Who did what with whose personal data; `subject` such as `call:…` or `personal:…`."""

    at: datetime
    actor: str
    action: str
    subject: str


class TrackPoint(Record, frozen=True, kw_only=True):
    """A thinned position; `at` is the time of the fix."""

    unit_id: str
    at: datetime
    lat: float
    lon: float
    accuracy_m: float | None = None
    speed_m_s: float | None = None
    heading: float | None = None


class Operator(Record, frozen=True, kw_only=True):
    """A person who logs in. `password` is an argon2id text; `*` among the regions means every one."""

    username: str
    role: str
    password: str
    body: str | None = None
    regions: tuple[str, ...] = ()
    language: str = "uz-Latn"
    active: bool = True


class Session(Record, frozen=True, kw_only=True):
    """A valid log-in; `token` is the SHA-256 of the cookie."""

    token: bytes
    username: str
    created_at: datetime
    expires_at: datetime


class Device(Record, frozen=True, kw_only=True):
    """A program, vehicle or machine with a key of its own; `token` is the SHA-256 of the key."""

    token: bytes
    actor: str
    role: str
    body: str | None = None
    regions: tuple[str, ...] = ()
    active: bool = True
