"""A region that a process writes: what it knows of it, and until when it may."""

from __future__ import annotations

from math import inf

import msgspec

from dispatch.core.state import RegionState
from dispatch.core.verdict import Inquest
from dispatch.writing.records import DecisionInputs, Recorded


class Led(msgspec.Struct):
    """A region that this process writes: its state ahead of the commit, and where its journal ends.

    After `until_s` of the lease's clock (`Engine.now_s`) nothing is decided or sent any more, whatever this
    process believes: another may lead then. `closing`: what was decided is still committed, nothing is added.
    """

    state: RegionState
    epoch: int
    hash: bytes
    until_s: float = inf
    closing: bool = False


def inputs_of(state: RegionState, inquest: Inquest, last: Recorded) -> DecisionInputs:
    """What a decision rested on, kept beside its last event."""
    return DecisionInputs(
        region=state.region,
        seq=last.seq,
        digest=bytes.fromhex(inquest.digest),
        at=last.at,
        incident_id=inquest.incident_id,
        inputs=inquest.inputs,
    )
