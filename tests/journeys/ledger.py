"""What the database says after all, read in one transaction and checked against itself: nothing of the service
takes part but the core's own `evolve` and the public recipe of the hash chain."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
from msgspec.structs import replace

from consoles.board import Board
from dispatch.core.events import CallReceived, decode
from dispatch.core.evolve import evolve
from dispatch.core.invariants import broken
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, RegionId
from dispatch.writing.journal import GENESIS, chain
from dispatch.writing.readmodels import rows
from dispatch.writing.records import Rows

TABLES = {
    "calls": "call_id",
    "incidents": "incident_id",
    "units": "unit_id",
    "assignments": "assignment_id",
    "orders": "order_id",
}
Table = dict[str, dict[str, Any]]


class Came(NamedTuple):
    """The event that a call came in with, and when it was decided."""

    region: str
    seq: int
    epoch: int
    at: datetime


class Ledger:
    """The journal replayed, and the tables beside it, as they were at one moment."""

    def __init__(self) -> None:
        self.states: dict[str, RegionState] = {}
        self.digests: dict[str, bytes] = {}
        self.calls_from: dict[str, Came] = {}
        """By call id."""
        self.tables: dict[str, Table] = {}
        self.replayed: dict[str, Table] = {table: {} for table in TABLES}
        self.answers: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []

    @property
    def seqs(self) -> dict[str, int]:
        return {region: state.seq for region, state in self.states.items()}

    def board(self, region: str) -> Any:
        """The region's board, drawn from the replayed journal, as a console gets it."""
        drawn = Board().snapshot(self.states[region])
        return msgspec.json.decode(msgspec.json.encode(drawn))

    def calls_by_key(self) -> Counter[str]:
        """How many calls each idempotency key has led to, by what its answer names."""
        return Counter(answer["call_id"] for answer in self.answers.values())


async def read_ledger(connection: asyncpg.Connection, ledger: Ledger | None = None) -> Ledger:
    """Read and check everything; `faults` says what does not hold, one sentence each.

    A ledger that was read before is read on from where it ended.
    """
    ledger = ledger or Ledger()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for head in await connection.fetch("SELECT region, seq, hash FROM heads ORDER BY region"):
            await _replay(connection, ledger, head)
        for table, key in TABLES.items():
            found = await connection.fetch(f"SELECT * FROM {table}")
            ledger.tables[table] = {row[key]: {**row, "doc": json.loads(row["doc"])} for row in found}
        for row in await connection.fetch("SELECT key, body FROM answers WHERE status = 201"):
            ledger.answers[row["key"]] = json.loads(row["body"])
    _compare(ledger)
    return ledger


async def _replay(connection: asyncpg.Connection, ledger: Ledger, head: asyncpg.Record) -> None:
    region = head["region"]
    state = ledger.states.setdefault(region, RegionState(RegionId(region)))
    digest = ledger.digests.get(region, GENESIS)
    query = "SELECT * FROM events WHERE region = $1 AND seq > $2 ORDER BY seq"
    for event in await connection.fetch(query, region, state.seq):
        payload = event["payload"].encode()
        digest = chain(
            digest, region, event["seq"], event["at"],
            kind=event["kind"], payload=payload, actor=event["actor"], epoch=event["epoch"],
        )  # fmt: skip
        if event["seq"] != state.seq + 1:
            ledger.faults.append(f"{region}: event {event['seq']} follows {state.seq}")
        if event["hash"] != digest:
            ledger.faults.append(f"{region}: the chain breaks at {event['seq']}")
        happened = decode(payload)
        if isinstance(happened, CallReceived):
            ledger.calls_from[happened.call.call_id] = Came(region, event["seq"], event["epoch"], event["at"])
        evolve(state, happened, event["at"])
    if (state.seq, digest) != (head["seq"], head["hash"]):
        ledger.faults.append(f"{region}: the head says {head['seq']}, the journal ends at {state.seq}")
    ledger.faults += [f"{region}: {fault}" for fault in broken(state)]
    ledger.digests[region] = digest
    made = rows(state, state.taken())
    _keep(ledger, replace(made, calls=[row for row in made.calls if not _is_taken(ledger, state, CallId(row.call_id))]))


def _is_taken(ledger: Ledger, state: RegionState, call_id: CallId) -> bool:
    """Whether another region has the call already, of which this one has not heard yet: the row is theirs."""
    offer = state.offers.get(call_id)
    others = (other for other in ledger.states.values() if other is not state)
    return offer is not None and offer.sent and any(other.call(call_id) is not None for other in others)


def _keep(ledger: Ledger, replayed: Rows) -> None:
    for table, key in TABLES.items():
        for row in getattr(replayed, table):
            values = msgspec.structs.asdict(row)
            ledger.replayed[table][values[key]] = {**values, "doc": json.loads(values["doc"])}


def _compare(ledger: Ledger) -> None:
    """Read models equal the replay, row by row; no unit has two live assignments."""
    for table, kept in ledger.tables.items():
        replayed = ledger.replayed[table]
        for name in kept.keys() ^ replayed.keys():
            ledger.faults.append(f"{table}: {name} is only {'kept' if name in kept else 'replayed'}")
        for name in kept.keys() & replayed.keys():
            differing = [c for c in replayed[name] if kept[name][c] != replayed[name][c]]
            if differing:
                ledger.faults.append(f"{table}: {name} differs in {differing}")
    live = Counter(row["unit_id"] for row in ledger.tables["assignments"].values() if row["cleared_at"] is None)
    ledger.faults += [f"{unit} has {count} live assignments" for unit, count in live.items() if count > 1]
