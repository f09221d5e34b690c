"""The values of mutual aid: what one region asks of another, and what that one answers.

Two records under one `request_id`: the borrower keeps an `Ask`, the lender a `Loan`. Both say how things are,
not what to do, and carry a number that only grows: a message that was lost, repeated or overtaken is harmless. It is
a stamp (see `naming.py`), for a region that was restored from a backup must not be taken for its own past.
"""

from __future__ import annotations

from datetime import datetime

from dispatch.core.terms import (
    Assignment,
    Body,
    Incident,
    IncidentId,
    Location,
    Priority,
    RegionId,
    Value,
    Word,
)


class AidStatus(Word):
    """Asked: not yet heard of there. Accepted: an incident of theirs. Withdrawing: called off. Over."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    WITHDRAWING = "withdrawing"
    OVER = "over"


class Ask(Value, frozen=True, kw_only=True):
    """Help that a region has asked another for. `version` is the stamp of its last change, or of when it was said
    anew; `heard` the newest of them that the lender has answered, `reported` the version of the lender's newest report
    that is known here; `priority` and `place` (latitude, longitude) are what was said last.
    """

    request_id: str
    incident_id: IncidentId
    to: RegionId
    body: Body
    capability: str
    count: int
    asked_at: datetime
    version: int
    priority: Priority
    place: tuple[float, float] | None = None
    heard: int = 0
    reported: int = 0
    status: AidStatus = AidStatus.ASKED
    their_incident: IncidentId | None = None


class Wanted(Value, frozen=True, kw_only=True):
    """What the lender must know: whom to help, with what, where. `version` is that of the ask."""

    request_id: str
    region: RegionId
    incident_id: IncidentId
    incident_type: str
    priority: Priority
    location: Location | None = None
    body: Body
    capability: str
    count: int
    version: int
    withdrawn: bool = False


class AidReport(Value, frozen=True, kw_only=True):
    """How the help stands. `version` is the stamp of the lender's event that it is true of, `heard` the ask's version
    known there, `units` every assignment of the incident that the lender opened for it.
    """

    request_id: str
    version: int
    heard: int
    incident_id: IncidentId | None = None
    units: tuple[Assignment, ...] = ()
    over: bool = False


class Loan(Value, frozen=True, kw_only=True):
    """Help that a region gives; `told` is the last report that the borrower has acknowledged.

    `units` and `over` mirror the incident that was opened for it, which may leave its shelf before they are told.
    """

    request_id: str
    region: RegionId
    their_incident: IncidentId
    heard: int
    incident_id: IncidentId | None = None
    units: tuple[Assignment, ...] = ()
    over: bool = False
    told: AidReport | None = None


def place_of(incident: Incident) -> tuple[float, float] | None:
    """Where an incident is, as far as a crew on its way has to know."""
    return None if incident.location is None else (incident.location.lat, incident.location.lon)


def report_of(loan: Loan, stamp: int) -> AidReport:
    """What there is to tell of a loan, true of the lender's event with this stamp."""
    return AidReport(
        request_id=loan.request_id,
        version=stamp,
        heard=loan.heard,
        incident_id=loan.incident_id,
        units=loan.units,
        over=loan.over,
    )


def is_told(loan: Loan) -> bool:
    """Whether the borrower knows all there is."""
    told = loan.told
    return told is not None and (told.heard, told.units, told.over) == (loan.heard, loan.units, loan.over)
