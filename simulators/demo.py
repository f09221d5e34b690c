"""`dispatch112 demo`: a whole country on this machine, in one command.

The service runs in this process, the load in another one, so that it shares neither event loop nor memory
with what it measures; it speaks the public interfaces only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from consoles.demo_accounts import PEOPLE, UNIT, seed_demo_credentials
from consoles.serve import can_start, run_loop, stopped
from consoles.serving import Options, Running, serving
from dispatch.errors import UserMistake
from dispatch.flags import RATE_MAX, WEEK_S, between, can_be_written, more_than, seed
from dispatch.maps import imported_roads
from dispatch.settings import Settings, add_settings_arguments, settings_from
from routing import roads
from simulators.country import SHARE, SHARE_MAX, enrol, roster
from simulators.telephones import write_telephones

STOP_LIMIT_S = 30.0
SPEEDS = (0.1, 120.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `demo`."""
    add_settings_arguments(parser)
    parser.add_argument("--port", metavar="N", help="the one port for HTTP and WebSocket (8112)")
    parser.add_argument(
        "--calls-per-minute",
        type=more_than(0, 60 * RATE_MAX),
        metavar="N",
        help="in service time, the whole country (the hour's own rate)",
    )
    parser.add_argument(
        "--speed", type=between(*SPEEDS), default=1.0, metavar="X", help="service time runs X times as fast (1)"
    )
    parser.add_argument("--seed", type=seed, default=112, metavar="N", help="the country, its calls and crews (112)")
    parser.add_argument("--share", type=more_than(0, SHARE_MAX), default=SHARE, help=argparse.SUPPRESS)
    parser.add_argument("--no-load", action="store_true", help="nobody calls, no crew moves, nobody is at the desks")
    parser.add_argument(
        "--for", dest="seconds", type=more_than(0, WEEK_S), metavar="SECONDS", help="wall time; absent: until Ctrl-C"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was measured as JSON")


def run(args: argparse.Namespace) -> int:
    """Serve, simulate, stop cleanly; 1 when a call was lost or a unit was assigned twice."""
    settings = settings_from(args)
    can_start(settings)
    if args.report is not None:
        if args.no_load:
            raise UserMistake("--report tells what the load has measured, and --no-load leaves that out")
        can_be_written(args.report)
    return run_loop(_demo(args, settings))


async def _demo(args: argparse.Namespace, settings: Settings) -> int:
    units = roster(args.seed, args.share)

    async def enrolled(running: Running) -> None:
        await enrol(running.engine, units)
        await asyncio.to_thread(write_telephones, settings.data_dir, units)

    options = Options(
        mode="SIMULATION",
        speed=args.speed,
        roads=lambda: imported_roads(settings.map) if settings.map else roads.demo(settings.cache_dir, say=_step),
        logins=lambda store, broker: seed_demo_credentials(store, settings.data_dir, UNIT, mqtt_url=broker),
        before_open=enrolled,
    )
    async with serving(settings, options, _step) as running:
        _welcome(running, args)
        if args.no_load:
            await _until_stopped(args.seconds)
            return 0
        async with _load(running, args) as load:
            return await _ended(load)


@asynccontextmanager
async def _load(running: Running, args: argparse.Namespace) -> AsyncIterator[asyncio.subprocess.Process]:
    """The load as a process of its own; it ends with its input, so never outlives us."""
    words = [
        "load", "--url", running.url, "--credentials", str(running.settings.data_dir / "credentials.json"),
        "--data-dir", str(running.settings.data_dir), "--seed", str(args.seed), "--share", str(args.share),
        "--stop-with-input",
    ]  # fmt: skip
    if running.settings.map is not None:
        words += ["--map", str(running.settings.map)]
    if args.calls_per_minute is not None:
        words += ["--calls-per-second", str(args.calls_per_minute / 60)]
    if args.seconds is not None:
        words += ["--seconds", str(args.seconds)]
    if running.settings.mqtt_url is not None:
        words += ["--mqtt-url", running.settings.mqtt_url]
    if args.report is not None:
        words += ["--report", str(args.report)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatch", *words,
        stdin=asyncio.subprocess.PIPE,
        # Ctrl-C reaches every process of the terminal's group; the load is told by us instead, once.
        start_new_session=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        await _stop(child)


async def _ended(load: asyncio.subprocess.Process) -> int:
    """Wait for the load, or for whoever stops us; then the load checks and reports before the service goes."""
    waiting = asyncio.ensure_future(stopped())
    finished = asyncio.ensure_future(load.wait())
    await asyncio.wait((waiting, finished), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not finished.done():
        _say("stopping: the load is read back and reported first")
        await _stop(load)
    return await finished


async def _stop(load: asyncio.subprocess.Process) -> None:
    assert load.stdin is not None
    if load.returncode is not None:
        return
    load.stdin.close()
    try:
        await asyncio.wait_for(load.wait(), STOP_LIMIT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            load.kill()
        await load.wait()


async def _until_stopped(seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopped(), seconds)


def _welcome(running: Running, args: argparse.Namespace) -> None:
    units = sum(len(state.units) for state in running.engine.replicas.states.values())
    rate = f"{args.calls_per_minute:g} calls a minute" if args.calls_per_minute else "as many calls as at this hour"
    who = "nobody calls (--no-load)" if args.no_load else rate
    width = max(len(role) for role in PEOPLE)
    _say(f"\n112, a simulation: {units:,} units in 14 regions, {who}, time runs {args.speed:g} times as fast\n")
    _say(f"  console   {running.url}")
    for role in PEOPLE:
        kept = running.credentials[str(role)]
        _say(f"  {role:<{width}}  {kept['username']:<{width}}  {kept['password']}")
    unit = running.credentials["unit"]
    _say(f"  {'unit':<{width}}  {unit['username']:<{width}}  {unit['password']}  over MQTT 5 at {unit['mqtt_url']}")
    _say("\nOpen the console and log in as dispatcher. Ctrl-C stops everything.\n")


def _step(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
