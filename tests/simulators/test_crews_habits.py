"""Crews behave as field.md measured them, and stand where their drive has brought them."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import median

import pytest

from dispatch.core.crews import ACCEPT_S
from dispatch.core.terms import Body
from routing.geometry import Point, distance_m
from routing.travel import Path
from simulators.drives import Drive
from simulators.habits import TRANSPORT_SHARE, Temper, temper

WAY = Path([Point(41.0, 69.0), Point(41.01, 69.0), Point(41.01, 69.02)], [0.0, 100.0, 200.0], 2_800.0)


@pytest.fixture(scope="module")
def tempers() -> list[Temper]:
    rng = Random(1)
    return [temper(Body.MOH, rng) for _ in range(8_000)]


def test_turnout_and_scene_have_the_measured_medians(tempers: list[Temper]) -> None:
    assert median(t.turnout_s for t in tempers) == pytest.approx(49, rel=0.03)
    assert median(t.scene_s for t in tempers) == pytest.approx(1_008, rel=0.03)


def test_a_crew_that_accepts_does_so_before_the_next_unit_is_asked(tempers: list[Temper]) -> None:
    assert all(0 < t.seen_s <= t.accepted_s <= t.turnout_s for t in tempers)
    assert max(t.accepted_s for t in tempers) < ACCEPT_S


def test_few_refuse_few_fall_silent_and_nobody_does_both(tempers: list[Temper]) -> None:
    assert sum(t.refuses for t in tempers) / len(tempers) == pytest.approx(0.01, abs=0.005)
    assert sum(t.silent for t in tempers) / len(tempers) == pytest.approx(0.01, abs=0.005)
    assert not any(t.refuses and t.silent for t in tempers)


def test_only_ambulances_transport_and_most_do_not(tempers: list[Temper]) -> None:
    assert sum(t.transports for t in tempers) / len(tempers) == pytest.approx(TRANSPORT_SHARE, abs=0.02)
    rng = Random(2)
    assert not any(temper(body, rng).transports for body in Body if body is not Body.MOH for _ in range(200))


def test_a_drive_begins_at_its_start_and_ends_at_its_end() -> None:
    drive = Drive(WAY, 1_000.0, 0.5)
    assert drive.takes_s == 100.0
    assert drive.at(900.0).at == WAY.points[0]
    assert drive.at(1_100.0).at == drive.at(9_999.0).at == WAY.points[-1]
    assert drive.at(1_100.0).heading_deg is None


def test_a_vehicle_moves_steadily_along_its_way() -> None:
    drive = Drive(WAY, 0.0, 1.0)
    places = [drive.at(second).at for second in range(0, 201, 10)]
    steps = [distance_m(a, b) for a, b in pairwise(places)]
    assert max(steps[:10]) == pytest.approx(min(steps[:10]), rel=0.01)
    assert sum(steps) == pytest.approx(distance_m(*WAY.points[:2]) + distance_m(*WAY.points[1:]), rel=0.01)
    assert drive.at(50.0).heading_deg == pytest.approx(0.0, abs=0.1)
    assert drive.at(150.0).heading_deg == pytest.approx(90.0, abs=0.1)
    assert drive.at(50.0).speed_mps == pytest.approx(distance_m(*WAY.points[:2]) / 100, rel=1e-6)
