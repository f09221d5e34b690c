"""The one connection that appends, and what a fault of the database means. It knows queries, not batches.

Consoles never share it: however many lists are being read, an append waits for appends only.
"""

import asyncio
import logging
import secrets
from typing import Any

import asyncpg

from dispatch.sql import queries
from dispatch.store import CommitUnknown, StoreAway, refuses
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0
"""A server that is silent for so long is as good as away; the commit's result is then unknown."""

_BROKEN = ("08", "57")  # connection faults; the server shuts down, was killed, cancelled us or is starting
_UNABLE = ("53", "58")  # no room, no memory, too many connections; a system error under Postgres
_SET_BACK = "40"  # serialization failure, deadlock: the same again may succeed
_OURS = "KR"  # what schema.sql itself says of a batch
_READ_ONLY = "25006"  # a standby, or a server that somebody set to read only
_ENDED = ("FATAL", "PANIC")  # the session is over, whatever the reason

PRIMARY = "primary"
"""A URL may name several servers, and only one of them can write. What a standby says may be old: how far the
journal went, whose key was answered. So no connection of ours is kept that leads to one."""


class SetBack(StoreAway):
    """Postgres rolled it back for a reason of its own, such as a deadlock: the same again may succeed at once."""


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
        self._meanings = Meanings("dispatch112 writer")

    async def run(self, name: str, *values: Any, unknown: bool = False) -> list[asyncpg.Record]:
        """The rows of a named query of journal.sql.

        Raises StoreAway when it was surely not carried out, and CommitUnknown instead where `unknown` says
        that a broken line leaves a commit in doubt. What Postgres refuses (`refuses`) passes through, and so does
        what schema.sql says of a batch: in both cases nothing was kept.
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
                    self._meanings.note(fault)
                    raise (CommitUnknown if unknown else StoreAway)(said(fault)) from fault
                if is_read_only(fault):
                    self._abandon()  # Another server may be the one that writes now.
                raise self._meanings.of(fault) from fault

    async def close(self) -> None:
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                await hang_up(connection)

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
                target_session_attrs=PRIMARY,
                # The shapes of our arrays never change, so one plan serves for ever.
                server_settings={
                    "application_name": self._name, "jit": "off", "plan_cache_mode": "force_generic_plan",
                },
            )  # fmt: skip
            if not await connection.fetchval(self._queries["bury"], self._name, timeout=ANSWER_TIMEOUT_S):
                raise StoreAway("a writer whose line broke has not ended yet")
            await connection.execute(self._queries["be_durable"], timeout=ANSWER_TIMEOUT_S)
            return connection
        except BaseException as fault:
            if connection is not None:
                connection.terminate()
            if isinstance(fault, Exception):
                raise self._meanings.of(fault) from fault
            raise

    def _abandon(self) -> None:
        """Drop the connection without a word; the next one buries it."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class Meanings:
    """What the faults mean that one user of the database meets; those that a person must mend are in the log.

    A password that was changed and a table that is locked are no more the caller's doing than a line that broke, and
    are told alike. But they do not pass by themselves, so each kind is said once a minute.
    """

    def __init__(self, user: str) -> None:
        self._user = user
        self._sayings: dict[str, Sayings] = {}

    def of(self, fault: Exception) -> Exception:
        """The same as `away_or_same`, noted."""
        meant = away_or_same(fault)
        if meant is not fault:
            self.note(fault)
        return meant

    def note(self, fault: Exception) -> None:
        """Say it, unless it passes by itself or was said a moment ago."""
        kind = state(fault) or type(fault).__name__
        if _passes(fault) or not self._sayings.setdefault(kind, Sayings()).worth(StoreAway(kind)):
            return
        ours = None if isinstance(fault, asyncpg.PostgresError) else fault
        log.error("%s: %s", self._user, said(fault), exc_info=ours, extra={"action": "database", "sqlstate": kind})


async def hang_up(connection: asyncpg.Connection) -> None:
    """Take leave of the server, or just go where it does not say goodbye."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def broken(fault: BaseException) -> bool:
    """Whether the line is lost, so that nobody can say what the server did with the last query."""
    if isinstance(fault, asyncpg.InternalClientError):
        return True  # The client lost track of what it was doing when the server died under it.
    if isinstance(fault, asyncpg.InterfaceError | RuntimeError):
        return "clos" in str(fault) and not isinstance(fault, ValueError)  # "is closed", "is closing"
    if isinstance(fault, OSError | TimeoutError | asyncpg.PostgresConnectionError):
        return True
    return state(fault)[:2] in _BROKEN or getattr(fault, "severity_en", None) in _ENDED


def away_or_same(fault: Exception) -> Exception:
    """StoreAway where the server cannot do its work now, SetBack where it may at once.

    The same comes back where what it was given is to blame, and what is no fault of the database at all.
    """
    if broken(fault):
        return StoreAway(said(fault))
    is_its_word = isinstance(fault, asyncpg.PostgresError | asyncpg.InterfaceError)
    if not is_its_word or refuses(fault) or state(fault).startswith(_OURS):
        return fault
    return (SetBack if state(fault).startswith(_SET_BACK) else StoreAway)(said(fault))


def is_read_only(fault: BaseException) -> bool:
    """Whether the server of this connection may not write, so that another one must be looked for."""
    return state(fault) == _READ_ONLY


def state(fault: BaseException) -> str:
    """Postgres's five-letter code; empty for what is not Postgres's."""
    return getattr(fault, "sqlstate", None) or ""


def said(fault: BaseException) -> str:
    """One line for people. Never the values: they may be a caller's words."""
    why = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    if _passes(fault):
        return f"Postgres does not answer: {why}"
    return f"Postgres cannot serve us: {why}" + (f" ({state(fault)})" if state(fault) else "")


def _passes(fault: BaseException) -> bool:
    """Whether it is over when the server is well again, so that nobody need act on these words."""
    if not state(fault):
        return broken(fault)
    return state(fault)[:2] in (*_BROKEN, *_UNABLE, _SET_BACK)
