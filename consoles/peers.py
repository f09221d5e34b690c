"""The other core processes: their regions followed, what belongs to them sent on, what they leave behind taken over.

One of these in every process that leads. Alone on its database it has nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from consoles.api import Interface
from consoles.carrying import SCHEME, Carrier, by_http
from consoles.front import cancelled
from consoles.watched import followed
from dispatch.calling.along import with_handsets
from dispatch.cells.neighbours import Neighbours
from dispatch.core.terms import RegionId
from dispatch.engine import Engine, Listener
from dispatch.errors import ServiceAway
from dispatch.fanout import Fanout
from dispatch.following.follower import Follower
from dispatch.following.forwarding import VIA_CORE, Forwarder
from dispatch.following.leaders import Leaders
from dispatch.following.polled import PolledFanout
from dispatch.keeping.postgres import PostgresStore
from dispatch.web.alarms import Alarm, Watched
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Route
from dispatch.writing.leading import Leader
from dispatch.writing.records import Process

ASKS_THE_ENGINE = {"/api/v1/incidents/{incident_id}/recommendation", "/api/v1/cells", "/api/v1/vehicles"}
"""Shown by GET, but known only to whoever leads: recommendations are confirmed there by their id, feeds read there."""
KNOWN_BETTER = {"/api/v1/calls/{call_id}"}
"""Whoever takes the calls knows which of them share a number."""
TOLD_TO_ALL = {"/api/v1/aml"}
"""Belongs to a call that only the process which took it can recognise."""
LOADED_LIMIT_S = 30.0


class Peers:
    """`started` before the door opens, `run` beside it, `close` after it."""

    def __init__(self, engine: Engine, leader: Leader, store: PostgresStore, bus: Fanout | None) -> None:
        self._engine = engine
        self._leader = leader
        self._polled = PolledFanout(store) if bus is None else None
        self._follower = Follower(store, bus or self._polled or PolledFanout(store), engine.replicas, None)
        self._leaders = Leaders(self._led_at, lambda: leader.leases.elsewhere)
        leader.before_led.append(self._follower.leave)
        leader.leases.on_elsewhere.append(self._elsewhere)
        leader.on_led.append(lambda region: self._leaders.moved())

    @property
    def ready(self) -> bool:
        """Whether every region that another process leads is shown here as well."""
        return self._follower.ready

    @property
    def watched(self) -> Watched:
        """The condition of those regions."""
        return followed(self._follower)

    def alarms(self) -> tuple[Alarm, ...]:
        """What stands at the processes that lead them."""
        return self._leaders.alarms()

    def told(self, listener: Listener) -> None:
        """Tell a listener of what is committed, here or elsewhere."""
        self._engine.on_commit.append(listener)
        self._follower.on_commit.append(listener)

    async def started(self, regions: Sequence[RegionId]) -> None:
        """Return when each region is loaded, as its leader or as a follower. Raises ServiceAway."""
        try:
            async with asyncio.timeout(LOADED_LIMIT_S):
                while not all(region in self._engine.replicas.states for region in regions):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise ServiceAway("a region that another process leads could not be loaded") from None

    async def run(self) -> None:
        """Know who leads, until cancelled."""
        works = [self._leaders.run(), *([self._polled.run()] if self._polled is not None else [])]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.gather(*tasks)
        finally:
            await cancelled(*tasks)

    async def close(self) -> None:
        await self._follower.close()
        await self._leaders.close()

    def answered(self, api: Interface, neighbours: Neighbours, metrics: Metrics) -> list[Route]:
        """By whom each address is answered: here what we lead, by its leader what another leads."""
        carrier = Carrier(api.intake, neighbours.inbox, self._leader.leases, by_http(self._leaders))
        api.intake.drain.carry, api.intake.ask = with_handsets(api.intake.reception, carrier.carry), carrier.ask
        api.aml.admits = carrier.admits
        neighbours.beside(carrier)
        forwarder = Forwarder(self._leaders, self._engine.replicas, metrics, self._follower.reached, VIA_CORE)
        return [*(self._answered(forwarder, route) for route in (*api.routes, *neighbours.routes())), *carrier.routes()]

    def _answered(self, forwarder: Forwarder, route: Route) -> Route:
        if route.path in TOLD_TO_ALL:
            return forwarder.everywhere(route)
        if route.method != "GET" or route.path in ASKS_THE_ENGINE:
            return forwarder.shared(route, self._engine.leads)
        return forwarder.preferred(route, self._engine.leads) if route.path in KNOWN_BETTER else route

    def _elsewhere(self, region: RegionId) -> None:
        self._follower.begin(region)
        self._looking = asyncio.get_running_loop().create_task(self._leaders.look())

    async def _led_at(self) -> Mapping[str, str]:
        leases = self._leader.leases
        if not leases.fresh:
            raise ServiceAway("the database has not said for a while who leads")
        self._leaders.meet(authorizations(leases.view.processes))
        return {region: seat.address for region, seat in leases.elsewhere.items() if seat.address}


def authorizations(processes: Iterable[Process]) -> dict[str, str]:
    """By address what each process knows the others by."""
    return {process.address: SCHEME + process.secret for process in processes}
