"""How evidence that goes on after its call changes the state, and what is remembered of where calls went.

Part of `evolve`.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from dispatch.core import onward_events as o
from dispatch.core.evidence import EVIDENCE_KEPT, with_fix
from dispatch.core.onward_terms import Gone
from dispatch.core.state import RegionState, keep_newest
from dispatch.core.steps import on
from dispatch.core.terms import CallId, RegionId

GONE_KEPT = 2000
HEARD_KEPT = 2000


def gone(state: RegionState, call_id: CallId, to: RegionId, at: datetime) -> None:
    """The call is another region's: what waits for it goes there, and so does what still comes."""
    keep_newest(state.gone, call_id, Gone(to=to, at=at), GONE_KEPT)
    directed(state, call_id, to)


def directed(state: RegionState, call_id: CallId, to: RegionId | None) -> None:
    """What waits for the call, and no other region can have yet, is for whoever has the call now."""
    for piece in state.onward_of(call_id):
        if piece.to in (None, state.region):
            state.onward[piece.evidence_id] = replace(piece, to=to)


@on(o.EvidenceKept)
def _evidence_kept(state: RegionState, event: o.EvidenceKept, at: datetime) -> None:
    """A call keeps only so many, so no more of them wait: over it the oldest that nobody confirmed goes."""
    state.onward[event.evidence.evidence_id] = event.evidence
    waiting = state.onward_of(event.evidence.call_id)
    if len(waiting) > EVIDENCE_KEPT:
        spare = next((piece for piece in waiting if not piece.fix.confirmed), waiting[0])
        del state.onward[spare.evidence_id]
    _shown(state, event.evidence.call_id)


@on(o.EvidenceHeard)
def _evidence_heard(state: RegionState, event: o.EvidenceHeard, at: datetime) -> None:
    keep_newest(state.evidence_heard, event.evidence_id, None, HEARD_KEPT)
    call = state.call(event.call_id)
    if event.late is not None and call is not None:
        state.put_call(replace(call, evidence=with_fix(call.evidence, event.late)))


@on(o.EvidenceTold)
def _evidence_told(state: RegionState, event: o.EvidenceTold, at: datetime) -> None:
    _shown(state, state.onward.pop(event.evidence_id).call_id)


def _shown(state: RegionState, call_id: CallId) -> None:
    """A board says of a call whether evidence waits for it."""
    call = state.calls.get(call_id)
    if call is not None:
        state.show_call(call)
