"""What a benchmark makes of its raw times: latencies from the moment a call was due, and memory's slope.

Whoever was not served by the end of a measurement is in its latencies as well, as long as they have waited.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Self

import msgspec

from simulators.bench_fleet import Fleet
from simulators.bench_traffic import Sent
from simulators.exposition import Reading, depths, read
from simulators.lean import Watcher
from simulators.report import Samples

MEMORY_EVERY_S = 2.0
STALL_S = 0.010
NAP_S = 0.002
LOOK_S = 0.5


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


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """How long each waited, in seconds. `unserved` of them wait still, and count with the time until the end of the
    measurement: whoever is never served makes no figure look better.
    """

    seconds: list[float]
    unserved: int

    @property
    def served(self) -> int:
        return len(self.seconds) - self.unserved


def waited(times: Iterable[tuple[float, float | None]], until_s: float) -> Waited:
    """Each by when it was due and when it was served, None: not until the end (monotonic)."""
    known = list(times)
    return Waited(
        seconds=[(until_s if served_s is None else served_s) - due_s for due_s, served_s in known],
        unserved=sum(served_s is None for _, served_s in known),
    )


def answers(calls: Sequence[Sent], not_kept: Sequence[float], until_s: float) -> Waited:
    """For each call the seconds until it was kept; `not_kept`: when those were due that never were."""
    times: list[tuple[float, float | None]] = [(due_s, None) for due_s in not_kept]
    return waited([*((call.due_s, call.kept_s) for call in calls), *times], until_s)


def seen(calls: Sequence[Sent], watchers: Sequence[Watcher], until_s: float) -> Waited:
    """For each call and each console that watches its region, the seconds until that console had it."""
    return waited(((call.due_s, at_s) for call, times in _seen(calls, watchers) for at_s in times), until_s)


def seen_by_all(calls: Sequence[Sent], watchers: Sequence[Watcher], until_s: float) -> Waited:
    """For each call that some console is there for, the seconds until every such console had it."""
    return waited(((call.due_s, _last(times)) for call, times in _seen(calls, watchers) if times), until_s)


def _last(times: Sequence[float | None]) -> float | None:
    """The latest of these moments; None when one has not come."""
    known = [at_s for at_s in times if at_s is not None]
    return max(known) if len(known) == len(times) else None


def _seen(calls: Sequence[Sent], watchers: Sequence[Watcher]) -> Iterator[tuple[Sent, list[float | None]]]:
    """Each call with when each console that watches its region had it."""
    watching: dict[str, list[Watcher]] = {}
    for call in calls:
        if call.region not in watching:
            watching[call.region] = [watcher for watcher in watchers if watcher.watches(call.region)]
        yield call, [_seen_s(call, watcher) for watcher in watching[call.region]]


def _seen_s(call: Sent, watcher: Watcher) -> float | None:
    if call.spooled:
        return None
    numbers, times = watcher.came.get(call.region.encode(), ((), ()))
    place = bisect_left(numbers, call.seq)
    return times[place] if place < len(numbers) else None


def latency(seconds: Sequence[float]) -> dict[str, float | int | None]:
    samples = Samples()
    samples.seconds = list(seconds)
    found: dict[str, float | int | None] = msgspec.structs.asdict(samples.latency())
    return found


def first_orders(calls: Sequence[Sent], ordered: Mapping[str, float], until_s: float) -> Waited:
    """For each call that opened an incident, the seconds until its first unit had its order."""
    firsts = firsts_of(ordered)
    return waited(((call.due_s, firsts.get(call.incident_id or "")) for call in calls if call.opened), until_s)


def waits(calls: Sequence[Sent], ordered: Mapping[str, float], until_s: float) -> Waited:
    """For each P1 incident, the seconds from its first call to its first unit's order."""
    return first_orders([call for call in calls if call.urgent], ordered, until_s)


async def settled(
    calls: Sequence[Sent], watchers: Sequence[Watcher], ordered: Mapping[str, float], limit_s: float
) -> float:
    """Wait until every call is on the consoles and every incident it opened has its order, at most so long; when that
    was (monotonic).
    """
    give_up_s = monotonic() + limit_s
    while True:
        firsts = firsts_of(ordered)
        calls = [
            call
            for call, times in _seen(calls, watchers)
            if None in times or (call.opened and call.incident_id not in firsts)
        ]
        if not calls or monotonic() > give_up_s:
            return monotonic()
        await asyncio.sleep(LOOK_S)


def faults_of(fleet: Fleet, watchers: Sequence[Watcher]) -> list[str]:
    """Why a measurement counts for nothing: the clients that it rests on were cut off."""
    found = []
    if fleet.broken:
        found.append("the fleet was cut off from the broker: its orders were not heard, its positions not sent")
    broken = sum(watcher.broken for watcher in watchers)
    if broken:
        found.append(f"{broken} of {len(watchers)} consoles were cut off")
    return found


def firsts_of(ordered: Mapping[str, float]) -> dict[str, float]:
    """Incident -> when the first order about it was heard. An assignment is named after its incident."""
    firsts: dict[str, float] = {}
    for assignment_id, at_s in ordered.items():
        incident_id = assignment_id.partition(".")[0]
        firsts[incident_id] = min(at_s, firsts.get(incident_id, at_s))
    return firsts
