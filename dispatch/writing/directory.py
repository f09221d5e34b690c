"""Which region has a call, an incident or a unit, asked of the states that this process writes or follows."""

from __future__ import annotations

from dispatch.core.closure_terms import ClosureId
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, HazardId, IncidentId, RegionId, UnitId


class Directory:
    """Looks names up over a handful of regions: fourteen dictionary look-ups cost under a microsecond."""

    def __init__(self) -> None:
        self.states: dict[RegionId, RegionState] = {}
        self._unit_region: dict[UnitId, RegionId] = {}

    def region_of_call(self, call_id: CallId) -> RegionId | None:
        """Where an open or lately closed call is. One on its way to another region is still where it was, and one that
        went to another cell, and did not come home, where it last was.
        """
        for region, state in self.states.items():
            if call_id in state.calls:
                return region
        closed = {r: state.closed_calls[call_id] for r, state in self.states.items() if call_id in state.closed_calls}
        return min(closed, key=lambda region: closed[region].moving_to is not None, default=None)

    def region_of_incident(self, incident_id: IncidentId) -> RegionId | None:
        """Where an open or lately closed incident is."""
        return next((r for r, s in self.states.items() if s.incident(incident_id) is not None), None)

    def region_of_hazard(self, hazard_id: HazardId) -> RegionId | None:
        """The region that a hazard's id names, whether it still stands or not."""
        letters = hazard_id.partition("-")[0]
        return next((r for r, s in self.states.items() if s.letters == letters), None)

    def region_of_closure(self, closure_id: ClosureId) -> RegionId | None:
        """The region that keeps a closure."""
        return next((r for r, s in self.states.items() if closure_id in s.closures), None)

    def region_of_unit(self, unit_id: UnitId) -> RegionId | None:
        """The home region of a unit. Asked for every position, so the answer is kept."""
        state = self.states.get(self._unit_region.get(unit_id, RegionId("")))
        if state is not None and unit_id in state.units:
            return state.region
        region = next((r for r, state in self.states.items() if unit_id in state.units), None)
        if region is not None:
            self._unit_region[unit_id] = region
        return region
