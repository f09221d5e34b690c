"""The latest fix of each unit: ordered by the time of the fix, bounded, and traced thinly."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.terms import RegionId, UnitId
from dispatch.errors import ServiceAway
from dispatch.keeping import tracks as tracks_module
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.tracks import Tracks, remembered
from dispatch.writing.positions import FIX_BURST, Position, Positions
from dispatch.writing.records import TrackPoint

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TASHKENT, FERGANA = RegionId("UZ-TK"), RegionId("UZ-FA")
ROSTER = {UnitId("TK-1"): TASHKENT, UnitId("TK-2"): TASHKENT, UnitId("FA-1"): FERGANA}
LAT, LON = 41.31108, 69.24056


def fix(unit: str = "TK-1", after_s: float = 0.0, lat: float = LAT, lon: float = LON) -> Position:
    at = NOW + timedelta(seconds=after_s)
    return Position(unit_id=UnitId(unit), lat=lat, lon=lon, at=at, received_at=at)


def empty() -> Positions:
    return Positions(ROSTER.get)


@given(st.permutations(range(12)))
def test_whatever_order_fixes_come_in_the_newest_is_kept(order: list[int]) -> None:
    positions = empty()
    for number in order:
        positions.put(fix(after_s=number, lat=41.0 + number / 1000))
    kept = positions.get(UnitId("TK-1"))
    assert kept is not None
    assert kept.lat == 41.0 + 11 / 1000


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (fix(lat=LON, lon=LAT), "outside"),
        (fix(lat=0.0, lon=0.0), "outside"),
        (fix(lat=float("nan")), "outside"),
        (fix(unit="XX-1"), "unknown"),
        (
            Position(unit_id=UnitId("TK-1"), lat=LAT, lon=LON, at=NOW + timedelta(seconds=121), received_at=NOW),
            "future",
        ),
    ],
)
def test_what_cannot_be_true_is_dropped_and_counted(position: Position, reason: str) -> None:
    positions = empty()
    assert not positions.put(position)
    assert getattr(positions.counts, reason) == 1
    assert len(positions) == 0


def test_a_clock_a_little_ahead_is_believed_and_its_fix_has_no_age() -> None:
    positions = empty()
    ahead = Position(unit_id=UnitId("TK-1"), lat=LAT, lon=LON, at=NOW + timedelta(seconds=60), received_at=NOW)
    assert positions.put(ahead)
    assert ahead.age_s(NOW) == 0.0
    assert ahead.age_s(NOW + timedelta(seconds=90)) == 30.0


def test_ages_are_told_side_by_side_and_an_unheard_unit_has_none() -> None:
    positions = empty()
    for after_s in (0.0, 10.0):
        positions.put(fix("TK-1", after_s))
    positions.put(fix("TK-2", 4.0))
    ages_s = positions.ages_s([UnitId("TK-2"), UnitId("TK-9"), UnitId("TK-1")], fix(after_s=12.0).at)
    assert ages_s[0] == 8.0 and np.isnan(ages_s[1]) and ages_s[2] == 2.0


def test_a_repeated_fix_is_no_news() -> None:
    positions = empty()
    assert positions.put(fix())
    assert not positions.put(fix())
    assert positions.counts.older == 1


def test_a_flooding_unit_is_bounded_and_takes_nothing_from_the_others() -> None:
    positions = empty()
    taken = sum(
        positions.put(
            Position(unit_id=UnitId("TK-1"), lat=LAT, lon=LON, at=NOW + timedelta(milliseconds=n), received_at=NOW)
        )
        for n in range(1000)
    )
    assert taken == FIX_BURST
    assert positions.counts.too_often == 1000 - FIX_BURST
    assert positions.put(fix("TK-2"))
    assert positions.put(fix("TK-1", after_s=5))


def test_a_clock_of_ours_that_was_ahead_for_a_while_makes_no_unit_mute() -> None:
    positions, ahead = empty(), fix(after_s=2)
    ahead = Position(
        unit_id=ahead.unit_id, lat=LAT, lon=LON, at=ahead.at, received_at=ahead.received_at + timedelta(hours=1)
    )
    assert positions.put(fix()) and positions.put(ahead)
    taken = [second for second in range(4, 64, 2) if positions.put(fix(after_s=second))]
    assert len(taken) > 20


def test_who_moved_is_told_once_and_only_to_its_region() -> None:
    positions = empty()
    positions.put(fix("TK-1"))
    positions.put(fix("FA-1"))
    tick, moved = positions.moved_since(TASHKENT, 0)
    assert [position.unit_id for position in moved] == ["TK-1"]
    assert positions.moved_since(TASHKENT, tick) == (tick, [])
    positions.put(fix("TK-2", after_s=1))
    positions.put(fix("TK-1", after_s=5))
    positions.put(fix("TK-2", after_s=6))
    _, moved = positions.moved_since(TASHKENT, tick)
    assert [(position.unit_id, position.at) for position in moved] == [
        ("TK-1", NOW + timedelta(seconds=5)),
        ("TK-2", NOW + timedelta(seconds=6)),
    ]


def test_each_accepted_fix_is_passed_on_and_no_other() -> None:
    moves: list[tuple[str, float, float]] = []
    positions = Positions(ROSTER.get, on_move=lambda *move: moves.append(move))
    positions.put(fix(after_s=5))
    positions.put(fix(after_s=0))
    positions.put(fix(after_s=10, lat=41.4))
    assert moves == [("TK-1", LAT, LON), ("TK-1", 41.4, LON)]


def test_a_fix_costs_microseconds() -> None:
    """The bound is ten times what was measured (2.2 µs), for a busy machine."""
    positions = empty()
    fixes = [fix(after_s=number) for number in range(5000)]
    began_s = time.perf_counter()
    for position in fixes:
        positions.put(position)
    assert (time.perf_counter() - began_s) / len(fixes) < 25e-6
    assert positions.counts.accepted == len(fixes)


class Shelf:
    """Keeps track points as a store would; away while `away`."""

    def __init__(self) -> None:
        self.points: list[TrackPoint] = []
        self.away = False

    async def write(self, points: Sequence[TrackPoint]) -> None:
        if self.away:
            raise ServiceAway("the store is away")
        self.points.extend(points)


async def test_a_standing_unit_is_traced_each_30_s_and_a_driving_one_each_200_m() -> None:
    shelf = Shelf()
    tracks = Tracks(shelf.write)
    for number in range(13):
        tracks.offer(fix("TK-1", after_s=number * 5))
        tracks.offer(fix("TK-2", after_s=number * 5, lat=LAT + number * 0.001))
    await tracks.flush()
    standing = [point.at for point in shelf.points if point.unit_id == "TK-1"]
    assert standing == [NOW, NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)]
    # 0.001 degrees of latitude are 111 m, so every second fix is far enough.
    assert sum(point.unit_id == "TK-2" for point in shelf.points) == 7


async def test_with_the_store_away_the_newest_points_wait_and_the_oldest_are_counted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracks_module, "QUEUE_LIMIT", 10)
    shelf = Shelf()
    tracks = Tracks(shelf.write)
    shelf.away = True
    for number in range(12):
        tracks.offer(fix(after_s=number * 30))
        await tracks.flush()
    shelf.away = False
    await tracks.flush()
    assert tracks.dropped == 2
    assert [point.at for point in shelf.points] == [NOW + timedelta(seconds=30 * n) for n in range(2, 12)]


async def test_tracks_are_written_while_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks_module, "FLUSH_EVERY_S", 0.01)
    shelf = Shelf()
    tracks = Tracks(shelf.write)
    running = asyncio.create_task(tracks.run())
    tracks.offer(fix())
    async with asyncio.timeout(60):
        while not shelf.points:
            await asyncio.sleep(0.01)
    running.cancel()
    assert tracks.written == 1


async def test_where_units_were_before_a_restart_is_known_with_its_age_and_not_traced_again() -> None:
    store, traced = MemoryStore(), Tracks(_never)
    await store.open()
    await store.tracks([point("TK-1", 0.0), point("TK-1", 60.0), point("FA-1", 0.0), point("XX-1", 0.0)])
    positions = Positions(ROSTER.get, on_fix=traced.offer)
    positions.put(fix("FA-1", after_s=90.0))
    units = [UnitId(name) for name in ("TK-1", "TK-2", "FA-1", "XX-1")]
    now = NOW + timedelta(seconds=100)
    assert await remembered(store, positions, units, now) == 1
    known = positions.get(UnitId("TK-1"))
    assert known is not None and known.age_s(now) == 40.0
    assert positions.moved_since(TASHKENT, 0)[1] == [known], "and consoles see it"
    said = positions.get(UnitId("FA-1"))
    assert said is not None and said.at == NOW + timedelta(seconds=90), "what a unit says since stands"
    assert positions.put(fix("TK-1", after_s=99.0))
    store.faults.away = True
    assert await remembered(store, Positions(ROSTER.get), units, now) == 0


def point(unit: str, after_s: float) -> TrackPoint:
    return TrackPoint(unit_id=unit, at=NOW + timedelta(seconds=after_s), lat=LAT, lon=LON)


async def _never(points: Sequence[TrackPoint]) -> None:
    raise AssertionError("nothing is written here")
