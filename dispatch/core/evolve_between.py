"""How the facts between regions change the state: hand-overs that are taken back, and mutual aid.

Part of `evolve`.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core import aid_events as a
from dispatch.core import events as e
from dispatch.core.aid_terms import AidReport, AidStatus, place_of
from dispatch.core.evolve_onward import directed, gone
from dispatch.core.lifecycle import CALL, IN_HAND, moved
from dispatch.core.needs import SERVED, is_live, settled
from dispatch.core.state import RegionState, keep_newest
from dispatch.core.steps import on
from dispatch.core.terms import Call, CallStatus, Disposition, Incident, IncidentStatus, Lent, RegionId

FORGONE_KEPT = 2000
LOANS_KEPT = 2000
LENT_KEPT = 64


@on(e.OfferSent)
def _offer_sent(state: RegionState, event: e.OfferSent, at: datetime) -> None:
    state.offers[event.call_id] = replace(state.offers[event.call_id], sent=True)
    directed(state, event.call_id, None)


@on(e.OfferRecalled)
def _offer_recalled(state: RegionState, event: e.OfferRecalled, at: datetime) -> None:
    state.offers[event.call_id] = replace(state.offers[event.call_id], recalled=True)
    state.show_call(replace(state.calls[event.call_id], taking_back=True))


@on(e.OfferForgone)
def _offer_forgone(state: RegionState, event: e.OfferForgone, at: datetime) -> None:
    keep_newest(state.forgone, event.offer_id, None, FORGONE_KEPT)


@on(e.CallRegained)
def _call_regained(state: RegionState, event: e.CallRegained, at: datetime) -> None:
    del state.offers[event.call_id]
    call = waiting_again(state.calls[event.call_id])
    state.put_call(replace(call, since=at))
    directed(state, event.call_id, state.region)


def waiting_again(call: Call) -> Call:
    """The call as it is after its offer: whoever had it in hand has let go of it."""
    status = CallStatus.TRANSFERRED if call.status in IN_HAND else call.status
    return replace(call, status=status, taker=None, moving_to=None, moving_since=None, taking_back=False)


@on(e.CallDeparted)
def _call_departed(state: RegionState, event: e.CallDeparted, at: datetime) -> None:
    del state.offers[event.call_id]
    call = state.calls[event.call_id]
    status = moved(CALL, call.status, CallStatus.CLOSED)
    closed = {"disposition": Disposition.REFERRED, "closed_at": at, "taker": None, "moving_to": event.to}
    state.put_call(replace(call, status=status, since=at, taking_back=False, **closed))
    gone(state, event.call_id, event.to, at)


@on(a.AidAsked)
def _aid_asked(state: RegionState, event: a.AidAsked, at: datetime) -> None:
    assert event.ask.request_id not in state.asks and event.ask.incident_id in state.incidents
    state.asks[event.ask.request_id] = event.ask
    state.touch_incident(event.ask.incident_id)


@on(a.AidRestated)
def _aid_restated(state: RegionState, event: a.AidRestated, at: datetime) -> None:
    asked = state.asks[event.request_id]
    incident = state.incidents[asked.incident_id]
    said = {"priority": incident.priority, "place": place_of(incident), "version": state.stamp}
    state.asks[event.request_id] = replace(asked, **said)


@on(a.AidWithdrawn)
def _aid_withdrawn(state: RegionState, event: a.AidWithdrawn, at: datetime) -> None:
    asked = state.asks[event.request_id]
    state.asks[event.request_id] = replace(asked, status=AidStatus.WITHDRAWING, version=state.stamp)
    state.touch_incident(asked.incident_id)


@on(a.AidReported)
def _aid_reported(state: RegionState, event: a.AidReported, at: datetime) -> None:
    report = event.report
    asked = state.asks[report.request_id]
    if report.over:
        del state.asks[report.request_id]
    else:
        status = AidStatus.ACCEPTED if asked.status is AidStatus.ASKED else asked.status
        known = {"reported": report.version, "heard": max(asked.heard, report.heard), "status": status}
        state.asks[report.request_id] = replace(asked, their_incident=report.incident_id, **known)
    incident = state.incident(event.incident_id)
    if incident is None:
        return
    _put(state, with_report(incident, event.lender, report))


def with_report(incident: Incident, lender: RegionId, report: AidReport) -> Incident:
    """The incident with the lender's units as this report has them."""
    others = tuple(one for one in incident.lent if one.request_id != report.request_id)
    units = tuple(Lent(request_id=report.request_id, region=lender, assignment=unit) for unit in report.units)
    return replace(incident, lent=_bounded(others + units))


def _bounded(units: tuple[Lent, ...]) -> tuple[Lent, ...]:
    """Over the limit the first that ended without work goes; live and served ones count for the needs."""
    while len(units) > LENT_KEPT:
        spare = next((u for u in units if not is_live(u.assignment) and u.assignment.cleared_reason != SERVED), None)
        if spare is None:
            break
        units = tuple(u for u in units if u is not spare)
    return units


def _put(state: RegionState, incident: Incident) -> None:
    """A closed incident only notes what became of the units that it had."""
    state.put_incident(incident if incident.status is IncidentStatus.CLOSED else settled(incident))


@on(a.AidTaken)
def _aid_taken(state: RegionState, event: a.AidTaken, at: datetime) -> None:
    assert event.loan.request_id not in state.loans
    state.loans[event.loan.request_id] = event.loan


@on(a.AidHeard)
def _aid_heard(state: RegionState, event: a.AidHeard, at: datetime) -> None:
    loan = state.loans[event.request_id]
    state.loans[event.request_id] = replace(loan, heard=event.version)


@on(a.AidTold)
def _aid_told(state: RegionState, event: a.AidTold, at: datetime) -> None:
    report = event.report
    if report.over:
        del state.loans[report.request_id]
        keep_newest(state.past_loans, report.request_id, report, LOANS_KEPT)
    else:
        state.loans[report.request_id] = replace(state.loans[report.request_id], told=report)
