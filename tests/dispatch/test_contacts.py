"""Unreadable contacts wait while the database is away, within limits, and no sender can fill the shelf."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from dispatch.actors import Actor, Role
from dispatch.calling.contacts import BACKLOG_MAX, BURST, INTERVAL_S, RAW_MAX_BYTES, Contacts
from dispatch.clock import ManualClock
from dispatch.core.terms import ActorId
from dispatch.errors import ServiceAway
from dispatch.ids import IdSource
from dispatch.keeping.memory import MemoryStore
from dispatch.web.metrics import Metrics
from dispatch.writing.records import UnreadableContact


class FailingShelf:
    """A shelf in front of the twin that is away when told so."""

    def __init__(self) -> None:
        self.away = False
        self.store = MemoryStore()

    async def keep_contact(self, contact: UnreadableContact) -> None:
        if self.away:
            raise ServiceAway("told so")
        await self.store.keep_contact(contact)

    async def kept(self) -> list[UnreadableContact]:
        return (await self.store.contacts(None, None, 1000))[0]


def sender(number: int = 0) -> Actor:
    return Actor(actor_id=ActorId(f"device:{number}"), role=Role.DEVICE, username=str(number))


def contacts(shelf: FailingShelf, clock: ManualClock) -> Contacts:
    return Contacts(shelf, IdSource(clock, 1), clock, Metrics())


async def test_a_contact_that_comes_while_the_database_is_away_is_kept_afterwards() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken = contacts(shelf, clock)
    shelf.away = True
    first = await taken.keep(b"help", "not JSON", sender(1), ("http", "text/plain"))
    assert first is not None
    assert await shelf.kept() == []
    shelf.away = False
    second = await taken.keep(b"help again", "not JSON", sender(2), ("http", "text/plain"))
    assert [contact.contact_id for contact in await shelf.kept()] == [first, second]


async def test_whoever_gives_up_while_it_keeps_what_waits_takes_none_of_it_along() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken = contacts(shelf, clock)
    shelf.away = True
    names = [await taken.keep(b"help", "not JSON", sender(n), ("http", "text/plain")) for n in range(3)]
    shelf.away, shelf.store.faults.latency_s = False, 3600.0
    giving_up = asyncio.create_task(taken.drain())
    await asyncio.sleep(0.01)
    giving_up.cancel()
    await asyncio.gather(giving_up, return_exceptions=True)
    shelf.store.faults.latency_s = 0.0
    assert await taken.drain() == 0
    assert [contact.contact_id for contact in await shelf.kept()] == names


async def test_a_contact_that_cannot_be_kept_at_all_holds_no_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken, keep = contacts(shelf, clock), shelf.store.keep_contact

    async def refuse(contact: UnreadableContact) -> None:
        if contact.raw == b"bad":
            raise ValueError("a fault of our own")
        await keep(contact)

    monkeypatch.setattr(shelf.store, "keep_contact", refuse)
    shelf.away = True
    for raw in (b"bad", b"good"):
        await taken.keep(raw, "not JSON", sender(), ("http", "text/plain"))
    shelf.away = False
    assert await taken.drain() == 0
    assert [contact.raw for contact in await shelf.kept()] == [b"good"]


async def test_a_fault_that_is_not_the_contacts_loses_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken, keep = contacts(shelf, clock), shelf.store.keep_contact

    async def lets_nobody_in(contact: UnreadableContact) -> None:
        raise asyncpg.InvalidAuthorizationSpecificationError("no entry for this host")

    async def stumbles(contact: UnreadableContact) -> None:
        if contact.raw == b"0":
            raise KeyError("a fault of our own")
        await keep(contact)

    shelf.away = True
    told = [await taken.keep(b"%d" % n, "not JSON", sender(n), ("http", "text/plain")) for n in range(3)]
    shelf.away = False
    monkeypatch.setattr(shelf.store, "keep_contact", lets_nobody_in)
    assert await taken.drain() == 3
    monkeypatch.setattr(shelf.store, "keep_contact", stumbles)
    assert await taken.drain() == 1
    monkeypatch.setattr(shelf.store, "keep_contact", keep)
    assert await taken.drain() == 0
    assert {contact.contact_id for contact in await shelf.kept()} == set(told)


async def test_nobody_is_told_the_name_of_a_contact_that_was_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()

    async def refuse(contact: UnreadableContact) -> None:
        raise asyncpg.DataError(f"invalid input: {contact.raw!r}")

    monkeypatch.setattr(shelf.store, "keep_contact", refuse)
    assert await contacts(shelf, clock).keep(b"yordam", "not JSON", sender(), ("http", "text/plain")) is None
    assert "DataError" in caplog.text and "yordam" not in caplog.text


async def test_a_fault_that_quotes_a_nul_can_be_kept() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    await contacts(shelf, clock).keep(b'{"\\u0000":1}', "unknown field `\0`", sender(), ("http", "text/plain"))
    assert [contact.fault for contact in await shelf.kept()] == ["unknown field `\ufffd`"]


async def test_what_waits_for_the_database_is_bounded() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken = contacts(shelf, clock)
    shelf.away = True
    ids = [await taken.keep(b"x", "f", sender(n), ("http", "")) for n in range(BACKLOG_MAX + 5)]
    assert ids[-5:] == [None] * 5
    shelf.away = False
    assert await taken.drain() == 0
    assert len(await shelf.kept()) == BACKLOG_MAX


async def test_a_sender_over_its_rate_is_heard_again_later() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    taken = contacts(shelf, clock)
    kept = [await taken.keep(b"x", "f", sender(), ("http", "")) for _ in range(BURST + 3)]
    assert [contact is not None for contact in kept] == [True] * BURST + [False] * 3
    assert await taken.keep(b"x", "f", sender(1), ("http", "")) is not None
    clock.advance(INTERVAL_S)
    assert await taken.keep(b"x", "f", sender(), ("http", "")) is not None


async def test_no_more_of_a_contact_is_kept_than_its_beginning() -> None:
    shelf, clock = FailingShelf(), ManualClock()
    await shelf.store.open()
    await contacts(shelf, clock).keep(b"x" * 200_000, "f" * 10_000, sender(), ("http", "t" * 10_000))
    (kept,) = await shelf.kept()
    assert (len(kept.raw), len(kept.fault) <= 300, len(kept.content_type) <= 200) == (
        RAW_MAX_BYTES,
        True,
        True,
    )
