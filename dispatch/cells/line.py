"""Our line to one neighbouring cell, by HTTP: a few messages at once, longer and longer pauses while it is cut."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

import aiohttp
import msgspec

from dispatch.cells.exchange import Answer, Message
from dispatch.cells.peers import Peer
from dispatch.errors import ServiceAway

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Messages under way to one cell; the others wait in the state that they come from."""
CONNECT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 10.0
ANSWER_MAX = 1024 * 1024
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
FRESH_S = 2.0
"""A line that answered so lately is asked for nothing before it is used."""

_decode = msgspec.json.Decoder(Answer).decode


class LineCut(ServiceAway):
    """The neighbour does not answer, or not what it should: whether it has the message nobody knows."""


class Line:
    """`say` sends one message and returns the answer; `open` whether it is worth trying now."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.failures = 0
        self.sent = 0
        self.cuts = 0
        self.heard_s: float | None = None
        self._not_before_s = 0.0
        self._session: aiohttp.ClientSession | None = None

    @property
    def up(self) -> bool:
        """Whether the last try succeeded."""
        return self.heard_s is not None and not self.failures

    @property
    def open(self) -> bool:
        """Whether the pause after the last failure is over."""
        return monotonic() >= self._not_before_s

    async def reachable(self) -> bool:
        """Whether the neighbour answers at all: asked before anything is said that cannot be unsaid."""
        if self.up and self.heard_s is not None and monotonic() - self.heard_s < FRESH_S:
            return True
        try:
            async with self._client().get(self.peer.url + "/healthz") as got:
                await _read(got.content)
        except (aiohttp.ClientError, OSError, TimeoutError, LineCut) as fault:
            self._failed(repr(fault))
            return False
        self._heard()
        return True

    async def say(self, message: Message) -> Answer:
        """The neighbour's answer. Raises LineCut."""
        url = f"{self.peer.url}/api/v1/cells/{message.to}/messages"
        self.sent += 1
        try:
            async with self._client().post(url, data=msgspec.json.encode(message)) as got:
                raw = await _read(got.content)
                if got.status != 200:
                    # 401 and 403 are a key that the two do not share: an operator's matter, and said as loudly.
                    raise LineCut(f"{self.peer.name} answers {got.status}: {raw[:200]!r}")
                said = _decode(raw)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, LineCut) as fault:
            self._failed(repr(fault))
            raise LineCut(str(fault)) from None
        self._heard()
        return said

    async def close(self) -> None:
        """Hang up. A word said afterwards connects anew: whoever runs the line may begin again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _heard(self) -> None:
        if self.failures:
            log.info("the line to %s is back", self.peer.name, extra={"action": "cells"})
        self.heard_s, self.failures, self._not_before_s = monotonic(), 0, 0.0

    def _failed(self, why: str) -> None:
        if not self.failures:
            self.cuts += 1
            log.warning("the line to %s is cut: %s", self.peer.name, why, extra={"action": "cells"})
        self.failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.failures - 1, 10))
        self._not_before_s = monotonic() + pause_s

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=AT_ONCE + 1),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S, sock_connect=CONNECT_LIMIT_S),
                headers={"Authorization": f"Bearer {self.peer.key}", "Content-Type": "application/json"},
            )
        return self._session


async def _read(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, in however many pieces it comes. Raises LineCut when it has no end."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > ANSWER_MAX:
            raise LineCut(f"an answer of more than {ANSWER_MAX} bytes")
    return bytes(raw)


async def closed(lines: list[Line]) -> None:
    await asyncio.gather(*(line.close() for line in lines))
