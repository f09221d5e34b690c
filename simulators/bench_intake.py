"""`dispatch112 bench intake`: calls at a fixed rate, open loop, while units report and consoles watch.

The service runs as a child process in a fresh directory with its own database and broker, a whole country in
it; everything else runs here. Of the calls nine in ten are about one of a few large fires, as in a bad hour;
the rest are new incidents, for which units are chosen, and calls that wait for a call taker. Crews clear after
some seconds and takers close what nobody needs, so memory may grow only until the caches are full: the longest
memory is that of callers, two minutes, and the warm-up lasts as long.

A call is *kept* when its 201 has arrived, *on the console* when a board has received the delta that reaches
the number in that answer; both are measured from the moment its request was due, so that a stall of either
side counts in full.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from consoles.demo_accounts import FILE
from consoles.serve import run_to_end
from dispatch.services import running_addresses
from simulators.bench_fleet import Fleet, on_the_road
from simulators.bench_measures import Stalls, latency, own_cpu_s, seen, seen_by_all, slope_per_minute, watch_memory
from simulators.bench_service import service
from simulators.bench_traffic import Calls
from simulators.checking import kept_calls
from simulators.client import Client, Counts
from simulators.country import roster, share_for
from simulators.exposition import Reading, read, stages
from simulators.lean import Poster, Watcher, watch

ON_TASK_S = 10.0
"""How long, on average, a crew is about an incident."""
ANSWERS_LIMIT_S = 15.0
GOALS_MS = {"call_to_commit_ms": 25.0, "call_to_console_ms": 100.0}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Start everything, measure, stop everything."""
    with tempfile.TemporaryDirectory(prefix="dispatch112-bench-") as home:
        return run_to_end(_measured(args, Path(home)))


async def _measured(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    share = share_for(args.units, args.seed)
    async with service(home, args.seed, share) as url:
        credentials = json.loads((home / FILE).read_text())
        addresses = running_addresses(home)
        assert addresses is not None, "the service has just said that it is ready"
        units = roster(args.seed, share)[: args.units]
        async with on_the_road(units, addresses.mqtt_url, ON_TASK_S, args.seed) as fleet:
            watchers = [await watch(url, credentials["dispatcher"]["token"]) for _ in range(args.consoles)]
            try:
                return await _run(args, url, credentials, (fleet, watchers))
            finally:
                for watcher in watchers:
                    watcher.close()


async def _run(
    args: argparse.Namespace,
    url: str,
    credentials: dict[str, Any],
    others: tuple[Fleet, list[Watcher]],
) -> dict[str, Any]:
    fleet, watchers = others
    poster = Poster(url, credentials["device"]["token"])
    takers = Poster(url, credentials["call_taker"]["token"])
    calls = Calls(poster, takers, args.seed)
    await calls.place(args.calls_per_second, args.warm_up)
    warm = len(calls.kept)
    gc.collect()
    gc.freeze()
    memory: list[Reading] = []
    watching = asyncio.create_task(watch_memory([url], memory))
    frames, positions = _frames(watchers), fleet.positions
    before, began_cpu_s = await read(url), own_cpu_s()
    began_s = monotonic()
    with Stalls() as stalls:
        await calls.place(args.calls_per_second, args.seconds)
    lasted_s = monotonic() - began_s
    after, generator_cpu_s = await read(url), own_cpu_s() - began_cpu_s
    watching.cancel()
    frames, positions = _frames(watchers) - frames, fleet.positions - positions
    await calls.answered(ANSWERS_LIMIT_S)
    await asyncio.sleep(1.0)
    client = Client(url, credentials["supervisor"]["token"], Counts())
    try:
        kept = await kept_calls(client, [call.call_id for call in calls.kept])
    finally:
        await client.close()
        poster.close()
        takers.close()
    measured = calls.kept[warm:]
    each = max(1, len(measured))
    return {
        "calls_per_second": args.calls_per_second,
        "warm_up_seconds": args.warm_up,
        "seconds": round(lasted_s, 1),
        "units": args.units,
        "consoles": args.consoles,
        "processors": len(os.sched_getaffinity(0)),
        "calls_sent": calls.sent,
        "calls_accepted": len(calls.kept),
        "calls_measured": len(measured),
        "calls_not_accepted": calls.sent - len(calls.kept),
        "calls_lost": len(kept.lost),
        "call_to_commit_ms": latency([call.kept_s - call.due_s for call in measured]),
        "call_to_console_ms": latency(seen(measured, watchers)),
        "call_to_slowest_console_ms": latency(seen_by_all(measured, watchers)),
        "goals_p99_ms": GOALS_MS,
        "machine": stalls.report(measured),
        "positions_per_second": round(positions / lasted_s, 1),
        "frames_per_second": round(frames / lasted_s, 1),
        "orders_heard": fleet.orders,
        "orders_repeated": fleet.repeated,
        "consoles_broken": sum(watcher.broken for watcher in watchers),
        "connections": poster.opened,
        "memory_start_mb": round(before.memory_mb, 1),
        "memory_end_mb": round(after.memory_mb, 1),
        "memory_slope_mb_per_minute": slope_per_minute(memory),
        "service_cpu_us_per_call": round(1e6 * (after.cpu_s - before.cpu_s) / each, 1),
        "service_cpu_percent": round(100 * (after.cpu_s - before.cpu_s) / lasted_s, 1),
        "generator_cpu_percent": round(100 * generator_cpu_s / lasted_s, 1),
        "cpu_us_per_call_by_stage": {
            name: round(1e6 * seconds / each, 2) for name, (seconds, _) in stages(before, after).items()
        },
        "stage_runs": {name: int(runs) for name, (_, runs) in stages(before, after).items()},
    }


def _frames(watchers: Sequence[Watcher]) -> int:
    return sum(watcher.frames for watcher in watchers)
