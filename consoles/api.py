"""All addresses of the HTTP interface for calls, incidents, units and oversight, put together once a
process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from consoles import aiding, calling, crews, transit
from consoles.advice import Advice
from consoles.closing import Closing
from consoles.desk import Desk
from consoles.drawing import Streets
from consoles.figures import Figures
from consoles.following import Following
from consoles.hazards import Hazards
from consoles.looking import Looking
from consoles.operations import Operations
from consoles.oversight import Oversight
from consoles.reading import Reading
from dispatch.calling.aml import AmlDoor, Trust
from dispatch.calling.contacts import Contacts
from dispatch.calling.locating import Locator
from dispatch.calling.reception import Reception
from dispatch.clock import Clock
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.ids import IdSource
from dispatch.intake import Intake
from dispatch.keeping.spool import Spool
from dispatch.store import Store
from dispatch.web.application import Authenticate
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route
from dispatch.writing.upkeep import kept_up
from routing.vehicles import Vehicles


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the interface stands on; all of it lives as long as the process."""

    engine: Engine
    store: Store
    locator: Locator
    clock: Clock
    metrics: Metrics
    audit: Audit
    authenticate: Authenticate
    ids: IdSource
    trust: Trust = Trust()
    streets: Streets | None = None
    """The road network, for what is drawn on it; without one a drawing is kept as it is."""
    vehicles: Vehicles | None = None
    """Buses and trams of a feed, where the service follows one."""
    reaches: Callable[[RegionId], bool] = lambda region: True
    """Whether anybody could ever take what is handed over to a region, or hear what is asked of it."""
    spool: Spool | None = None
    """Where calls wait while the database is away; without one they are refused then."""


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses, and the parts that others look into: `intake.matcher` is to be indexed at start."""

    intake: Intake
    aml: AmlDoor
    contacts: Contacts
    advice: Advice
    following: Following
    routes: tuple[Route, ...]
    metrics: Metrics

    async def run(self) -> None:
        """What the addresses need done beside them, until cancelled. A fault of one begins that one again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(kept_up("drain", self.intake.drain.run, self.metrics))
            group.create_task(kept_up("aml", self.aml.run, self.metrics))


def interface(parts: Parts) -> Interface:
    """Put the addresses together. Call once a process: metrics are registered here."""
    reception = Reception(parts.engine, parts.locator, parts.ids, parts.clock)
    reception.reaches = parts.reaches
    contacts = Contacts(parts.store, parts.ids, parts.clock, parts.metrics)
    intake = Intake(reception, contacts, parts.metrics, parts.spool)
    desk = Desk(
        engine=parts.engine,
        store=parts.store,
        locator=parts.locator,
        ids=parts.ids,
        clock=parts.clock,
        audit=parts.audit,
        reaches=parts.reaches,
    )
    advice, following = Advice(desk), Following(desk)
    aml = AmlDoor(intake, parts.trust, parts.authenticate, parts.metrics, shelf=parts.store)
    groups = (
        intake.routes(),
        aml.routes(),
        Reading(desk, intake.matcher).routes(),
        following.routes(),
        calling.routes(desk),
        advice.routes(),
        Operations(desk, advice).routes(),
        aiding.routes(desk),
        Hazards(desk).routes(),
        crews.routes(desk),
        Closing(desk, parts.streets).routes(),
        transit.routes(desk, parts.vehicles),
        Oversight(desk).routes(),
        Looking(desk).routes(),
        Figures(desk).routes(),
    )
    routes = tuple(route for group in groups for route in group)
    return Interface(
        intake=intake,
        aml=aml,
        contacts=contacts,
        advice=advice,
        following=following,
        routes=routes,
        metrics=parts.metrics,
    )
