"""Many seeded worlds, on all cores, told in the order of their seeds: the first that broke is the first that is said.

A world is small and a process is dear, so seeds go to the workers in blocks. What a block found comes back as
plain values; a failed world's account is text, for its objects live in another process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from enum import StrEnum
from itertools import islice

import msgspec

from dispatch.writing.heap import settle
from simulators.shell import ShellWorld
from simulators.world import World
from simulators.writer import Broken

BLOCK = 10
AHEAD = 4
"""Blocks that wait for each worker: enough to keep it busy, few enough to stop soon after a failure."""


class Level(StrEnum):
    """What is simulated: the deciding core alone, or the processes around it as well."""

    CORE = "core"
    SHELL = "shell"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one world. `broken`: what does not hold; `account`: all that is needed to see it again.

    `fault`: the type of the exception that ended it, where our own code failed and no law was broken by name.
    `struck`: how often each fault of its weather did happen.
    """

    seed: int
    events: int
    commands: int = 0
    refused: int = 0
    broken: str = ""
    account: str = ""
    fault: str = ""
    struck: dict[str, int] = {}


def run_world(level: Level, seed: int) -> Outcome:
    """One world. Never raises for what the world found."""
    world = World(seed) if level is Level.CORE else ShellWorld(seed)
    broken = account = fault = ""
    try:
        world.run()
    except Exception as ended:
        broken = str(ended) if isinstance(ended, Broken) else f"a fault in our own code: {ended!r}"
        account = _account(level, world, broken)
        fault = _kind(ended)
    writers = list(world.writers.values()) if isinstance(world, World) else []
    return Outcome(
        seed=seed,
        events=world.events,
        commands=sum(writer.decisions for writer in writers),
        refused=sum(writer.refusals for writer in writers),
        broken=broken,
        account=account,
        fault=fault,
        struck=dict(world.dice.struck),
    )


def _kind(ended: Exception) -> str:
    """The type of the exception of our own code that ended a world; empty where a law did."""
    fault = ended.fault if isinstance(ended, Broken) else ended
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return type(fault).__name__ if fault is not None else ""


def run_worlds(level: Level, seeds: range, workers: int) -> Iterator[Outcome]:
    """Every world of these seeds, in their order; whoever has seen enough simply stops asking."""
    if workers <= 1 or len(seeds) <= BLOCK:
        yield from (run_world(level, seed) for seed in seeds)
        return
    blocks = (seeds[at : at + BLOCK] for at in range(0, len(seeds), BLOCK))
    with pool(workers) as workforce:
        waiting = [workforce.submit(_block, level, block) for block in islice(blocks, workers * AHEAD)]
        try:
            while waiting:
                yield from waiting.pop(0).result()
                waiting += [workforce.submit(_block, level, block) for block in islice(blocks, 1)]
        finally:
            _forget(waiting)


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that share nothing with this one: no loop, no lock and no thread is inherited."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=settle)


def cores() -> int:
    """How many worlds can run side by side here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _block(level: Level, seeds: range) -> list[Outcome]:
    return [run_world(level, seed) for seed in seeds]


def _forget(waiting: list[Future[list[Outcome]]]) -> None:
    for future in waiting:
        future.cancel()


def _account(level: Level, world: World | ShellWorld, broken: str) -> str:
    """Seed, law, the last events, and the line that runs it again."""
    last = [f"  {fact.at:%H:%M:%S.%f} {fact.region} {fact.seq:>5} {fact.payload.decode()}" for fact in world.recent]
    return "\n".join(
        [
            f"seed {world.seed}, level {level}, {_seconds(world):.1f} s into the world, after {world.events} events",
            f"broken: {broken}",
            f"the last {len(last)} events:",
            *last,
            f"again: dispatch112 sim --level {level} --seeds 1 --first {world.seed}",
        ]
    )


def _seconds(world: World | ShellWorld) -> float:
    return world.now_s if isinstance(world, World) else world.loop.time()
