"""What a process shows on its one port: boards, addresses, the console's files, its health.

The same for a process that writes and for one that only follows: both hand over committed replicas, and the
addresses that they answer. Nothing here knows which of the two it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from consoles.about import AboutPage
from consoles.access import Access
from consoles.broadcast import Broadcast, Scene
from consoles.field_page import PATH as FIELD_PATH
from consoles.field_page import FieldPages
from consoles.gateway import Gateway
from consoles.onward import Onward, asking
from consoles.openapi import documents
from consoles.pages import Pages
from consoles.sessions import Sessions
from dispatch.clock import Clock
from dispatch.core.terms import RegionId
from dispatch.door import open_door
from dispatch.engine import Listener
from dispatch.errors import UserMistake
from dispatch.store import Store
from dispatch.web.alarms import TECHNICIAN, Alarm, Alarms, Watched, merged
from dispatch.web.application import application
from dispatch.web.audit import Audit
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route, Routes
from dispatch.web.websocket import Socket
from dispatch.writing.positions import Positions
from dispatch.writing.replica import Replicas
from dispatch.writing.upkeep import beside
from routing.basemap import Basemap, outlines_geojson
from routing.roads import Roads

Logins = Mapping[str, dict[str, Any]]


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown, and where."""

    listen: tuple[str, int]
    """Host and port; port 0 lets the system choose."""
    store: Store
    clock: Clock
    metrics: Metrics
    access: Access
    audit: Audit
    replicas: Replicas
    positions: Positions
    follow: Callable[[Listener], None]
    """How the boards ask to be told of commits."""
    regions: Sequence[RegionId]
    routes: Sequence[Route]
    roads: Roads | None = None
    mode: str = "LIVE"
    speed: float = 1.0
    logins: Logins = {}
    """Offered on the log-in page, unless the mode is LIVE."""
    ready: Callable[[], bool]
    words: Mapping[str, Callable[[], str]]
    """Server -> a word for the heartbeat; see health.py."""
    watched: Sequence[Watched] = ()
    """What else is an alarm, beside a server that is away."""
    elsewhere: Callable[[], tuple[Alarm, ...]] = tuple
    """Alarms of other processes whose work is shown here; must not wait."""


@asynccontextmanager
async def opened(front: Front) -> AsyncIterator[int]:
    """Let HTTP and consoles in; the port is the one that they are let in at."""
    alarms = Alarms(front.metrics, front.clock.now)
    health = Health(front.metrics, front.store.ping, front.ready, front.words, alarms=alarms)
    alarms.watch(*front.watched)
    broadcast = _broadcast(front, health, alarms)
    gateway = Gateway(broadcast, front.access)
    pages = Pages(outlines_geojson, Basemap(front.roads) if front.roads is not None else None)
    app = application(_routes(front, health, pages, alarms), front.access.actor_of, front.metrics, pages.files())
    await health.ask()
    async with asking() as session:
        onward = Onward(session)
        crews = _field_pages(front, onward)

        async def handle(socket: Socket) -> None:
            await (crews if socket.path == FIELD_PATH else gateway).handle(socket)

        try:
            door = await open_door(app, handle, front.listen, front.metrics)
        except OSError as fault:
            host, port = front.listen
            raise UserMistake(f"cannot listen at {host}, port {port}: {fault.strerror}") from None
        onward.at = _ourselves(front.listen[0], door.port)
        parts = {
            "health": health.run,
            "alarms": alarms.run,
            "audit": front.audit.run,
            "boards": broadcast.run,
            "board_sittings": gateway.sittings.run,
            "crews": crews.run,
            "crew_sittings": crews.sittings.run,
        }
        loops = beside(parts, front.metrics)
        try:
            yield door.port
        finally:
            await door.close()
            await cancelled(*loops)
            await front.audit.close()


def _ourselves(host: str, port: int) -> str:
    """Where a door that listens at this address answers ourselves."""
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _field_pages(front: Front, onward: Onward) -> FieldPages:
    made = FieldPages(front.replicas, front.access, onward, clock=front.clock, metrics=front.metrics)
    front.follow(made.committed)
    return made


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """End tasks, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _broadcast(front: Front, health: Health, alarms: Alarms) -> Broadcast:
    made = Broadcast(
        front.replicas,
        front.positions,
        clock=front.clock,
        metrics=front.metrics,
        scene=Scene(
            mode=front.mode,
            speed=front.speed,
            health=health.words,
            alarms=lambda: merged(alarms.standing(), front.elsewhere()),
        ),
    )
    front.follow(made.committed)
    alarms.watch(Watched(code="board_faulty", owner=TECHNICIAN, said=made.faulty, grave=True))
    return made


def _routes(front: Front, health: Health, pages: Pages, alarms: Alarms) -> Routes:
    def standing() -> tuple[Alarm, ...]:
        # On /healthz stand our own alone: processes that read it of each other would never end one.
        return merged(alarms.for_anybody(), front.elsewhere())

    about = AboutPage(tuple(front.regions), front.mode, front.speed, standing)
    if front.mode != "LIVE":
        about.offer(dict(front.logins))
    sessions = Sessions(front.access, front.audit)
    routes = Routes(*health.routes(), *about.routes(), *sessions.routes(), *front.routes)
    routes.add(*pages.routes())
    routes.add(*documents(routes))
    return routes
