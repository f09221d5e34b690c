"""The command `travel`: routing's own, with our settings and our way of telling a user's mistake.

Routing knows nothing of dispatch, so it raises ValueError where we raise UserMistake.
"""

import argparse
from collections.abc import Callable

from dispatch.errors import UserMistake
from dispatch.settings import settings_from
from routing import command


def add_travel_arguments(parser: argparse.ArgumentParser) -> None:
    command.add_travel_arguments(parser)
    parser.set_defaults(demo_dir=settings_from(argparse.Namespace()).cache_dir)


def run_travel(args: argparse.Namespace) -> int:
    return _told(command.run_travel, args)


def _told(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    try:
        return run(args)
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake
