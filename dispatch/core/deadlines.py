"""What must be looked at, and when: commands that time itself gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from heapq import heappop
from itertools import islice

from dispatch.core.commands import CloseCalls, Command, EndHazard, SendOrder
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, HazardId, OrderId

AT_ONCE = 256
"""How many deadlines of a region are served in one look: the rest come with the next one."""


def due(state: RegionState, now: datetime, *, orders: bool = True) -> Iterator[Command]:
    """The orders and hazards whose time has come, to be submitted one by one: each stands in the heap until the next
    is asked for. Without `orders` hazards alone: whoever an order is for could not answer now.

    An entry whose order has moved on since, or whose hazard is over, is dropped here.
    """
    if not orders:
        yield from islice(_over(state, now), AT_ONCE)
        return
    given = 0
    while state.due and state.due[0][0] <= now and given < AT_ONCE:
        at, name = first = state.due[0]
        order, hazard = state.orders.get(OrderId(name)), state.hazards.get(HazardId(name))
        if order is not None and order.send_again_at == at:
            given += 1
            yield SendOrder(actor=SYSTEM, order_id=order.order_id)
        elif hazard is not None:
            given += 1
            yield EndHazard(actor=SYSTEM, hazard_id=hazard.hazard_id)
        # Only now, for whoever was given the command may have stopped before it: nobody would look at it again.
        # What it led to is due later, and may have cleared the heap of what is over.
        if state.due and state.due[0] == first:
            heappop(state.due)


def _over(state: RegionState, now: datetime) -> Iterator[Command]:
    """The hazards whose time has come. Their entries stay in the heap, behind orders that wait."""
    times = [(hazard.until, name) for name, hazard in state.hazards.items() if hazard.until is not None]
    return (EndHazard(actor=SYSTEM, hazard_id=name) for until, name in sorted(times) if until <= now)


def endings(state: RegionState) -> list[Command]:
    """The next portion of calls to close of the incident that ended first and still has some."""
    return [CloseCalls(actor=SYSTEM, incident_id=name) for name in islice(state.ending, 1)]


def next_due(state: RegionState) -> datetime | None:
    """When the next deadline comes, as far as is known."""
    return state.due[0][0] if state.due else None
