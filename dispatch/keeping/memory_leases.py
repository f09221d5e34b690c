"""The twin's leases: who may write which region, and which processes live, on a clock that is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from dispatch.writing.journal import GENESIS
from dispatch.writing.records import Leadership, Process, Recorded, Seat

RELEASED = datetime.min.replace(tzinfo=UTC)
"""When a lease ended that was given up."""


class Leader(msgspec.Struct):
    epoch: int
    holder: str
    expires_at: datetime
    address: str


class Region(msgspec.Struct):
    """The journal of one region; event n stands at n - 1."""

    events: list[Recorded] = []
    snapshots: dict[int, bytes] = {}
    leader: Leader | None = None

    @property
    def head(self) -> tuple[int, bytes]:
        return (len(self.events), self.events[-1].hash) if self.events else (0, GENESIS)

    def hash_at(self, seq: int) -> bytes:
        return self.events[seq - 1].hash if seq else GENESIS


class MemoryLeases:
    """The part of the twin that knows leaders; `_reach` raises while it is told to be away."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._regions: dict[str, Region] = {}
        self._processes: dict[str, tuple[Process, datetime]] = {}

    def _reach(self) -> None:
        raise NotImplementedError

    async def claim(
        self, region: str, holder: str, lease_s: float, address: str = "", *, dead: Seat | None = None
    ) -> int | None:
        self._reach()
        journal = self._regions.setdefault(region, Region())
        leader, now = journal.leader, self._now()
        if leader is not None and leader.holder != holder and leader.expires_at > now and not _is(leader, dead):
            return None
        epoch = leader.epoch + 1 if leader else 1
        journal.leader = Leader(epoch, holder, now + timedelta(seconds=lease_s), address)
        return epoch

    async def renew(self, regions: Sequence[str], holder: str, lease_s: float, address: str = "") -> set[str]:
        self._reach()
        ours = {region: leader for region, leader in self._led(regions, holder) if leader.expires_at > RELEASED}
        for leader in ours.values():
            leader.expires_at, leader.address = self._now() + timedelta(seconds=lease_s), address
        return set(ours)

    async def release(self, regions: Sequence[str], holder: str) -> None:
        self._reach()
        for _, leader in self._led(regions, holder):
            leader.expires_at = RELEASED

    def _led(self, regions: Sequence[str], holder: str) -> list[tuple[str, Leader]]:
        leaders = [(name, self._regions[name].leader) for name in regions if name in self._regions]
        return [(name, leader) for name, leader in leaders if leader is not None and leader.holder == holder]

    async def attend(self, process: Process, lease_s: float) -> None:
        self._reach()
        self._processes[process.holder] = process, self._now() + timedelta(seconds=lease_s)

    async def depart(self, holder: str) -> None:
        self._reach()
        self._processes.pop(holder, None)

    async def leadership(self) -> Leadership:
        self._reach()
        now = self._now()
        led = {region: journal.leader for region, journal in sorted(self._regions.items()) if journal.leader}
        return Leadership(
            seats=tuple(
                Seat(
                    region=region,
                    holder=leader.holder,
                    address=leader.address,
                    epoch=leader.epoch,
                    until=leader.expires_at,
                    left_s=(leader.expires_at - now).total_seconds(),
                )
                for region, leader in led.items()
                if leader.expires_at > now
            ),
            processes=tuple(process for process, until in self._processes.values() if until > now),
        )


def _is(leader: Leader, dead: Seat | None) -> bool:
    """Whether the lease is that of the dead process, and not renewed since it was seen so."""
    if dead is None:
        return False
    return (leader.holder, leader.epoch, leader.expires_at) == (dead.holder, dead.epoch, dead.until)
