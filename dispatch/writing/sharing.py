"""Which of the core processes should lead which region: plain values in, names out, nothing is asked or done.

Every process looks at the same table and comes to its own conclusion. Nobody is told what to do, and two who
want the same region are kept apart by the claim itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from dispatch.core.terms import RegionId
from dispatch.writing.records import Leadership, Process


class Sharer(msgspec.Struct, frozen=True, kw_only=True):
    """A process as it sees itself: which regions it may lead, and which it leads or is about to."""

    holder: str
    regions: Sequence[RegionId]
    held: Collection[RegionId]

    @property
    def count(self) -> int:
        return len(self.held)


def fair_share(me: Sharer, view: Leadership) -> int:
    """How many regions each process leads when all who may lead these share them: rounded up, so none is left."""
    others = _others(me, view)
    return -(-len(me.regions) // (1 + len(others)))


def vacant(me: Sharer, view: Leadership) -> list[RegionId]:
    """The regions that nobody leads, in an order of this process's own: two who start at once rarely collide."""
    led = {seat.region for seat in view.seats if seat.holder != me.holder}
    names = sorted({me.holder, *(process.holder for process in view.processes)})
    first = names.index(me.holder) * len(me.regions) // len(names)
    turned = [*me.regions[first:], *me.regions[:first]]
    return [region for region in turned if region not in led and region not in me.held]


def wanted(me: Sharer, view: Leadership, overdue: Collection[RegionId]) -> list[RegionId]:
    """Which vacant regions to claim: those that are still ours by lease, up to a fair share, and overdue ones.

    Overdue is what nobody has taken for a while: an unequal share is better than a region without a writer.
    """
    free = vacant(me, view)
    own = {seat.region for seat in view.seats if seat.holder == me.holder}
    room = max(0, fair_share(me, view) - me.count)
    fair = [region for region in free if region not in own][:room]
    return [region for region in free if region in own or region in fair or region in overdue]


def to_give(me: Sharer, view: Leadership) -> RegionId | None:
    """A region to hand to a process that leads at least two fewer, when all is quiet; None: leave it as it is.

    Each gift makes the shares more equal, so they end.
    """
    if vacant(me, view):
        return None
    counts = Counter(seat.holder for seat in view.seats)
    for process in sorted(_others(me, view), key=lambda each: (counts[each.holder], each.holder)):
        if process.address and counts[process.holder] + 2 <= me.count:
            mine = (region for region in reversed(me.regions) if region in me.held and region in process.regions)
            if (gift := next(mine, None)) is not None:
                return gift
    return None


def _others(me: Sharer, view: Leadership) -> list[Process]:
    """The other live processes that may lead a region of ours."""
    ours = set(me.regions)
    return [each for each in view.processes if each.holder != me.holder and ours & set(each.regions)]
