"""Snapshots of the committed states: taken by count and by age, so that a start reads few events, and none old.

Without the bound by age a region in which little happens would be read from far back, and by count alone a
busy one would be written all the time. The state is encoded in one go: nothing may change meanwhile, and a
thread would hold the interpreter just as long.
"""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.core import snapshot
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.store import Store

SNAPSHOT_EVERY = 2000
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
            if gone_on >= SNAPSHOT_EVERY or (gone_on and old):
                yield region

    async def take(self, region: RegionId) -> None:
        """Write one, unless nothing has happened since the last. Raises ServiceAway."""
        state = self._engine.replicas.states.get(region)
        if state is None or state.seq == self._seqs.get(region):
            return
        with self._engine.stages.timed("snapshot"):
            seq, data = state.seq, snapshot.take(state)
        await self._store.snapshot(region, seq, data)
        self.loaded(region, seq)
