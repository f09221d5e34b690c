"""The committed state of every region, followed event by event: what boards, lists and orders are made from.

The engine's own states run ahead of the commit; nobody outside may see those. A process without an engine
follows the same events from the fan-out and holds the same replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dispatch.core.events import Event
from dispatch.core.evolve import evolve
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import RegionId
from dispatch.writing.directory import Directory
from dispatch.writing.journal import GENESIS
from dispatch.writing.records import Recorded


class Gap(Exception):
    """The events do not continue what is known: load the region again."""


class Replicas(Directory):
    """Region → its committed state. `touched` gathers what changed, for each follower separately."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[RegionId, datetime] = {}
        self.hashes: dict[RegionId, bytes] = {}
        """Of each region's last event: two journals that went on from one backup differ in it."""
        self._followers: list[dict[RegionId, Touched]] = []

    def adopt(self, state: RegionState, digest: bytes = GENESIS) -> None:
        """Take a loaded state as the region's, with its last event's hash; followers must draw it anew."""
        self.states[state.region] = state
        self.hashes[state.region] = digest
        for follower in self._followers:
            follower.pop(state.region, None)

    def apply(self, region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
        """Follow committed events. Raises Gap when some before them are missing."""
        state = self.states[region]
        for record, event in zip(recorded, events, strict=True):
            if record.seq != state.seq + 1:
                raise Gap(f"{region} is at {state.seq}, the next event is {record.seq}")
            evolve(state, event, record.at)
            self.at[region], self.hashes[region] = record.at, record.hash
        touched = state.taken()
        for follower in self._followers:
            _gather(follower.setdefault(region, Touched()), touched)

    def follow(self) -> dict[RegionId, Touched]:
        """A new follower's own account of what was touched; it empties it as it draws."""
        account: dict[RegionId, Touched] = {}
        self._followers.append(account)
        return account


def _gather(account: Touched, more: Touched) -> None:
    account.calls.update(more.calls)
    account.incidents.update(more.incidents)
    account.units.update(more.units)
    account.orders.update(more.orders)
    account.assignments.update(more.assignments)
    account.region = account.region or more.region
