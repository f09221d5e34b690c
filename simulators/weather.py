"""What happens to the processes and servers of a simulated country in the storm, and how it is put right after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dispatch.writing.leases import LEASE_S
from simulators.station import Station
from simulators.twins import ConsoleSocket

if TYPE_CHECKING:
    from simulators.shell import ShellWorld

STEP_S = 1.0
MINUTE_S = 60.0


class Weather:
    """Throws the dice once a second for each process, for the broker and for each console."""

    def __init__(self, world: ShellWorld) -> None:
        self.world = world

    async def storm(self, seconds: float) -> None:
        """Everything goes wrong, as often as the world's faults say."""
        until_s = self.world.loop.time() + seconds
        while self.world.loop.time() < until_s:
            await asyncio.sleep(STEP_S)
            for station in list(self.world.stations.values()):
                if station.alive:
                    self._store(station)
                    self._process(station)
            self._broker()
            self._consoles()

    def clear(self) -> None:
        """Everything works again; who was killed is started."""
        world = self.world
        world.broker.set_up(True)
        for name, station in list(world.stations.items()):
            station.thaw()
            if not station.alive:
                world.start(name)
            faults = world.stations[name].store.faults
            faults.away, faults.latency_s = False, 0.0
            faults.fail_before_commit = faults.fail_after_commit = faults.lose_commit = 0

    def _hits(self, fault: str, times: float = 1.0) -> bool:
        """Whether a fault whose number is how often a minute, or `times` of it, comes in this step."""
        return self.world.strikes(fault, times * STEP_S / MINUTE_S)

    def _store(self, station: Station) -> None:
        """A process's line to the database."""
        world, trouble = self.world, station.store.faults
        if self._hits("store_slow"):
            # Now and then just longer than a lease, and much longer: the commit comes when another begins, or leads.
            just_over_s = LEASE_S + world.chance.uniform(0.0, 1.5)
            trouble.latency_s = world.chance.choice((0.05, 0.5, just_over_s, 12.0))
            world.loop.call_later(world.chance.uniform(1, 6), self._quick, station)
        if self._hits("store_fails"):
            trouble.fail_before_commit = 1
        if self._hits("store_unsure"):
            if world.happens(0.6):
                trouble.fail_after_commit = 1
            else:
                trouble.lose_commit = 1
        if not trouble.away and self._hits("store_away"):
            trouble.away = True
            world.loop.call_later(world.chance.uniform(0.5, 20), self._back, station)

    def _quick(self, station: Station) -> None:
        station.store.faults.latency_s = 0.0

    def _back(self, station: Station) -> None:
        if station.alive:
            station.store.faults.away = False

    def _process(self, station: Station) -> None:
        world = self.world
        if self._hits("crashes"):
            station.kill()
            world.loop.call_later(world.chance.uniform(0.5, 15), self.restart, station)
        elif station.answers and self._hits("freezes"):
            station.freeze()
            world.loop.call_later(world.chance.uniform(1, 25), station.thaw)

    def restart(self, station: Station) -> None:
        """Start the process again, unless somebody has done so."""
        if self.world.stations[station.name] is station:
            self.world.start(station.name)

    def _broker(self) -> None:
        world = self.world
        if world.broker.up and self._hits("broker_away"):
            world.broker.set_up(False)
            world.loop.call_later(world.chance.uniform(0.5, 15), world.broker.set_up, True)

    def _consoles(self) -> None:
        """Cut, half open, or too slow to take anything for a while."""
        world = self.world
        for screen in world.screens:
            socket, station = screen.socket, screen.station
            if socket is None or station is None or socket.over.done() or not station.answers:
                continue
            if self._hits("half_open", 10):
                socket.deaf = True
            elif self._hits("link_lost", 5):
                world.loop.call(station.owner, socket.close, 1006, "cut")
            elif not socket.slow and self._hits("link_lost", 5):
                socket.slow = True
                world.loop.call_later(world.chance.uniform(0.2, 3), self._drain, socket, station)

    def _drain(self, socket: ConsoleSocket, station: Station) -> None:
        socket.slow = False
        if socket.on_drained is not None and not socket.over.done():
            self.world.loop.call(station.owner, socket.on_drained)
