"""Commands that reach a process which does not lead their region: sent on by HTTP to the process that does.

The request goes on as it came (method, address, host, headers, body) and the answer comes back unchanged.
While a region changes hands a request waits for its next leader, within HOLD_LIMIT_S, and is neither refused
nor done twice: it is sent again only under an idempotency key, its own or one that it gets here, or when it
surely never arrived. Of any other whose line broke the sender is told that it may have been done, and so is the
sender of one that was sent again when nobody could say what became of it. What was answered is waited for in our
own replicas a moment, so that who asks next is shown what it has just done.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import Counter as Counted

from dispatch.clock import elapsing_s
from dispatch.core.closure_terms import ClosureId
from dispatch.core.terms import CallId, HazardId, IncidentId, RegionId, UnitId
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.following.leaders import LOOK_S, Leaders
from dispatch.web.bodies import ARRIVAL_TIMEOUT_S, GIVEN_KEY, PATIENT, RAW, SETTLED, VOUCHED
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import BODY_MAX, Handler, Route
from dispatch.writing.replica import Replicas

log = logging.getLogger(__name__)

CARD_LIMIT_S = 2.0
HOLD_LIMIT_S = 8.0
"""How long a request waits for a region that changes hands: longer than any takeover."""
SEEN_LIMIT_S = 0.5
"""How long an answer waits for our own replicas to show what it says."""

VIA_GATEWAY, VIA_CORE = "1.1 dispatch112", "1.1 dispatch112-core"
CORE_HOPS_MAX = 2
"""A region may change hands while a request is on its way to its leader; more often it waits where it is."""
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "expect",
    }
)  # fmt: skip
"""RFC 9110, section 7.6.1: of one connection only; and what is made anew from the body."""
OURS = HOP_BY_HOP | {"date", "server"}
READS = frozenset({"GET", "HEAD"})
NEVER_SENT = aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError

Reached = Callable[[RegionId, int, float], Awaitable[bool]]
Vouches = Callable[[web.Request, bytes], bool]
"""Whether this process knows the sender of a request with this body itself."""


class Placed(msgspec.Struct):
    """The part of an answer that says which event it is of."""

    region: str | None = None
    seq: int | None = None


class Sent(msgspec.Struct):
    """One request on its way: what is known of it, and until when it may wait."""

    request: web.Request
    body: bytes
    region: RegionId | None
    repeatable: bool
    give_up_s: float
    doubted: bool = False
    """Whether a process that did not answer may have carried it out: no other can say that nothing was changed."""


class Forwarder:
    """Wraps the routes of a process. `reached` waits for an event in our replicas.

    `via` names the sort of process that this is, so that nothing is sent round in circles.
    """

    def __init__(
        self, leaders: Leaders, replicas: Replicas, metrics: Metrics, reached: Reached, via: str = VIA_GATEWAY
    ) -> None:
        self._leaders = leaders
        self._replicas = replicas
        self._reached = reached
        self._via = via
        said = "Requests sent on to whoever leads: answered; away: nobody took it; unknown: the line broke"
        self._counter = Counted("dispatch112_forwarded_total", said, ["outcome"], registry=metrics.registry)

    # Sending on

    def forwarded(self, route: Route, vouches: Vouches = lambda request, body: False) -> Route:
        """The same address, answered by whoever leads: we lead nothing. It believes us whom we vouch for."""

        async def handler(request: web.Request) -> web.StreamResponse:
            if "Via" in request.headers:
                raise Problem("service_away", "The address of a leader is that of a gateway.")
            body = await _body(request, route.body_max)
            request[VOUCHED] = vouches(request, body)
            sending = self._sending(route, request, body)
            return await self._surely(sending, self._sent(sending))

        return msgspec.structs.replace(route, handler=handler)

    def shared(self, route: Route, leads: Callable[[RegionId], bool]) -> Route:
        """The same address, answered here for the regions that we lead and by their leaders for the others."""
        own: Handler = route.handler

        async def handler(request: web.Request) -> web.StreamResponse:
            sending = self._sending(route, request, b"")
            return await self._surely(sending, self._shared(sending, own, leads))

        return msgspec.structs.replace(route, handler=handler)

    async def _shared(self, sending: Sent, own: Handler, leads: Callable[[RegionId], bool]) -> web.StreamResponse:
        request = sending.request
        request[PATIENT] = True
        while True:
            answered = await self._here_or_there(sending, own, leads)
            if answered is not None:
                return answered
            if not self._waits(sending):
                request[PATIENT] = False
                return await own(request)
            await self._leaders.move()

    async def _here_or_there(
        self, sending: Sent, own: Handler, leads: Callable[[RegionId], bool]
    ) -> web.StreamResponse | None:
        """The answer, ours or that of the region's leader; None while the region has none that answers."""
        request = sending.request
        if sending.region is None or leads(sending.region):
            try:
                return await own(request)
            except Elsewhere as elsewhere:
                sending.region, sending.body = RegionId(elsewhere.region), request.get(RAW, b"")
            except Problem as problem:
                if problem.status != 404 or not request.match_info or sending.region is not None:
                    raise
                return await self._known_by_another(sending, problem)
        elif request.can_read_body and RAW not in request:
            sending.body = request[RAW] = await _body(request, BODY_MAX)
        address = self._leaders.at.get(sending.region)
        if address is None or _core_hops(request) >= CORE_HOPS_MAX:
            return None
        answer = await self._answer_of(address, sending)
        if answer is not None:
            await self._noted(answer, sending.region)
        return answer

    async def _known_by_another(self, sending: Sent, problem: Problem) -> web.StreamResponse:
        """What we do not know may have been made by another process a moment ago. Raises the Problem."""
        if _core_hops(sending.request) == 0:
            sending.body = sending.request.get(RAW, b"")
            for address in self._addresses(None):
                answer = await self._answer_of(address, sending)
                if answer is not None and not _elsewhere(answer):
                    return answer
        raise problem

    def preferred(self, route: Route, leads: Callable[[RegionId], bool] = lambda region: False) -> Route:
        """The same address, answered by whoever leads where that is quick, else from our own replicas."""
        own: Handler = route.handler

        async def handler(request: web.Request) -> web.StreamResponse:
            sending = self._sending(route, request, b"")
            if (sending.region is not None and leads(sending.region)) or "Via" in request.headers:
                return await own(request)
            sending.give_up_s = 0.0
            try:
                async with asyncio.timeout(CARD_LIMIT_S):
                    response = await self._sent(sending)
            except (Problem, TimeoutError):
                return await own(request)
            return response if response.status < 500 else await own(request)

        return msgspec.structs.replace(route, handler=handler)

    def everywhere(self, route: Route) -> Route:
        """The same address, answered here; the other processes are told as well, for only one knows the call: unless
        that was all, and with our word for the sender, if we know him.
        """
        own: Handler = route.handler

        async def handler(request: web.Request) -> web.StreamResponse:
            answered = await own(request)
            sending = self._sending(route, request, request.get(RAW, b""))
            if _core_hops(request) == 0 and not request.get(SETTLED, False):
                await asyncio.gather(
                    *(self._told(address, sending) for address in self._addresses(None)), return_exceptions=True
                )
            return answered

        return msgspec.structs.replace(route, handler=handler)

    async def _told(self, address: str, sending: Sent) -> None:
        async with asyncio.timeout(CARD_LIMIT_S):
            await self._answer_of(address, sending)

    def _sending(self, route: Route, request: web.Request, body: bytes) -> Sent:
        return Sent(
            request=request,
            body=body,
            region=self._region_of(request.match_info),
            repeatable=route.creates or request.method in READS,
            give_up_s=elapsing_s() + HOLD_LIMIT_S,
        )

    async def _surely(self, sending: Sent, answering: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """The answer. Of a request that may have been carried out, an answer that would leave its sender believing that
        nothing was changed is Problem `timed_out`: whoever gives it knows nothing of the process that broke.
        """
        try:
            answered = await answering
        except Problem as problem:
            if not sending.doubted or _decides(problem.status):
                raise
        except ServiceAway:
            if not sending.doubted:
                raise
        else:
            if not sending.doubted or _decides(answered.status):
                return answered
        raise self._unknown()

    def _unknown(self) -> Problem:
        self._counter.labels("unknown").inc()
        return Problem("timed_out", retry_after_s=1)

    def _waits(self, sending: Sent) -> bool:
        """Whether it is worth waiting for the region's next leader."""
        now_s = elapsing_s()
        return now_s < sending.give_up_s and self._leaders.known

    async def _sent(self, sending: Sent) -> web.Response:
        """The answer of the region's leader, or of the first of all that knows better than the others."""
        if not self._leaders.at:
            await self._leaders.look()
        last: web.Response | None = None
        while True:
            for address in self._addresses(sending.region):
                response = await self._answer_of(address, sending)
                last = response or last
                if response is not None and not _elsewhere(response):
                    break
            if last is not None or not self._waits(sending):
                break
            await self._leaders.move()
        if last is None:
            if not sending.doubted:
                self._counter.labels("away").inc()
            detail = "No process that leads answers. Nothing was changed; try again."
            raise Problem("service_away", detail, retry_after_s=1)
        await self._noted(last, sending.region)
        return last

    async def _noted(self, answer: web.Response, region: RegionId | None) -> None:
        self._counter.labels("answered").inc()
        await self._seen(answer, region)

    async def _answer_of(self, address: str, sending: Sent) -> web.Response | None:
        """The answer of one process; None when it never had the request, or may be asked again.

        A leader that is frozen does not answer and does not hang up either: with its lease it loses the request.
        Raises Problem `timed_out` when the request may have been carried out and must not be sent again.
        """
        asking = asyncio.get_running_loop().create_task(self._asked_of(address, sending))
        try:
            while not (await asyncio.wait({asking}, timeout=LOOK_S))[0]:
                if not self._leads_at(address, sending.region):
                    raise aiohttp.ServerDisconnectedError("it leads no more")
            return asking.result()
        except NEVER_SENT:
            self._leaders.silent(address)
            return None
        except (aiohttp.ClientError, OSError) as broken:
            if sending.repeatable:
                sending.doubted = sending.doubted or sending.request.method not in READS
                return None
            log.warning("the line to %s broke: %s", address, broken, extra={"action": "forward"})
            raise self._unknown() from None
        finally:
            asking.cancel()

    async def _asked_of(self, address: str, sending: Sent) -> web.Response:
        request = sending.request
        if sending.repeatable and request.method == "POST" and "Idempotency-Key" not in request.headers:
            # Ours from now on, here as well: it may have been carried out there when we come to lead its region.
            request[GIVEN_KEY] = request.get(GIVEN_KEY) or f"forwarded-{secrets.token_hex(16)}"
        async with self._leaders.session().request(
            request.method,
            address + request.rel_url.raw_path_qs,
            data=sending.body or None,
            headers=self._onward(request, address),
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as got:
            return _back(await got.read(), got)

    def _leads_at(self, address: str, region: RegionId | None) -> bool:
        """Whether the process at this address still leads what the request is about, as far as we know."""
        if region is None:
            return address in self._leaders.at.values()
        return self._leaders.at.get(region) == address

    def _onward(self, request: web.Request, address: str) -> list[tuple[str, str]]:
        """The headers as they came, with Host: the origin of a browser's request is judged as it was here. Whoever we
        vouch for goes as one of us: the secret is another at each address, and no stranger has one.
        """
        vouched = request.get(VOUCHED, False)
        left_out = HOP_BY_HOP | {"authorization"} if vouched else HOP_BY_HOP
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in left_out]
        shown = self._leaders.shown_at(address) if vouched else None
        if shown is not None:
            headers.append(("Authorization", shown))
        if GIVEN_KEY in request:
            headers.append(("Idempotency-Key", request[GIVEN_KEY]))
        return [*headers, ("Via", self._via), ("X-Forwarded-For", request.remote or "unknown")]

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
        if "hazard_id" in names:
            return replicas.region_of_hazard(HazardId(names["hazard_id"]))
        if "unit_id" in names:
            return replicas.region_of_unit(UnitId(names["unit_id"]))
        if "closure_id" in names:
            return replicas.region_of_closure(ClosureId(names["closure_id"]))
        return RegionId(names["region"]) if "region" in names else None

    def _addresses(self, region: RegionId | None) -> list[str]:
        """The region's leader alone; for what has no region yet all of them, who leads most first."""
        if region is not None and region in self._replicas.states:
            return [self._leaders.at[region]] if region in self._leaders.at else []
        return self._leaders.addresses()


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


def _core_hops(request: web.Request) -> int:
    """Through how many core processes a request has come."""
    return request.headers.getall("Via", []).count(VIA_CORE)


def _back(body: bytes, got: aiohttp.ClientResponse) -> web.Response:
    kept = [(name, value) for name, value in got.headers.items() if name.lower() not in OURS]
    return web.Response(body=body, status=got.status, headers=kept)


def _decides(status: int) -> bool:
    """Whether an answer under the same key tells what became of the request, whoever was asked before."""
    return status < 500 and status not in (404, 429)


def _elsewhere(response: web.Response) -> bool:
    """Whether another process may know better: this one leads it not, or knows no such thing."""
    body = response.body if isinstance(response.body, bytes) else b""
    return response.status == 404 or (response.status == 503 and b'"service_away"' in body)
