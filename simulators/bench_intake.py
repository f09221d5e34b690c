"""`dispatch112 bench intake`: calls at a fixed rate, open loop, while units report and consoles watch.

The service runs as a child process in a fresh directory with its own database and broker, a whole country in
it; everything else runs here. Of the calls nine in ten are about one of a few large fires, as in a bad hour;
the rest are new incidents, for which units are chosen, and calls that wait for a call taker.

A call is *kept* when its 201 has arrived, *on the console* when a board has received the delta that reaches
the number in that answer; both are measured from the moment its request was due, so that a stall of either
side counts in full.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import tempfile
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import msgspec

from consoles.demo_accounts import FILE
from consoles.serve import run_loop
from dispatch.core.terms import UnitId
from dispatch.errors import ServiceAway
from dispatch.formats.mqtt import Order
from dispatch.services import running_addresses
from routing.geometry import Point, from_local_m, to_lonlat
from simulators.arrivals import shares
from simulators.checking import kept_calls
from simulators.client import Client, Counts
from simulators.country import SHARE, UnitSpec, roster
from simulators.exposition import Reading, read, stages
from simulators.lean import Poster, Watcher, watch
from simulators.radio import Radio, RadioPlan
from simulators.report import Samples
from simulators.sites import chosen, sites, somewhere

JOINING, OPENING = 0.90, 0.04
"""Shares of the calls; the rest waits for a call taker."""
FIRES = 12
FIRE_REACH_M = 60.0
WARM_UP_S = 5.0
WARM_UP_SHARE = 0.25
REPORT_EVERY_S = 5.0
TICKS = 100
UNITS_A_RADIO = 500
MEMORY_EVERY_S = 2.0
START_LIMIT_S, ANSWERS_LIMIT_S, STOP_LIMIT_S = 180.0, 15.0, 60.0
GOALS_MS = {"call_to_commit_ms": 25.0, "call_to_console_ms": 100.0}


class Sent(msgspec.Struct, frozen=True):
    """A call that was kept: when it was due, when its answer came, and where its delta is to be looked for."""

    due_s: float
    kept_s: float
    call_id: str
    region: str
    seq: int


class _Receipt(msgspec.Struct):
    call_id: str
    region: str
    seq: int


_receipt = msgspec.json.Decoder(_Receipt).decode


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Start everything, measure, stop everything."""
    with tempfile.TemporaryDirectory(prefix="dispatch112-bench-") as home:
        return run_loop(_measured(args, Path(home)))


async def _measured(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    share = share_for(args.units, args.seed)
    async with _service(home, args.seed, share) as url:
        credentials = json.loads((home / FILE).read_text())
        addresses = running_addresses(home)
        assert addresses is not None, "the service has just said that it is ready"
        units = roster(args.seed, share)[: args.units]
        async with _units(units, addresses.mqtt_url) as radios:
            watchers = [await watch(url, credentials["dispatcher"]["token"]) for _ in range(args.consoles)]
            try:
                return await _run(args, url, credentials, (radios, watchers))
            finally:
                for watcher in watchers:
                    watcher.close()


def share_for(units: int, seed: int) -> float:
    """The share of the national fleet that has at least so many units."""
    share = SHARE
    while len(roster(seed, share)) < units:
        share *= 1.05
    return share


async def _run(
    args: argparse.Namespace,
    url: str,
    credentials: dict[str, Any],
    others: tuple[list[Radio], list[Watcher]],
) -> dict[str, Any]:
    radios, watchers = others
    poster = Poster(url, credentials["device"]["token"])
    calls = _Calls(poster, args.seed)
    await calls.place(args.calls_per_second * WARM_UP_SHARE, WARM_UP_S)
    warm = len(calls.kept)
    gc.collect()
    gc.freeze()
    memory: list[Reading] = []
    watching = asyncio.create_task(_watch_memory(url, memory))
    frames, positions = _frames(watchers), _positions(radios)
    before, began_cpu_s = await read(url), _own_cpu_s()
    began_s = monotonic()
    await calls.place(args.calls_per_second, args.seconds)
    lasted_s = monotonic() - began_s
    after, own_cpu_s = await read(url), _own_cpu_s() - began_cpu_s
    watching.cancel()
    frames, positions = _frames(watchers) - frames, _positions(radios) - positions
    await calls.answered(ANSWERS_LIMIT_S)
    await asyncio.sleep(1.0)
    client = Client(url, credentials["supervisor"]["token"], Counts())
    try:
        kept = await kept_calls(client, [call.call_id for call in calls.kept])
    finally:
        await client.close()
        poster.close()
    measured = calls.kept[warm:]
    return {
        "calls_per_second": args.calls_per_second,
        "seconds": round(lasted_s, 1),
        "units": args.units,
        "consoles": args.consoles,
        "processors": len(os.sched_getaffinity(0)),
        "calls_sent": calls.sent,
        "calls_accepted": len(calls.kept),
        "calls_measured": len(measured),
        "calls_not_accepted": calls.sent - len(calls.kept),
        "calls_lost": len(kept.lost),
        "call_to_commit_ms": _latency([call.kept_s - call.due_s for call in measured]),
        "call_to_console_ms": _latency(_seen(measured, watchers)),
        "call_to_slowest_console_ms": _latency(_seen_by_all(measured, watchers)),
        "goals_p99_ms": GOALS_MS,
        "positions_per_second": round(positions / lasted_s, 1),
        "frames_per_second": round(frames / lasted_s, 1),
        "consoles_broken": sum(watcher.broken for watcher in watchers),
        "connections": poster.opened,
        "memory_start_mb": round(before.memory_mb, 1),
        "memory_end_mb": round(after.memory_mb, 1),
        "memory_slope_mb_per_minute": slope_per_minute(memory),
        "service_cpu_us_per_call": round(1e6 * (after.cpu_s - before.cpu_s) / len(measured), 1),
        "service_cpu_percent": round(100 * (after.cpu_s - before.cpu_s) / lasted_s, 1),
        "generator_cpu_percent": round(100 * own_cpu_s / lasted_s, 1),
        "cpu_us_per_call_by_stage": {
            name: round(1e6 * seconds / len(measured), 2) for name, (seconds, _) in stages(before, after).items()
        },
        "stage_runs": {name: int(runs) for name, (_, runs) in stages(before, after).items()},
    }


class _Calls:
    """Calls at a rate, each sent when it is due, whether or not the ones before are answered."""

    def __init__(self, poster: Poster, seed: int) -> None:
        self.sent = 0
        self.kept: list[Sent] = []
        self._poster = poster
        self._rng = Random(f"{seed}:bench")
        self._tasks: set[asyncio.Task[None]] = set()
        self._regions = list(shares())
        self._weights = list(shares().values())
        self._fires = [self._place() for _ in range(FIRES)]

    async def place(self, per_second: float, seconds: float) -> None:
        """Poisson arrivals for so long."""
        due_s, until_s = monotonic(), monotonic() + seconds
        loop = asyncio.get_running_loop()
        while True:
            due_s += self._rng.expovariate(per_second)
            if due_s > until_s:
                return
            body = self._body()
            wait_s = due_s - monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            task = loop.create_task(self._call(body, due_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def answered(self, limit_s: float) -> None:
        """Wait for the answers that are still under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)

    async def _call(self, body: bytes, due_s: float) -> None:
        self.sent += 1
        with contextlib.suppress(OSError):
            reply = await self._poster.post("/api/v1/calls", body, f"bench-{self.sent}")
            if reply.status == 201:
                said = _receipt(reply.body)
                self.kept.append(Sent(due_s, reply.at_s, said.call_id, said.region, said.seq))

    def _body(self) -> bytes:
        rng = self._rng
        draw = rng.random()
        number = f"+99890{rng.randrange(10_000_000):07d}"
        caller = {"number": number, "language": "uz-Latn"}
        if draw < JOINING:
            fire = rng.choice(self._fires)
            point = from_local_m(fire, rng.gauss(0, FIRE_REACH_M), rng.gauss(0, FIRE_REACH_M))
            return _encoded("app", caller, point, "building_fire")
        if draw < JOINING + OPENING:
            return _encoded("app", caller, self._place(), "illness")
        return _encoded("voice", caller, self._place(), None)

    def _place(self) -> Point:
        region = self._rng.choices(self._regions, self._weights)[0]
        return somewhere(chosen(sites(region), self._rng), self._rng)


def _encoded(channel: str, caller: dict[str, str], point: Point, incident_type: str | None) -> bytes:
    source, accuracy_m = ("app", 15.0) if channel == "app" else ("cell", 800.0)
    evidence = {"source": source, "point": {"type": "Point", "coordinates": to_lonlat(point)}}
    body: dict[str, Any] = {
        "channel": channel,
        "caller": caller,
        "location": [evidence | {"accuracy_m": accuracy_m}],
    }
    if incident_type is not None:
        body["incident_type"] = incident_type
    return msgspec.json.encode(body)


@asynccontextmanager
async def _service(home: Path, seed: int, share: float) -> AsyncIterator[str]:
    """The service as a child process; yields its address."""
    words = [
        "demo",
        "--no-load",
        "--port",
        "0",
        "--data-dir",
        str(home),
        "--seed",
        str(seed),
        "--share",
        str(share),
    ]
    log = (home / "service.log").open("wb")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatch", *words,
        stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        yield await asyncio.wait_for(_address(child.stdout), START_LIMIT_S)
    except TimeoutError:
        raise ServiceAway(f"the service did not start within {START_LIMIT_S:.0f} s") from None
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), STOP_LIMIT_S)
        except TimeoutError:
            child.kill()
            await child.wait()
        log.close()


async def _address(said: asyncio.StreamReader) -> str:
    """The address that the demo prints beside the word console."""
    async for line in said:
        words = line.decode().split()
        if words[:1] == ["console"]:
            return words[1]
    raise ServiceAway("the service ended before it was ready")


@asynccontextmanager
async def _units(units: Sequence[UnitSpec], mqtt_url: str) -> AsyncIterator[list[Radio]]:
    """Units that stand at their stations, say so every five seconds, and accept every order at once."""
    radios: list[Radio] = []
    accepting: set[asyncio.Task[None]] = set()

    def accept(unit_id: UnitId, order: Order) -> None:
        radio = owners[unit_id]
        task = asyncio.get_running_loop().create_task(radio.ack(unit_id, order.order_id, "accepted"))
        accepting.add(task)
        task.add_done_callback(accepting.discard)

    for start in range(0, len(units), UNITS_A_RADIO):
        names = tuple(unit.unit_id for unit in units[start : start + UNITS_A_RADIO])
        radios.append(Radio(RadioPlan(url=mqtt_url, name=f"bench-{start}", units=names), on_order=accept))
    owners = {unit.unit_id: radios[n // UNITS_A_RADIO] for n, unit in enumerate(units)}
    tasks = [asyncio.create_task(radio.run()) for radio in radios]
    try:
        for radio in radios:
            await asyncio.wait_for(radio.ready(), START_LIMIT_S)
        for unit in units:
            await owners[unit.unit_id].position(unit.unit_id, unit.at)
        tasks.append(asyncio.create_task(_report(units, owners)))
        yield radios
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _report(units: Sequence[UnitSpec], owners: dict[UnitId, Radio]) -> None:
    """Each unit's fix every five seconds, jittered so that every one has moved."""
    rng = Random(1)
    began_s, tick = monotonic(), 0
    while True:
        for unit in units[tick % TICKS :: TICKS]:
            at = Point(unit.at.lat + rng.uniform(-1e-4, 1e-4), unit.at.lon + rng.uniform(-1e-4, 1e-4))
            await owners[unit.unit_id].position(unit.unit_id, at, speed_mps=3.0, heading_deg=90.0)
        tick += 1
        await asyncio.sleep(max(0.0, began_s + tick * REPORT_EVERY_S / TICKS - monotonic()))


async def _watch_memory(url: str, readings: list[Reading]) -> None:
    while True:
        readings.append(await read(url))
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


def _seen(calls: Sequence[Sent], watchers: Sequence[Watcher]) -> list[float]:
    """For each call and each console, the seconds until that console had it."""
    return [seen_s - call.due_s for w in watchers for call in calls if (seen_s := _seen_s(call, w)) is not None]


def _seen_by_all(calls: Sequence[Sent], watchers: Sequence[Watcher]) -> list[float]:
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


def _latency(seconds: Sequence[float]) -> dict[str, float | int | None]:
    samples = Samples()
    samples.seconds = list(seconds)
    found: dict[str, float | int | None] = msgspec.structs.asdict(samples.latency())
    return found


def _frames(watchers: Sequence[Watcher]) -> int:
    return sum(watcher.frames for watcher in watchers)


def _positions(radios: Sequence[Radio]) -> int:
    return sum(radio.counts.positions for radio in radios)


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system
