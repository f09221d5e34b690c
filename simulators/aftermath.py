"""The end of a simulated country: in the calm everything comes to its end by itself, and everybody agrees by then."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from dispatch.core import snapshot
from dispatch.core.state import RegionState
from dispatch.core.terms import IncidentId, Reach, RegionId
from dispatch.writing.recovery import recovered
from simulators.verdicts import orders_are_answered
from simulators.writer import Broken

if TYPE_CHECKING:
    from simulators.shell import ShellWorld

LOOK_EVERY_S = 5.0
WORN_OFF_S = 30.0
"""So long into the calm slow words of the storm are still on their way, and regions may change hands."""


class Aftermath:
    """What becomes of a world once nothing goes wrong any more. Both methods raise Broken."""

    def __init__(self, world: ShellWorld) -> None:
        self._world = world
        self._ledger = world.ledger

    async def settle(self) -> None:
        """Return when all is done. Nobody helps but as people would: a crew that has got lost is asked by radio."""
        world = self._world
        give_up_s = world.loop.time() + world.plan.calm_s
        kept_since = world.clock.now() + timedelta(seconds=WORN_OFF_S)
        while (left := self._left()) is not None:
            if world.loop.time() > give_up_s:
                raise Broken(f"does not come to an end: {left}")
            for state in self._ledger.truth.values():
                orders_are_answered(state, world.clock.now(), kept_since)
            for handset in world.handsets.values():
                handset.called_by_radio()
            await asyncio.sleep(LOOK_EVERY_S)

    def _left(self) -> str | None:
        """What is not done yet."""
        world = self._world
        if any(not task.done() for task in world.calling):
            return "callers are without an answer"
        for station in world.stations.values():
            if len(station.spool):
                return f"{len(station.spool)} calls wait in the spool of {station.name}"
        unled = [region for region in world.regions if world.leading(region) is None]
        if unled:
            return f"{unled} have no writer"
        return self._ledger.undone(self._reach) or self._behind()

    def _reach(self, state: RegionState, incident_id: IncidentId) -> Reach | None:
        """The travel times of an incident's candidates, as whoever leads its region sees them now."""
        station = self._world.leading(state.region)
        return station.engine.reach(state, incident_id) if station is not None else None

    def _behind(self) -> str | None:
        """Who does not know all that is committed."""
        for screen in self._world.screens:
            if screen.seq != self._ledger.truth[screen.region].seq:
                return f"{screen.region}: a console stays at {screen.seq}"
        for station in self._world.stations.values():
            for region, truth in self._ledger.truth.items():
                known = station.engine.replicas.states.get(region)
                if known is None or known.seq != truth.seq:
                    return f"{region}: {station.name} stays at {known and known.seq}, committed are {truth.seq}"
        return None

    async def account(self) -> None:
        """Everything agrees: journal, answers, consoles, read models, and what a new process would load."""
        world = self._world
        self._ledger.at_the_end()
        for caller in world.callers:
            if len(caller.asked_at) == 1 and caller.call_id is not None and not self._ledger.has(caller.call_id):
                raise Broken(f"{caller.key} was told of {caller.call_id}, and its call is kept under another id")
        for screen in world.screens:
            screen.check()
        for region, truth in self._ledger.truth.items():
            station = world.leading(region)
            states = [await recovered(region, await world.database.load(region))]
            states += [station.engine.states[region]] if station else []
            states += [each.engine.replicas.states[region] for each in world.stations.values()]
            if any(snapshot.take(state) != snapshot.take(truth) for state in states):
                raise Broken(f"{region}: a state differs from what the journal leads to")
            self._open_rows_agree(region)
        self._past_rows_agree()

    def _open_rows_agree(self, region: RegionId) -> None:
        truth, table = self._ledger.truth[region], self._world.database.table
        for name, things in (("calls", truth.calls), ("incidents", truth.incidents), ("units", truth.units)):
            for key, thing in things.items():
                row = table(name).get(key)
                if row is None or row.status != thing.status or row.region != region:
                    raise Broken(f"{region}: the row of {key} says {row}, the journal {thing.status}")

    def _past_rows_agree(self) -> None:
        """Of assignments and orders also those that are over, as by now they all should be."""
        table = self._world.database.table
        for name, made in self._ledger.assignments.items():
            row = table("assignments").get(name)
            if row is None or (row.status, row.cleared_at) != (made.status, made.cleared_at):
                raise Broken(f"the row of {name} says {row}, the journal {made}")
        for order_id, order in self._ledger.orders.items():
            row = table("orders").get(order_id)
            if row is None or (row.status, row.sends) != (order.stage, order.sends):
                raise Broken(f"the row of {order_id} says {row}, the journal {order}")
