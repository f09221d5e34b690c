"""Snapshots of the committed states: taken by count and by age, so that a start reads few events, and none old.

Without the bound by age a region in which little happens would be read from far back, and by count alone a
busy one would be written all the time. It is encoded in steps, between which others have their turn: a thread would
hold the interpreter just as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

from dispatch.core import snapshot
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.store import Store

SNAPSHOT_EVERY = 2000
ENTRIES_AN_EVENT = 10
"""A state of many more open entries than that is written less often: it costs by its entries, reading by events."""
SNAPSHOT_AGE_S = 600.0
"""A region in which anything has happened since is written after so long, however little it was."""


class Snapshots:
    """Knows how far each region's newest snapshot goes, and writes the next."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._seqs: dict[RegionId, int] = {}
        self._taken_s: dict[RegionId, float] = {}

    def loaded(self, region: RegionId, seq: int) -> None:
        """The region was read from a snapshot of this event."""
        self._seqs[region] = seq
        self._taken_s[region] = self._engine.now_s()

    def skipped(self, region: RegionId) -> None:
        """None could be written now: the next try comes after as many events again."""
        self.loaded(region, self._engine.replicas.states[region].seq)

    def due(self) -> Iterator[RegionId]:
        """The regions that have gone on far enough, or long enough, since their newest snapshot."""
        now_s = self._engine.now_s()
        for region in list(self._engine.led):
            gone_on = self._engine.replicas.states[region].seq - self._seqs.get(region, 0)
            old = now_s - self._taken_s.get(region, now_s) >= SNAPSHOT_AGE_S
            if gone_on >= _worth(self._engine.replicas.states[region]) or (gone_on and old):
                yield region

    async def take(self, region: RegionId) -> None:
        """Write one, unless nothing has happened since the last. Raises ServiceAway."""
        state = self._engine.replicas.states.get(region)
        if state is None or state.seq == self._seqs.get(region):
            return
        seq, data, steps, worked_s = state.seq, list[bytes](), snapshot.pieces(state), 0.0
        while True:
            began_s = perf_counter()
            piece = next(steps, None)
            worked_s += perf_counter() - began_s
            if piece is None:
                break
            data.append(piece)
            await asyncio.sleep(0)
        self._engine.stages.add("snapshot", worked_s)
        await self._store.snapshot(region, seq, b"".join(data))
        self.loaded(region, seq)


def _worth(state: RegionState) -> int:
    """After how many events a snapshot is worth what it costs."""
    return max(SNAPSHOT_EVERY, (len(state.calls) + len(state.incidents)) // ENTRIES_AN_EVENT)
