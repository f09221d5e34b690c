"""What must be true of a simulated world: at every hand-over and assignment, and when the calm is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dispatch.core import snapshot
from dispatch.core.assigning import MOST_HAZARDS, ORDER_LIFE_S
from dispatch.core.crews import ACCEPT_S
from dispatch.core.events import UnitAssigned
from dispatch.core.hazards import unacknowledged
from dispatch.core.invariants import broken
from dispatch.core.needs import unmet
from dispatch.core.state import RegionState, can_be_sent
from dispatch.core.terms import UNREACHABLE_MS, CallId, Incident, LocationFix
from simulators.writer import Broken, Reaching, Writer

if TYPE_CHECKING:
    from simulators.world import World

ORDER_SLACK_S = 20.0
"""An order that is heard just before its last repetition is looked at once more, SEND_AGAIN_S later."""


def in_one_place(world: World, call_id: CallId) -> None:
    """A call is worked on in one region: any other that still has it is only waiting to let it go."""
    having = [
        region
        for region, writer in world.writers.items()
        if call_id in writer.state.calls and writer.state.calls[call_id].moving_to is None
    ]
    if len(having) > 1:
        raise Broken(f"{call_id} is worked on in {having}")


def orders_are_answered(state: RegionState, now: datetime, since: datetime | None = None) -> None:
    """No order waits for its unit longer than the deadlines say: somebody else must go.

    `since`: from when on somebody has kept them, where nobody may have led the region before.
    """
    for order in state.orders.values():
        # Its time begins anew when nobody could answer for long.
        began = order.expires_at - timedelta(seconds=ORDER_LIFE_S)
        began = began if since is None else max(began, since)
        if (now - began).total_seconds() > ACCEPT_S + ORDER_SLACK_S:
            raise Broken(f"{state.region}: {order.order_id} has waited since {order.at}, and is {order.stage}")


def sent_knowingly(writer: Writer, event: UnitAssigned) -> None:
    """A person sends nobody into a danger that no person has acknowledged; the system says of which it was so."""
    incident = writer.state.incidents.get(event.assignment.incident_id)
    unread = unacknowledged(writer.state, incident) if incident is not None else []
    by_person = event.digest is None
    if by_person and (unread or event.assignment.unacknowledged):
        raise Broken(f"{event.assignment.assignment_id} goes into {unread}, which nobody has read of")
    if not by_person and len(unread) > len(event.assignment.unacknowledged) < MOST_HAZARDS:
        raise Broken(f"{event.assignment.assignment_id} does not say that nobody has read of {unread}")


def hazards_end_in_time(world: World, writer: Writer) -> None:
    """No hazard stands beyond its time, so that nobody waits for a danger that is over."""
    late = [h for h in writer.state.hazards.values() if h.until is not None and h.until <= world.now]
    if late:
        raise Broken(f"{writer.region}: {late[0].hazard_id} was over at {late[0].until}")


def at_the_end(world: World) -> None:
    """Nothing is lost, nothing is left hanging, everything can be told from the journal."""
    for writer in world.writers.values():
        faults = broken(writer.state)
        if faults:
            raise Broken(f"{writer.region}: {faults[0]}")
        _journal_tells_all(writer)
        if (left := hanging(writer.state, world.reach)) is not None:
            raise Broken(f"{writer.region}: {left}")
    _no_call_is_lost(world)
    no_evidence_is_lost(world.seen, [writer.state for writer in world.writers.values()])
    for region, screens in world.screens.items():
        if any(c.shown_seq != world.writers[region].state.seq for c in screens):
            raise Broken(f"{region}: a console is not up to date in the calm")


def _journal_tells_all(writer: Writer) -> None:
    if snapshot.take(writer.replayed()) != snapshot.take(writer.state):
        raise Broken(f"{writer.region}: the journal leads to another state")
    if snapshot.take(snapshot.restore(snapshot.take(writer.state))) != snapshot.take(writer.state):
        raise Broken(f"{writer.region}: a snapshot restores another state")


def _no_call_is_lost(world: World) -> None:
    """Every call that was received is open or closed in exactly one region."""
    for call_id in world.received:
        having = [r for r, w in world.writers.items() if w.state.call(call_id) is not None]
        if len(having) != 1:
            raise Broken(f"call {call_id} is in {having or 'no region'}")


def no_evidence_is_lost(seen: Mapping[CallId, Sequence[LocationFix]], states: Collection[RegionState]) -> None:
    """Whatever anybody was told to be known of a call's place is with the call, once, whoever was asked."""
    for call_id, promised in seen.items():
        known = [call.evidence for state in states if (call := state.call(call_id)) is not None]
        if len(known) != 1 or set(promised) - set(known[0]) or len(set(known[0])) != len(known[0]):
            raise Broken(f"{call_id} has {known}, and was promised {promised}")


def hanging(state: RegionState, reach: Reaching) -> str | None:
    """What a region still owes somebody once nothing goes wrong any more: every order is answered, every hand-over
    done, every call taken, and nobody waits for help that stands idle.
    """
    if state.orders:
        return f"orders wait for an answer: {list(state.orders.values())}"
    if state.live:
        return f"assignments do not end: {list(state.live)}"
    if state.offers:
        return f"hand-overs hang: {state.offers}"
    if state.onward:
        return f"evidence hangs: {state.onward}"
    if len(state.waiting_calls) or state.in_hand:
        return f"calls hang: {list(state.waiting_calls)} {list(state.in_hand)}"
    needy = (incident for incident in state.incidents.values() if unmet(incident) and not incident.held)
    return next((why for incident in needy if (why := _waits_for_nothing(state, incident, reach)) is not None), None)


def _waits_for_nothing(state: RegionState, incident: Incident, reach: Reaching) -> str | None:
    """Whoever still waits says so, and no unit that could go stands idle."""
    if not incident.short:
        return f"{incident.incident_id} waits and is not marked short"
    found = reach(state, incident.incident_id)
    idle = [u for u, ms in zip(found.units, found.ms, strict=True) if ms < UNREACHABLE_MS] if found else []
    if any(can_be_sent(state.units[unit_id]) for unit_id in idle):
        return f"{incident.incident_id} waits while {idle} stand idle"
    return None
