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


class Machine(SystemClock):
    """A clock on a machine whose own can be set."""

    set_by = timedelta(0)

    def wall(self) -> datetime:
        return super().wall() + self.set_by


def test_a_deadline_is_no_further_away_when_the_machines_clock_is_set_back() -> None:
    clock = Machine()
    before = clock.now()
    clock.set_by = timedelta(hours=-1)
    after = clock.now()
    assert before <= after < before + timedelta(minutes=30)
    time.sleep(0.05)
    assert clock.now() >= after + timedelta(seconds=0.04)
    assert clock.wall() < before


def test_service_time_is_the_walls_again_when_that_has_caught_up() -> None:
    clock = Machine()
    clock.now()
    clock.set_by = timedelta(milliseconds=-5)
    time.sleep(0.1)  # in which it was ten milliseconds slower
    assert clock.now() <= clock.wall()


def test_a_clock_that_was_set_forward_is_followed() -> None:
    clock = Machine()
    clock.set_by = timedelta(hours=1)
    assert clock.now() - datetime.now(UTC) > timedelta(minutes=59)


def test_a_start_behind_the_journal_goes_on_from_its_last_time() -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    clock = SystemClock(ahead)
    assert timedelta(0) <= clock.now() - ahead < timedelta(minutes=30)
    assert SystemClock(START).now() > START + timedelta(days=1)


@pytest.mark.parametrize("clock", [SystemClock(), ScaledClock(30.0), ManualClock(START)])
def test_a_clock_goes_on_from_a_later_time_that_it_hears_of(clock: SystemClock | ScaledClock | ManualClock) -> None:
    ahead, before = clock.now() + timedelta(hours=1), clock.now()
    clock.at_least(before - timedelta(hours=1))
    assert clock.now() - before < timedelta(minutes=30)
    clock.at_least(ahead)
    assert timedelta(0) <= clock.now() - ahead < timedelta(minutes=30)


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
