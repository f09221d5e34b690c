"""The one connection that appends, and what a broken line means on it. It knows queries, not batches.

Consoles never share it: however many lists are being read, an append waits for appends only.
"""

import asyncio
import logging
import secrets
from typing import Any

import asyncpg

from dispatch.sql import queries
from dispatch.store import CommitUnknown, StoreAway

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0
"""A server that is silent for so long is as good as away; the commit's result is then unknown."""

_BROKEN = ("08", "57")  # connection faults; the server shuts down, was killed, cancelled us or is starting
_UNABLE = ("53", "58")  # no room, no memory, too many connections; a system error under Postgres
_READ_ONLY = "25006"  # a standby: the leader's server has changed


class Writer:
    """Runs one query at a time on its own connection; connects again when the line broke.

    All connections of one writer carry one name that nobody else has. After a broken line the first thing a
    new connection does is to end its predecessor by that name, so that what is read then stays true.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = f"dispatch112 writer {secrets.token_hex(8)}"
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._queries = queries("journal")

    async def run(self, name: str, *values: Any, unknown: bool = False) -> list[asyncpg.Record]:
        """The rows of a named query of journal.sql.

        Raises StoreAway when it was surely not carried out, and CommitUnknown instead where `unknown` says
        that a broken line leaves a commit in doubt. What Postgres says no to passes through, and so does the
        ValueError of a value that could not even be sent: in both cases nothing was kept.
        """
        async with self._turn:
            connection = await self._connected()
            try:
                rows = await connection.fetch(self._queries[name], *values, timeout=ANSWER_TIMEOUT_S)
                return list(rows)
            except asyncio.CancelledError:
                self._abandon()
                raise
            except Exception as fault:
                if broken(fault) or not isinstance(fault, asyncpg.PostgresError | ValueError):
                    self._abandon()
                    raise (CommitUnknown if unknown else StoreAway)(said(fault)) from fault
                raise away_or_same(fault) from fault

    async def close(self) -> None:
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> asyncpg.Connection:
        connection: asyncpg.Connection | None = None
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                max_cached_statement_lifetime=0,
                # The shapes of our arrays never change, so one plan serves for ever.
                server_settings={
                    "application_name": self._name, "jit": "off", "plan_cache_mode": "force_generic_plan",
                },
            )  # fmt: skip
            if not await connection.fetchval(self._queries["bury"], self._name, timeout=ANSWER_TIMEOUT_S):
                raise StoreAway("a writer whose line broke has not ended yet")
            await connection.execute(self._queries["be_durable"])
            return connection
        except BaseException as fault:
            if connection is not None:
                connection.terminate()
            if isinstance(fault, Exception):
                raise away_or_same(fault) from fault
            raise

    def _abandon(self) -> None:
        """Drop the connection without a word; the next one buries it."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def broken(fault: BaseException) -> bool:
    """Whether the line is lost, so that nobody can say what the server did with the last query."""
    if isinstance(fault, asyncpg.InternalClientError):
        return True  # The client lost track of what it was doing when the server died under it.
    if isinstance(fault, asyncpg.InterfaceError):
        return "clos" in str(fault) and not isinstance(fault, ValueError)  # "is closed", "is closing"
    if isinstance(fault, OSError | TimeoutError | asyncpg.PostgresConnectionError):
        return True
    return state(fault)[:2] in _BROKEN


def away_or_same(fault: Exception) -> Exception:
    """StoreAway where the server cannot do its work now; anything else is a fault of its own."""
    if broken(fault) or state(fault)[:2] in _UNABLE or state(fault) == _READ_ONLY:
        return StoreAway(said(fault))
    return fault


def state(fault: BaseException) -> str:
    """Postgres's five-letter code; empty for what is not Postgres's."""
    return getattr(fault, "sqlstate", None) or ""


def said(fault: BaseException) -> str:
    """One line for people. Never the values: they may be a caller's words."""
    return f"Postgres does not answer: {str(fault).splitlines()[0] if str(fault) else type(fault).__name__}"
