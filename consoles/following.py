"""What a caller's app follows: the state of its call, the help on its way and when it will be there.

`GET /calls/{id}/stream` is a stream of server-sent events (the living standard's `text/event-stream`):
`state` with the whole state each time it changes, a comment now and then so that both sides notice a dead
line, `end` when the call is over. A call that was handed over to another cell is `transferred` and goes on there:
the stream stays open, for it may come back. Values of the core are frozen, so "has it changed" is one comparison of
identity a look.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from consoles.desk import Desk
from dispatch.calling.calls import flags_of
from dispatch.calling.evidence import whereabouts
from dispatch.core.needs import lent, live
from dispatch.core.terms import Call, CallId, CallStatus, Incident
from dispatch.web.application import ACTOR
from dispatch.web.problems import Problem
from dispatch.web.routes import Route

LOOK_S = 0.25
QUIET_S = 15.0
"""A comment after so long without news keeps the line open through every proxy."""

LIFE_S = 3600.0
"""An app that follows longer connects again."""

STREAMS_MAX = 20_000
ABSENT_LOOKS_MAX = 120
"""A call between two regions, or one whose region is being loaded, may be absent for so many looks."""

Row = dict[str, Any]
Seen = tuple[Call, Incident | None]


class Following:
    """The streams that are open in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.open = 0

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/calls/{call_id}/stream",
                handler=self.follow,
                summary="The call's state, help on the way and its time of arrival, as server-sent events",
                tag="calls",
                action="call.follow",
                media="text/event-stream",
                responses={200: None},
                errors=("unknown_call", "overloaded"),
                timeout_s=None,
            )
        ]

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """GET /calls/{call_id}/stream."""
        actor, call_id = request[ACTOR], request.match_info["call_id"]
        self._desk.call(actor, call_id, "call.follow")
        if self.open >= STREAMS_MAX:
            raise Problem("overloaded", retry_after_s=5)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        self.open += 1
        try:
            await self._tell(CallId(call_id), response)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
        return response

    async def _tell(self, call_id: CallId, response: web.StreamResponse) -> None:
        told: Seen | None = None
        quiet = absent = 0
        for _ in range(round(LIFE_S / LOOK_S)):
            seen = self.look(call_id)
            absent = absent + 1 if seen is None else 0
            if absent > ABSENT_LOOKS_MAX:
                break
            if seen is not None and (told is None or seen[0] is not told[0] or seen[1] is not told[1]):
                told, quiet = seen, 0
                await response.write(event("state", state_of(*seen)))
                if seen[0].status is CallStatus.CLOSED and not _has_gone(seen[0]):
                    await response.write(event("end", {"call_id": call_id}))
                    break
            quiet += 1
            if quiet * LOOK_S >= QUIET_S:
                quiet = 0
                await response.write(b": still here\n\n")
            await asyncio.sleep(LOOK_S)
        await response.write_eof()

    def look(self, call_id: CallId) -> Seen | None:
        """The call and its incident as they are committed."""
        region = self._desk.replicas.region_of_call(call_id)
        if region is None:
            return None
        state = self._desk.replicas.states[region]
        call = state.call(call_id)
        if call is None:
            return None
        return call, state.incident(call.incident_id) if call.incident_id is not None else None


def state_of(call: Call, incident: Incident | None) -> Row:
    """What a caller is told: nothing about other callers, and of the crews only that they come and when."""
    return {
        "call_id": call.call_id,
        "status": CallStatus.TRANSFERRED if _has_gone(call) else call.status,
        "region": call.moving_to if _has_gone(call) else call.region,
        "incident_id": call.incident_id,
        "location": whereabouts(call.location),
        "flags": flags_of(call),
        "help": [] if incident is None else _help(incident),
    }


def _has_gone(call: Call) -> bool:
    """Whether another cell has the call: closed in our books alone."""
    return call.status is CallStatus.CLOSED and call.moving_to is not None


def event(name: str, data: Row) -> bytes:
    """One server-sent event; JSON holds no line break, so one data line is enough."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _help(incident: Incident) -> list[Row]:
    return [
        {
            "body": assignment.body,
            "call_sign": assignment.call_sign,
            "status": assignment.status,
            "assigned_at": assignment.assigned_at,
            "eta_s": assignment.eta_s,
            "eta_p90_s": assignment.eta_p90_s,
            "on_scene_at": assignment.on_scene_at,
        }
        for assignment in (*live(incident), *lent(incident))
    ]
