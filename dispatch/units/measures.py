"""What the field counts, as Prometheus reads it: collected when asked for, so that counting costs an addition."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatch.field import Field
from dispatch.keeping.tracks import Tracks
from dispatch.writing.positions import Positions

QUANTILES = (0.5, 0.99)


class FieldMeasures(Collector):
    """Register it: `metrics.registry.register(FieldMeasures(field, positions, tracks))`."""

    def __init__(self, field: Field, positions: Positions, tracks: Tracks | None = None) -> None:
        self._field = field
        self._positions = positions
        self._tracks = tracks

    def collect(self) -> Iterable[Metric]:
        field = self._field
        yield _counted("dispatch112_unit_reports", "Reports of units, by kind and fate", field.counts)
        yield _counted("dispatch112_position_messages", "Messages that gave no fix", field.fixes.counts)
        yield _counted("dispatch112_fixes", "Fixes by fate", self._positions.counts)
        yield _counted("dispatch112_orders_sent", "Publications of orders by fate", field.outbox.counts)
        lines = GaugeMetricFamily("dispatch112_broker_up", "Whether the line to the broker is up", labels=["line"])
        lines.add_metric(["reports"], float(field.line.up))
        lines.add_metric(["positions"], float(field.position_line.up))
        yield lines
        yield from self._latencies()
        if self._tracks is not None:
            written = CounterMetricFamily("dispatch112_track_points", "Thinned positions", labels=["fate"])
            written.add_metric(["written"], self._tracks.written)
            written.add_metric(["dropped"], self._tracks.dropped)
            yield written

    def _latencies(self) -> Iterable[Metric]:
        outbox = self._field.outbox
        for stage, latencies in (("published", outbox.to_published), ("delivered", outbox.to_delivered)):
            gauge = GaugeMetricFamily(
                f"dispatch112_order_{stage}_seconds", f"From an order's commit until {stage}", labels=["quantile"]
            )
            for share in QUANTILES:
                took_ms = latencies.quantile_ms(share)
                if took_ms is not None:
                    gauge.add_metric([str(share)], took_ms / 1000)
            yield gauge


def _counted(name: str, help_text: str, counts: msgspec.Struct) -> CounterMetricFamily:
    """A counter of our own struct's fields, one label each."""
    family = CounterMetricFamily(name, help_text, labels=["fate"])
    for fate in counts.__struct_fields__:
        family.add_metric([fate], float(getattr(counts, fate)))
    return family
