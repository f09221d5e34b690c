"""What a board must show after any event: the journal replayed up to there, for consoles that are never at its end.

Life goes on while the books are read, so a console is not asked to stand still: what it shows is held against
the number that it shows it for.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from consoles.board import Board
from dispatch.core.events import decode
from dispatch.core.evolve import evolve
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from tests.journeys.traffic import Watcher

Shown = tuple[int, str, str, bytes]
"""Number, region, which console, and the board as it was shown."""


class Replay:
    """The regions as they were after one event after the other; it only goes on."""

    def __init__(self) -> None:
        self._states: dict[str, RegionState] = {}

    async def differing(self, connection: asyncpg.Connection, watchers: list[Watcher]) -> list[str]:
        """What consoles show otherwise than the journal has it, one sentence each."""
        shown = sorted(
            (seq, region, f"console {place + 1}", msgspec.json.encode(watcher.model.boards[region]))
            for place, watcher in enumerate(watchers)
            for region, seq in watcher.model.seqs.items()
        )
        found = []
        for seq, region, who, board in shown:
            if msgspec.json.decode(board) != await self._board(connection, region, seq):
                found.append(f"{who} shows another {region} at {seq} than the journal")
        return found

    async def _board(self, connection: asyncpg.Connection, region: str, seq: int) -> Any:
        state = self._states.setdefault(region, RegionState(RegionId(region)))
        query = "SELECT at, payload FROM events WHERE region = $1 AND seq > $2 AND seq <= $3 ORDER BY seq"
        for event in await connection.fetch(query, region, state.seq, seq):
            evolve(state, decode(event["payload"].encode()), event["at"])
        if state.seq != seq:
            return f"the journal cannot be at {seq}: it was followed to {state.seq}"
        return msgspec.json.decode(msgspec.json.encode(Board().snapshot(state)))
