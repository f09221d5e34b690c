"""Out of the spool into the journal: what was taken while the database was away is committed as soon as it can be.

Each region's calls in their order, and no region waits for another. A call keeps the id and the answer that its
sender was given. What another process leads is carried to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec

from dispatch.calling.calls import NewCall
from dispatch.calling.contacts import Contacts
from dispatch.calling.reception import Contact, Reception
from dispatch.core.terms import CallId, RegionId
from dispatch.engine import REUSED, Reply
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.keeping.spool import Spool, Spooled
from dispatch.web.bodies import decode
from dispatch.writing.keys import Key
from dispatch.writing.records import Answer

log = logging.getLogger(__name__)

DRAIN_S = 0.5
"""How often what waits for the database is tried."""

DRAINED_AT_ONCE = 50
"""One by one a thousand calls would wait a minute longer than they must."""

OWN_KEY = "calls:"
"""Before the key of a call whose sender has used that key at another address."""

EXISTS = "call_exists"
"""The refusal of a call whose id its region has already."""

Carry = Callable[[Sequence[Spooled], RegionId], Awaitable[Collection[CallId]]]


class Drain:
    """Empties the spool: `run` until cancelled."""

    def __init__(self, reception: Reception, contacts: Contacts, spool: Spool | None) -> None:
        self._reception = reception
        self._contacts = contacts
        self._spool = spool
        self.carry: Carry | None = None
        """Takes calls of the spool to the process that leads their region; says which that has now."""
        self._running: dict[str, asyncio.Task[None]] = {}

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
                self._running[region] = draining.create_task(self._catch_up(self._spool, region))

    async def _catch_up(self, spool: Spool, region: str) -> None:
        """Commit a region's calls; those that turn out to be another's, which cannot be written, are passed over."""
        passed: set[CallId] = set()
        while calls := spool.oldest(region, DRAINED_AT_ONCE, passed):
            unkept = await self.drained(calls)
            if kept := [call for call in calls if call.call_id not in unkept]:
                await spool.committed(kept)
            if any(not isinstance(why, Elsewhere) or why.region == region for why in unkept.values()):
                return
            passed |= unkept.keys()

    async def drained(self, calls: Sequence[Spooled], *, onward: bool = True) -> dict[CallId, ServiceAway]:
        """Commit calls of a spool side by side, decided in their order; those that could not be now, and why. What
        another process leads is carried to it, `onward` from the one that spooled it only.
        """
        found = await asyncio.gather(*map(self.commit, calls), return_exceptions=True)
        unkept: dict[CallId, ServiceAway] = {}
        moved: dict[RegionId, list[Spooled]] = {}
        for call, fault in zip(calls, found, strict=True):
            if isinstance(fault, Elsewhere) and onward:
                moved.setdefault(RegionId(fault.region), []).append(call)
            elif isinstance(fault, ServiceAway):
                unkept[call.call_id] = fault
            elif fault is not None:
                raise fault
        for region, some in moved.items():
            kept = await self.carry(some, region) if self.carry is not None else ()
            for call in some:
                if call.call_id in kept:
                    self._remember(call, region)
                else:
                    unkept[call.call_id] = Elsewhere(region)
        return unkept

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
        """Commit one call of a spool, ours or another process's, under the id and with the answer it was given.

        Raises ServiceAway, Elsewhere where its region is led by another process.
        """
        try:
            said = decode(call.raw, NewCall)
            said = said if said.at is not None else msgspec.structs.replace(said, at=call.at)
            contact = Contact(said=said, actor=call.actor, call_id=call.call_id, key=None, answer=call.answer)
            for name in _names(call):
                key = Key(actor=call.actor.actor_id, key=name, body_hash=call.body_hash)
                reply = await self._reception.receive(msgspec.structs.replace(contact, key=key))
                if not is_reused(reply):
                    break
            fault = reply.refusal.message if reply.refusal is not None and not _is_here(reply) else None
        except ServiceAway:
            raise
        except Exception as bug:
            # One call, such as another version of us took, must not keep those behind it from being committed.
            log.exception("a call of the spool cannot be committed", extra={"call": call.call_id})
            fault = f"our own fault: {type(bug).__name__}"
        if fault is not None:
            # Its sender was told that it is kept: neither a rate nor a backlog may drop it.
            await self._contacts.keep_surely(call.raw, fault, call.actor, ("spool", "application/json"))
            self._remember(call, RegionId(call.region))


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
