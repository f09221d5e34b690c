"""The command `dispatch112 travel`, and the preparation of roads and compiled code.

It prints plain JSON. A user's mistake is a ValueError with one sentence, for the command line to show.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from routing import mapfolder, roads
from routing.cch import UNREACHABLE
from routing.geometry import COUNTRY, Box, Point, parse_point, to_lonlat
from routing.manifest import is_map
from routing.mapfolder import Map
from routing.matrix import Matrix
from routing.tables import read_places, write_table
from routing.travel import Travel, warm

DAY_MS: Final = 24 * 60 * 60 * 1000
DEFAULT_MAP: Final = Path("data") / "map"

TABLE_EXAMPLE: Final = "dispatch112 travel --map DIR --from-file A.csv --to-file B.csv --out matrix.csv"
TRAVEL_EXAMPLE: Final = "examples: dispatch112 travel --from 41.3111,69.2797 --to 39.6546,66.9645"


def prepare(cache_dir: Path, say: Callable[[str], None] = print) -> roads.Roads:
    """Make everything that a first start needs: the roads, their order, the compiled loops. Quick when it is there."""
    network = roads.demo(cache_dir, say=say)
    started = time.perf_counter()
    warm()
    say(f"readied travel times in {time.perf_counter() - started:.1f} s")
    return network


def add_travel_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dispatch112 travel`."""
    parser.epilog = f"{TRAVEL_EXAMPLE}; {TABLE_EXAMPLE}"
    parser.add_argument("--from", dest="start", metavar="LAT,LON", help="where the drive begins")
    parser.add_argument("--to", dest="end", metavar="LAT,LON", help="where it ends")
    parser.add_argument("--from-file", dest="starts", type=Path, metavar="FILE", help="many: CSV id,lat,lon or id,node")
    parser.add_argument(
        "--to-file", dest="ends", type=Path, metavar="FILE", help="where they end, CSV of the same kind"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table to write: CSV from,to,ms,metres")
    parser.add_argument("--map", dest="map_dir", type=Path, metavar="DIR", help="an imported map (the demo's roads)")
    parser.add_argument("--profile", metavar="P", help="who drives (as the map was imported)")
    parser.set_defaults(demo_dir=DEFAULT_MAP)


def run_travel(args: argparse.Namespace) -> int:
    """Print the quickest way between two positions, or write the table of two files. Raises ValueError."""
    one, many = (args.start, args.end), (args.starts, args.ends, args.out)
    if not (all(one) and not any(many)) and not (all(many) and not any(one)):
        raise ValueError("travel needs --from and --to, or --from-file, --to-file and --out")
    place = _map(args)
    answer = _way(place, args) if all(one) else _table(place, args)
    print(json.dumps(answer, ensure_ascii=False))
    return 0


def _way(place: Map, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds, metres, the streets by name, and the way as a GeoJSON line."""
    box = _box(place)
    start, end = parse_point(args.start, box), parse_point(args.end, box)
    travel = Travel(place.roads)
    path = travel.path(start, end)
    if path is None:
        raise ValueError(_why_none(place, args, start, end))
    line = {"type": "LineString", "coordinates": [[round(c, 6) for c in to_lonlat(p)] for p in path.points]}
    return {
        "seconds": round(path.seconds_at[-1], 3),
        "metres": round(path.metres, 1),
        "points": len(path.points),
        "from_road_m": round(travel.snap(*start).distance_m, 1),
        "to_road_m": round(travel.snap(*end).distance_m, 1),
        "map_version": travel.map_version,
        "names": street_names(place, path.arcs),
        "path": line,
    }


def _why_none(place: Map, args: argparse.Namespace, start: Point, end: Point) -> str:
    """What is true where no way is drawn: there is none, or it takes longer than the hierarchy's numbers hold."""
    matrix = Matrix(place.roads)
    ms, metres = matrix.rows(matrix.at_positions([start]), matrix.at_positions([end]))[0]
    if np.isnan(metres[0]):
        return f"no road leads from {args.start} to {args.end}"
    return (
        f"the way from {args.start} to {args.end} takes {ms[0] / DAY_MS:.1f} days, and none is drawn beyond "
        f"{UNREACHABLE / DAY_MS:.1f}; --from-file, --to-file and --out give its time and length"
    )


def street_names(place: Map, arcs: list[int]) -> list[str]:
    """The names of the streets that are driven, in order; what has no name is left out."""
    if place.roads.name is None:
        return []
    named = [number for number in place.roads.name[arcs].tolist() if number >= 0]
    return [place.names[number] for number, _ in groupby(named)]


def _table(place: Map, args: argparse.Namespace) -> dict[str, Any]:
    """Write the table; how large it is."""
    box, nodes = _box(place), len(place.roads.lat)
    starts, ends = (read_places(path, box, place.first_node, nodes) for path in (args.starts, args.ends))
    started = time.perf_counter()
    said = write_table(Matrix(place.roads), starts, ends, args.out)
    seconds = round(time.perf_counter() - started, 3)
    return said | {
        "out": str(args.out),
        "seconds": seconds,
        "profile": place.profile,
        "map_version": place.roads.version,
    }


def _map(args: argparse.Namespace) -> Map:
    """The map that was named; the demo's own roads are drawn when they are not there yet."""
    if args.map_dir is not None and is_map(args.map_dir):
        return mapfolder.load(args.map_dir, args.profile)
    if args.profile is not None:
        raise ValueError("--profile chooses among those of an imported map; the demo's roads have one")
    if args.map_dir is None:
        drawn = roads.demo(args.demo_dir, say=lambda _: None)
    elif roads.demo_file(args.map_dir).exists():
        drawn = roads.load(roads.demo_file(args.map_dir))
    else:
        return mapfolder.load(args.map_dir)  # which says what is missing
    return Map(drawn, [], {"first_node": 0}, "car")


def _box(place: Map) -> Box:
    """Where positions can be: anywhere in the country, or on a map of somewhere else."""
    return place.box if place.manifest.get("source") else COUNTRY
