"""Calls come as field.md has them: as many, by region, by hour, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from math import sqrt

import pytest

from simulators.arrivals import CALLS_A_DAY, HIGHEST, PEAK_HOUR, TROUGH_HOUR, Arrivals, hour_factor, shares

START = datetime(2026, 3, 1, 7, tzinfo=UTC)


def test_the_day_peaks_near_19_and_is_lowest_near_4() -> None:
    hours = [minute / 60 for minute in range(24 * 60)]
    assert max(hours, key=hour_factor) == pytest.approx(PEAK_HOUR, abs=0.1)
    assert min(hours, key=hour_factor) == pytest.approx(TROUGH_HOUR, abs=0.1)
    assert max(map(hour_factor, hours)) <= HIGHEST


def test_a_day_has_the_mean_of_what_field_derives() -> None:
    mean = sum(hour_factor(minute / 60) for minute in range(24 * 60)) / (24 * 60)
    assert mean == pytest.approx(1.0, abs=1e-9)
    assert 48_000 < CALLS_A_DAY < 123_000


def test_the_hour_is_that_of_uzbekistan() -> None:
    evening, night = START.replace(hour=14), START.replace(hour=23)
    assert Arrivals(1).rate_per_s(evening) == pytest.approx(CALLS_A_DAY / 86_400 * hour_factor(19.0))
    assert Arrivals(1).rate_per_s(night) == pytest.approx(CALLS_A_DAY / 86_400 * hour_factor(4.0))


def test_regions_share_the_calls_as_they_share_those_to_103() -> None:
    assert shares()["UZ-TK"] == pytest.approx(1_462_006 / 14_299_948, rel=1e-3)
    drawn = Counter(region for _, region in islice(Arrivals(3, 60).after(START), 20_000))
    for region, share in shares().items():
        assert abs(drawn[region] / 20_000 - share) < 5 * sqrt(share / 20_000), region


@pytest.mark.parametrize("rate", [60.0, None])
def test_an_hour_brings_as_many_calls_as_its_rate_says(rate: float | None) -> None:
    arrivals = Arrivals(5, rate)
    expected = sum(arrivals.rate_per_s(START + timedelta(seconds=s)) for s in range(3600))
    came = sum(1 for _ in takewhile(lambda call: call[0] < START + timedelta(hours=1), arrivals.after(START)))
    assert abs(came - expected) < 5 * sqrt(expected)


def test_gaps_are_those_of_a_poisson_process() -> None:
    times = [at for at, _ in islice(Arrivals(7, 60).after(START), 20_001)]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(1.0, rel=0.04)
    assert spread / mean == pytest.approx(1.0, rel=0.04)


def test_the_same_seed_gives_the_same_calls() -> None:
    first, again = (list(islice(Arrivals(11, 30).after(START), 50)) for _ in range(2))
    assert first == again
    assert first != list(islice(Arrivals(12, 30).after(START), 50))
