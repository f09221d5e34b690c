"""A database in which something happened: calls with words in four scripts, crews sent, notes, a hand-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from dispatch.core.terms import Body
from dispatch.keeping.postgres import PostgresStore
from dispatch.settings import Settings
from tests.servers.api_world import CHORSU, ApiWorld, api_world

NUMBER = "+998901234567"
WORDS = 'Yongʻin! «Қўқон» — дым \\ "tez" \t<b>bold</b>\u2028'
HERE: list[dict[str, Any]] = [{"source": "app", "point": {"type": "Point", "coordinates": CHORSU}, "accuracy_m": 1e-7}]


@asynccontextmanager
async def life(url: str) -> AsyncIterator[ApiWorld]:
    """The service on this database, after something has happened."""
    store = PostgresStore(url)
    await store.open()
    try:
        async with api_world(store) as world:
            await world.unit("TK-A1", Body.MOH, "als", CHORSU)
            await world.unit("TK-A2", Body.MOH, "als", CHORSU)
            for number in range(6):
                caller = {"number": NUMBER, "name": "Лола"}
                said = {
                    "channel": "app",
                    "caller": caller,
                    "text": WORDS,
                    "location": HERE,
                    "incident_type": "cardiac_arrest",
                }
                kept = await world.post("calls", said, key=f"key-{number}")
                assert kept.status == 201, kept.raw
            await world.new_call(channel="voice")
            noted = await world.post("incidents/TK-1/notes", {"text": WORDS}, token="dispatcher")
            assert noted.status < 300, noted.raw
            voice = await world.new_call(channel="voice", location=HERE)
            moved = await world.post(f"calls/{voice['call_id']}/transfer", {"region": "UZ-SA"}, token="dispatcher")
            assert moved.status < 300, moved.raw
            await asyncio.sleep(0.3)
            yield world
    finally:
        await store.close()


def settings(url: str, data_dir: Path) -> Settings:
    return Settings(database_url=url, data_dir=data_dir)


async def every_row(url: str) -> dict[str, list[str]]:
    """Table -> its rows as text, sorted: two databases with the same are the same."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        found = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND NOT relispartition"
        )
        rows = {}
        for (table,) in found:
            rows[table] = sorted(row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} t"))
        return rows
    finally:
        await connection.close()
