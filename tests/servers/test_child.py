"""A child server: ready when it says so, started again when it ends, stopped in order, its log bounded."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from dispatch.errors import ServiceAway, UserMistake
from dispatch.servers import broker, child
from dispatch.servers.child import Launch, Server
from dispatch.servers.footing import Footing, own_directory
from dispatch.servers.postgres import IMPOSSIBLE_PID, Place, Postgres
from dispatch.servers.postgres_binaries import find_binaries
from tests.small_disk import fill

SOON_S = 60.0
Make = Callable[[str], Server]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Servers that are shell scripts; ready once they have made the file `ready`."""
    made: list[Server] = []

    def server(script: str) -> Server:
        footing = Footing(owner=os.geteuid(), group=os.getegid())
        command = ("/bin/sh", "-c", f"cd '{tmp_path}'; {script}")
        launch = Launch(name="script", command=command, footing=footing, log=tmp_path / "log")
        made.append(Server(launch, ready=is_ready))
        return made[-1]

    async def is_ready(pid: int) -> bool:
        return (tmp_path / "ready").exists()

    yield server
    for one in made:
        await one.stop()


async def test_a_server_that_will_not_start_is_reported_with_the_end_of_its_log(make: Make) -> None:
    server = make("echo no room on this disk >&2; exit 3")
    with pytest.raises(ServiceAway, match="no room on this disk"):
        await server.start()
    assert server.status() == {"state": "stopped", "pid": None, "restarts": 0}


async def test_a_first_start_that_fails_is_tried_again(make: Make, tmp_path: Path) -> None:
    server = make("echo >> tries; test $(wc -l < tries) -gt 2 || exit 1; touch ready; exec sleep 60")
    await server.start()
    assert server.state == "ready"
    assert (tmp_path / "tries").read_text().count("\n") == 3


async def test_a_server_that_ends_is_started_again_as_often_as_it_takes(make: Make, tmp_path: Path) -> None:
    server = make("touch ready; exec sleep 60")
    await server.start()
    for restarts in (1, 2):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until_ready(server, restarts)
    assert server.status()["restarts"] == 2


async def until_ready(server: Server, restarts: int) -> None:
    async with asyncio.timeout(SOON_S):
        while server.restarts < restarts or server.state != "ready":
            await asyncio.sleep(0.02)


async def test_a_fault_of_ours_while_it_starts_again_does_not_end_whoever_watches(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tails = 0

    def tail(log: Path) -> str:
        nonlocal tails
        tails += 1
        (tmp_path / "broken").unlink(missing_ok=True)
        raise OSError(24, "Too many open files") if tails == 1 else ValueError("a bug of ours")

    monkeypatch.setattr(child, "_tail", tail)
    server = make("test -e broken && exit 1; touch ready; exec sleep 60")
    await server.start()
    for restarts in (1, 2):
        (tmp_path / "broken").touch()
        (tmp_path / "ready").unlink()
        os.kill(cast(int, server.pid), signal.SIGKILL)
        await until_ready(server, restarts)
    assert tails == 2


async def test_a_child_of_which_we_could_not_say_whether_it_serves_is_not_doubled(make: Make, tmp_path: Path) -> None:
    server = make("echo >> starts; touch ready; exec sleep 60")
    asked, ready = 0, server._ready

    async def stumbling(pid: int) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ValueError("a bug of ours")
        return await ready(pid)

    server._ready = stumbling
    await server.start()
    assert (tmp_path / "starts").read_text().count("\n") == 1


async def test_a_cancelled_start_leaves_nothing_running(make: Make, tmp_path: Path) -> None:
    server = make("echo $$ > pid; exec sleep 60")
    starting = asyncio.create_task(server.start())
    async with asyncio.timeout(SOON_S):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert server.pid is None


async def test_a_server_deaf_to_the_stop_is_killed_in_the_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "STOP_PATIENCE_S", 0.2)
    server = make("trap '' TERM; touch ready; while :; do sleep 0.05; done")
    await server.start()
    pid = server.pid
    await server.stop()
    assert pid is not None
    assert server.pid is None


async def test_a_log_keeps_one_old_copy(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOG_LIMIT_BYTES", 1000)
    server = make("touch ready; while :; do echo a line of the log; sleep 0.002; done")
    await server.start()
    async with asyncio.timeout(SOON_S):
        while not (tmp_path / "log.1").exists() or not (tmp_path / "log").read_text():
            await asyncio.sleep(0.02)
    await server.stop()
    assert "a line of the log" in (tmp_path / "log").read_text(), "it writes on into the emptied file"


async def test_a_long_path_does_not_reach_the_limit_of_sockets(tmp_path: Path) -> None:
    place = tmp_path / ("a" * 100)
    place.mkdir(mode=0o711)
    postgres = Postgres(place)
    url = await postgres.start()
    short = Path(url.partition("host=")[2].partition("&")[0])
    assert short.stat().st_mode & 0o777 == 0o700
    await postgres.stop()
    assert not short.exists()


async def test_a_pid_file_that_holds_zeros_does_not_keep_postgres_from_coming_back(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path)
    await postgres.start()
    try:
        server = cast(Server, postgres._server)
        (cast(Path, postgres.home) / "data" / "postmaster.pid").write_bytes(b"\0" * 16 + b"\n")
        os.kill(cast(int, server.pid), signal.SIGKILL)
        await until_ready(server, 1)
    finally:
        await postgres.stop()


@pytest.mark.parametrize("left", [b"", b"\n", b"\0\0\0\0\n", b"\xff\xfe\n", b"9" * 30 + b"\n", b"9" * 5000])
async def test_a_pid_file_without_a_pid_is_nobodys(tmp_path: Path, left: bytes) -> None:
    place = Place(home=tmp_path, run=tmp_path, binaries=cast(Any, None), footing=cast(Any, None))
    place.data.mkdir()
    file = place.data / "postmaster.pid"
    await place.settle_old_postmaster()
    assert not file.exists()
    file.write_bytes(left)
    await place.settle_old_postmaster()
    assert file.read_text().startswith(f"{IMPOSSIBLE_PID}\n")
    assert not await place.is_ready(1)


@pytest.mark.parametrize("left", [b"", b"\0\0\0\0", b"\xff", b"99999", b"-1"])
def test_a_port_that_nobody_knows_any_more_is_chosen_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "port").write_bytes(left)
    assert broker._port_for(0, tmp_path / "port") in broker.PORTS


def test_data_of_a_version_that_is_not_here_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "postgres99" / "data").mkdir(parents=True)
    (tmp_path / "postgres99" / "data" / "PG_VERSION").write_text("99\n")
    with pytest.raises(UserMistake, match="made by Postgres 99"):
        find_binaries(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use everybody's directories")
def test_a_directory_of_somebody_else_is_refused() -> None:
    with pytest.raises(UserMistake, match="belongs to user id 0"):
        own_directory(Path("/usr"), Footing(owner=os.geteuid(), group=os.getegid()))


def test_a_log_is_bounded_with_one_old_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOG_LIMIT_BYTES", 1000)
    log = tmp_path / "server.log"
    with log.open("ab") as file:
        for turn in range(5):
            file.write(b"%d" % turn * 2000)
            file.flush()
            child._bound(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "server.log.1").read_bytes() == b"4" * 2000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.log", "server.log.1"]


async def test_a_full_disk_does_not_end_whoever_watches_the_server(small_disk: Path) -> None:
    log = small_disk / "server.log"
    log.write_bytes(b"x" * (child.LOG_LIMIT_BYTES + 1))
    fill(small_disk)
    child._bound(log)
    assert log.stat().st_size == 0
    assert not (small_disk / "server.log.1").exists()
