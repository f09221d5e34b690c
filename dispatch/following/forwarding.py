"""Commands that reach a process which leads nothing: sent on by HTTP to the process that leads the region.

The request goes on as it came (method, address, host, headers, body) and the answer comes back unchanged.
Whoever leads is read from the leases; a process that can surely not have done anything is passed over, and
of one whose line broke afterwards the sender is told that it may have been done. What was answered is waited
for in our own replicas a moment, so that who asks next is shown what it has just done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import Counter as Counted

from dispatch.core.terms import CallId, IncidentId, RegionId, UnitId
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.web.bodies import ARRIVAL_TIMEOUT_S
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import Handler, Route
from dispatch.writing.replica import Replicas

log = logging.getLogger(__name__)

LOOK_S = 1.0
CONNECT_LIMIT_S = 2.0
HEALTH_LIMIT_S = 1.0
CARD_LIMIT_S = 2.0
SEEN_LIMIT_S = 0.5
"""How long an answer waits for our own replicas to show what it says."""
CONNECTIONS_MAX = 512

VIA = "1.1 dispatch112"
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "expect",
    }
)  # fmt: skip
"""RFC 9110, section 7.6.1: of one connection only; and what is made anew from the body."""
OURS = HOP_BY_HOP | {"date", "server"}
NEVER_SENT = aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError

Reached = Callable[[RegionId, int, float], Awaitable[bool]]


class Words(msgspec.Struct):
    """What a leader's /healthz says of its servers."""

    servers: dict[str, str] = {}


class Placed(msgspec.Struct):
    """The part of an answer that says which event it is of."""

    region: str | None = None
    seq: int | None = None


class Forwarder:
    """`run` beside the service, `close` after it. `reached` waits for an event in our replicas."""

    def __init__(self, store: Store, replicas: Replicas, metrics: Metrics, reached: Reached) -> None:
        self._store = store
        self._replicas = replicas
        self._reached = reached
        self._leaders: dict[str, str] = {}
        self._words: dict[str, Mapping[str, str]] = {}
        self._session: aiohttp.ClientSession | None = None
        said = "Requests sent on to whoever leads: answered; away: nobody took it; unknown: the line broke"
        self._counter = Counted("dispatch112_forwarded_total", said, ["outcome"], registry=metrics.registry)

    # Who leads, and how they are

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask the store who leads, and each of them how it is. The last known stands while the store is away."""
        try:
            self._leaders = await self._store.led_at()
        except ServiceAway as away:
            log.info("leaders unknown: %s", away, extra={"action": "forward"})
        found = sorted(set(self._leaders.values()))
        words = await asyncio.gather(*map(self._asked, found))
        self._words = {address: said for address, said in zip(found, words, strict=True) if said is not None}

    def health(self) -> str:
        """`ok` when every region has a leader that answers, `away` when none has, else `degraded`."""
        regions = self._replicas.states
        led = sum(self._leaders.get(region) in self._words for region in regions)
        return "ok" if led == len(regions) else "degraded" if led else "away"

    def word(self, server: str) -> str:
        """What the leaders say of one of their servers; the worst when there are several."""
        said = {words.get(server, "none") for words in self._words.values()}
        return next((word for word in ("away", "degraded", "ok", "none") if word in said), "away")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # Sending on

    def forwarded(self, route: Route) -> Route:
        """The same address, answered by whoever leads."""

        async def handler(request: web.Request) -> web.StreamResponse:
            return await self._send(request, await _body(request, route.body_max))

        return msgspec.structs.replace(route, handler=handler)

    def preferred(self, route: Route) -> Route:
        """The same address, answered by whoever leads where that is quick, else from our own replicas."""
        own: Handler = route.handler

        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(CARD_LIMIT_S):
                    response = await self._send(request, b"")
            except (Problem, TimeoutError):
                return await own(request)
            return response if response.status < 500 else await own(request)

        return msgspec.structs.replace(route, handler=handler)

    async def _send(self, request: web.Request, body: bytes) -> web.Response:
        if VIA in request.headers.get("Via", ""):
            raise Problem("service_away", "The address of a leader is that of a gateway.")
        if not self._leaders:
            await self.look()
        region = self._region_of(request.match_info)
        last: web.Response | None = None
        for address in self._addresses(region):
            response = await self._answer_of(address, request, body)
            last = response or last
            if response is not None and not _elsewhere(response):
                break
        if last is None:
            self._counter.labels("away").inc()
            detail = "No process that leads answers. Nothing was changed; try again."
            raise Problem("service_away", detail, retry_after_s=1)
        self._counter.labels("answered").inc()
        await self._seen(last, region)
        return last

    async def _answer_of(self, address: str, request: web.Request, body: bytes) -> web.Response | None:
        """The answer of one process; None when it surely never had the request. Raises Problem `timed_out`."""
        try:
            async with self._client().request(
                request.method,
                address + request.rel_url.raw_path_qs,
                data=body or None,
                headers=_onward(request),
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as got:
                return _back(await got.read(), got)
        except NEVER_SENT:
            self._words.pop(address, None)
            return None
        except (aiohttp.ClientError, OSError) as broken:
            self._counter.labels("unknown").inc()
            log.warning("the line to %s broke: %s", address, broken, extra={"action": "forward"})
            raise Problem("timed_out", retry_after_s=1) from None

    async def _seen(self, response: web.Response, region: RegionId | None) -> None:
        if response.status >= 300 or not isinstance(response.body, bytes):
            return
        try:
            placed = msgspec.json.decode(response.body, type=Placed)
        except msgspec.DecodeError:
            return
        place = RegionId(placed.region) if placed.region else region
        if place is not None and placed.seq is not None:
            await self._reached(place, placed.seq, SEEN_LIMIT_S)

    def _region_of(self, names: Mapping[str, str]) -> RegionId | None:
        """The region of the thing in the address; None when there is none, or we do not know it."""
        replicas = self._replicas
        if "call_id" in names:
            return replicas.region_of_call(CallId(names["call_id"]))
        if "incident_id" in names:
            return replicas.region_of_incident(IncidentId(names["incident_id"]))
        if "unit_id" in names:
            return replicas.region_of_unit(UnitId(names["unit_id"]))
        return RegionId(names["region"]) if "region" in names else None

    def _addresses(self, region: RegionId | None) -> list[str]:
        """The region's leader alone; for what has no region yet all of them, who leads most first."""
        if region is not None and region in self._replicas.states:
            return [self._leaders[region]] if region in self._leaders else []
        return [address for address, _ in Counter(sorted(self._leaders.values())).most_common()]

    async def _asked(self, address: str) -> Mapping[str, str] | None:
        limit = aiohttp.ClientTimeout(total=HEALTH_LIMIT_S)
        try:
            async with self._client().get(address + "/healthz", timeout=limit) as got:
                return msgspec.json.decode(await got.read(), type=Words).servers
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_LIMIT_S),
                auto_decompress=False,
            )
        return self._session


async def _body(request: web.Request, limit: int) -> bytes:
    """The body; of one that is too large so much that whoever leads finds it so, and keeps its beginning.

    Raises Problem `too_slow` or `malformed_request`.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(ARRIVAL_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    break
    except TimeoutError:
        raise Problem("too_slow", f"The body must arrive within {ARRIVAL_TIMEOUT_S:.0f} s.") from None
    except (web.RequestPayloadError, ValueError) as fault:
        raise Problem("malformed_request", f"The body is broken: {fault}"[:200]) from None
    return b"".join(chunks)[: limit + 1]


def _onward(request: web.Request) -> list[tuple[str, str]]:
    """The headers as they came, with Host, so that the origin of a browser's request is judged as it was here."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    return [*headers, ("Via", VIA), ("X-Forwarded-For", request.remote or "unknown")]


def _back(body: bytes, got: aiohttp.ClientResponse) -> web.Response:
    kept = [(name, value) for name, value in got.headers.items() if name.lower() not in OURS]
    return web.Response(body=body, status=got.status, headers=kept)


def _elsewhere(response: web.Response) -> bool:
    """Whether another process may know better: this one leads it not, or knows no such thing."""
    body = response.body if isinstance(response.body, bytes) else b""
    return response.status == 404 or (response.status == 503 and b'"service_away"' in body)
