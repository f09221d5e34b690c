"""Calls in: a contact becomes a call, and new evidence finds its call. The address is the same for every
channel.

The order of one contact: read and decode -> evidence to an estimate -> region -> personal words set apart
under a commitment -> the engine decides and commits -> the answer. What cannot be understood is kept raw
(contacts.py). Nothing is refused for what it lacks: without a place a call waits, flagged, in the region of
whoever sent it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from aiohttp import web
from prometheus_client import Counter, Histogram

from dispatch.actors import Actor, Role, require
from dispatch.application import ACTOR
from dispatch.bodies import decode, read
from dispatch.calls import (
    CallReceipt,
    NewCall,
    caller_of,
    check,
    command_of,
    confirmed_by_device,
    document_of,
    personal_of,
    receipt,
)
from dispatch.clock import Clock
from dispatch.contacts import RAW_MAX_BYTES, Contacts, home_of
from dispatch.core.commands import LocateCall
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, ActorId, Call, CallId, LocationFix, RegionId
from dispatch.engine import Engine, Key, Reply
from dispatch.evidence import Evidence, fault_of_point
from dispatch.formats.aml_message import AmlMessage
from dispatch.ids import IdSource
from dispatch.locating import Locator, aml_fix
from dispatch.matching import Caller, Matcher
from dispatch.metrics import LATENCY_BUCKETS_S, Metrics
from dispatch.problems import Problem, Unreadable
from dispatch.replies import Answering, answering, key_of, replied
from dispatch.routes import Route

DEFAULT_REGION = RegionId("UZ-TK")
"""Where a call without a place waits when its sender stands for no region either."""

JSON_TYPES = ("application/json", "application/octet-stream")


class Intake:
    """What the addresses for calls stand on."""

    def __init__(
        self, *, engine: Engine, locator: Locator, contacts: Contacts, ids: IdSource, clock: Clock,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.locator = locator
        self.matcher = Matcher(self._is_going_on)
        self._arriving: set[CallId] = set()
        self.contacts = contacts
        self.ids = ids
        self.clock = clock
        self._commit_s = Histogram(
            "dispatch112_call_to_commit_seconds",
            "From a call's request head to its commit",
            registry=metrics.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._received = Counter(
            "dispatch112_calls_received_total",
            "Calls kept, by channel and whether a place was known",
            ["channel", "located"],
            registry=metrics.registry,
        )

    def routes(self) -> tuple[Route, ...]:
        """The addresses by which calls come in."""
        return (
            Route(
                method="POST", path="/api/v1/calls", handler=self.receive, tag="calls", action="call.receive",
                summary="A contact", request=NewCall, responses={201: CallReceipt}, creates=True,
                errors=("outside_country", "unknown_incident_type"), body_max=RAW_MAX_BYTES,
                description="Kept even without a place or a number. A body that cannot be understood is kept "
                "raw for a supervisor, and the problem names it by `contact_id`.",
            ),
            Route(
                method="POST", path="/api/v1/calls/{call_id}/location", handler=self.relocate, tag="calls",
                action="call.locate", summary="New evidence of where a call is", request=Evidence,
                responses={200: CallReceipt}, creates=True, body_max=RAW_MAX_BYTES,
                errors=("outside_country", "unknown_call", "call_moving"),
                description="Only a person may send the source `operator`: it confirms the place.",
            ),
        )  # fmt: skip

    async def receive(self, request: web.Request) -> web.Response:
        """POST /calls."""
        began_s = time.perf_counter()
        actor = request[ACTOR]
        try:
            raw = await json_body(request)
            said = decode(raw, NewCall)
            check(said, actor, raw)
        except Unreadable as cause:
            raise await self.contacts.refused(cause, actor, request.content_type) from None
        reply = await self._called(said, actor, key_of(request, actor, raw))
        if reply.refusal is None and not reply.replayed:
            self._commit_s.observe(time.perf_counter() - began_s)
        return replied(reply)

    async def relocate(self, request: web.Request) -> web.Response:
        """POST /calls/{call_id}/location."""
        actor = request[ACTOR]
        region, call = self._open(CallId(request.match_info["call_id"]), actor)
        try:
            raw = await json_body(request)
            piece = decode(raw, Evidence)
            fault = confirmed_by_device(piece, actor, "/source")
            if fault is not None:
                raise Unreadable("invalid_body", fault.detail, raw, [fault])
            fault = fault_of_point(piece, "/point")
            if fault is not None:
                raise Unreadable("outside_country", fault.detail, raw, [fault])
        except Unreadable as cause:
            raise await self.contacts.refused(cause, actor, request.content_type) from None
        fix = self.locator.fixes([piece], self.clock.now())[0]
        return replied(await self.located(region, call, fix, actor.actor_id, key_of(request, actor, raw)))

    async def located(
        self, region: RegionId, call: Call, fix: LocationFix, actor: ActorId, key: Key | None = None
    ) -> Reply:
        """Put new evidence to a call: the estimate is made anew from all of it."""
        location = self.locator.estimate((*call.evidence, fix), self.clock.now())
        command = LocateCall(actor=actor, call_id=call.call_id, fix=fix, location=location)
        return await self.engine.submit(region, command, answer=receipt_for(call.call_id, 200), key=key)

    def open_call(self, call_id: CallId) -> tuple[RegionId, Call] | None:
        """An open call and its region, as the engine knows them now."""
        region = self.engine.region_of_call(call_id)
        call = self.engine.states[region].calls.get(call_id) if region is not None else None
        return None if region is None or call is None else (region, call)

    def is_arriving(self, call_id: CallId) -> bool:
        """Whether the call is on its way to its commit: nothing can be added to it yet."""
        return call_id in self._arriving

    def _is_going_on(self, call_id: CallId) -> bool:
        return call_id in self._arriving or self.open_call(call_id) is not None

    def _open(self, call_id: CallId, actor: Actor) -> tuple[RegionId, Call]:
        """The call, if this actor may add to it. Raises Problem; for a device others' calls do not exist."""
        found = self.open_call(call_id)
        if found is None or not own(actor, found[1]):
            raise Problem("unknown_call", f"No open call {call_id[:64]}.")
        require(actor, "call.locate", found[0] if actor.role is not Role.DEVICE else None)
        return found

    async def _called(self, said: NewCall, actor: Actor, key: Key | None) -> Reply:
        """Index the caller first, so that a handset's location that arrives meanwhile finds its call."""
        now = self.clock.now()
        caller = caller_of(said, self.ids.call_id(), now)
        self._arriving.add(caller.call_id)
        waiting = self.matcher.called(caller)
        kept = False
        try:
            reply = await self._submitted(said, actor, caller, (waiting, key))
            kept = reply.refusal is None and not reply.replayed
        finally:
            self._arriving.discard(caller.call_id)
            if not kept:
                self._forgotten(caller, waiting, now)
        if kept:
            await self._caught_up(caller, now)
        return reply

    async def _caught_up(self, caller: Caller, now: datetime) -> None:
        """A handset's location that came while its call was being committed."""
        for message in self.matcher.claim(caller):
            found, fix = self.open_call(caller.call_id), aml_fix(message, now)
            if found is not None and fix is not None:
                await self.located(*found, fix, SYSTEM)

    async def _submitted(
        self, said: NewCall, actor: Actor, caller: Caller, rest: tuple[Sequence[AmlMessage], Key | None]
    ) -> Reply:
        waiting, key = rest
        now = self.clock.now()
        own_fixes = [fix for message in waiting if (fix := aml_fix(message, now)) is not None]
        fixes = (*self.locator.fixes(said.location, now), *own_fixes)
        location = self.locator.estimate(fixes, now)
        region = location.regions[0] if location is not None and location.regions else None
        region = region or self._home(actor)
        document = document_of(said, caller)
        sealed = personal_of(document, caller, region, self.ids.salt()) if document is not None else None
        command = command_of(said, actor, caller, fixes=fixes, location=location, sealed=sealed)
        reply = await self.engine.submit(
            region,
            command,
            answer=receipt_for(caller.call_id, 201),
            key=key,
            personal=(sealed,) if sealed is not None else (),
        )
        if reply.refusal is None and not reply.replayed:
            self._received.labels(said.channel.value, "no" if location is None else "yes").inc()
        return reply

    def _home(self, actor: Actor) -> RegionId:
        """Where a call without a place waits: with its sender's own people, if they are led here."""
        wished = (home_of(actor), DEFAULT_REGION, *self.engine.states)
        led = (region for region in wished if region is not None and region in self.engine.states)
        return next(led, home_of(actor) or DEFAULT_REGION)

    def _forgotten(self, caller: Caller, waiting: Sequence[AmlMessage], now: datetime) -> None:
        """The call was not kept, or was kept before under another id: what waited goes on waiting."""
        self.matcher.forget(caller.call_id)
        for message in waiting:
            self.matcher.keep(message, now)


async def json_body(request: web.Request) -> bytes:
    """The body of a contact. Raises Unreadable with its beginning when it is too large or not JSON."""
    raw = await read(request, RAW_MAX_BYTES)
    if request.content_type not in JSON_TYPES:
        raise Unreadable("unsupported_media_type", f"Send application/json, not {request.content_type}.", raw)
    return raw


def own(actor: Actor, call: Call) -> bool:
    """Whether the actor may know of the call at all: a device knows those that it sent."""
    return actor.role is not Role.DEVICE or call.device == actor.actor_id


def receipt_for(call_id: CallId, status: int) -> Answering:
    """The answer that tells a sender what became of its call."""

    def made(state: RegionState) -> CallReceipt:
        call = state.call(call_id)
        assert call is not None, "the command was about this call"
        return receipt(call, state.seq)

    return answering(status, made)
