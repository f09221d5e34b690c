"""A fault of our own refuses no emergency: the call is on the disk, and comes into the journal or before a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from dispatch import engine as deciding
from dispatch import intake as taking
from dispatch.calling.reception import Contact
from dispatch.core.commands import Command, ReceiveCall
from dispatch.core.decide import decide
from dispatch.core.state import RegionState
from dispatch.core.terms import Location, LocationFix, RegionId
from dispatch.core.verdict import Verdict
from dispatch.engine import Reply
from dispatch.keeping.memory import MemoryStore
from dispatch.web.problems import Problem
from tests.servers.api_world import CHORSU, TK, ApiWorld
from tests.servers.test_api_spool import HERE, committed

POISON = [{"source": "app", "point": CHORSU, "accuracy_m": 77}]
"""A place at which the planted bugs are."""


async def emptied(world: ApiWorld) -> None:
    async with asyncio.timeout(60):
        while len(world.spool or ()):
            await asyncio.sleep(0.02)


def fault(*_: Any, **__: Any) -> Any:
    raise KeyError("our own bug")


def locating(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    locator = world.interface.intake.reception.locator
    estimate = locator.estimate

    def estimated(fixes: Sequence[LocationFix], now: datetime) -> Location | None:
        return fault() if any(fix.accuracy_m == 77 for fix in fixes) else estimate(fixes, now)

    monkeypatch.setattr(locator, "estimate", estimated)


def decision(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def decided(state: RegionState, command: Command, now: datetime) -> Verdict:
        told = command.evidence if isinstance(command, ReceiveCall) else ()
        return fault() if any(fix.accuracy_m == 77 for fix in told) else decide(state, command, now)

    monkeypatch.setattr(deciding, "decide", decided)


@pytest.mark.parametrize("plant", [locating, decision])
async def test_a_call_that_we_fail_to_locate_or_decide_is_kept_and_waits_for_a_person(
    world: ApiWorld,
    twin: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[ApiWorld, pytest.MonkeyPatch], None],
) -> None:
    plant(world, monkeypatch)
    body = {"channel": "app", "location": POISON, "text": "Yordam"}
    got = await world.post("calls", body, key="k-1")
    assert (got.status, got.json["flags"][0]) == (201, "spooled")
    assert await world.counted("dispatch112_faults_total", where="intake") == 1
    again = await world.post("calls", body, key="k-1")
    assert (again.status, again.raw) == (201, got.raw)
    # The next caller is none the worse for it, also where the region is read again first.
    here = await world.new_call(location=HERE)
    await committed(world, here["call_id"])
    found, _ = await twin.contacts(None, None, 9)
    assert [(contact.door, contact.fault) for contact in found] == [("spool", "our own fault: KeyError")]
    assert b"Yordam" in found[0].raw
    # Told again it is the same, and nobody looks into it twice.
    again = await world.post("calls", body, key="k-1")
    assert (again.status, again.raw) == (201, got.raw)
    await emptied(world)
    assert (await twin.contacts(None, None, 9))[0] == found
    assert list(world.engine.replicas.states[TK].calls) == [here["call_id"]]


async def test_a_committed_call_that_is_told_again_is_the_same_call_though_we_fail_at_it_now(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"channel": "app", "location": POISON}
    first = await world.post("calls", body, key="k-1")
    locating(world, monkeypatch)
    again = await world.post("calls", body, key="k-1")
    assert (again.status, again.raw) == (201, first.raw)
    assert not len(world.spool or ())


@pytest.mark.parametrize("name", ["caller_known_by", "spooled_receipt", "_said_to_be"])
async def test_a_call_is_spooled_whatever_cannot_be_said_of_it(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(taking, name, fault)
        twin.faults.away = True
        got = await world.post("calls", {"channel": "app", "location": HERE}, key="k-1")
        assert (got.status, got.json["flags"][0]) == (201, "spooled")
    twin.faults.away = False
    await committed(world, got.json["call_id"])


async def test_a_fault_behind_the_commit_does_not_hide_it_from_the_sender(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.interface.intake.reception, "put", fault)
    got = await world.post("calls", {"channel": "app", "location": HERE})
    assert (got.status, got.json.get("flags"), got.json["seq"]) == (201, None, 1)
    assert list(world.engine.replicas.states[TK].calls) == [got.json["call_id"]]
    assert not len(world.spool or ())


@pytest.mark.parametrize("key", [None, "k-1"])
async def test_a_call_that_was_committed_before_the_fault_is_one_call_under_one_id(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    submit = world.engine.submit

    async def committed_and_lost(region: RegionId, command: Command, **more: Any) -> Reply:
        await submit(region, command, **more)
        monkeypatch.undo()
        return fault()  # type: ignore[no-any-return]

    monkeypatch.setattr(world.engine, "submit", committed_and_lost)
    got = await world.post("calls", {"channel": "app", "location": HERE}, key=key)
    assert got.status == 201
    await emptied(world)
    assert list(world.engine.replicas.states[TK].calls) == [got.json["call_id"]]
    assert (await twin.contacts(None, None, 9))[0] == []


async def test_a_callers_own_error_is_answered_as_one_and_nothing_is_spooled(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(contact: Contact) -> Reply:
        raise Problem("outside_country", "Not here.")

    monkeypatch.setattr(world.interface.intake.reception, "receive", refused)
    got = await world.post("calls", {"channel": "app", "location": HERE}, key="k-1")
    assert (got.status, got.code) == (422, "outside_country")
    assert not len(world.spool or ())
