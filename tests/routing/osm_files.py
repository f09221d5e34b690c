"""Extracts that a test draws itself: nodes on a grid of streets, ways, relations, written by osmium."""

from pathlib import Path
from typing import NamedTuple

import osmium

from routing import network, osm, roads
from routing.network import Network
from routing.profiles import read_profiles
from routing.progress import Progress
from routing.roads import Roads

SOUTH, WEST = 41.0, 69.0
STEP_DEG = 0.002  # some 200 m
Member = tuple[str, int, str]


class Drawn(NamedTuple):
    """What will be in the file: nodes by id (lat, lon, tags), ways (refs, tags), relations (members, tags)."""

    nodes: dict[int, tuple[float, float, dict[str, str]]]
    ways: dict[int, tuple[list[int], dict[str, str]]]
    relations: list[tuple[list[Member], dict[str, str]]]

    def node(self, id: int, row: float, column: float, **tags: str) -> int:
        """A node so many steps north and east of the corner."""
        self.nodes[id] = (SOUTH + row * STEP_DEG, WEST + column * STEP_DEG, _keyed(tags))
        return id

    def way(self, id: int, refs: list[int], highway: str = "residential", **tags: str) -> int:
        self.ways[id] = (refs, {"highway": highway, **_keyed(tags)})
        return id

    def restriction(self, kind: str, *members: Member, **tags: str) -> None:
        self.relations.append((list(members), {"type": "restriction", "restriction": kind, **_keyed(tags)}))

    def turn(self, kind: str, start: int, via: int, end: int, **tags: str) -> None:
        """A restriction from way to way via a node."""
        self.restriction(kind, ("w", start, "from"), ("n", via, "via"), ("w", end, "to"), **tags)

    def at(self, id: int) -> tuple[float, float]:
        return self.nodes[id][:2]

    def between(self, one: int, other: int, part: float = 0.5) -> tuple[float, float]:
        """A place on the straight line between two nodes."""
        (a, b), (c, d) = self.at(one), self.at(other)
        return a + (c - a) * part, b + (d - b) * part

    def write(self, path: Path) -> Path:
        with osmium.SimpleWriter(str(path)) as writer:
            for id, (lat, lon, tags) in sorted(self.nodes.items()):
                writer.add_node(osmium.osm.mutable.Node(id=id, location=(lon, lat), tags=tags, version=1))
            for id, (refs, tags) in sorted(self.ways.items()):
                writer.add_way(osmium.osm.mutable.Way(id=id, nodes=refs, tags=tags, version=1))
            for id, (members, tags) in enumerate(self.relations, 1):
                writer.add_relation(osmium.osm.mutable.Relation(id=id, members=members, tags=tags, version=1))
        return path


def drawn() -> Drawn:
    """An empty sheet."""
    return Drawn({}, {}, [])


def imported(sheet: Drawn, directory: Path, profile: str = "car") -> tuple[Roads, Network]:
    """The network of a sheet: under a profile and in order, and with everything that was made of it."""
    path = directory / "drawn.osm.pbf"
    path.unlink(missing_ok=True)
    with (directory / "said").open("w") as said:
        made = network.build(osm.read(sheet.write(path), Progress(said)), read_profiles())
    own = made.roads._replace(ms=made.ms[profile], snaps=made.snaps[profile])
    ordered = roads.with_order(own, "drawn")
    roads.check(ordered)
    return ordered, made


def _keyed(tags: dict[str, str]) -> dict[str, str]:
    """Keys as OpenStreetMap writes them: `addr__street` is addr:street."""
    return {key.strip("_").replace("__", ":"): value for key, value in tags.items()}
