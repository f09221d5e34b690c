"""Two or three core processes with proxies on all their lines, and everybody who uses them: what chaos is done to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from dispatch.core.terms import RegionId
from dispatch.services import Addresses, Services
from routing.regions import region_facts
from simulators.cluster import Cluster, cluster
from simulators.members import Member
from simulators.phones import Phones
from tests.journeys.boards import Replay
from tests.journeys.ledger import Ledger
from tests.journeys.proxy import Line, broker_by, database_by, database_target
from tests.journeys.service import CITIES, fleet, near, password
from tests.journeys.spools import Spools
from tests.journeys.traffic import TYPES, Crews, Watcher
from tests.servers.own_redis import RedisServer, redis_program

REGIONS = tuple(RegionId(region) for region in region_facts())
TO_SERVERS = ("database", "mqtt", "redis")


class Screen(msgspec.Struct, kw_only=True):
    """What the traffic needs of a service, by way of a line: a console knows no process but this one."""

    port: int
    credentials: dict[str, dict[str, Any]]
    addresses: Addresses


class Stage(msgspec.Struct, kw_only=True):
    """What runs, and what of it a blow can hit."""

    made: Cluster
    lines: dict[tuple[str, str], Line]
    """(process, server or `consoles`) -> the line between them."""
    redis: RedisServer | None
    crews: Crews
    watchers: list[Watcher]
    ledger: Ledger
    replay: Replay
    spools: Spools

    @property
    def members(self) -> list[Member]:
        return self.made.members

    def phones(self, seed: int) -> Phones:
        """Callers with words of their own."""
        return Phones(self.made.doors, self.made.credentials["device"]["token"], words, seed)


def words(rng: Random) -> dict[str, Any]:
    """What one caller says: most know where they are and what has happened."""
    said: dict[str, Any] = {"channel": rng.choice(("app", "voice", "sms"))}
    said["caller"] = {"number": f"+99890{rng.randrange(10**6, 10**7)}"}
    if rng.random() < 0.9:
        lat, lon = near(rng.choice(list(CITIES)), rng)
        said["location"] = [{"source": "app", "point": {"type": "Point", "coordinates": [lon, lat]}}]
    if rng.random() < 0.8:
        said["incident_type"] = rng.choice(TYPES)
    return said


@asynccontextmanager
async def stage(home: Path, seed: int, count: int = 2) -> AsyncIterator[Stage]:
    """Everything up and quiet; ended however this ends."""
    async with AsyncExitStack() as stack:
        lines: dict[tuple[str, str], Line] = {}
        redis = RedisServer(home) if redis_program() is not None else None
        if redis is not None:
            redis.start()
            stack.callback(redis.stop)
            await redis.ready()

        async def urls(name: str, services: Services) -> dict[str, str]:
            to_database = await stack.enter_async_context(Line(database_target(services.database_url)))
            to_broker = await stack.enter_async_context(Line(("127.0.0.1", _port(services.mqtt_url))))
            lines[name, "database"], lines[name, "mqtt"] = to_database, to_broker
            by = {
                "database": database_by(services.database_url, to_database),
                "mqtt": broker_by(services.mqtt_url, to_broker),
            }
            if redis is not None:
                to_redis = await stack.enter_async_context(Line(home / "redis.sock"))
                lines[name, "redis"], by["redis"] = to_redis, f"redis://127.0.0.1:{to_redis.port}"
            return by

        units = fleet()
        passwords = {str(unit.unit_id): password(unit.unit_id) for unit in units}
        made = await stack.enter_async_context(
            cluster(home, count, units, regions=REGIONS, passwords=passwords, lines=urls)
        )
        addresses = Addresses(database_url=made.services.database_url, mqtt_url=made.services.mqtt_url)
        watchers = []
        for member in made.members:
            line = await stack.enter_async_context(Line(("127.0.0.1", member.port)))
            lines[member.name, "consoles"] = line
            screen = Screen(port=line.port, credentials=made.credentials, addresses=addresses)
            watchers.append(Watcher(screen))
        crews = Crews(screen, seed)
        spools = Spools({member.name: home / member.name / "spool" / "calls.jsonl" for member in made.members})
        following = asyncio.create_task(spools.run())
        for watcher in watchers:
            watcher.start()
        await crews.start()
        try:
            yield Stage(
                made=made, lines=lines, redis=redis, crews=crews, watchers=watchers, ledger=Ledger(), replay=Replay(),
                spools=spools,
            )  # fmt: skip
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await crews.stop()
            for watcher in watchers:
                with contextlib.suppress(Exception):
                    await watcher.stop()
            await asyncio.sleep(0)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
