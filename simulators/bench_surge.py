"""`dispatch112 bench surge`: the worst days, on one machine. Four parts, each with a service of its own.

  hour        100 calls/s for an hour, nearly all about things known already; 20,000 units, 1,000 consoles. How long a
              P1 waits for its first unit is compared with a normal hour's rate, measured first.
  queue       100,000 incidents wait for units that do not exist; then calls come in as ever.
  saturation  every call opens an incident: call → commit → recommendation → order → console, at rates that rise until
              the consoles fall behind, or calls do; crews are free again after a second.
  life        the same with crews that take a hundredth of their usual time.

`--processes 2` puts the consoles on a gateway process of their own. With `--sharing N` so many core processes lead the
regions; calls come to their doors by turns, whoever leads, and consoles are spread over them. What a goal misses is
said with the CPU microseconds a call by stage, added up over the core processes, so that one can see what stands in
the way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from consoles.demo_accounts import FILE
from consoles.serve import run_to_end
from dispatch.errors import UserMistake
from dispatch.services import running_addresses
from simulators.arrivals import shares
from simulators.bench_fleet import Fleet, on_the_road
from simulators.bench_measures import (
    by_quarter,
    first_orders,
    latency,
    own_cpu_s,
    seen,
    slope_per_minute,
    waits,
    watch_memory,
)
from simulators.bench_service import gateway, partner, service, shared
from simulators.bench_traffic import Calls, Mix
from simulators.checking import kept_calls
from simulators.client import Client, Counts
from simulators.country import roster, share_for
from simulators.exposition import Reading, read, stages
from simulators.lean import Poster, Watcher, watch

NORMAL_CALLS_A_S = 1.0
"""The country's mean rate: field.md derives 0.55 to 1.4 a second."""
NORMAL_S = 300.0
"""For so long a normal hour's P1 waits are measured, twenty times as fast as they come: some sixty of them."""
NORMAL = Mix(joining=0.0, opening=0.05)
SURGE = Mix(joining=0.95, opening=0.03)
ALL_NEW = Mix(joining=0.0, opening=1.0)
FULL_LIFE_S = 40.0
"""field.md's medians of turnout, drive, scene, transport and hospital, 4,019 s, divided by a hundred."""
STEP_S, STEPS_MOST, STEP_UP = 12.0, 12, 1.25
FIRST_STEP_A_S = 150.0
GOAL_CONSOLE_MS = {"hour": 250.0, "saturation": 100.0, "life": 100.0, "queue": 100.0}
GOALS = {
    "hour": "p99 call to console <= 250 ms, P1 waits <= 1.2 times a normal hour's, none lost",
    "queue": "as ever, with 100,000 incidents waiting",
    "saturation": ">= 1000 calls/s with an order each at p99 <= 100 ms",
    "life": ">= 250 calls/s",
}
TIMED_A_REGION = 2
"""Consoles a region whose frames are timed; the others are only counted, for an hour of a thousand fills memory."""
ANSWERS_LIMIT_S = 20.0
WARM_UP_S = 8.0
FLOOD_A_S = 1_500.0


class Scene(msgspec.Struct, kw_only=True):
    """A running service with everybody who uses it."""

    urls: list[str]
    """Of the core processes."""
    credentials: dict[str, Any]
    fleet: Fleet
    watchers: list[Watcher]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the parts asked for."""
    parts = list(GOALS) if args.part == "all" else [args.part]
    if unknown := set(parts) - set(GOALS):
        raise UserMistake(f"no part {unknown.pop()!r}: there are {', '.join(GOALS)}")
    report: dict[str, Any] = {"processors": len(os.sched_getaffinity(0)), "processes": args.processes}
    report["core_processes"] = args.sharing
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="dispatch112-bench-") as home:
            report[part] = {"goal": GOALS[part]} | run_to_end(PARTS[part](args, Path(home)))
        report["calls_lost"] = report.get("calls_lost", 0) + report[part]["calls_lost"]
    return report


async def _hour(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=20_000, consoles=1_000, on_task_s=FULL_LIFE_S) as scene:
        normal = await _run(scene, NORMAL_CALLS_A_S * 20, min(NORMAL_S, args.hour_seconds), NORMAL)
        surge = await _run(scene, 100.0, args.hour_seconds, SURGE)
    ratio = _ratio(surge["p1_wait_ms"]["p90"], normal["p1_wait_ms"]["p90"])
    return surge | {"normal_p1_wait_ms": normal["p1_wait_ms"], "p1_wait_against_normal_p90": ratio}


async def _queue(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=1_000, consoles=100, on_task_s=3600.0) as scene:
        began_s, flooded = monotonic(), 0
        while flooded < args.waiting:
            flooded += await _flood(scene, min(args.waiting - flooded, 5_000), args.seed + flooded)
        flooding_s = monotonic() - began_s
        under = await _run(scene, 50.0, 60.0, SURGE)
    return under | {"incidents_waiting": flooded, "flooded_per_second": round(flooded / flooding_s, 1)}


async def _flood(scene: Scene, many: int, seed: int) -> int:
    """So many incidents beyond what the units can do, each by a call of its own."""
    calls = _calls(scene, seed, ALL_NEW)
    await calls.place(FLOOD_A_S, many / FLOOD_A_S)
    await calls.answered(600.0)
    calls.close()
    return len(calls.kept)


async def _saturation(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=6_000, consoles=280, on_task_s=1.0) as scene:
        return await _rising(scene, GOAL_CONSOLE_MS["saturation"])


async def _life(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=16_000, consoles=280, on_task_s=FULL_LIFE_S) as scene:
        return await _rising(scene, GOAL_CONSOLE_MS["life"])


async def _rising(scene: Scene, limit_ms: float) -> dict[str, Any]:
    """Steps of a rising rate; the last one that held is the answer, the first that did not says why."""
    rate, held, steps, lost = FIRST_STEP_A_S, None, [], 0
    for _ in range(STEPS_MOST):
        step = await _run(scene, rate, STEP_S, ALL_NEW)
        lost += step["calls_lost"]
        good = step["calls_not_accepted"] == 0 and (step["call_to_console_ms"]["p99"] or 1e9) <= limit_ms
        steps.append({"rate": round(rate), "held": good} | {name: step[name] for name in STEP_SHOWN})
        if not good:
            break
        held, rate = step, rate * STEP_UP
    return (held or step) | {"calls_lost": lost, "sustained_calls_per_second": held and held["rate"], "steps": steps}


BY_HTTP = ("device", "call_taker")
STEP_SHOWN = ("call_to_commit_ms", "call_to_order_ms", "call_to_console_ms", "service_cpu_us_per_call")


def _calls(scene: Scene, seed: int, mix: Mix) -> Calls:
    callers, takers = (Poster(scene.urls[0], scene.credentials[who]["token"], *scene.urls[1:]) for who in BY_HTTP)
    return Calls(callers, takers, seed, mix)


async def _run(scene: Scene, rate: float, seconds: float, mix: Mix) -> dict[str, Any]:
    """One stretch at one rate, measured after a warm-up at the same rate."""
    calls = _calls(scene, round(monotonic()), mix)
    await calls.place(rate, min(WARM_UP_S, seconds))
    warm = len(calls.kept)
    gc.collect()
    gc.freeze()
    memory: list[Reading] = []
    watching = asyncio.create_task(watch_memory(scene.urls, memory))
    frames, before, own_s, began_s = _frames(scene), await read(*scene.urls), own_cpu_s(), monotonic()
    await calls.place(rate, seconds)
    lasted_s = monotonic() - began_s
    after, own_s, frames = await read(*scene.urls), own_cpu_s() - own_s, _frames(scene) - frames
    watching.cancel()
    await calls.answered(ANSWERS_LIMIT_S)
    await asyncio.sleep(1.5)
    calls.close()
    measured = calls.kept[warm:]
    orders = first_orders(measured, scene.fleet.ordered)
    return {
        "rate": round(rate, 1),
        "seconds": round(lasted_s, 1),
        "units": len(scene.fleet),
        "consoles": len(scene.watchers),
        "calls_sent": calls.sent,
        "calls_not_accepted": calls.sent - len(calls.kept),
        "calls_lost": await _lost(scene, calls),
        "call_to_commit_ms": latency([call.kept_s - call.due_s for call in measured]),
        "call_to_order_ms": latency(orders),
        "call_to_console_ms": latency(seen(measured, [w for w in scene.watchers if w.timed])),
        "p1_wait_ms": latency(waits(measured, scene.fleet.ordered)),
        "orders_heard": len(orders),
        "units_at_work": scene.fleet.at_work,
        "frames_per_second": round(frames / lasted_s, 1),
        "memory_mb": round(after.memory_mb, 1),
        "by_quarter": by_quarter(memory),
        "memory_slope_mb_per_minute": slope_per_minute(memory),
        "service_cpu_us_per_call": round(1e6 * (after.cpu_s - before.cpu_s) / max(1, len(measured)), 1),
        "service_cpu_percent": round(100 * (after.cpu_s - before.cpu_s) / lasted_s, 1),
        "generator_cpu_percent": round(100 * own_s / lasted_s, 1),
        "cpu_us_per_call_by_stage": {
            name: round(1e6 * used_s / max(1, len(measured)), 1) for name, (used_s, _) in stages(before, after).items()
        },
    }


async def _lost(scene: Scene, calls: Calls) -> int:
    """How many calls were answered with 201 and are not there."""
    client = Client(scene.urls[0], scene.credentials["supervisor"]["token"], Counts())
    try:
        return len((await kept_calls(client, [call.call_id for call in calls.kept])).lost)
    finally:
        await client.close()


@asynccontextmanager
async def _scene(
    args: argparse.Namespace, home: Path, *, units: int, consoles: int, on_task_s: float
) -> AsyncIterator[Scene]:
    share = share_for(units, args.seed)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(service(home, args.seed, share))]
        for number in range(2, args.sharing + 1):
            urls.append(await stack.enter_async_context(partner(home, number, args.seed, share)))
        await shared(home, args.sharing)
        board_urls = [await stack.enter_async_context(gateway(home))] if args.processes == 2 else urls
        credentials = json.loads((home / FILE).read_text())
        addresses = running_addresses(home)
        assert addresses is not None, "the service has just said that it is ready"
        people = roster(args.seed, share)[:units]
        fleet = await stack.enter_async_context(on_the_road(people, addresses.mqtt_url, on_task_s, args.seed))
        watchers = await _watchers(board_urls, credentials["dispatcher"]["token"], consoles)
        stack.callback(_close, watchers)
        yield Scene(urls=urls, credentials=credentials, fleet=fleet, watchers=watchers)


async def _watchers(urls: Sequence[str], token: str, consoles: int) -> list[Watcher]:
    """Consoles spread over the regions, and over the processes; the first of each region are timed."""
    regions = list(shares())
    found = []
    for number in range(consoles):
        place, region = number // len(regions), regions[number % len(regions)]
        url = urls[place % len(urls)]
        found.append(await watch(url, token, (region,), timed=place < TIMED_A_REGION))
    return found


def _close(watchers: Sequence[Watcher]) -> None:
    for watcher in watchers:
        watcher.close()


def _frames(scene: Scene) -> int:
    return sum(watcher.frames for watcher in scene.watchers)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if not a or not b else round(a / b, 2)


PARTS = {"hour": _hour, "queue": _queue, "saturation": _saturation, "life": _life}
