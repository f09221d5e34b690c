"""Lines of the spool that a disk spoilt: set aside for a person, and no call before or behind them is lost."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.dispatch.test_spool import call, drained, loaded
from tests.small_disk import fill


def spoil(folder: Path) -> Path:
    """A spool with nothing but a line that no disk should give, and a folder that is in its way aside."""
    line = b"\0" * 100
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calls.jsonl").write_bytes(line + b"\n")
    blocked = folder / f"unreadable-{hashlib.sha256(line).hexdigest()[:12]}.new"
    blocked.mkdir()
    return blocked


async def test_a_line_that_the_disk_spoilt_is_set_aside_and_those_behind_it_come(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    for name in ("a", "b", "c"):
        await spool.add(call(name))
    lines = (tmp_path / "calls.jsonl").read_bytes().split(b"\n")
    lines[1] = b"\0" * len(lines[1])
    (tmp_path / "calls.jsonl").write_bytes(b"\n".join(lines))
    for _ in range(2):
        assert len(loaded(tmp_path)) == 2
    assert [path.read_bytes() for path in tmp_path.glob("unreadable-*")] == [lines[1]]
    assert await drained(loaded(tmp_path)) == ["a", "c"]


async def test_a_spoilt_line_hides_no_call_before_it_from_a_crash(tmp_path: Path) -> None:
    spool = loaded(tmp_path)
    for name in ("a", "b", "spoilt", "c"):
        await spool.add(call(name))
    lines = (tmp_path / "calls.jsonl").read_bytes().split(b"\n")
    lines[2] = b"\0" * len(lines[2])
    (tmp_path / "calls.jsonl").write_bytes(b"\n".join(lines))
    for left in (["b", "c"], ["c"]):
        before = loaded(tmp_path)
        first = before.first()
        assert first is not None
        await before.committed([first])
        assert [str(each.call_id) for each in loaded(tmp_path).oldest("", 9)] == left


async def test_a_spoilt_line_on_a_full_disk_stops_no_start_and_is_not_lost(small_disk: Path) -> None:
    folder = small_disk / "spool"
    spool = loaded(folder)
    for name in ("a", "spoilt", "b"):
        await spool.add(call(name))
    lines = (folder / "calls.jsonl").read_bytes().split(b"\n")
    lines[1] = b"\0" * 8192
    (folder / "calls.jsonl").write_bytes(b"\n".join(lines))
    filled = fill(small_disk)
    for _ in range(2):
        full = loaded(folder)
        assert (len(full), full.spoilt) == (2, 1)
    assert not list(folder.glob("unreadable-*"))
    # Every call is committed, and the spoilt line has no other place yet: its file may not go.
    assert await drained(full) == ["a", "b"]
    assert lines[1] in (folder / "calls.jsonl").read_bytes()
    filled.unlink()
    full.tidy()
    assert full.spoilt == 0
    assert [path.read_bytes() for path in folder.glob("unreadable-*")] == [lines[1]]
    assert not (folder / "calls.jsonl").exists()


async def test_calls_behind_a_spoilt_line_that_had_to_stay_are_taken_and_repeated_no_more(tmp_path: Path) -> None:
    blocked = spoil(tmp_path)
    spool = loaded(tmp_path)
    await spool.add(call("a"))
    assert await drained(spool) == ["a"]
    await spool.add(call("b"))
    again = loaded(tmp_path)
    assert ([str(each.call_id) for each in again.oldest("", 9)], again.spoilt) == (["b"], 1)
    blocked.rmdir()
    assert await drained(loaded(tmp_path)) == ["b"]
    assert [path.name[:11] for path in tmp_path.iterdir()] == ["unreadable-"]
