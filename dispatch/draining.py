"""Out of the spool into the journal: what was taken while the database was away is committed as soon as it can be.

Each region's calls in their order, and no region waits for another. A call keeps the id and the answer that its
sender was given. What another process leads is carried to it. What cannot be committed is kept raw for a person, and
where even that fails, those behind it do not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec

from dispatch.calling.calls import NewCall
from dispatch.calling.contacts import Contacts
from dispatch.calling.reception import Contact, Reception
from dispatch.core.terms import CallId, RegionId
from dispatch.engine import REUSED, Reply
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.keeping.spool import Spool, Spooled
from dispatch.store import Refused
from dispatch.web.bodies import decode
from dispatch.writing.keys import Key
from dispatch.writing.records import Answer
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

DRAIN_S = 0.5
"""How often what waits for the database is tried."""

DRAINED_AT_ONCE = 50
"""One by one a thousand calls would wait a minute longer than they must."""

REST_S = 5.0
"""So long a call that could neither be committed nor kept raw is left alone: deciding it may stop its region."""
RESTING_KEPT = 10_000
"""How many such calls are known at once."""

REFUSALS_MAX = 3
"""So often the database refuses a call before it is kept raw: once among others, twice alone. One refusal may be the
fault of what somebody else asked for in the same instant."""
REFUSED_KEPT = 10_000
"""How many calls are known at once that were in a refused batch."""

OWN_KEY = "calls:"
"""Before the key of a call whose sender has used that key at another address."""

EXISTS = "call_exists"
"""The refusal of a call whose id its region has already."""

Carry = Callable[[Sequence[Spooled], RegionId], Awaitable[Collection[CallId]]]


class Unkeepable(ServiceAway):
    """A call cannot be committed, and its raw form not be kept now either. Those behind it may be kept all the same."""


class Drain:
    """Empties the spool: `run` until cancelled."""

    def __init__(self, reception: Reception, contacts: Contacts, spool: Spool | None) -> None:
        self._reception = reception
        self._contacts = contacts
        self._spool = spool
        self.carry: Carry | None = None
        """Takes calls of the spool to the process that leads their region; says which that has now."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._resting_until_s: OrderedDict[CallId, float] = OrderedDict()
        self._refusals: OrderedDict[CallId, int] = OrderedDict()
        """How often a call was in a batch that the database refused: from the first time on it is tried alone."""
        self._alone = asyncio.Lock()
        self._sayings = Sayings()

    async def run(self) -> None:
        """Commit what waited for the database as soon as it is back, until cancelled."""
        async with asyncio.TaskGroup() as draining:
            while True:
                await asyncio.sleep(DRAIN_S)
                await self._contacts.drain()
                self._begin(draining)

    def _begin(self, draining: asyncio.TaskGroup) -> None:
        """Begin with what waits, each region's in order: one that cannot be written holds no other up."""
        if self._spool is None:
            return
        for region in self._spool.regions():
            if (task := self._running.get(region)) is None or task.done():
                self._running[region] = draining.create_task(self._turn(self._spool, region))

    async def _turn(self, spool: Spool, region: str) -> None:
        """One turn of a region. A fault of our own ends it, and no other region's: the next begins again."""
        try:
            await self._catch_up(spool, region)
        except Exception as fault:
            if self._sayings.worth(fault):
                log.exception("calls stay in the spool", extra={"region": region, "action": "drain"})

    async def _catch_up(self, spool: Spool, region: str) -> None:
        """Commit a region's calls; passed over are those that turn out to be another's, which cannot be written, and
        those that nothing can be done with now.
        """
        passed: set[CallId] = set()
        while calls := spool.oldest(region, DRAINED_AT_ONCE, passed):
            unkept = await self.drained(calls)
            if kept := [call for call in calls if call.call_id not in unkept]:
                await spool.committed(kept)
            if any(_stops(why, region) for why in unkept.values()):
                return
            passed |= unkept.keys()

    async def drained(self, calls: Sequence[Spooled], *, onward: bool = True) -> dict[CallId, ServiceAway]:
        """Commit calls of a spool side by side, decided in their order; those that could not be now, and why. What
        another process leads is carried to it, `onward` from the one that spooled it only.
        """
        unkept: dict[CallId, ServiceAway] = {}
        moved: dict[RegionId, list[Spooled]] = {}
        refused: ServiceAway | None = None
        for some in self._portions(calls):
            # Behind a refusal nothing overtakes what was refused with it and may be kept alone.
            found = await self._tried(some) if refused is None else dict.fromkeys((c.call_id for c in some), refused)
            refused = refused or next((fault for fault in found.values() if isinstance(fault, Refused)), None)
            for call in some:
                fault = found.get(call.call_id)
                if isinstance(fault, Elsewhere) and onward:
                    moved.setdefault(RegionId(fault.region), []).append(call)
                elif fault is not None:
                    unkept[call.call_id] = fault
        for region, some in moved.items():
            kept = await self._carried(some, region)
            for call in some:
                if call.call_id in kept:
                    self._remember(call, region)
                else:
                    unkept[call.call_id] = Elsewhere(region)
        return unkept

    def _portions(self, calls: Sequence[Spooled]) -> list[list[Spooled]]:
        """What is tried together, in order: a call that was in a refused batch is tried alone."""
        portions: list[list[Spooled]] = []
        for call in calls:
            if portions and not {call.call_id, portions[-1][-1].call_id} & self._refusals.keys():
                portions[-1].append(call)
            else:
                portions.append([call])
        return portions

    async def _tried(self, calls: Sequence[Spooled]) -> dict[CallId, ServiceAway]:
        """Commit calls side by side; those that could not be, and why. Of what was refused one is tried at a time, in
        whatever region it is: two in one batch would be refused for each other's sake.
        """
        async with self._alone if calls[0].call_id in self._refusals else contextlib.nullcontext():
            found = await asyncio.gather(*map(self.commit, calls), return_exceptions=True)
        unkept: dict[CallId, ServiceAway] = {}
        for call, fault in zip(calls, found, strict=True):
            if isinstance(fault, Refused):
                self._count_refusal(call)
            elif not isinstance(fault, ServiceAway):
                self._refusals.pop(call.call_id, None)
            if isinstance(fault, ServiceAway):
                unkept[call.call_id] = fault
            elif isinstance(fault, Exception):
                log.error("a call stays in the spool", exc_info=fault, extra={"call": call.call_id, "action": "drain"})
                unkept[call.call_id] = Unkeepable(type(fault).__name__)
            elif fault is not None:
                raise fault  # Somebody has told the task to end.
        return unkept

    def _count_refusal(self, call: Spooled) -> None:
        self._refusals[call.call_id] = self._refusals.get(call.call_id, 0) + 1
        if len(self._refusals) > REFUSED_KEPT:
            self._refusals.popitem(last=False)

    async def _carried(self, calls: Sequence[Spooled], region: RegionId) -> Collection[CallId]:
        """Which of the calls the process that leads their region has now."""
        if self.carry is None:
            return ()
        try:
            return await self.carry(calls, region)
        except Exception:
            log.exception("spooled calls are not carried", extra={"region": region, "action": "drain"})
            return ()

    def _remember(self, call: Spooled, region: RegionId) -> None:
        """Another process has committed the call, or a person has it: its sender is to hear of no second one."""
        if call.key is not None:
            answer = Answer(
                actor=call.actor.actor_id,
                key=call.key,
                region=region,
                body_hash=call.body_hash,
                status=201,
                body=call.answer,
                at=call.at,
            )
            self._reception.engine.remember(answer)

    async def commit(self, call: Spooled) -> None:
        """Commit one call of a spool, ours or another process's, under the id and with the answer it was given; else
        keep it raw for a person.

        Raises ServiceAway, Elsewhere where its region is led by another process, Unkeepable where neither can be.
        """
        if self._rests(call):
            raise Unkeepable("neither committed nor kept raw a moment ago")
        refused = self._refusals.get(call.call_id, 0) >= REFUSALS_MAX
        fault = "the database refuses it" if refused else await self._fault_of(call)
        if fault is None:
            return
        try:
            # Its sender was told that it is kept: neither a rate nor a backlog may drop it.
            await self._contacts.keep_surely(call.raw, fault, call.actor, ("spool", "application/json"))
        except Exception as why:
            if not isinstance(why, ServiceAway) and self._sayings.worth(why):
                log.exception("a call of the spool is not even kept raw", extra={"call": call.call_id})
            self._rest(call)
            raise Unkeepable(f"neither committed nor kept raw: {type(why).__name__}") from why
        self._remember(call, RegionId(call.region))

    async def _fault_of(self, call: Spooled) -> str | None:
        """Commit the call; why that cannot be, or None when the journal has it. Raises ServiceAway."""
        try:
            said = decode(call.raw, NewCall)
            said = said if said.at is not None else msgspec.structs.replace(said, at=call.at)
            contact = Contact(said=said, actor=call.actor, call_id=call.call_id, key=None, answer=call.answer)
            for name in _names(call):
                key = Key(actor=call.actor.actor_id, key=name, body_hash=call.body_hash)
                reply = await self._reception.receive(msgspec.structs.replace(contact, key=key))
                if not is_reused(reply):
                    break
            return reply.refusal.message if reply.refusal is not None and not _is_here(reply) else None
        except ServiceAway:
            raise
        except Exception as bug:
            # One call, such as another version of us took, must not keep those behind it from being committed.
            log.exception("a call of the spool cannot be committed", extra={"call": call.call_id})
            return f"our own fault: {type(bug).__name__}"

    def _rest(self, call: Spooled) -> None:
        self._resting_until_s[call.call_id] = asyncio.get_running_loop().time() + REST_S
        if len(self._resting_until_s) > RESTING_KEPT:
            self._resting_until_s.popitem(last=False)

    def _rests(self, call: Spooled) -> bool:
        """Whether the call is to be left alone; when it is not, it is forgotten that it was."""
        if self._resting_until_s.get(call.call_id, 0.0) > asyncio.get_running_loop().time():
            return True
        self._resting_until_s.pop(call.call_id, None)
        return False


def _stops(why: ServiceAway, region: str) -> bool:
    """Whether a call that could not be kept keeps those of its region behind it from being tried."""
    return why.region == region if isinstance(why, Elsewhere) else not isinstance(why, Unkeepable)


def _is_here(reply: Reply) -> bool:
    """Whether the journal has the call: it was committed before anybody could say so."""
    return reply.refusal is not None and reply.refusal.code == EXISTS


def is_reused(reply: Reply) -> bool:
    """Whether the key stands for what was asked at another address."""
    return reply.refusal is not None and reply.refusal.code == REUSED


def key_of_its_own(key: Key) -> Key:
    """An emergency is not refused for a key that its sender has used at another address: the call has this one, and so
    have its repetitions."""
    return msgspec.structs.replace(key, key=f"{OWN_KEY}{key.key}")


def _names(call: Spooled) -> tuple[str, ...]:
    """The keys under which a call may be committed, by turns: it was promised, whatever its key stands for by now."""
    theirs = (call.key, f"{OWN_KEY}{call.key}") if call.key is not None else ()
    return (*theirs, f"spool:{call.call_id}")
