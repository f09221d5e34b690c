"""Labels of positions, and the many-to-one query on them: the compiled inner loops of travel.

A position on an edge leaves by its head, and on a two-way street also by its tail; both ends lie on one path
to the root of the elimination tree, so one label from the lower end holds both starts. A unit's forward label
is kept until it moves or the weights change; a target's backward label is made for each question.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE, Hierarchy, Metric, climb
from routing.compiled import compiled, released
from routing.snapping import Grid, Place, nearest

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

# Off the road: what lies within the first metres is a fix's noise, what lies beyond is driven over rough ground.
FREE_ACCESS_M: Final = 100.0
ACCESS_MS_PER_M: Final = 250.0  # 4 m/s, 14 km/h

EMPTY, MOVED, PLACED, READY = range(4)


class Network(NamedTuple):
    """All that the inner loops need of the roads. `ms` are the weights in force; `ends` what a part of an arc takes
    that is closed to whoever would drive through."""

    shape: Hierarchy
    metric: Metric
    cells: Grid
    tail: Ints
    head: Ints
    ms: Ints
    ends: Ints
    twin: Ints


class Units(NamedTuple):
    """Units by slot, columns of equal length. `state` says how much of the rest is true: of a MOVED one the position
    alone, of a PLACED one also where that is on the roads, of a READY one everything. `enter` is the preorder
    number of the label's lowest node; `label` (slots, deepest + 1) holds the times from the unit to the ancestors
    of that node, root first."""

    lat: Floats
    lon: Floats
    state: NDArray[np.uint8]
    edge: Ints
    offset: Floats
    access_ms: Ints
    enter: Ints
    label: Ints


class Target(NamedTuple):
    """One end of a journey: where it is on the roads, and its label. `enter` and `leave` are the preorder
    intervals of the ancestors, root first, as far as the label goes."""

    place: Place
    edge: int
    offset: float
    access_ms: int
    low: int
    enter: Ints
    leave: Ints
    label: Ints


@compiled
def access_ms(distance_m: float) -> int:
    """The time from a position to the road, or back."""
    beyond_m = max(0.0, distance_m - FREE_ACCESS_M)
    return int(min(beyond_m * ACCESS_MS_PER_M, UNREACHABLE / 4.0))


@compiled
def part_ms(ms: int, part: float) -> int:
    """The time over a part of an edge; a closed edge stays closed however small the part."""
    return round(ms * part) if ms < UNREACHABLE else UNREACHABLE


@compiled
def ways_out(net: Network, edge: int, leaving: bool) -> tuple[int, int]:
    """The ranks at which an edge is left, or entered: of the edge itself, and of the way back. Where turns are banned
    a street does not arrive at the node from which the way back departs, so each arc is asked for its own."""
    back = net.twin[edge]
    ends = net.head if leaving else net.tail
    other = ends[back] if back >= 0 else (net.tail if leaving else net.head)[edge]
    return net.shape.rank[ends[edge]], net.shape.rank[other]


@compiled
def driven_ms(net: Network, arc: int) -> int:
    """The time of a whole arc, closed or not, for whoever drives a part of it."""
    return int(net.ms[arc] if net.ms[arc] < UNREACHABLE else net.ends[arc])


@compiled
def end_ms(net: Network, arc: int, part: float) -> int:
    """The time over the part of an arc that lies between a place on it and the end by which it is left or reached.

    Who stands on a closed street, or is asked for there, is not cut off: it is driven over the nearer end, and a
    one-way street over the only one. Nobody drives through. Who is at that very end need not drive at all, also where
    the street (`arc` -1: there is no way back) leads the other way.
    """
    if arc < 0:
        return 0 if part == 0.0 else UNREACHABLE
    if net.ms[arc] == UNREACHABLE and part > 0.5 and net.twin[arc] >= 0:
        return UNREACHABLE
    return part_ms(driven_ms(net, arc), part)


@compiled
def start_label(net: Network, edge: int, offset: float, leaving: bool, label: Ints) -> int:
    """Fill `label` for a place on an edge, leaving it or (leaving = False) arriving there; its lowest
    node."""
    shape = net.shape
    near, far = ways_out(net, edge, leaving)
    back = net.twin[edge]
    low = near if near < far else far
    label[: shape.depth[low] + 1] = UNREACHABLE
    ahead, behind = (1.0 - offset, offset) if leaving else (offset, 1.0 - offset)
    label[shape.depth[near]] = end_ms(net, edge, ahead)
    label[shape.depth[far]] = min(end_ms(net, back, behind), label[shape.depth[far]])
    climb(shape, net.metric.up if leaving else net.metric.down, low, label)
    return int(low)


@compiled
def place(net: Network, units: Units, slots: Ints) -> None:
    """Find on the roads those of the slots whose unit has moved."""
    for slot in slots:
        if slot >= 0 and units.state[slot] == MOVED:
            found = nearest(net.cells, units.lat[slot], units.lon[slot])
            units.edge[slot], units.offset[slot] = found.edge, found.offset
            units.access_ms[slot] = access_ms(found.distance_m)
            units.state[slot] = PLACED


@compiled
def refresh(net: Network, units: Units, slots: Ints) -> None:
    """Place and label those of the slots that have no label."""
    place(net, units, slots)
    for slot in slots:
        if slot >= 0 and units.state[slot] == PLACED:
            low = start_label(net, units.edge[slot], units.offset[slot], True, units.label[slot])
            units.enter[slot] = net.shape.enter[low]
            units.state[slot] = READY


@released
def label_all(net: Network, state: NDArray[np.uint8], edge: Ints, offset: Floats, label: Ints) -> None:
    """Fill the labels of all READY slots from where they are."""
    for slot in range(len(state)):
        if state[slot] == READY:
            start_label(net, edge[slot], offset[slot], True, label[slot])


@compiled
def aim(net: Network, lat: float, lon: float, leaving: bool) -> Target:
    """Place a position on the roads and label it, as the target of journeys or (leaving) as their start."""
    found = nearest(net.cells, lat, lon)
    shape = net.shape
    near, far = ways_out(net, found.edge, leaving)
    deepest = max(shape.depth[near], shape.depth[far])
    label = np.empty(deepest + 1, np.int32)
    low = start_label(net, found.edge, found.offset, leaving, label)
    size = shape.depth[low] + 1
    enter, leave = np.empty(size, np.int32), np.empty(size, np.int32)
    v = low
    while v >= 0:
        enter[shape.depth[v]], leave[shape.depth[v]] = shape.enter[v], shape.leave[v]
        v = shape.parent[v]
    return Target(found, found.edge, found.offset, access_ms(found.distance_m), low, enter, leave, label)


@compiled
def common_prefix(target: Target, enter: int) -> int:
    """How many ancestors the target shares with the node of that preorder number, by bisection."""
    left, right = 0, len(target.enter)
    while left < right:
        middle = (left + right) // 2
        if target.enter[middle] <= enter < target.leave[middle]:
            left = middle + 1
        else:
            right = middle
    return left


@compiled
def same_edge_ms(net: Network, edge: int, start: float, end: float) -> int:
    """The time along one edge from offset to offset, the right way only; UNREACHABLE against a one-way. Along a closed
    street only between places in the same half."""
    arc = edge if start <= end else net.twin[edge]
    if arc < 0 or (net.ms[arc] == UNREACHABLE and net.twin[arc] >= 0 and (start - 0.5) * (end - 0.5) < 0.0):
        return UNREACHABLE
    return part_ms(driven_ms(net, arc), abs(end - start))


@compiled
def many_to_one(net: Network, units: Units, slots: Ints, target: Target) -> Ints:
    """Milliseconds from each slot's unit to the target; UNREACHABLE for slot -1 and where no road leads."""
    answer = np.full(len(slots), UNREACHABLE, np.int32)
    for i, slot in enumerate(slots):
        if slot < 0:
            continue
        shared = common_prefix(target, units.enter[slot])
        row, back = units.label[slot, :shared], target.label[:shared]
        best = np.int32(2 * UNREACHABLE)
        for d in range(shared):  # without a branch, in 32 bits: the processor then adds eight at a time
            best = min(best, np.int32(row[d] + back[d]))
        if units.edge[slot] == target.edge:
            best = min(best, np.int32(same_edge_ms(net, target.edge, units.offset[slot], target.offset)))
        if best < UNREACHABLE:
            answer[i] = min(UNREACHABLE, best + units.access_ms[slot] + target.access_ms)
    return answer


@compiled
def whereabouts(units: Units, slots: Ints) -> tuple[Ints, Floats]:
    """On which edge each slot's unit is (-1 for slot -1), and at which offset."""
    edges, offsets = np.full(len(slots), -1, np.int32), np.zeros(len(slots))
    for i, slot in enumerate(slots):
        if slot >= 0:
            edges[i], offsets[i] = units.edge[slot], units.offset[slot]
    return edges, offsets


@compiled
def ask(net: Network, units: Units, slots: Ints, lat: float, lon: float) -> tuple[Place, Ints, Ints, Floats]:
    """A whole question in one call, since each call costs what the labels of hundreds of units cost: the place on the
    roads, the milliseconds to it, and from where (`whereabouts`)."""
    target = aim(net, lat, lon, False)
    refresh(net, units, slots)
    edges, offsets = whereabouts(units, slots)
    return target.place, many_to_one(net, units, slots, target), edges, offsets


@compiled
def meeting_depth(start: Target, target: Target) -> int:
    """The depth of the ancestor over which the shortest way leads, or -1 where none does."""
    best, depth = UNREACHABLE, -1
    for d in range(common_prefix(target, start.enter[-1])):
        if start.label[d] + target.label[d] < best:
            best, depth = start.label[d] + target.label[d], d
    return depth


@compiled
def walk_down(net: Network, end: Target, leaving: bool, depth: int) -> list[int]:
    """The ranks from the ancestor at `depth` down to the end of the edge where the label began."""
    shape = net.shape
    weights = net.metric.up if leaving else net.metric.down
    line = np.empty(len(end.enter), np.int32)
    v = end.low
    while v >= 0:
        line[shape.depth[v]] = v
        v = shape.parent[v]
    walk = [line[depth]]
    v = end.low
    while v != walk[-1]:
        here = end.label[shape.depth[v]]
        at = walk[-1]
        for i in range(shape.first[v], shape.first[v + 1]):
            if shape.head[i] == at and here < UNREACHABLE and here + weights[i] == end.label[shape.depth[at]]:
                walk.append(v)
                v = end.low
                break
        else:
            v = shape.parent[v]
    return walk
