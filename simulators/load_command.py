"""`dispatch112 load`: the demo country's callers, staff and crews against a service that runs already."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from consoles.demo_accounts import FILE
from consoles.serve import run_loop
from dispatch.errors import ServiceAway, UserMistake
from dispatch.flags import RATE_MAX, WEEK_S, can_be_written, more_than, seed, whole
from dispatch.maps import check_map
from dispatch.services import running_addresses
from dispatch.settings import Settings, settings_from
from simulators.country import SHARE, SHARE_MAX
from simulators.load import LoadOptions
from simulators.load import run as load
from simulators.report import LoadReport

UNCLEAN = 1
UNITS_MAX, CONSOLES_MAX = 100_000, 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `load`."""
    parser.add_argument("--url", type=_address, default="http://127.0.0.1:8112", help="where the service answers")
    parser.add_argument("--mqtt-url", metavar="URL", help="its broker; absent: that of --data-dir")
    parser.add_argument("--data-dir", metavar="DIR", help="where credentials.json lies (.data)")
    parser.add_argument("--credentials", metavar="FILE", help="the log-ins; absent: DATA_DIR/credentials.json")
    parser.add_argument(
        "--calls-per-second", type=more_than(0, RATE_MAX), metavar="N", help="in service time (the hour's own rate)"
    )
    parser.add_argument("--seconds", type=more_than(0, WEEK_S), metavar="S", help="how long; absent: until stopped")
    parser.add_argument(
        "--units", type=whole(1, UNITS_MAX), metavar="N", help="simulate so many crews (all of the roster)"
    )
    parser.add_argument(
        "--consoles", type=whole(0, CONSOLES_MAX), default=0, metavar="N", help="so many further consoles watch (0)"
    )
    parser.add_argument("--seed", type=seed, default=112, metavar="N", help="the country and its calls (112)")
    parser.add_argument("--share", type=more_than(0, SHARE_MAX), default=SHARE, help=argparse.SUPPRESS)
    parser.add_argument("--map", metavar="DIR", help="the imported map that the crews drive on (the demo's roads)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was measured as JSON")
    parser.add_argument("--stop-with-input", action="store_true", help=argparse.SUPPRESS)


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole_address = False
    if not whole_address:
        raise argparse.ArgumentTypeError(f"an address such as http://127.0.0.1:8112, not {text[:60]}")
    return text


def run(args: argparse.Namespace) -> int:
    """Load, report, and say by the exit status whether all that was promised is there."""
    settings = settings_from(args)
    check_map(settings)
    if args.report is not None:
        can_be_written(args.report)
    credentials = _credentials(Path(args.credentials) if args.credentials else settings.data_dir / FILE)
    options = LoadOptions(
        seed=args.seed,
        calls_per_minute=args.calls_per_second * 60 if args.calls_per_second is not None else None,
        seconds=args.seconds,
        share=args.share,
        units=args.units,
        consoles=args.consoles,
        cache_dir=settings.cache_dir,
        map=settings.map,
        say=_say,
    )
    report = run_loop(_loaded(args, _broker(settings), credentials, options))
    if args.report is not None:
        report.write(args.report)
    _say(summary(report))
    return 0 if report.clean else UNCLEAN


async def _loaded(
    args: argparse.Namespace, mqtt_url: str, credentials: dict[str, Any], options: LoadOptions
) -> LoadReport:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if args.stop_with_input:
        await loop.connect_read_pipe(lambda: _Held(stop), sys.stdin)
    return await load(args.url, mqtt_url, credentials, options, stop)


class _Held(asyncio.Protocol):
    """Whoever started us holds the other end of our input: when it closes, they are gone or want us to stop."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, fault: Exception | None) -> None:
        self._stop.set()


def summary(report: LoadReport) -> str:
    """The report in one sentence."""
    return (
        f"{report.calls_accepted:,} calls accepted, {report.calls_lost} lost; {report.incidents_opened:,} incidents, "
        f"{report.incidents_assigned:,} assigned, {report.incidents_cleared:,} cleared, "
        f"{report.double_assignments} double assignments"
    )


def _broker(settings: Settings) -> str:
    if settings.mqtt_url is not None:
        return settings.mqtt_url
    running = running_addresses(settings.data_dir)
    if running is None:
        raise UserMistake(f"no service runs in {settings.data_dir}: name it by --data-dir, or its --mqtt-url")
    return running.mqtt_url


def _credentials(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise UserMistake(f"cannot read the log-ins from {path}: {why}") from None
    needed = ("call_taker", "device", "dispatcher", "supervisor")
    missing = [role for role in needed if not isinstance(found, dict) or not _has_token(found.get(role))]
    if missing:
        raise UserMistake(f"{path} has no log-in for {', '.join(missing)}")
    return found


def _has_token(kept: object) -> bool:
    return isinstance(kept, dict) and isinstance(kept.get("token"), str)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise ServiceAway("nobody listens to us any more") from None
