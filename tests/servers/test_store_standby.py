"""A URL that names two servers, of which the second is a standby: nothing is believed of it, nothing kept to it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from dispatch.keeping.migrate import migrate
from dispatch.keeping.postgres import PostgresStore
from dispatch.servers import postgres as embedded
from dispatch.servers.child import Server
from dispatch.servers.postgres import Place, Postgres
from dispatch.store import StoreAway
from tests.servers.store_cases import Scribe, leader
from tests.servers.whole_service import child

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0


async def standby_of(data_dir: Path, stack: AsyncExitStack) -> str:
    """A hot standby on a copy of a stopped cluster's files, which follows nobody; its URL."""
    copy = data_dir.with_name("standby")
    shutil.copytree(data_dir, copy, symlinks=True)
    (place,) = copy.glob("postgres*")
    (place / "data" / "standby.signal").touch()

    async def is_up(self: Place, pid: int) -> bool:
        lines = self._pid_file_lines() or []
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")

    async def nothing(*_: object) -> None:
        """Its databases are those of the other."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "is_ready", is_up)
        patch.setattr(embedded, "_make_database", nothing)
        server = Postgres(copy)
        stack.push_async_callback(server.stop)
        return await server.start()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[str, Server, Scribe]]:
    """The URL of a primary and its standby, the primary, to be stopped, and who wrote the one event that both know."""
    data_dir = tmp_path / "primary"
    data_dir.mkdir()
    before, primary = Postgres(data_dir), Postgres(data_dir)
    url = await before.start()
    await migrate(url)
    store = PostgresStore(url)
    await store.open()
    scribe = await leader(store)
    await store.append(scribe.batch())
    await store.close()
    await before.stop()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(primary.stop)
        standby_url = await standby_of(data_dir, stack)
        hosts = [parse_qs(urlsplit(each).query)["host"][0] for each in (await primary.start(), standby_url)]
        line = await asyncpg.connect(standby_url)
        assert await line.fetchval("SELECT pg_is_in_recovery()")
        await line.close()
        yield f"{url.partition('?')[0]}?host={','.join(hosts)}&port=5432,5432", child(primary), scribe


async def test_a_standby_is_neither_believed_nor_kept_to(pair: tuple[str, Server, Scribe]) -> None:
    url, primary, scribe = pair
    store = PostgresStore(url)
    await store.open()
    assert (await store.append(scribe.batch())).refused == {}
    await primary.stop()
    for _ in range(3):
        for asked in (store.head("UZ-TK"), store.heads(), store.load("UZ-TK"), store.renew(["UZ-TK"], "core-1", 60)):
            with pytest.raises(StoreAway):
                await asked
    await primary.start()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(StoreAway):
                assert await store.head("UZ-TK") == (2, scribe.hash)
                assert await store.renew(["UZ-TK"], "core-1", 60) == {"UZ-TK"}
                break
            await asyncio.sleep(0.1)
    assert (await store.append(scribe.batch())).refused == {}
    await store.close()
