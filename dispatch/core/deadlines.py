"""What must be looked at, and when: commands that time itself gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from heapq import heappop

from dispatch.core.commands import SendOrder
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM

AT_ONCE = 256
"""How many deadlines of a region are served in one look: the rest come with the next one."""


def due(state: RegionState, now: datetime) -> Iterator[SendOrder]:
    """The orders whose time has come, to be submitted one by one: each stands in the heap until it is given.

    An entry whose order has moved on since is dropped here.
    """
    given = 0
    while state.due and state.due[0][0] <= now and given < AT_ONCE:
        at, order_id = heappop(state.due)
        order = state.orders.get(order_id)
        if order is not None and order.send_again_at == at:
            given += 1
            yield SendOrder(actor=SYSTEM, order_id=order_id)


def next_due(state: RegionState) -> datetime | None:
    """When the next deadline comes, as far as is known."""
    return state.due[0][0] if state.due else None
