"""A call of the spool that the database will never take goes before a person, and takes nobody's call with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from consoles.carrying import Carried, Carrier
from dispatch.core.commands import ReceiveCall
from dispatch.core.terms import SYSTEM, CallId, Channel
from dispatch.engine import Reply
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.spool import Spooled
from dispatch.store import Refused, StoreAway
from dispatch.writing import committer
from dispatch.writing.readmodels import rows
from dispatch.writing.records import Appended, Batch, Rows
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld
from tests.servers.test_api_spool import HERE, SENDER
from tests.servers.test_draining import unasked

Plant = Callable[[MemoryStore, pytest.MonkeyPatch], None]
BAD = CallId("c-2")


def unfit(twin: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database refuses every batch with that call, its region by name."""
    append = twin.append

    async def refusing(batch: Batch) -> Appended:
        hit = {row.region for row in batch.rows.calls if row.call_id == BAD}
        rest = batch.only(batch.regions() - hit) if hit else batch
        kept = await append(rest) if rest.events else Appended()
        refused = kept.refused | dict.fromkeys(hit, "unfit: DataError 22P02")
        return Appended(refused=refused, repeated=kept.repeated)

    monkeypatch.setattr(twin, "append", refusing)


def unwritable(twin: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """We fail to write down every batch with that call, of whatever region."""

    def failing(*of: Any) -> Rows:
        made = rows(*of)
        if any(row.call_id == BAD for row in made.calls):
            raise KeyError("our own bug")
        return made

    monkeypatch.setattr(committer, "rows", failing)


def calls(world: ApiWorld, names: list[str], point: list[float] = CHORSU) -> list[Spooled]:
    told = msgspec.json.encode({"channel": "app", "location": [{"source": "app", "point": point}]})
    region = TK if point is CHORSU else SA
    return [
        Spooled(call_id=CallId(name), at=world.clock.now(), actor=SENDER, raw=told, answer=b"{}", region=region)
        for name in names
    ]


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("plant", [unfit, unwritable])
async def test_a_call_that_is_refused_alone_goes_before_a_person_and_all_others_into_the_journal(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    plant(twin, monkeypatch)
    assert world.spool is not None
    spool = world.spool
    twin.faults.away = True
    for call in (*calls(world, ["c-0", "c-1", BAD, "c-3", "c-4"]), *calls(world, ["c-5", "c-6"], REGISTAN)):
        await spool.add(call)
    twin.faults.away = False
    await until(lambda: not len(spool))
    states = world.engine.replicas.states
    assert list(states[TK].calls) == ["c-0", "c-1", "c-3", "c-4"]
    assert list(states[SA].calls) == ["c-5", "c-6"]
    found, _ = await twin.contacts(None, None, 9)
    assert [(contact.door, contact.fault) for contact in found] == [("spool", "the database refuses it")]
    # Nothing is left that stops the region.
    await until(lambda: TK in world.engine.led)
    got = await world.new_call(location=HERE)
    assert got["call_id"] in states[TK].calls


async def test_a_call_that_was_refused_for_anothers_sake_is_committed(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, refusals = twin.append, 2

    async def refusing(batch: Batch) -> Appended:
        nonlocal refusals
        if refusals and batch.rows.calls:
            refusals -= 1
            return Appended(refused=dict.fromkeys(batch.regions(), "conflict: assignments_one_live_a_unit"))
        return await append(batch)

    monkeypatch.setattr(twin, "append", refusing)
    assert world.spool is not None
    spool = world.spool
    twin.faults.away = True
    for call in calls(world, ["c-0", "c-1", "c-2"]):
        await spool.add(call)
    twin.faults.away = False
    await until(lambda: not len(spool))
    assert list(world.engine.replicas.states[TK].calls) == ["c-0", "c-1", "c-2"]
    assert (refusals, (await twin.contacts(None, None, 9))[0]) == (0, [])


async def test_a_carried_call_that_is_refused_alone_is_kept_raw_by_whoever_leads(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit(twin, monkeypatch)
    carrier = Carrier(world.interface.intake, world.neighbours.inbox, world.leader.leases, unasked)
    carried = Carried(calls=tuple(calls(world, ["c-1", BAD, "c-3"])))
    async with asyncio.timeout(60):
        while await carrier.keep(carried) is not None:
            await asyncio.sleep(0.05)
    assert list(world.engine.replicas.states[TK].calls) == ["c-1", "c-3"]
    found, _ = await twin.contacts(None, None, 9)
    assert [contact.raw for contact in found] == [carried.calls[1].raw]


async def test_what_waits_behind_a_refused_batch_is_not_refused(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit(twin, monkeypatch)
    append, begun, may_go_on = twin.append, asyncio.Event(), asyncio.Event()

    async def slowly(batch: Batch) -> Appended:
        begun.set()
        await may_go_on.wait()
        return await append(batch)

    monkeypatch.setattr(twin, "append", slowly)

    async def asked(name: str) -> Reply:
        return await world.engine.submit(TK, ReceiveCall(actor=SYSTEM, call_id=CallId(name), channel=Channel.VOICE))

    first = asyncio.create_task(asked(BAD))
    await begun.wait()
    behind = asyncio.create_task(asked("c-behind"))
    await asyncio.sleep(0.05)
    may_go_on.set()
    said = await asyncio.gather(first, behind, return_exceptions=True)
    assert [type(each) for each in said] == [Refused, StoreAway]
