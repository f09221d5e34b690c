"""How much lies in each region at this moment, as Prometheus reads it: what fills up is seen before it is full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId


class Depths(Collector):
    """Register it with the committed states: `metrics.registry.register(Depths(engine.replicas.states))`."""

    def __init__(self, states: Mapping[RegionId, RegionState]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """For each region that this process leads or follows, by what lies there."""
        family = GaugeMetricFamily("dispatch112_open", "What is open in a region", labels=["region", "what"])
        for region, state in self._states.items():
            for what, many in _depths(state).items():
                family.add_metric([region, what], many)
        yield family


def _depths(state: RegionState) -> dict[str, int]:
    return {
        "calls": len(state.calls),
        "calls_waiting": len(state.waiting_calls),
        "incidents": len(state.incidents),
        "incidents_waiting": len(state.waiting),
        "orders": len(state.orders),
        "units_on_shift": sum(state.on_shift.values()),
        "units_to_send": sum(state.sendable.values()),
    }
