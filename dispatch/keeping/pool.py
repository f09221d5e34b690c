"""A few connections to Postgres under one name, which run the named queries; never the ones that append."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from dispatch.keeping.connection import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, PRIMARY, Meanings, is_read_only
from dispatch.sql import queries
from dispatch.store import StoreAway, fit

ANSWER_TIMEOUT_S = 15.0

_FILES = ("journal", "keeping", "lists", "access", "pruning")


class Pool:
    """At most `connections_max` connections, made when first needed and again after a broken line."""

    def __init__(self, url: str, *, name: str, connections_max: int) -> None:
        self._url = url
        self._name = name
        self._connections_max = connections_max
        self._pool: asyncpg.Pool | None = None
        self._meanings = Meanings(name)
        self._queries = {f"{file}.{name}": text for file in _FILES for name, text in queries(file).items()}

    async def open(self) -> None:
        assert self._pool is None, "a pool is opened once"
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                # No floor: asyncpg would try to restore one, with a traceback each time, while the server is away.
                min_size=0,
                max_size=self._connections_max,
                max_inactive_connection_lifetime=0,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=ANSWER_TIMEOUT_S,
                max_cached_statement_lifetime=0,
                reset=_as_it_was,
                target_session_attrs=PRIMARY,
                # A list's absent filters cost nothing only when the plan knows that they are absent.
                server_settings={
                    "application_name": self._name, "jit": "off", "plan_cache_mode": "force_custom_plan",
                },
            )  # fmt: skip
        except Exception as fault:
            raise self._meanings.of(fault) from fault

    async def close(self) -> None:
        """Give running queries a moment, then hang up."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for a few queries. Raises StoreAway when none can be had, its line breaks, or the server cannot
        do what is asked; what it refuses (`refuses`) passes through.
        """
        if self._pool is None:
            raise StoreAway("the store is not open")
        try:
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                try:
                    yield connection
                except asyncpg.PostgresError as fault:
                    if is_read_only(fault):
                        connection.terminate()  # Another server may be the one that writes now.
                    raise
                except asyncio.CancelledError:
                    connection.terminate()  # Giving it back waits for the server, which may be silent for that long.
                    raise
        except Exception as fault:
            raise self._meanings.of(fault) from fault

    async def run(self, name: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of the query `file.name`."""
        async with self.connection() as connection:
            return list(await connection.fetch(self._queries[name], *map(_fit, values)))


async def _as_it_was(_: Any) -> None:
    """Our queries change nothing of a session, so it needs no reset: that would be a second round trip each."""


def _fit(value: Any) -> Any:
    """What a client typed may hold characters that Postgres has no text for; such a text fits no row."""
    if isinstance(value, list):
        return [_fit(each) for each in value]
    return fit(value) if isinstance(value, str) else value
