"""What must be looked at, and when: commands that time itself gives."""

from __future__ import annotations

from datetime import datetime
from heapq import heappop

from dispatch.core.commands import SendOrder
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM

AT_ONCE = 256
"""How many deadlines of a region are served in one look: the rest come with the next one."""


def due(state: RegionState, now: datetime) -> list[SendOrder]:
    """The orders whose time has come. An entry whose order has moved on since is dropped here."""
    found: list[SendOrder] = []
    while state.due and state.due[0][0] <= now and len(found) < AT_ONCE:
        at, order_id = heappop(state.due)
        order = state.orders.get(order_id)
        if order is not None and order.send_again_at == at:
            found.append(SendOrder(actor=SYSTEM, order_id=order_id))
    return found


def next_due(state: RegionState) -> datetime | None:
    """When the next deadline comes, as far as is known."""
    return state.due[0][0] if state.due else None
