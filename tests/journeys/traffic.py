"""Everybody who uses the service while it is being killed: callers, crews with their radios, a console.

Each behaves as the real one does when the line breaks, and remembers what it was told: that is what the
tests compare with the journal afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from dispatch.core.terms import UnitId
from dispatch.formats.mqtt import Order
from dispatch.services import Addresses
from simulators.country import UnitSpec
from simulators.radio import Radio, RadioPlan
from tests.consoles.board_world import Seen
from tests.journeys.service import CITIES, Service, fleet, near, password

TYPES = ("cardiac_arrest", "injury", "vehicle_fire", "smoke", "road_accident", "gas_smell", "theft", "assault")
FIX_EVERY_S = 1.0
LINE_AGAIN_S = 0.05
WATCHED = ",".join(f"UZ-{letters}" for letters in CITIES)


class Screen(Protocol):
    """What consoles and crews need to know of a service."""

    @property
    def port(self) -> int: ...
    @property
    def credentials(self) -> dict[str, dict[str, Any]]: ...
    @property
    def addresses(self) -> Addresses: ...


class Asked(msgspec.Struct, kw_only=True):
    """A call that somebody tried to make. `status` 0: the line broke before an answer came."""

    key: str
    body: bytes
    status: int = 0
    answer: bytes = b""

    @property
    def receipt(self) -> dict[str, Any]:
        told: dict[str, Any] = msgspec.json.decode(self.answer)
        return told

    @property
    def spooled(self) -> bool:
        return "spooled" in self.receipt.get("flags", ())


class Callers:
    """Open loop: the next call comes whether or not the last was answered."""

    def __init__(self, service: Service, seed: int) -> None:
        self.asked: list[Asked] = []
        self._service = service
        self._rng = Random(seed)

    @property
    def answered(self) -> int:
        """How many calls are acknowledged."""
        return sum(asked.status == 201 for asked in self.asked)

    @contextlib.asynccontextmanager
    async def _session(self, role: str) -> AsyncIterator[aiohttp.ClientSession]:
        token = self._service.credentials[role]["token"]
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=200),
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=40),
        ) as session:
            yield session

    async def phone(self, per_s: float, seconds: float) -> None:
        """So many calls a second; returns when the last has its answer or has lost its line."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with self._session("device") as session, asyncio.TaskGroup() as group:
            for number in range(round(per_s * seconds)):
                await asyncio.sleep(max(0.0, began_s + number / per_s - loop.time()))
                asked = Asked(key=f"key-{len(self.asked)}", body=msgspec.json.encode(self._words()))
                self.asked.append(asked)
                group.create_task(self._tell(session, asked))

    async def again(self) -> list[tuple[Asked, Asked]]:
        """Every call once more under its key: (what was said before, what is said now)."""
        repeated = [Asked(key=first.key, body=first.body) for first in self.asked]
        async with self._session("device") as session:
            for some in _dozens(repeated):
                await asyncio.gather(*(self._tell(session, each) for each in some))
        return list(zip(self.asked, repeated, strict=True))

    async def cards(self, call_ids: Iterable[str]) -> dict[str, tuple[int, dict[str, Any]]]:
        """What the service shows of each call: call id -> status, card."""
        found: dict[str, tuple[int, dict[str, Any]]] = {}

        async def look(call_id: str) -> None:
            async with session.get(f"{self._service.url}/api/v1/calls/{call_id}") as got:
                found[call_id] = (got.status, await got.json(content_type=None))

        async with self._session("dispatcher") as session:
            for some in _dozens(list(call_ids)):
                await asyncio.gather(*map(look, some))
        return found

    async def _tell(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        headers = {"Idempotency-Key": asked.key, "Content-Type": "application/json"}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            url = f"{self._service.url}/api/v1/calls"
            async with session.post(url, data=asked.body, headers=headers) as got:
                asked.answer = await got.read()
                asked.status = got.status

    def _words(self) -> dict[str, Any]:
        rng = self._rng
        words: dict[str, Any] = {"channel": rng.choice(("app", "voice", "sms"))}
        words["caller"] = {"number": f"+99890{rng.randrange(10**6, 10**7)}"}
        if rng.random() < 0.9:
            lat, lon = near(rng.choice(list(CITIES)), rng)
            words["location"] = [{"source": "app", "point": {"type": "Point", "coordinates": [lon, lat]}}]
        if rng.random() < 0.8:
            words["incident_type"] = rng.choice(TYPES)
        return words


class Crew:
    """One unit with its own radio: sends fixes, takes orders, drives, helps, and is free again at once."""

    def __init__(self, spec: UnitSpec, url: str, rng: Random) -> None:
        self.spec = spec
        self.orders: dict[str, Order] = {}
        self.reports = self.receipts = 0
        self.takes_errands = self.works = True
        self._rng = rng
        self._errands: asyncio.Queue[Order] = asyncio.Queue()
        plan = RadioPlan(url=url, name=spec.unit_id, units=(spec.unit_id,), alone=True)
        self.radio = Radio(plan, on_order=self._ordered)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.radio.run())
            group.create_task(self._fixes())
            group.create_task(self._work())

    async def again(self) -> None:
        await self._work()

    def _ordered(self, _: UnitId, order: Order) -> None:
        self.orders[order.order_id] = order
        if order.kind == "dispatch":
            self._errands.put_nowait(order)

    async def _fixes(self) -> None:
        while True:
            await self.radio.position(self.spec.unit_id, self.spec.at)
            await asyncio.sleep(FIX_EVERY_S)

    async def _work(self) -> None:
        while True:
            order = await self._errands.get()
            await self.radio.ack(self.spec.unit_id, order.order_id, "accepted")
            for status in ("en_route", "on_scene", "available"):
                await asyncio.sleep(self._rng.uniform(0.05, 0.3))
                self.reports += 1
                await self.radio.status(self.spec.unit_id, status, assignment_id=order.assignment_id)
                self.receipts += 1
            if not self.takes_errands:
                self.works = False
                return


class Crews:
    """The fleet. The `silent` ones are seen but do not hear: their orders stay undelivered until `wake`."""

    def __init__(self, service: Screen, seed: int, silent: int = 0) -> None:
        rng = Random(seed)
        parts = urlsplit(service.addresses.mqtt_url)
        made = {spec.unit_id: Crew(spec, _url(parts.port, spec.unit_id), rng) for spec in fleet()}
        self._garage = Radio(RadioPlan(url=service.addresses.mqtt_url, name="garage", units=(UnitId("TK-none"),)))
        names = list(made)
        rng.shuffle(names)
        self.silent = [made[name] for name in names[:silent]]
        self.heard = [made[name] for name in names[silent:]]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when every radio has its line."""
        self._begin(self._garage.run(), self._show())
        self._begin(*(crew.run() for crew in self.heard))
        await asyncio.gather(*(crew.radio.ready() for crew in self.heard))

    def wake(self) -> None:
        """The silent ones switch their radios on."""
        self._begin(*(crew.run() for crew in self.silent))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def finish(self) -> None:
        """Each crew finishes what it has in hand and takes nothing more, though it still hears its orders."""
        for crew in (*self.heard, *self.silent):
            crew.takes_errands = False

    def resume(self) -> None:
        """Everybody takes errands again."""
        for crew in (*self.heard, *self.silent):
            if not crew.works:
                self._begin(crew.again())
            crew.takes_errands = crew.works = True

    @property
    def orders(self) -> set[str]:
        """Every order that reached a crew."""
        return {order_id for crew in (*self.heard, *self.silent) for order_id in crew.orders}

    @property
    def recalled(self) -> set[str | None]:
        """Every assignment that a crew was told to leave."""
        told = (order for crew in (*self.heard, *self.silent) for order in crew.orders.values())
        return {order.assignment_id for order in told if order.kind == "recall"}

    @property
    def unanswered(self) -> int:
        """Statuses that have no receipt yet."""
        return sum(crew.reports - crew.receipts for crew in (*self.heard, *self.silent))

    def _begin(self, *works: Any) -> None:
        self._tasks += [asyncio.create_task(work) for work in works]

    async def _show(self) -> None:
        while True:
            for crew in self.silent:
                await self._garage.position(crew.spec.unit_id, crew.spec.at)
            await asyncio.sleep(FIX_EVERY_S)


class Watcher:
    """A console that comes back with `after=` whenever its line breaks, and keeps its model meanwhile."""

    def __init__(self, service: Screen, *, resumes: bool = True) -> None:
        self.model = Seen(None)  # type: ignore[arg-type]
        self.connections = 0
        self._service = service
        self._resumes = resumes
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    @property
    def ended(self) -> BaseException | None:
        """What broke the console, if anything has."""
        return self._task.exception() if self._task is not None and self._task.done() else None

    async def stop(self) -> None:
        """Raises what broke the console: a delta that does not continue its model, above all."""
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        token = self._service.credentials["dispatcher"]["token"]
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                async with connect(
                    self._address(), additional_headers={"Authorization": f"Bearer {token}"}, max_size=None
                ) as self.model.line:
                    self.connections += 1
                    while True:
                        await self.model.take()
            await asyncio.sleep(LINE_AGAIN_S)

    def _address(self) -> str:
        after = f"&after={self.model.known}" if self.model.seqs and self._resumes else ""
        return f"ws://127.0.0.1:{self._service.port}/ws/v1/board?regions={WATCHED}{after}"


def _url(port: int | None, unit_id: str) -> str:
    return f"mqtt://{unit_id}:{password(unit_id)}@127.0.0.1:{port}"


def _dozens(things: list[Any]) -> Iterable[list[Any]]:
    return (things[at : at + 24] for at in range(0, len(things), 24))
