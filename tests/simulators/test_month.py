"""Days of service leave no more behind than one of them: only the journal grows, by every call the same."""

from __future__ import annotations

import pytest

from simulators.bench_month import KEPT_WHOLE, SETTLING_DAYS, figures, month, slope

pytestmark = pytest.mark.slow

DAYS, CALLS = 12, 30


async def test_after_the_longest_age_nothing_grows_but_the_journal(postgres_url: str) -> None:
    days = await month(postgres_url, DAYS, CALLS, seed=1)
    settled = days[SETTLING_DAYS:]
    assert [day.calls for day in days] == [CALLS] * DAYS
    for table in days[-1].rows.keys() - set(KEPT_WHOLE):
        rows = [day.rows[table] for day in settled]
        # Without an end they would be half as many again; a day's calls are drawn by chance.
        assert sum(rows[-3:]) <= 1.25 * sum(rows[:3]) + 15, f"{table}: {[day.rows[table] for day in days]}"
    for name in days[-1].held:
        kept = [day.held[name] for day in settled]
        grows_to = 500 if name.endswith("_closed") else min(kept) + 12
        assert max(kept) <= grows_to, f"{name}: {[day.held[name] for day in days]}"
    events = [day.rows["events"] for day in days]
    assert events == sorted(events) and events[-1] > DAYS * CALLS
    for table in ("answers", "calls", "incidents", "orders", "assignments", "personal", "decisions", "audit", "tracks"):
        assert days[-1].rows[table] > 0, f"{table} was never written"
    found = figures(days)
    assert found["rows_slope_per_day"]["events"] > CALLS
    assert found["journal_bytes_per_call"] > 0


def test_a_slope_is_the_growth_from_day_to_day() -> None:
    assert slope([1.0, 3.0, 5.0, 7.0]) == 2.0
    assert slope([4.0, 4.0, 4.0]) == 0.0
    assert slope([1.0, 2.0]) is None
