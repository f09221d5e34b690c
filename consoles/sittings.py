"""Who sits at the sockets of one process, by log-in: let in at the handshake, closed when the log-in is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from consoles.access import Access
from dispatch.actors import Actor
from dispatch.errors import ServiceAway
from dispatch.web.problems import Problem
from dispatch.web.websocket import SESSION_OVER, Socket

CHECK_S = 1.0
CHECKED_MAX = 100
"""Sessions looked at again each CHECK_S; with more than this it takes a few rounds to see them all."""


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

    def __init__(self, access: Access) -> None:
        self.sockets: dict[str, dict[Socket, Actor]] = {}
        self._access = access
        self._checked = 0
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
            for place in range(min(CHECKED_MAX, len(names))):
                name = names[(self._checked + place) % len(names)]
                actor = next(iter(self.sockets.get(name, {}).values()), None)
                if actor is not None:
                    await self._access.live(actor)
            self._checked += CHECKED_MAX

    def _over(self, session: str) -> None:
        for socket in list(self.sockets.get(session, ())):
            socket.close(SESSION_OVER, "log in again")
