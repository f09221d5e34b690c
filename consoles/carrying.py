"""From one process of a service to the one that leads a region: calls that were spooled, and hand-overs.

Each process writes a secret into the table of processes, which whoever reads that table may show. A spooled call
keeps the id and the answer that its sender was given.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import aiohttp
import msgspec
from aiohttp import web

from dispatch.cells.exchange import Answer, Message, fault_in
from dispatch.cells.inbox import Inbox
from dispatch.core.terms import CallId, RegionId
from dispatch.engine import Reply
from dispatch.errors import ServiceAway
from dispatch.following.leaders import Leaders
from dispatch.intake import Intake
from dispatch.keeping.spool import Spooled
from dispatch.web.application import answer, nothing
from dispatch.web.bodies import body, decode, read
from dispatch.web.problems import Problem
from dispatch.web.routes import Route
from dispatch.writing.keys import Key
from dispatch.writing.leases import Leases
from dispatch.writing.records import Process

log = logging.getLogger(__name__)

PATH, SAID_PATH, ANSWERED_PATH = "/api/v1/spooled", "/api/v1/said", "/api/v1/answered"
SCHEME = "Process "
CARRY_LIMIT_S = 5.0
ASK_LIMIT_S = 1.0
"""A caller waits meanwhile."""
DEAF_S = 5.0
"""So long a process that did not answer in time is not asked: the callers behind must not wait for it too."""
CARRIED_BYTES_MAX = 8 * 1024 * 1024
"""As many calls as are drained at once, each as large as a call may be."""

Post = Callable[[Process, str, bytes], Awaitable[tuple[int, bytes]]]
"""Brings (path, body) to a process, shows it its secret and returns (status, body); raises ServiceAway."""


class Carried(msgspec.Struct, frozen=True):
    """Calls of one region, in the order in which they came."""

    calls: tuple[Spooled, ...]


class Kept(msgspec.Struct, frozen=True):
    """Which of the carried calls are in the journal, where not all of them are."""

    calls: tuple[CallId, ...]


class Known(msgspec.Struct, frozen=True):
    """The first answer to a key; None where nothing was answered under it."""

    reply: Reply | None


class Carrier:
    """Both ends: `carry` and `say` give something to another process, `ask` asks them all, `routes` answers there."""

    def __init__(self, intake: Intake, inbox: Inbox, leases: Leases, post: Post) -> None:
        self._intake = intake
        self._inbox = inbox
        self._leases = leases
        self._post = post
        self._deaf_until_s: dict[str, float] = {}

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST", path=PATH, handler=self.receive, tag="calls", request=Carried,
                summary="Calls that another process of this service spooled", responses={200: Kept, 204: None},
                errors=("unauthenticated",), body_max=CARRIED_BYTES_MAX,
                description="Between processes only: `Authorization: Process SECRET`, as the receiving process "
                "has written it into the table of processes. 204: all of them are in the journal.",
            ),
            Route(
                method="POST", path=SAID_PATH, handler=self.hear, tag="cells", request=Message,
                summary="What one region says to another that this process leads", responses={200: Answer},
                errors=("unauthenticated",), body_max=CARRIED_BYTES_MAX,
                description="Between processes only, as above: hand-overs and mutual aid inside a cell.",
            ),
            Route(
                method="POST", path=ANSWERED_PATH, handler=self.tell, tag="calls", request=Key,
                summary="What this process has answered to an idempotency key", responses={200: Known},
                errors=("unauthenticated",),
                description="Between processes only, as above: asked by one that has lost the database, before it "
                "keeps a call under a new id.",
            ),
        ]  # fmt: skip

    async def receive(self, request: web.Request) -> web.Response:
        """POST /spooled."""
        self._admit(request)
        kept = await self.keep(await body(request, Carried, CARRIED_BYTES_MAX))
        return nothing() if kept is None else answer(kept)

    async def hear(self, request: web.Request) -> web.Response:
        """POST /said."""
        self._admit(request)
        return answer(await self.answered(await read(request, CARRIED_BYTES_MAX)))

    async def tell(self, request: web.Request) -> web.Response:
        """POST /answered."""
        self._admit(request)
        return answer(Known(await self._intake.answered(await body(request, Key))))

    async def keep(self, carried: Carried) -> Kept | None:
        """Commit what another process spooled, and say which it is; None: all of it. All may be sent again."""
        unkept = await self._intake.drain.drained(carried.calls, onward=False)
        return Kept(tuple(call.call_id for call in carried.calls if call.call_id not in unkept)) if unkept else None

    async def answered(self, raw: bytes) -> Answer:
        """What our region answers to the words of another's. Raises Unreadable, Problem, ServiceAway."""
        message: Message = decode(raw, Message)  # type: ignore[arg-type]
        fault = fault_in(message)
        if fault is not None:
            raise Problem("invalid_body", fault)
        return await self._inbox.receive(message)

    def admits(self, shown: str) -> bool:
        """Whether somebody who shows this as its authorization is a process of this service."""
        return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), f"{SCHEME}{self._leases.secret}".encode())

    def _admit(self, request: web.Request) -> None:
        if not self.admits(request.headers.get("Authorization", "")):
            raise Problem("unauthenticated")

    def leads(self, region: RegionId) -> bool:
        """Whether another process of this service leads the region."""
        return self._leader_of(region) is not None

    async def say(self, message: Message) -> Answer:
        """The answer of the process that leads the region. Raises ServiceAway."""
        status, raw = await self._posted(SAID_PATH, msgspec.json.encode(message), message.to)
        if status != 200:
            raise ServiceAway(f"the leader of {message.to} answers {status}")
        return msgspec.json.decode(raw, type=Answer)

    async def carry(self, calls: Sequence[Spooled], region: RegionId) -> Collection[CallId]:
        """Which of the calls the process that leads the region has committed."""
        carried = msgspec.json.encode(Carried(calls=tuple(calls)))
        try:
            status, raw = await self._posted(PATH, carried, region)
            if status == 204:
                return {call.call_id for call in calls}
            return msgspec.json.decode(raw, type=Kept).calls if status == 200 else ()
        except (ServiceAway, msgspec.MsgspecError) as away:
            log.warning("spooled calls could not be carried: %s", away, extra={"region": region})
            return ()

    async def ask(self, key: Key) -> Reply | None:
        """What another process has answered to the key; None where none of those that can be asked says so."""
        now_s = asyncio.get_running_loop().time()
        others = [
            process
            for process in self._leases.view.processes
            if process.holder != self._leases.holder and self._deaf_until_s.get(process.holder, 0.0) <= now_s
        ]
        found = await asyncio.gather(*(self._answer_of(process, key) for process in others))
        return next((reply for reply in found if reply is not None), None)

    async def _answer_of(self, process: Process, key: Key) -> Reply | None:
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                status, raw = await self._post(process, ANSWERED_PATH, msgspec.json.encode(key))
                return msgspec.json.decode(raw, type=Known).reply if status == 200 else None
        except TimeoutError:
            self._deaf_until_s[process.holder] = asyncio.get_running_loop().time() + DEAF_S
        except (ServiceAway, msgspec.MsgspecError):
            # Nobody there, or somebody who speaks otherwise: the call is kept all the same.
            pass
        return None

    async def _posted(self, path: str, raw: bytes, region: RegionId) -> tuple[int, bytes]:
        leader = self._leader_of(region)
        if leader is None:
            raise ServiceAway(f"nobody leads {region} now")
        return await self._post(leader, path, raw)

    def _leader_of(self, region: RegionId) -> Process | None:
        seat = self._leases.elsewhere.get(region)
        known = {process.holder: process for process in self._leases.view.processes}
        return known.get(seat.holder) if seat is not None else None


def by_http(leaders: Leaders) -> Post:
    """A way to the other processes over the connections that requests are sent on by."""

    async def post(process: Process, path: str, raw: bytes) -> tuple[int, bytes]:
        try:
            async with leaders.session().post(
                process.address + path,
                data=raw,
                headers={"Authorization": SCHEME + process.secret, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=CARRY_LIMIT_S),
            ) as got:
                return got.status, await got.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise ServiceAway(f"{process.address} does not answer: {fault!r}") from None

    return post
