"""Several core processes on one database and broker, with log-ins and units, on loopback.

The servers are ours and live in this process's care; each core process reaches them by the URLs that `lines`
gives it, so that a test can put a proxy on each line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from consoles.demo_accounts import seed_demo_credentials
from dispatch.clock import SystemClock
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.services import Services, embedded
from dispatch.settings import Settings
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from simulators.country import UnitSpec, enrol
from simulators.members import Member, flags_of

Lines = Callable[[str, Services], Awaitable[dict[str, str]]]
"""The URLs of a process's servers by what they are (`database`, `mqtt`, `redis`), given its name."""


class Cluster(msgspec.Struct, kw_only=True):
    """What runs: the servers, the processes, and the log-ins by role."""

    services: Services
    members: list[Member]
    credentials: dict[str, dict[str, Any]]
    regions: tuple[RegionId, ...]

    def doors(self) -> list[str]:
        """Where the callers may try."""
        return [member.url for member in self.members]


async def straight(name: str, services: Services) -> dict[str, str]:
    """Nothing between a process and its servers."""
    return {"database": services.database_url, "mqtt": services.mqtt_url}


@asynccontextmanager
async def cluster(
    home: Path,
    count: int,
    units: Sequence[UnitSpec],
    *,
    regions: Sequence[RegionId],
    passwords: Mapping[str, str] | None = None,
    lines: Lines = straight,
) -> AsyncIterator[Cluster]:
    """`count` processes, all ready and the regions shared among them; ended however this ends."""
    async with embedded(Settings(data_dir=home / "servers")) as services:
        credentials = await _settled_in(services, home, units, regions)
        if passwords is not None:
            await services.write_credentials(passwords)
        members = []
        for number in range(count):
            name = f"core-{number + 1}"
            members.append(Member(home, name, flags_of(await lines(name, services), regions)))
        made = Cluster(services=services, members=members, credentials=credentials, regions=tuple(regions))
        try:
            for member in members:
                member.launch()
            await asyncio.gather(*(member.readied() for member in members))
            yield made
        finally:
            for member in members:
                member.kill()


async def _settled_in(
    services: Services, home: Path, units: Sequence[UnitSpec], regions: Sequence[RegionId]
) -> dict[str, dict[str, Any]]:
    """The schema, somebody who can log in, and the units on shift: what a centre has before its first call."""
    await migrate(services.database_url)
    store = PostgresStore(services.database_url)
    await store.open()
    positions = Positions()
    engine = Engine(store, SystemClock(), Reacher(positions, None), positions)
    leader = Leader(engine, store, regions, "settling-in")
    works = [asyncio.create_task(engine.run())]
    try:
        credentials = await seed_demo_credentials(store, home)
        await leader.start()
        works.append(asyncio.create_task(leader.leases.run()))
        await enrol(engine, units)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await leader.stop()
        await store.close()
    return credentials
