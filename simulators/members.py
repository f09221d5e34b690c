"""Core processes of one service on this machine, each a real `dispatch112 serve`: started, killed, frozen, stopped."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from dispatch.errors import ServiceAway
from dispatch.servers.child import dying_with_us

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
READY_TIMEOUT = aiohttp.ClientTimeout(total=1.0)
LOOK_S = 0.02
LAST_WORDS = 3000
"""So many characters of a log tell why its process is not what it should be."""


class HeldPort:
    """A port of loopback for a process that is yet to start, and to start again: nobody else is given it meanwhile.

    A socket that is bound and never listens keeps it from everybody who asks the kernel for any port; a process that
    names it may listen, as servers set SO_REUSEADDR, and without one a connection is refused. Given back with `self`.
    """

    def __init__(self) -> None:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self.number = int(held.getsockname()[1])
        weakref.finalize(self, held.close)


class Member:
    """One process with a data directory and a port of its own; its words go to a file beside them."""

    def __init__(self, home: Path, name: str, flags: Sequence[str]) -> None:
        self.name = name
        self._held = HeldPort()
        self.port = self._held.number
        self.log = home / f"{name}.log"
        self._command = [
            sys.executable, "-m", "dispatch", "serve",
            "--data-dir", str(home / name), "--port", str(self.port), *flags,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it runs"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it and do not wait."""
        with self.log.open("ab") as said:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                preexec_fn=dying_with_us(signal.SIGKILL),
            )  # fmt: skip

    async def start(self) -> float:
        """Start it and return when it is ready; says after how many seconds. Raises ServiceAway."""
        began_s = time.monotonic()
        self.launch()
        await self.readied()
        return time.monotonic() - began_s

    async def readied(self) -> None:
        """Return when it may be given work. Raises ServiceAway."""
        give_up_s = time.monotonic() + START_LIMIT_S
        while await self.health() != 200:
            if not self.runs or time.monotonic() > give_up_s:
                raise ServiceAway(f"{self.name} is not ready: {self.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def health(self, page: str = "/readyz") -> int:
        """What it answers there; 0 when nobody does."""
        try:
            async with aiohttp.request("GET", self.url + page, timeout=READY_TIMEOUT) as got:
                return got.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0

    def last_words(self) -> str:
        """Whether it runs, and the end of what it said: its log may be gone when somebody asks."""
        state = "it runs" if self.runs else "it has ended"
        return f"{state}; {self.log} ends with\n{self.log.read_text(errors='replace')[-LAST_WORDS:]}"

    def kill(self) -> None:
        """SIGKILL: nothing is given up or said."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(5)

    def freeze(self) -> None:
        """SIGSTOP: it holds its lines and does nothing."""
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT: it goes on where it was, and does not know for how long it was not there."""
        self.signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait, STOP_LIMIT_S)

    def signal(self, number: signal.Signals) -> None:
        if self.runs and self._process is not None:
            self._process.send_signal(number)

    def memory_mb(self) -> float:
        """Resident memory, 0 where the kernel does not say."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError):
            return 0.0
        return pages * 4096 / 1e6


def flags_of(urls: Mapping[str, str], regions: Sequence[str]) -> list[str]:
    """The flags of one process: `urls` are those of its database, broker and, if there is one, Redis."""
    named = [word for name, url in urls.items() for word in (f"--{name}-url", url)]
    return [*named, "--regions", ",".join(regions)]
