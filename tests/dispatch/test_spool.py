"""What the spool took is there after a crash, once and in order; what it could not keep it never took."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from dispatch.actors import Actor, Role
from dispatch.core.terms import ActorId, CallId
from dispatch.errors import ServiceAway
from dispatch.keeping import spool as spooling
from dispatch.keeping.spool import Spool, Spooled
from dispatch.keeping.spool_files import RESERVE_BYTES, Files
from tests.small_disk import fill

ROOT = Path(__file__).resolve().parents[2]
SPOOLING = """
import asyncio, sys
from pathlib import Path
from tests.dispatch.test_spool import call, loaded

async def spool():
    kept = loaded(Path(sys.argv[1]))
    number = 0
    while True:
        names = [f"c{number + n:06}" for n in range(8)]
        number += 8
        await asyncio.gather(*(kept.add(call(name)) for name in names))
        print("\\n".join(names), flush=True)

asyncio.run(spool())
"""
"""Spools calls eight at a time and says each one's name once it is answered."""

SENDER = Actor(actor_id=ActorId("device:1"), role=Role.DEVICE, username="1")


def call(name: str, key: str | None = None, region: str = "") -> Spooled:
    return Spooled(
        call_id=CallId(name),
        at=datetime(2026, 3, 1, tzinfo=UTC),
        actor=SENDER,
        raw='{"channel":"app","text":"ёрдам\\n"}'.encode(),
        answer=b"{}",
        key=key,
        region=region,
    )


async def test_what_is_being_written_for_somebody_who_gave_up_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another spool on the same files, opened before that, would be cut off by it."""
    spool, may_write = loaded(tmp_path), threading.Event()
    append = spool._files.append

    def slowly(lines: list[bytes]) -> None:
        may_write.wait(10)
        append(lines)

    monkeypatch.setattr(spool._files, "append", slowly)
    giving_up = asyncio.create_task(spool.add(call("c1")))
    await asyncio.sleep(0.05)
    giving_up.cancel()
    written = asyncio.create_task(spool.written())
    await asyncio.sleep(0.05)
    assert not written.done()
    may_write.set()
    await written
    assert len(loaded(tmp_path)) == 1


async def drained(spool: Spool) -> list[str]:
    names = []
    while (first := spool.first()) is not None:
        names.append(str(first.call_id))
        await spool.committed([first])
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
    await before.committed([first])
    assert await drained(loaded(tmp_path)) == ["b", "c"]


@pytest.mark.parametrize(
    ("mark", "waiting"),
    [("1", "bcdef"), ("1 3-4\n", "bcf"), ("1 3-", "bcdef"), ("1 3-4", "bcdef"), ("", "abcdef"), ("x\n", "abcdef")],
    ids=["of one number", "whole", "torn", "torn where it could end", "empty", "spoilt"],
)
async def test_a_mark_that_is_torn_hides_no_call(tmp_path: Path, mark: str, waiting: str) -> None:
    before = loaded(tmp_path)
    for name in "abcdef":
        await before.add(call(name))
    (tmp_path / "committed").write_text(mark)
    assert await drained(loaded(tmp_path)) == list(waiting)


async def test_whoever_gives_up_waiting_for_the_mark_lets_nobody_at_the_files_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, removes, go = loaded(tmp_path), threading.Event(), threading.Event()
    await spool.add(call("a"))
    remove = Files.remove

    def slowly(files: Files) -> None:
        removes.set()
        go.wait(5)
        remove(files)

    monkeypatch.setattr(Files, "remove", slowly)
    stopping = asyncio.create_task(spool.committed(spool.oldest("", 1)))
    await asyncio.to_thread(removes.wait, 5)
    stopping.cancel()
    adding = asyncio.create_task(spool.add(call("b")))
    await asyncio.sleep(0.05)
    assert not adding.done()
    go.set()
    await adding
    assert await drained(loaded(tmp_path)) == ["b"]


async def test_what_was_committed_behind_a_region_that_nobody_writes_does_not_come_again(tmp_path: Path) -> None:
    before = loaded(tmp_path)
    for name, region in (("a", "UZ-SA"), ("b", "UZ-TK"), ("c", "UZ-SA"), ("d", "UZ-TK"), ("e", "UZ-TK")):
        await before.add(call(name, region=region))
    assert before.regions() == ["UZ-SA", "UZ-TK"]
    await before.committed(before.oldest("UZ-TK", 2))
    again = loaded(tmp_path)
    assert await drained(again) == ["a", "c", "e"]
    assert list(tmp_path.iterdir()) == []
    for kept in (loaded(tmp_path), again):
        assert kept.regions() == []


async def test_an_emptied_spool_leaves_no_file_and_begins_anew(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    await spool.add(call("a"))
    assert await drained(spool) == ["a"]
    assert list(tmp_path.iterdir()) == []
    await spool.add(call("b"))
    assert await drained(loaded(tmp_path)) == ["b"]


@pytest.mark.parametrize("file", ["calls.jsonl", "committed"])
async def test_files_that_the_disk_lets_not_go_hide_no_call_that_comes_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    spool = loaded(tmp_path)
    for name in ("old-0", "old-1", "old-2"):
        await spool.add(call(name))
    await spool.committed(spool.oldest("", 2))
    with monkeypatch.context() as failing:
        failing.setattr(Path, "unlink", failing_at(file))
        await spool.committed(spool.oldest("", 1))
    for name in ("new-0", "new-1", "new-2", "new-3", "new-4"):
        await spool.add(call(name))
    assert list(loaded(tmp_path)._waiting) == ["new-0", "new-1", "new-2", "new-3", "new-4"]
    # Those that are marked behind one that waits are told by their lines.
    waiting = spool.oldest("", 9)
    await spool.committed([waiting[1], waiting[4]])
    assert list(loaded(tmp_path)._waiting) == ["new-0", "new-2", "new-3"]


def failing_at(file: str) -> Callable[..., None]:
    """A way to remove files which one of them withstands."""
    unlink = Path.unlink

    def removed(path: Path, missing_ok: bool = False) -> None:
        if path.name == file:
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, missing_ok=missing_ok)

    return removed


async def test_files_that_the_disk_lets_not_go_stop_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(tmp_path)
    await before.add(call("a"))
    with monkeypatch.context() as failing:
        failing.setattr(Path, "unlink", failing_at("calls.jsonl"))
        await before.committed(before.oldest("", 1))
        assert len(loaded(tmp_path)) == 0
    assert len(loaded(tmp_path)) == 0
    assert not (tmp_path / "calls.jsonl").exists()


@pytest.mark.parametrize("left", [None, 0, 1])
async def test_lines_that_the_file_has_lost_are_written_anew_with_the_next_call(
    tmp_path: Path, left: int | None
) -> None:
    spool, lines = loaded(tmp_path), tmp_path / "calls.jsonl"
    for name in ("a", "b", "c", "d"):
        await spool.add(call(name))
    await spool.committed(spool.oldest("", 1))
    if left is None:
        lines.unlink()
    else:
        lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:left]))
    await spool.add(call("e"))
    assert list(loaded(tmp_path)._waiting) == ["b", "c", "d", "e"]
    await spool.committed([spool.oldest("", 9)[1]])
    assert await drained(loaded(tmp_path)) == ["b", "d", "e"]


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
    waiting = spool.repeated(SENDER.actor_id, "k")
    assert waiting is not None
    assert waiting.call_id == "a"
    assert spool.repeated(SENDER.actor_id, "other") is None
    await drained(spool)
    assert spool.repeated(SENDER.actor_id, "k") is None


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


async def test_nobody_is_told_that_a_call_is_kept_when_its_batch_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = loaded(tmp_path)
    whole, begun = Files.append, threading.Event()

    def slow_then_full(files: Files, lines: list[bytes]) -> None:
        if any(b'"full' in line for line in lines):
            raise OSError(errno.ENOSPC, "No space left on device")
        begun.wait(5)
        whole(files, lines)

    monkeypatch.setattr(Files, "append", slow_then_full)
    first = asyncio.create_task(spool.add(call("a")))
    await asyncio.sleep(0.05)
    # These gather behind the write under way, and are one batch: none of it may be acknowledged.
    behind = [asyncio.create_task(spool.add(call(f"full{n}"))) for n in range(5)]
    await asyncio.sleep(0.05)
    begun.set()
    await first
    said = await asyncio.gather(*behind, return_exceptions=True)
    assert [type(each) for each in said] == [ServiceAway] * 5
    assert await drained(loaded(tmp_path)) == ["a"]


async def test_who_gives_up_waiting_takes_nobody_elses_call_with_it(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    impatient = asyncio.create_task(spool.add(call("a")))
    patient = [asyncio.create_task(spool.add(call(name))) for name in ("b", "c")]
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(*patient)
    assert [name for name in await drained(loaded(tmp_path)) if name != "a"] == ["b", "c"]
    assert [name for name in await drained(spool) if name != "a"] == ["b", "c"]


async def test_a_mark_that_a_power_cut_emptied_marks_nothing(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    for name in ("a", "b"):
        await spool.add(call(name))
    (tmp_path / "committed").write_bytes(b"")
    assert await drained(loaded(tmp_path)) == ["a", "b"]


async def test_a_file_as_large_as_it_may_be_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = loaded(tmp_path)
    await spool.add(call("a"))
    monkeypatch.setattr(spooling, "BYTES_MAX", spool.bytes_kept)
    with pytest.raises(ServiceAway, match="full"):
        await spool.add(call("b"))
    assert await drained(spool) == ["a"]
    await spool.add(call("b"))


async def test_a_callers_waiting_call_is_known_by_the_caller(tmp_path: Path) -> None:
    await loaded(tmp_path).add(msgspec.structs.replace(call("a"), caller="998901234567"))
    spool = loaded(tmp_path)
    assert spool.holds("998901234567")
    assert not spool.holds("998900000000") and not spool.holds("")
    await drained(spool)
    assert not spool.holds("998901234567")


async def test_a_full_disk_gives_the_spool_the_room_held_for_it_and_tears_nothing(small_disk: Path) -> None:
    spool = loaded(small_disk / "spool")
    assert spool.reserve()
    fill(small_disk)
    kept: list[str] = []
    large = msgspec.structs.replace(call("x"), raw=b'{"text":"' + b"x" * 60_000 + b'"}')
    with contextlib.suppress(ServiceAway):
        while len(kept) < 10_000:
            name = f"c{len(kept):05}"
            await spool.add(msgspec.structs.replace(large, call_id=CallId(name)))
            kept.append(name)
    # Base64 makes 80 kB of 60: the reserve holds them and nothing else had room.
    assert RESERVE_BYTES // 100_000 < len(kept) < 10_000
    again = loaded(small_disk / "spool")
    assert await drained(again) == kept
    assert again.reserve()


def test_a_call_is_on_the_disk_when_its_process_is_killed_right_after_the_answer(tmp_path: Path) -> None:
    """A process that spools without end is killed in the middle of it: whatever it had said is there, in order."""
    child = subprocess.Popen(
        [sys.executable, "-c", SPOOLING, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ}
    )
    assert child.stdout is not None
    said = [child.stdout.readline().decode().strip() for _ in range(200)]
    child.kill()
    said += [line.decode().strip() for line in child.stdout.readlines() if line.endswith(b"\n")]
    child.wait()
    kept = asyncio.run(drained(loaded(tmp_path)))
    assert len(said) >= 200
    assert kept[: len(said)] == said
