"""The command `dispatch112 search`: what a text may mean, as plain JSON.

A user's mistake is a ValueError with one sentence, for the command line to show.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from routing.addresses import MOST_CHARS
from routing.gazetteer import Gazetteer, Place, load
from routing.geometry import Point, parse_point
from routing.regions import Regions

MOST_RESULTS: Final = 100
NEAR_MAP_DEG: Final = 0.5  # round the places of a map of another country
_SHOWN: Final = ("name", "kind", "region", "lat", "lon", "score", "accuracy_m")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dispatch112 search`."""
    parser.add_argument(
        "text", metavar="TEXT", help="a name, an address, «M39 km 125», coordinates, a plus code, a link"
    )
    parser.add_argument("--near", metavar="LAT,LON", help="favour what is near")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="how many at most (10)")
    files: tuple[tuple[str, str, str], ...] = (
        ("--map", "DIR", "an imported map: its names and house numbers as well"),
        ("--places", "FILE", "a list of places as CSV as well (docs/places.md); also DISPATCH112_PLACES"),
        ("--landmarks", "FILE", "landmarks, areas and kilometre posts as GeoJSON as well (docs/places.md)"),
    )
    for flag, metavar, said in files:
        parser.add_argument(flag, dest="files", type=Path, action="append", metavar=metavar, help=said)


def run(args: argparse.Namespace, places: Sequence[Path] = ()) -> int:
    """Print the places that a text may mean, best first; what was left out of files goes to standard error."""
    if not 1 <= args.limit <= MOST_RESULTS:
        raise ValueError(f"--limit is from 1 to {MOST_RESULTS}, not {args.limit}")
    if len(args.text) > MOST_CHARS:
        raise ValueError(f"TEXT has {len(args.text)} characters; what names a place has at most {MOST_CHARS}")
    files = [*places, *(args.files or ())]
    maps = [path for path in files if path.is_dir()]
    gazetteer = load(files, Regions.from_map(maps[-1]) if maps else None)
    for note in gazetteer.notes:
        print(note, file=sys.stderr)
    near = None if args.near is None else _near(args.near, gazetteer)
    found = gazetteer.search(args.text, near, args.limit)
    print(json.dumps([_row(place) for place in found], ensure_ascii=False))
    return 0


def _row(place: Place) -> dict[str, object]:
    return {key: getattr(place, key) for key in _SHOWN}


def _near(text: str, gazetteer: Gazetteer) -> Point:
    """A position in the country, or where a map of somewhere else has its places."""
    try:
        return parse_point(text)
    except ValueError:
        parts = text.split(",")
        if gazetteer.is_abroad and len(parts) == 2:
            at = Point(*map(float, parts))
            if any(abs(at.lat - p.at.lat) + abs(at.lon - p.at.lon) < NEAR_MAP_DEG for p in gazetteer.places):
                return at
        raise
