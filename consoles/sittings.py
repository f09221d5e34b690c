"""Who sits at the sockets of one process, by log-in: let in at the handshake, closed when the log-in is over or sees
something else than it did then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from consoles.access import Access
from dispatch.actors import Actor
from dispatch.errors import ServiceAway
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.websocket import SESSION_OVER, Socket
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

CHECK_S = 1.0
CHECKED_MAX = 100
"""Sessions looked at again each CHECK_S; with more than this it takes a few rounds to see them all."""
SCOPE_CHANGED = 4403
"""Our close code: what the log-in may see or do has changed; come again to be admitted anew."""


Admission = TypeVar("Admission")


async def let_in(socket: Socket, admission: Awaitable[Admission]) -> Admission | None:
    """What the handshake's admission gives, the socket open by then; None when it was turned away or has gone."""
    try:
        found = await admission
    except Problem as problem:
        socket.reject(problem)
        return None
    except ServiceAway:
        socket.reject(Problem("service_away"))
        return None
    return found if socket.accept() else None


class Sittings:
    """`run` goes beside the service."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        self.sockets: dict[str, dict[Socket, Actor]] = {}
        self._access = access
        self._metrics = metrics
        self._checked = 0
        self._sayings = Sayings()
        access.on_over.append(self._over)

    def enter(self, socket: Socket, actor: Actor) -> None:
        self.sockets.setdefault(actor.session, {})[socket] = actor

    def leave(self, socket: Socket, actor: Actor) -> None:
        of_session = self.sockets[actor.session]
        del of_session[socket]
        if not of_session:
            del self.sockets[actor.session]

    async def run(self) -> None:
        """Look at the sessions again and again until cancelled; `Access` tells of those that are over."""
        while True:
            await asyncio.sleep(CHECK_S)
            names = list(self.sockets)
            first, self._checked = self._checked, self._checked + CHECKED_MAX
            for place in range(min(CHECKED_MAX, len(names))):
                await self._check(names[(first + place) % len(names)])

    async def _check(self, session: str) -> None:
        """Look at one session. One that cannot be read keeps its sockets, and no other from being looked at."""
        socket = next(iter(self.sockets.get(session, ())), None)
        if socket is None:
            return
        try:
            now = await self._access.actor_of_handshake(socket)
        except (Problem, ServiceAway):
            return  # What is over was told to `_over`; of the others nobody knows better.
        except Exception as fault:  # Such as a role that only another version of us knows.
            if self._sayings.worth(fault):
                log.exception("a log-in cannot be looked at", extra={"action": "look"})
            self._metrics.faults.labels("sittings").inc()
            return
        if now is not None:
            self._compare(session, now)

    def _compare(self, session: str, now: Actor) -> None:
        """Close what was opened for somebody who saw or did something else: boards are drawn by that."""
        for socket, actor in list(self.sockets.get(session, {}).items()):
            if socket.open and _scope(actor) != _scope(now):
                socket.close(SCOPE_CHANGED, "what you may see has changed")

    def _over(self, session: str) -> None:
        for socket in list(self.sockets.get(session, ())):
            socket.close(SESSION_OVER, "log in again")


def _scope(actor: Actor) -> tuple[object, ...]:
    """What a socket was admitted and is served by."""
    return actor.role, actor.regions, actor.body, actor.unit_id
