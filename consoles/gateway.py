"""Boards over WebSockets, one console at a time: who may watch, hello, the first snapshots, good-bye.

What everybody gets afterwards is broadcast.py. What a console says is ignored; it acts by HTTP.
"""

from __future__ import annotations

from time import monotonic

from consoles.access import Access
from consoles.broadcast import Broadcast, Console
from consoles.desk import no_region
from consoles.feed import Known, said
from consoles.sittings import Sittings, let_in
from dispatch.actors import Actor, require, visible
from dispatch.core.terms import RegionId
from dispatch.web.problems import Problem
from dispatch.web.websocket import Closed, Socket

PATH = "/ws/v1/board"
SAYINGS_PER_S = 20
POLICY_VIOLATION = 1008


class Gateway:
    """All boards of one process. `handle` is the door's handler of PATH; `sittings` runs beside the service."""

    def __init__(self, broadcast: Broadcast, access: Access) -> None:
        self._broadcast = broadcast
        self._access = access
        self.sittings = Sittings(access, broadcast.metrics)

    async def handle(self, socket: Socket) -> None:
        """Answer a handshake, and stay with the console until it leaves."""
        admission = await let_in(socket, self._admitted(socket))
        if admission is None:
            return
        actor, regions = admission
        console = self._broadcast.join(socket, actor, regions)
        self.sittings.enter(socket, actor)
        try:
            socket.on_drained = lambda: self._broadcast.drained(console)
            missed = self._broadcast.missed(console, after(socket.query.get("after", "")))
            socket.send(self._hello(console, self._broadcast.owed(console, missed)))
            self._broadcast.begin(console, missed)
            await _listen(socket)
        except Closed:
            pass
        finally:
            self._leave(console)

    async def _admitted(self, socket: Socket) -> tuple[Actor, tuple[RegionId, ...]]:
        if socket.path != PATH:
            raise Problem("not_found")
        actor = await self._access.actor_of_handshake(socket)
        if actor is None:
            raise Problem("unauthenticated")
        require(actor, "board.watch")
        known = self._broadcast.replicas.states
        if not known:
            raise Problem("not_ready")
        asked = {RegionId(name) for name in socket.query.get("regions", "").split(",") if name}
        if not asked <= known.keys():
            raise Problem("unknown_region", no_region(min(asked - known.keys()), known))
        # In one order for all, so that who watches the same regions is one audience.
        regions = visible(actor, (region for region in known if region in asked or not asked))
        if not regions:
            raise Problem("out_of_scope", "None of these regions is in your scope.")
        return actor, regions

    def _hello(self, console: Console, owed: dict[RegionId, int]) -> bytes:
        actor, scene = console.actor, self._broadcast.scene
        return said(
            {
                "type": "hello",
                "at": self._broadcast.clock.now(),
                "regions": console.audience.regions,
                "owed": owed,
                "view": console.audience.view,
                "actor": {"username": actor.username, "role": actor.role, "body": actor.body},
                "mode": scene.mode,
                "speed": scene.speed,
                "alarms": scene.alarms(),
            }
        )

    def _leave(self, console: Console) -> None:
        console.socket.on_drained = None
        self._broadcast.leave(console)
        self.sittings.leave(console.socket, console.actor)


async def _listen(socket: Socket) -> None:
    """Until the console leaves. Nothing that it says is needed; one that says too much has to go."""
    began_s, sayings = monotonic(), 0
    while True:
        await socket.receive()
        sayings += 1
        if monotonic() - began_s > 1.0:
            began_s, sayings = monotonic(), 1
        if sayings > SAYINGS_PER_S:
            socket.close(POLICY_VIOLATION, "too many messages")
            return


def after(text: str) -> dict[RegionId, Known]:
    """`UZ-TK:81:0c9e…,UZ-TO:40` as region -> what is known; whatever is not of that form gets a snapshot."""
    known: dict[RegionId, Known] = {}
    for part in text.split(","):
        region, _, place = part.partition(":")
        number, _, mark = place.partition(":")
        if number.isascii() and number.isdigit() and len(number) < 16:
            known[RegionId(region)] = (int(number), mark)
    return known
