"""What a process raises an alarm for, beside servers that are away. Of one that leads: waiting calls and orders,
lines that a disk spoilt, full disks, regions that nobody can lead. Of one that follows: regions whose boards stand
still."""

from __future__ import annotations

from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.field import Field
from dispatch.following.follower import Follower
from dispatch.keeping.disk import Disk, Level
from dispatch.keeping.spool import Spool
from dispatch.web.alarms import AWAY_LOOKS, SUPERVISOR, TECHNICIAN, Watched
from dispatch.writing.leading import Leader

GIVEN_UP = {
    Level.EARLY: "make room",
    Level.LOW: "tracks of units are no longer kept",
    Level.CRITICAL: "tracks and the inputs of decisions are no longer kept; soon nothing can be",
}
"""Level of the disk -> what it means."""


def hold_room(disk: Disk, spool: Spool) -> None:
    """At each look at the disks: the spool's own room is taken while there is plenty, and it is tidied."""
    spool.tidy()
    if disk.level is Level.AMPLE and not len(spool):
        spool.reserve()


def watched(disk: Disk, spool: Spool, field: Field) -> tuple[Watched, ...]:
    """The conditions, named once for all."""

    def spooled() -> str | None:
        return f"{len(spool)} calls are kept on this machine's disk and not yet shown" if len(spool) else None

    def spoilt() -> str | None:
        found = f"{spool.spoilt} lines of the spool are no calls and cannot be set aside: make room, then look at them"
        return found if spool.spoilt else None

    def unsent() -> str | None:
        waiting = field.outbox.unanswered() if not field.line.up else 0
        return f"{waiting} orders wait for the broker: tell the crews by radio" if waiting else None

    def full(level: Level) -> Watched:
        def said() -> str | None:
            found = disk.said(level)
            return f"{found}: {GIVEN_UP[level]}" if found is not None else None

        code = f"disk_{level.name.lower()}"
        return Watched(code=code, owner=TECHNICIAN, said=said, grave=level > Level.EARLY)

    return (
        Watched(code="calls_spooled", owner=SUPERVISOR, said=spooled, grave=True),
        Watched(code="spool_spoilt", owner=TECHNICIAN, said=spoilt, grave=True),
        Watched(code="orders_unsent", owner=SUPERVISOR, said=unsent, grave=True),
        *map(full, GIVEN_UP),
    )


class Led:
    """Whether the regions of a process that leads have their writers, here or in another process.

    While the database does not say who leads nothing is said of them: that it is away is an alarm of its own.
    """

    def __init__(self, engine: Engine, leader: Leader) -> None:
        self._engine = engine
        self._leader = leader

    def word(self) -> str:
        """For the heartbeat, as a gateway says it of its leaders: `ok`, `degraded`, or `away` without any writer."""
        missing = len(self._unled())
        return "ok" if not missing else "degraded" if missing < len(self._leader.regions) else "away"

    @property
    def watched(self) -> Watched:
        """Their condition: a region that changes hands, or is loaded anew, is no alarm yet."""
        return Watched(code="region_unled", owner=TECHNICIAN, said=self._said, grave=True, looks=AWAY_LOOKS)

    def _said(self) -> str | None:
        regions = self._unled()
        return f"no process can lead them, what their boards show is old: {', '.join(regions)}" if regions else None

    def _unled(self) -> list[RegionId]:
        leases = self._leader.leases
        if not leases.fresh:
            return []
        regions = self._leader.regions
        return sorted(each for each in regions if each not in leases.elsewhere and not self._engine.leads(each))


def followed(follower: Follower) -> Watched:
    """The condition of the regions that other processes lead: one that is loaded anew is no alarm yet."""
    return Watched(code="region_unfollowed", owner=TECHNICIAN, said=follower.behind, grave=True, looks=AWAY_LOOKS)
