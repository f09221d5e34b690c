"""Whether this process lives, may be given work, and what it has measured: for orchestrators and people.

The database is asked once a second, not once a request: a crowd of health checks must not load it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from dispatch.errors import ServiceAway
from dispatch.web.alarms import Alarm, Alarms, Watched, servers
from dispatch.web.application import answer
from dispatch.web.metrics import MEDIA_TYPE, Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import Route
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

ASK_S = 1.0
PATIENCE_S = 2.0
"""A database that takes longer than this to answer counts as away."""


MEANING = {
    "postgres": "The database does not answer: calls wait on the disk, commands are refused.",
    "mqtt": "The broker does not answer: orders wait, units are not heard. Use the radio.",
    "redis": "Redis does not answer: other processes follow the database, and show no positions.",
    "core": "No process that decides answers: commands are refused, boards stand still.",
}
"""What it means for the work when a server is away."""


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers; `servers` says which of those it needs are there, `alarms` what stands."""

    status: str
    servers: dict[str, str]
    alarms: tuple[Alarm, ...] = ()


class Health:
    """`ping` raises ServiceAway while the database is away; `ready` says whether the work is loaded.

    `servers`: name -> a word for the heartbeat (`ok`, `away`, `none`, `degraded`, `unknown`); must not wait. Each
    that is away is an alarm of `alarms`.
    """

    def __init__(
        self,
        metrics: Metrics,
        ping: Callable[[], Awaitable[None]],
        ready: Callable[[], bool],
        servers: Mapping[str, Callable[[], str]] | None = None,
        *,
        alarms: Alarms | None = None,
    ) -> None:
        self._metrics = metrics
        self._ping = ping
        self._ready = ready
        self._servers = dict(servers or {})
        self._reachable = False
        self._sayings = Sayings()
        self._alarms = alarms
        if alarms is not None:
            alarms.watch(*_watched(self))

    def words(self) -> dict[str, str]:
        """What each server is like, as the heartbeat of the boards says it."""
        asked = {name: word() for name, word in self._servers.items()}
        return {"postgres": "ok" if self._reachable else "away"} | asked

    async def run(self) -> None:
        """Ask the database again and again until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(ASK_S)

    async def ask(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._ping()
        except (ServiceAway, TimeoutError):
            self._reachable = False
        except Exception as fault:
            # It answers, and lets us do nothing: a password that was changed, a table that is gone.
            self._reachable = False
            if self._sayings.worth(fault):
                log.exception("the database refuses us", extra={"action": "health"})
        else:
            self._reachable = True

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET", path="/healthz", handler=self.alive, tag="health",
                summary="The process answers", responses={200: Alive},
            ),
            Route(
                method="GET", path="/readyz", handler=self.ready, tag="health",
                summary="The process may be given work", responses={200: Alive}, errors=("not_ready",),
            ),
            Route(
                method="GET", path="/metrics", handler=self.measured, tag="health",
                summary="What was counted and timed, for Prometheus", responses={200: None},
                media="text/plain",
            ),
        )  # fmt: skip

    async def alive(self, request: web.Request) -> web.Response:
        """GET /healthz."""
        return answer(Alive(status="alive", servers=self.words(), alarms=self._standing()))

    async def ready(self, request: web.Request) -> web.Response:
        """GET /readyz."""
        if not self._reachable:
            raise Problem("not_ready", "The database does not answer.", retry_after_s=1)
        if not self._ready():
            raise Problem("not_ready", "Not every region is loaded.", retry_after_s=1)
        return answer(Alive(status="ready", servers=self.words(), alarms=self._standing()))

    def _standing(self) -> tuple[Alarm, ...]:
        return self._alarms.for_anybody() if self._alarms is not None else ()

    async def measured(self, request: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": MEDIA_TYPE})


def _watched(health: Health) -> tuple[Watched, ...]:
    """Those of the servers that this process needs."""
    return servers(health.words, {name: MEANING[name] for name in health.words() if name in MEANING})
