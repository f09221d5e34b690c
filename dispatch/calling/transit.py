"""The feed of buses and trams, fetched again and again: whoever calls from one can be found by its number."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from dispatch.clock import Clock
from dispatch.errors import UserMistake
from routing.vehicles import Vehicles, parse

log = logging.getLogger(__name__)

EVERY_S = 15.0
ANSWER_LIMIT_S = 10.0
FEED_MAX_BYTES = 16 * 1024 * 1024
"""A larger answer is no feed: the largest cities' have some hundred kilobytes."""


class Transit:
    """`run` until cancelled; `vehicles` holds what the last good answer said, and old places go by themselves."""

    def __init__(self, url: str, clock: Clock) -> None:
        try:
            import google.transit.gtfs_realtime_pb2  # noqa: F401
        except ImportError:
            raise UserMistake(
                "DISPATCH112_GTFS_RT_URL needs the extra `transit`: pip install dispatch112[transit]"
            ) from None
        self.vehicles = Vehicles()
        self.fetched = 0
        self.failures = 0
        """In a row, since the last good answer."""
        self._url = url
        self._clock = clock

    async def run(self) -> None:
        """Fetch the feed each EVERY_S."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self.fetch(session)
                await asyncio.sleep(EVERY_S)

    async def fetch(self, session: aiohttp.ClientSession) -> None:
        """Once; a feed that is away or broken leaves what is known as it is."""
        try:
            async with session.get(self._url) as answer:
                answer.raise_for_status()
                self.vehicles.replace(parse(await _body(answer), self._clock.wall()))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
            self.failures += 1
            if self.failures == 1:
                log.warning("the feed of vehicles fails: %s", fault, extra={"action": "transit"})
        else:
            self.fetched += 1
            self.failures = 0


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """The feed. Raises ValueError when it is too large."""
    body = await answer.content.read(FEED_MAX_BYTES + 1)
    chunks = [body]
    while body and sum(map(len, chunks)) <= FEED_MAX_BYTES:
        body = await answer.content.read(FEED_MAX_BYTES + 1)
        chunks.append(body)
    whole = b"".join(chunks)
    if len(whole) > FEED_MAX_BYTES:
        raise ValueError(f"more than {FEED_MAX_BYTES} bytes")
    return whole
