"""A core and a gateway as processes of their own, on real servers, for tests that may kill either."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import connect

from consoles.access import digest
from consoles.gateway import PATH
from dispatch.clock import SystemClock
from dispatch.core.commands import RegisterUnit, ShiftUnit
from dispatch.core.terms import SYSTEM, Body, RegionId, Unit, UnitId
from dispatch.engine import Engine
from dispatch.keeping.postgres import PostgresStore
from dispatch.servers.child import dying_with_us
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import Device, Operator
from tests.consoles.board_world import Seen

TASHKENT, SAMARKAND = RegionId("UZ-TK"), RegionId("UZ-SA")
REGIONS = (TASHKENT, SAMARKAND)
CHORSU = [69.2346, 41.3264]
"""A bazaar in Tashkent, [lon, lat]."""
AMBULANCE = UnitId("TK-A1")
TOKENS = {"dispatcher": "dispatcher", "device": "device", "supervisor": "supervisor"}
START_LIMIT_S = 60.0
PATIENCE_S = 60.0
READY = re.compile(rb"ready at http://127\.0\.0\.1:(\d+)")

Json = dict[str, Any]


class Process:
    """`dispatch112 serve` with these flags; its words go to a file of its own."""

    def __init__(self, home: Path, name: str, *flags: str) -> None:
        self._command = [sys.executable, "-m", "dispatch", "serve", "--data-dir", str(home / name), *flags]
        self._log = home / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return when it serves: on the port that it had before, if any."""
        with self._log.open("wb") as said:
            self._process = subprocess.Popen(
                [*self._command, "--port", str(self.port)],
                stderr=said,
                stdout=said,
                preexec_fn=dying_with_us(signal.SIGKILL),
            )
        give_up_s = time.monotonic() + START_LIMIT_S
        while (ready := READY.search(self._log.read_bytes())) is None:
            assert self._process.poll() is None and time.monotonic() < give_up_s, self.said()
            await asyncio.sleep(0.05)
        self.port = int(ready[1])

    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """As a crash: nothing is given up or said."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=15)
            self._process.kill()
            self._process.wait()
            self._process = None


class Pair:
    """One core and one gateway on the same database; `session` asks either of them."""

    def __init__(self, core: Process, gateway: Process) -> None:
        self.core = core
        self.gateway = gateway
        self.session = aiohttp.ClientSession()

    async def ask(
        self, at: Process, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Json, Mapping[str, str]]:
        """One request, by a dispatcher's token unless `headers` say who: status, JSON, headers."""
        sent = {"Authorization": "Bearer dispatcher"} if headers is None else dict(headers)
        raw = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, at.url + path, data=raw, headers=sent) as got:
            answered = await got.read()
            return got.status, msgspec.json.decode(answered) if answered else {}, got.headers

    async def call(self, at: Process, number: int, **more: Any) -> Json:
        """A call from Tashkent that was taken: its receipt."""
        place = {"source": "app", "point": {"type": "Point", "coordinates": CHORSU}, "accuracy_m": 10}
        body = {"channel": "app", "location": [place], "text": f"call {number}"} | more
        status, said, _ = await self.ask(at, "POST", "/api/v1/calls", body)
        assert status == 201, said
        return said

    @contextlib.asynccontextmanager
    async def console(self, at: Process, after: str = "") -> AsyncIterator[Seen]:
        url = f"ws://127.0.0.1:{at.port}{PATH}?after={after}"
        headers = {"Authorization": "Bearer dispatcher"}
        async with connect(url, additional_headers=headers, compression=None, max_size=None) as line:
            yield Seen(line)

    async def heads(self, at: Process) -> dict[str, int]:
        """Where the regions are, as a fresh console is told."""
        return (await self.fresh(at))[1]

    async def fresh(self, at: Process) -> tuple[dict[str, Json], dict[str, int]]:
        """The boards and their numbers, as a console that comes now gets them."""
        async with self.console(at) as seen, asyncio.timeout(PATIENCE_S):
            while len(seen.boards) < len(REGIONS):
                await seen.take()
            return seen.boards, seen.seqs

    async def settled(self, patience_s: float = PATIENCE_S) -> dict[str, Json]:
        """The core's boards, once the gateway shows the very same."""
        async with asyncio.timeout(patience_s):
            while True:
                theirs, ours = await self.fresh(self.core), await self.fresh(self.gateway)
                if theirs == ours:
                    return theirs[0]
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        await self.session.close()
        self.gateway.stop()
        self.core.stop()


async def enrolled(database_url: str, hashed: str) -> None:
    """Log-ins, and one ambulance on shift: what a centre has before its first call."""
    store = PostgresStore(database_url)
    await store.open()
    for token, role in TOKENS.items():
        actor = f"device:{token}" if role == "device" else f"user:{token}"
        await store.put_device(Device(token=digest(token), actor=actor, role=role))
    await store.put_device(Device(token=digest("crew"), actor=f"unit:{AMBULANCE}", role="unit"))
    await store.put_operator(Operator(username="nargiza", role="dispatcher", password=hashed))
    positions = Positions()
    engine = Engine(store, SystemClock(), Reacher(positions, None), positions)
    leader = Leader(engine, store, REGIONS, "enrolment")
    committing = asyncio.create_task(engine.run())
    await leader.start()
    unit = Unit(
        unit_id=AMBULANCE,
        call_sign="A1",
        region=TASHKENT,
        body=Body.MOH,
        kind="car",
        capabilities=("bls", "als"),
        station="1",
        since=engine.clock.now(),
    )
    await engine.submit(TASHKENT, RegisterUnit(actor=SYSTEM, unit=unit))
    await engine.submit(TASHKENT, ShiftUnit(actor=SYSTEM, unit_id=AMBULANCE, on_shift=True))
    committing.cancel()
    await leader.stop()
    await store.close()
