"""What a benchmark makes of its raw times: latencies from the moment a call was due, memory's slope, CPU by stage."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Self

import msgspec

from simulators.bench_traffic import Sent
from simulators.exposition import Reading, depths, read
from simulators.lean import Watcher
from simulators.report import Samples

MEMORY_EVERY_S = 2.0
STALL_S = 0.010
NAP_S = 0.002


class Stalls:
    """When this machine ran nothing of ours though it should have: a shared one stops now and then for everybody.

    A thread that does nothing but sleep is late by as much. It says how far a latency is the machine's.
    """

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def report(self, calls: Sequence[Sent]) -> dict[str, float | int]:
        """How many, the longest, their sum, and how many calls were on their way during one."""
        hit = sum(any(call.due_s < end_s and begin_s < call.kept_s for begin_s, end_s in self._found) for call in calls)
        lengths = [end_s - begin_s for begin_s, end_s in self._found]
        return {
            "stalls_over_10_ms": len(lengths),
            "longest_ms": round(1000 * max(lengths, default=0.0), 1),
            "together_ms": round(1000 * sum(lengths), 1),
            "calls_on_their_way": hit,
        }

    def _watch(self) -> None:
        last_s = monotonic()
        while not self._ended.wait(NAP_S):
            now_s = monotonic()
            if now_s - last_s > STALL_S + NAP_S:
                self._found.append((last_s, now_s))
            last_s = now_s


async def watch_memory(urls: Sequence[str], readings: list[Reading]) -> None:
    while True:
        readings.append(await read(*urls))
        await asyncio.sleep(MEMORY_EVERY_S)


def slope_per_minute(readings: Sequence[Reading]) -> float | None:
    """Growth of resident memory in MB a minute: least squares over the second half, when caches are full."""
    half = readings[len(readings) // 2 :]
    if len(half) < 3:
        return None
    mean_s = sum(r.at_s for r in half) / len(half)
    mean_mb = sum(r.memory_mb for r in half) / len(half)
    over = sum((r.at_s - mean_s) * (r.memory_mb - mean_mb) for r in half)
    return round(60 * over / sum((r.at_s - mean_s) ** 2 for r in half), 2)


def by_quarter(readings: Sequence[Reading]) -> dict[str, list[float]]:
    """Resident memory in MB and what was open in all regions, at the ends of the four quarters: whether memory grows
    on, or with what is open, or only while caches fill.
    """
    if len(readings) < 4:
        return {}
    ends = [readings[len(readings) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)]
    opened = [depths(reading) for reading in ends]
    return {"memory_mb": [round(reading.memory_mb, 1) for reading in ends]} | {
        what: [depth[what] for depth in opened] for what in opened[-1]
    }


def seen(calls: Sequence[Sent], watchers: Sequence[Watcher]) -> list[float]:
    """For each call and each console, the seconds until that console had it."""
    return [seen_s - call.due_s for w in watchers for call in calls if (seen_s := _seen_s(call, w)) is not None]


def seen_by_all(calls: Sequence[Sent], watchers: Sequence[Watcher]) -> list[float]:
    """For each call, the seconds until every console had it."""
    found = []
    for call in calls:
        times = [_seen_s(call, watcher) for watcher in watchers]
        known = [at_s for at_s in times if at_s is not None]
        if known and len(known) == len(times):
            found.append(max(known) - call.due_s)
    return found


def _seen_s(call: Sent, watcher: Watcher) -> float | None:
    numbers, times = watcher.came.get(call.region.encode(), ((), ()))
    place = bisect_left(numbers, call.seq)
    return times[place] if place < len(numbers) else None


def latency(seconds: Sequence[float]) -> dict[str, float | int | None]:
    samples = Samples()
    samples.seconds = list(seconds)
    found: dict[str, float | int | None] = msgspec.structs.asdict(samples.latency())
    return found


def own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def first_orders(calls: Sequence[Sent], ordered: Mapping[str, float]) -> list[float]:
    """For each call that opened an incident, the seconds until its first unit had its order."""
    firsts = firsts_of(ordered)
    return [firsts[c.incident_id] - c.due_s for c in calls if c.opened and c.incident_id in firsts]


def waits(calls: Sequence[Sent], ordered: Mapping[str, float]) -> list[float]:
    """For each P1 incident, the seconds from its first call to its first unit's order."""
    firsts = firsts_of(ordered)
    return [firsts[c.incident_id] - c.due_s for c in calls if c.opened and c.urgent and c.incident_id in firsts]


def firsts_of(ordered: Mapping[str, float]) -> dict[str, float]:
    """Incident -> when the first order about it was heard. An assignment is named after its incident."""
    firsts: dict[str, float] = {}
    for assignment_id, at_s in ordered.items():
        incident_id = assignment_id.partition(".")[0]
        firsts[incident_id] = min(at_s, firsts.get(incident_id, at_s))
    return firsts
