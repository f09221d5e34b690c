"""A call whose commit was under way when the database went: its caller has an answer as soon as everybody else, and it
is one call afterwards."""

import asyncio

import pytest

from dispatch.keeping.memory import MemoryStore
from dispatch.store import StoreAway
from tests.servers.api_world import CHORSU, TK, ApiWorld, Got

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]


@pytest.mark.parametrize("key", ["mine", None])
@pytest.mark.parametrize("kept", [True, False])
async def test_a_call_in_doubt_is_spooled_and_is_one_call_afterwards(
    world: ApiWorld, twin: MemoryStore, kept: bool, key: str | None
) -> None:
    head, known = twin.head, asyncio.Event()

    async def silent(region: str) -> tuple[int, bytes]:
        if not known.is_set():
            raise StoreAway("silent")
        return await head(region)

    async def told() -> Got:
        async with asyncio.timeout(60):
            return await world.post("calls", {"channel": "app", "location": HERE}, key=key)

    before = len(world.engine.replicas.states[TK].calls)
    twin.head = silent  # type: ignore[method-assign]
    twin.faults.fail_after_commit, twin.faults.lose_commit = (1, 0) if kept else (0, 1)
    first = await told()
    twin.faults.away = True
    assert (first.status, first.json["flags"]) == (201, ["spooled"])
    if key is not None:
        assert (await told()).json["call_id"] == first.json["call_id"]
    twin.faults.away = False
    known.set()
    async with asyncio.timeout(60):
        while len(world.spool or ()) or len(world.engine.replicas.states[TK].calls) == before:
            await asyncio.sleep(0.01)
    assert len(world.engine.replicas.states[TK].calls) == before + 1
    assert first.json["call_id"] in world.engine.replicas.states[TK].calls
    contacts, _ = await twin.contacts(None, None, 10)
    assert contacts == [], "none is kept for a supervisor as well"
