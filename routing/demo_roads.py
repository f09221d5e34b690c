"""The demo country's roads: invented, but between the real settlements, and the same for the same seed.

Highways join neighbouring settlements (a Gabriel graph, thinned where it would cross deserts or other
countries), their class by whom they serve; every settlement has streets, every district some villages. It
stands in for an OpenStreetMap extract, which a real service imports instead. Not here: how a town's streets
are drawn (streets).
"""

import heapq
import math
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from routing.geometry import Point, distance_m, distances_m, from_local_m, local_m
from routing.places import Settlement, built_up, settlements
from routing.regions import REGIONS, read_outlines
from routing.roads import PRIMARY, SECONDARY, TERTIARY, TRUNK, Roads
from routing.streets import Sketch, Town, draw_town

STEP_M: Final = 1_500.0  # between the nodes of a highway
LONGEST_M: Final = 170_000.0  # a highway beyond this is built only where nothing else joins the places
ABROAD_COST: Final = 8.0
VILLAGE_EVERY: Final = 11_000  # rural inhabitants
VILLAGES: Final = (2, 16)
RURAL_PER_KM2: Final = 280.0
VILLAGE_GAP_M: Final = 1_800.0
TRIES: Final = 12

Link = tuple[int, int]


def generate(seed: int, say: Callable[[str], None], density: float = 1.0) -> Roads:
    """Draw the network: at most 100,000 nodes times the density, strongly connected; without order and version."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    places = sorted(built_up(), key=lambda place: -place.population)
    sketch = Sketch(density)
    towns: list[Town] = []
    for place in places:
        towns.append(draw_town(sketch, rng, place.at, place.population, _close(towns, place.at)))
    streets = len(sketch.lat)
    joined = links(places)
    for (a, b), kind in classes(places, joined).items():
        if towns[a] is not towns[b]:
            _highway(
                sketch,
                rng,
                (_gate(sketch, towns[a], towns[b].at), _gate(sketch, towns[b], towns[a].at)),
                kind,
            )
    highways = len(sketch.lat) - streets
    villages = _villages(sketch, rng, towns)
    roads = sketch.finish(rng)
    assert len(roads.lat) <= 100_000 * density, f"{len(roads.lat):,} nodes {streets} {highways} {villages}"
    say(
        f"drew {len(roads.lat):,} road nodes in {time.perf_counter() - started:.1f} s: {len(places)} towns with "
        f"{streets:,} crossings, {len(joined)} highways with {highways:,} nodes, {villages:,} villages"
    )
    return roads


def links(places: list[Settlement]) -> list[Link]:
    """Which settlements a highway joins: Gabriel neighbours, and whatever a spanning tree needs beyond
    them."""
    points = np.array([place.at for place in places])
    costs = {pair: _cost(places[pair[0]].at, places[pair[1]].at) for pair in _delaunay(points)}
    tree = _spanning_tree(len(places), costs)
    good = {pair for pair, cost in costs.items() if cost <= LONGEST_M and _is_gabriel(points, pair)}
    return sorted(tree | good)


def classes(places: list[Settlement], joined: list[Link]) -> dict[Link, int]:
    """A highway on a way between regional capitals is a trunk road, one on the way from a settlement to its
    capital a primary one, the rest are secondary."""
    near: dict[int, list[tuple[int, float]]] = {}
    for a, b in joined:
        length_m = distance_m(places[a].at, places[b].at)
        near.setdefault(a, []).append((b, length_m))
        near.setdefault(b, []).append((a, length_m))
    capitals = {r.id: _nearest_place(places, r.capital_at) for r in REGIONS}
    kinds = dict.fromkeys(joined, SECONDARY)
    for region, capital in capitals.items():
        before = _ways_from(capital, near)
        own = [i for i, place in enumerate(places) if place.region == region]
        for ends, kind in ((own, PRIMARY), (capitals.values(), TRUNK)):
            for link in _links_on(before, ends):
                kinds[link] = min(kinds[link], kind)
    return kinds


def _close(towns: list[Town], at: Point) -> list[Town]:
    """The towns drawn so far that might overlap a settlement there."""
    return [town for town in towns if distance_m(town.at, at) < town.reach_m + 8_000]


def _delaunay(points: NDArray[np.float64]) -> set[Link]:
    mesh = shapely.delaunay_triangles(shapely.MultiPoint(points[:, ::-1]), only_edges=True)
    index = {(lon, lat): i for i, (lat, lon) in enumerate(points.tolist())}
    edges = (tuple(index[xy] for xy in map(tuple, line.coords)) for line in mesh.geoms)
    return {(min(pair), max(pair)) for pair in edges}


def _is_gabriel(points: NDArray[np.float64], pair: Link) -> bool:
    """No third place lies in the circle that has the two at the ends of a diameter."""
    a, b = points[list(pair)]
    middle = Point(*((a + b) / 2))
    away = distances_m(points[:, 0], points[:, 1], middle)
    away[list(pair)] = math.inf
    return bool(away.min() >= distance_m(tuple(a), tuple(b)) / 2)


_COUNTRY: Final = shapely.union_all([outline.buffer(0.03) for outline in read_outlines().values()])


def _cost(a: Point, b: Point) -> float:
    """The length of a highway in metres, where what runs through another country counts many times."""
    line = shapely.LineString([a[::-1], b[::-1]])
    abroad = line.difference(_COUNTRY).length / line.length if line.length else 0.0
    return distance_m(a, b) * (1 + ABROAD_COST * abroad)


def _spanning_tree(count: int, costs: dict[Link, float]) -> set[Link]:
    """Kruskal's: the cheapest links that join everything."""
    group = list(range(count))
    tree = set()
    for pair in sorted(costs, key=lambda pair: (costs[pair], pair)):
        a, b = (_root(group, end) for end in pair)
        if a != b:
            group[a] = b
            tree.add(pair)
    return tree


def _root(group: list[int], i: int) -> int:
    while group[i] != i:
        group[i] = group[group[i]]
        i = group[i]
    return i


def _nearest_place(places: list[Settlement], at: Point) -> int:
    return min(range(len(places)), key=lambda i: distance_m(places[i].at, at))


def _ways_from(start: int, near: dict[int, list[tuple[int, float]]]) -> dict[int, int]:
    """For every place, the one before it on the shortest way from `start`."""
    before, best, heap = {start: start}, {start: 0.0}, [(0.0, start)]
    while heap:
        so_far, place = heapq.heappop(heap)
        if so_far > best[place]:
            continue
        for neighbour, length_m in near.get(place, []):
            if so_far + length_m < best.get(neighbour, math.inf):
                best[neighbour], before[neighbour] = so_far + length_m, place
                heapq.heappush(heap, (best[neighbour], neighbour))
    return before


def _links_on(before: dict[int, int], ends: Iterable[int]) -> set[Link]:
    found: set[Link] = set()
    for end in ends:
        while before[end] != end:
            found.add((min(end, before[end]), max(end, before[end])))
            end = before[end]
    return found


def _gate(sketch: Sketch, town: Town, toward: Point) -> int:
    """The arterial crossing where a highway to another place leaves the town."""
    away = distances_m(sketch.lat[town.gates], sketch.lon[town.gates], toward)
    return int(town.gates[int(np.argmin(away))])


def _highway(sketch: Sketch, rng: np.random.Generator, ends: Link, kind: int) -> None:
    """A gently curved road of short straight pieces between two nodes."""
    a, b = (Point(float(sketch.lat[end]), float(sketch.lon[end])) for end in ends)
    east, north = local_m(a, b)
    length_m = math.hypot(east, north)
    pieces = max(1, round(length_m * sketch.density / STEP_M))
    t = np.linspace(0, 1, pieces + 1)[1:-1]
    swing = min(0.05 * length_m, 5_000.0)
    aside = np.sin(math.pi * t) * (rng.normal(0, swing) + rng.normal(0, swing / 2) * np.cos(2 * math.pi * t)) / 2
    aside += rng.normal(0, min(60.0, length_m * 0.01), len(t)) * np.sin(math.pi * t)
    right = (north / max(length_m, 1.0), -east / max(length_m, 1.0))
    # Straight in degrees, not in local metres, so that the far end is met exactly however long the road is.
    bend = [from_local_m(a, right[0] * metres, right[1] * metres) for metres in aside]
    lat = a.lat + t * (b.lat - a.lat) + np.array([p.lat - a.lat for p in bend])
    lon = a.lon + t * (b.lon - a.lon) + np.array([p.lon - a.lon for p in bend])
    chain = np.concatenate([[ends[0]], sketch.add_nodes(lat, lon), [ends[1]]]).astype(np.int32)
    _chain(sketch, chain, kind)


def _chain(sketch: Sketch, chain: NDArray[np.int32], kind: int) -> None:
    pairs = np.column_stack([chain[:-1], chain[1:]])
    sketch.add_streets(pairs, np.full(len(pairs), kind, dtype=np.int32), urban=False)


def _villages(sketch: Sketch, rng: np.random.Generator, towns: list[Town]) -> int:
    """Villages around every district's centre, by its rural population, each joined to the nearest road."""
    outlines = read_outlines()
    shapely.prepare(list(outlines.values()))
    seats = {place.at: place.population for place in built_up() if place.kind == "town"}
    drawn = list(towns)
    for district in (place for place in settlements() if place.kind == "district"):
        rural = max(8_000, district.population - seats.get(district.at, 0))
        reach_m = 3_000 + 1000 * math.sqrt(rural / RURAL_PER_KM2 / math.pi)
        near = [town for town in drawn if distance_m(town.at, district.at) < reach_m + 20_000]
        for _ in range(int(np.clip(rural / VILLAGE_EVERY, *VILLAGES))):
            at = _free_place(rng, (district.at, reach_m), near, outlines[district.region])
            if at is not None:
                near.append(_village(sketch, rng, at, int(rng.uniform(900, 3_100))))
                drawn.append(near[-1])
    return len(drawn) - len(towns)


def _free_place(
    rng: np.random.Generator, disc: tuple[Point, float], near: list[Town], outline: shapely.Geometry
) -> Point | None:
    """A place in a disc (middle, metres), inside the outline and clear of what is drawn near; None if none is
    found."""
    middle, reach_m = disc
    for _ in range(TRIES):
        angle, away_m = rng.uniform(0, 2 * math.pi), reach_m * math.sqrt(rng.uniform(0.02, 1.0))
        at = from_local_m(middle, away_m * math.cos(angle), away_m * math.sin(angle))
        clear = all(distance_m(town.at, at) > town.reach_m + VILLAGE_GAP_M for town in near)
        if clear and shapely.contains_xy(outline, at.lon, at.lat):
            return at
    return None


def _village(sketch: Sketch, rng: np.random.Generator, at: Point, population: int) -> Town:
    """Draw a village and the road that joins it to the nearest node of what was drawn before."""
    out = sketch.nearest(at)
    village = draw_town(sketch, rng, at, population, [])
    gate = _gate(sketch, village, Point(float(sketch.lat[out]), float(sketch.lon[out])))
    _highway(sketch, rng, (gate, out), TERTIARY)
    return village
