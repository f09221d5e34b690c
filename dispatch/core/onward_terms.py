"""Evidence that goes on after its call, and where the calls went that it is for."""

from __future__ import annotations

from datetime import datetime

from dispatch.core.terms import CallId, LocationFix, RegionId, Value


class Onward(Value, frozen=True, kw_only=True):
    """Evidence that a region has taken for a call which is not its own now. `to` None: nobody knows yet whose."""

    evidence_id: str
    call_id: CallId
    fix: LocationFix
    to: RegionId | None = None


class Gone(Value, frozen=True, kw_only=True):
    """To whom a call went that was handed over, and when."""

    to: RegionId
    at: datetime
