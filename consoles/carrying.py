"""Calls that one process spooled while another led their region: carried to that process once it is known again.

Between processes of one service only: each writes a secret into the table of processes, which whoever reads
that table may show. The call keeps the id and the answer that its sender was given.
"""

from __future__ import annotations

import hmac
import logging

import aiohttp
import msgspec
from aiohttp import web

from dispatch.core.terms import RegionId
from dispatch.errors import Elsewhere
from dispatch.following.leaders import Leaders
from dispatch.intake import Intake
from dispatch.keeping.spool import Spooled
from dispatch.web.application import nothing
from dispatch.web.bodies import body
from dispatch.web.problems import Problem
from dispatch.web.routes import Route
from dispatch.writing.leases import Leases

log = logging.getLogger(__name__)

PATH = "/api/v1/spooled"
SCHEME = "Process "
CARRY_LIMIT_S = 5.0


class Carrier:
    """Both ends: `carry` gives a call to another process, `routes` takes one from it."""

    def __init__(self, intake: Intake, leases: Leases, leaders: Leaders) -> None:
        self._intake = intake
        self._leases = leases
        self._leaders = leaders

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST", path=PATH, handler=self.receive, tag="calls", request=Spooled,
                summary="A call that another process of this service spooled", responses={204: None},
                errors=("unauthenticated",),
                description="Between processes only: `Authorization: Process SECRET`, as the receiving process "
                "has written it into the table of processes.",
            )
        ]  # fmt: skip

    async def receive(self, request: web.Request) -> web.Response:
        """POST /spooled."""
        shown = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(shown, f"{SCHEME}{self._leases.secret}".encode()):
            raise Problem("unauthenticated")
        await self._intake.drain(await body(request, Spooled))
        return nothing()

    async def carry(self, call: Spooled, region: RegionId) -> bool:
        """Whether the process that leads the region has committed the call. Raises Elsewhere while nobody leads it."""
        seat = self._leases.elsewhere.get(region)
        known = {process.holder: process for process in self._leases.view.processes}
        if seat is None or seat.holder not in known:
            raise Elsewhere(region)
        leader = known[seat.holder]
        try:
            async with self._leaders.session().post(
                leader.address + PATH,
                data=msgspec.json.encode(call),
                headers={"Authorization": SCHEME + leader.secret, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=CARRY_LIMIT_S),
            ) as got:
                return got.status == 204
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            log.warning("a spooled call could not be carried to %s: %s", leader.address, fault)
            return False
