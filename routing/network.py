"""The road network of an extract: nodes and arcs with the times of every profile, without the order.

What was read becomes chains (chains), crossings with bans come apart (junctions), built-up places are told from
open country, and each profile gives its times (profiles). Not here: files (osm reads, mapfolder writes).
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import chains as chaining
from routing import junctions
from routing.cch import UNREACHABLE
from routing.chains import Chains, Segments
from routing.components import main_nodes
from routing.geometry import METRES_PER_DEGREE
from routing.junctions import Turns
from routing.osm import Extract
from routing.profiles import CAR, FREE, NEVER, Arcs, Profiles, times_ms
from routing.roads import RESIDENTIAL, Roads, lengths_m
from routing.tags import Street

TOWN_CELL_DEG: Final = 0.01
TOWN_CROSSINGS_PER_KM2: Final = 15.0  # averaged over nine cells: a village has as dense a core, but not as wide a one

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Network(NamedTuple):
    """A network before its order is known. `roads.ms` are a car's; `ms` and `snaps` hold each profile's times and
    where one may stand; `source` int64 (n) is the id of each node in the extract; `counts` says how large it is."""

    roads: Roads
    names: list[str]
    ms: dict[str, Ints]
    snaps: dict[str, Flags]
    source: NDArray[np.int64]
    counts: dict[str, int]


class _Passages(NamedTuple):
    """All directed streets (2 for each chain, those that nobody may drive among them) as columns: what Arcs holds, and
    `is_open`, whether anybody may drive it."""

    arcs: Arcs
    is_open: Flags
    kind: NDArray[np.uint8]
    name: Ints


def build(extract: Extract, profiles: Profiles) -> Network:
    """Make the network of an extract. ValueError when there is no road in it."""
    pieces = chaining.segments(extract)
    if len(pieces.a) == 0:
        raise ValueError("the extract has roads, but the places of their nodes are not in it")
    road = chaining.chains(extract, pieces, junctions.special_nodes(extract))
    names: dict[str, int] = {}
    passages = _passages(extract, pieces, road, profiles, names)
    plain, node_of = _plain_nodes(extract, road)
    turns = junctions.turns(extract, pieces, road, passages.is_open, len(plain))
    place = np.concatenate([plain, turns.place])
    ends = _ends(road, node_of, turns)
    used = np.flatnonzero(passages.is_open)
    ties = _ties(passages.is_open, turns)
    tail = np.concatenate([ends[0][used], turns.copies[:, 0], turns.arcs[:, 0], ties[0]]).astype(np.int32)
    head = np.concatenate([ends[1][used], turns.copies[:, 1], turns.arcs[:, 1], ties[1]]).astype(np.int32)
    source = np.concatenate([used, turns.copies[:, 2]])
    stands = np.concatenate([turns.arcs[:, 2], np.full(len(ties[0]), NEVER)])
    kept = np.zeros(len(place), bool)
    kept[tail], kept[head] = True, True
    number = (np.cumsum(kept) - 1).astype(np.int32)
    made = Network(
        _roads(extract, road, passages, (number[tail], number[head], source, place[kept], len(stands))),
        list(names),
        {},
        {},
        extract.nodes.ids[place[kept]],
        {},
    )
    return _with_times(made, _arcs(passages.arcs, source, stands), profiles, len(used))._replace(
        counts={
            "ways": len(extract.way_ids),
            "shape_points": len(np.unique(np.concatenate([pieces.a, pieces.b]))),
            "chains": road.size,
            "nodes": len(made.roads.lat),
            "arcs": len(tail),
            "turns": len(turns.arcs),
            "restrictions": len(extract.restrictions),
            "restrictions_obeyed": turns.obeyed,
            "barriers": int((extract.nodes.barrier != FREE).sum()),
            "names": len(names),
        }
    )


def _with_times(network: Network, arcs: Arcs, profiles: Profiles, streets: int) -> Network:
    """The network with each profile's times; its first arcs are the streets, on which one may stand."""
    is_street = np.arange(len(arcs.turn)) < streets
    roads, ms, snaps = network.roads, dict[str, Ints](), dict[str, Flags]()
    made: dict[bytes, str] = {}
    for name, profile in profiles.profiles.items():
        times = times_ms(profile, arcs)
        same = made.setdefault(times.tobytes(), name)
        ms[name] = ms.get(same, times)
        snaps[name] = snaps[same] if same in snaps else snapping_arcs(roads, times, is_street)
    return network._replace(ms=ms, snaps=snaps, roads=roads._replace(ms=ms[CAR], snaps=snaps[CAR]))


def snapping_arcs(roads: Roads, ms: Ints, is_street: Flags) -> Flags:
    """The arcs on which one may stand: streets, of which an end lies in the main network or on a large island."""
    is_open = ms < UNREACHABLE
    main = main_nodes(len(roads.lat), roads.tail[is_open], roads.head[is_open])
    inside = is_open & main[roads.tail] & main[roads.head] & is_street
    inside[roads.twin[inside & (roads.twin >= 0)]] = True  # a street snaps as a whole, whichever way is open
    return inside


def _passages(extract: Extract, pieces: Segments, road: Chains, profiles: Profiles, names: dict[str, int]) -> _Passages:
    count = road.size
    first_piece = road.segment[road.first[:-1]]
    street = extract.street[pieces.way[first_piece]]
    backward = road.backward[road.first[:-1]]
    metres = _metres(extract, pieces, road)
    urban = _urban(extract, road, street)
    columns = np.array(
        [_facts(each, profiles, names) for each in extract.streets], dtype=np.float64
    )  # (streets, 2 directions, 7 facts)
    columns = columns.reshape(len(extract.streets), 2, 7)
    # Passage 2 * chain runs along the chain, the next one against it; the way itself may run either way.
    own = np.repeat(street, 2)
    way = np.column_stack([backward, ~backward]).astype(np.int8).reshape(2 * count)
    facts = columns[own, way]
    urban2, metres2 = np.repeat(urban, 2), np.repeat(metres, 2)
    widest = max(profile.contraflow_m for profile in profiles.profiles.values())
    against = (facts[:, 4] > 0) & (metres2 <= widest)
    arcs = Arcs(
        metres=metres2.astype(np.float32),
        kmh=np.where(urban2, facts[:, 0], facts[:, 1]),
        urban=urban2,
        public=facts[:, 2] > 0,
        emergency=facts[:, 3] > 0,
        contraflow=against,
        turn=np.zeros(2 * count, np.uint8),
    )
    is_open = arcs.public | arcs.emergency | against
    return _Passages(arcs, is_open, facts[:, 5].astype(np.uint8), facts[:, 6].astype(np.int32))


def _facts(street: Street, profiles: Profiles, names: dict[str, int]) -> list[list[float]]:
    """For each direction: pace in places and outside, for whom it is open, sirens against, kind, name."""
    name = names.setdefault(street.name, len(names)) if street.name else -1
    return [
        [
            *(_pace_kmh(street, way, urban, profiles) for urban in (True, False)),
            street.public[way],
            street.emergency[way],
            street.against and not street.emergency[way],
            street.kind,
            name,
        ]
        for way in (0, 1)
    ]


def _pace_kmh(street: Street, way: int, urban: bool, profiles: Profiles) -> float:
    """How fast a car gets on in one direction, with lights and crossings."""
    where = "urban" if urban else "rural"
    usual = getattr(profiles.speeds_kmh[street.speed_class], where)
    if street.is_link:
        usual = min(usual, getattr(profiles.speeds_kmh["link"], where))
    limit, zone = street.limits[way]
    if limit:
        signed = limit * getattr(profiles.share_of_limit, where)
        is_road = street.kind != RESIDENTIAL or street.speed_class in ("residential", "unclassified")
        return float(signed if is_road and not street.is_link else min(signed, usual))
    return float(min(usual, profiles.zone_limits_kmh.get(zone, usual)))


def _metres(extract: Extract, pieces: Segments, road: Chains) -> Floats:
    """The length of each chain along its bends; two nodes at one place still are a step of a millimetre."""
    metres = np.maximum(lengths_m(extract.nodes.lat, extract.nodes.lon, pieces.a, pieces.b), 0.001)
    return np.asarray(np.add.reduceat(metres[road.segment], road.first[:-1]))


def _urban(extract: Extract, road: Chains, street: Ints) -> Flags:
    """Which chains run in built-up places: where a tag says so, and else where crossings are dense."""
    said = np.array([-1 if each.urban is None else int(each.urban) for each in extract.streets])[street]
    ends = np.concatenate([road.start, road.end])
    crossings, counts = np.unique(ends, return_counts=True)
    crossings = crossings[counts >= 3]
    lat, lon = extract.nodes.lat, extract.nodes.lon
    south, west = lat.min() - 2 * TOWN_CELL_DEG, lon.min() - 2 * TOWN_CELL_DEG
    columns, rows = (int((at.max() - low) / TOWN_CELL_DEG) + 3 for at, low in ((lon, west), (lat, south)))

    def cell(lats: Floats, lons: Floats) -> NDArray[np.int64]:
        row, column = (((at - low) / TOWN_CELL_DEG).astype(np.int64) for at, low in ((lats, south), (lons, west)))
        return np.asarray(row * columns + column)

    per_cell = np.bincount(cell(lat[crossings], lon[crossings]), minlength=rows * columns)
    half = road.first[:-1] + np.arange(road.size) + (np.diff(road.first) - 1) // 2
    mid_lat, mid_lon = ((at[road.node[half]] + at[road.node[half + 1]]) / 2 for at in (lat, lon))
    middle = cell(mid_lat, mid_lon)
    around = [per_cell[middle + dr * columns + dc] for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    cell_km2 = (TOWN_CELL_DEG * METRES_PER_DEGREE / 1_000) ** 2 * np.cos(np.radians(mid_lat))
    dense = np.sum(around, axis=0) / (9 * cell_km2) >= TOWN_CROSSINGS_PER_KM2
    return np.asarray(np.where(said >= 0, said == 1, dense))


def _plain_nodes(extract: Extract, road: Chains) -> tuple[Ints, Ints]:
    """The extract's nodes at which chains meet, and for each of the extract's nodes its number among them."""
    met = np.zeros(len(extract.nodes.ids), bool)
    met[road.start], met[road.end] = True, True
    return np.flatnonzero(met).astype(np.int32), (np.cumsum(met) - 1).astype(np.int32)


def _ends(road: Chains, node_of: Ints, turns: Turns) -> tuple[Ints, Ints]:
    """Tail and head of each passage: the plain crossing, or what a crossing taken apart has instead."""
    along = np.column_stack([node_of[road.start], node_of[road.end]])
    tails, heads = along.ravel(), along[:, ::-1].ravel()
    return np.where(turns.tails >= 0, turns.tails, tails), np.where(turns.heads >= 0, turns.heads, heads)


def _ties(is_open: Flags, turns: Turns) -> tuple[Ints, Ints]:
    """Arcs that are never open, between the two arrivals and the two departures of a two-way street of which both ends
    are taken apart: a place on it has two ways out, and its label needs them on one path of the elimination tree."""
    forward, back = np.arange(0, len(is_open), 2), np.arange(1, len(is_open), 2)
    both = is_open[forward] & is_open[back] & (turns.tails[forward] >= 0) & (turns.tails[back] >= 0)
    pairs = [(nodes[forward[both]], nodes[back[both]]) for nodes in (turns.heads, turns.tails)]
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _arcs(streets: Arcs, source: NDArray[np.int64], stands: NDArray[np.int64]) -> Arcs:
    """The passages that are driven, copies among them, and after them the turns: open to all but for what stands in
    their way."""
    count = len(stands)
    turns = Arcs(
        metres=np.zeros(count, np.float32), kmh=np.ones(count), urban=np.zeros(count, bool),
        public=np.ones(count, bool), emergency=np.ones(count, bool), contraflow=np.zeros(count, bool),
        turn=stands.astype(np.uint8),
    )  # fmt: skip
    columns: list[tuple[Any, Any]] = list(zip(streets, turns, strict=True))
    return Arcs(*(np.concatenate([column[source], added]) for column, added in columns))


def _roads(
    extract: Extract,
    road: Chains,
    passages: _Passages,
    made: tuple[Ints, Ints, NDArray[np.int64], Ints, int],
) -> Roads:
    """The columns of the network: streets first, then copies, then turns."""
    tail, head, source, place, turns = made
    bend_first, bend = _bends(road, source, turns)
    lat, lon = extract.nodes.lat, extract.nodes.lon

    def with_turns(column: NDArray[Any], blank: int) -> NDArray[Any]:
        return np.concatenate([column[source], np.full(turns, blank, column.dtype)])

    return Roads(
        lat=lat[place],
        lon=lon[place],
        tail=tail,
        head=head,
        ms=np.zeros(len(tail), np.int32),
        metres=with_turns(passages.arcs.metres, 0).astype(np.float32),
        kind=with_turns(passages.kind, RESIDENTIAL).astype(np.uint8),
        urban=with_turns(passages.arcs.urban, 0).astype(bool),
        twin=_twins(source, passages.is_open, len(tail)),
        order=np.arange(len(place), dtype=np.int32),
        version="unordered",
        name=with_turns(passages.name, -1).astype(np.int32),
        bend_first=bend_first,
        bend_lat=lat[bend],
        bend_lon=lon[bend],
    )


def _twins(source: NDArray[np.int64], is_open: Flags, arcs: int) -> Ints:
    """The arc of the same street the other way; copies and turns have none."""
    own = np.flatnonzero(is_open)
    number = np.full(len(is_open), -1, np.int32)
    number[own] = np.arange(len(own), dtype=np.int32)
    twin = np.full(arcs, -1, np.int32)
    twin[: len(own)] = number[own ^ 1]
    return twin


def _bends(road: Chains, source: NDArray[np.int64], turns: int) -> tuple[Ints, Ints]:
    """For each arc the extract's nodes at which it bends, in the order of driving; a turn has none."""
    chain, against = source // 2, source % 2 == 1
    begin = road.first[chain] + chain + 1
    count = road.first[chain + 1] - road.first[chain] - 1
    first = np.concatenate([[0], np.cumsum(count), np.full(turns, count.sum())]).astype(np.int32)
    arc = np.repeat(np.arange(len(source)), count)
    within = np.arange(len(arc)) - np.repeat(np.cumsum(count) - count, count)
    at = np.where(against[arc], begin[arc] + count[arc] - 1 - within, begin[arc] + within)
    return first, road.node[at]
