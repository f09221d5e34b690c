"""The whole service as a process of its own, for tests that kill it: started, found ready, ended in any way.

Run as a program (`python -m tests.journeys.service DATA_DIR PORT [REGION…]`) it is `dispatch112 serve` with log-ins
that are known beforehand and a few units; without roads, so that it starts quickly.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import asyncpg

from consoles import paper_kit
from consoles.demo_accounts import FILE, seed_demo_credentials
from consoles.serve import run_loop, stopped
from consoles.serving import Options, Running, serving
from dispatch.core.terms import Body, RegionId, UnitId
from dispatch.servers.child import dying_with_us
from dispatch.services import Addresses, running_addresses
from dispatch.settings import Settings
from routing.geometry import Point
from simulators.country import UnitSpec, enrol
from simulators.members import HeldPort

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 90.0
STOP_LIMIT_S = 60.0
"""Far beyond what starting and stopping take, on a busy machine too: what is not done by then hangs."""
READY_TIMEOUT = aiohttp.ClientTimeout(total=5)
CITIES = {"TK": Point(41.311, 69.279), "SA": Point(39.654, 66.975), "FA": Point(40.386, 71.786)}
KINDS: tuple[tuple[str, Body, tuple[str, ...]], ...] = (
    ("ambulance", Body.MOH, ("als", "bls")),
    ("patrol", Body.MIA, ("patrol", "traffic")),
    ("pump", Body.MES, ("pump", "rescue")),
    ("gas", Body.GAS, ("gas_emergency",)),
)
UNITS_A_CITY = 20
SERVERS = {"postgres": ("postgres",), "broker": ("mosquitto", "iotcore")}
"""The servers that a service runs itself, by whichever program stands for them on this machine."""
PAPER_EVERY_S = 2.0
"""Not each minute: no test waits so long."""


def fleet() -> list[UnitSpec]:
    """Twenty units around each of the three cities, the same ones each time."""
    return [_unit(letters, number) for letters in CITIES for number in range(UNITS_A_CITY)]


def near(letters: str, rng: Random, spread: float = 0.08) -> Point:
    """A point around a city's middle, in (lat, lon); 0.08 degrees are some 8 km."""
    lat, lon = CITIES[letters]
    return Point(round(lat + rng.uniform(-spread, spread), 5), round(lon + rng.uniform(-spread, spread), 5))


def password(unit_id: str) -> str:
    """A unit's log-in at the broker, the same after every start, as a real device keeps it."""
    return hashlib.sha256(unit_id.encode()).hexdigest()


def _unit(letters: str, number: int) -> UnitSpec:
    kind, body, capabilities = KINDS[number % len(KINDS)]
    name = f"{letters}-{kind[0].upper()}{number}"
    return UnitSpec(
        unit_id=UnitId(name),
        call_sign=name.partition("-")[2],
        region=RegionId(f"UZ-{letters}"),
        body=body,
        kind=kind,
        capabilities=capabilities,
        station="here",
        at=near(letters, Random(name)),
    )


class Service:
    """One data directory and port, and the process that serves them now, if one does."""

    def __init__(self, data_dir: Path, regions: tuple[str, ...] = ()) -> None:
        self.regions = regions
        self.data_dir = data_dir
        self._held = HeldPort()
        self.port = self._held.number
        self.log = data_dir / "service.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, dict[str, Any]]:
        """Log-ins and tokens by role."""
        known: dict[str, dict[str, Any]] = json.loads((self.data_dir / FILE).read_text())
        return known

    @property
    def addresses(self) -> Addresses:
        """The database and broker that this process runs; each has a new log-in after a start."""
        known = running_addresses(self.data_dir)
        assert known is not None, "the service runs"
        return known

    async def start(self) -> float:
        """Start it and return when it is ready; says after how many seconds."""
        began_s = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.journeys.service", str(self.data_dir), str(self.port), *self.regions],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        while await self.ready() != 200:
            assert self._process.poll() is None, f"it ended by itself:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() - began_s < START_LIMIT_S, f"never ready:\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began_s

    async def ready(self) -> int:
        """What /readyz answers; 0 when nobody listens."""
        return (await self.readiness())[0]

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """What /readyz answers, and what it says with it."""
        try:
            async with aiohttp.request("GET", f"{self.url}/readyz", timeout=READY_TIMEOUT) as got:
                return got.status, await got.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError):
            return 0, {}

    async def metrics(self) -> str:
        """What /metrics says."""
        async with aiohttp.request("GET", f"{self.url}/metrics", timeout=READY_TIMEOUT) as got:
            return await got.text()

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        self._signal(signal.SIGKILL)
        self._ended()

    async def stop(self, how: signal.Signals = signal.SIGTERM, limit_s: float = STOP_LIMIT_S) -> tuple[int, float]:
        """Ask it to stop; its exit status, and after how many seconds it was gone. Raises TimeoutExpired."""
        began_s = time.monotonic()
        self._signal(how)
        status = await asyncio.to_thread(self._ended, limit_s)
        return status, time.monotonic() - began_s

    def server(self, name: str) -> int | None:
        """The pid of one of the SERVERS that the process runs itself; None while it is down."""
        assert self._process is not None
        return next(iter(servers_of(self._process.pid, name)), None)

    def descendants(self) -> set[int]:
        """Every process below it."""
        assert self._process is not None
        found, fresh = set[int](), {self._process.pid}
        while fresh := {child for pid in fresh for child in _children(pid)} - found:
            found |= fresh
        return found

    async def database(self) -> asyncpg.Connection:
        """A connection of our own to its database."""
        return await asyncpg.connect(self.addresses.database_url)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _ended(self, limit_s: float = 5.0) -> int:
        assert self._process is not None
        try:
            return self._process.wait(limit_s)
        finally:
            if self._process.poll() is None:
                self._process.kill()


def servers_of(pid: int, name: str) -> list[int]:
    """The children of a process that are the server of that name, whichever program it is here."""
    return [child for child in _children(pid) if _program(child) in SERVERS[name]]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def living(pids: set[int]) -> dict[int, str]:
    """Those that still run, with their programs. A zombie does not."""
    return {pid: _program(pid) for pid in pids if _state(pid) not in ("", "Z")}


def _children(pid: int) -> list[int]:
    """By asking every process for its parent: the kernel's own list is not everywhere."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [each for each in pids if _stat(each)[1:2] == [str(pid)]]


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what stands behind the name, which may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _program(pid: int) -> str:
    """Its name, of an interpreter that of its module; '' for one that has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return ""
    return words[words.index("-m") + 1] if "-m" in words[:-1] else Path(words[0]).name


async def _enrolled(running: Running) -> None:
    units = fleet()
    await enrol(running.engine, units)
    await running.services.write_credentials({unit.unit_id: password(unit.unit_id) for unit in units})


async def _main(data_dir: Path, port: int, regions: tuple[str, ...]) -> None:
    paper_kit.WRITE_EVERY_S = PAPER_EVERY_S
    options = Options(
        logins=lambda store, broker: seed_demo_credentials(store, data_dir),
        before_open=_enrolled,
    )
    settings = Settings(data_dir=data_dir, port=port, regions=regions)
    async with serving(settings, options, lambda text: print(text, file=sys.stderr, flush=True)):
        await stopped()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run_loop(_main(Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
