"""The fan-out without a bus: followers in other processes than the writer's ask the journal.

One look each POLL_S for all regions, whoever follows; only a region that has moved is read. Positions are
not in the journal, so nobody gets any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from dispatch.core.terms import RegionId
from dispatch.errors import ServiceAway
from dispatch.fanout import Following, Journal, Looks
from dispatch.writing.positions import Position
from dispatch.writing.records import Recorded

POLL_S = 0.25
ENDS = "where each region ends"
"""What is asked for all regions at once, among what is asked for one."""


class Heads(Journal, Protocol):
    """A journal that says cheaply where each region ends."""

    async def heads(self) -> Mapping[str, tuple[int, bytes]]: ...


class PolledFanout:
    """See `fanout.Fanout`. `run` must be running for anything to be seen; publishing is the journal's work."""

    def __init__(self, journal: Heads) -> None:
        self._journal = journal
        self._looks = Looks()
        self._ends: dict[str, int] = {}
        self._looked = asyncio.Condition()

    def publish(self, region: RegionId, recorded: Sequence[Recorded]) -> None:
        """Nothing to do: it is committed."""

    def begin(self, region: RegionId, seq: int) -> None:
        """Nothing to do: the journal is what is followed."""

    def publish_positions(self, region: RegionId, positions: Sequence[Position]) -> None:
        """Nowhere to."""

    async def subscribe(self, region: RegionId, after_seq: int) -> AsyncGenerator[Recorded, None]:
        following = Following(self._journal, region, after_seq, self._looks)
        while True:
            async for event in following.missing():
                yield event
            async with self._looked:
                await self._looked.wait_for(lambda: self._ends.get(region, 0) > following.seq)

    async def positions(self, region: RegionId) -> AsyncGenerator[Sequence[Position], None]:
        while True:
            await asyncio.Event().wait()
            yield ()

    def silent_s(self, region: RegionId) -> float:
        return max(map(self._looks.silent_s, (region, ENDS)))

    def health(self) -> str:
        return "none"

    async def run(self) -> None:
        while True:
            try:
                found = await self._looks.answer(ENDS, self._journal.heads())
            except ServiceAway:
                found = {}
            async with self._looked:
                self._ends |= {region: seq for region, (seq, _) in found.items()}
                self._looked.notify_all()
            await asyncio.sleep(POLL_S)
