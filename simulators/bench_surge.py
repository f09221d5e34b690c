"""`dispatch112 bench surge`: the worst days, on one machine. Four parts, each with a service of its own.

  hour        100 calls/s for an hour, nearly all about things known already; 20,000 units, 1,000 consoles. How long a
              P1 waits for its first unit is compared with a normal hour's rate, measured first.
  queue       100,000 incidents wait for units that do not exist; then calls come in as ever.
  saturation  every call opens an incident: call → commit → recommendation → order → console, at rates that rise until
              the consoles fall behind, a call is not taken or an incident gets no order; crews are free again after
              a second.
  life        the same with crews that take a hundredth of their usual time.

Answers, orders and frames of a stretch's last calls have ANSWERS_LIMIT_S to come. What has not come then is counted
(`calls_not_accepted`, `orders_missing`, `p1_without_order`, `calls_unseen`), and stands in the latencies as long as it
has been waited for. The calls of a warm-up must be taken and kept as all others; they are in no latency.

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
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from consoles.demo_accounts import FILE
from consoles.serve import run_to_end
from dispatch.errors import ServiceAway, UserMistake
from dispatch.services import running_addresses
from simulators.arrivals import shares
from simulators.bench_cpu import cpu_report, own_servers, used
from simulators.bench_fleet import Fleet, on_the_road
from simulators.bench_measures import (
    answers,
    by_quarter,
    faults_of,
    first_orders,
    latency,
    seen,
    seen_by_all,
    settled,
    slope_per_minute,
    waits,
    watch_memory,
)
from simulators.bench_service import gateway, partner, service, shared
from simulators.bench_traffic import Calls, Mix
from simulators.checking import calls_lost
from simulators.country import roster, share_for
from simulators.exposition import Reading, depths, read
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
ANSWERS_LIMIT_S = 20.0
WARM_UP_S = 8.0
FLOOD_A_S, FLOOD_LEAST, FLOOD_MOST = 1_500.0, 100, 5_000


class Scene(msgspec.Struct, kw_only=True):
    """A running service with everybody who uses it."""

    urls: list[str]
    """Of the core processes."""
    processes: list[str]
    """Of all our processes: also of one that has only the consoles."""
    servers: dict[str, int]
    """The database and the broker that we run ourselves: name -> process."""
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
        report["faults"] = report.get("faults", []) + [f"{part}: {fault}" for fault in report[part]["faults"]]
    return report


async def _hour(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=20_000, consoles=1_000, on_task_s=FULL_LIFE_S) as scene:
        normal = await _run(scene, NORMAL_CALLS_A_S * 20, min(NORMAL_S, args.hour_seconds), NORMAL)
        surge = await _run(scene, 100.0, args.hour_seconds, SURGE)
    return surge | against_normal(surge, normal)


def against_normal(surge: Mapping[str, Any], normal: Mapping[str, Any]) -> dict[str, Any]:
    """The hour beside a normal one. Without a ratio where a normal hour left a P1 without a unit: it would be no
    measure for another.
    """
    ratio = _ratio(surge["p1_wait_ms"]["p90"], normal["p1_wait_ms"]["p90"])
    return {
        "calls_lost": normal["calls_lost"] + surge["calls_lost"],
        **{f"normal_{name}": normal[name] for name in NORMAL_SHOWN},
        "p1_wait_against_normal_p90": None if normal["p1_without_order"] else ratio,
    }


async def _queue(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    async with _scene(args, home, units=1_000, consoles=100, on_task_s=3600.0) as scene:
        began_s, flooded = monotonic(), list[str]()
        while (waiting := await _waiting(scene)) < args.waiting:
            many = max(FLOOD_LEAST, min(FLOOD_MOST, args.waiting - waiting))
            flooded += await _flood(scene, many, args.seed + len(flooded))
        flooding_s = monotonic() - began_s
        under = await _run(scene, 50.0, 60.0, SURGE)
        lost = under["calls_lost"] + await _lost(scene, flooded)
    per_second = round(len(flooded) / flooding_s, 1)
    return under | {"calls_lost": lost, "incidents_waiting": waiting, "flooded_per_second": per_second}


async def _waiting(scene: Scene) -> int:
    """How many incidents wait for units, as the service says."""
    return int(depths(await read(*scene.urls)).get("incidents_waiting", 0))


async def _flood(scene: Scene, many: int, seed: int) -> list[str]:
    """So many incidents beyond what the units can do, each by a call of its own; the calls that were taken."""
    calls = _calls(scene, seed, ALL_NEW)
    await calls.place(FLOOD_A_S, many / FLOOD_A_S)
    await calls.answered(600.0)
    calls.close()
    if not calls.kept:
        raise ServiceAway(f"the service took none of {calls.sent} calls: the queue cannot be filled")
    return [call.call_id for call in calls.kept]


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
        good = held_at(step, limit_ms)
        steps.append({"rate": round(rate), "held": good} | {name: step[name] for name in STEP_SHOWN})
        if not good:
            break
        held, rate = step, rate * STEP_UP
    whole = {"calls_lost": lost, "faults": step["faults"], "steps": steps}
    return (held or step) | whole | {"sustained_calls_per_second": held and held["rate"]}


def held_at(step: Mapping[str, Any], limit_ms: float) -> bool:
    """Whether every call was taken, every incident of a measured one had its order, and the consoles kept up."""
    all_served = not any(step[name] for name in UNSERVED)
    p99_ms = step["call_to_console_ms"]["p99"]
    return all_served and not step["faults"] and p99_ms is not None and p99_ms <= limit_ms


BY_HTTP = ("device", "call_taker")
NORMAL_SHOWN = ("p1_wait_ms", "p1_opened", "p1_without_order", "calls_not_accepted")
UNSERVED = ("calls_not_accepted", "calls_lost", "orders_missing", "calls_unseen")
"""What a rate that is held has none of."""
STEP_SHOWN = (
    *("call_to_commit_ms", "call_to_order_ms", "call_to_console_ms"),
    *UNSERVED,
    *("service_cpu_us_per_call", "postgres_cpu_us_per_call", "broker_cpu_us_per_call"),
)


def _calls(scene: Scene, seed: int, mix: Mix) -> Calls:
    callers, takers = (Poster(scene.urls[0], scene.credentials[who]["token"], *scene.urls[1:]) for who in BY_HTTP)
    return Calls(callers, takers, seed, mix)


async def _run(scene: Scene, rate: float, seconds: float, mix: Mix) -> dict[str, Any]:
    """One stretch at one rate, measured after a warm-up at the same rate."""
    calls = _calls(scene, round(monotonic()), mix)
    await calls.place(rate, min(WARM_UP_S, seconds))
    gc.collect()
    gc.freeze()
    memory: list[Reading] = []
    watching = asyncio.create_task(watch_memory(scene.processes, memory))
    before = await used(scene.processes, scene.servers)
    frames, began_s = _frames(scene), monotonic()
    await calls.place(rate, seconds)
    frames, lasted_s = _frames(scene) - frames, monotonic() - began_s
    after = await used(scene.processes, scene.servers)
    watching.cancel()
    await calls.answered(ANSWERS_LIMIT_S)
    served = await _served(scene, calls, began_s)
    calls.close()
    return {
        "rate": round(rate, 1),
        "seconds": round(lasted_s, 1),
        "units": len(scene.fleet),
        "consoles": len(scene.watchers),
        "calls_sent": calls.sent,
        "calls_not_accepted": len(calls.not_kept),
        "calls_lost": await _lost(scene, [call.call_id for call in calls.kept]),
        **served,
        "units_at_work": scene.fleet.at_work,
        "frames_per_second": round(frames / lasted_s, 1),
        "memory_mb": round(after.service.memory_mb, 1),
        "by_quarter": by_quarter(memory),
        "memory_slope_mb_per_minute": slope_per_minute(memory),
        **cpu_report(before, after, calls.kept),
        "consoles_broken": sum(watcher.broken for watcher in scene.watchers),
        "faults": faults_of(scene.fleet, scene.watchers),
    }


async def _served(scene: Scene, calls: Calls, since_s: float) -> dict[str, Any]:
    """How the calls that were due since then were served, and how many were not."""
    measured, not_kept = calls.due_since(since_s)
    ordered, timed = scene.fleet.ordered, [watcher for watcher in scene.watchers if watcher.timed]
    ended_s = await settled(measured, timed, ordered, ANSWERS_LIMIT_S)
    orders, urgent = first_orders(measured, ordered, ended_s), waits(measured, ordered, ended_s)
    return {
        "calls_measured": len(measured),
        "calls_spooled": sum(call.spooled for call in measured),
        "call_to_commit_ms": latency(answers(measured, not_kept, ended_s).seconds),
        "call_to_order_ms": latency(orders.seconds),
        "call_to_console_ms": latency(seen(measured, timed, ended_s).seconds),
        "calls_unseen": seen_by_all(measured, timed, ended_s).unserved,
        "p1_wait_ms": latency(urgent.seconds),
        "p1_opened": len(urgent.seconds),
        "p1_without_order": urgent.unserved,
        "orders_heard": orders.served,
        "orders_missing": orders.unserved,
    }


async def _lost(scene: Scene, accepted: Collection[str]) -> int:
    return await calls_lost(scene.urls[0], scene.credentials["supervisor"]["token"], accepted)


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
        gateways = [await stack.enter_async_context(gateway(home))] if args.processes == 2 else []
        credentials = json.loads((home / FILE).read_text())
        addresses = running_addresses(home)
        assert addresses is not None, "the service has just said that it is ready"
        people = roster(args.seed, share)[:units]
        fleet = await stack.enter_async_context(on_the_road(people, addresses.mqtt_url, on_task_s, args.seed))
        watchers = await consoles_at(gateways or urls, credentials["dispatcher"]["token"], consoles)
        stack.callback(_close, watchers)
        yield Scene(
            urls=urls,
            processes=[*urls, *gateways],
            servers=own_servers(home),
            credentials=credentials,
            fleet=fleet,
            watchers=watchers,
        )


async def consoles_at(urls: Sequence[str], token: str, count: int) -> list[Watcher]:
    """Consoles spread over the regions, and over the processes. Timed are the first and the last of each region, who
    may be written to in that order; the others are only counted, for an hour of a thousand fills memory.
    """
    regions = list(shares())
    found = []
    for number in range(count):
        place, region = number // len(regions), regions[number % len(regions)]
        timed = place == 0 or number + len(regions) >= count
        found.append(await watch(urls[place % len(urls)], token, (region,), timed=timed))
    return found


def _close(watchers: Sequence[Watcher]) -> None:
    for watcher in watchers:
        watcher.close()


def _frames(scene: Scene) -> int:
    return sum(watcher.frames for watcher in scene.watchers)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if not a or not b else round(a / b, 2)


PARTS = {"hour": _hour, "queue": _queue, "saturation": _saturation, "life": _life}
