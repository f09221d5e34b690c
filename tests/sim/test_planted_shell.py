"""Each planted bug of the shell is found by some seed, and that seed is whole without it."""

import pytest

from simulators.planted import BUDGET, BUGS, hunt
from simulators.seeds import Level


@pytest.mark.parametrize("name", [bug.name for bug in BUGS.values() if bug.level is Level.SHELL])
def test_a_planted_bug_of_the_shell_is_found(name: str) -> None:
    found = hunt(name, BUDGET)
    assert found.found, found.told()
