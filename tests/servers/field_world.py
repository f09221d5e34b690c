"""A field over a real broker for tests: the desk, the service's line on a wire, and whoever else connects."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt

from dispatch.core.terms import UnitId
from dispatch.field import Field, FieldPlan
from dispatch.servers.broker import Broker
from dispatch.units.line import Line, LinePlan
from dispatch.writing.positions import Positions
from simulators.radio import Radio, RadioPlan
from tests.servers.crew_desk import CrewDesk
from tests.servers.wire import Wire

PATIENCE_S = 60.0


class Ear:
    """Hears everything on some topics, with MQTT's properties left out, in the order it came."""

    def __init__(self, url: str, *topics: str, name: str = "ear") -> None:
        self.heard: list[tuple[str, Any]] = []
        plan = LinePlan(url=url, client_id=name, subscriptions=tuple((topic, 1) for topic in topics))
        self.line = Line(plan, on_message=self._hear)

    def _hear(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, json.loads(payload)))

    def on(self, topic: str) -> list[Any]:
        return [message for heard, message in self.heard if heard == topic]


class FieldWorld:
    """`url` is the broker itself; the field is connected by way of `wire`."""

    def __init__(self, broker: Broker, url: str, wire: Wire) -> None:
        self.broker = broker
        self.url = url
        self.wire = wire
        self.desk = CrewDesk()
        self.positions = Positions(self.desk.region_of_unit)
        self.field = Field(
            self.desk,
            self.positions,
            FieldPlan(url=wire.url(url)),
            states=self.desk.committed,
            clock=self.desk.clock,
        )
        self._running: list[asyncio.Task[None]] = []

    def run(self, part: Line | Radio | Field) -> asyncio.Task[None]:
        task = asyncio.create_task(part.run())
        self._running.append(task)
        return task

    async def ear(self, *topics: str) -> Ear:
        made = Ear(self.url, *topics)
        self.run(made.line)
        await until(lambda: made.line.ups == 1)
        return made

    async def radio(self, plan: RadioPlan, on_order: Callable[..., None] | None = None) -> Radio:
        made = Radio(plan, on_order=on_order)
        self.run(made)
        await asyncio.wait_for(made.ready(), PATIENCE_S)
        return made

    async def crews(self, *units: UnitId, **plan: Any) -> Radio:
        return await self.radio(RadioPlan(url=self.url, name="crews", units=units), **plan)

    async def say(self, topic: str, message: object) -> None:
        """One message from a client that does nothing else; bytes go as they are."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        async with plain_client(self.url) as client:
            await client.publish(topic, payload, qos=1)

    async def unit_url(self, unit_id: str) -> str:
        """The broker's URL with a log-in of the unit's own."""
        await self.broker.write_credentials({unit_id: "crew-password"})
        return f"mqtt://{unit_id}:crew-password@{self.url.rpartition('@')[2]}"

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@contextlib.asynccontextmanager
async def field_world(home: Path) -> AsyncIterator[FieldWorld]:
    broker = Broker(home)
    url = await broker.start()
    try:
        async with Wire(int(url.rpartition(":")[2])) as wire:
            world = FieldWorld(broker, url, wire)
            world.run(world.field)
            try:
                await until(lambda: world.field.health() == "ok" and world.field.line.ups == 1)
                yield world
            finally:
                await world.close()
    finally:
        await broker.stop()


def plain_client(url: str) -> aiomqtt.Client:
    account, _, host = url.removeprefix("mqtt://").rpartition("@")
    user, _, password = account.partition(":")
    name, _, port = host.partition(":")
    return aiomqtt.Client(name, int(port), username=user, password=password, protocol=aiomqtt.ProtocolVersion.V5)


async def until(claim: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Return once the claim is true; fail when it does not become so."""
    async with asyncio.timeout(patience_s):
        while not claim():
            await asyncio.sleep(0.01)
