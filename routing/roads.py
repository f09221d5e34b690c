"""The road network as arrays: nodes, directed arcs, their times and classes; kept on disk as one .npz file.

Made by the demo's generator (demo_roads) or, in production, from an OpenStreetMap extract (import_map). Not here:
how to find the nearest road (snapping), where a road bends (lines), how long a way takes (travel).
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import BadZipFile

import numpy as np
import routingkit_cch
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.geometry import EARTH_RADIUS_M

ROAD_CLASSES: Final = ("trunk", "primary", "secondary", "tertiary", "residential")
TRUNK, PRIMARY, SECONDARY, TERTIARY, RESIDENTIAL = range(5)
FILE_VERSION: Final = 1
DEMO_VERSION: Final = 1  # raise it when the generator makes other roads, so that no cached file is taken for them
DEMO_SEED: Final = 112

Say = Callable[[str], None]


class Roads(NamedTuple):
    """A road graph: n nodes, m directed arcs. A two-way street is two arcs that name each other as `twin`.

    `lat`, `lon` float64 (n) degrees; `tail`, `head` int32 (m) nodes; `ms` int32 (m) plain car time; `metres`
    float32 (m); `kind` uint8 (m) index into ROAD_CLASSES; `urban` bool (m); `twin` int32 (m) or -1;
    `order` int32 (n) nodes by ascending importance for the hierarchy; `version` names this very network.

    An imported network also has what a drawn one does without. `name` int32 (m) indexes the map's street names, -1
    none. Between its ends arc i bends at `bend_lat`, `bend_lon`[bend_first[i]:bend_first[i + 1]]. `snaps` bool (m) is
    false on arcs on which nobody stands: turns, copies of streets, roads from which nowhere can be reached.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    tail: NDArray[np.int32]
    head: NDArray[np.int32]
    ms: NDArray[np.int32]
    metres: NDArray[np.float32]
    kind: NDArray[np.uint8]
    urban: NDArray[np.bool_]
    twin: NDArray[np.int32]
    order: NDArray[np.int32]
    version: str
    name: NDArray[np.int32] | None = None
    bend_first: NDArray[np.int32] | None = None
    bend_lat: NDArray[np.float64] | None = None
    bend_lon: NDArray[np.float64] | None = None
    snaps: NDArray[np.bool_] | None = None


def demo(cache_dir: Path, seed: int = DEMO_SEED, say: Say = print) -> Roads:
    """The generated network of the demo country: built and ordered once (some seconds), then read from the
    cache."""
    path = demo_file(cache_dir, seed)
    if path.exists():
        try:
            return load(path)
        except ValueError as fault:
            say(f"{fault}; drawing it anew")
    from routing.demo_roads import generate  # only a first start needs the generator

    roads = generate(seed, say)
    started = time.perf_counter()
    roads = with_order(roads, f"demo-{DEMO_VERSION}-{seed}")
    say(f"ordered {len(roads.lat):,} road nodes in {time.perf_counter() - started:.1f} s")
    save(roads, path)
    return roads


def demo_file(directory: Path, seed: int = DEMO_SEED) -> Path:
    """Where a directory keeps the demo's network."""
    return directory / f"demo-roads-{DEMO_VERSION}-{seed}.npz"


def with_order(roads: Roads, name: str) -> Roads:
    """The same roads with the nodes' order computed and a version of the name and a digest of what was
    given."""
    order = routingkit_cch.compute_order_inertial(
        len(roads.lat), roads.tail.tolist(), roads.head.tolist(), roads.lat.tolist(), roads.lon.tolist()
    )
    digest = hashlib.sha256()
    for column in (roads.lat, roads.lon, roads.tail, roads.head, roads.ms):
        digest.update(np.ascontiguousarray(column).tobytes())
    return roads._replace(order=np.array(order, dtype=np.int32), version=f"{name}-{digest.hexdigest()[:8]}")


def lengths_m(
    lat: NDArray[np.float64], lon: NDArray[np.float64], tail: NDArray[np.int32], head: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Great-circle metres from each tail to its head."""
    a, b = np.radians(lat[tail]), np.radians(lat[head])
    turn = np.radians(lon[head] - lon[tail])
    square = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(square)))


def twins(tail: NDArray[np.int32], head: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each arc the first arc that runs the other way between the same nodes and is not yet taken, or
    -1."""
    twin = np.full(len(tail), -1, np.int32)
    waiting: dict[tuple[int, int], list[int]] = {}
    for arc, ends in enumerate(zip(tail.tolist(), head.tolist(), strict=True)):
        back = waiting.get((ends[1], ends[0]))
        if back:
            other = back.pop()
            twin[arc], twin[other] = other, arc
        else:
            waiting.setdefault(ends, []).append(arc)
    return twin


def save(roads: Roads, path: Path) -> None:
    """Write the network; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        columns = {name: column for name, column in roads._asdict().items() if column is not None}
        np.savez(file, file_version=FILE_VERSION, **columns)
    part.replace(path)


def load(path: Path) -> Roads:
    """Read a network; ValueError with one sentence when the file is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            is_ours = int(file["file_version"]) == FILE_VERSION
            wanted = [name for name in Roads._fields if name in file or name not in Roads._field_defaults]
            columns = {name: file[name] for name in wanted} if is_ours else {}
    except (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile) as fault:
        raise ValueError(f"cannot read the road network {path}: {fault}") from None
    if not is_ours:
        raise ValueError(f"the road network {path} is of another version: build it anew")
    roads = Roads(**{**columns, "version": str(columns["version"])})
    check(roads)
    return roads


def check(roads: Roads) -> None:
    """Assert what every part of this package relies on."""
    n, m = len(roads.lat), len(roads.tail)
    assert n > 0 and m > 0 and len(roads.lon) == n and len(roads.order) == n
    assert all(len(column) == m for column in roads[3:9]), "the arc columns differ in length"
    assert roads.tail.min() >= 0 and roads.tail.max() < n and roads.head.min() >= 0 and roads.head.max() < n
    assert roads.ms.min() >= 0 and roads.ms.max() <= UNREACHABLE
    assert np.array_equal(np.sort(roads.order), np.arange(n)), "the order is not a permutation of the nodes"
    for column in (roads.name, roads.snaps):
        assert column is None or len(column) == m, "an arc column has another length"
    if roads.bend_first is not None:
        assert roads.bend_lat is not None and roads.bend_lon is not None and len(roads.bend_first) == m + 1
        assert roads.bend_first[-1] == len(roads.bend_lat) == len(roads.bend_lon)
    paired = np.flatnonzero(roads.twin >= 0)
    assert np.array_equal(roads.twin[roads.twin[paired]], paired), "twins must name each other"
