"""Simulated people keep the service's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from simulators.pace import Pace

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_thirty_service_seconds_take_a_thirtieth_of_the_wall() -> None:
    pace = Pace(100.0, NOON)
    began_s = monotonic()
    await pace.sleep(20.0)
    assert 0.19 < monotonic() - began_s < 0.5
    assert pace.seconds() >= 19.0
    assert pace.now() >= NOON + timedelta(seconds=19)


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    pace, began_s = Pace(1.0, NOON), monotonic()
    await pace.until(NOON - timedelta(hours=1))
    assert monotonic() - began_s < 0.1


def test_the_earliest_word_of_the_time_counts() -> None:
    pace = Pace(1.0, NOON)
    pace.heard(NOON - timedelta(seconds=5))
    assert pace.now() - NOON < timedelta(seconds=1)
    pace.heard(NOON + timedelta(seconds=60))
    assert timedelta(seconds=60) <= pace.now() - NOON < timedelta(seconds=61)


def test_time_that_stands_still_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        Pace(0.0, NOON)
