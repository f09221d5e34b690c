"""Decisions about a hand-over that should not be: taken back by its giver, forgone for ever by the other side.

A call that is offered may have been accepted already, unknown to its giver. So it comes back only when nothing of
the offer was ever sent, or when the other side has recorded that it will never accept it: then nobody else can
have it. `dispatch/cells/exchange.py` carries the words between the two.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.calls import follows, left_by, settle
from dispatch.core.evolve_between import waiting_again
from dispatch.core.plans import PLANS
from dispatch.core.relocating import relocated
from dispatch.core.state import RegionState
from dispatch.core.terms import Call, CallId, Incident, Location, Offer
from dispatch.core.verdict import NOTHING, Verdict, facts, refuse


def holds(state: RegionState, offer_id: str, call_id: CallId) -> bool:
    """Whether the region has accepted this offer. One forgotten long ago is known by its call."""
    closed = state.closed_calls.get(call_id)
    return offer_id in state.taken_offers or call_id in state.calls or (closed is not None and closed.moving_to is None)


def mark_sent(state: RegionState, command: c.MarkSent, now: datetime) -> Verdict:
    """The offer is about to leave: from now on only the other side can say that it has not got the call."""
    offer = _offer(state, command.call_id, command.offer_id)
    if offer is None or offer.sent:
        return NOTHING
    return facts(e.OfferSent(call_id=command.call_id, offer_id=command.offer_id))


def recall(state: RegionState, command: c.RecallCall, now: datetime) -> Verdict:
    """A person wants the call back: now when nobody else can know of it, else as soon as the other side says so."""
    call = state.calls.get(command.call_id)
    if call is None:
        return refuse("unknown_call", f"call {command.call_id} is not open in {state.region}")
    offer = state.offers.get(command.call_id)
    if offer is None:
        return refuse("not_moving", f"call {command.call_id} is not being handed over")
    if not offer.sent:
        return facts(*_regained(state, call, offer, now))
    if offer.recalled:
        return NOTHING
    return facts(e.OfferRecalled(call_id=command.call_id, offer_id=offer.offer_id))


def forgo(state: RegionState, command: c.ForgoOffer, now: datetime) -> Verdict:
    """The other region wants its call back: it may have it unless it is ours, and then it stays ours."""
    if command.offer_id in state.forgone:
        return NOTHING
    if holds(state, command.offer_id, command.call_id):
        return refuse("offer_taken", f"call {command.call_id} was accepted in {state.region}")
    return facts(e.OfferForgone(offer_id=command.offer_id))


def regain(state: RegionState, command: c.RegainCall, now: datetime) -> Verdict:
    """The other side will never accept the offer: the call is ours alone again."""
    offer = _offer(state, command.call_id, command.offer_id)
    if offer is None:
        return NOTHING
    return facts(*_regained(state, state.calls[command.call_id], offer, now))


def release(state: RegionState, command: c.ReleaseCall, now: datetime) -> Verdict:
    """Hand-over, done: the other region has the call. Within a cell its row is theirs, else ours says where it went."""
    offer = _offer(state, command.call_id, command.offer_id)
    if offer is None:
        return NOTHING
    if command.abroad:
        return facts(e.CallDeparted(call_id=command.call_id, to=offer.to))
    return facts(e.CallReleased(call_id=command.call_id, to=offer.to))


def _offer(state: RegionState, call_id: CallId, offer_id: str) -> Offer | None:
    """The offer under way, when it is still this one."""
    offer = state.offers.get(call_id)
    return offer if offer is not None and offer.offer_id == offer_id else None


def _regained(state: RegionState, call: Call, offer: Offer, now: datetime) -> list[e.Event]:
    """The call is back in the incident that it left; without one it waits again, or a classified one opens one."""
    regained = e.CallRegained(call_id=call.call_id, offer_id=offer.offer_id)
    left = left_by(state, call.call_id)
    if left is not None:
        linked = e.CallLinked(call_id=call.call_id, incident_id=left.incident_id)
        return [regained, linked, *_moved(state, left, call.location, now)]
    if call.incident_type is None:
        return [regained]
    back = waiting_again(call)
    return [regained, *settle(state, replace(back, priority=call.priority or PLANS[call.incident_type].priority), now)]


def _moved(state: RegionState, left: Incident, found: Location | None, now: datetime) -> list[e.Event]:
    """What the call was found out about its place while it was on its way holds for the incident that it left."""
    newer = found is not None and (left.location is None or found.at > left.location.at)
    alone = replace(left, call_count=left.call_count + 1)
    return relocated(state, left, found, None, now) if found is not None and newer and follows(alone, found) else []
