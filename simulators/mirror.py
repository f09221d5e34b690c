"""A console without a screen: follows the boards over the WebSocket as the page does, and tells who asks.

Snapshot and deltas merge into one board a region; a delta that does not fit means that something was missed,
and the line is opened anew from what is known.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from consoles.feed import merge

AGAIN_S = 0.5
KEPT = 4_000
"""Arrivals of deltas remembered for each region."""

log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder().decode

Row = dict[str, Any]


class View:
    """One region as this console knows it, and when it came to know it."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.seq, self.mark = -1, ""
        self.board: Row = {}
        self._came: deque[tuple[int, float]] = deque(maxlen=KEPT)

    def reached(self, seq: int, at_s: float, mark: str = "") -> None:
        self.seq, self.mark = seq, mark
        self._came.append((seq, at_s))

    def knew_at_s(self, seq: int) -> float | None:
        """When the first delta came that reaches this number; None while none has."""
        found = None
        for reached, at_s in reversed(self._came):
            if reached < seq:
                break
            found = at_s
        return found


class Mirror:
    """`run` until cancelled. Listeners are called with (view, changes); `changes` None: a fresh snapshot."""

    def __init__(self, url: str, token: str) -> None:
        self.views: dict[str, View] = {}
        self.hello: Row = {}
        self.listeners: list[Callable[[View, Row | None], None]] = []
        self.on_time: list[Callable[[datetime], None]] = []
        self.heartbeat: Row = {}
        self.reconnects = 0
        self.frames = 0
        self._url = url.replace("http", "ws", 1) + "/ws/v1/board"
        self._token = token
        self._ready = asyncio.Event()

    async def ready(self) -> None:
        """Return when every region has been seen."""
        await self._ready.wait()

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (WebSocketException, OSError, TimeoutError) as fault:
                log.info("board away: %s", fault)
            self.reconnects += 1
            await asyncio.sleep(AGAIN_S)

    async def _follow(self) -> None:
        known = ",".join(f"{view.region}:{view.seq}:{view.mark}" for view in self.views.values() if view.seq >= 0)
        url = f"{self._url}?after={known}" if known else self._url
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(url, additional_headers=headers, compression=None, max_size=None) as socket:
            while True:
                if not self._take(_decode(await socket.recv(decode=False))):
                    return

    def _take(self, message: Row) -> bool:
        """One message; False when something was missed."""
        self.frames += 1
        kind = message["type"]
        if kind == "delta":
            return self._delta(message)
        if kind == "snapshot":
            view = self.views.setdefault(message["region"], View(message["region"]))
            view.board = message["board"]
            view.reached(message["seq"], monotonic(), message["mark"])
            self._tell(view, None)
            if self.hello and len(self.views) >= len(self.hello["regions"]):
                self._ready.set()
        elif kind == "hello":
            self.hello = message
            self._time(message["at"])
        elif kind == "heartbeat":
            self.heartbeat = message
            self._time(message["at"])
        return True

    def _delta(self, message: Row) -> bool:
        view = self.views.get(message["region"])
        if view is None or view.seq != message["from"]:
            return False
        merge(view.board, message["changes"])
        view.reached(message["to"], monotonic(), message["mark"])
        self._tell(view, message["changes"])
        return True

    def _tell(self, view: View, changes: Row | None) -> None:
        for listener in self.listeners:
            listener(view, changes)

    def _time(self, at: str) -> None:
        for listener in self.on_time:
            listener(datetime.fromisoformat(at))
