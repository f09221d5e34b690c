"""Signed heads: a chain of signatures under one key, that shows whatever is done to it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consoles import signed as signing
from consoles.signed import Signer
from dispatch.clock import ManualClock
from dispatch.core.terms import RegionId
from dispatch.keeping.heads import PUBLIC, SECRET, Series, public_key, signature
from dispatch.keeping.memory import MemoryStore
from dispatch.store import Batch
from dispatch.verify_log import Finding, anchors_of, read_heads
from dispatch.web.metrics import Metrics
from tests.servers.store_cases import leader

AT = datetime(2026, 11, 30, 21, 0, tzinfo=UTC)
REGION = RegionId("UZ-TK")


def signed(data_dir: Path, hours: int = 5) -> Series:
    """So many hours, the head of each region each hour; they go over the end of a month."""
    series = Series(data_dir)
    for hour in range(hours):
        heads = [(region, 10 * hour, bytes([hour]) * 32) for region in ("UZ-TK", "UZ-TO")]
        series.sign(heads, AT + timedelta(hours=hour))
    return series


def said(data_dir: Path, key: str | None = None) -> list[str]:
    findings: list[Finding] = []
    read_heads(data_dir / "heads", findings.append, key)
    return [finding.what for finding in findings]


def test_a_series_verifies_and_names_every_head(tmp_path: Path) -> None:
    series = signed(tmp_path)
    findings: list[Finding] = []
    anchors = read_heads(series.folder, findings.append, series.public_key())
    assert findings == []
    assert set(anchors) == {"UZ-TK", "UZ-TO"}
    assert anchors["UZ-TK"][30] == (b"\3" * 32, "2026-12-01T00:00:00.000000Z")
    assert [path.name for path in sorted(series.folder.glob("*.jsonl"))] == [
        "heads-2026-11.jsonl",
        "heads-2026-12.jsonl",
    ]


def test_the_secret_is_its_owners_alone_and_the_public_key_lies_beside_the_heads(tmp_path: Path) -> None:
    series = signed(tmp_path, 1)
    secret = tmp_path / SECRET
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (series.folder / PUBLIC).read_text() == public_key(bytes.fromhex(secret.read_text())) == series.public_key()
    assert secret.read_text() not in "".join(path.read_text() for path in series.folder.iterdir())


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_altered_byte_of_a_series_is_named(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("series")
    signed(folder, 2)
    path = folder / "heads" / "heads-2026-11.jsonl"
    damaged = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 2))
    was = bytes(damaged)
    damaged[place] ^= 1 << data.draw(st.integers(0, 6))
    path.write_bytes(damaged)
    if _meaning(was) != _meaning(bytes(damaged)):
        assert said(folder) != []


def _meaning(content: bytes) -> object:
    """What the lines say; a space between two fields says nothing."""
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return content


@pytest.mark.parametrize("field", ["number", "seq"])
def test_a_number_that_was_made_a_text_is_named_though_its_signature_fits(tmp_path: Path, field: str) -> None:
    series = signed(tmp_path, 1)
    path = series.folder / "heads-2026-11.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1][field] = str(lines[-1][field])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen = tmp_path / "seen.jsonl"
    seen.write_text(json.dumps({"heads": lines}) + "\n")
    for kept in (series.folder, seen):
        findings: list[Finding] = []
        anchors_of(kept, findings.append)
        assert findings != []


@pytest.mark.parametrize("place", range(1, 9))
def test_a_line_taken_out_or_moved_is_named(tmp_path: Path, place: int) -> None:
    signed(tmp_path, 5)
    month = tmp_path / "heads" / "heads-2026-11.jsonl"
    lines = [line for path in sorted((tmp_path / "heads").glob("*.jsonl")) for line in path.open("rb")]
    (tmp_path / "heads" / "heads-2026-12.jsonl").unlink()
    month.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
    if place < 9:
        assert said(tmp_path) == [
            f"signed head {place + 2} does not follow {place}: a line was removed, inserted or moved"
        ]
    lines[place - 1], lines[place] = lines[place], lines[place - 1]
    month.write_bytes(b"".join(lines))
    assert said(tmp_path) != []


def test_a_series_of_somebody_elses_key_is_named(tmp_path: Path) -> None:
    signed(tmp_path / "theirs", 1)
    ours = signed(tmp_path / "ours", 1).public_key()
    assert said(tmp_path / "theirs", ours) == ["no head was signed with the key that was given"]


def test_answers_that_somebody_kept_are_anchors_too_each_by_its_own_signature(tmp_path: Path) -> None:
    series = signed(tmp_path, 4)
    lines = [json.loads(line) for path in sorted(series.folder.glob("*.jsonl")) for line in path.open("rb")]
    key = series.public_key()
    answers: list[dict[str, Any]] = [{"public_key": key, "heads": lines[n : n + 2]} for n in (0, 4, 4)]
    kept = tmp_path / "seen.jsonl"
    kept.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    findings: list[Finding] = []
    anchors = anchors_of(kept, findings.append, key)
    assert findings == [] and set(anchors["UZ-TK"]) == {0, 20}
    answers[1]["heads"][0] = {**lines[4], "seq": 21}
    kept.write_text("".join(json.dumps(answer) + "\n" for answer in answers) + "{}\n")
    anchors = anchors_of(kept, findings.append, key)
    assert [finding.what for finding in findings] == [
        "signed head 5: the signature does not fit",
        "line 4 of seen.jsonl is no answer with signed heads",
    ]
    assert set(anchors_of(kept, findings.append, "ab" * 32)) == set()


def test_a_head_that_was_signed_for_an_altered_event_does_not_hide_the_one_before_it(tmp_path: Path) -> None:
    """A region at rest: its last event is altered, and in the next hour the service signs what it finds."""
    series = Series(tmp_path)
    series.sign([("UZ-TK", 7, b"\1" * 32)], AT)
    series.sign([("UZ-TK", 7, b"\2" * 32)], AT + timedelta(hours=1))
    seen = tmp_path / "heads-seen.jsonl"
    with seen.open("w") as file:
        for line in (series.folder / "heads-2026-11.jsonl").read_text().splitlines():
            file.write(json.dumps({"heads": [json.loads(line)]}) + "\n")
    for path in (series.folder, seen):
        findings: list[Finding] = []
        anchors = anchors_of(path, findings.append)
        assert [(found.region, found.seq) for found in findings] == [("UZ-TK", 7)]
        assert anchors["UZ-TK"][7][0] == b"\1" * 32


def test_a_new_key_goes_on_with_the_series_and_the_old_one_signs_it(tmp_path: Path) -> None:
    series = signed(tmp_path, 2)
    old = series.public_key()
    new = series.new_key(AT + timedelta(hours=3))
    assert series.public_key() == new != old
    series.sign([("UZ-TK", 99, bytes(32))], AT + timedelta(hours=4))
    assert said(tmp_path, old) == said(tmp_path, new) == []


@pytest.mark.parametrize("written", [False, True])
def test_a_crash_while_the_key_changes_leaves_one_of_the_two(tmp_path: Path, written: bool) -> None:
    series = signed(tmp_path, 1)
    before = (tmp_path / SECRET).read_text()
    lines = (series.folder / "heads-2026-11.jsonl").read_bytes()
    new = series.new_key(AT)
    (tmp_path / "heads.key.new").write_text((tmp_path / SECRET).read_text())
    (tmp_path / SECRET).write_text(before)
    if not written:
        (series.folder / "heads-2026-11.jsonl").write_bytes(lines)
    series.sign([("UZ-TK", 99, bytes(32))], AT)
    assert (series.public_key() == new) is written
    assert said(tmp_path) == []


def test_a_line_torn_by_a_crash_is_cut_off_and_the_series_goes_on(tmp_path: Path) -> None:
    series = signed(tmp_path, 2)
    path = series.folder / "heads-2026-11.jsonl"
    with path.open("ab") as file:
        file.write(path.read_bytes()[:100])
    series.sign([("UZ-TK", 99, bytes(32))], AT)
    assert said(tmp_path) == []


def test_without_its_key_a_new_series_begins_and_the_old_one_stays_aside(tmp_path: Path) -> None:
    signed(tmp_path, 1)
    (tmp_path / SECRET).unlink()
    signed(tmp_path, 1)
    assert said(tmp_path) == []
    assert len(list((tmp_path / "heads").glob("before-*/heads-*.jsonl"))) == 1


# RFC 8032, section 7.1: secret, message, signature.
VECTORS = (
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("secret", "message", "expected"), VECTORS)
def test_signatures_are_made_as_the_standard_says(secret: str, message: str, expected: str) -> None:
    assert signature(bytes.fromhex(secret), bytes.fromhex(message)).hex() == expected


async def test_the_service_signs_what_is_committed_and_says_when_the_database_differs(tmp_path: Path) -> None:
    store, clock, metrics = MemoryStore(), ManualClock(AT), Metrics()
    scribe = await leader(store)
    events = scribe.events(3)
    await store.append(Batch(events=events))
    series = Series(tmp_path)
    signer = Signer(series, store, clock, regions=(REGION, RegionId("UZ-TO")), metrics=metrics)
    assert signer.age_s() == float("inf")
    await signer.sign()
    clock.advance(60)
    assert signer.age_s() == 60
    last = await asyncio.to_thread(series.last)
    assert last is not None and (last.region, last.seq, last.hash) == ("UZ-TK", 3, events[-1].hash.hex())
    signer.committed(REGION, scribe.events(2), [])  # The store lost them: it is no longer what was committed.
    await signer.sign()
    last = await asyncio.to_thread(series.last)
    assert last is not None and last.seq == 5
    assert b"dispatch112_heads_differing_total 1.0" in metrics.exposition()


async def test_heads_that_found_no_place_on_the_disk_are_signed_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(signing, "AGAIN_S", 0.01)
    store, in_the_way = MemoryStore(), tmp_path / "heads"
    await store.append(Batch(events=(await leader(store)).events(1)))
    in_the_way.write_text("a file where the series should lie")
    signer = Signer(Series(tmp_path), store, ManualClock(AT), regions=(REGION,), metrics=Metrics())
    signs = asyncio.create_task(signer.run())
    async with asyncio.timeout(60):
        while "heads are not signed" not in caplog.text:
            await asyncio.sleep(0.01)
        in_the_way.unlink()
        while signer.age_s() == float("inf"):
            await asyncio.sleep(0.01)
    signs.cancel()
    assert said(tmp_path) == []
