"""The service that a benchmark measures, as child processes that end with us however we end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from consoles.demo_accounts import FILE
from dispatch.calling.aml import KEY_FILE
from dispatch.errors import ServiceAway
from dispatch.servers.child import dying_with_us
from dispatch.services import running_addresses
from simulators.arrivals import shares
from simulators.client import Client, Counts
from simulators.members import HeldPort

START_LIMIT_S, STOP_LIMIT_S = 180.0, 60.0
CONSOLE_AT = re.compile(rb"^ *console +(\S+)")
"""How the demo says where it is."""
READY_AT = re.compile(rb"^ready at (\S+)")
"""How `serve` says it."""


@asynccontextmanager
async def service(home: Path, seed: int, share: float) -> AsyncIterator[str]:
    """A whole country without load in a directory of its own, which sends units by itself; yields its address."""
    words = ["demo", "--no-load", "--port", "0", "--seed", str(seed), "--share", str(share)]
    async with _child([*words, "--data-dir", str(home)], CONSOLE_AT, home / "service.log") as url:
        await _all_automatic(url, json.loads((home / FILE).read_text())["supervisor"]["token"])
        yield url


@asynccontextmanager
async def partner(home: Path, number: int, seed: int, share: float) -> AsyncIterator[str]:
    """One more core process on the servers of the running service, with a directory of its own; yields its address.

    It knows the same log-ins and the same roads, and leads its share of the regions a moment later.
    """
    own, addresses = home / f"core-{number}", running_addresses(home)
    assert addresses is not None, "the service runs"
    own.mkdir()
    for name in (FILE, KEY_FILE):
        shutil.copy(home / name, own / name)
    words = ["demo", "--no-load", "--port", "0", "--seed", str(seed), "--share", str(share), "--data-dir", str(own)]
    servers = ["--database-url", addresses.database_url, "--mqtt-url", addresses.mqtt_url]
    async with _child([*words, *servers], CONSOLE_AT, home / f"core-{number}.log") as url:
        yield url


async def shared(home: Path, count: int) -> None:
    """Return when so many processes lead the regions of the service, none two more than another. Raises ServiceAway."""
    addresses = running_addresses(home)
    assert addresses is not None, "the service runs"
    connection = await asyncpg.connect(addresses.database_url)
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                rows = await connection.fetch("SELECT count(*) AS led FROM leaders GROUP BY address")
                led = [row["led"] for row in rows]
                if len(led) == count and max(led) - min(led) < 2:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise ServiceAway(f"{count} processes did not come to share the regions") from None
    finally:
        await connection.close()


async def _all_automatic(url: str, token: str) -> None:
    """Let the system send units in every region: nobody confirms here, and what waits for it would never end."""
    client = Client(url, token, Counts())
    try:
        for region in shares():
            answer = await client.put(f"regions/{region}/policy", {"dispatch": "automatic"})
            assert answer.good, answer.code
    finally:
        await client.close()


@asynccontextmanager
async def gateway(home: Path) -> AsyncIterator[str]:
    """A second process for consoles, beside the service of the same directory; yields its address."""
    port = HeldPort()
    words = ["serve", "--roles", "gateway", "--port", str(port.number), "--data-dir", str(home)]
    async with _child(words, READY_AT, home / "gateway.log") as url:
        yield url


@asynccontextmanager
async def _child(words: Sequence[str], ready: re.Pattern[bytes], log: Path) -> AsyncIterator[str]:
    """A process of ours that says where it can be reached. Raises ServiceAway when it does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatch", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True, preexec_fn=dying_with_us(signal.SIGTERM),
    )  # fmt: skip
    assert process.stdout is not None
    kept = log.open("wb", buffering=0)
    reading: asyncio.Task[None] | None = None
    try:
        try:
            url = await asyncio.wait_for(_address(process.stdout, ready, kept.write), START_LIMIT_S)
        except TimeoutError:
            raise ServiceAway(f"the service did not start within {START_LIMIT_S:.0f} s") from None
        reading = asyncio.create_task(_kept(process.stdout, kept.write))
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        if reading is not None:
            reading.cancel()
        kept.close()


async def _address(said: asyncio.StreamReader, ready: re.Pattern[bytes], keep: Callable[[bytes], object]) -> str:
    """The address in the first line that says that it is ready."""
    async for line in said:
        keep(line)
        found = ready.match(line)
        if found is not None:
            return found.group(1).decode()
    raise ServiceAway("the service ended before it was ready")


async def _kept(said: asyncio.StreamReader, keep: Callable[[bytes], object]) -> None:
    async for line in said:
        keep(line)
