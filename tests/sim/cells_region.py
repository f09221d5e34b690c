"""One region of a small world of cells: a state that runs ahead, a committed one, and what a crash leaves."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core.assigning import candidates
from dispatch.core.decide import decide
from dispatch.core.evolve import evolve
from dispatch.core.followups import wishes
from dispatch.core.invariants import broken_near
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, IncidentId, Reach, RegionId, UnitId
from dispatch.core.verdict import Decision


class Broken(AssertionError):
    """Something that must always be so is not."""


class Region:
    """A state ahead, a committed one, and the journal's bytes of the committed."""

    def __init__(self, region: RegionId) -> None:
        self.live = RegionState(region)
        self.committed = RegionState(region)
        self.journal: list[tuple[bytes, datetime]] = []
        self._pending: list[tuple[bytes, datetime]] = []

    def submit(self, command: c.Command, now: datetime) -> list[e.Event] | None:
        """Decide on the state ahead; the events, or None for a refusal."""
        verdict = decide(self.live, command, now)
        if not isinstance(verdict, Decision):
            return None
        events = self._record(verdict, now)
        self.look(wishes(self.live, events), now)
        self._check()
        return events

    def look(self, incidents: list[IncidentId], now: datetime) -> None:
        """Send units to these, all equally far."""
        for incident_id in incidents:
            units = candidates(self.live, self.live.incidents[incident_id])
            asked = c.Dispatch(actor=SYSTEM, incident_id=incident_id, reach=_reach(units))
            verdict = decide(self.live, asked, now)
            if isinstance(verdict, Decision):
                self._record(verdict, now)

    def commit(self) -> None:
        """What was decided becomes what everybody may know."""
        for payload, at in self._pending:
            evolve(self.committed, e.decode(payload), at)
            self.journal.append((payload, at))
        self._pending.clear()

    def crash(self) -> None:
        """The process dies: what was not committed never was."""
        self._pending.clear()
        self.live = snapshot.restore(snapshot.take(self.committed))

    def replayed(self) -> RegionState:
        """The state from the journal alone."""
        state = RegionState(self.live.region)
        for payload, at in self.journal:
            evolve(state, e.decode(payload), at)
        return state

    def _record(self, decision: Decision, now: datetime) -> list[e.Event]:
        for event in decision.events:
            self._pending.append((e.encode(event), now))
            evolve(self.live, event, now)
        return list(decision.events)

    def _check(self) -> None:
        faults = broken_near(self.live, self.live.taken())
        if faults:
            raise Broken(f"{self.live.region}: {faults[0]}")


def _reach(units: tuple[UnitId, ...]) -> Reach:
    count = len(units)
    return Reach(
        units=units,
        ms=np.full(count, 60_000, dtype=np.int32),
        edges=np.arange(count, dtype=np.int32),
        offsets=np.zeros(count, dtype=np.float32),
        age_s=np.ones(count, dtype=np.float32),
    )
