"""A server that we run as our child: it dies with us, and comes back when it dies first.

Not a daemon and no pid file of ours: on Linux the kernel itself ends the child when we are killed
(PR_SET_PDEATHSIG), so no orphan can hold a data directory. Call `start` from a thread that lives as long as
the child, for the kernel watches the thread that forked.
"""

import asyncio
import ctypes
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from dispatch.errors import ServiceAway
from dispatch.servers.footing import Footing

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
POLL_S = 0.01
WATCH_EVERY_S = 0.2
PROGRESS_EVERY_S = 5.0
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
FIRST_START_ATTEMPTS = 4
STOP_PATIENCE_S = 60.0
LOG_LIMIT_BYTES = 8 * 1024 * 1024
"""Of a child's log; with the one old copy that is kept, twice as much."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, as whom, and with which signals it is stopped."""

    name: str
    command: tuple[str, ...]
    footing: Footing
    log: Path
    environment: dict[str, str] = {}
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGTERM
    """Sent by the kernel when we die: the quick stop that leaves nothing behind."""


class Server:
    """One child server: started until ready, watched, restarted with backoff, stopped."""

    def __init__(
        self,
        launch: Launch,
        ready: Callable[[int], Awaitable[bool]],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`ready(pid)` says whether the child serves; `before()` runs ahead of every start."""
        self.launch = launch
        self.restarts = 0
        self.state = "stopped"
        self._ready = ready
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def status(self) -> dict[str, object]:
        """For /healthz: state is stopped, starting, ready or restarting."""
        return {"state": self.state, "pid": self.pid, "restarts": self.restarts}

    async def start(self) -> None:
        """Return once the server is ready. Raises ServiceAway, with the end of its log, when it never is."""
        assert self._watcher is None, "started once"
        self.state = "starting"
        try:
            await self._bring_up(FIRST_START_ATTEMPTS)
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.launch.name}")

    async def stop(self) -> None:
        """Stop it cleanly; after STOP_PATIENCE_S kill it. Safe to call twice."""
        watcher, self._watcher = self._watcher, None
        if watcher:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        if self._process and self._process.poll() is None:
            self._process.send_signal(self.launch.stop_signal)
            await self._ended(self._process)
        self.state = "stopped"

    def signal(self, number: int) -> None:
        """Pass a signal to the running child; nothing when it is down, for a start reads everything anew."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            _bound(self.launch.log)
            assert self._process, "only a started server is watched"
            if self._process.poll() is None:
                continue
            self.restarts += 1
            self.state = "restarting"
            status = self._process.returncode
            logger.error("%s ended (status %s): starting it again", self.launch.name, status)
            await self._bring_up(None)

    async def _bring_up(self, attempts: int | None) -> None:
        """Start until ready; `attempts` None: for as long as it takes."""
        delay_s = FIRST_BACKOFF_S
        for attempt in itertools.count(1):
            fault = await self._try_once()
            if fault is None:
                self.state = "ready"
                return
            if attempts and attempt >= attempts:
                raise ServiceAway(fault)
            logger.warning("%s; again in %.1f s", fault.splitlines()[0], delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_BACKOFF_S)

    async def _try_once(self) -> str | None:
        """None when the server became ready, otherwise why not, a bug of ours among it: whoever watches must not end.

        A child that lives although its last try ended by a fault is waited for, and no second one put beside it.
        """
        try:
            if self._process is None or self._process.poll() is not None:
                # Also a server that never starts writes its log, again and again.
                _bound(self.launch.log)
                if self._before:
                    await self._before()
                self._process = spawn(self.launch)
            if await self._became_ready(self._process):
                return None
            return f"{self.launch.name} does not start; its log ends:\n{_tail(self.launch.log)}"
        except (OSError, ServiceAway) as fault:
            return f"{self.launch.name} cannot start: {fault}"
        except Exception as fault:
            return f"{self.launch.name} cannot start: {fault!r}"

    async def _became_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """No limit on recovery: a long one is not a fault, and killing it would only begin it again."""
        began = said = time.monotonic()
        while process.poll() is None:
            if await self._ready(process.pid):
                return True
            await asyncio.sleep(POLL_S)
            if time.monotonic() - said >= PROGRESS_EVERY_S:
                said = time.monotonic()
                logger.warning("%s is not ready yet, %.0f s", self.launch.name, said - began)
        return False

    async def _ended(self, process: subprocess.Popen[bytes]) -> None:
        began = said = time.monotonic()
        while process.poll() is None:
            await asyncio.sleep(POLL_S)
            now = time.monotonic()
            if now - began > STOP_PATIENCE_S:
                logger.error("%s did not stop in %.0f s: killed", self.launch.name, STOP_PATIENCE_S)
                process.kill()
                process.wait()
            elif now - said >= PROGRESS_EVERY_S:
                said = now
                logger.warning("%s is still stopping, %.0f s", self.launch.name, now - began)


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """The child, in a session of its own: Ctrl-C in the terminal is for us, and we stop it in order."""
    footing = launch.footing
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            [*footing.prefix, *launch.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", **launch.environment},
            start_new_session=True,
            preexec_fn=dying_with_us(launch.death_signal),
            **footing.identity(),
        )


def dying_with_us(number: int) -> Callable[[], None] | None:
    """Runs in the child before exec, after the change of user, which would clear the kernel's promise."""
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # We died between fork and prctl: nobody would tell this child.
            os._exit(1)

    return before_exec


def _bound(log: Path) -> None:
    """Keep one old copy. The child holds the file open for appending, so it is emptied in place.

    On a disk without room for the copy the lines go: whoever watches the child must never end for its log.
    """
    try:
        if not log.exists() or log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        old = log.with_name(log.name + ".1")
        try:
            shutil.copyfile(log, old)
        except OSError as fault:
            logger.error("the old lines of %s are lost: %s", log.name, fault.strerror)
            old.unlink(missing_ok=True)
        os.truncate(log, 0)
    except OSError as fault:
        logger.error("%s cannot be kept small: %s", log.name, fault.strerror)


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_bytes()[-8192:].decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
