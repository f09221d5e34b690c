"""Who leads which region, how those processes are, and what lets us in there: looked at again and again for all who
send on to them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping

import aiohttp
import msgspec

from dispatch.clock import elapsing_s
from dispatch.errors import ServiceAway
from dispatch.web.alarms import Alarm, merged
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

LOOK_S = 0.25
HEALTH_EVERY_S = 1.0
HEALTH_LIMIT_S = 1.0
CONNECT_LIMIT_S = 2.0
CONNECTIONS_MAX = 512
BLIND_S = 2.0
"""Without news of who leads for so long, nobody waits for a region's next leader any more."""

LedAt = Callable[[], Awaitable[Mapping[str, str]]]


class Words(msgspec.Struct):
    """What a leader's /healthz says of its servers, and which alarms stand there."""

    servers: dict[str, str] = {}
    alarms: tuple[Alarm, ...] = ()


class Leaders:
    """`run` beside the service, `close` after it.

    `led_at` says where each region is led that others lead, and raises ServiceAway while nobody can say.
    """

    def __init__(self, led_at: LedAt, regions: Callable[[], Collection[str]]) -> None:
        self._led_at = led_at
        self._regions = regions
        self.at: Mapping[str, str] = {}
        self._shown: dict[str, str] = {}
        self._seen_s = float("-inf")
        self._moved = asyncio.Event()
        self._sayings = Sayings()
        self._words: dict[str, Words] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def known(self) -> bool:
        """Whether we have lately heard who leads: then it is worth waiting for a region's next leader."""
        return elapsing_s() - self._seen_s < BLIND_S

    async def run(self) -> None:
        """Look and ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(LOOK_S, self.look))
            group.create_task(self._every(HEALTH_EVERY_S, self.ask))

    async def look(self) -> None:
        """Learn who leads. The last known stands while nobody can say."""
        try:
            async with asyncio.timeout(BLIND_S):
                found = await self._led_at()
        except (ServiceAway, TimeoutError) as away:
            log.info("leaders unknown: %s", away, extra={"action": "forward"})
        except Exception as fault:
            # Not away, and refuses us all the same: what was known grows old, and we look on.
            if self._sayings.worth(fault):
                log.exception("a fault while looking who leads", extra={"action": "forward"})
        else:
            self._seen_s = elapsing_s()
            if found != self.at:
                self.at = found
                self.moved()

    def meet(self, shown: Mapping[str, str]) -> None:
        """Learn which authorization lets us in where. The last known stands while one leads that is about to go."""
        leading = set(self.at.values())
        self._shown = {address: last for address, last in self._shown.items() if address in leading} | dict(shown)

    def shown_at(self, address: str) -> str | None:
        """By which authorization the process there knows us as one of its own; None where we have not met it."""
        return self._shown.get(address)

    def moved(self) -> None:
        """A region has another leader, perhaps us: whoever waits for one looks again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def move(self) -> None:
        """Return when a region has another leader, or after a while."""
        try:
            async with asyncio.timeout(4 * LOOK_S):
                await self._moved.wait()
        except TimeoutError:
            return

    async def ask(self) -> None:
        """Ask each of those that lead how it is."""
        found = sorted(set(self.at.values()))
        words = await asyncio.gather(*map(self._asked, found))
        self._words = {address: said for address, said in zip(found, words, strict=True) if said is not None}

    def addresses(self) -> list[str]:
        """Everybody who leads, who leads most first."""
        return [address for address, _ in Counter(sorted(self.at.values())).most_common()]

    def silent(self, address: str) -> None:
        """Nobody answers there."""
        self._words.pop(address, None)

    def health(self) -> str:
        """`ok` when every region has a leader that answers, `away` when none has, else `degraded`."""
        regions = self._regions()
        led = sum(self.at.get(region) in self._words for region in regions)
        return "ok" if led == len(regions) else "degraded" if led else "away"

    def word(self, server: str) -> str:
        """What the leaders say of one of their servers; the worst when there are several, `unknown` without any."""
        said = {words.servers.get(server, "none") for words in self._words.values()}
        return next((word for word in ("away", "degraded", "ok", "none") if word in said), "unknown")

    def alarms(self) -> tuple[Alarm, ...]:
        """What stands at those that lead, without what only their own consoles read."""
        return merged(*(words.alarms for words in self._words.values()))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """For requests to other processes; made when it is first needed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_LIMIT_S),
                auto_decompress=False,
            )
        return self._session

    async def _asked(self, address: str) -> Words | None:
        limit = aiohttp.ClientTimeout(total=HEALTH_LIMIT_S)
        try:
            async with self.session().get(address + "/healthz", timeout=limit) as got:
                return msgspec.json.decode(await got.read(), type=Words)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(pause_s)
