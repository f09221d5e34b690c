"""What is done to a running service, each by name: the process, the server, or the line between two of them.

Each says whether there was anything to hit: a run without that tells nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import asyncpg
import msgspec

from dispatch.services import Services
from simulators.members import Member
from tests.journeys.stage import Stage

FROZEN_S = (0.5, 4.5)
"""Shorter than a lease and longer: a leader that wakes in time, and one that wakes deposed."""
AWAY_S = (0.3, 2.5)
SLOW_S = (0.02, 0.3)
TAKEN_LIMIT_S = 20.0
"""After so long without a takeover a killed process comes back all the same; that run has failed."""


class Blow(msgspec.Struct, kw_only=True):
    """One of them, as it was dealt."""

    kind: str
    victim: str
    seconds: float


Deal = Callable[[Stage, Member, float, Random], Awaitable[bool]]
"""Deals a blow, and says whether it hit anything."""


async def kill(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    """It comes back when others lead all that it led: whoever commits there before has taken over."""
    assert member.runs, f"{member.name} does not run"
    member.kill()
    give_up_s = time.monotonic() + TAKEN_LIMIT_S
    await asyncio.sleep(max(seconds, 3.0))
    while time.monotonic() < give_up_s and await _leads(stage, member):
        await asyncio.sleep(0.1)
    member.launch()
    return True


async def _leads(stage: Stage, member: Member) -> bool:
    """Whether any region has still nobody but this process."""
    connection = await asyncpg.connect(stage.made.services.database_url)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM leaders WHERE address = $1", member.url))
    finally:
        await connection.close()


async def freeze(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    assert member.runs, f"{member.name} does not run"
    member.freeze()
    await asyncio.sleep(seconds)
    member.wake()
    return True


async def rolling(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    assert member.runs, f"{member.name} does not run"
    await member.stop()
    member.launch()
    return True


def line_of(server: str, what: str) -> Deal:
    """A blow to the line between the victim and one of its servers, or its consoles."""

    async def deal(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
        line = stage.lines.get((member.name, server))
        if line is None:  # This machine has no Redis.
            return False
        carried = line.carries
        if what == "cut":
            line.cut()
        elif what == "slow":
            line.delay_s = rng.uniform(*SLOW_S)
        else:
            line.hold()
        await asyncio.sleep(seconds)
        line.heal(deliver=rng.random() < 0.5)
        return carried

    return deal


async def restart_postgres(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    return kill_server(stage.made.services, "postgres")


async def restart_broker(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    return kill_server(stage.made.services, "broker")


async def restart_redis(stage: Stage, member: Member, seconds: float, rng: Random) -> bool:
    if stage.redis is None:
        return False
    stage.redis.stop()
    await asyncio.sleep(min(seconds, 1.0))
    stage.redis.start()
    return True


def kill_server(services: Services, name: str) -> bool:
    """SIGKILL to a server that this process runs, whatever program it is: its keeper starts it again."""
    pid = services.status()[name].get("pid")
    if not isinstance(pid, int):
        return False
    os.kill(pid, signal.SIGKILL)
    return True


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
