"""A database that answers and serves nobody, as after a password was changed: who calls is heard all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Never

import asyncpg
import pytest

from consoles.access import RECHECK_S
from dispatch.keeping.connection import away_or_same
from dispatch.keeping.memory import MemoryStore
from tests.servers.api_world import CHORSU, TK, api_world, secret

CALL = {"channel": "app", "location": [{"source": "app", "point": CHORSU, "accuracy_m": 20}]}


async def test_whoever_was_known_is_known_though_a_fault_of_our_own_keeps_us_from_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = MemoryStore()
    await twin.open()

    async def broken(token: bytes) -> Never:
        raise KeyError("a fault of our own")

    async with api_world(twin, tmp_path / "spool") as world:
        actor = await world.access.verified(secret("device"))
        with monkeypatch.context() as patch:
            patch.setattr(twin, "get_device", broken)
            await asyncio.sleep(RECHECK_S)
            assert await world.access.verified(secret("device")) == actor
            assert await world.access.live(actor)
            with pytest.raises(KeyError):
                await world.access.verified("somebody unknown")


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("the database does not exist"),
        asyncpg.InsufficientPrivilegeError("permission denied for table answers"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.DataCorruptedError("invalid page in block 7"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_call_is_spooled_and_committed_later(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = MemoryStore()
    await twin.open()

    async def unserved(*_: Any) -> Never:
        raise away_or_same(fault)

    async with api_world(twin, tmp_path / "spool") as world:
        await world.get("regions")  # Who asks is known then.
        world.engine._recollection._known.certain.clear()  # As of a region that was taken over a moment ago.
        with monkeypatch.context() as patch:
            for asked in ("recall", "get_device", "append", "head", "keep_contact"):
                patch.setattr(twin, asked, unserved)
            await asyncio.sleep(RECHECK_S)  # Who asks is looked up again.
            got = [await world.post("calls", CALL, key=f"k-{number}") for number in range(3)]
            assert [each.status for each in got] == [201] * 3
            assert [each.json["flags"] for each in got] == [["spooled"]] * 3
            unreadable = await world.post("calls", b"yordam!")
            assert (unreadable.status, len(world.interface.contacts._backlog)) == (400, 1)
        async with asyncio.timeout(60):
            while world.spool is None or len(world.spool) or world.interface.contacts._backlog:
                await asyncio.sleep(0.02)
        assert list(world.engine.replicas.states[TK].calls) == [each.json["call_id"] for each in got]
        kept, _ = await twin.contacts(None, None, 10)
        assert [contact.contact_id for contact in kept] == [unreadable.json["contact_id"]]
