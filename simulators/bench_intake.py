"""`dispatch112 bench intake`: calls at a fixed rate, open loop, while units report and consoles watch.

The service runs as a child process in a fresh directory with its own database and broker, a whole country in
it; everything else runs here. Of the calls nine in ten are about one of a few large fires, as in a bad hour;
the rest are new incidents, for which units are chosen, and calls that wait for a call taker. Crews clear after
some seconds and takers close what nobody needs, so memory may grow only until the caches are full: the longest
memory is that of callers, two minutes, and the warm-up lasts as long.

A call is *kept* when its 201 has arrived, *on the console* when a board has received the delta that reaches
the number in that answer; both are measured from the moment its request was due, so that a stall of either
side counts in full. What has not come when the measurement ends counts as long as it has been waited for. The
calls of the warm-up are looked for as all others, and are in no latency.
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
from simulators.bench_cpu import cpu_report, own_servers, used
from simulators.bench_fleet import Fleet, on_the_road
from simulators.bench_measures import (
    Stalls,
    answers,
    faults_of,
    first_orders,
    latency,
    seen,
    seen_by_all,
    settled,
    slope_per_minute,
    watch_memory,
)
from simulators.bench_service import service
from simulators.bench_traffic import Calls
from simulators.checking import calls_lost
from simulators.country import roster, share_for
from simulators.exposition import Reading, stages
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
                return await _run(args, url, credentials, (fleet, watchers, own_servers(home)))
            finally:
                for watcher in watchers:
                    watcher.close()


async def _run(
    args: argparse.Namespace,
    url: str,
    credentials: dict[str, Any],
    others: tuple[Fleet, list[Watcher], dict[str, int]],
) -> dict[str, Any]:
    fleet, watchers, servers = others
    poster = Poster(url, credentials["device"]["token"])
    takers = Poster(url, credentials["call_taker"]["token"])
    calls = Calls(poster, takers, args.seed)
    await calls.place(args.calls_per_second, args.warm_up)
    gc.collect()
    gc.freeze()
    memory: list[Reading] = []
    watching = asyncio.create_task(watch_memory([url], memory))
    before = await used([url], servers)
    frames, positions, began_s = _frames(watchers), fleet.positions, monotonic()
    with Stalls() as stalls:
        await calls.place(args.calls_per_second, args.seconds)
    lasted_s = monotonic() - began_s
    frames, positions = _frames(watchers) - frames, fleet.positions - positions
    after = await used([url], servers)
    watching.cancel()
    await calls.answered(ANSWERS_LIMIT_S)
    measured, not_kept = calls.due_since(began_s)
    ended_s = await settled(measured, watchers, fleet.ordered, ANSWERS_LIMIT_S)
    by_all, orders = seen_by_all(measured, watchers, ended_s), first_orders(measured, fleet.ordered, ended_s)
    calls.close()
    lost = await calls_lost(url, credentials["supervisor"]["token"], [call.call_id for call in calls.kept])
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
        "calls_lost": lost,
        "call_to_commit_ms": latency(answers(measured, not_kept, ended_s).seconds),
        "call_to_console_ms": latency(seen(measured, watchers, ended_s).seconds),
        "call_to_slowest_console_ms": latency(by_all.seconds),
        "calls_unseen": by_all.unserved,
        "calls_spooled": sum(call.spooled for call in measured),
        "goals_p99_ms": GOALS_MS,
        "machine": stalls.report(measured),
        "positions_per_second": round(positions / lasted_s, 1),
        "frames_per_second": round(frames / lasted_s, 1),
        "orders_heard": fleet.orders,
        "orders_repeated": fleet.repeated,
        "orders_missing": orders.unserved,
        "consoles_broken": sum(watcher.broken for watcher in watchers),
        "connections": poster.opened,
        "memory_start_mb": round(before.service.memory_mb, 1),
        "memory_end_mb": round(after.service.memory_mb, 1),
        "memory_slope_mb_per_minute": slope_per_minute(memory),
        **cpu_report(before, after, calls.kept),
        "stage_runs": {name: int(runs) for name, (_, runs) in stages(before.service, after.service).items()},
        "faults": faults_of(fleet, watchers),
    }


def _frames(watchers: Sequence[Watcher]) -> int:
    return sum(watcher.frames for watcher in watchers)
