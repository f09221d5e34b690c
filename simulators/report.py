"""What a load has measured: one JSON object whose keys name their units, and how its figures come about.

Latencies are wall time, seen from outside. Nothing here speaks to the service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

SERVED_AFTER = timedelta(minutes=45)
"""Incidents assigned longer ago than this, in service time, are expected to be cleared."""
SAMPLES_MOST = 1_000_000
INCIDENTS_MOST = 100_000
AT_ONCE_S = 3.0
"""An incident whose first unit was assigned so soon (service time) did not wait for one to become free."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution in milliseconds of wall time."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    samples: int


class Samples:
    """Durations of one kind, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def add(self, seconds: float) -> None:
        if len(self.seconds) < SAMPLES_MOST:
            self.seconds.append(seconds)

    def latency(self) -> Latency:
        ordered = sorted(self.seconds)
        return Latency(
            p50=_quantile_ms(ordered, 0.5),
            p90=_quantile_ms(ordered, 0.9),
            p99=_quantile_ms(ordered, 0.99),
            max=_quantile_ms(ordered, 1.0),
            samples=len(ordered),
        )


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `demo` and `load`."""

    calls_accepted: int
    calls_located: int
    incidents_opened: int
    incidents_assigned: int
    incidents_cleared: int
    calls_lost: int
    double_assignments: int
    refused: int
    call_to_commit_ms: Latency
    call_to_console_ms: Latency
    call_to_order_delivered_ms: Latency
    """Where the system assigned by itself and had a unit at once: the way of an order. Incidents that waited for a unit
    are not in it; `details.kept_waiting_for_a_unit` says how many.
    """
    incidents_assigned_over_45_min_ago: int
    of_those_cleared: int
    of_those_cleared_percent: float | None
    seconds: float
    service_minutes: float
    speed: float
    seed: int
    calls_offered: int
    calls_not_accepted: int
    calls_lost_ids: list[str]
    refused_by_code: dict[str, int]
    details: dict[str, Any]

    @property
    def clean(self) -> bool:
        """Nothing that was promised is missing."""
        return self.calls_lost == 0 and self.double_assignments == 0

    def write(self, path: Path) -> None:
        """Write it as indented JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


class Course(msgspec.Struct, kw_only=True):
    """What the boards have shown of one incident. Times are service time."""

    region: str
    opened_at: datetime
    assigned_at: datetime | None = None
    sent_s: float | None = None
    """When the call or the classification that opened it was sent, by the monotonic clock."""
    ordered_s: float | None = None

    @property
    def at_once(self) -> bool:
        """Whether a unit was there as soon as it was opened."""
        return self.assigned_at is not None and (self.assigned_at - self.opened_at).total_seconds() < AT_ONCE_S


class Courses:
    """All incidents of a load, from the boards, and any unit that was seen on two of them at once."""

    def __init__(self, begun_at: datetime) -> None:
        self.begun_at = begun_at
        self.seen: dict[str, Course] = {}
        self.double: set[tuple[str, ...]] = set()
        self._openings: dict[str, float] = {}
        self._orders: dict[str, float] = {}
        self._holders: dict[str, dict[str, str]] = {}
        self._units: dict[str, list[tuple[str, str]]] = {}

    def row(self, region: str, incident_id: str, row: Mapping[str, Any] | None) -> list[str]:
        """An incident's row on the board, or None when it left; the units that its row concerned."""
        before = self._units.pop(incident_id, [])
        for unit_id, _ in before:
            self._holders[unit_id].pop(incident_id, None)
        now = [] if row is None else [(unit["unit_id"], unit["assignment_id"]) for unit in row["units"]]
        for unit_id, assignment_id in now:
            self._holders.setdefault(unit_id, {})[incident_id] = assignment_id
        if now:
            self._units[incident_id] = now
        if row is not None:
            self._note(region, incident_id, row)
        return [unit_id for unit_id, _ in now]

    def check(self, units: Sequence[str]) -> None:
        """Called when a whole delta is taken in: between its rows a unit may seem to be in two places."""
        for unit_id in units:
            held = self._holders.get(unit_id, {})
            if len(held) > 1:
                self.double.add((unit_id, *sorted(held.values())))

    def opening(self, incident_id: str, sent_s: float) -> None:
        """A request of ours opened this incident."""
        self._openings.setdefault(incident_id, sent_s)

    def order(self, incident_id: str, at_s: float) -> None:
        """An order for this incident reached a unit; the first counts."""
        self._orders.setdefault(incident_id, at_s)

    def delivered(self, automatic: Mapping[str, bool]) -> Samples:
        """From opening to the first order, where the system assigned by itself and had a unit at once."""
        samples = Samples()
        for incident_id, course in self._assigned_by_system(automatic):
            ordered_s = self._orders.get(incident_id)
            if ordered_s is not None and course.at_once:
                samples.add(ordered_s - self._openings[incident_id])
        return samples

    def kept_waiting(self, automatic: Mapping[str, bool]) -> int:
        """How many incidents were left out there, because no unit was to be had at once, or none so far."""
        return sum(not course.at_once for _, course in self._assigned_by_system(automatic))

    def _assigned_by_system(self, automatic: Mapping[str, bool]) -> Iterator[tuple[str, Course]]:
        """What requests of ours opened in regions where no person confirms."""
        for incident_id in self._openings:
            course = self.seen.get(incident_id)
            if course is not None and automatic.get(course.region):
                yield incident_id, course

    def ours(self) -> dict[str, Course]:
        """Incidents opened since the load began."""
        return {i: course for i, course in self.seen.items() if course.opened_at >= self.begun_at}

    def old(self, now: datetime) -> list[str]:
        """Of ours, those that were assigned more than 45 service minutes ago."""
        return [i for i, c in self.ours().items() if c.assigned_at is not None and now - c.assigned_at > SERVED_AFTER]

    def _note(self, region: str, incident_id: str, row: Mapping[str, Any]) -> None:
        course = self.seen.get(incident_id)
        if course is None:
            if len(self.seen) >= INCIDENTS_MOST:
                self._forget(next(iter(self.seen)))
            opened_at = datetime.fromisoformat(row["opened_at"])
            course = self.seen[incident_id] = Course(region=region, opened_at=opened_at)
        if course.assigned_at is None and row["units"]:
            course.assigned_at = min(datetime.fromisoformat(unit["assigned_at"]) for unit in row["units"])

    def _forget(self, incident_id: str) -> None:
        """The oldest gives way, so that a demo may run for weeks."""
        del self.seen[incident_id]
        self._openings.pop(incident_id, None)
        self._orders.pop(incident_id, None)


def _quantile_ms(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
