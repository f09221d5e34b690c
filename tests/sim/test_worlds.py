"""Two hundred seeded worlds full of faults: the laws of `simulators.verdicts` hold in each of them.

A failure prints its seed, what broke, the last events, and the line that runs that world again.
"""

from collections import Counter
from functools import cache

import msgspec
import pytest

from dispatch.core import incidents, verdict
from simulators.faults import SERVICE_FAULTS, STORM, Faults
from simulators.seeds import Level, Outcome, run_world, run_worlds
from simulators.sim import SEEDS
from simulators.world import Plan, World
from simulators.writer import Broken

BLOCK = 20
SHORT = Plan(regions=2, units_each=6, storm_s=240.0, calls_each=4)

OF_THE_SHELL = frozenset(SERVICE_FAULTS) - {"crashes", "dies_unpublished"}
"""What can happen only where there are processes and servers."""


@cache
def worlds_from(first: int) -> list[Outcome]:
    """A block of the worlds that these tests run, once."""
    return [run_world(Level.CORE, seed) for seed in range(first, first + BLOCK)]


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_world_stays_whole(first: int) -> None:
    worlds = worlds_from(first)
    assert [world.account for world in worlds if world.broken] == []
    assert sum(world.events for world in worlds) > BLOCK * 100
    assert sum(world.refused for world in worlds) > BLOCK


def test_every_fault_that_the_core_can_meet_did_happen() -> None:
    struck: Counter[str] = Counter()
    for first in range(0, SEEDS, BLOCK):
        for world in worlds_from(first):
            struck.update(world.struck)
    happened = {fault for fault, times in struck.items() if times}
    assert happened == set(Faults.__struct_fields__) - {"delay_s"} - OF_THE_SHELL


def test_worlds_stay_whole_where_calls_end_one_by_one_after_their_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "CLOSED_AT_ONCE", 0)
    monkeypatch.setattr(incidents, "CLOSED_AT_ONCE", 1)
    followed = 0
    for seed in range(BLOCK):
        world = World(seed, Plan())
        world.run()
        followed += sum(b"calls_closed" in fact.payload for w in world.writers.values() for fact in w.journal)
    assert followed > 5 * BLOCK


def test_two_hundred_worlds_are_promised() -> None:
    assert SEEDS >= 200


def test_a_seed_leads_to_the_same_world_each_time() -> None:
    first, again = _journal(7), _journal(7)
    assert first == again
    assert first != _journal(8)


def test_the_storm_makes_everything_happen_that_it_names() -> None:
    quiet = [name for name in Faults.__struct_fields__ if name != "delay_s" and not getattr(STORM, name)]
    assert quiet == []


def test_worlds_come_in_the_order_of_their_seeds_however_many_run_them() -> None:
    alone, together = run_worlds(Level.CORE, range(24), 1), run_worlds(Level.CORE, range(24), 2)
    assert [(o.seed, o.events) for o in together] == [(o.seed, o.events) for o in alone]


def test_a_clogged_region_gets_everything_late_in_another_order_and_nothing_twice() -> None:
    world = World(3, SHORT)
    heard: list[int] = []
    world.dice.faults = Faults(lost=1.0)
    world.line.clog("UZ-TK", 10.0)
    for number in range(30):
        world.line.send("UZ-TK", lambda number=number: heard.append(number))  # type: ignore[misc]
    for _, _, action in sorted(world._agenda)[:1]:
        world._agenda.clear()
        action()
    for _, _, action in sorted(world._agenda):
        action()
    assert sorted(heard) == list(range(30)) and heard != sorted(heard)


def test_who_led_before_a_take_over_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_over: list[int] = []
    fail_over = World._fail_over

    def counted(world: World, *region_and_writer: object) -> None:
        fail_over(world, *region_and_writer)  # type: ignore[arg-type]
        taken_over.append(world.seed)

    monkeypatch.setattr(World, "_fail_over", counted)
    for seed in range(10):
        World(seed, SHORT, msgspec.structs.replace(STORM, fails_over=0.9)).run()
    assert taken_over


def test_a_broken_world_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(world: World, region: str, call_id: str) -> None:
        raise LookupError("a planted fault")

    monkeypatch.setattr(World, "_give", forget)
    outcome = next(found for seed in range(50) if (found := run_world(Level.CORE, seed)).broken)
    lines = outcome.account.splitlines()
    assert lines[0].startswith(f"seed {outcome.seed}, level core, ")
    assert lines[1] == "broken: a fault in our own code: LookupError('a planted fault')"
    assert lines[2].startswith("the last ")
    assert lines[-1] == f"again: dispatch112 sim --level core --seeds 1 --first {outcome.seed}"


def test_a_world_ends_by_raising_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(world: World, call_id: str) -> None:
        raise Broken("a law")

    monkeypatch.setattr("simulators.world.in_one_place", lie)
    with pytest.raises(Broken, match="a law"):
        World(1, SHORT).run()


def _journal(seed: int) -> list[object]:
    world = World(seed, SHORT)
    world.run()
    return [writer.journal for writer in world.writers.values()]
