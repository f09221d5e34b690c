"""An independent answer to compare with: small networks, and Dijkstra's algorithm with a heap and nothing else."""

import heapq
from collections.abc import Sequence

import numpy as np

from routing.geometry import distance_m
from routing.roads import Roads, twins
from routing.travel import UNREACHABLE, Snap

Arc = tuple[int, int, int]
Answer = dict[int, int]


def small_roads(places: Sequence[tuple[float, float]], arcs: list[Arc], order: list[int] | None = None) -> Roads:
    """A network of a few nodes (lat, lon) and arcs (tail, head, ms), in the given order of importance."""
    tail, head, ms = (np.array(column, dtype=np.int32) for column in zip(*arcs, strict=True))
    metres = [distance_m(places[a], places[b]) for a, b, _ in arcs]
    return Roads(
        lat=np.array([place[0] for place in places]),
        lon=np.array([place[1] for place in places]),
        tail=tail,
        head=head,
        ms=ms,
        metres=np.array(metres, dtype=np.float32),
        kind=np.zeros(len(arcs), np.uint8),
        urban=np.zeros(len(arcs), bool),
        twin=twins(tail, head),
        order=np.array(range(len(places)) if order is None else order, dtype=np.int32),
        version="small",
    )


def neighbours(roads: Roads) -> dict[int, list[tuple[int, int]]]:
    """For each node the heads and times of the arcs that leave it."""
    near: dict[int, list[tuple[int, int]]] = {}
    for a, b, ms in zip(roads.tail.tolist(), roads.head.tolist(), roads.ms.tolist(), strict=True):
        if ms < UNREACHABLE:
            near.setdefault(a, []).append((b, ms))
    return near


def dijkstra(near: dict[int, list[tuple[int, int]]], starts: Answer, limit_ms: int = UNREACHABLE) -> Answer:
    """Shortest times in ms from several starts with times of their own, below a limit."""
    best, heap = dict(starts), [(ms, node) for node, ms in starts.items()]
    heapq.heapify(heap)
    while heap:
        so_far, node = heapq.heappop(heap)
        if so_far > best[node]:
            continue
        for after, ms in near.get(node, []):
            if so_far + ms < best.get(after, limit_ms):
                best[after] = so_far + ms
                heapq.heappush(heap, (so_far + ms, after))
    return best


def starts_at(roads: Roads, place: Snap, ends: np.ndarray | None = None) -> Answer:
    """The nodes at which a place on an edge can be left, and after how many ms; `ends` as in Travel.reweigh."""
    return _ends(roads, place, ((roads.head, 1 - place.offset), (roads.tail, place.offset)), ends)


def ends_at(roads: Roads, place: Snap, ends: np.ndarray | None = None) -> Answer:
    """The nodes from which a place on an edge can be reached, and in how many ms."""
    return _ends(roads, place, ((roads.tail, place.offset), (roads.head, 1 - place.offset)), ends)


def expected_ms(roads: Roads, start: Snap, end: Snap, ends: np.ndarray | None = None) -> int:
    """The shortest time from place to place along the roads, or UNREACHABLE."""
    return answer_ms(roads, (start, end), dijkstra(neighbours(roads), starts_at(roads, start, ends)), ends)


def answer_ms(roads: Roads, journey: tuple[Snap, Snap], best: Answer, ends: np.ndarray | None = None) -> int:
    """The same with the times from the journey's start already known."""
    start, end = journey
    ways = [best[node] + ms for node, ms in ends_at(roads, end, ends).items() if node in best]
    if start.edge == end.edge:
        along = _along(roads, start, end, ends)
        ways += [along] if along < UNREACHABLE else []
    return min([off_road_ms(start) + way + off_road_ms(end) for way in ways], default=UNREACHABLE)


def off_road_ms(place: Snap) -> int:
    """The rule for what is off the road: the first 100 m are free, the rest is driven at 4 m/s."""
    return int(max(0.0, place.distance_m - 100) * 250)


Side = tuple[np.ndarray, float]


def _ends(roads: Roads, place: Snap, sides: tuple[Side, Side], closed: np.ndarray | None) -> Answer:
    ends: Answer = {}
    twin = int(roads.twin[place.edge])
    for arc, (nodes, part) in zip((place.edge, twin), sides, strict=True):
        ms = _driven_ms(roads, arc, closed)
        shut_off = ms < UNREACHABLE and roads.ms[arc] >= UNREACHABLE and part > 0.5 and twin >= 0
        if ms < UNREACHABLE and not shut_off:
            node = int(nodes[place.edge])
            ends[node] = min(ends.get(node, UNREACHABLE), round(ms * part))
        elif arc < 0 and part == 0:
            ends[int(nodes[place.edge])] = 0  # at that very end of a one-way street
    return ends


def _along(roads: Roads, start: Snap, end: Snap, closed: np.ndarray | None) -> int:
    arc = start.edge if start.offset <= end.offset else int(roads.twin[start.edge])
    ms = _driven_ms(roads, arc, closed)
    halves = {offset > 0.5 for offset in (start.offset, end.offset) if offset != 0.5}
    if len(halves) == 2 and roads.ms[arc] >= UNREACHABLE and roads.twin[arc] >= 0:
        return UNREACHABLE
    return ms if ms >= UNREACHABLE else round(ms * abs(end.offset - start.offset))


def _driven_ms(roads: Roads, arc: int, closed: np.ndarray | None) -> int:
    """An arc's time, for a part of it also where it is closed to drive through."""
    if arc < 0:
        return UNREACHABLE
    ms = int(roads.ms[arc])
    return ms if ms < UNREACHABLE or closed is None else int(closed[arc])
