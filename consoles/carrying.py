"""Calls that one process spooled while another led their region: carried to that process once it is known again.

Between processes of one service only: each writes a secret into the table of processes, which whoever reads
that table may show. The call keeps the id and the answer that its sender was given.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence

import aiohttp
import msgspec
from aiohttp import web

from dispatch.core.terms import RegionId
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
CARRIED_BYTES_MAX = 8 * 1024 * 1024
"""As many calls as are drained at once, each as large as a call may be."""


class Carried(msgspec.Struct, frozen=True):
    """Calls of one region, in the order in which they came."""

    calls: tuple[Spooled, ...]


class Carrier:
    """Both ends: `carry` gives a call to another process, `routes` takes one from it."""

    def __init__(self, intake: Intake, leases: Leases, leaders: Leaders) -> None:
        self._intake = intake
        self._leases = leases
        self._leaders = leaders

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST", path=PATH, handler=self.receive, tag="calls", request=Carried,
                summary="Calls that another process of this service spooled", responses={204: None},
                errors=("unauthenticated",), body_max=CARRIED_BYTES_MAX,
                description="Between processes only: `Authorization: Process SECRET`, as the receiving process "
                "has written it into the table of processes.",
            )
        ]  # fmt: skip

    async def receive(self, request: web.Request) -> web.Response:
        """POST /spooled."""
        shown = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(shown, f"{SCHEME}{self._leases.secret}".encode()):
            raise Problem("unauthenticated")
        carried = await body(request, Carried, CARRIED_BYTES_MAX)
        for unkept in (await self._intake.drained(carried.calls, onward=False)).values():
            raise unkept
        return nothing()

    async def carry(self, calls: Sequence[Spooled], region: RegionId) -> bool:
        """Whether the process that leads the region has committed the calls."""
        seat = self._leases.elsewhere.get(region)
        known = {process.holder: process for process in self._leases.view.processes}
        if seat is None or seat.holder not in known:
            return False
        leader = known[seat.holder]
        try:
            async with self._leaders.session().post(
                leader.address + PATH,
                data=msgspec.json.encode(Carried(calls=tuple(calls))),
                headers={"Authorization": SCHEME + leader.secret, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=CARRY_LIMIT_S),
            ) as got:
                return got.status == 204
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            log.warning("spooled calls could not be carried to %s: %s", leader.address, fault)
            return False
