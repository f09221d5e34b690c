"""The facts about evidence that goes on after its call, in the journals of its taker and of whoever has the call."""

from __future__ import annotations

from dispatch.core.fact import Event
from dispatch.core.onward_terms import Onward
from dispatch.core.terms import CallId, LocationFix


class EvidenceKept(Event, frozen=True, kw_only=True, tag="evidence_kept"):
    """The call is elsewhere or on its way: the evidence waits until it can be put to it there."""

    evidence: Onward


class EvidenceHeard(Event, frozen=True, kw_only=True, tag="evidence_heard"):
    """What another region had taken is here, and is not taken again. `late`: the evidence, where the call was over."""

    evidence_id: str
    call_id: CallId
    late: LocationFix | None = None


class EvidenceTold(Event, frozen=True, kw_only=True, tag="evidence_told"):
    """Whoever has the call has this evidence."""

    evidence_id: str


OnwardEvent = EvidenceKept | EvidenceHeard | EvidenceTold
