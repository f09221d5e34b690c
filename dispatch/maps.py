"""The commands `import-map` and `travel`, and the imported map of a service: routing's own, with our settings and our
way of telling a user's mistake.

Routing knows nothing of dispatch, so it raises ValueError where we raise UserMistake.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from dispatch.errors import UserMistake
from dispatch.settings import Settings, settings_from
from routing import command, import_map, mapfolder
from routing.roads import Roads

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def add_travel_arguments(parser: argparse.ArgumentParser) -> None:
    command.add_travel_arguments(parser)
    settings = settings_from(argparse.Namespace())
    parser.set_defaults(demo_dir=settings.cache_dir, map_dir=settings.map)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    import_map.add_arguments(parser)


def run_import(args: argparse.Namespace) -> int:
    return _told(import_map.run, args)


def run_travel(args: argparse.Namespace) -> int:
    return _told(command.run_travel, args)


def check_map(settings: Settings) -> None:
    """Raises UserMistake when a map is named that is none, or is damaged, before anything is started."""
    if settings.map is not None:
        _told(mapfolder.check, settings.map)


def street_names(settings: Settings) -> list[str]:
    """The names of the streets of a service's map; none without one. Raises UserMistake."""
    return _told(mapfolder.street_names, settings.map) if settings.map is not None else []


def imported_roads(directory: Path) -> Roads:
    """The roads of an imported map, with the times that live dispatch multiplies for sirens. Raises UserMistake."""
    return _told(partial(mapfolder.load, for_units=True), directory).roads


def _told(work: Callable[[Asked], Answer], asked: Asked) -> Answer:
    try:
        return work(asked)
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake
    except OSError as fault:
        raise UserMistake(f"{fault.filename or 'a file'}: {fault.strerror or fault}") from fault
