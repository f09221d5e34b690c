"""The command `search`, and what a process knows of places: routing's own names and outlines, with those that our
settings name.

Routing knows nothing of dispatch, so it raises ValueError where we raise UserMistake.
"""

import argparse
import logging

from dispatch.calling.locating import Locator
from dispatch.errors import UserMistake
from dispatch.settings import Settings, settings_from
from routing import search_command
from routing.gazetteer import Gazetteer, load
from routing.regions import Regions

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dispatch112 search`."""
    search_command.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what a text may mean as JSON, best first."""
    try:
        return search_command.run(args, settings_from(argparse.Namespace()).places)
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake


def gazetteer(settings: Settings, regions: Regions) -> Gazetteer:
    """Our own places with those of the files and the map that the settings name. Raises UserMistake when one cannot be
    read."""
    try:
        found = load((*settings.places, *([settings.map] if settings.map is not None else [])), regions)
    except ValueError as mistake:
        raise UserMistake(f"DISPATCH112_PLACES: {mistake}") from mistake
    for note in found.notes:
        log.warning("places: %s", note)
    return found


def locator(settings: Settings) -> Locator:
    """Finds where calls are: by the outlines of the map that the settings name, where it brings any. Raises
    UserMistake."""
    try:
        regions = Regions.from_map(settings.map) if settings.map is not None else Regions()
    except ValueError as mistake:
        raise UserMistake(f"DISPATCH112_MAP: {mistake}") from mistake
    return Locator(regions, gazetteer(settings, regions))
