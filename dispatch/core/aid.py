"""Decisions about mutual aid: asked for, taken on, reported, called off.

The lending region opens an incident of its own for what another asks: its queue, its recommendation, its policy
and its crews work as ever, a unit has one live assignment at home, and nobody else writes it. The borrower shows
what the lender reports. See docs/decisions/0032.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from dispatch.core import aid_events as a
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.aid_terms import AidStatus, Ask, Loan, Wanted, place_of
from dispatch.core.assigning import cleared, recall_order
from dispatch.core.calls import new_incident
from dispatch.core.evolve_between import with_report
from dispatch.core.leaving import finished
from dispatch.core.naming import STAMPS_A_SECOND, decided, next_stamp
from dispatch.core.needs import is_finished, live, settled, unmet
from dispatch.core.plans import PLANS, UNSPECIFIED
from dispatch.core.relocating import relocated
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    AidFor,
    Disposition,
    Incident,
    IncidentId,
    Leg,
    Need,
    Refusal,
    Service,
    UnitStatus,
)
from dispatch.core.verdict import NOTHING, Verdict, ended, facts, open_incident, refuse

ASKS_MAX = 200
"""Requests of one region under way at once, and of others in one region."""
ASKS_EACH = 8
"""Requests of one incident under way at once."""
MOST_UNITS = 32
SAID_ANEW_S = 300.0
"""A request that was heard so long ago is said anew: whoever heard it may have been restored from a backup since."""

_THEIRS = (
    c.ClassifyCall,
    c.MergeIncidents,
    c.SplitCall,
    c.PrioritiseIncident,
    c.LocateIncident,
    c.AddLeg,
    c.AskAid,
)
"""What decides about an incident's needs or place: for one that helps another region, that region's business."""


def obstacle(state: RegionState, command: c.Command) -> Refusal | None:
    """Why a command may not be given to an incident that helps another region."""
    if not isinstance(command, _THEIRS) or not state.loans:
        return None
    named = [command.incident_id, command.into if isinstance(command, c.MergeIncidents) else None]
    for incident in (state.incidents.get(name) for name in named if name is not None):
        if incident is not None and incident.aid_for is not None:
            theirs = f"{incident.incident_id} helps {incident.aid_for.incident_id} of {incident.aid_for.region}"
            return refuse("aid_incident", f"{theirs}: only that region changes it")
    return None


# In the borrowing region


def ask(state: RegionState, command: c.AskAid, now: datetime) -> Verdict:
    """An incident needs what another region may have."""
    incident = open_incident(state, command.incident_id)
    if isinstance(incident, Refusal):
        return incident
    if command.to == state.region:
        return refuse("aid_own_region")
    mine = sum(one.incident_id == incident.incident_id for one in state.asks.values())
    if len(state.asks) >= ASKS_MAX or mine >= ASKS_EACH:
        return refuse("aid_limit", f"{mine} requests of {incident.incident_id} are under way")
    made = Ask(
        request_id=f"{state.region}:{decided(state, now)}:aid",
        incident_id=incident.incident_id,
        to=command.to,
        body=command.body,
        capability=command.capability,
        count=max(1, min(command.count, MOST_UNITS)),
        asked_at=now,
        version=next_stamp(state.stamp, now),
        priority=incident.priority,
        place=place_of(incident),
    )
    return facts(a.AidAsked(ask=made))


def wanted(state: RegionState, asked: Ask) -> Wanted | None:
    """What the lender is to be told of a request; None when its incident has left the memory and that is not said yet.

    That the help is not wanted any more is told however long ago the incident ended.
    """
    incident, withdrawn = state.incident(asked.incident_id), asked.status is AidStatus.WITHDRAWING
    if incident is None and not withdrawn:
        return None
    return Wanted(
        request_id=asked.request_id,
        region=state.region,
        incident_id=asked.incident_id,
        incident_type=incident.incident_type if incident is not None else UNSPECIFIED[Service.RESCUE],
        priority=incident.priority if incident is not None else asked.priority,
        location=incident.location if incident is not None else None,
        body=asked.body,
        capability=asked.capability,
        count=asked.count,
        version=asked.version,
        withdrawn=withdrawn,
    )


def restate(state: RegionState, command: c.RestateAid, now: datetime) -> Verdict:
    """Say a request anew. That of an incident which is over is withdrawn."""
    asked = state.asks.get(command.request_id)
    withdrawn = asked is not None and asked.status is AidStatus.WITHDRAWING
    if asked is None or (withdrawn and not stale(state, asked)):
        return NOTHING
    if withdrawn or asked.incident_id not in state.incidents:
        return facts(a.AidWithdrawn(request_id=asked.request_id))
    return facts(a.AidRestated(request_id=asked.request_id))


def withdraw(state: RegionState, command: c.WithdrawAid, now: datetime) -> Verdict:
    """The help is not wanted any more. Until the lender has heard it, its units still come."""
    asked = [
        one
        for one in state.asks.values()
        if one.incident_id == command.incident_id and command.request_id in (None, one.request_id)
    ]
    if not asked:
        return refuse("unknown_aid", f"{command.incident_id} has no such request under way")
    open_ones = [one for one in asked if one.status is not AidStatus.WITHDRAWING]
    return facts(*(a.AidWithdrawn(request_id=one.request_id) for one in open_ones))


def hear(state: RegionState, command: c.HearAid, now: datetime) -> Verdict:
    """The lender's word, unless a newer one is known: none is newer than that all is over.

    With the last unit done the incident closes by itself.
    """
    report = command.report
    asked = state.asks.get(report.request_id)
    if asked is None or asked.to != command.lender or (report.version <= asked.reported and not report.over):
        return NOTHING
    heard = a.AidReported(incident_id=asked.incident_id, lender=command.lender, report=report)
    incident = state.incidents.get(asked.incident_id)
    if incident is None:
        return facts(heard)
    after = settled(with_report(incident, command.lender, report))
    events: list[e.Event] = [heard]
    if after.short and not unmet(after):
        events.append(e.IncidentShort(incident_id=incident.incident_id, short=False))
    if is_finished(after):
        carried = (*incident.assignments, *report.units)
        moved = any(one.transporting_at is not None for one in carried)
        events.append(ended(incident, finished(moved)))
    return facts(*events)


# In the lending region


def take(state: RegionState, command: c.TakeAid, now: datetime) -> Verdict:
    """Another region's request: an incident of ours, which is worked like any other."""
    asked = command.wanted
    if asked.request_id in state.past_loans:
        return NOTHING
    loan = state.loans.get(asked.request_id)
    if loan is not None:
        return NOTHING if asked.version <= loan.heard else facts(*_changed(state, loan, asked, now))
    known = Loan(
        request_id=asked.request_id,
        region=asked.region,
        their_incident=asked.incident_id,
        heard=asked.version,
        over=asked.withdrawn,
    )
    taken = a.AidTaken(loan=known)
    if asked.withdrawn:
        return facts(taken)
    if len(state.loans) >= ASKS_MAX:
        return refuse("aid_limit", f"{state.region} helps with {len(state.loans)} requests already")
    return facts(taken, e.IncidentOpened(incident=_opened(state, asked, now)))


def _opened(state: RegionState, asked: Wanted, now: datetime) -> Incident:
    """The incident for it, which needs what was asked for and nothing else."""
    plan = PLANS.get(asked.incident_type) or PLANS[UNSPECIFIED[Service.RESCUE]]
    need = Need(body=asked.body, capability=asked.capability, count=max(1, min(asked.count, MOST_UNITS)))
    return replace(
        new_incident(state, plan, asked.priority, now),
        location=asked.location,
        legs=(Leg(body=asked.body, needs=(need,)),),
        aid_for=AidFor(request_id=asked.request_id, region=asked.region, incident_id=asked.incident_id),
    )


def _changed(state: RegionState, loan: Loan, asked: Wanted, now: datetime) -> list[e.Event]:
    """A newer word about a request: another place or priority, or that the help is not wanted any more."""
    events: list[e.Event] = [a.AidHeard(request_id=loan.request_id, version=asked.version)]
    incident = state.incidents.get(loan.incident_id) if loan.incident_id else None
    if incident is None:
        return events
    if asked.withdrawn:
        return [*events, *_called_off(state, incident, now)]
    if asked.location is not None and asked.location != incident.location:
        events += relocated(state, incident, asked.location, None, now)
    if asked.priority is not incident.priority:
        events.append(e.IncidentPrioritised(incident_id=incident.incident_id, priority=asked.priority))
    return events


def _called_off(state: RegionState, incident: Incident, now: datetime) -> Sequence[e.Event]:
    home = UnitStatus.RETURNING
    back = [cleared(incident, unit, home, "aid_withdrawn", recall_order(state, unit, now)) for unit in live(incident)]
    return [*back, ended(incident, Disposition.REFERRED)]


def mark_told(state: RegionState, command: c.MarkTold, now: datetime) -> Verdict:
    """The borrower has this report; when it said that all is over, so is the loan."""
    loan = state.loans.get(command.report.request_id)
    if loan is None or (loan.told is not None and loan.told.version >= command.report.version):
        return NOTHING
    return facts(a.AidTold(report=command.report))


def stale(state: RegionState, asked: Ask) -> bool:
    """Whether the incident of a request is over, or has another place or priority than was last said, or that was
    heard long ago.
    """
    if asked.heard >= asked.version and state.stamp - asked.version >= SAID_ANEW_S * STAMPS_A_SECOND:
        return True
    incident = state.incidents.get(asked.incident_id)
    if asked.status is AidStatus.WITHDRAWING:
        return False
    return incident is None or (incident.priority, place_of(incident)) != (asked.priority, asked.place)


def asks_of(state: RegionState, incident_id: IncidentId) -> list[Ask]:
    """The requests of an incident that are under way."""
    return [one for one in state.asks.values() if one.incident_id == incident_id]
