"""Speeds learnt from tracks: what was driven comes out again, and what was no drive teaches nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from routing.geometry import distance_m, from_local_m
from routing.learning import FEWEST, Fix, Learnt, Observation, drives, learn, observed, read, stretches, write
from routing.roads import RESIDENTIAL, Roads
from routing.travel import Path as Way
from routing.travel import Travel
from routing.weights import USUAL_LATE, profiled, usual_lateness

MORNING = datetime(2026, 11, 25, 3, 10, tzinfo=UTC)  # a Wednesday, ten past eight there
RNG = np.random.default_rng(8)


def tracks(travel: Travel, slower: float, began: datetime, count: int, every_s: float = 10.0) -> Iterator[list[Fix]]:
    """Drives across the capital that take `slower` times the plain time on every road, heard each so many seconds by
    receivers that err by some metres."""
    for _ in range(count):
        north, east = RNG.uniform(-6_000, 6_000, (2, 2))
        ends = [from_local_m((41.3111, 69.2797), e, n) for e, n in zip(east, north, strict=True)]
        way = travel.path(ends[0], ends[1])
        if way is not None:
            yield track(way, slower, began, every_s)


def track(way: Way, slower: float, began: datetime, every_s: float) -> list[Fix]:
    seconds = np.array(way.seconds_at) * slower
    times = np.arange(0.0, seconds[-1], every_s)
    lats, lons = (np.interp(times, seconds, [float(point[i]) for point in way.points]) for i in (0, 1))
    found = []
    for at, lat, lon in zip(times.tolist(), lats.tolist(), lons.tolist(), strict=True):
        heard = from_local_m((lat, lon), *RNG.normal(0, 4, 2))
        found.append(Fix(began + timedelta(seconds=at), heard.lat, heard.lon))
    return found


@pytest.mark.parametrize("every_s", [5.0, 20.0])
@pytest.mark.parametrize("slower", [0.8, 1.0, 1.6])
def test_the_speed_that_was_driven_is_found_again_within_a_few_percent(
    demo_travel: Travel, slower: float, every_s: float
) -> None:
    seen = [o for t in tracks(demo_travel, slower, MORNING, 40, every_s) for o in observed(demo_travel, t)]
    assert len(seen) > 100
    ratios = np.array([o.ratio for o in seen])
    assert np.median(ratios) == pytest.approx(slower, rel=0.04)
    assert np.percentile(ratios, 10) > 0.85 * slower and np.percentile(ratios, 90) < 1.2 * slower
    assert {(o.day, o.hour) for o in seen} <= {(0, 8), (0, 9)} and all(o.urban for o in seen)


def test_what_was_learnt_is_what_the_roads_then_take_at_that_hour(demo_roads: Roads, demo_travel: Travel) -> None:
    seen = [o for t in tracks(demo_travel, 1.5, MORNING, 60) for o in observed(demo_travel, t)]
    learnt = learn(seen)
    kinds = {o.kind for o in seen if sum(o.kind == other.kind for other in seen) >= 2 * FEWEST}
    assert kinds
    at_eight = profiled(demo_roads, learnt.profile(), MORNING)
    for kind in kinds:
        town = (demo_roads.kind == kind) & demo_roads.urban & (demo_roads.ms > 1_000)
        assert np.median(at_eight[town] / demo_roads.ms[town]) == pytest.approx(1.5, rel=0.06)
    country = ~demo_roads.urban
    assert (at_eight[country] == demo_roads.ms[country]).all(), "nobody was seen there"
    on_sunday = profiled(demo_roads, learnt.profile(), MORNING + timedelta(days=4))
    assert (on_sunday == demo_roads.ms).all()


def test_a_detour_and_a_wrong_fix_teach_nothing(demo_travel: Travel) -> None:
    way = demo_travel.path((41.3111, 69.2797), (41.34, 69.33))
    assert way is not None
    there = track(way, 1.0, MORNING, 10.0)
    assert list(observed(demo_travel, there))
    far = next(i for i, fix in enumerate(there) if distance_m(there[0][1:], fix[1:]) > 210)
    out = there[: far + 1]
    back = [fix._replace(at=out[-1].at + (out[-1].at - fix.at)) for fix in out[-2::-1]]
    assert next(piece[-1] for piece in stretches([*out, *back])) in back[-2:], "it ends about where it began"
    assert not list(observed(demo_travel, [*out, *back]))
    astray = [f._replace(lat=f.lat + 0.01) if i % 2 else f for i, f in enumerate(there)]
    assert not list(observed(demo_travel, astray))


def test_a_stay_ends_a_drive_and_counts_for_none() -> None:
    line = [Fix(MORNING + timedelta(seconds=10 * i), 41.3 + 0.001 * i, 69.2) for i in range(5)]
    stay = [Fix(line[-1].at + timedelta(seconds=10 * (i + 1)), *line[-1][1:]) for i in range(30)]
    on = [Fix(stay[-1].at + timedelta(seconds=10 * (i + 1)), 41.305 + 0.001 * i, 69.2) for i in range(4)]
    found = [drive for drive in drives([*line, *stay, *on]) if len(drive) > 1]
    assert found[0] == line
    assert found[-1][-len(on) :] == on
    assert all((b.at - a.at).total_seconds() <= 90 for drive in found for a, b in pairwise(drive))
    silent = [line[0], line[1], *(f._replace(at=f.at + timedelta(minutes=5)) for f in line[2:])]
    assert [len(drive) for drive in drives(silent)] == [2, 3]


def test_stretches_are_long_enough_and_join_end_to_end() -> None:
    line = [Fix(MORNING + timedelta(seconds=10 * i), 41.3 + 0.001 * i, 69.2) for i in range(20)]
    pieces = list(stretches(line))
    assert len(pieces) == 4 and all(a[-1] == b[0] for a, b in pairwise(pieces))


def test_lights_and_sirens_are_taken_out_of_the_time(demo_travel: Travel) -> None:
    seen = [o for t in tracks(demo_travel, 0.65, MORNING, 30) for o in observed(demo_travel, t, time_factor=0.65)]
    assert np.median([o.ratio for o in seen]) == pytest.approx(1.0, rel=0.04)


def test_a_group_speaks_when_it_was_seen_often_enough_and_outliers_do_not() -> None:
    def many(hour: int, ratio: float, count: int) -> list[Observation]:
        return [Observation(0, hour, RESIDENTIAL, True, ratio)] * count

    learnt = learn([*many(8, 2.0, FEWEST), *many(8, 9.0, FEWEST // 3), *many(9, 1.2, FEWEST - 1), *many(3, 1.0, 60)])
    p50 = np.array(learnt.p50)[0, :, RESIDENTIAL, 1]
    assert p50[8] == 2.0 and p50[3] == 1.0
    assert p50[9] == p50[20] == pytest.approx(1.0, abs=0.3), "the whole day speaks"
    assert np.array(learnt.p90)[0, 8, RESIDENTIAL, 1] > 2.0
    assert np.array(learnt.observations)[0, 9, RESIDENTIAL, 1] == FEWEST - 1
    assert (np.array(learnt.p50)[1] == 1.0).all() and (np.array(learnt.p50)[0, :, RESIDENTIAL, 0] == 1.0).all()
    few = learn(many(8, 2.0, FEWEST - 1))
    assert (np.array(few.p50) == 1.0).all()


def test_what_was_learnt_is_kept_and_read_again_and_a_broken_file_says_so(tmp_path: Path) -> None:
    learnt, path = learn([Observation(0, 8, 1, True, 1.5)] * FEWEST), tmp_path / "speeds.json"
    write(learnt, path)
    assert read(path) == learnt and isinstance(learnt, Learnt)
    for broken in (b"{}", b"\xff", path.read_bytes().replace(b"1.5", b"1500")):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="cannot read the learnt speeds"):
            read(path)


def test_drives_that_are_now_and_then_late_say_how_late(demo_travel: Travel) -> None:
    """Every tenth drive takes much longer on every road: half as long again, less what is late on every drive."""
    seen: list[Observation] = []
    for slower in [1.0] * 34 + [1.2] * 3 + [1.6] * 8:
        seen += [o for t in tracks(demo_travel, slower, MORNING, 1) for o in observed(demo_travel, t)]
    learnt = learn(seen)
    late = learnt.late[0][8][1]
    assert learnt.drives[0][8][1] >= FEWEST
    assert 0.3 < late < 0.62, "a drive that takes 1.6 times the usual is in the worst tenth's way"
    assert learnt.late[1] == usual_lateness()[1].tolist(), "nobody drove at a weekend"
    assert learnt.profile().late_at(MORNING) == (USUAL_LATE, late)


def test_the_slow_stretches_of_a_drive_are_made_up_for_by_its_quick_ones() -> None:
    """Stretches that vary by themselves: each is often late, the whole hardly ever."""
    seen = [
        Observation(0, 8, RESIDENTIAL, True, float(RNG.lognormal(0, 0.4)), 40.0, Fix(MORNING, 41.3, 69.2 + drive / 1e4))
        for drive in range(100)
        for _ in range(25)
    ]
    learnt = learn(seen)
    assert learnt.p90[0][8][RESIDENTIAL][1] > 1.5
    assert learnt.late[0][8][1] < 0.25
    together = learn([o._replace(ratio=1.0 + 0.1 * (i // 25 % 10)) for i, o in enumerate(seen)])
    assert together.late[0][8][1] == pytest.approx(0.3, abs=0.06), "but a bad day is bad everywhere"


def test_speeds_learnt_before_drives_were_counted_are_as_late_as_usual(tmp_path: Path) -> None:
    write(learn([]), tmp_path / "speeds.json")
    kept = msgspec.json.decode((tmp_path / "speeds.json").read_bytes())
    (tmp_path / "speeds.json").write_bytes(
        msgspec.json.encode({k: v for k, v in kept.items() if k not in ("late", "drives")})
    )
    assert read(tmp_path / "speeds.json").profile().late_at(MORNING) == (USUAL_LATE, USUAL_LATE)
