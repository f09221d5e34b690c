"""Each planted bug of the core is found by some seed, and that seed is whole without it."""

from contextlib import AbstractContextManager
from typing import Any

import pytest

import dispatch.engine
from dispatch.core import commands as c
from dispatch.core.decide import DECIDERS
from dispatch.units.orders import Outbox
from dispatch.writing.committer import Committer
from simulators.planted import BUDGET, BUGS, Hunt, hunt
from simulators.planting import Bug, swapped
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


def of_another_signature() -> AbstractContextManager[None]:
    return swapped((DECIDERS, c.ReceiveCall, lambda state, command: None))


def with_an_attribute_that_is_gone() -> AbstractContextManager[None]:
    return swapped((DECIDERS, c.ReceiveCall, lambda state, command, now: state.has_no_such_thing))


def of_what_is_awaited_in_a_process() -> AbstractContextManager[None]:
    async def add(self: Any) -> None: ...

    return swapped((Committer, "add", add))


def of_what_a_process_calls_back() -> AbstractContextManager[None]:
    return swapped((Outbox, "resume", lambda self: None))


def of_what_is_no_more() -> AbstractContextManager[None]:
    return swapped((dispatch.engine, "has_no_such_thing", None))


@pytest.mark.parametrize(
    ("level", "plant"),
    [
        (Level.CORE, of_another_signature),
        (Level.CORE, with_an_attribute_that_is_gone),
        (Level.SHELL, of_what_is_awaited_in_a_process),
        (Level.SHELL, of_what_a_process_calls_back),
        (Level.SHELL, of_what_is_no_more),
    ],
)
def test_a_plant_that_does_not_fit_the_code_any_more_finds_nothing(
    monkeypatch: pytest.MonkeyPatch, level: Level, plant: Any
) -> None:
    monkeypatch.setitem(BUGS, "a misfit", Bug("a misfit", level, plant))
    told = hunt("a misfit", 3)
    assert not told.found and told.worlds == 1
    assert "NOT FOUND, the plant itself fails: " in told.told()
