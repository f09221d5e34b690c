"""How long each stage of a call's way takes, summed: for the benchmark's table and for the metrics page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Stage(msgspec.Struct):
    """What one stage has cost so far."""

    count: int = 0
    seconds: float = 0.0

    @property
    def mean_us(self) -> float:
        """Microseconds a time, 0 when it never ran."""
        return self.seconds / self.count * 1e6 if self.count else 0.0


class Stages:
    """Named stop-watches. Only synchronous stretches are timed, so the sums are time on the processor."""

    def __init__(self) -> None:
        self.named: dict[str, Stage] = {}

    def add(self, name: str, seconds: float) -> None:
        """Note one run of a stage."""
        stage = self.named.get(name)
        if stage is None:
            stage = self.named[name] = Stage()
        stage.count += 1
        stage.seconds += seconds

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block, whether it succeeds or raises."""
        began = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - began)

    def table(self) -> dict[str, dict[str, float]]:
        """Stage → how often it ran and its mean cost in microseconds."""
        return {name: {"count": s.count, "mean_us": round(s.mean_us, 1)} for name, s in self.named.items()}


class StageMeasures(Collector):
    """The stop-watches on the metrics page."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        """Seconds and runs of each stage so far."""
        seconds = CounterMetricFamily("dispatch112_stage_seconds", "Time in a stage of a call's way", labels=["stage"])
        runs = CounterMetricFamily("dispatch112_stage_runs", "How often a stage ran", labels=["stage"])
        for name, stage in self._stages.named.items():
            seconds.add_metric([name], stage.seconds)
            runs.add_metric([name], stage.count)
        yield seconds
        yield runs
