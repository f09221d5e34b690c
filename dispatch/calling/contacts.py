"""Unreadable contacts: what somebody sent that nobody could understand, kept raw for a supervisor.

A program that sends nonsense still gets its 4xx; the person behind it may need help all the same. What is
kept is bounded on every side: 64 KiB a contact, a rate for each sender, and a short backlog while the
database is away. Everything beyond is counted, never written to a log: it may hold a caller's words.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from typing import Any, Protocol

import msgspec
from prometheus_client import Counter

from dispatch.actors import EVERYWHERE, Actor
from dispatch.clock import Clock
from dispatch.core.terms import RegionId
from dispatch.errors import ServiceAway
from dispatch.ids import IdSource
from dispatch.store import refuses
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem, Unreadable
from dispatch.writing.records import UnreadableContact
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

RAW_MAX_BYTES = 64 * 1024
BURST = 30
"""So many contacts of one sender are kept at once …"""
INTERVAL_S = 10.0
"""… and then one each so many seconds."""
SENDERS_MAX = 10_000
BACKLOG_MAX = 200
FAULT_MAX = 300


class Shelf(Protocol):
    """What keeps contacts for good: the store."""

    async def keep_contact(self, contact: UnreadableContact) -> None: ...


class Kept(Problem):
    """The problem of an unreadable body, with the id under which its raw form waits for a supervisor."""

    def __init__(self, cause: Unreadable, contact_id: str | None) -> None:
        super().__init__(cause.code, cause.detail, cause.errors, retry_after_s=cause.retry_after_s)
        self.contact_id = contact_id

    def body(self) -> bytes:
        document: dict[str, Any] = msgspec.json.decode(super().body())
        if self.contact_id is not None:
            document["contact_id"] = self.contact_id
        return msgspec.json.encode(document)


class Waiting(msgspec.Struct):
    """A contact on its way to the shelf; `lost` when the shelf refuses it for good."""

    contact: UnreadableContact
    lost: bool = False


class Contacts:
    """Takes unreadable contacts in, within limits, and keeps them."""

    def __init__(self, shelf: Shelf, ids: IdSource, clock: Clock, metrics: Metrics) -> None:
        self._shelf = shelf
        self._ids = ids
        self._clock = clock
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._backlog: deque[Waiting] = deque()
        self._sayings = Sayings()
        self._counter = Counter(
            "dispatch112_unreadable_contacts_total",
            "Contacts that could not be understood: kept, limited (over a sender's rate), lost (no room)",
            ["door", "outcome"],
            registry=metrics.registry,
        )

    async def refused(self, cause: Unreadable, actor: Actor, content_type: str, door: str = "http") -> Kept:
        """The problem to answer with; the raw form is kept first."""
        contact_id = await self.keep(cause.raw, cause.detail or cause.code, actor, (door, content_type))
        return Kept(cause, contact_id)

    async def keep(self, raw: bytes, fault: str, actor: Actor, came: tuple[str, str]) -> str | None:
        """Keep what came in by `came` = (door, content type); its id, or None when it was only counted.

        What the store cannot take now waits, whatever keeps it from that.
        """
        door = came[0]
        if not self._within_rate(actor.actor_id):
            self._counter.labels(door, "limited").inc()
            return None
        waiting = Waiting(self._contact(raw, fault, actor, came))
        if len(self._backlog) >= BACKLOG_MAX:
            self._counter.labels(door, "lost").inc()
            log.error("no room for an unreadable contact while the database is away")
            return None
        self._backlog.append(waiting)
        self._counter.labels(door, "kept").inc()
        await self.drain()
        return None if waiting.lost else waiting.contact.contact_id

    async def keep_surely(self, raw: bytes, fault: str, actor: Actor, came: tuple[str, str]) -> None:
        """Return when it is in the store, whatever its sender's rate. Raises ServiceAway: ask again later."""
        await self._shelf.keep_contact(self._contact(raw, fault, actor, came))
        self._counter.labels(came[0], "kept").inc()

    def _contact(self, raw: bytes, fault: str, actor: Actor, came: tuple[str, str]) -> UnreadableContact:
        """What is kept. A fault quotes its contact, and the database has no text with a NUL in it."""
        door, content_type = came
        return UnreadableContact(
            contact_id=self._ids.contact_id(),
            at=self._clock.now(),
            actor=actor.actor_id,
            door=door,
            content_type=content_type[:200],
            raw=raw[:RAW_MAX_BYTES],
            fault=fault[:FAULT_MAX].replace("\0", "\ufffd"),
            region=home_of(actor),
        )

    async def drain(self) -> int:
        """Give the backlog to the store; returns how many still wait.

        Whoever sent one was told its name, so only what the store refuses for what it is goes. A fault of our own
        leaves it waiting behind the others, for it may be with this one.
        """
        for _ in range(len(self._backlog)):
            if not self._backlog:
                break  # Somebody else drains too.
            waiting = self._backlog.popleft()
            try:
                await self._shelf.keep_contact(waiting.contact)
            except ServiceAway:
                self._backlog.appendleft(waiting)
                break
            except asyncio.CancelledError:
                # Kept twice, it is there once.
                self._backlog.appendleft(waiting)
                raise
            except Exception as fault:
                self._not_kept(waiting, fault)
        return len(self._backlog)

    def _not_kept(self, waiting: Waiting, fault: Exception) -> None:
        if refuses(fault):
            waiting.lost = True
            self._counter.labels(waiting.contact.door, "lost").inc()
            # By its kind only: the database quotes what it refuses.
            log.error("an unreadable contact is refused: %s", type(fault).__name__, extra={"action": "contact"})
            return
        self._backlog.append(waiting)
        if self._sayings.worth(fault):
            log.exception("an unreadable contact cannot be kept yet", extra={"action": "contact"})

    def _within_rate(self, sender: str) -> bool:
        """A leaky bucket in one number: when the sender's allowance would be full again."""
        now_s = self._clock.now().timestamp()
        full_at_s = max(now_s, self._full_at_s.pop(sender, 0.0)) + INTERVAL_S
        within = full_at_s - now_s <= INTERVAL_S * BURST
        self._full_at_s[sender] = full_at_s if within else full_at_s - INTERVAL_S
        if len(self._full_at_s) > SENDERS_MAX:
            self._full_at_s.popitem(last=False)
        return within


def home_of(actor: Actor) -> RegionId | None:
    """The region that the actor stands for: the first of its own, or None when it sees everywhere."""
    return next((region for region in actor.regions if region != EVERYWHERE), None)
