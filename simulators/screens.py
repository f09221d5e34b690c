"""Consoles around a simulated service: each holds what it shows against a fresh board of what is committed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from consoles.board import Board
from consoles.feed import merge
from consoles.gateway import PATH
from dispatch.core.terms import RegionId
from simulators.station import Station
from simulators.twins import ConsoleSocket, texts
from simulators.writer import Broken

if TYPE_CHECKING:
    from simulators.shell import ShellWorld

SILENCE_S = 4.0
"""A console that hears not even a heartbeat for so long takes its link for broken."""

_json = msgspec.json.Encoder()


class Screen:
    """A console of one region in one view: snapshot and deltas, resumed by number wherever it is let in."""

    def __init__(self, world: ShellWorld, region: RegionId, view: str) -> None:
        self.world, self.region, self.view = world, region, view
        self.seq = -1
        self.board: dict[str, Any] = {}
        self.deltas = self.snapshots = 0
        self.station: Station | None = None
        self.socket: ConsoleSocket | None = None
        self._heard_s = 0.0

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(self.world.chance.uniform(0.2, 1.0))
            station = self.world.leading(self.region)
            if station is not None:
                await self._watch(station)

    async def _watch(self, station: Station) -> None:
        """One connection, from its handshake until it is broken, silent or its process leads no more."""
        query = {
            "regions": self.region,
            "after": f"{self.region}:{self.seq}" if self.seq >= 0 else "",
            "view": self.view,
        }
        socket = ConsoleSocket(self.world.loop, PATH, query, self._heard)
        self.station, self.socket, self._heard_s = station, socket, self.world.loop.time()
        self.world.loop.call(station.owner, self._handle, station, socket)
        while not socket.over.done():
            await asyncio.wait([socket.over], timeout=1.0)
            silent = self.world.loop.time() - self._heard_s > SILENCE_S
            if silent or not station.alive or self.region not in station.engine.led:
                break
        socket.deaf = True
        self.world.loop.call(station.owner, socket.close, 1001, "gone")

    def _handle(self, station: Station, socket: ConsoleSocket) -> None:
        station.spawn(station.gateway.handle(socket))  # type: ignore[arg-type]

    def _heard(self, data: bytes) -> None:
        self._heard_s = self.world.loop.time()
        for text in texts(data):
            self.world.law(partial(self._take, msgspec.json.decode(text)))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.board, self.seq = message["board"], message["seq"]
            self.snapshots += 1
        elif message["type"] == "delta":
            if message["from"] != self.seq:
                raise Broken(f"{self.region}: a console at {self.seq} gets the changes from {message['from']}")
            merge(self.board, message["changes"])
            self.seq = message["to"]
            self.deltas += 1
        else:
            return
        state = self.world.ledger.truth[self.region]
        if self.seq > state.seq:
            raise Broken(f"{self.region}: a console shows event {self.seq}, committed are {state.seq}")
        if self.seq == state.seq:
            self.check()

    def check(self) -> None:
        """Snapshot and deltas equal a fresh snapshot of what is committed."""
        fresh = msgspec.json.decode(_json.encode(Board(self.view).snapshot(self.world.ledger.truth[self.region])))
        if self.board != fresh:
            keys = [key for key in fresh if fresh[key] != self.board.get(key)]
            raise Broken(
                f"{self.region}: a console in view {self.view} at {self.seq} differs from a fresh one in {keys}"
            )
