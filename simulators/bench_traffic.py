"""The traffic of a benchmark: calls at a fixed rate, call takers, crews with their radios, and the service itself.

Open loop: a call is sent when it is due, whether or not those before it are answered. Everybody finishes what
they begin, so that the service's memory can be watched: takers close what nobody needs, crews clear.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import msgspec

from dispatch.core.terms import UnitId
from dispatch.errors import ServiceAway
from dispatch.formats.mqtt import Order
from routing.geometry import Point, from_local_m, to_lonlat
from simulators.arrivals import shares
from simulators.country import UnitSpec
from simulators.lean import Poster
from simulators.radio import Radio, RadioPlan
from simulators.sites import chosen, sites, somewhere

JOINING, OPENING = 0.90, 0.04
"""Shares of the calls; the rest waits for a call taker."""
FIRES = 12
FIRE_REACH_M = 60.0
TAKEN_AFTER_S = 3.0
ON_TASK_S = 10.0
"""How long, on average, a crew is about an incident."""
REPORT_EVERY_S = 5.0
TICKS = 100
UNITS_A_RADIO = 500
START_LIMIT_S, STOP_LIMIT_S = 180.0, 60.0
TAKER_SAYS = b'{"disposition":"advice_only"}'


class Sent(msgspec.Struct, frozen=True):
    """A call that was kept: when it was due, when its answer came, and where its delta is to be looked for."""

    due_s: float
    kept_s: float
    call_id: str
    region: str
    seq: int


class _Receipt(msgspec.Struct):
    call_id: str
    region: str
    seq: int
    incident_id: str | None = None


_receipt = msgspec.json.Decoder(_Receipt).decode


class Tasks:
    """Work that runs beside; whoever starts it need not wait for it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def done(self, limit_s: float) -> None:
        """Wait for what still runs."""
        if self._running:
            await asyncio.wait(self._running, timeout=limit_s)

    def stop(self) -> None:
        for task in self._running:
            task.cancel()


class Calls:
    """Calls at a rate, each sent when it is due, whether or not the ones before are answered."""

    def __init__(self, poster: Poster, takers: Poster, seed: int) -> None:
        self.sent = 0
        self.kept: list[Sent] = []
        self._poster = poster
        self._takers = takers
        self._rng = Random(f"{seed}:bench")
        self._tasks = Tasks()
        self._taking = Tasks()
        self._regions = list(shares())
        self._weights = list(shares().values())
        self._fires = [self._place() for _ in range(FIRES)]

    async def place(self, per_second: float, seconds: float) -> None:
        """Poisson arrivals for so long."""
        due_s, until_s = monotonic(), monotonic() + seconds
        while True:
            due_s += self._rng.expovariate(per_second)
            if due_s > until_s:
                return
            body = self._body()
            wait_s = due_s - monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._tasks.begin(self._call(body, due_s))

    async def answered(self, limit_s: float) -> None:
        """Wait for the answers that are still under way."""
        await self._tasks.done(limit_s)
        self._taking.stop()

    async def _call(self, body: bytes, due_s: float) -> None:
        self.sent += 1
        with contextlib.suppress(OSError):
            reply = await self._poster.post("/api/v1/calls", body, f"bench-{self.sent}")
            if reply.status == 201:
                said = _receipt(reply.body)
                self.kept.append(Sent(due_s, reply.at_s, said.call_id, said.region, said.seq))
                if said.incident_id is None:
                    self._taking.begin(self._take(said.call_id))

    async def _take(self, call_id: str) -> None:
        """A call taker answers after a moment: nobody is needed."""
        await asyncio.sleep(self._rng.expovariate(1 / TAKEN_AFTER_S))
        with contextlib.suppress(OSError):
            await self._takers.post(f"/api/v1/calls/{call_id}/answer", b"{}", f"answer-{call_id}")
            await self._takers.post(f"/api/v1/calls/{call_id}/close", TAKER_SAYS, f"close-{call_id}")

    def _body(self) -> bytes:
        rng = self._rng
        draw = rng.random()
        number = f"+99890{rng.randrange(10_000_000):07d}"
        caller = {"number": number, "language": "uz-Latn"}
        if draw < JOINING:
            fire = rng.choice(self._fires)
            point = from_local_m(fire, rng.gauss(0, FIRE_REACH_M), rng.gauss(0, FIRE_REACH_M))
            return _encoded("app", caller, point, "building_fire")
        if draw < JOINING + OPENING:
            return _encoded("app", caller, self._place(), "illness")
        return _encoded("voice", caller, self._place(), None)

    def _place(self) -> Point:
        region = self._rng.choices(self._regions, self._weights)[0]
        return somewhere(chosen(sites(region), self._rng), self._rng)


def _encoded(channel: str, caller: dict[str, str], point: Point, incident_type: str | None) -> bytes:
    source, accuracy_m = ("app", 15.0) if channel == "app" else ("cell", 800.0)
    evidence = {"source": source, "point": {"type": "Point", "coordinates": to_lonlat(point)}}
    body: dict[str, Any] = {
        "channel": channel,
        "caller": caller,
        "location": [evidence | {"accuracy_m": accuracy_m}],
    }
    if incident_type is not None:
        body["incident_type"] = incident_type
    return msgspec.json.encode(body)


@asynccontextmanager
async def service(home: Path, seed: int, share: float) -> AsyncIterator[str]:
    """The service as a child process; yields its address."""
    words = [
        "demo",
        "--no-load",
        "--port",
        "0",
        "--data-dir",
        str(home),
        "--seed",
        str(seed),
        "--share",
        str(share),
    ]
    log = (home / "service.log").open("wb")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatch", *words,
        stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        yield await asyncio.wait_for(_address(child.stdout), START_LIMIT_S)
    except TimeoutError:
        raise ServiceAway(f"the service did not start within {START_LIMIT_S:.0f} s") from None
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), STOP_LIMIT_S)
        except TimeoutError:
            child.kill()
            await child.wait()
        log.close()


async def _address(said: asyncio.StreamReader) -> str:
    """The address that the demo prints beside the word console."""
    async for line in said:
        words = line.decode().split()
        if words[:1] == ["console"]:
            return words[1]
    raise ServiceAway("the service ended before it was ready")


@asynccontextmanager
async def crews(units: Sequence[UnitSpec], mqtt_url: str) -> AsyncIterator[list[Radio]]:
    """Units that stand at their stations, say so every five seconds, accept every order at once and clear soon."""
    radios: list[Radio] = []
    working = Tasks()
    rng = Random(2)

    async def obey(unit_id: UnitId, order: Order) -> None:
        radio = owners[unit_id]
        await radio.ack(unit_id, order.order_id, "accepted")
        await asyncio.sleep(rng.expovariate(1 / ON_TASK_S))
        await radio.status(unit_id, "on_scene", assignment_id=order.assignment_id)
        await radio.status(unit_id, "available", assignment_id=order.assignment_id)

    def ordered(unit_id: UnitId, order: Order) -> None:
        if order.kind in ("dispatch", "divert"):
            working.begin(obey(unit_id, order))

    for start in range(0, len(units), UNITS_A_RADIO):
        names = tuple(unit.unit_id for unit in units[start : start + UNITS_A_RADIO])
        radios.append(Radio(RadioPlan(url=mqtt_url, name=f"bench-{start}", units=names), on_order=ordered))
    owners = {unit.unit_id: radios[n // UNITS_A_RADIO] for n, unit in enumerate(units)}
    tasks = [asyncio.create_task(radio.run()) for radio in radios]
    try:
        for radio in radios:
            await asyncio.wait_for(radio.ready(), START_LIMIT_S)
        for unit in units:
            await owners[unit.unit_id].position(unit.unit_id, unit.at)
        tasks.append(asyncio.create_task(_report(units, owners)))
        yield radios
    finally:
        working.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _report(units: Sequence[UnitSpec], owners: dict[UnitId, Radio]) -> None:
    """Each unit's fix every five seconds, jittered so that every one has moved."""
    rng = Random(1)
    began_s, tick = monotonic(), 0
    while True:
        for unit in units[tick % TICKS :: TICKS]:
            at = Point(unit.at.lat + rng.uniform(-1e-4, 1e-4), unit.at.lon + rng.uniform(-1e-4, 1e-4))
            await owners[unit.unit_id].position(unit.unit_id, at, speed_mps=3.0, heading_deg=90.0)
        tick += 1
        await asyncio.sleep(max(0.0, began_s + tick * REPORT_EVERY_S / TICKS - monotonic()))
