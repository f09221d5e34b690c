"""From what a caller said to a committed call, and new evidence to its call: the part of the intake without
HTTP.

A caller is indexed before its call is decided, so that a handset's location that arrives in between is not
lost: it waits, and is put to the call right after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from dispatch.actors import Actor, Role
from dispatch.calling.calls import (
    CallerSaid,
    CallReceipt,
    NewCall,
    caller_of,
    command_of,
    digits,
    document_of,
    number_of,
    personal_of,
    receipt,
)
from dispatch.calling.contacts import home_of
from dispatch.calling.evidence import Spoken
from dispatch.calling.locating import Locator, aml_fix
from dispatch.calling.matching import Caller, Matcher, Waiting
from dispatch.clock import Clock
from dispatch.core.commands import LocateCall, LocateIncident
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, ActorId, Call, CallId, Location, LocationFix, RegionId
from dispatch.engine import Engine, Reply
from dispatch.errors import ServiceAway
from dispatch.formats.aml_message import AmlMessage
from dispatch.ids import IdSource
from dispatch.web.replies import Answering, answering
from dispatch.writing.journal import canonical, commitment
from dispatch.writing.keys import Key
from dispatch.writing.records import Personal

log = logging.getLogger(__name__)

DEFAULT_REGION = RegionId("UZ-TK")
"""Where a call without a place waits when its sender stands for no region either."""

GOES_ON = timedelta(minutes=30)
"""So long after a call went elsewhere its handset is taken to be on the line still: nobody here sees its end."""


AGAIN = timedelta(seconds=5)
"""A fix that says the same of nearly the same time is the same message: it was told to another process, whose clock
differs, or which had it a moment later."""


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One contact to be made a call: who sent it, what it says, the id that the call will have.

    `answer` is what its sender was told already, if it was (it waited in the spool); else it is made now.
    """

    said: NewCall
    actor: Actor
    call_id: CallId
    key: Key | None = None
    answer: bytes | None = None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """With what a call begins, and in which region. `heard`: what waited from its handset is among the fixes."""

    fixes: tuple[LocationFix, ...]
    location: Location | None
    region: RegionId
    heard: bool


def caller_known_by(contact: Contact) -> str:
    """Whose calls must stay in their order: a number's, else a handset's, else those of one device; '' when nobody can
    say.
    """
    sent = contact.said.caller or CallerSaid()
    device = contact.actor.actor_id if contact.actor.role is Role.DEVICE else ""
    return _line(number_of(sent.number) or sent.number) or _handset(digits(sent.imei)) or device


def is_of_a_caller(message: AmlMessage, holds: Callable[[str], bool]) -> bool:
    """Whether a message is of a caller for whom `holds` is true, by what `caller_known_by` calls them."""
    return any(map(holds, filter(None, (_line(message.number), _handset(message.imei)))))


def _line(number: str | None) -> str:
    return "".join(filter(str.isdigit, number or ""))


def _handset(imei: str | None) -> str:
    return f"imei:{imei}" if imei else ""


class Reception:
    """Makes calls of contacts. One a process: it knows by what the open calls can be recognised."""

    def __init__(self, engine: Engine, locator: Locator, ids: IdSource, clock: Clock) -> None:
        self.engine = engine
        self.locator = locator
        self.ids = ids
        self.clock = clock
        self.matcher = Matcher(self._is_going_on)
        self.reaches: Callable[[RegionId], bool] = lambda region: True
        """Whether a call can be handed over to a region at all."""
        self.untold: set[CallId] = set()
        """Calls whose handsets' words wait until their region is written again."""
        self._arriving: set[CallId] = set()
        self._touched = engine.replicas.follow()
        self._left: dict[CallId, datetime] = {}
        """Calls that went elsewhere in the last GOES_ON, oldest first."""

    async def receive(self, contact: Contact) -> Reply:
        """Commit the call. Raises ServiceAway when it was not."""
        waited = contact.answer is not None
        caller = caller_of(contact.said, contact.call_id, self.clock.now(), waited=waited)
        self._arriving.add(caller.call_id)
        waiting: Sequence[Waiting] = ()
        kept = False
        try:
            waiting = self.matcher.called(caller)
            reply = await self._submit(contact, caller, waiting)
            kept = reply.refusal is None and not reply.replayed
        finally:
            self._arriving.discard(caller.call_id)
            self.matcher.give_back(waiting)
            # The spool repeats calls that we have.
            if not kept and self.open_call(caller.call_id) is None:
                self.matcher.forget(caller.call_id)
        if self.open_call(caller.call_id) is not None:
            await self._told_what_waited(caller)
        return reply

    async def _told_what_waited(self, caller: Caller) -> None:
        """Put what waited to its call. That is committed: whatever goes wrong here, its sender hears so."""
        waiting = self.matcher.claim(caller)
        try:
            await self.put(caller.call_id, waiting)
        except Exception:
            log.exception("what waited for a call is not put to it", extra={"call": caller.call_id, "action": "locate"})
        finally:
            self.matcher.give_back(waiting)

    async def locate(
        self,
        region: RegionId,
        call: Call,
        fix: LocationFix,
        actor: ActorId,
        key: Key | None = None,
        *,
        words: str | None = None,
    ) -> Reply:
        """Put new evidence to a call: the estimate is made anew from all of it. Its words are kept apart."""
        spoken = self._sealed(words, actor, region) if words else None
        if spoken is not None:
            fix = replace(fix, note_id=spoken.id, commitment=commitment(spoken.salt, spoken.document))
        command = self._estimated(region, call, LocateCall(actor=actor, call_id=call.call_id, fix=fix))
        answer, personal = receipt_for(call.call_id, 200, call), () if spoken is None else (spoken,)
        return await self.engine.submit(region, command, answer=answer, key=key, personal=personal)

    async def hear(self, region: RegionId, command: LocateCall, personal: tuple[Personal, ...] = ()) -> Reply:
        """Put evidence to a call that another region took, or that waited here; where the call is not here any more,
        it goes on, and where it is over, its incident may still be placed. Raises ServiceAway.
        """
        state = self.engine.states[region]
        found = self.open_call(command.call_id)
        if found is not None and found[0] == region:
            command = self._estimated(region, found[1], command)
        elif found is None and not (command.call_id in state.gone or command.evidence_id in state.evidence_heard):
            await self.locate_ended(command.call_id, command.fix, command.actor)
        return await self.engine.submit(region, command, personal=personal)

    def _estimated(self, region: RegionId, call: Call, command: LocateCall) -> LocateCall:
        """The command with where the call is by all its evidence, and the way of its incident's crews to there."""
        found = self.locator.estimate((*call.evidence, command.fix), self.clock.now())
        location = self._workable(region, found)
        joined = call.incident_id if location is not None else None
        reach = self.engine.reach_of_crews(region, joined, location) if joined and location else None
        return replace(command, location=location, reach=reach)

    def _workable(self, region: RegionId, found: Location | None) -> Location | None:
        """A place that belongs to nobody whom we reach is ours to work: handed over, the call would wait for ever."""
        if found is None or not found.regions or region in found.regions or self.reaches(found.regions[0]):
            return found
        return replace(found, regions=(*found.regions, region), outside=True)

    def _sealed(self, words: str, actor: ActorId, region: RegionId) -> Personal:
        document = canonical(Spoken(text=words, actor=actor))
        return Personal(id=self.ids.note_id(), region=region, kind="note", salt=self.ids.salt(), document=document)

    async def locate_ended(self, call_id: CallId, fix: LocationFix, actor: ActorId) -> bool:
        """Place the incident of a call that is over, where nothing better is known; False: it was not placed.

        The call itself takes no evidence any more. What a person confirmed stands, and so does the place of an
        incident that other calls describe.
        """
        region = self.engine.region_of_call(call_id)
        state = self.engine.states[region] if region is not None else None
        call = state.call(call_id) if state is not None else None
        incident = state.incidents.get(call.incident_id) if state and call and call.incident_id else None
        if region is None or call is None or incident is None:
            return False
        old = incident.location
        if old is not None and (old.confirmed or incident.call_count):
            return False
        # What the call itself said is in the incident's place already, and must not count twice.
        known = () if old is None or call.evidence else (_as_fix(old),)
        found = self.locator.estimate((*known, *call.evidence, fix), self.clock.now())
        if found is None or found.source is not fix.source:
            return False
        if found.regions and region not in found.regions:
            return False
        command = LocateIncident(actor=actor, incident_id=incident.incident_id, location=found)
        return (await self.engine.submit(region, command)).refusal is None

    def open_call(self, call_id: CallId) -> tuple[RegionId, Call] | None:
        """An open call and its region, as the engine knows them now."""
        region = self.engine.region_of_call(call_id)
        state = self.engine.states[region] if region is not None else None
        call = state.calls.get(call_id) if state is not None else None
        if region is None or state is None or call is None or state.is_over(call):
            return None
        return region, call

    def departed_call(self, call_id: CallId) -> tuple[RegionId, Call] | None:
        """A call that went to another cell not long ago, and the region that sends evidence after it."""
        region = self.left_from(call_id)
        call = self.engine.states[region].closed_calls.get(call_id) if region is not None else None
        return (region, call) if region is not None and call is not None else None

    def left_from(self, call_id: CallId) -> RegionId | None:
        """The region from which a call went to another cell or process; None when it is here, or nobody knows."""
        states = self.engine.states
        here = self.engine.region_of_call(call_id)
        if here is not None:
            return here if call_id in states[here].gone else None
        return next((region for region, state in states.items() if call_id in state.gone), None)

    def tidy(self, is_awaited: Callable[[AmlMessage], bool] = lambda message: False) -> int:
        """Forget callers, and messages past their window unless awaited; returns for how many no call came."""
        now = self.clock.now()
        for region in list(self._touched):
            calls = self._touched.pop(region).calls
            self.matcher.look_at(calls, now)
            state = self.engine.states.get(region)
            self._left |= {call_id: now for call_id in calls if state is not None and call_id in state.gone}
        over = list(takewhile(lambda call_id: now - self._left[call_id] > GOES_ON, self._left))
        self.matcher.look_at(over, now)
        for call_id in over:
            del self._left[call_id]
        return self.matcher.expire(now, is_awaited)

    def is_arriving(self, call_id: CallId) -> bool:
        """Whether the call is on its way to its commit: nothing can be added to it yet."""
        return call_id in self._arriving

    def region_for(self, location: Location | None, actor: Actor) -> RegionId:
        """That of the place; without one a call waits with its sender's own people, if they are led here.

        So does a call from a place that is another cell's: it is flagged, and a person hands it over.
        """
        known = self.engine.replicas.states
        there = location.regions if location is not None else ()
        wished = (*there, home_of(actor), DEFAULT_REGION, *known)
        return next((r for r in wished if r is not None and r in known), home_of(actor) or DEFAULT_REGION)

    def away(self, call_id: CallId) -> tuple[RegionId, Call] | None:
        """A call that goes on in a region which is not written here now: what is sent about it must wait."""
        region = self.unwritten(call_id)
        call = self.engine.replicas.states[region].calls.get(call_id) if region is not None else None
        return (region, call) if region is not None and call is not None else None

    def unwritten(self, call_id: CallId) -> RegionId | None:
        """The region of a call, be it over or not, that is not written here now: nobody here can say what becomes of
        its evidence.
        """
        if self.engine.region_of_call(call_id) is not None or self.left_from(call_id) is not None:
            return None
        return self.engine.replicas.region_of_call(call_id)

    async def put(self, call_id: CallId, waiting: Sequence[Waiting]) -> None:
        """Locations of a handset that waited for its call; with the region away once more they wait again."""
        for each in waiting:
            found, fix = self.open_call(call_id), self.fix_of(each)
            waits = self.away(call_id) is not None
            if found is not None and fix is not None and not is_again(fix, found[1].evidence):
                try:
                    await self.locate(*found, fix, SYSTEM)
                except ServiceAway:
                    waits = True
            if waits:
                self.untold.add(call_id)
            (self.matcher.give_back if waits else self.matcher.used)([each])

    def fix_of(self, waiting: Waiting) -> LocationFix | None:
        """What a message that waited says; one that names no time was true when it came."""
        fix = aml_fix(waiting.message, self.clock.now(), self.clock.wall())
        return fix if fix is None or waiting.message.at is not None else replace(fix, at=waiting.received_at)

    def has_heard(self, call_id: CallId, fix: LocationFix) -> bool:
        """Whether a call here, be it over or not, has this evidence already."""
        region = self.engine.region_of_call(call_id)
        call = self.engine.states[region].call(call_id) if region is not None else None
        return call is not None and is_again(fix, call.evidence)

    def _is_going_on(self, call_id: CallId) -> bool:
        if call_id in self._arriving or (self.open_call(call_id) or self.away(call_id)) is not None:
            return True
        region = self.left_from(call_id)
        return region is not None and self.clock.now() - self.engine.states[region].gone[call_id].at <= GOES_ON

    async def _submit(self, contact: Contact, caller: Caller, waiting: Sequence[Waiting]) -> Reply:
        said, given, placed = contact.said, contact.answer, self._placed(contact, waiting)
        document = document_of(said, caller)
        sealed = personal_of(document, caller, placed.region, self.ids.salt()) if document is not None else None
        reply = await self.engine.submit(
            placed.region,
            command_of(said, contact.actor, caller, fixes=placed.fixes, location=placed.location, sealed=sealed),
            answer=receipt_for(caller.call_id, 201) if given is None else lambda state, events: (201, given),
            key=contact.key,
            personal=(sealed,) if sealed is not None else (),
        )
        if placed.heard and reply.refusal is None and not reply.replayed:
            self.matcher.used(waiting)
        return reply

    def _placed(self, contact: Contact, waiting: Sequence[Waiting]) -> Placed:
        """Where the call begins: where all that is known of it leads, if we write that region, else where it says.

        What its handset said waits in this process: another may have used the same message, or never had it, and a
        call that was sent there for it would be sent back. It begins without, and hears it when it is committed.
        """
        own = self.locator.fixes(contact.said.evidence, self.clock.now(), self.clock.wall())
        told = tuple(fix for each in waiting if (fix := self.fix_of(each)) and not is_again(fix, own))
        if told:
            placed = self._placed_by((*own, *told), contact.actor, heard=True)
            if self.engine.writable(placed.region) is not None:
                return placed
        return self._placed_by(own, contact.actor)

    def _placed_by(self, fixes: tuple[LocationFix, ...], actor: Actor, *, heard: bool = False) -> Placed:
        location = self.locator.estimate(fixes, self.clock.now())
        return Placed(fixes=fixes, location=location, region=self.region_for(location, actor), heard=heard)


def is_again(fix: LocationFix, evidence: Iterable[LocationFix]) -> bool:
    """Whether the evidence says already what the fix says."""
    return any(replace(one, at=fix.at) == fix and abs(one.at - fix.at) <= AGAIN for one in evidence)


def _as_fix(location: Location) -> LocationFix:
    return LocationFix(
        source=location.source,
        at=location.at,
        lat=location.lat,
        lon=location.lon,
        accuracy_m=location.accuracy_m,
        confirmed=location.confirmed,
    )


def receipt_for(call_id: CallId, status: int, last: Call | None = None) -> Answering:
    """The answer that tells a sender what became of its call; one that is not here any more as it was at `last`."""

    def made(state: RegionState) -> CallReceipt:
        call = state.call(call_id) or last
        assert call is not None, "the command was about this call"
        return receipt(call, state.seq)

    return answering(status, made)
