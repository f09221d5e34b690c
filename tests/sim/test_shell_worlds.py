"""Whole processes on virtual time, killed, frozen and cut off by seed: the laws of `simulators.ledger` hold."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from random import Random

import pytest

from simulators.faults import CALM, SERVICE_FAULTS, STORM
from simulators.seeds import Level, Outcome, run_world
from simulators.shell import ShellPlan, ShellWorld
from simulators.sim import SEEDS, SHELL_SHARE
from simulators.townsfolk import PATIENCE_S
from simulators.twins import Database
from simulators.virtual import Owner, Stuck, VirtualClock, VirtualLoop
from simulators.writer import Broken

WORLDS = 20
BLOCK = 5
SHORT = ShellPlan(calls=6, storm_s=30.0)
TELL = "from tests.sim.test_shell_worlds import fingerprint; print(fingerprint(5))"


def fingerprint(seed: int) -> str:
    """The journals of one world, in a few letters."""
    world = ShellWorld(seed, SHORT)
    world.run()
    return hashlib.sha256(repr(world.journal).encode()).hexdigest()


@cache
def worlds_from(first: int) -> list[Outcome]:
    """A block of the worlds that these tests run, once."""
    return [run_world(Level.SHELL, seed) for seed in range(first, first + BLOCK)]


@pytest.mark.parametrize("first", range(0, WORLDS, BLOCK))
def test_every_world_stays_whole(first: int) -> None:
    worlds = worlds_from(first)
    assert [world.account for world in worlds if world.broken] == []
    assert sum(world.events for world in worlds) > BLOCK * 100


def test_every_fault_that_processes_can_meet_did_happen() -> None:
    struck: Counter[str] = Counter()
    for first in range(0, WORLDS, BLOCK):
        for world in worlds_from(first):
            struck.update(world.struck)
    assert [fault for fault, times in struck.items() if not times] == []
    assert struck.keys() > {*SERVICE_FAULTS}


def test_the_tests_run_at_least_the_share_that_the_command_runs() -> None:
    assert SEEDS // SHELL_SHARE <= WORLDS


def test_a_seed_leads_to_the_same_journals_in_any_process() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", TELL],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] == fingerprint(5)
    assert fingerprint(6) != fingerprint(5)


def test_in_a_world_without_faults_nobody_dies_and_a_region_is_given_away_once_at_most() -> None:
    world = ShellWorld(1, SHORT, CALM)
    world.run()
    assert len(world.past) == 2
    assert sorted(world.ledger.epochs.values()) in ([1, 1], [1, 2])
    assert len(world.ledger.acknowledged) == SHORT.calls


def test_the_storm_kills_freezes_and_parts_processes_and_consoles_come_back() -> None:
    worlds = [ShellWorld(seed, faults=STORM) for seed in range(5)]
    for world in worlds:
        world.run()
    assert sum(len(world.past) > 2 for world in worlds) > 1
    assert any(epoch > 1 for world in worlds for epoch in world.ledger.epochs.values())
    assert all(screen.snapshots and screen.deltas for world in worlds for screen in world.screens)


def test_a_fault_that_a_loop_of_ours_catches_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise LookupError("a planted fault")

    monkeypatch.setattr("dispatch.writing.leading.due", bug)
    with pytest.raises(Broken, match="a deadline failed: LookupError"):
        ShellWorld(1, SHORT, CALM).run()


def test_a_fault_in_what_nobody_waits_for_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bug(*_: object) -> None:
        raise LookupError("a planted fault")

    monkeypatch.setattr("consoles.gateway.Gateway.handle", bug)
    with pytest.raises(Broken, match=r"a fault in our own code, .* LookupError"):
        ShellWorld(1, SHORT, CALM).run()


def test_a_fault_after_the_caller_has_hung_up_breaks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object) -> None:
        await asyncio.sleep(PATIENCE_S + 1.0)
        raise LookupError("a planted fault")

    monkeypatch.setattr("dispatch.intake.Intake.take", late)
    with pytest.raises(Broken, match=r"a fault in our own code, .* LookupError"):
        ShellWorld(1, SHORT, CALM).run()


# The loop


def test_an_hour_of_virtual_time_passes_in_a_moment_and_in_order() -> None:
    loop, heard = VirtualLoop(Random(1)), []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        heard.append((seconds, loop.time()))

    async def all_of_them() -> None:
        await asyncio.gather(*(sleeper(s) for s in (3600.0, 1.5, 60.0)))

    loop.run_until_complete(all_of_them())
    loop.close()
    assert heard == [(1.5, 1.5), (60.0, 60.0), (3600.0, 3600.0)]


def test_the_seed_chooses_the_order_of_what_is_ready_at_one_moment() -> None:
    def order(seed: int) -> list[int]:
        loop, heard = VirtualLoop(Random(seed)), []

        async def one(number: int) -> None:
            heard.append(number)

        async def all_of_them() -> None:
            await asyncio.gather(*(one(number) for number in range(8)))

        loop.run_until_complete(all_of_them())
        loop.close()
        return heard

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 5


def test_a_line_is_prompt_again_when_what_was_sent_while_it_was_slow_has_come() -> None:
    loop = VirtualLoop(Random(1))
    line = Database(loop, VirtualClock(loop), lambda batch: None).line(lambda: None)

    async def slow_for_a_moment() -> list[bool]:
        seen = [line.prompt]
        line.faults.latency_s = 12.0
        asking = asyncio.create_task(line.head("UZ-TK"))
        await asyncio.sleep(0.1)
        line.faults.latency_s = 0.0
        seen.append(line.prompt)
        await asking
        return [*seen, line.prompt]

    assert loop.run_until_complete(slow_for_a_moment()) == [True, False, True]
    assert loop.time() > 12.0
    loop.close()


def test_a_killed_process_runs_no_finally_and_a_frozen_one_goes_on_where_it_was() -> None:
    loop, heard = VirtualLoop(Random(1)), list[tuple[str, object]]()
    killed, frozen = Owner("killed"), Owner("frozen")

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(5.0)
            heard.append((name, loop.time()))
        finally:
            heard.append((name, "finally"))

    async def story() -> None:
        loop.spawn(killed, work("killed"))
        loop.spawn(frozen, work("frozen"))
        await asyncio.sleep(1.0)
        killed.dead = frozen.frozen = True
        await asyncio.sleep(20.0)
        assert heard == []
        loop.thaw(frozen)
        await asyncio.sleep(1.0)

    loop.run_until_complete(story())
    assert heard == [("frozen", 21.0), ("frozen", "finally")]
    loop.bury([killed, frozen])
    loop.close()


def test_who_waits_for_what_can_never_happen_is_told_so() -> None:
    loop = VirtualLoop(Random(1))

    async def story() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        loop.run_until_complete(story())
    loop.close()
