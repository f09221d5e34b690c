"""The facts of mutual aid, in the journals of the region that asks and of the one that lends."""

from __future__ import annotations

from dispatch.core.aid_terms import AidReport, Ask, Loan
from dispatch.core.fact import Event
from dispatch.core.terms import IncidentId, RegionId


class AidAsked(Event, frozen=True, kw_only=True, tag="aid_asked"):
    """In the borrowing region: help is asked for."""

    ask: Ask


class AidRestated(Event, frozen=True, kw_only=True, tag="aid_restated"):
    """In the borrowing region: the incident has another place or priority, which the lender must hear."""

    request_id: str


class AidWithdrawn(Event, frozen=True, kw_only=True, tag="aid_withdrawn"):
    """In the borrowing region: the help is not wanted any more; the lender calls its units off."""

    request_id: str


class AidReported(Event, frozen=True, kw_only=True, tag="aid_reported"):
    """In the borrowing region: what the lender says of its units on our incident."""

    incident_id: IncidentId
    lender: RegionId
    report: AidReport


class AidTaken(Event, frozen=True, kw_only=True, tag="aid_taken"):
    """In the lending region: the request is known here. Over from the start when it was withdrawn on its way."""

    loan: Loan


class AidHeard(Event, frozen=True, kw_only=True, tag="aid_heard"):
    """In the lending region: a newer word of the borrower about its request."""

    request_id: str
    version: int


class AidTold(Event, frozen=True, kw_only=True, tag="aid_told"):
    """In the lending region: the borrower has this report."""

    report: AidReport


AidEvent = AidAsked | AidRestated | AidWithdrawn | AidReported | AidTaken | AidHeard | AidTold
