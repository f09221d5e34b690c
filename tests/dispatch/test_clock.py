"""Service time and wall time, and how the one follows from the other."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from dispatch.clock import ManualClock, ScaledClock, SystemClock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_service_time_runs_as_many_times_faster_as_asked() -> None:
    clock, began = ScaledClock(600.0, START), time.monotonic()
    time.sleep(0.05)
    low = (time.monotonic() - began) * 600
    passed_s = (clock.now() - START).total_seconds()
    high = (time.monotonic() - began) * 600 + 60
    assert low - 60 <= passed_s <= high


def test_a_restart_goes_on_from_the_last_time_in_the_journal() -> None:
    assert ScaledClock(30.0, START).now() - START < timedelta(seconds=30)
    assert ScaledClock(30.0, START).now() >= START


def test_wall_time_is_not_scaled() -> None:
    clock = ScaledClock(1000.0, START)
    assert abs(clock.wall() - datetime.now(UTC)) < timedelta(seconds=1)


def test_a_wait_in_service_time_is_shorter_on_the_wall() -> None:
    assert ScaledClock(30.0).wall_delay_s(60.0) == pytest.approx(2.0)
    assert SystemClock().wall_delay_s(60.0) == 60.0
    assert ScaledClock(30.0).wall_delay_s(-5.0) == 0.0


def test_every_clock_tells_aware_times() -> None:
    offsets = {clock.now().utcoffset() for clock in (SystemClock(), ScaledClock(2.0), ManualClock())}
    assert offsets == {timedelta(0)}


def test_a_manual_clock_stands_still_until_it_is_moved_and_never_goes_back() -> None:
    clock = ManualClock(START)
    assert clock.now() == START
    assert clock.advance(90.0) == clock.now() == START + timedelta(seconds=90)
    with pytest.raises(AssertionError, match="backwards"):
        clock.advance(-1.0)
