"""Decisions about evidence for a call that is being handed over, or was: it is taken, and goes on after the call.

Before anything of an offer was sent the call is still all here, and is located as ever. Afterwards nobody knows
whose it will be, so the evidence waits; it is put to the call, the way that any evidence is, by whoever has it in
the end: the other region, a third one, or this one again. `dispatch/cells/exchange.py` carries it there.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core import calls
from dispatch.core import commands as c
from dispatch.core import onward_events as o
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.naming import decided
from dispatch.core.onward_terms import Onward
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, Refusal, RegionId
from dispatch.core.verdict import NOTHING, Verdict, facts, refuse

ONWARD_MAX = 2000
"""Pieces of evidence that wait in one region. What was taken is not thrown away: beyond it no more is taken."""


def locate(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
    """New evidence: from whoever saw it, from a region that the call went through, or what has waited here."""
    evidence_id = command.evidence_id
    if evidence_id is None:
        return _kept(state, command, now) if _must_wait(state, command) else calls.locate(state, command, now)
    if evidence_id.startswith(f"{state.region}:"):
        return _put(state, command, evidence_id, now)
    if evidence_id in state.evidence_heard:
        return NOTHING
    verdict = _kept(state, command, now) if _must_wait(state, command) else _located(state, command, now)
    heard = o.EvidenceHeard(evidence_id=evidence_id, call_id=command.call_id)
    if not isinstance(verdict, Refusal):
        return facts(*verdict.events, heard)
    return facts(replace(heard, late=command.fix)) if verdict.code == "unknown_call" else verdict


def _located(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
    """The very same evidence that came by another way, a handset's that two processes recognised, says nothing new."""
    call = state.calls.get(command.call_id)
    known = call is not None and command.fix in call.evidence
    return NOTHING if known else calls.locate(state, command, now)


def _put(state: RegionState, command: c.LocateCall, evidence_id: str, now: datetime) -> Verdict:
    """What waited here for a call that is ours again, unless that has left once more: then it still waits."""
    if evidence_id not in state.onward or _is_away(state, command.call_id):
        return NOTHING
    told = o.EvidenceTold(evidence_id=evidence_id)
    verdict = calls.locate(state, command, now)
    if not isinstance(verdict, Refusal):
        return facts(*verdict.events, told)
    return facts(o.EvidenceHeard(evidence_id=evidence_id, call_id=command.call_id, late=command.fix), told)


def mark_told(state: RegionState, command: c.MarkEvidenceTold, now: datetime) -> Verdict:
    """Whoever has the call has the evidence."""
    told = command.evidence_id in state.onward
    return facts(o.EvidenceTold(evidence_id=command.evidence_id)) if told else NOTHING


def _must_wait(state: RegionState, command: c.LocateCall) -> bool:
    """Whether the call is elsewhere, or may be; or what has waited for it here is about to be put to it first."""
    waiting = state.onward_of(command.call_id)
    return _is_away(state, command.call_id) or any(piece.to == state.region for piece in waiting)


def _is_away(state: RegionState, call_id: CallId) -> bool:
    return call_id in state.gone or _is_sent(state, call_id)


def _kept(state: RegionState, command: c.LocateCall, now: datetime) -> Verdict:
    """The evidence waits. What a call keeps at most, it takes the place of."""
    if len(state.onward) >= ONWARD_MAX and len(state.onward_of(command.call_id)) < EVIDENCE_KEPT:
        return refuse("call_moving", f"too much waits for calls that {state.region} has handed over")
    piece = Onward(
        evidence_id=f"{state.region}:{decided(state, now)}:evidence",
        call_id=command.call_id,
        fix=command.fix,
        to=_owner(state, command.call_id),
    )
    return facts(o.EvidenceKept(evidence=piece))


def _owner(state: RegionState, call_id: CallId) -> RegionId | None:
    """Whose the call is, as far as this region knows; None while only the other side does."""
    if call_id in state.gone:
        return state.gone[call_id].to
    return None if _is_sent(state, call_id) else state.region


def _is_sent(state: RegionState, call_id: CallId) -> bool:
    offer = state.offers.get(call_id)
    return offer is not None and offer.sent
