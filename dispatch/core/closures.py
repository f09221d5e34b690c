"""Roads closed and opened again. The core keeps what was said; what it means for a drive comes back in travel times."""

from __future__ import annotations

from datetime import datetime

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.state import RegionState
from dispatch.core.verdict import Verdict, facts, refuse

CLOSURES_MAX = 500
"""How many closures of a region may be in force or to come at one time."""
CLOSURE_POINTS_MAX = 5_000
"""Of how many points they may be together: a region's closures are in every snapshot of every board of it."""


def close(state: RegionState, command: c.CloseRoad, now: datetime) -> Verdict:
    """Close a road, or say that it is slow."""
    closure = command.closure
    assert all(closure.lines) and closure.radius_m > 0, "a closure is somewhere"
    if closure.is_over(now) or (closure.until is not None and closure.until <= closure.since):
        return refuse("closure_over", f"the closure would end at {closure.until}, before it counts")
    standing = [kept for kept in state.closures.values() if not kept.is_over(now)]
    if len(standing) >= CLOSURES_MAX:
        return refuse("closure_limit", f"{state.region} has {CLOSURES_MAX} closures in force: open some again")
    left = CLOSURE_POINTS_MAX - sum(kept.points for kept in standing)
    if closure.points > left:
        detail = f"the closures of {state.region} may have {left} more points, and this one has {closure.points}"
        return refuse("closure_limit", f"{detail}: open some again, or close less of the road")
    return facts(e.RoadClosed(closure=closure))


def reopen(state: RegionState, command: c.ReopenRoad, now: datetime) -> Verdict:
    """Open it again before its time."""
    closure = state.closures.get(command.closure_id)
    if closure is None or closure.is_over(now):
        return refuse("unknown_closure", f"no closure {command.closure_id} is in force in {state.region}")
    return facts(e.RoadReopened(closure_id=command.closure_id))
