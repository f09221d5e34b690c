"""A blow hits what it is named for, whichever program stands for it here, or says that there was nothing to hit."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from dispatch.servers import broker_programs
from dispatch.servers.broker import Broker
from dispatch.services import Services
from dispatch.settings import Settings
from simulators.members import Member
from tests.dispatch.test_spool import call, drained, loaded
from tests.journeys.blows import BLOWS, ORDER, kill_server
from tests.journeys.proxy import Line
from tests.journeys.service import servers_of
from tests.journeys.spools import Spools
from tests.journeys.stage import Stage

PATIENCE_S = 60.0


def test_every_blow_is_dealt() -> None:
    assert set(ORDER) == set(BLOWS)


@pytest.fixture(params=["mosquitto", "stand-in"])
async def services(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Services]:
    """A broker of our own, of either kind."""
    if request.param == "stand-in":
        pytest.importorskip("iotcore", reason="the wheel iotcore is installed only where no mosquitto can be had")
        monkeypatch.setattr(broker_programs, "SEARCH_PATH", str(tmp_path))
        monkeypatch.setattr(broker_programs, "UNPACKED", tmp_path / "nothing")
    elif broker_programs.find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine")
    made = Services(Settings(data_dir=tmp_path), None, Broker(tmp_path))
    await made.start()
    yield made
    await made.stop()


async def test_the_broker_is_killed_whatever_program_it_is(services: Services) -> None:
    before = services.status()["broker"]["pid"]
    assert before in servers_of(os.getpid(), "broker")
    assert kill_server(services, "broker")
    give_up_s = time.monotonic() + PATIENCE_S
    while (after := services.status()["broker"]["pid"]) == before or after not in servers_of(os.getpid(), "broker"):
        assert time.monotonic() < give_up_s, "nobody was killed, or nobody started it again"
        await asyncio.sleep(0.02)
    assert before not in servers_of(os.getpid(), "broker")


async def test_a_server_that_is_not_ours_cannot_be_hit(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, mqtt_url="mqtt://127.0.0.1:1")
    assert not kill_server(Services(settings, None, None), "broker")


def bare(lines: dict[tuple[str, str], Line]) -> Stage:
    """A stage with nothing but lines."""
    return cast(Stage, SimpleNamespace(lines=lines, redis=None))


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    """A line to somebody who says what he hears."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(100):
            writer.write(heard)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Line(("127.0.0.1", server.sockets[0].getsockname()[1])) as made:
        yield made


@pytest.mark.parametrize("kind", ["console line cut", "console line half-open"])
async def test_a_line_is_hit_only_while_it_carries_something(tmp_path: Path, kind: str) -> None:
    member, rng = Member(tmp_path, "core-1", []), Random(1)
    async with line() as made:
        stage = bare({("core-1", "consoles"): made})
        assert not await BLOWS[kind](stage, member, 0.0, rng)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert await BLOWS[kind](stage, member, 0.0, rng)
        writer.close()


@pytest.mark.parametrize("kind", ["redis line cut", "redis line half-open", "redis restarted"])
async def test_without_redis_there_is_nothing_to_hit(tmp_path: Path, kind: str) -> None:
    assert not await BLOWS[kind](bare({}), Member(tmp_path, "core-1", []), 0.0, Random(1))


@pytest.mark.parametrize("kind", ["kill", "freeze", "rolling restart"])
async def test_a_process_that_does_not_run_is_no_victim(tmp_path: Path, kind: str) -> None:
    with pytest.raises(AssertionError, match="core-1 does not run"):
        await BLOWS[kind](bare({}), Member(tmp_path, "core-1", []), 0.0, Random(1))


async def test_what_a_spool_held_is_known_when_its_file_is_gone(tmp_path: Path) -> None:
    spool = loaded(tmp_path / "core-1")
    spools = Spools({"core-1": tmp_path / "core-1" / "calls.jsonl", "core-2": tmp_path / "core-2" / "calls.jsonl"})
    spools.look()
    await spool.add(call("c1"))
    assert spools.standing == ["core-1"]
    spools.look()
    await spool.add(call("c2"))
    assert await drained(spool) == ["c1", "c2"]
    assert spools.standing == []
    spools.look()
    await spool.add(call("c3"))
    await loaded(tmp_path / "core-2").add(call("c4"))
    spools.look()
    assert spools.held_by == {"c1": "core-1", "c2": "core-1", "c3": "core-1", "c4": "core-2"}


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    line = msgspec.json.encode(call("c1")) + b"\n"
    spools = Spools({"core-1": path})
    for end in (10, len(line)):
        path.write_bytes(line[:end])
        spools.look()
    assert spools.held_by == {"c1": "core-1"}
