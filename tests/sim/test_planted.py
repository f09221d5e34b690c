"""Each planted bug of the core is found by some seed, and that seed is whole without it."""

import pytest

from simulators.planted import BUDGET, BUGS, Hunt, hunt
from simulators.seeds import Level, run_world


@pytest.mark.parametrize("name", [bug.name for bug in BUGS.values() if bug.level is Level.CORE])
def test_a_planted_bug_of_the_core_is_found(name: str) -> None:
    found = hunt(name, BUDGET)
    assert found.found, found.told()


def test_a_dozen_bugs_are_promised_on_both_levels() -> None:
    assert BUDGET <= 500 and len(BUGS) >= 12
    assert {bug.level for bug in BUGS.values()} == set(Level)


def test_a_bug_leaves_nothing_behind_when_it_is_taken_out() -> None:
    clean = run_world(Level.CORE, 0)
    assert hunt("a merge leaves a call behind", BUDGET).found
    for bug in BUGS.values():
        with bug.plant():
            pass
    assert run_world(Level.CORE, 0) == clean and not clean.broken


def test_the_table_says_what_was_missed_and_what_the_clean_code_breaks_as_well() -> None:
    missed = Hunt(name="a bug", level=Level.CORE, worlds=500)
    assert "MISSED in 500 seeds" in missed.told() and not missed.found
    doubtful = Hunt(name="a bug", level=Level.CORE, worlds=1, seed=0, broken="a law", clean=False)
    assert "CLEAN CODE FAILS TOO" in doubtful.told() and not doubtful.found
