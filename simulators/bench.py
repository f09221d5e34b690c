"""`dispatch112 bench [NAME]`: measure what the documents claim, on this machine, and print it as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dispatch.errors import UserMistake
from dispatch.flags import RATE_MAX, WEEK_S, can_be_written, more_than, seed, whole

BENCHES = {
    "intake": ("simulators.bench_intake", "calls kept and shown, with units reporting and consoles watching"),
    "surge": (
        "simulators.bench_surge",
        "the worst days: an hour of a disaster, a long queue, saturation, crews' full life",
    ),
    "failover": ("simulators.bench_failover", "processes killed and frozen under load: takeover, and nothing lost"),
    "recovery": ("simulators.bench_recovery", "a region with a long history, led again after a kill -9"),
    "month": ("simulators.bench_month", "days of service in minutes: what grows, and what does not"),
    "locate": ("simulators.bench_locate", "where calls are: whether the circle holds them, and what a look-up costs"),
    "travel": ("simulators.bench_travel", "the road engine: many-to-one, closures, exact beside others"),
    "search": ("simulators.bench_search", "places by name: how many are found at once, and how quickly"),
}
DEFAULT = "intake"
RATE, RATES = 200.0, {"failover": 100.0}
"""Calls a second where nothing else is said."""
CORES_MAX, BLOWS_MAX, EVENTS_MAX = 5, 1_000, 100_000_000
NODES_MAX = 5_000_000
UNITS_MAX, CONSOLES_MAX, WAITING_MAX, NAMES_MAX = 24_000, 10_000, 1_000_000, 1_000_000
"""Units: as many as the largest roster has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `bench`; those of one benchmark count only there."""
    named = "; ".join(f"{name}: {what}" for name, (_, what) in BENCHES.items())
    parser.add_argument("name", nargs="?", default=DEFAULT, metavar="NAME", help=f"{named} ({DEFAULT})")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures there as well")
    month = parser.add_argument_group("month")
    month.add_argument("--days", type=int, default=30, metavar="N", help="simulated days (30)")
    month.add_argument("--calls-per-day", type=int, default=500, metavar="N", help="calls of one region (500)")
    intake = parser.add_argument_group("intake")
    intake.add_argument(
        "--calls-per-second", type=more_than(0, RATE_MAX), metavar="N", help="open loop (200; failover: 100)"
    )
    intake.add_argument(
        "--seconds", type=more_than(0, WEEK_S), default=60.0, metavar="S", help="how long it is measured (60)"
    )
    intake.add_argument(
        "--warm-up", type=more_than(0, WEEK_S), default=130.0, metavar="S", help="before that, to fill caches (130)"
    )
    intake.add_argument(
        "--units", type=whole(1, UNITS_MAX), default=2_000, metavar="N", help="each reports every 5 s (2000)"
    )
    intake.add_argument(
        "--consoles", type=whole(0, CONSOLES_MAX), default=50, metavar="N", help="boards of all regions (50)"
    )
    intake.add_argument("--seed", type=seed, default=112, metavar="N", help="places and gaps of the calls (112)")
    failover = parser.add_argument_group("failover")
    failover.add_argument("--cores", type=whole(2, CORES_MAX), default=2, metavar="N", help="core processes (2)")
    failover.add_argument(
        "--blows", type=whole(1, BLOWS_MAX), default=10, metavar="N", help="by turns a kill and a freeze (10)"
    )
    recovery = parser.add_argument_group("recovery")
    recovery.add_argument(
        "--events", type=whole(1, EVENTS_MAX), default=1_000_000, metavar="N", help="the region's history (1000000)"
    )
    recovery.add_argument(
        "--open-calls", type=whole(0, WAITING_MAX), default=500, metavar="N", help="that wait at the end (500)"
    )
    surge = parser.add_argument_group("surge")
    surge.add_argument("--part", default="all", help="hour, queue, saturation, life or all (all)")
    surge.add_argument(
        "--hour-seconds", type=more_than(0, WEEK_S), default=3600.0, metavar="S", help="of the hour (3600)"
    )
    surge.add_argument(
        "--waiting", type=whole(1, WAITING_MAX), default=100_000, metavar="N", help="incidents of the queue (100000)"
    )
    search = parser.add_argument_group("search")
    search.add_argument(
        "--names", type=whole(1_000, NAMES_MAX), default=50_000, metavar="N", help="named places in all (50000)"
    )
    surge.add_argument("--processes", type=int, default=1, choices=(1, 2), help="2: consoles on their own (1)")
    surge.add_argument(
        "--sharing", type=whole(1, CORES_MAX), default=1, metavar="N", help="core processes that share the regions (1)"
    )
    travel = parser.add_argument_group("travel")
    travel.add_argument(
        "--nodes", type=whole(1, NODES_MAX), default=1_000_000, metavar="N", help="of the drawn country (1000000)"
    )
    travel.add_argument("--map", type=Path, metavar="DIR", help="an imported map instead of a drawn country")


def run(args: argparse.Namespace) -> int:
    """Run one benchmark; 1 when something that was promised is missing, or when its figures count for nothing."""
    if args.name not in BENCHES:
        raise UserMistake(f"no benchmark {args.name!r}: there are {', '.join(BENCHES)}")
    if args.report is not None:
        can_be_written(args.report)
    if args.calls_per_second is None:
        args.calls_per_second = RATES.get(args.name, RATE)
    measure: Callable[[argparse.Namespace], dict[str, Any]] = importlib.import_module(BENCHES[args.name][0]).measure
    figures = measure(args)
    text = json.dumps(figures, indent=2)
    print(text)
    if args.report is not None:
        args.report.write_text(text + "\n")
    return 1 if figures.get("calls_lost") or figures.get("faults") or figures.get("exact") is False else 0
