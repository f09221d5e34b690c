"""Callers who know several doors of one service: whoever gets no answer tries the next one under the same key.

Open loop: the next call comes whether or not the last was answered. What each was told, and when, is kept, so
that it can be held against the journal afterwards.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from time import monotonic
from typing import Any

import aiohttp
import msgspec

PATIENCE_S = 25.0
"""So long one caller goes on trying; an app would ring the voice line long before."""
ANSWER_LIMIT_S = 10.0
AGAIN_S = 0.1
CONNECTIONS = 300
TURNED_AWAY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The door is shut: any balancer goes on to the next one, and the caller never hears of it."""


class Told(msgspec.Struct, kw_only=True):
    """One call: what its sender was told first, and what stood in the way until then."""

    key: str
    body: bytes
    asked_s: float = 0.0
    told_s: float = 0.0
    status: int = 0
    answer: bytes = b""
    refused: list[int] = []
    broken: int = 0

    @property
    def receipt(self) -> dict[str, Any]:
        said: dict[str, Any] = msgspec.json.decode(self.answer)
        return said

    @property
    def spooled(self) -> bool:
        return "spooled" in self.receipt.get("flags", ())


class Phones:
    """Calls at a rate through the doors of `doors()`, the first of them chosen at random."""

    def __init__(
        self, doors: Callable[[], Sequence[str]], token: str, words: Callable[[Random], dict[str, Any]], seed: int
    ) -> None:
        self.told: list[Told] = []
        self._doors = doors
        self._token = token
        self._words = words
        self._rng = Random(f"phones:{seed}")
        self._name = f"{seed}"

    async def ring(self, per_s: float, seconds: float) -> list[Told]:
        """So many calls a second; returns them when the last has its answer or has given up."""
        began_s, calls = monotonic(), list[Told]()
        async with self._session() as session, asyncio.TaskGroup() as group:
            for number in range(round(per_s * seconds)):
                await asyncio.sleep(max(0.0, began_s + number / per_s - monotonic()))
                call = Told(key=f"{self._name}-{len(self.told)}", body=msgspec.json.encode(self._words(self._rng)))
                self.told.append(call)
                calls.append(call)
                group.create_task(self._call(session, call, self._rng.randrange(1000)))
        return calls

    async def again(self, calls: Sequence[Told]) -> list[Told]:
        """Each call once more under its key."""
        repeated = [Told(key=call.key, body=call.body) for call in calls]
        async with self._session() as session:
            for at in range(0, len(repeated), 24):
                some = repeated[at : at + 24]
                await asyncio.gather(*(self._call(session, call, self._rng.randrange(1000)) for call in some))
        return repeated

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S, sock_connect=1.0),
        )

    async def _call(self, session: aiohttp.ClientSession, call: Told, door: int) -> None:
        call.asked_s = monotonic()
        while call.status != 201 and monotonic() - call.asked_s < PATIENCE_S:
            doors = self._doors()
            try:
                await self._try(session, call, doors[door % len(doors)])
            except TURNED_AWAY:
                await asyncio.sleep(AGAIN_S / 10)
            except (aiohttp.ClientError, OSError, TimeoutError):
                call.broken += 1
            else:
                if call.status != 201:
                    call.refused.append(call.status)
                    await asyncio.sleep(AGAIN_S)
            door += 1

    async def _try(self, session: aiohttp.ClientSession, call: Told, door: str) -> None:
        headers = {"Idempotency-Key": call.key}
        async with session.post(f"{door}/api/v1/calls", data=call.body, headers=headers) as got:
            answer = await got.read()
            call.status, call.answer, call.told_s = got.status, answer, monotonic()


def refusals(calls: Sequence[Told]) -> dict[str, int]:
    """What stood in the way of the callers: answers by status, and lines that broke before one."""
    statuses = Counter(status for call in calls for status in call.refused)
    return {
        **{str(status): count for status, count in sorted(statuses.items())},
        "broken": sum(c.broken for c in calls),
    }
