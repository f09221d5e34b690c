"""`dispatch112 prepare`: compile and cache what would make the first start slow. Set-up calls it.

Every piece is also made on demand by whoever needs it; here it is only made early, and timed.
"""

import argparse
import time
from collections.abc import Callable

from dispatch.errors import UserMistake
from dispatch.settings import Settings, settings_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="used where the installation cannot be written (.data)")


def run(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    try:
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise UserMistake(f"cannot use {settings.cache_dir}: {fault.strerror}") from None
    for name, make in PIECES.items():
        began = time.monotonic()
        make(settings)
        print(f"{name:<14}{time.monotonic() - began:6.1f} s", flush=True)
    return 0


def _roads(settings: Settings) -> None:
    from routing.command import prepare

    prepare(settings.cache_dir, lambda text: print(f"  {text}", flush=True))


PIECES: dict[str, Callable[[Settings], None]] = {"demo roads": _roads}
