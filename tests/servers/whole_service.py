"""The whole service in the test's own process, on servers of its own that a test may stop and start again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import connect

from consoles.access import digest
from consoles.gateway import PATH
from consoles.serving import Credentials, Options, Running, serving
from dispatch.core.commands import RegisterUnit, ReportStatus, ShiftUnit
from dispatch.core.terms import SYSTEM, Body, RegionId, Unit, UnitId, UnitStatus
from dispatch.keeping.postgres import PostgresStore
from dispatch.servers.broker import Broker
from dispatch.servers.child import Server
from dispatch.servers.postgres import Postgres
from dispatch.settings import Settings
from dispatch.writing.positions import Position
from dispatch.writing.records import Device
from tests.consoles.board_world import Seen

TASHKENT = RegionId("UZ-TK")
CHORSU = [69.2346, 41.3264]
"""A bazaar in Tashkent, [lon, lat]."""
TOKENS = ("dispatcher", "device")
PATIENCE_S = 60.0
Json = dict[str, Any]


class Whole:
    """The running service, asked over HTTP as a caller's app and watched as a console does."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self._session = session

    async def call(self, **more: Any) -> Json:
        """A call that was taken: its receipt."""
        status, said = await self.post_call(**more)
        assert status == 201, said
        return said

    async def post_call(self, **more: Any) -> tuple[int, Json]:
        place = {"source": "app", "point": {"type": "Point", "coordinates": CHORSU}, "accuracy_m": 10}
        body = msgspec.json.encode({"channel": "app", "location": [place]} | more)
        headers = {"Authorization": "Bearer device", "Content-Type": "application/json"}
        url = self.running.url + "/api/v1/calls"
        async with self._session.post(url, data=body, headers=headers) as got:
            return got.status, msgspec.json.decode(await got.read())

    async def about(self) -> Json:
        async with self._session.get(self.running.url + "/api/v1/about") as got:
            found: Json = msgspec.json.decode(await got.read())
            return found

    async def measured(self, line: str) -> bool:
        """Whether the metrics page has this very line."""
        async with self._session.get(self.running.url + "/metrics") as got:
            return line in (await got.text()).splitlines()

    @contextlib.asynccontextmanager
    async def console(self) -> AsyncIterator[Seen]:
        url = f"ws://127.0.0.1:{self.running.port}{PATH}"
        headers = {"Authorization": "Bearer dispatcher"}
        async with connect(url, additional_headers=headers, compression=None, max_size=None) as line:
            yield Seen(line)

    async def alarmed(self, seen: Seen, *codes: str) -> dict[str, Json]:
        """The alarms of the first heartbeat that has exactly these."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = await seen.take()
                if said["type"] == "heartbeat":
                    alarms = {alarm["code"]: alarm for alarm in said["alarms"]}
                    if alarms.keys() == set(codes):
                        return alarms

    def committed(self) -> list[str]:
        """The calls of Tashkent that are committed, in their order."""
        return [str(call_id) for call_id in self.running.engine.replicas.states[TASHKENT].calls]

    def moved(self, unit_id: UnitId, lat: float, lon: float) -> bool:
        """A fix of now; False when it is not taken."""
        now = self.running.clock.wall()
        return self.running.positions.put(Position(unit_id=unit_id, lat=lat, lon=lon, at=now, received_at=now))

    async def ambulances(self, count: int) -> None:
        """Ambulances on shift, without a broker log-in."""
        engine = self.running.engine
        for number in range(count):
            unit = Unit(
                unit_id=UnitId(f"TK-A{number}"),
                call_sign=f"A{number}",
                region=TASHKENT,
                body=Body.MOH,
                kind="car",
                capabilities=("bls", "als"),
                station="1",
                since=engine.clock.now(),
            )
            await engine.submit(TASHKENT, RegisterUnit(actor=SYSTEM, unit=unit))
            await engine.submit(TASHKENT, ShiftUnit(actor=SYSTEM, unit_id=unit.unit_id, on_shift=True))
            available = ReportStatus(actor=SYSTEM, unit_id=unit.unit_id, status=UnitStatus.AVAILABLE)
            await engine.submit(TASHKENT, available)
            assert self.moved(unit.unit_id, CHORSU[1], CHORSU[0])


def child(owner: Postgres | Broker) -> Server:
    """The server under a launcher, for a test that stops it and starts it again as it was."""
    assert owner._server is not None
    return owner._server


@contextlib.asynccontextmanager
async def whole(settings: Settings, speed: float = 1.0) -> AsyncIterator[Whole]:
    """The service with log-ins for TOKENS; without URLs it runs its own servers."""

    async def known(store: PostgresStore, url: str) -> Credentials:
        for token in TOKENS:
            actor = f"device:{token}" if token == "device" else f"user:{token}"
            await store.put_device(Device(token=digest(token), actor=actor, role=token))
        return {}

    async with (
        serving(settings, Options(logins=known, speed=speed), lambda said: None) as running,
        aiohttp.ClientSession() as session,
    ):
        yield Whole(running, session)
