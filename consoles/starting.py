"""What a process does before it can work: says each step, readies its roads, waits for its database.

A database that was given by URL may be away when a process starts. The door is open all the same: calls are kept on
the disk and their senders told so, `/readyz` says why nothing else is done, and the start goes on when it answers.
Who may bring a call then was written down while the database last answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from time import perf_counter

from aiohttp import web

from consoles.access import bearer, digest
from consoles.front import cancelled
from consoles.programs import Programs
from dispatch.actors import Actor
from dispatch.calling.contacts import Contacts
from dispatch.calling.reception import Reception
from dispatch.clock import SystemClock
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.door import open_door
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.ids import IdSource
from dispatch.intake import Intake
from dispatch.keeping.migrate import NotLetIn, migrate
from dispatch.keeping.spool import Spool
from dispatch.searching import locator
from dispatch.settings import Settings
from dispatch.store import Store
from dispatch.web.application import application
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import Routes
from dispatch.web.websocket import Socket
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from routing.roads import Roads
from routing.travel import warm

log = logging.getLogger(__name__)

Say = Callable[[str], None]

AGAIN_S = 1.0


class Steps:
    """Says each step with its seconds."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since = perf_counter()

    def done(self, name: str) -> None:
        now = perf_counter()
        self._say(f"{name:<14}{now - self._since:6.1f} s")
        self._since = now


def ready_roads(load: Callable[[], Roads]) -> Roads:
    """The roads, and the loops on them compiled or read from their cache: the first incident must not wait for that."""
    found = load()
    warm()
    return found


async def ready_database(
    settings: Settings, store: Store, url: str, say: Say, *, waiting: AsyncExitStack, regions: Sequence[RegionId]
) -> datetime | None:
    """Open the store when its database answers and has our schema: the time of the newest event in it, if any.

    Meanwhile calls are taken, until `waiting` is closed. Our own database is not waited for, nor is one that does not
    let us in at once: that is a mistake to put right. Once calls are taken, nothing that may pass ends the start.
    Raises ServiceAway, UserMistake.
    """
    try:
        return await _opened(store, url)
    except ServiceAway as away:
        if not settings.database_url:
            raise
        last = str(away)
        say(f"{last}: calls are kept on the disk until it serves us")
    await waiting.enter_async_context(_calls_only(settings, store, regions))
    while True:
        await asyncio.sleep(AGAIN_S)
        try:
            return await _opened(store, url)
        except (ServiceAway, NotLetIn) as away:
            if str(away) != last:
                last = str(away)
                say(last)


async def _opened(store: Store, url: str) -> datetime | None:
    await migrate(url)
    await store.open()
    try:
        return await store.latest()
    except BaseException:
        await store.close()
        raise


@asynccontextmanager
async def _calls_only(settings: Settings, store: Store, regions: Sequence[RegionId]) -> AsyncIterator[None]:
    """The door, open for calls and for whoever asks how we are. Nothing is led here, so every call is spooled."""
    clock, metrics, positions = SystemClock(), Metrics(), Positions()
    engine = Engine(store, clock, Reacher(positions, None), positions)
    for region in regions:
        engine.replicas.adopt(RegionState(region))
    ids, spool = IdSource(clock), Spool(settings.data_dir / "spool")
    spool.load()
    contacts = Contacts(store, ids, clock, metrics)
    reception = Reception(engine, await asyncio.to_thread(locator, settings), ids, clock)
    intake = Intake(reception, contacts, metrics, spool)
    receive = next(route for route in intake.routes() if route.handler == intake.receive)
    health = Health(metrics, store.ping, lambda: False)
    programs = Programs(settings.data_dir, store)

    async def authenticate(request: web.Request) -> Actor | None:
        secret = bearer(request.headers.get("Authorization"))
        if secret is None:
            return None
        actor = programs.actor_of(digest(secret))
        if actor is None:
            raise Problem("service_away", "Who you are cannot be looked up: the database does not answer.")
        return actor

    app = application(Routes(receive, *health.routes()), authenticate, metrics)
    door = await open_door(app, _nobody, (settings.host, settings.port), metrics)
    looking = asyncio.create_task(health.run())
    try:
        yield
    finally:
        await door.close()
        await intake.finished()
        await cancelled(looking)
        await contacts.drain()


async def _nobody(socket: Socket) -> None:
    """No board can be shown yet."""
    socket.reject(Problem("not_ready", "The database does not answer."))
