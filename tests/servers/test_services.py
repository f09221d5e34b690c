"""Our own Postgres and broker, run for real: they start, stop, come back, and never outlive us."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from dispatch.errors import UserMistake
from dispatch.services import database, embedded, running_addresses
from dispatch.settings import Settings
from tests.small_disk import fill

ROOT = Path(__file__).resolve().parent.parent.parent
ALONE = Path(__file__).with_name("servers_alone.py")
ORDINARY_UID = 65534
SHORT_S = 10.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")


class Alone:
    """The servers in another process, and what it said when they were ready."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, Any]) -> None:
        self.process = process
        self.database_url = cast(str, said["database_url"])
        self.pids = [said[name]["pid"] for name in ("postgres", "broker")]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def alone(data_dir: Path, *before: str, python: str = sys.executable) -> Iterator[Alone]:
    """`before`: words ahead of the command, to run it as somebody else."""
    process = subprocess.Popen(
        [*before, python, str(ALONE), str(data_dir)],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert line, process.stderr.read()
    try:
        yield Alone(process, json.loads(line))
    finally:
        process.terminate()
        process.wait(SHORT_S)
        process.stdout.close()
        process.stderr.close()


async def write_rows(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists kept (n int)")
    await connection.executemany("insert into kept values ($1)", [(n,) for n in range(count)])
    await connection.close()


async def count_rows(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return cast(int, await connection.fetchval("select count(*) from kept"))
    finally:
        await connection.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pids: list[int], limit_s: float) -> bool:
    give_up = time.monotonic() + limit_s
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def processes_on(data_dir: Path) -> list[str]:
    """Command lines of living processes that name the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode()
            if f"{data_dir}/" in words:
                found.append(words)
    return found


async def test_rows_outlive_a_clean_stop(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    async with embedded(settings) as services:
        await write_rows(services.database_url, 10)
        first = services.database_url
    assert not processes_on(tmp_path)
    async with embedded(settings, with_broker=False) as services:
        assert await count_rows(services.database_url) == 10
        assert services.database_url == first, "the address and the log-in stay the same"


async def test_rows_outlive_our_kill_and_no_process_does(tmp_path: Path) -> None:
    with alone(tmp_path) as servers:
        await write_rows(servers.database_url, 100)
        servers.kill()
        assert gone_within(servers.pids, 2.0), "an orphan still runs"
    assert not processes_on(tmp_path)
    async with embedded(Settings(data_dir=tmp_path), with_broker=False) as services:
        assert await count_rows(services.database_url) == 100


async def test_a_start_right_after_a_kill_waits_for_the_old_servers(tmp_path: Path) -> None:
    for attempt in range(3):
        with alone(tmp_path) as servers:
            await write_rows(servers.database_url, 10)
            assert await count_rows(servers.database_url) == 10 * (attempt + 1)
            servers.kill()


async def test_sigterm_stops_everything(tmp_path: Path) -> None:
    with alone(tmp_path) as servers:
        servers.process.terminate()
        assert servers.process.wait(SHORT_S) == 0
        assert gone_within(servers.pids, 0.1)
    log = next(tmp_path.glob("postgres*/server.log")).read_text()
    assert "database system is shut down" in log
    assert running_addresses(tmp_path) is None


async def test_a_killed_postgres_comes_back_with_every_row(tmp_path: Path) -> None:
    async with embedded(Settings(data_dir=tmp_path), with_broker=False) as services:
        await write_rows(services.database_url, 100)
        os.kill(cast(int, services.status()["postgres"]["pid"]), signal.SIGKILL)
        await until_restarted(services.status, "postgres")
        assert await count_rows(services.database_url) == 100
        assert services.status()["postgres"]["restarts"] == 1


async def test_a_killed_broker_comes_back_on_its_port(tmp_path: Path) -> None:
    async with embedded(Settings(data_dir=tmp_path)) as services:
        port = services.status()["broker"]["port"]
        os.kill(cast(int, services.status()["broker"]["pid"]), signal.SIGKILL)
        await until_restarted(services.status, "broker")
        assert services.status()["broker"]["port"] == port


async def until_restarted(status: Any, name: str) -> None:
    async with asyncio.timeout(SHORT_S):
        while not (status()[name]["restarts"] and status()[name]["state"] == "ready"):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("left_bytes", [0, 2**20])
async def test_a_disk_without_room_for_a_database_is_named_in_one_line(small_disk: Path, left_bytes: int) -> None:
    fill(small_disk, left_bytes)
    command = [sys.executable, "-m", "dispatch", "serve", "--port", "0", "--data-dir", str(small_disk / "data")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "the disk has no room" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


async def test_a_second_starter_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with alone(tmp_path) as servers:
        with pytest.raises(UserMistake, match=rf"in use by process {servers.process.pid}: .*--data-dir"):
            async with embedded(Settings(data_dir=tmp_path)):
                pass
        await write_rows(servers.database_url, 1)
        assert await count_rows(servers.database_url) == 1, "the first one serves on"


async def test_a_command_joins_the_running_servers(tmp_path: Path) -> None:
    with alone(tmp_path) as servers:
        async with database(Settings(data_dir=tmp_path)) as url:
            assert url == servers.database_url


async def test_a_url_passes_through_and_nothing_is_started(tmp_path: Path) -> None:
    unused = tmp_path / "never"
    given = Settings(data_dir=unused, database_url="postgresql://db/x", mqtt_url="mqtt://u:p@broker:1883")
    async with embedded(given) as services:
        assert (services.database_url, services.mqtt_url) == (given.database_url, given.mqtt_url)
        assert not await services.write_credentials({"unit": "secret"}), "its log-ins are its owner's"
    assert not unused.exists()


async def test_a_pid_that_now_belongs_to_another_program_does_not_stop_us(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with alone(tmp_path) as servers:
        await write_rows(servers.database_url, 5)
        os.kill(servers.process.pid, signal.SIGKILL)
        assert gone_within(servers.pids, 2.0)
    pid_file = next(tmp_path.glob("postgres*/data")) / "postmaster.pid"
    left = pid_file.read_text().splitlines() if pid_file.exists() else ["0", "x", "0", "5432", "x", "", "", "ready"]
    pid_file.write_text("\n".join([str(os.getpid()), *left[1:]]) + "\n")
    shutil.chown(pid_file, pid_file.parent.stat().st_uid, pid_file.parent.stat().st_gid)
    async with embedded(settings, with_broker=False) as services:
        assert await count_rows(services.database_url) == 5


def test_secrets_are_private(tmp_path: Path) -> None:
    with alone(tmp_path):
        secret = [*tmp_path.rglob("secrets.json"), *tmp_path.rglob("passwords"), tmp_path / "addresses.json"]
        assert len(secret) == 3
        assert all(path.stat().st_mode & 0o077 == 0 for path in secret)
        assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("postgres*"))
        assert tmp_path.stat().st_mode & 0o066 == 0 or tmp_path.stat().st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter a directory closed to all others")
async def test_root_keeps_its_data_under_a_closed_directory(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with alone(closed / "data") as servers:
        await write_rows(servers.database_url, 3)
        assert await count_rows(servers.database_url) == 3
        servers.kill()
        assert gone_within(servers.pids, 2.0)
    assert closed.stat().st_mode & 0o777 == 0o700, "no parent was opened to anybody"


@pytest.mark.skipif(os.geteuid() != 0, reason="we are an ordinary user already: every other test shows it")
async def test_an_ordinary_user_can_run_them(tmp_path: Path) -> None:
    become = ("setpriv", f"--reuid={ORDINARY_UID}", f"--regid={ORDINARY_UID}", "--clear-groups")
    python = next((path for path in (sys.executable, "/usr/bin/python3") if usable(become, path)), None)
    if python is None:
        pytest.skip("no Python here that both root and an ordinary user can run with our packages")
    home = Path("/tmp") / f"dispatch112-test-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, ORDINARY_UID, ORDINARY_UID)
    try:
        with alone(home / "data", *become, python=python) as servers:
            assert Path(f"/proc/{servers.pids[0]}").stat().st_uid == ORDINARY_UID
            servers.kill()
            assert gone_within(servers.pids, 2.0)
    finally:
        shutil.rmtree(home)


def usable(become: tuple[str, ...], python: str) -> bool:
    asked = subprocess.run(
        [*become, python, "-c", "import dispatch.services"],
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0
