"""The map folder: a network with the times of each profile, names, outlines and a gazetteer, and what they are from.

    map.json         what it was made from, when, with which profiles; the SHA-256 of every other file
    roads.npz        the network: nodes, arcs, bends, order (roads); its times are the default profile's
    profiles.npz     ms_NAME, snaps_NAME for each profile; equal ones share theirs
    streets.txt      street names, one a line; arcs name them by line, from 0
    regions.geojson, districts.geojson, gazetteer.csv, kilometres.geojson
                     only of an OpenStreetMap extract (outlines, things, milestones)

It appears whole or not at all, and is read only as it was written (manifest). docs/maps.md describes it for those who
read it with other programs.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from routing import roads
from routing.cch import UNREACHABLE
from routing.manifest import check_files, is_map, manifest
from routing.milestones import FILE as KILOMETRES_FILE
from routing.network import Network
from routing.outlines import FILES as OUTLINE_FILES
from routing.roads import Roads
from routing.things import FILE as GAZETTEER_FILE

ROADS, PROFILES, STREETS = "roads.npz", "profiles.npz", "streets.txt"
BOX_MARGIN_DEG: Final = 0.1  # a position this far outside the network's box is a mistake, not a place off the road


class Map(NamedTuple):
    """A map folder that was read: the network under one profile, its street names, its manifest."""

    roads: Roads
    names: list[str]
    manifest: dict[str, Any]
    profile: str

    @property
    def first_node(self) -> int:
        """What the first node is called outside: 0, or 1 where the source counts from 1."""
        return int(self.manifest["first_node"])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """South, west, north, east of where positions can be, in degrees."""
        lat, lon, margin = self.roads.lat, self.roads.lon, BOX_MARGIN_DEG
        return (
            float(lat.min()) - margin,
            float(lon.min()) - margin,
            float(lat.max()) + margin,
            float(lon.max()) + margin,
        )


def check(directory: Path) -> None:
    """Check everything that a service reads of a map. ValueError with one sentence when it is none, or damaged."""
    manifest(directory)
    check_files(directory, ROADS, PROFILES, STREETS, GAZETTEER_FILE, KILOMETRES_FILE, *OUTLINE_FILES.values())


def load(directory: Path, profile: str | None = None, for_units: bool = False) -> Map:
    """Read a map under a profile: the one that it was imported with, another by name, or the one that live dispatch
    uses (`for_units`). ValueError with one sentence."""
    said = manifest(directory)
    chosen = profile or said["unit_profile" if for_units else "profile"]
    if chosen not in said["profiles"]:
        raise ValueError(f"the map {directory} has no profile {chosen!r}; it has {', '.join(said['profiles'])}")
    check_files(directory, ROADS, PROFILES, STREETS)
    found = roads.load(directory / ROADS)
    try:
        with np.load(directory / PROFILES, allow_pickle=False) as file:
            stored = said["times_of"][chosen]
            ms, snaps = file[f"ms_{stored}"], file[f"snaps_{stored}"]
        names = street_names(directory)
        if found.name is not None and found.name.max() >= len(names):
            raise ValueError(f"{STREETS} is cut short")
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as fault:
        raise ValueError(f"cannot read the map {directory}: {fault}; import it anew") from None
    closed = ms >= UNREACHABLE
    # A street that this profile drives one way only has no other way: what is closed for good is no twin of anything.
    alone = (found.twin >= 0) & (closed | closed[found.twin])
    found = found._replace(
        ms=ms, snaps=snaps & ~closed, twin=np.where(alone, -1, found.twin), version=f"{found.version}-{chosen}"
    )
    roads.check(found)
    return Map(found, names, said, chosen)


def street_names(directory: Path) -> list[str]:
    """The names that its arcs are numbered by. Raises OSError or ValueError."""
    return (directory / STREETS).read_text("utf-8").splitlines()


@contextmanager
def writing(directory: Path) -> Iterator[Path]:
    """A directory to write a map into; it takes the place of `directory` when the block ends without a fault, and is
    gone otherwise. ValueError when that place cannot be written or holds something else than a map."""
    directory = directory.absolute()
    if directory.exists() and not is_map(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(f"{directory} exists and is no map; name a directory that is new or empty")
    part, old = (directory.with_name(f".{directory.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        part.mkdir(parents=True)
    except OSError as fault:
        raise ValueError(f"cannot write the map {directory}: {fault.strerror}") from None
    try:
        yield part
        _synced(part)
        if directory.exists():
            directory.rename(old)
        part.rename(directory)
    except OSError as fault:
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise ValueError(f"cannot write the map {directory}: {fault.strerror or fault}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_network(network: Network, place: Path) -> None:
    """The three files of the network."""
    roads.save(network.roads, place / ROADS)
    stored = set(times_of(network).values())
    columns: dict[str, NDArray[Any]] = {f"ms_{name}": network.ms[name] for name in stored}
    columns |= {f"snaps_{name}": network.snaps[name] for name in stored}
    with (place / PROFILES).open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
    clean = [" ".join(name.split()) for name in network.names]
    (place / STREETS).write_text("".join(f"{name}\n" for name in clean), "utf-8")


def times_of(network: Network) -> dict[str, str]:
    """For each profile the one whose times it shares: itself, or an equal one before it."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(ms), name) for name, ms in network.ms.items()}


def _synced(place: Path) -> None:
    """On the disk, and not only on its way there, before the name is given."""
    for path in place.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
