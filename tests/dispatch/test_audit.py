"""What the audit still writes before a stop, and what a database that does not take it costs the stop."""

import asyncio
from collections.abc import Sequence

import pytest

from consoles.front import cancelled
from dispatch.actors import SYSTEM_ACTOR
from dispatch.clock import ManualClock
from dispatch.errors import ServiceAway
from dispatch.keeping.memory import MemoryStore
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.writing.records import AuditEntry


class World:
    """An audit over a store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.audit = Audit(self.store, ManualClock(), self.metrics)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.store.open()
    return made


@pytest.mark.parametrize("database", ["silent", "away", "refusing"])
async def test_a_stop_is_not_held_up_by_the_audit_nor_ended_by_it(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is silent is waited for as long as any last work; what is lost is counted."""
    monkeypatch.setattr("dispatch.writing.upkeep.LAST_WORK_S", 0.05)
    asked = 0

    async def audit(entries: Sequence[AuditEntry]) -> None:
        nonlocal asked
        asked += 1
        if database == "refusing":
            raise KeyError("no table of that name")
        if database == "away":
            raise ServiceAway("the store is away")
        await asyncio.Event().wait()

    monkeypatch.setattr(world.store, "audit", audit)
    running = asyncio.create_task(world.audit.run())
    await asyncio.sleep(0)
    for subject in ("call:1", "call:2"):
        world.audit.note(SYSTEM_ACTOR, "read", subject)
    async with asyncio.timeout(60.0):
        await cancelled(running)
        await world.audit.close()
    assert asked == 1
    assert world.metrics.registry.get_sample_value("dispatch112_audit_dropped_total") == 2


async def test_before_a_stop_the_audit_writes_all_that_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.web.audit.BATCH_MAX", 2)
    for _ in range(5):
        world.audit.note(SYSTEM_ACTOR, "read", "call:1")
    await world.audit.close()
    assert len(await world.store.audited("call:1", 10)) == 5
    assert world.metrics.registry.get_sample_value("dispatch112_audit_dropped_total") == 0
