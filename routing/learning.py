"""Speeds learnt from where units have been: how much longer than plain car time a drive took, by class and hour.

A track is cut into *stretches* of some hundred metres between fixes. A stretch counts when the quickest way between its
ends is the one that was driven: as long as the chain of fixes, and each fix beside it. So a detour, a wrong fix or a
stay at a scene teaches nothing. Its ratio (seconds taken ÷ plain seconds) goes to the class of road that makes up most
of it. Medians and 90th percentiles need a number of observations; below it a wider group speaks, and in the end 1.

How late a whole drive may be, is learnt from whole drives: the slow stretches of one are made up for by its quick ones,
as far as they have nothing to do with each other, so the 90th percentiles of its stretches do not add up to its own.

Times here are those of drives without lights and sirens, or have been multiplied by what those save.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.drawn import near_pieces
from routing.geometry import distance_m
from routing.roads import ROAD_CLASSES
from routing.travel import Driven, Travel
from routing.weights import (
    HOURS,
    LATE_FIXED_S,
    LATE_MOST,
    PROFILE_FACTORS,
    Profile,
    profile_from,
    slot_of,
    usual_lateness,
)

STRETCH_M: Final = 400.0
LONGEST_S: Final = 300.0  # a stretch that takes longer was no drive
GAP_S: Final = 90.0  # silence beyond this, or standing, ends a drive: traffic lights are shorter
STOOD_M: Final = 15.0
BESIDE_M: Final = 40.0  # how far a fix may be from the road that was driven
DETOUR: Final = (0.8, 1.3)  # the way's length beside that of the chain of fixes
PLAUSIBLE: Final = (0.4, 6.0)  # ratios outside are a receiver's leaps, or an errand
MOSTLY: Final = 0.7  # of a stretch's time, on roads of one kind
FEWEST: Final = 20  # observations, or drives, before a group speaks for itself
LEAST_DRIVE_S: Final = 120.0  # of a drive's time must be explained before it says how late drives are

Factors = NDArray[np.float64]


class Fix(NamedTuple):
    """Where a unit was, and when."""

    at: datetime
    lat: float
    lon: float


class Observation(NamedTuple):
    """One stretch: when (workday or weekend, hour), on what road, how much longer than plain it took, its plain
    seconds, and the first fix of the drive that it is from."""

    day: int
    hour: int
    kind: int
    urban: bool
    ratio: float
    plain_s: float = 0.0
    drive: Fix | None = None


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt, as it is kept in a file: lists (2 days, 24 hours, classes, 2: country or town). `p50` is used
    as the profile; `p90` is the same of single stretches; `observations` how many stood behind each. `late` (2 days,
    24 hours, 2) is by what share of their time nine drives of ten are late at most, LATE_FIXED_S apart, and `drives`
    how many stood behind it."""

    p50: list[list[list[list[float]]]]
    p90: list[list[list[list[float]]]]
    observations: list[list[list[list[int]]]]
    late: list[list[list[float]]] = msgspec.field(default_factory=lambda: usual_lateness().tolist())
    drives: list[list[list[int]]] = []

    def profile(self) -> Profile:
        """The speeds by the hour. Raises ValueError when they cannot be right."""
        return profile_from(np.array(self.p50, dtype=np.float64), np.array(self.late, dtype=np.float64))


def learn(observations: Iterable[Observation]) -> Learnt:
    """Robust speeds of each group; a group with too few observations takes those of its whole day."""
    observations = list(observations)
    groups: dict[tuple[int, int, int, int], list[float]] = {}
    for seen in observations:
        groups.setdefault((seen.day, seen.hour, seen.kind, int(seen.urban)), []).append(seen.ratio)
    shape = (2, HOURS, len(ROAD_CLASSES), 2)
    p50, p90, count = np.ones(shape), np.ones(shape), np.zeros(shape, np.int64)
    for day, hour, kind, urban in np.ndindex(shape):
        own = groups.get((day, hour, kind, urban), [])
        count[day, hour, kind, urban] = len(own)
        ratios = own if len(own) >= FEWEST else _of_the_day(groups, day, kind, urban)
        if len(ratios) >= FEWEST:
            p50[day, hour, kind, urban], p90[day, hour, kind, urban] = np.percentile(ratios, (50, 90))
    low, high = PROFILE_FACTORS
    p50 = np.clip(p50, low, high)
    late, drives = _lateness(observations, p50)
    return Learnt(
        p50=p50.round(4).tolist(),
        p90=np.clip(p90, low, high).round(4).tolist(),
        observations=count.tolist(),
        late=late.round(4).tolist(),
        drives=drives.tolist(),
    )


class _Whole:
    """One drive: what its stretches were expected to take and took, and how much of that was in town."""

    def __init__(self, first: Observation) -> None:
        self.slot = first.day, first.hour
        self.expected_s = self.took_s = self.urban_s = 0.0

    def add(self, seen: Observation, factor: float) -> None:
        self.expected_s += seen.plain_s * factor
        self.took_s += seen.plain_s * seen.ratio
        self.urban_s += seen.plain_s * factor * seen.urban

    def late(self) -> float:
        """The share of its time by which the drive was late, beside LATE_FIXED_S."""
        excess_s = max(0.0, self.took_s - self.expected_s)
        return math.sqrt(max(0.0, excess_s**2 - LATE_FIXED_S**2)) / self.expected_s


def _lateness(observations: Iterable[Observation], p50: Factors) -> tuple[Factors, NDArray[np.int64]]:
    """By what share nine drives of ten are late at most, and how many drives say so, by (day, hour, urban)."""
    wholes: dict[Fix, _Whole] = {}
    for seen in observations:
        if seen.drive is None:
            continue
        whole = wholes.setdefault(seen.drive, _Whole(seen))
        whole.add(seen, float(p50[seen.day, seen.hour, seen.kind, int(seen.urban)]))
    late, count = usual_lateness(), np.zeros((2, HOURS, 2), np.int64)
    groups: dict[tuple[int, int, int], list[float]] = {}
    for whole in wholes.values():
        if whole.expected_s >= LEAST_DRIVE_S:
            groups.setdefault((*whole.slot, int(2 * whole.urban_s > whole.expected_s)), []).append(whole.late())
    for day, hour, urban in np.ndindex(late.shape):
        own = groups.get((day, hour, urban), [])
        count[day, hour, urban] = len(own)
        if len(own) < FEWEST:
            own = [share for each in range(HOURS) for share in groups.get((day, each, urban), ())]
        if len(own) >= FEWEST:
            late[day, hour, urban] = np.percentile(own, 90)
    return np.clip(late, 0.0, LATE_MOST), count


def _of_the_day(groups: dict[tuple[int, int, int, int], list[float]], day: int, kind: int, urban: int) -> list[float]:
    return [ratio for hour in range(HOURS) for ratio in groups.get((day, hour, kind, urban), ())]


def observed(travel: Travel, track: Sequence[Fix], time_factor: float = 1.0) -> Iterator[Observation]:
    """What one unit's track teaches. `travel` has plain weights; `time_factor` is what lights and sirens made of the
    time (1: none), so that what comes out is as without them."""
    assert time_factor > 0
    for drive in drives(track):
        for stretch in stretches(drive):
            found = _observation(travel, stretch, time_factor)
            if found is not None:
                yield found._replace(drive=drive[0])


def drives(track: Sequence[Fix]) -> Iterator[list[Fix]]:
    """The parts of a track between stays and silences."""
    drive: list[Fix] = []
    stood_since: datetime | None = None
    for fix in sorted(track):
        if drive:
            moved = distance_m(drive[-1][1:], fix[1:]) > STOOD_M
            stood_since = None if moved else stood_since or drive[-1].at
            silent = (fix.at - drive[-1].at).total_seconds() > GAP_S
            stood = stood_since is not None and (fix.at - stood_since).total_seconds() > GAP_S
            if silent or stood:
                yield _without_stay(drive)
                drive, stood_since = [], None
        drive.append(fix)
    yield _without_stay(drive)


def _without_stay(drive: list[Fix]) -> list[Fix]:
    """A drive without the fixes at its end that stand still."""
    while len(drive) > 1 and distance_m(drive[-1][1:], drive[-2][1:]) <= STOOD_M:
        drive = drive[:-1]
    return drive


def stretches(drive: Sequence[Fix]) -> Iterator[list[Fix]]:
    """Pieces of a drive of at least STRETCH_M along the fixes, each beginning where the last ended."""
    piece: list[Fix] = []
    length_m = 0.0
    for fix in drive:
        if piece:
            length_m += distance_m(piece[-1][1:], fix[1:])
        piece.append(fix)
        if length_m >= STRETCH_M:
            yield piece
            piece, length_m = [fix], 0.0


def _observation(travel: Travel, stretch: list[Fix], time_factor: float) -> Observation | None:
    begin, end = stretch[0], stretch[-1]
    took_s = (end.at - begin.at).total_seconds() / time_factor
    if not 0 < took_s <= LONGEST_S / time_factor:
        return None
    way = travel.driven(begin[1:], end[1:])
    if way is None or not _is_driven(travel, way, stretch):
        return None
    plain_ms: dict[tuple[int, bool], float] = {}
    for arc, first, last in way:
        group = int(travel.roads.kind[arc]), bool(travel.roads.urban[arc])
        plain_ms[group] = plain_ms.get(group, 0.0) + float(travel.roads.ms[arc]) * abs(last - first)
    whole_ms = sum(plain_ms.values())
    group, most_ms = max(plain_ms.items(), key=lambda item: item[1])
    if not 0 < whole_ms < UNREACHABLE or most_ms < MOSTLY * whole_ms:
        return None
    ratio = took_s * 1000 / whole_ms
    low, high = PLAUSIBLE
    seen = Observation(*slot_of(begin.at), *group, ratio, whole_ms / 1000)
    return seen if low <= ratio <= high else None


def _is_driven(travel: Travel, way: list[Driven], stretch: list[Fix]) -> bool:
    """Whether a way is the one that the fixes lie along."""
    along_m = sum(distance_m(a[1:], b[1:]) for a, b in pairwise(stretch))
    way_m = sum(float(travel.roads.metres[arc]) * abs(last - first) for arc, first, last in way)
    low, high = DETOUR
    if not low * along_m <= way_m <= high * along_m:
        return False
    streets = {street for arc, _, _ in way for street in (arc, int(travel.roads.twin[arc]))}
    return all(_is_beside(travel, fix, streets) for fix in stretch)


def _is_beside(travel: Travel, fix: Fix, streets: set[int]) -> bool:
    """Whether a fix lies beside one of these streets, as far as receivers are right."""
    cells = travel.cells
    near = cells.edge[near_pieces(cells, fix.lat, fix.lon, BESIDE_M)]
    return any(int(edge) in streets for edge in near)


def write(learnt: Learnt, path: Path) -> None:
    """Keep what was learnt; the file appears whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(learnt), indent=1))
    part.replace(path)


def read(path: Path) -> Learnt:
    """What was learnt before. Raises ValueError with one sentence when the file is none."""
    try:
        learnt = msgspec.json.decode(path.read_bytes(), type=Learnt)
        learnt.profile()
    except (OSError, msgspec.DecodeError, ValueError) as fault:
        raise ValueError(f"cannot read the learnt speeds {path}: {fault}") from None
    return learnt
