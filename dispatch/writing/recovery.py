"""A region's state as the store has it: the newest snapshot, and the events after it.

Whoever begins with a region reads it so: the process that is going to write it, and each that follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

from dispatch.core import snapshot
from dispatch.core.events import decode
from dispatch.core.evolve import evolve
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.writing.records import Loaded

T = TypeVar("T")


async def recovered(region: RegionId, loaded: Loaded) -> RegionState:
    """The state after the last event that was loaded; a region that nobody ever led is empty."""
    state = await in_steps(snapshot.restoring(loaded.snapshot)) if loaded.snapshot else RegionState(region)
    assert state.seq == loaded.snapshot_seq, "the snapshot is not of the event that it is kept under"
    async for record in loaded.tail:
        evolve(state, decode(record.payload), record.at)
    state.taken()
    assert state.seq == loaded.head_seq, f"{region} was read to {state.seq}, its journal ends elsewhere"
    return state


async def in_steps(work: Generator[None, None, T]) -> T:
    """What the work comes to, while others have their turn between its steps."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: T = end.value
            return value
        await asyncio.sleep(0)
