"""The commands `import-map`, `travel` and `search`: routing's own, with our settings and our way of telling a user's mistake.

Routing knows nothing of dispatch, so it raises ValueError where we raise UserMistake.
"""

import argparse
from collections.abc import Callable

from dispatch.errors import UserMistake
from dispatch.settings import settings_from
from routing import command, import_map


def add_travel_arguments(parser: argparse.ArgumentParser) -> None:
    command.add_travel_arguments(parser)
    parser.set_defaults(demo_dir=settings_from(argparse.Namespace()).cache_dir)


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    command.add_search_arguments(parser)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    import_map.add_arguments(parser)


def run_import(args: argparse.Namespace) -> int:
    return _told(import_map.run, args)


def run_travel(args: argparse.Namespace) -> int:
    return _told(command.run_travel, args)


def run_search(args: argparse.Namespace) -> int:
    return _told(command.run_search, args)


def _told(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    try:
        return run(args)
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake
