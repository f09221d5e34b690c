"""What is done to a running service, each by name: the process, the server, or the line between two of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from simulators.members import Member
from tests.journeys.stage import Stage

FROZEN_S = (0.5, 4.5)
"""Shorter than a lease and longer: a leader that wakes in time, and one that wakes deposed."""
AWAY_S = (0.3, 2.5)
SLOW_S = (0.02, 0.3)


class Blow(msgspec.Struct, kw_only=True):
    """One of them, as it was dealt."""

    kind: str
    victim: str
    seconds: float


Deal = Callable[[Stage, Member, float, Random], Awaitable[None]]


async def kill(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    member.kill()
    await asyncio.sleep(max(seconds, 3.0))
    member.launch()


async def freeze(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    member.freeze()
    await asyncio.sleep(seconds)
    member.wake()


async def rolling(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    await member.stop()
    member.launch()


def line_of(server: str, what: str) -> Deal:
    """A blow to the line between the victim and one of its servers, or its consoles."""

    async def deal(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
        line = stage.lines.get((member.name, server))
        if line is None:  # This machine has no Redis.
            return
        if what == "cut":
            line.cut()
        elif what == "slow":
            line.delay_s = rng.uniform(*SLOW_S)
        else:
            line.hold()
        await asyncio.sleep(seconds)
        line.heal(deliver=rng.random() < 0.5)

    return deal


async def restart_postgres(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    _kill_child("postgres")


async def restart_broker(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    _kill_child("mosquitto")


async def restart_redis(stage: Stage, member: Member, seconds: float, rng: Random) -> None:
    if stage.redis is not None:
        stage.redis.stop()
        await asyncio.sleep(min(seconds, 1.0))
        stage.redis.start()


BLOWS: dict[str, Deal] = {
    "kill": kill,
    "freeze": freeze,
    "rolling restart": rolling,
    "database line cut": line_of("database", "cut"),
    "database line half-open": line_of("database", "hold"),
    "database line slow": line_of("database", "slow"),
    "broker line cut": line_of("mqtt", "cut"),
    "broker line half-open": line_of("mqtt", "hold"),
    "redis line cut": line_of("redis", "cut"),
    "redis line half-open": line_of("redis", "hold"),
    "console line cut": line_of("consoles", "cut"),
    "console line half-open": line_of("consoles", "hold"),
    "database restarted": restart_postgres,
    "broker restarted": restart_broker,
    "redis restarted": restart_redis,
}
LONG = {"freeze", "database line half-open", "database line cut"}
"""Dealt long enough that a leader may be deposed."""
ORDER = (
    "kill", "freeze", "database line half-open", "rolling restart", "kill", "database line cut", "freeze",
    "broker line cut", "kill", "database restarted", "freeze", "database line slow", "redis line cut", "kill",
    "console line half-open", "broker restarted", "freeze", "redis line half-open", "broker line half-open",
    "console line cut", "kill", "redis restarted", "database line half-open", "freeze",
)  # fmt: skip
"""Each run's kind by its number: the hard ones often, all of them in every 24 runs."""


def dealt(number: int, members: Sequence[Member], rng: Random) -> tuple[Blow, Member]:
    """The blow of this run, to one of those who have something to lose."""
    kind = ORDER[number % len(ORDER)]
    member = rng.choice(members)
    seconds = rng.uniform(*(FROZEN_S if kind in LONG else AWAY_S))
    return Blow(kind=kind, victim=member.name, seconds=seconds), member


def _kill_child(program: str) -> None:
    """SIGKILL to a server that this process runs: its keeper starts it again."""
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text() if entry.name.isdigit() else ""
        except OSError:
            continue
        name, _, rest = fields.partition("(")[2].rpartition(")")
        if name.startswith(program) and rest.split()[1:2] == [str(os.getpid())]:
            os.kill(int(entry.name), signal.SIGKILL)
