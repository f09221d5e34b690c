"""A disk that gets full is said early; then tracks go, then the inputs of decisions, and both come back."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dispatch.core.terms import UnitId
from dispatch.keeping.disk import MEBIBYTE, Disk, Level, Limits
from dispatch.keeping.tracks import Tracks
from dispatch.settings import Settings
from dispatch.writing.positions import Position
from dispatch.writing.records import TrackPoint
from tests.servers.store_cases import NOW
from tests.small_disk import fill

LIMITS = Limits(early_mib=32, low_mib=16, critical_mib=8)


def disk_of(place: Path) -> Disk:
    return Disk(lambda: {"data": place, "gone": place / "nowhere"}, LIMITS)


def test_each_level_comes_with_less_room_and_goes_with_more(small_disk: Path) -> None:
    disk = disk_of(small_disk)
    assert (disk.look(), disk.word(), disk.keeps_tracks()) == (Level.AMPLE, "ok", True)
    seen = []
    for left_mib in (30, 14, 6):
        fill(small_disk, left_mib * MEBIBYTE)
        seen.append((disk.look(), disk.keeps_tracks(), disk.keeps_inputs(), disk.word()))
        assert disk.said(disk.level) == f"{disk.free_bytes['data'] // MEBIBYTE} MiB are free on the disk of the data"
    assert seen == [
        (Level.EARLY, True, True, "degraded"),
        (Level.LOW, False, True, "degraded"),
        (Level.CRITICAL, False, False, "degraded"),
    ]
    (small_disk / "filled").unlink()
    assert (disk.look(), disk.word(), disk.said(Level.CRITICAL)) == (Level.AMPLE, "ok", None)


def test_a_level_is_not_left_for_a_few_bytes(small_disk: Path) -> None:
    disk = disk_of(small_disk)
    filled = fill(small_disk, 15 * MEBIBYTE + MEBIBYTE // 2)
    assert disk.look() is Level.LOW
    with filled.open("r+b") as file:
        file.truncate(filled.stat().st_size - MEBIBYTE)
    assert disk.free_bytes["data"] < 16 * MEBIBYTE
    assert disk.look() is Level.LOW
    assert disk.free_bytes["data"] > 16 * MEBIBYTE
    filled.unlink()
    assert disk.look() is Level.AMPLE


async def test_on_a_disk_that_is_low_no_track_is_written_and_each_is_counted(small_disk: Path) -> None:
    written: list[TrackPoint] = []

    async def write(points: Sequence[TrackPoint]) -> None:
        written.extend(points)

    disk = disk_of(small_disk)
    tracks = Tracks(write, disk.keeps_tracks)
    disk.look()
    tracks.offer(position(1))
    fill(small_disk, 14 * MEBIBYTE)
    disk.look()
    tracks.offer(position(2))
    await tracks.flush()
    assert (written, tracks.dropped) == ([], 2)
    (small_disk / "filled").unlink()
    disk.look()
    tracks.offer(position(3))
    await tracks.flush()
    assert [point.unit_id for point in written] == ["TK-A3"]


def position(number: int) -> Position:
    return Position(unit_id=UnitId(f"TK-A{number}"), lat=41.3, lon=69.2, at=NOW, received_at=NOW)


@pytest.mark.parametrize("level", [Level.EARLY, Level.LOW, Level.CRITICAL])
def test_the_usual_limits_leave_room_for_what_must_be_kept(level: Level) -> None:
    usual = Settings()
    limits = Limits(early_mib=usual.disk_early_mib, low_mib=usual.disk_low_mib, critical_mib=usual.disk_critical_mib)
    assert limits == Limits()
    begins = {Level.EARLY: limits.early_mib, Level.LOW: limits.low_mib, Level.CRITICAL: limits.critical_mib}[level]
    assert limits.level(begins * MEBIBYTE) == level - 1
    assert limits.level(begins * MEBIBYTE - 1) == level
