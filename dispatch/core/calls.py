"""Decisions about calls: received, located, claimed, classified, joined, handed over, closed."""

from __future__ import annotations

import math
from datetime import datetime

from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.ground import cell_of, metres_between
from dispatch.core.lifecycle import CALL, may
from dispatch.core.naming import decided
from dispatch.core.needs import lent, live
from dispatch.core.plans import PLANS, UNSPECIFIED, Plan, needs_of
from dispatch.core.relocating import relocated
from dispatch.core.replanning import corrected, worsened
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    Body,
    Call,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    Incident,
    IncidentId,
    Leg,
    Location,
    Need,
    Offer,
    Priority,
    Refusal,
    RegionId,
)
from dispatch.core.verdict import NOTHING, Verdict, ended, facts, open_call, open_incident, refuse

JOIN_ACCURACY_M = 500.0
"""Where the distance of call and incident is known less exactly than this, in nine cases of ten, nothing joins."""

_TAKES = frozenset({CallStatus.CLAIMED, CallStatus.ANSWERED})
_MOVES = _TAKES | {CallStatus.HELD, CallStatus.ABANDONED, CallStatus.CALLING_BACK}
"""What a person or a line may make of a call directly; to link, transfer and close are commands of their own."""


def new_incident(state: RegionState, what: Plan, priority: Priority, now: datetime) -> Incident:
    """The next incident of the region, without a place yet."""
    number = state.number + 1
    legs: dict[Body, tuple[Need, ...]] = {}
    for need in needs_of(what.incident_type, priority):
        legs[need.body] = (*legs.get(need.body, ()), need)
    return Incident(
        incident_id=IncidentId(f"{state.letters}-{number}"),
        number=number,
        region=state.region,
        incident_type=what.incident_type,
        priority=priority,
        opened_at=now,
        legs=tuple(Leg(body=body, needs=needs) for body, needs in legs.items()),
    )


def receive(state: RegionState, command: c.ReceiveCall, now: datetime) -> Verdict:
    """A contact comes in: with a type or a service it goes straight to an incident, else into the queue."""
    if state.call(command.call_id) is not None:
        return refuse("call_exists", f"call {command.call_id} is already in {state.region}")
    kind = command.incident_type or (UNSPECIFIED[command.service] if command.service else None)
    if kind is not None and kind not in PLANS:
        return refuse("unknown_incident_type", f"incident type {kind!r} is none of the catalogue")
    ringing = CallStatus.RINGING if command.channel is Channel.VOICE else CallStatus.QUEUED
    call = Call(
        call_id=command.call_id,
        region=state.region,
        channel=command.channel,
        status=ringing,
        at=now,
        since=now,
        language=command.language,
        service=command.service,
        incident_type=kind,
        priority=command.priority or (PLANS[kind].priority if kind else None),
        location=command.location,
        evidence=command.evidence,
        device=command.actor,
        commitment=command.commitment,
        has_number=command.has_number,
        silent=command.silent,
        misunderstood=command.misunderstood,
    )
    received = e.CallReceived(call=call)
    return facts(received) if kind is None else facts(received, *settle(state, call, now))


def settle(state: RegionState, call: Call, now: datetime) -> list[e.Event]:
    """A classified call joins the open incident that it is plainly about, or opens one."""
    assert call.incident_type is not None and call.priority is not None
    plan = PLANS[call.incident_type]
    near = same_incident(state, plan, call.location, now)
    if near is None:
        incident = replace(new_incident(state, plan, call.priority, now), location=call.location)
        linked = e.CallLinked(call_id=call.call_id, incident_id=incident.incident_id)
        return [e.IncidentOpened(incident=incident), linked]
    linked = e.CallLinked(call_id=call.call_id, incident_id=near.incident_id, automatic=True)
    return [linked, *worsened(near, call.incident_type, call.priority)]


def same_incident(state: RegionState, plan: Plan, where: Location | None, now: datetime) -> Incident | None:
    """The nearest open incident of the same group that is close and recent enough to be the same one.

    What may be far is not close: neither circle may be wide, and evidence that contradicts itself joins nothing.
    """
    if where is None or not plan.joins_m or where.contradiction or where.accuracy_m > JOIN_ACCURACY_M:
        return None
    best: tuple[float, int, Incident] | None = None
    row, column = cell_of(where.lat, where.lon)
    for cell in ((row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        for incident_id in state.cells.get(cell, ()):
            incident = state.incidents[incident_id]
            assert incident.location is not None, "only placed incidents stand in the grid"
            metres = metres_between(incident.location, where)
            age_s = (now - incident.opened_at).total_seconds()
            ours = incident.aid_for is None
            sure = math.hypot(where.accuracy_m, incident.location.accuracy_m) <= JOIN_ACCURACY_M
            fits = ours and sure and PLANS[incident.incident_type].group == plan.group and age_s <= plan.joins_s
            if fits and metres <= plan.joins_m and (best is None or (metres, incident.number) < best[:2]):
                best = (metres, incident.number, incident)
    return best[2] if best else None


def locate(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
    """New evidence: the call and an incident that only it describes move; another region may take over.

    While nothing of an offer was sent the call is here, and may yet be offered to a third region.
    """
    call = open_call(state, command.call_id, moving=True)
    if isinstance(call, Refusal):
        return call
    events: list[e.Event] = [e.CallLocated(call_id=call.call_id, fix=command.fix, location=command.location)]
    incident = state.incidents[call.incident_id] if call.incident_id else None
    if command.location is None:
        return facts(*events)
    target = _elsewhere(state, command.location)
    if target is not None and target != call.moving_to:
        return facts(*events, *_offered(state, call, target, now))
    if incident is not None and follows(incident, command.location):
        events += relocated(state, incident, command.location, command.reach, now)
    return facts(*events)


def follows(incident: Incident, found: Location) -> bool:
    """An incident takes a call's better place when it has none, or when this is its only call."""
    old = incident.location
    return old is None or (incident.call_count <= 1 and (found.confirmed or not old.confirmed))


def _elsewhere(state: RegionState, found: Location) -> RegionId | None:
    """The other region that a point plainly lies in; near a border, where both are named, nothing moves."""
    if not found.regions or state.region in found.regions:
        return None
    return found.regions[0]


def _offered(state: RegionState, call: Call, to: RegionId, now: datetime) -> list[e.Event]:
    """Hand a call over with the notes about it. An incident that only this call describes, with nobody on the
    way, goes with it; one with other calls or with units stays, marked, until a person has decided about it.
    """
    offer = Offer(offer_id=f"{state.region}:{decided(state, now)}", to=to)
    left = left_by(state, call.call_id) if call.moving_to is not None else None
    if left is not None:
        referred = e.IncidentReferred(incident_id=left.incident_id, call_id=call.call_id, to=to)
        return [referred, e.CallOffered(call_id=call.call_id, offer=offer)]
    if call.incident_id is None:
        return [e.CallOffered(call_id=call.call_id, offer=offer)]
    incident = state.incidents[call.incident_id]
    events: list[e.Event] = [
        e.CallSplit(call_id=call.call_id, incident_id=incident.incident_id),
        e.IncidentReferred(incident_id=incident.incident_id, call_id=call.call_id, to=to),
    ]
    if _is_alone(incident):
        events.append(ended(incident, Disposition.REFERRED))
    return [*events, e.CallOffered(call_id=call.call_id, offer=offer, notes=incident.notes)]


def left_by(state: RegionState, call_id: CallId) -> Incident | None:
    """The incident that a call left when it was handed over, while that is open."""
    return next((incident for incident in state.incidents.values() if incident.referred_call == call_id), None)


def _is_alone(incident: Incident) -> bool:
    """Whether only one call describes it and nobody is on the way, of ours or lent."""
    return incident.call_count <= 1 and not live(incident) and not lent(incident)


def move(state: RegionState, command: c.MoveCall, now: datetime) -> Verdict:
    """Claim, answer, hold, abandon, call back. Who answers has the call in hand; a repeat changes nothing."""
    call = open_call(state, command.call_id)
    if isinstance(call, Refusal):
        return call
    takes = command.status in _TAKES
    mine = call.taker == command.actor
    if call.status is command.status and (mine or not takes):
        return NOTHING
    if call.status in _TAKES and takes and not mine:
        return refuse("call_in_hand", f"call {call.call_id} is in the hands of {call.taker}")
    asked = command.status in _MOVES and call.status is not CallStatus.LINKED
    if not asked or not may(CALL, call.status, command.status):
        return refuse("illegal_status", f"a call that is {call.status} cannot become {command.status}")
    taker = command.actor if takes else call.taker
    return facts(e.CallMoved(call_id=call.call_id, status=command.status, taker=taker))


def transfer(state: RegionState, command: c.TransferCall, now: datetime) -> Verdict:
    """Put a call back into a queue, this region's or another's."""
    call = open_call(state, command.call_id)
    if isinstance(call, Refusal):
        return call
    if command.to != state.region:
        if call.incident_id is not None and not _is_alone(state.incidents[call.incident_id]):
            stays = f"incident {call.incident_id} has units or further calls: it stays here"
            return refuse("incident_has_units", stays)
        return facts(*_offered(state, call, command.to, now))
    if call.status is CallStatus.LINKED or not may(CALL, call.status, CallStatus.TRANSFERRED):
        return refuse("illegal_status", f"a call that is {call.status} cannot be transferred")
    return facts(e.CallMoved(call_id=call.call_id, status=CallStatus.TRANSFERRED))


def classify(state: RegionState, command: c.ClassifyCall, now: datetime) -> Verdict:
    """Say what a call is about: it opens an incident, joins the one named, or corrects its own."""
    call = open_call(state, command.call_id)
    if isinstance(call, Refusal):
        return call
    plan = PLANS.get(command.incident_type)
    if plan is None:
        known = f"incident type {command.incident_type!r} is none of the catalogue"
        return refuse("unknown_incident_type", known)
    priority = command.priority or plan.priority
    if call.incident_id is not None:
        if command.incident_id not in (None, call.incident_id):
            return refuse("illegal_status", f"call {call.call_id} has joined {call.incident_id}: split it first")
        return _reclassify(call, state.incidents[call.incident_id], priority, command)
    said = e.CallClassified(call_id=call.call_id, incident_type=plan.incident_type, priority=priority)
    call = replace(call, incident_type=plan.incident_type, priority=priority)
    if command.incident_id is None:
        linked = settle(state, call, now)
    else:
        named = open_incident(state, command.incident_id)
        if isinstance(named, Refusal):
            return named
        link = e.CallLinked(call_id=call.call_id, incident_id=named.incident_id)
        linked = [link, *worsened(named, plan.incident_type, priority)]
    incident_id = next(x.incident_id for x in linked if isinstance(x, e.CallLinked))
    return facts(said, *linked, *_note(command, incident_id))


def _reclassify(call: Call, incident: Incident, priority: Priority, command: c.ClassifyCall) -> Verdict:
    """A linked call is corrected, and its incident with it when no other call describes that."""
    said = e.CallClassified(call_id=call.call_id, incident_type=command.incident_type, priority=priority)
    change = corrected if incident.call_count <= 1 else worsened
    noted = _note(command, incident.incident_id)
    return facts(said, *noted, *change(incident, command.incident_type, priority))


def _note(command: c.ClassifyCall, incident_id: IncidentId) -> list[e.Event]:
    if command.note_id is None or command.commitment is None:
        return []
    return [e.IncidentNoted(incident_id=incident_id, note_id=command.note_id, commitment=command.commitment)]


def close(state: RegionState, command: c.CloseCall, now: datetime) -> Verdict:
    """The contact is over; an incident that it had joined goes on."""
    call = open_call(state, command.call_id)
    if isinstance(call, Refusal):
        return call
    return facts(e.CallClosed(call_id=call.call_id, disposition=command.disposition))


def take(state: RegionState, command: c.TakeCall, now: datetime) -> Verdict:
    """Hand-over, here: the call becomes ours in its queue, or at once an incident when it is classified.

    A call that we gave away comes back only after we have let go of it: else its release would lose it.
    """
    given = command.call
    if command.offer_id in state.taken_offers:
        return NOTHING
    if command.offer_id in state.forgone:
        return refuse("offer_forgone", f"the offer of call {given.call_id} was withdrawn by {command.origin}")
    if given.call_id in state.calls:
        moving = state.offers.get(given.call_id)
        leaves = f"call {given.call_id} is still being handed over to {moving.to}" if moving else None
        return refuse("call_moving", leaves) if moving else NOTHING
    waits = given.status if given.status in (CallStatus.RINGING, CallStatus.QUEUED) else CallStatus.TRANSFERRED
    call = replace(given, region=state.region, status=waits, since=now, taker=None, came_by=command.offer_id)
    call = replace(call, moving_to=None, moving_since=None, taking_back=False)
    accepted = e.CallAccepted(call=call, origin=command.origin, offer_id=command.offer_id, sealed=command.sealed)
    if call.incident_type is None:
        return facts(accepted)
    call = replace(call, priority=call.priority or PLANS[call.incident_type].priority)
    return facts(accepted, *settle(state, call, now))
