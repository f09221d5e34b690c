"""The command `dispatch112 import-map`: a map folder from an OpenStreetMap extract or a JEMSS road network.

Steps are said on standard error, what was made as one JSON object on standard output.
"""

import argparse
import csv
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from routing import jemss, manifest, mapfolder, milestones, network, osm, outlines, roads, things
from routing.cch import UNREACHABLE
from routing.manifest import digest
from routing.network import Network
from routing.profiles import CAR, UNIT, Profiles, read_profiles
from routing.progress import Progress

EXAMPLE: Final = "example: dispatch112 import-map uzbekistan-latest.osm.pbf --map DIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dispatch112 import-map`."""
    parser.epilog = EXAMPLE
    parser.add_argument("file", type=Path, metavar="FILE", help="an extract (.osm.pbf), or a JEMSS roads.zip")
    parser.add_argument("--map", dest="map_dir", type=Path, required=True, metavar="DIR", help="the map folder to make")
    parser.add_argument("--profile", metavar="P", help="who drives by default, and in --export-edges (car; mode_1)")
    parser.add_argument("--profiles", type=Path, metavar="FILE", help="speeds and factors other than the built-in ones")
    parser.add_argument(
        "--export-edges",
        dest="edges",
        type=Path,
        metavar="FILE",
        help="tail,head,ms as CSV, with a nodes.csv beside it",
    )


def run(args: argparse.Namespace) -> int:
    """Import, and print what the map is made of. Raises ValueError with one sentence."""
    _readable(args.file)
    if args.edges is not None and not (_is_within_map(args) or args.edges.parent.is_dir()):
        raise ValueError(f"cannot write {args.edges}: there is no directory {args.edges.parent}")
    progress = Progress()
    with mapfolder.writing(args.map_dir) as place:
        said = _imported_jemss(args, place, progress) if jemss.is_jemss(args.file) else _imported(args, place, progress)
        manifest.write_manifest(place, said)
    progress.done("written", "")
    progress.finish()
    print(json.dumps({"map": str(args.map_dir), **said, **_cost(progress)}, ensure_ascii=False))
    return 0


def _readable(path: Path) -> None:
    """Raises ValueError when there is no such file, before anything is made."""
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    if path.is_dir() and not jemss.is_jemss(path):
        raise ValueError(f"{path} is a directory; name an extract, such as uzbekistan-latest.osm.pbf")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")


def _is_within_map(args: argparse.Namespace) -> bool:
    """Whether the edges are asked for in the map's own folder."""
    return bool(args.edges.absolute().parent == args.map_dir.absolute())


def _imported(args: argparse.Namespace, place: Path, progress: Progress) -> dict[str, Any]:
    profiles = read_profiles() if args.profiles is None else read_profiles(args.profiles)
    profile = _chosen(args.profile, list(profiles.profiles), CAR)
    made, newest = _extracted(args.file, profiles, place, progress)
    said = _finished(args, place, made, profile, progress)
    factors = {name: msgspec.to_builtins(each) for name, each in profiles.profiles.items()}
    return said | {"first_node": 0, "unit_profile": UNIT, "data_until": newest, "factors": factors}


def _extracted(file: Path, profiles: Profiles, place: Path, progress: Progress) -> tuple[Network, str]:
    """The network of an extract, and its newest change; what the map says besides is written already. The extract
    itself is let go here, for the order needs the room."""
    extract = osm.read(file, progress)
    made = progress.step("network", lambda: network.build(extract, profiles))
    areas = progress.step("outlines", lambda: outlines.assembled(extract))
    outlines.write(areas, place)
    rows = progress.step("gazetteer", lambda: things.write(extract, areas, place))
    posts = progress.step("posts", lambda: milestones.write(extract, place))
    counts = made.counts | {"gazetteer_rows": rows, "outlines": len(areas), "kilometre_posts": posts}
    return made._replace(counts=counts), extract.newest


def _imported_jemss(args: argparse.Namespace, place: Path, progress: Progress) -> dict[str, Any]:
    made = progress.step("network", lambda: jemss.read(args.file))
    modes = list(made.ms)
    profile = _chosen(args.profile, modes, modes[0])
    said = _finished(args, place, made, profile, progress)
    # Live dispatch multiplies for sirens itself, so it starts from the slowest mode, the one without.
    slowest = max(modes, key=lambda mode: int(made.ms[mode].sum(dtype=np.int64)))
    return said | {"first_node": 1, "unit_profile": slowest, "data_until": "", "factors": {}}


def _chosen(wanted: str | None, names: list[str], usual: str) -> str:
    if wanted is not None and wanted not in names:
        raise ValueError(f"there is no profile {wanted!r}: profiles are {', '.join(names)}")
    return wanted or usual


def _finished(args: argparse.Namespace, place: Path, made: Network, profile: str, progress: Progress) -> dict[str, Any]:
    """Order the network, write it and the edges that were asked for; what the manifest says of it."""
    name = args.file.name.split(".")[0] or "map"
    chosen = made.roads._replace(ms=made.ms[profile], snaps=made.snaps[profile])
    ordered = progress.step("order", lambda: roads.with_order(chosen, name))
    roads.check(ordered)
    made = made._replace(roads=ordered)
    mapfolder.write_network(made, place)
    first_node = 1 if jemss.is_jemss(args.file) else 0
    if args.edges is not None:
        # In the map's own folder they appear with it: what stands there now is about to go.
        path = place / args.edges.name if _is_within_map(args) else args.edges
        _export(made, profile, path, first_node)
    return {
        "version": ordered.version,
        "source": args.file.name,
        "source_sha256": digest(args.file) if args.file.is_file() else "",
        "profile": profile,
        "profiles": list(made.ms),
        "times_of": mapfolder.times_of(made),
        "box": [round(float(edge(c)), 6) for edge in (np.min, np.max) for c in (ordered.lat, ordered.lon)],
        "counts": made.counts | {"streets_on_islands": _on_islands(made, profile)},
    }


def _on_islands(made: Network, profile: str) -> int:
    """The open arcs of streets on which nobody is looked for, since they lead nowhere."""
    is_street = (made.ms[profile] < UNREACHABLE) & (made.roads.metres > 0)
    return int(np.count_nonzero(is_street & ~made.snaps[profile]))


def _export(made: Network, profile: str, path: Path, first_node: int) -> None:
    """The open arcs as tail,head,ms, and beside them nodes.csv: id, lat, lon and the node's id in the source."""
    ms, found = made.ms[profile], made.roads
    is_open = ms < UNREACHABLE
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("tail", "head", "ms"))
            ends = (found.tail[is_open] + first_node, found.head[is_open] + first_node, ms[is_open])
            out.writerows(zip(*(column.tolist() for column in ends), strict=True))
        with path.with_name("nodes.csv").open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("id", "lat", "lon", "source_id"))
            places = (found.lat.round(7), found.lon.round(7), made.source)
            ids = range(first_node, first_node + len(found.lat))
            out.writerows(zip(ids, *(column.tolist() for column in places), strict=True))
    except OSError as fault:
        raise ValueError(f"cannot write {fault.filename or path}: {fault.strerror}") from None


def _cost(progress: Progress) -> dict[str, float]:
    """What the import took."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(progress.seconds, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_memory_mib": round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1),
    }
