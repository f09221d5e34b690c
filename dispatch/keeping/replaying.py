"""Compares read models with a replay of the journal, region by region: what the core makes of the events is what must
be in the tables, row for row and value for value.

Of each replayed row only a digest is kept in memory, so a long journal needs little.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from dispatch.core.events import decode
from dispatch.core.evolve import evolve
from dispatch.core.invariants import broken
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, RegionId
from dispatch.keeping.verifying import events, rows
from dispatch.sql import queries
from dispatch.store import LISTED, fit
from dispatch.writing.journal import canonical
from dispatch.writing.readmodels import rows as rows_of

BATCH_EVENTS = 500
"""Rows are digested so often: one that many of these events touched is digested once."""

OVER = {"calls": "closed_at", "incidents": "closed_at", "assignments": "cleared_at", "orders": "at"}
"""The column by whose age a read model's rows are dropped; units stay."""

Kept = dict[tuple[str, str], tuple[bytes, datetime | None]]

_queries = queries("copying")


class Replay:
    """One region's journal, replayed inside a transaction. What was over before `dropped_before` may be gone."""

    def __init__(self, region: str, dropped_before: datetime) -> None:
        self._dropped_before = dropped_before
        self.state = RegionState(RegionId(region))
        self._kept: Kept = {}

    async def differences(self, connection: asyncpg.Connection) -> AsyncIterator[str]:
        """What does not agree, a sentence each; `state` is the last event's afterwards."""
        fault = await self._replayed(connection)
        if fault is not None:
            yield fault
            return
        for broken_rule in broken(self.state):
            yield f"{self.state.region}: {broken_rule}"
        for table, listed in LISTED.items():
            async for row in rows(connection, _queries["region_rows"].format(table=table), self.state.region):
                expected = self._kept.pop((table, row[listed.key]), None)
                if expected is None:
                    yield f"{table}: no event leads to {row[listed.key]}"
                elif expected[0] != _digest(dict(row)):
                    yield f"{table}: {row[listed.key]} is not what the journal leads to"
        for (table, key), (_, over_at) in self._kept.items():
            late = over_at is None or over_at >= self._dropped_before
            if late and not (table == "calls" and await self._is_taken(connection, CallId(key))):
                yield f"{table}: {key} is missing"

    async def _is_taken(self, connection: asyncpg.Connection, call_id: CallId) -> bool:
        """Whether another region has the call already, of which this one has not heard yet: the row is theirs."""
        offer = self.state.offers.get(call_id)
        taken = offer is not None and offer.sent
        return taken and bool(await connection.fetchval(_queries["has_call"], call_id))

    async def _replayed(self, connection: asyncpg.Connection) -> str | None:
        async for event in events(connection, self.state.region):
            try:
                evolve(self.state, decode(event.payload), datetime.fromisoformat(event.at))
            except (msgspec.MsgspecError, AssertionError, LookupError, ValueError) as fault:
                return f"{event.region}: event {event.seq} cannot be replayed ({type(fault).__name__})"
            if event.seq % BATCH_EVENTS == 0:
                self._keep()
        self._keep()
        return None

    def _keep(self) -> None:
        touched = self.state.taken()
        for call_id, call in touched.calls.items():
            if call is None:  # Another region has it, and writes its row.
                self._kept.pop(("calls", call_id), None)
        made = rows_of(self.state, touched)
        for table, listed in LISTED.items():
            for row in getattr(made, table):
                values = msgspec.structs.asdict(row)
                over_at = values[OVER[table]] if table in OVER else None
                self._kept[table, values[listed.key]] = (_digest(values), over_at)


def _digest(values: dict[str, Any]) -> bytes:
    values["doc"] = msgspec.json.decode(values["doc"])
    return hashlib.blake2b(canonical(_plain(values)), digest_size=16).digest()


def _plain(value: Any) -> Any:
    """The value as both sides have it: the database writes numbers its own way, and keeps no U+0000."""
    if isinstance(value, dict):
        return {fit(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return fit(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
