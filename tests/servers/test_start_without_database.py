"""A process that starts while its database is away takes calls, says why it does no more, and goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest

from consoles import starting
from consoles.programs import FILE, Programs
from dispatch.actors import Role
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.migrate import NotLetIn
from dispatch.servers.broker import Broker
from dispatch.servers.child import Server
from dispatch.servers.postgres import Postgres
from dispatch.settings import Settings
from dispatch.store import StoreAway
from dispatch.writing.records import Device
from tests.servers.field_world import until
from tests.servers.sullen_server import SullenServer
from tests.servers.whole_service import CHORSU, PATIENCE_S, TASHKENT, child, whole

pytestmark = pytest.mark.slow

CALL = {"channel": "app", "location": [{"source": "app", "point": CHORSU, "accuracy_m": 10}]}
Said = tuple[int, dict[str, Any]]


class Door:
    """One port, asked before the service behind it is whole."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._session = session

    async def get(self, path: str) -> Said:
        async with self._session.get(self._url + path) as got:
            return got.status, msgspec.json.decode(await got.read())

    async def call(self, body: Any = CALL, *, token: str = "device", key: str = "k1") -> Said:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
        async with self._session.post(self._url + "/api/v1/calls", data=raw, headers=headers) as got:
            return got.status, msgspec.json.decode(await got.read())

    async def opens(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectorError):
                    await self.get("/healthz")
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Settings, Server]]:
    """A service by URL that has run before, and its database, which has been stopped since."""
    postgres, broker = Postgres(tmp_path), Broker(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(postgres.stop)
        stack.push_async_callback(broker.stop)
        settings = Settings(
            database_url=await postgres.start(),
            mqtt_url=await broker.start(),
            data_dir=tmp_path / "service",
            port=port,
            regions=(TASHKENT,),
        )
        async with whole(settings):
            await until((settings.data_dir / FILE).exists, 10)
        await child(postgres).stop()
        yield settings, child(postgres)


async def test_calls_are_taken_before_the_database_answers_and_committed_when_it_does(
    place: tuple[Settings, Server],
) -> None:
    settings, database = place
    began = asyncio.Event()
    over = asyncio.Event()
    committed: list[str] = []
    unreadable: list[str] = []

    async def serve() -> None:
        async with whole(settings) as service:
            await until(lambda: not len(service.running.spool), 20)
            committed.extend(service.committed())
            found, _ = await service.running.store.contacts(None, None, 10)
            unreadable.extend(contact.contact_id for contact in found)
            began.set()
            await over.wait()

    serving = asyncio.create_task(serve())
    async with aiohttp.ClientSession() as session:
        door = Door(settings.port, session)
        await door.opens()
        status, said = await door.get("/readyz")
        assert (status, said["detail"]) == (503, "The database does not answer.")
        status, first = await door.call()
        assert (status, first["flags"], first["region"], first["seq"]) == (201, ["spooled"], "UZ-TK", 0)
        assert (settings.data_dir / "spool" / "calls.jsonl").read_bytes().count(b"\n") == 1
        assert (await door.call())[1] == first
        _, second = await door.call(key="k2")
        assert (await door.call(token="stranger"))[0] == 503
        status, refused = await door.call(b"yordam", key="k3")
        assert status == 400
        assert (await door.get("/api/v1/queue"))[0] == 404
        # As a server that comes up does, one that all its clients come back to, and one with another password.
        async with SullenServer(socket_directory(settings), "57P03", "53300", "28P01") as sullen:
            await until(lambda: sullen.asked > 3 or serving.done(), PATIENCE_S)
            assert not serving.done()
        assert (await door.call())[1] == first
        await database.start()
        await asyncio.wait({serving, asyncio.create_task(began.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert committed == [first["call_id"], second["call_id"]]
        assert unreadable == [refused["contact_id"]]
        assert (await door.get("/readyz"))[0] == 200
        assert (await door.call())[1] == first
    over.set()
    await serving


def socket_directory(settings: Settings) -> Path:
    """Where a database of our own listens."""
    assert settings.database_url is not None
    return Path(parse_qs(urlsplit(settings.database_url).query)["host"][0])


class Hesitant(MemoryStore):
    """A store whose database goes away again and again while it is being opened."""

    def __init__(self, faults: Iterator[Exception | None]) -> None:
        super().__init__()
        self._at_hand = faults
        self.opened = 0

    async def open(self) -> None:
        self._fail()
        self.opened += 1

    async def close(self) -> None:
        self.opened -= 1

    async def latest(self) -> datetime | None:
        self._fail()
        return None

    def _fail(self) -> None:
        fault = next(self._at_hand, None)
        if fault is not None:
            raise fault


async def test_a_database_that_goes_again_while_it_is_opened_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors: list[str] = []

    @contextlib.asynccontextmanager
    async def door(*_: object) -> AsyncIterator[None]:
        doors.append("opened")
        yield
        doors.append("closed")

    async def migrate(url: str) -> None:
        """Nothing is lacking."""

    monkeypatch.setattr(starting, "_calls_only", door)
    monkeypatch.setattr(starting, "migrate", migrate)
    monkeypatch.setattr(starting, "AGAIN_S", 0.01)
    settings, said = Settings(database_url="postgresql://", data_dir=tmp_path), list[str]()
    # Of `open`, of `latest` behind an open that went well, and of `open` again.
    store = Hesitant(iter([StoreAway("gone"), None, StoreAway("gone"), NotLetIn("no such password")]))
    async with contextlib.AsyncExitStack() as waiting:
        await starting.ready_database(settings, store, "", said.append, waiting=waiting, regions=[])
        assert doors == ["opened"]
    assert store.opened == 1
    assert said == ["gone: calls are kept on the disk until it serves us", "no such password"]


async def test_a_list_of_programs_that_nobody_renewed_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    await store.put_device(Device(token=b"t", actor="device:app", role="device"))
    await store.put_device(Device(token=b"x", actor="device:old", role="device", active=False))
    # The folder is not there yet: a gateway may be the first to keep anything in it.
    folder = tmp_path / "data"
    programs = Programs(folder, store)
    assert programs.actor_of(b"t") is None
    noting = asyncio.create_task(programs.run())
    await until((folder / FILE).exists, 10)
    noting.cancel()
    for known in (programs, Programs(folder, MemoryStore())):
        found = known.actor_of(b"t")
        assert found is not None and found.role is Role.DEVICE
        assert known.actor_of(b"x") is None
    assert (folder / FILE).stat().st_mode & 0o077 == 0
    monkeypatch.setattr("consoles.programs.BELIEVED_FOR", timedelta(seconds=-1))
    assert programs.actor_of(b"t") is None
