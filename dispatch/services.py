"""The servers a process needs, as strings: ours started without root, or others' by URL.

The same code uses both:

    async with embedded(settings) as services:
        connect(services.database_url)

With a URL in the settings nothing is started for it. Redis is never embedded: one process needs no bus.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from dispatch.errors import UserMistake
from dispatch.servers.broker import Broker
from dispatch.servers.postgres import Postgres
from dispatch.settings import Settings

LOCK_ATTEMPTS = 5


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """What another command on this machine needs to join running servers; kept private beside them."""

    database_url: str
    mqtt_url: str


class Services:
    """The servers in use. The URLs carry their log-ins; `redis_url` None means the in-process bus."""

    def __init__(self, settings: Settings, postgres: Postgres | None, broker: Broker | None) -> None:
        self.database_url = settings.database_url or ""
        self.mqtt_url = settings.mqtt_url or ""
        self.redis_url = settings.redis_url
        self._postgres = postgres
        self._broker = broker

    @property
    def mqtt_address(self) -> str:
        """Where units find the broker: `mqtt://host:port`, without anybody's log-in."""
        found = urlsplit(self.mqtt_url)
        return f"{found.scheme}://{found.netloc.rpartition('@')[2]}"

    async def start(self) -> None:
        if self._postgres:
            self.database_url = await self._postgres.start()
        if self._broker:
            self.mqtt_url = await self._broker.start()

    async def stop(self) -> None:
        if self._broker:
            await self._broker.stop()
        if self._postgres:
            await self._postgres.stop()

    async def write_credentials(self, passwords: Mapping[str, str]) -> bool:
        """Replace the units' log-ins on our own broker ({unit_id: password}) and wait until it obeys them.

        False when the broker is somebody else's, who keeps its log-ins. Raises ServiceAway.
        """
        if self._broker is None:
            return False
        await self._broker.write_credentials(passwords)
        return True

    def directories(self) -> dict[str, Path]:
        """Where the files of our own servers lie, which may be beside the data directory."""
        home = self._postgres.home if self._postgres else None
        return {"database": home} if home is not None else {}

    def status(self) -> dict[str, dict[str, object]]:
        """For /healthz: what we run ourselves, and how it fares."""
        return {
            "postgres": self._postgres.status() if self._postgres else {"state": "external"},
            "broker": self._broker.status() if self._broker else {"state": "external"},
            "redis": {"state": "external" if self.redis_url else "in process"},
        }


@contextlib.asynccontextmanager
async def embedded(settings: Settings, *, with_broker: bool = True) -> AsyncIterator[Services]:
    """Start what no URL is given for, and stop it at the end, also after a fault or a cancellation.

    Raises UserMistake when the data directory is in use or cannot serve, ServiceAway when a server fails.
    """
    postgres = Postgres(settings.data_dir) if settings.database_url is None else None
    broker = Broker(settings.data_dir, settings.mqtt_port) if with_broker and not settings.mqtt_url else None
    services = Services(settings, postgres, broker)
    if postgres is None and broker is None:
        yield services
        return
    with sole_use(settings.data_dir):
        try:
            await services.start()
            _announce(settings.data_dir, services)
            yield services
        finally:
            await services.stop()
            (settings.data_dir / "addresses.json").unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """A database URL for a command: the settings', else that of a service running here, else our own."""
    if settings.database_url:
        yield settings.database_url
        return
    running = running_addresses(settings.data_dir)
    if running:
        yield running.database_url
        return
    async with embedded(settings, with_broker=False) as services:
        yield services.database_url


def running_addresses(data_dir: Path) -> Addresses | None:
    """Where the servers of this data directory answer now; None when nobody runs them."""
    try:
        with (data_dir / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        pass
    try:
        return msgspec.json.decode((data_dir / "addresses.json").read_bytes(), type=Addresses)
    except (OSError, msgspec.DecodeError):
        return None


@contextlib.contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process; the kernel lets go however we end. Raises UserMistake."""
    try:
        # A service account must be able to pass through, though not to look around.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as fault:
        raise UserMistake(f"cannot use {data_dir} as data directory: {fault.strerror}") from None
    try:
        _lock(descriptor, data_dir)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data_dir: Path) -> None:
    for remaining in reversed(range(LOCK_ATTEMPTS)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if remaining:  # Another command may be looking whether the directory is in use.
                time.sleep(0.1)
    else:
        holder = os.pread(descriptor, 32, 0).decode() or "?"
        raise UserMistake(f"{data_dir} is in use by process {holder}: stop it, or choose another --data-dir")
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _announce(data_dir: Path, services: Services) -> None:
    path = data_dir / "addresses.json"
    path.touch(mode=0o600)
    known = Addresses(database_url=services.database_url, mqtt_url=services.mqtt_url)
    path.write_bytes(msgspec.json.encode(known))
