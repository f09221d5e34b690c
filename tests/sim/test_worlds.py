"""Two hundred seeded worlds full of faults: the laws of `simulators.verdicts` hold in each of them.

A failure prints its seed, what broke, the last events, and the line that runs that world again.
"""

import msgspec
import pytest

from simulators.faults import STORM, Faults
from simulators.sim import SEEDS
from simulators.world import Failed, Plan, World, run_seed

BLOCK = 20
SHORT = Plan(regions=2, units_each=6, storm_s=240.0, calls_each=4)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_world_stays_whole(first: int) -> None:
    worlds = [run_seed(seed) for seed in range(first, first + BLOCK)]
    assert sum(world.events for world in worlds) > BLOCK * 100
    assert sum(writer.refusals for world in worlds for writer in world.writers.values()) > BLOCK


def test_two_hundred_worlds_are_promised() -> None:
    assert SEEDS >= 200


def test_a_seed_leads_to_the_same_world_each_time() -> None:
    first, again = run_seed(7, SHORT), run_seed(7, SHORT)
    assert [w.journal for w in first.writers.values()] == [w.journal for w in again.writers.values()]
    assert [w.journal for w in first.writers.values()] != [w.journal for w in run_seed(8, SHORT).writers.values()]


def test_the_storm_makes_everything_happen_that_it_names() -> None:
    quiet = [name for name in Faults.__struct_fields__ if name != "delay_s" and not getattr(STORM, name)]
    assert quiet == []


def test_a_broken_world_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(world: World, region: str, call_id: str) -> None:
        raise LookupError("a planted fault")

    monkeypatch.setattr(World, "_give", forget)
    hand_overs = msgspec.structs.replace(STORM, wrong_region=0.9, unlocated=0.9)
    with pytest.raises(Failed) as failed:
        _run_all(range(20), hand_overs)
    account = str(failed.value)
    assert "broken: a fault in our own code: LookupError('a planted fault')" in account
    assert "the last" in account and account.splitlines()[-1].startswith("again: dispatch112 sim --seeds 1 --first ")


def _run_all(seeds: range, faults: Faults) -> None:
    for seed in seeds:
        run_seed(seed, SHORT, faults)
