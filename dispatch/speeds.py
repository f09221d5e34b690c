"""`dispatch112 learn-speeds`: speeds by the hour from a file of tracks, for the road engine to use.

A track file is CSV with a header: unit, at (RFC 3339 with a zone), lat, lon. The table `tracks` gives one by
`COPY (SELECT unit_id AS unit, at, lat, lon FROM tracks) TO STDOUT (FORMAT csv, HEADER)`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dispatch.errors import UserMistake
from dispatch.maps import imported_roads
from dispatch.settings import Settings, settings_from
from routing import learning, roads
from routing.learning import Fix, Learnt, learn, observed
from routing.roads import Roads
from routing.travel import Travel
from routing.weights import Profile

FILE = "speeds.json"
"""In the data directory: the speeds that a service uses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tracks", type=Path, metavar="FILE", help="CSV with the columns unit, at, lat, lon")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"where to keep what was learnt ({FILE} in the data)")
    parser.add_argument("--map", type=Path, metavar="DIR", help="an imported map (DISPATCH112_MAP), or an .npz network")
    parser.add_argument("--data-dir", metavar="DIR", help="whose speeds they are (.data)")
    parser.add_argument(
        "--time-factor", type=float, default=1.0, metavar="X",
        help="what lights and sirens made of the time on these tracks (1: driven without them)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Learn, keep, and print how much was seen."""
    if not 0.1 <= args.time_factor <= 2.0:
        raise UserMistake(f"--time-factor is from 0.1 to 2, not {args.time_factor:g}")
    settings = settings_from(args)
    tracks = read_tracks(args.tracks)
    try:
        network = _network(settings)
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake
    travel = Travel(network)
    seen = [found for track in tracks.values() for found in observed(travel, track, args.time_factor)]
    path = args.out or settings.data_dir / FILE
    learnt = learn(seen)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        learning.write(learnt, path)
    except OSError as fault:
        raise UserMistake(f"cannot write {path}: {fault.strerror}") from None
    print(json.dumps(_told(tracks, len(seen), learnt, path)))
    return 0


def _network(settings: Settings) -> Roads:
    """The roads that the service drives by: an imported map's, a network alone, or the demo's own."""
    if settings.map is None:
        return roads.demo(settings.cache_dir, say=lambda _: None)
    return imported_roads(settings.map) if settings.map.is_dir() else roads.load(settings.map)


def _told(tracks: dict[str, list[Fix]], observations: int, learnt: Learnt, path: Path) -> dict[str, object]:
    counts = [count for day in learnt.observations for hour in day for kind in hour for count in kind]
    return {
        "units": len(tracks),
        "fixes": sum(map(len, tracks.values())),
        "stretches_observed": observations,
        "groups_with_enough": sum(count >= learning.FEWEST for count in counts),
        "drives_observed": sum(count for day in learnt.drives for hour in day for count in hour),
        "written_to": str(path),
    }


def read_tracks(path: Path) -> dict[str, list[Fix]]:
    """The fixes of each unit. Raises UserMistake with the line that is wrong."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            tracks: dict[str, list[Fix]] = {}
            for unit, fix in _rows(file, path):
                tracks.setdefault(unit, []).append(fix)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UserMistake(f"cannot read {path}: {getattr(fault, 'strerror', None) or fault}") from None
    return tracks


def _rows(file: Iterator[str], path: Path) -> Iterator[tuple[str, Fix]]:
    rows = csv.DictReader(file)
    missing = {"unit", "at", "lat", "lon"} - set(rows.fieldnames or ())
    if missing:
        raise UserMistake(f"{path} has no column {', '.join(sorted(missing))}")
    for row in rows:
        try:
            at, lat, lon = datetime.fromisoformat(row["at"]), float(row["lat"]), float(row["lon"])
            if at.tzinfo is None or not (-90 <= lat <= 90 and -180 <= lon <= 180):
                raise ValueError("a time needs a zone, a position degrees")
        except (TypeError, ValueError) as fault:
            raise UserMistake(f"{path}, line {rows.line_num}: {fault}") from None
        yield row["unit"], Fix(at, lat, lon)


def profile_of(settings: Settings) -> Profile | None:
    """The learnt speeds in the data directory; None without any. Raises UserMistake when the file is none."""
    path = settings.data_dir / FILE
    if not path.exists():
        return None
    try:
        return learning.read(path).profile()
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake
