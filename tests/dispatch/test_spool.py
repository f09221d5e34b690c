"""What the spool took is there after a crash, once and in order; what it could not keep it never took."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dispatch.actors import Actor, Role
from dispatch.core.terms import ActorId, CallId
from dispatch.errors import ServiceAway
from dispatch.keeping import spool as spooling
from dispatch.keeping.spool import Spool, Spooled

SENDER = Actor(actor_id=ActorId("device:1"), role=Role.DEVICE, username="1")


def call(name: str, key: str | None = None) -> Spooled:
    return Spooled(
        call_id=CallId(name),
        at=datetime(2026, 3, 1, tzinfo=UTC),
        actor=SENDER,
        raw='{"channel":"app","text":"ёрдам\\n"}'.encode(),
        answer=b"{}",
        key=key,
    )


async def drained(spool: Spool) -> list[str]:
    names = []
    while (first := spool.first()) is not None:
        names.append(str(first.call_id))
        await spool.committed(first)
    return names


def loaded(folder: Path) -> Spool:
    spool = Spool(folder)
    spool.load()
    return spool


async def test_calls_come_out_in_the_order_they_came_in_after_a_restart(tmp_path: Path) -> None:
    before = loaded(tmp_path / "spool")
    await asyncio.gather(*(before.add(call(f"c{n:03}")) for n in range(50)))
    assert await drained(loaded(tmp_path / "spool")) == [f"c{n:03}" for n in range(50)]


async def test_what_was_committed_before_a_crash_does_not_come_again(tmp_path: Path) -> None:
    before = loaded(tmp_path)
    for name in ("a", "b", "c"):
        await before.add(call(name))
    first = before.first()
    assert first is not None
    await before.committed(first)
    assert await drained(loaded(tmp_path)) == ["b", "c"]


async def test_an_emptied_spool_leaves_no_file_and_begins_anew(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    await spool.add(call("a"))
    assert await drained(spool) == ["a"]
    assert list(tmp_path.iterdir()) == []
    await spool.add(call("b"))
    assert await drained(loaded(tmp_path)) == ["b"]


async def test_a_mark_that_outlived_its_lines_hides_no_new_call(tmp_path: Path) -> None:
    (tmp_path / "committed").write_text("7")
    spool = Spool(tmp_path)
    await spool.add(call("a"))
    assert await drained(loaded(tmp_path)) == ["a"]


async def test_a_line_torn_by_a_crash_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    await loaded(tmp_path).add(call("a"))
    with (tmp_path / "calls.jsonl").open("ab") as file:
        file.write(b'{"call_id":"torn","at":"2026-')
    after = loaded(tmp_path)
    await after.add(call("b"))
    assert await drained(loaded(tmp_path)) == ["a", "b"]


async def test_a_repeated_key_finds_the_call_that_waits(tmp_path: Path) -> None:
    await loaded(tmp_path).add(call("a", key="k"))
    spool = loaded(tmp_path)
    waiting = spool.repeated(SENDER, "k")
    assert waiting is not None
    assert waiting.call_id == "a"
    assert spool.repeated(SENDER, "other") is None
    await drained(spool)
    assert spool.repeated(SENDER, "k") is None


async def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    await loaded(tmp_path / "spool").add(call("a"))
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert (tmp_path / "spool" / "calls.jsonl").stat().st_mode & 0o077 == 0


async def test_a_full_spool_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "ENTRIES_MAX", 2)
    spool = loaded(tmp_path)
    await spool.add(call("a"))
    await spool.add(call("b"))
    with pytest.raises(ServiceAway, match="full"):
        await spool.add(call("c"))


async def test_a_disk_that_takes_nothing_takes_no_call(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    spool = Spool(blocked)
    with pytest.raises(ServiceAway, match="cannot be written"):
        await spool.add(call("a"))
    assert len(spool) == 0
    os.remove(blocked)
    await spool.add(call("b"))
    assert await drained(loaded(blocked)) == ["b"]
