"""Calls in by HTTP: the address is the same for every channel, and nothing is refused for what it lacks.

The order of one contact: read and decode -> a committed call (reception.py) -> the answer. What cannot be
understood is kept raw (contacts.py). While the database is away, and where a fault of our own is in the way, calls go
into the spool, their answers say so, and they are committed in order afterwards (draining.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import msgspec
from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram

from dispatch.actors import Actor, Role, require
from dispatch.calling.calls import CallReceipt, NewCall, check, confirmed_by_device, spooled_receipt
from dispatch.calling.contacts import RAW_MAX_BYTES, Contacts
from dispatch.calling.evidence import Evidence, fault_of
from dispatch.calling.reception import Contact, Reception, caller_known_by
from dispatch.core.terms import Call, CallId, CallStatus, Location, RegionId
from dispatch.draining import Drain, is_reused, key_of_its_own
from dispatch.engine import Reply
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.keeping.spool import Spool, Spooled
from dispatch.web.application import ACTOR
from dispatch.web.bodies import PATIENT, decode, read
from dispatch.web.metrics import LATENCY_BUCKETS_S, Metrics
from dispatch.web.problems import Problem, Unreadable
from dispatch.web.replies import encode, key_of, replied
from dispatch.web.routes import Route
from dispatch.writing.keys import Key

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.05
"""How often it is looked whether an answer that is waited for has become a question to the others."""

Ask = Callable[[Key], Awaitable[Reply | None]]
Made = TypeVar("Made")

JSON_TYPES = ("application/json", "application/octet-stream")


class Intake:
    """The addresses by which calls come in."""

    def __init__(self, reception: Reception, contacts: Contacts, metrics: Metrics, spool: Spool | None = None) -> None:
        self.reception = reception
        self.matcher = reception.matcher
        self.contacts = contacts
        self.spool = spool
        self.drain = Drain(reception, contacts, spool)
        self.ask: Ask | None = None
        """What another process answered to a key, while we cannot look it up ourselves; None where none says so."""
        self._taking: dict[tuple[str, str], asyncio.Task[Reply]] = {}
        self._asking: set[tuple[str, str]] = set()
        self._faults = metrics.faults.labels("intake")
        self._commit_s = Histogram(
            "dispatch112_call_to_commit_seconds",
            "From a call's request head to its commit",
            registry=metrics.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._received = Counter(
            "dispatch112_calls_received_total",
            "Calls kept, by channel and how: committed, or spooled while the database was away",
            ["channel", "kept"],
            registry=metrics.registry,
        )
        waiting = Gauge("dispatch112_calls_spooled", "Calls that wait in the spool", registry=metrics.registry)
        waiting.set_function(lambda: len(spool) if spool is not None else 0)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST", path="/api/v1/calls", handler=self.receive, tag="calls", action="call.receive",
                summary="A contact", request=NewCall, responses={201: CallReceipt}, creates=True,
                errors=("outside_country",), body_max=RAW_MAX_BYTES,
                description="Kept even without a place or a number, and with a service, incident type, priority or "
                "language that we do not know: it is flagged `unknown_…` then, and waits for a person. A body that "
                "cannot be understood is kept raw for a supervisor, and the problem names it by `contact_id`.",
            ),
            Route(
                method="POST", path="/api/v1/calls/{call_id}/location", handler=self.relocate, tag="calls",
                action="call.locate", summary="New evidence of where a call is", request=Evidence,
                responses={200: CallReceipt}, creates=True, body_max=RAW_MAX_BYTES,
                errors=("outside_country", "unknown_call", "call_moving", "illegal_status"),
                description="Only a person may send the source `operator`: it confirms the place. Words are kept with "
                "the evidence, as personal data; without a point they are looked up, and several places of that name "
                "all count. A call that is being handed over, or was, takes it as well: the evidence follows it, once. "
                "`accuracy_m` of the answer is the radius of the circle that holds nine cases of ten.",
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
            key = _key(request, actor, raw)
        except Unreadable as cause:
            known = await self._known_already(request, cause)
            if known is not None:
                return replied(known)
            raise await self.contacts.refused(cause, actor, request.content_type) from None
        call_id = self.reception.ids.call_id()
        contact = Contact(said=said, actor=actor, call_id=call_id, key=key)
        reply = await self.take(contact, raw, request.get(PATIENT, False))
        if not reply.replayed:
            self._commit_s.observe(time.perf_counter() - began_s)
        return replied(reply)

    async def take(self, contact: Contact, raw: bytes, patient: bool = False) -> Reply:
        """Keep a contact, in the journal or in the spool. Raises ServiceAway when neither is possible, and Elsewhere
        where whoever asked is `patient`: it waits for the region's next leader.

        One at a time for a key: whoever asks again while the first try hangs hears of the same call, whether
        that ends in the journal or in the spool.
        """
        if contact.key is None:
            return await self._kept(contact, raw, patient)
        pair = (contact.key.actor, contact.key.key)
        while (earlier := self._taking.get(pair)) is not None:
            await asyncio.wait([earlier])
        taking = self._taking[pair] = asyncio.create_task(self._taken(contact, raw, patient))
        taking.add_done_callback(lambda _: self._taking.pop(pair))
        return await asyncio.shield(taking)

    async def _taken(self, contact: Contact, raw: bytes, patient: bool) -> Reply:
        """The first answer to the key; who hangs up meanwhile has called all the same."""
        return self._waiting(contact.key) or await self._kept(contact, raw, patient)

    async def finished(self) -> None:
        """Wait for the calls that are still being kept though whoever asked is gone: their files are ours till then."""
        while self._taking:
            await asyncio.wait(list(self._taking.values()))
        if self.spool is not None:
            await self.spool.written()

    async def relocate(self, request: web.Request) -> web.Response:
        """POST /calls/{call_id}/location."""
        actor, reception = request[ACTOR], self.reception
        region, call = self._open(CallId(request.match_info["call_id"]), actor)
        try:
            raw = await json_body(request)
            piece = decode(raw, Evidence)
            fault = confirmed_by_device(piece, actor, "/source")
            if fault is not None:
                raise Unreadable("invalid_body", fault.detail, raw, [fault])
            fault = fault_of(piece)
            if fault is not None:
                raise Unreadable("outside_country", fault.detail, raw, [fault])
            key = _key(request, actor, raw)
        except Unreadable as cause:
            raise await self.contacts.refused(cause, actor, request.content_type) from None
        fix = reception.locator.fixes([piece], reception.clock.now(), reception.clock.wall())[0]
        return replied(await reception.locate(region, call, fix, actor.actor_id, key, words=piece.text))

    def _open(self, call_id: CallId, actor: Actor) -> tuple[RegionId, Call]:
        """The call, also one on its way or gone to another cell, if this actor may add to it. Raises Problem and
        Elsewhere; for a device others' calls do not exist.
        """
        away = self.reception.away(call_id)
        if away is not None and own(actor, away[1]):
            raise Elsewhere(away[0])
        found = self.reception.open_call(call_id) or self.reception.departed_call(call_id)
        spooled = self.spool.waiting(call_id) if self.spool is not None and found is None else None
        if spooled is not None and (actor.role is not Role.DEVICE or spooled.actor.actor_id == actor.actor_id):
            raise ServiceAway(f"call {call_id} waits for the database: try again when it is committed")
        if found is None and self._is_over(call_id, actor):
            raise Problem("illegal_status", f"{call_id[:64]} is closed.")
        if found is None or not own(actor, found[1]):
            raise Problem("unknown_call", f"No open call {call_id[:64]}.")
        require(actor, "call.locate", found[0] if actor.role is not Role.DEVICE else None)
        return found

    def _is_over(self, call_id: CallId, actor: Actor) -> bool:
        """Whether this actor may know that the call, which is not open, was closed not long ago or is about to be."""
        region = self.reception.engine.region_of_call(call_id)
        call = self.reception.engine.states[region].call(call_id) if region is not None else None
        if call is None or not own(actor, call):
            return False
        require(actor, "call.locate", region if actor.role is not Role.DEVICE else None)
        return True

    async def _kept(self, contact: Contact, raw: bytes, patient: bool) -> Reply:
        """The committed call, or one in the spool. Raises Elsewhere where another process is asked first.

        A fault of our own refuses nobody: the call is spooled under the id that it had, so that whoever drains it
        finds it if it was committed all the same, commits it, or keeps it for a person.
        """
        channel = contact.said.channel.value
        try:
            if self.spool is not None and self.spool.holds(caller_known_by(contact)):
                # Only this caller's own calls wait behind each other: nobody else waits for the spool.
                with contextlib.suppress(ServiceAway):  # Better out of its order than not kept.
                    return await self._told_before(contact.key) or await self._put_by(contact, raw)
            reply = await self.reception.receive(contact)
            if is_reused(reply) and contact.key is not None:
                contact = msgspec.structs.replace(contact, key=key_of_its_own(contact.key))
                reply = await self.reception.receive(contact)
        except Problem:
            raise
        except ServiceAway as away:
            if isinstance(away, Elsewhere) and patient:
                raise
            return await self._put_by(contact, raw)
        except Exception:
            self._faults.inc()
            log.exception("a call cannot be taken: it is spooled", extra={"call": contact.call_id, "action": "intake"})
            # The fault may have come before anybody looked whether this call is an old one told again.
            return await self._told_before(contact.key) or await self._put_by(contact, raw)
        if reply.refusal is None and not reply.replayed:
            self._received.labels(channel, "committed").inc()
        return reply

    async def _known_already(self, request: web.Request, cause: Unreadable) -> Reply | None:
        """The first answer to the key of a body that cannot be read: its sender repeats a call that we have."""
        actor = request[ACTOR]
        try:
            key = key_of(request, actor, cause.raw)
        except Problem:
            return None
        return self._waiting(key) or await self._told_before(key)

    async def _told_before(self, key: Key | None) -> Reply | None:
        """The first answer to the key of a call, where the journal or our memory of it can be asked and has one."""
        if key is None:
            return None
        try:
            for each in (key, key_of_its_own(key)):
                reply = await self.reception.engine.answered(each)
                if reply is None or not is_reused(reply):
                    return reply
        except ServiceAway:
            pass
        except Exception:
            log.exception("a first answer cannot be looked up", extra={"action": "intake"})
        return None

    async def answered(self, key: Key) -> Reply | None:
        """What this process has answered to a key, or is about to; None when nothing. Raises ServiceAway.

        Who asks the others about the key itself has no answer, and must not wait for somebody who waits for it.
        """
        pair = (key.actor, key.key)
        while pair not in self._asking and (earlier := self._taking.get(pair)) is not None:
            await asyncio.wait([earlier], timeout=LOOK_AGAIN_S)
        waiting = self._waiting(key)
        if waiting is not None or pair in self._asking:
            return waiting
        return await self.reception.engine.answered(key)

    async def _put_by(self, contact: Contact, raw: bytes) -> Reply:
        """What another process answered to the key that we cannot look up, else a call in the spool."""
        if self.ask is not None and contact.key is not None:
            pair = (contact.key.actor, contact.key.key)
            self._asking.add(pair)
            try:
                first = await self.ask(contact.key)
            except Exception:
                log.exception("the others could not be asked", extra={"action": "spool"})
                first = None
            finally:
                self._asking.discard(pair)
            if first is not None and first.refusal is None:
                return first
        return await self._spooled(contact, raw)

    def _waiting(self, key: Key | None) -> Reply | None:
        """The answer of a call that waits in the spool under the same key, or under one of its own beside that."""
        if self.spool is None or key is None:
            return None
        names = (key.key, key_of_its_own(key).key)
        waiting = next((call for name in names if (call := self.spool.repeated(key.actor, name)) is not None), None)
        if waiting is None:
            return None
        mismatch = waiting.body_hash != key.body_hash
        return Reply(status=201, body=waiting.answer, region=RegionId(""), replayed=True, mismatch=mismatch)

    async def _spooled(self, contact: Contact, raw: bytes) -> Reply:
        """Keep the call on the disk, and say so. Raises ServiceAway where not.

        What cannot be said of it for a fault of our own is left out: whatever was in the way of committing it may be
        in the way here too.
        """
        reception, said, key = self.reception, contact.said, contact.key
        now = reception.clock.now()
        location = _whatever_fails(lambda: _said_to_be(reception, said, now), None)
        region = reception.region_for(location, contact.actor)
        if self.spool is None or region not in reception.engine.replicas.states:
            raise ServiceAway(f"{region} cannot be written here now")
        bare = CallReceipt(
            call_id=contact.call_id, region=region, status=CallStatus.QUEUED, seq=0, flags=("spooled", "unlocated")
        )
        body = encode(_whatever_fails(lambda: spooled_receipt(said, contact.call_id, region, location), bare))
        call = Spooled(
            call_id=contact.call_id,
            at=now,
            actor=contact.actor,
            raw=raw,
            answer=body,
            key=key.key if key is not None else None,
            body_hash=key.body_hash if key is not None else b"",
            caller=_whatever_fails(lambda: caller_known_by(contact), ""),
            region=region,
        )
        await self.spool.add(call)
        self._received.labels(said.channel.value, "spooled").inc()
        return Reply(status=201, body=body, region=region)


def _whatever_fails(made: Callable[[], Made], otherwise: Made) -> Made:
    """What is made, or the other where a fault of our own is in the way: then the log has that."""
    try:
        return made()
    except Exception:
        log.exception("a call is spooled without all that it says", extra={"action": "intake"})
        return otherwise


def _said_to_be(reception: Reception, said: NewCall, now: datetime) -> Location | None:
    """Where a contact says that it is; None where it does not."""
    locator = reception.locator
    return locator.estimate(locator.fixes(said.evidence, now, reception.clock.wall()), now)


def _key(request: web.Request, actor: Actor, raw: bytes) -> Key | None:
    """The request's key. Raises Unreadable: who needs help is not lost for a blank in a header either."""
    try:
        return key_of(request, actor, raw)
    except Problem as cause:
        raise Unreadable(cause.code, cause.detail, raw) from None


async def json_body(request: web.Request) -> bytes:
    """The body of a contact. Raises Unreadable with its beginning when it is too large or not JSON."""
    raw = await read(request, RAW_MAX_BYTES)
    if request.content_type not in JSON_TYPES:
        raise Unreadable("unsupported_media_type", f"Send application/json, not {request.content_type}.", raw)
    return raw


def own(actor: Actor, call: Call) -> bool:
    """Whether the actor may know of the call at all: a device knows those that it sent."""
    return actor.role is not Role.DEVICE or call.device == actor.actor_id
