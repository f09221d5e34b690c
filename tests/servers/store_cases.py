"""Small honest inputs for the store's tests: a scribe that chains events, and rows with only what a test says."""

from datetime import UTC, datetime, timedelta

from dispatch.store import Store
from dispatch.writing.journal import GENESIS, chain
from dispatch.writing.records import Answer, AssignmentRow, Batch, CallRow, OrderRow, Personal, Recorded, Rows

NOW = datetime(2026, 11, 23, 14, 32, 7, 250, tzinfo=UTC)


class Scribe:
    """Writes the events of one region as its leader would."""

    def __init__(self, region: str, epoch: int) -> None:
        self.region = region
        self.epoch = epoch
        self.seq = 0
        self.hash = GENESIS

    def event(self, payload: bytes = b'{"a": "\xd0\x96"}', kind: str = "call_received") -> Recorded:
        self.seq += 1
        at = NOW + timedelta(seconds=self.seq)
        facts = {"kind": kind, "payload": payload, "actor": "user:lola"}
        self.hash = chain(self.hash, self.region, self.seq, at, epoch=self.epoch, **facts)  # type: ignore[arg-type]
        return Recorded(region=self.region, seq=self.seq, at=at, epoch=self.epoch, hash=self.hash, **facts)  # type: ignore[arg-type]

    def events(self, count: int) -> list[Recorded]:
        return [self.event() for _ in range(count)]

    def batch(self, count: int = 1) -> Batch:
        return Batch(events=self.events(count))


async def leader(store: Store, region: str = "UZ-TK", holder: str = "core-1") -> Scribe:
    """Claim a region for an hour and return its scribe."""
    epoch = await store.claim(region, holder, 3600)
    assert epoch is not None, "nobody else leads"
    return Scribe(region, epoch)


def call(
    call_id: str, region: str = "UZ-TK", *, status: str = "queued", minute: int = 0, doc: bytes = b"{}"
) -> CallRow:
    at = NOW + timedelta(minutes=minute)
    return CallRow(call_id=call_id, region=region, status=status, channel="app", at=at, doc=doc)


def assignment(id: str, unit_id: str, region: str = "UZ-TK", *, cleared: bool = False) -> AssignmentRow:
    return AssignmentRow(
        assignment_id=id,
        region=region,
        incident_id="TK-1",
        unit_id=unit_id,
        body="moh",
        status="returning" if cleared else "dispatched",
        assigned_at=NOW,
        cleared_at=NOW if cleared else None,
    )


def order(order_id: str, status: str = "pending") -> OrderRow:
    return OrderRow(
        order_id=order_id,
        region="UZ-TK",
        unit_id="TK-A22",
        kind="dispatch",
        status=status,
        sends=0,
        at=NOW,
        expires_at=NOW + timedelta(minutes=5),
        assignment_id="as-1",
    )


def answer(key: str, body: bytes = b"{}", *, at: datetime = NOW) -> Answer:
    return Answer(actor="device:app", key=key, region="UZ-TK", body_hash=b"h" * 32, status=201, body=body, at=at)


def words(id: str) -> Personal:
    return Personal(id=id, region="UZ-TK", kind="call", salt=b"s" * 16, document='{"text":"yongʻin"}'.encode())


def with_rows(scribe: Scribe, rows: Rows) -> Batch:
    """One event of the scribe's region and these rows."""
    return Batch(events=scribe.events(1), rows=rows)
