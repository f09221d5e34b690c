"""Reading an OpenStreetMap extract: streets, barriers, turn restrictions, outlines and everything with a name.

Three passes over the file, each a stream: relations, ways, then only those nodes that ways have asked for. What is
kept is arrays and small values, so a country needs memory by its roads and names, not by its buildings' corners.
Not here: what tags mean for driving (tags), what becomes of it all (network,
places_of_map).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import tags
from routing.profiles import FREE
from routing.progress import Progress

if TYPE_CHECKING:
    import osmium

CORNERS_MAX: Final = 12  # of a building or a park: its middle is the mean of so many of its corners
NAMED_KEYS: Final = ("name", "addr:housenumber", "place")
OUTLINE_LEVELS: Final = {"4": "region", "6": "district"}

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]


class Restriction(NamedTuple):
    """A turn restriction by ids: ways that it comes from, what it goes by (nodes, or ways), ways that it leads to."""

    is_only: bool
    kind: int
    from_ways: tuple[int, ...]
    via_nodes: tuple[int, ...]
    via_ways: tuple[int, ...]
    to_ways: tuple[int, ...]


class Outline(NamedTuple):
    """A boundary relation of a region or a district: its tags and its ways' ids."""

    kind: str
    tags: dict[str, str]
    ways: tuple[int, ...]


class Thing(NamedTuple):
    """Something with a name or a house number: its tags, and nodes whose mean is where it is."""

    tags: dict[str, str]
    nodes: tuple[int, ...]
    is_street: bool = False


class Nodes(NamedTuple):
    """The nodes that were asked for and are in the extract, by ascending id. `barrier` uint8."""

    ids: Longs
    lat: Floats
    lon: Floats
    barrier: NDArray[np.uint8]

    def find(self, ids: Longs) -> Longs:
        """Where ids are in the columns; -1 for those that the extract has not."""
        if len(self.ids) == 0:
            return np.full(len(ids), -1)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, at, -1)


class Extract(NamedTuple):
    """All that was read. Way i has the nodes refs[first[i]:first[i + 1]] and is streets[street[i]]; `road_refs` are the
    ways of each road with a number."""

    way_ids: Longs
    first: Longs
    refs: Longs
    street: NDArray[np.int32]
    streets: list[tags.Street]
    nodes: Nodes
    restrictions: list[Restriction]
    outlines: list[Outline]
    outline_refs: dict[int, Longs]
    things: list[Thing]
    milestones: list[Thing]
    road_refs: dict[str, list[int]]
    newest: str


def read(path: Path, progress: Progress) -> Extract:
    """Read an extract (.osm.pbf, .osm, .osm.bz2). ValueError with one sentence when it cannot be read or holds no
    roads."""
    library = _osmium()
    reading = _Reading(library, path, progress)
    with _one_line(path, (RuntimeError, UnicodeDecodeError, library.InvalidLocationError)):
        reading.relations()
        reading.ways()
        if not reading.way_ids:
            raise ValueError(f"the extract {path} has no road that can be driven on")
        reading.named_nodes()
        nodes = reading.nodes()
    return reading.extract(nodes)


def _osmium() -> Any:
    try:
        import osmium
    except ImportError:
        raise ValueError("osmium is missing, which reads OpenStreetMap extracts: run make setup again") from None
    return osmium


@contextmanager
def _one_line(path: Path, faults: tuple[type[Exception], ...]) -> Iterator[None]:
    """What osmium says of a file that it cannot read, as one sentence."""
    try:
        yield
    except faults as fault:
        why = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise ValueError(
            f"cannot read {path} as an OpenStreetMap extract ({why}); is it whole, and .osm.pbf?"
        ) from None


class _Reading:
    """What has been read so far."""

    def __init__(self, library: Any, path: Path, progress: Progress) -> None:
        self._osmium, self._path, self._progress = library, path, progress
        self.restrictions: list[Restriction] = []
        self.outlines: list[Outline] = []
        self.things: list[Thing] = []
        self.milestones: list[Thing] = []
        self.road_refs: dict[str, list[int]] = {}
        self.way_ids, self.refs, self.street_of = array("q"), array("q"), array("i")
        self.first = array("q", [0])
        self.newest = ""
        self._streets: dict[tags.Street, int] = {}
        self._outline_ways: set[int] = set()
        self._outline_refs: dict[int, Longs] = {}
        self._other_refs = array("q")
        self._waiting: dict[int, list[dict[str, str]]] = {}

    def relations(self) -> None:
        """Turn restrictions, outlines, and named areas of several ways, which stand where their first way is."""
        for relation in self._objects("relations", self._osmium.osm.RELATION, "type"):
            said = dict(relation.tags)
            if said["type"].partition(":")[0] == "restriction":  # some say of whom there already: restriction:hgv
                self._restriction(relation, said)
            elif said["type"] == "boundary" and said.get("admin_level") in OUTLINE_LEVELS and "name" in said:
                ways = tuple(m.ref for m in relation.members if m.type == "w" and m.role in ("", "outer", "inner"))
                self.outlines.append(Outline(OUTLINE_LEVELS[said["admin_level"]], said, ways))
                self._outline_ways.update(ways)
            elif said["type"] == "multipolygon" and any(key in said for key in NAMED_KEYS):
                outer = next((m.ref for m in relation.members if m.type == "w" and m.role != "inner"), None)
                if outer is not None:
                    self._waiting.setdefault(outer, []).append(said)

    def _restriction(self, relation: osmium.osm.Relation, said: dict[str, str]) -> None:
        meant = tags.restriction(said)
        if meant is None:
            return
        members: dict[tuple[str, str], list[int]] = {}
        for member in relation.members:
            members.setdefault((member.role, member.type), []).append(member.ref)
        role = {what: tuple(members.get(what, ())) for what in (("via", "n"), ("via", "w"), ("from", "w"), ("to", "w"))}
        self.restrictions.append(
            Restriction(*meant, role["from", "w"], role["via", "n"], role["via", "w"], role["to", "w"])
        )

    def ways(self) -> None:
        """Streets; ways of outlines; things that are drawn as a way."""
        keys = ("highway", *NAMED_KEYS)
        for way in self._objects("ways", self._osmium.osm.WAY, *keys):
            said = dict(way.tags)
            refs = [node.ref for node in way.nodes]
            street = tags.street(said) if "highway" in said else None
            if street is not None and len(refs) > 1:
                for ref in filter(None, map(str.strip, said.get("ref", "").split(";"))):
                    self.road_refs.setdefault(ref, []).append(len(self.way_ids))
                self._street(way, street, refs)
            if any(key in said for key in NAMED_KEYS) and refs:
                self._thing(said, refs)
        wanted = self._outline_ways | self._waiting.keys()
        for way in self._objects("outlines", self._osmium.osm.WAY, ids=wanted) if wanted else ():
            refs = [node.ref for node in way.nodes]
            if way.id in self._outline_ways:
                self._outline_refs[way.id] = np.array(refs, np.int64)
                self._other_refs.extend(refs)
            for said in self._waiting.get(way.id, ()):
                self._thing(said, refs)

    def _street(self, way: osmium.osm.Way, street: tags.Street, refs: list[int]) -> None:
        self.way_ids.append(way.id)
        self.refs.extend(refs)
        self.first.append(len(self.refs))
        self.street_of.append(self._streets.setdefault(street, len(self._streets)))
        if way.timestamp.year > 1970:  # an extract may leave them out
            self.newest = max(self.newest, way.timestamp.isoformat())

    def _thing(self, said: dict[str, str], refs: list[int]) -> None:
        is_street = "highway" in said
        # A street is where its middle node is, not beside its bend.
        step, begin = (len(refs), len(refs) // 2) if is_street else (-(-len(refs) // CORNERS_MAX), 0)
        chosen = tuple(refs[begin::step])
        self.things.append(Thing(said, chosen, is_street))
        self._other_refs.extend(chosen)

    def named_nodes(self) -> None:
        """Places, houses and sights that are a single node, and kilometre posts."""
        for node in self._objects("names", self._osmium.osm.NODE, *NAMED_KEYS, "highway"):
            thing = Thing(dict(node.tags), (node.id,))
            is_named, is_post = any(key in thing.tags for key in NAMED_KEYS), thing.tags.get("highway") == "milestone"
            if is_named:
                self.things.append(thing)
            if is_post:
                self.milestones.append(thing)
            if is_named or is_post:
                self._other_refs.append(node.id)

    def nodes(self) -> Nodes:
        """Where the nodes are that ways and things have asked for, and what stands on those of roads."""
        asked = np.unique(np.concatenate([_longs(self.refs), _longs(self._other_refs)]))
        of_roads = set(np.unique(_longs(self.refs)).tolist())
        ids, lat, lon, barrier = array("q"), array("d"), array("d"), array("B")
        for node in self._objects("nodes", self._osmium.osm.NODE, ids=asked.tolist()):
            where = node.location
            if where.valid():
                ids.append(node.id)
                lat.append(where.lat_without_check())
                lon.append(where.lon_without_check())
                stands = len(node.tags) > 0 and "barrier" in node.tags and node.id in of_roads
                barrier.append(tags.barrier(dict(node.tags)) if stands else FREE)
        kept, order = np.unique(_longs(ids), return_index=True)
        return Nodes(kept, np.array(lat)[order], np.array(lon)[order], np.array(barrier, np.uint8)[order])

    def extract(self, nodes: Nodes) -> Extract:
        """All of it."""
        return Extract(
            _longs(self.way_ids), _longs(self.first), _longs(self.refs), np.array(self.street_of, np.int32),
            list(self._streets), nodes, self.restrictions, self.outlines, self._outline_refs, self.things,
            self.milestones, self.road_refs, self.newest,
        )  # fmt: skip

    def _objects(self, what: str, kind: Any, *keys: str, ids: Iterable[int] | None = None) -> Iterator[Any]:
        """Objects of one kind that have one of the keys, or one of the ids, as the file has them."""
        source = self._osmium.FileProcessor(str(self._path), kind)
        if keys:
            source = source.with_filter(self._osmium.filter.KeyFilter(*keys))
        if ids is not None:
            source = source.with_filter(self._osmium.filter.IdFilter(ids))
        return self._progress.counting(what, source)


def _longs(column: array[int]) -> Longs:
    return np.frombuffer(column, np.int64) if len(column) else np.zeros(0, np.int64)
