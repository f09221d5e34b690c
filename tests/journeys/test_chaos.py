"""Three runs of chaos with every test run: a leader killed, one frozen past its lease, one cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.blows import ORDER
from tests.journeys.chaos import run_all
from tests.journeys.runs import Run, State, summary

pytestmark = pytest.mark.slow

KINDS = {"kill", "freeze", "database line half-open"}
BUSY_TAKEOVER_LIMIT_S = 20.0
"""Promised are five seconds, and `make chaos` holds them on a machine of its own. Beside the other tests of a small
one a takeover may wait for the processor; what takes four times as long waits for something else."""


async def test_three_runs_lose_nothing_double_nothing_and_keep_the_order(tmp_path: Path) -> None:
    state, numbers = State(), [0, 1, 2]
    assert {ORDER[number] for number in numbers} == KINDS
    keep = tmp_path / "state.json"
    status = await run_all(numbers, tmp_path, state, keep, takeover_limit_s=BUSY_TAKEOVER_LIMIT_S)
    assert status == 0, "its faults and the line that runs it again stand above"
    whole = summary(list(state.runs.values()))
    assert (whole["runs"], whole["missing"], whole["doubled"], whole["out_of_order"]) == (3, 0, 0, 0)
    assert whole["found"] == whole["acknowledged"] > 0
    assert whole["blows"] == 3, "each had something to hit"
    assert whole["takeover_killed_max_s"] is not None


async def test_runs_that_are_done_are_not_run_again(tmp_path: Path) -> None:
    done = Run(number=0, kind="kill", victim="core-1", acknowledged=400, found=400, takeover_s=3.0)
    state = State(runs={0: done})
    assert await run_all([0], tmp_path, state, None) == 0
    assert summary([done])["takeover_killed_max_s"] == 3.0
