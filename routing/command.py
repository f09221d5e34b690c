"""The command `dispatch112 travel`, and the preparation of roads and compiled code.

It prints plain JSON. A user's mistake is a ValueError with one sentence, for the command line to show.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from routing import roads
from routing.geometry import parse_point, to_lonlat
from routing.travel import Travel, warm

DEFAULT_MAP: Final = Path("data") / "map"

TRAVEL_EXAMPLE: Final = "example: dispatch112 travel --from 41.3111,69.2797 --to 39.6546,66.9645"


def prepare(cache_dir: Path, say: Callable[[str], None] = print) -> roads.Roads:
    """Make everything that a first start needs: the roads, their order, the compiled loops. Quick when it is there."""
    network = roads.demo(cache_dir, say=say)
    started = time.perf_counter()
    warm()
    say(f"readied travel times in {time.perf_counter() - started:.1f} s")
    return network


def add_travel_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dispatch112 travel`."""
    parser.epilog = TRAVEL_EXAMPLE
    parser.add_argument("--from", dest="start", required=True, metavar="LAT,LON", help="where the drive begins")
    parser.add_argument("--to", dest="end", required=True, metavar="LAT,LON", help="where it ends")
    parser.add_argument("--map", dest="map_dir", type=Path, metavar="DIR", help="a road network (the demo's)")
    parser.set_defaults(demo_dir=DEFAULT_MAP)


def run_travel(args: argparse.Namespace) -> int:
    """Print the quickest way between two positions: seconds, metres, and the way as a GeoJSON line."""
    start, end = parse_point(args.start), parse_point(args.end)
    travel = Travel(_network(args))
    path = travel.path(start, end)
    if path is None:
        raise ValueError(f"no road leads from {args.start} to {args.end}")
    line = {"type": "LineString", "coordinates": [[round(c, 6) for c in to_lonlat(p)] for p in path.points]}
    answer = {
        "seconds": round(path.seconds_at[-1], 3),
        "metres": round(path.metres, 1),
        "points": len(path.points),
        "from_road_m": round(travel.snap(*start).distance_m, 1),
        "to_road_m": round(travel.snap(*end).distance_m, 1),
        "map_version": travel.map_version,
        "path": line,
    }
    print(json.dumps(answer))
    return 0


def _network(args: argparse.Namespace) -> roads.Roads:
    """The network of the directory that was named; the demo's own is drawn when it is not there yet."""
    if args.map_dir is None:
        return roads.demo(args.demo_dir, say=lambda _: None)
    return roads.load(roads.demo_file(args.map_dir))
