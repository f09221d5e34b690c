"""The verifier against people who alter journals: whatever they do is named, and nobody else is accused."""

import copy
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch.verify_log as verify_log
from dispatch.verify_log import Finding, Verification, event_of, signature_fits, verify_directory, verify_file
from tests.dispatch.journals import Row, export, journal, lines, personal, rechained, said_of

COUNT = 24
GENUINE = journal("UZ-TK", COUNT)
HEAD = {"UZ-TK": (COUNT, bytes.fromhex(GENUINE[-1]["hash"]))}
UNJUDGED = "cannot be judged"
numbers = st.integers(0, COUNT - 1)


def judged(rows: list[Row], head: dict[str, tuple[int, bytes]] | None = HEAD) -> dict[int, str]:
    """What is said of rows that stand in this order in the place of one region; `head` None: nobody knows their end."""
    findings: list[Finding] = []
    verification = Verification(findings.append, {})
    for row in rows:
        verification.add(event_of(json.dumps(row).encode()), "UZ-TK")
    verification.end(head)
    return said_of(findings)


def accused(said: dict[int, str]) -> set[int]:
    """The events that something is said against; not those of which only nothing can be said."""
    return {seq for seq, what in said.items() if what.partition(":")[0] != UNJUDGED}


def test_a_journal_that_nobody_touched_is_whole() -> None:
    assert judged(GENUINE) == {}


OTHER: dict[str, Any] = {
    "at": "2026-11-23T14:32:07.000251Z", "kind": "call_closed", "payload": "{}", "actor": "system",
    "hash": "ab" * 32, "epoch": 9,
}  # fmt: skip


@given(numbers, st.sampled_from(sorted(OTHER)))
def test_an_altered_field_is_named_and_only_that_event(place: int, field: str) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place][field] = OTHER[field]
    said = judged(rows)
    assert accused(said) == {place + 1}
    assert ("its hash was altered" if field == "hash" else "its content was altered") in said[place + 1]


@given(numbers, st.integers(COUNT + 1, 10_000))
def test_an_altered_number_is_named_where_the_event_belongs(place: int, number: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place]["seq"] = number
    assert judged(rows) == {place + 1: f"its number was altered to {number}"}
    assert f"altered to {number}" in judged(sorted(rows, key=lambda row: int(row["seq"])))[place + 1]


@given(numbers)
def test_a_row_given_to_another_region_is_named(place: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place]["region"] = "UZ-TO"
    assert judged(rows) == {place + 1: "its region was altered to 'UZ-TO'"}


@given(numbers, st.integers(1, 5))
def test_removed_events_are_named_by_their_numbers(place: int, many: int) -> None:
    last = min(place + many, COUNT)
    said = judged(GENUINE[:place] + GENUINE[last:])
    if last == COUNT:
        assert said == {place + 1: f"the end is missing: the head says that event {COUNT} is the last"}
    elif last == place + 1:
        assert said == {place + 1: "the event is missing"}
    else:
        assert said == {place + 1: f"events {place + 1} to {last} are missing"}


HEADLESS = "has events and no head: nothing says where they end"


@given(st.integers(1, COUNT))
def test_events_whose_head_is_gone_are_named_where_every_region_has_one(length: int) -> None:
    assert judged(GENUINE[:length], {}) == {0: HEADLESS}
    assert judged(GENUINE[:length], None) == {}
    assert judged([], {}) == {}


@given(numbers, numbers)
def test_rows_that_stand_in_another_order_are_named(one: int, other: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows.insert(other, rows.pop(one))
    said = judged(rows)
    assert (said == {}) == (one == other)
    assert all("out of order" in what for what in said.values())
    if one > other:
        assert set(said) == set(range(other + 1, one + 1))
    elif one < other:
        assert set(said) == {one + 1}


@given(st.integers(0, COUNT - 2))
def test_neighbours_that_changed_places_under_their_numbers_are_named(place: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    rows[place]["seq"], rows[place + 1]["seq"] = place + 1, place + 2
    said = judged(rows)
    assert place + 1 in accused(said)
    assert accused(said) <= {place + 1, place + 2}


@given(numbers, numbers)
def test_a_row_that_stands_twice_is_named(place: int, other: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows.insert(max(place, other) + 1, rows[place])
    said = judged(rows)
    assert accused(said) == {place + 1}
    assert "twice" in said[place + 1] or "second row" in said[place + 1]


@given(numbers, st.booleans(), st.booleans())
def test_a_forged_row_beside_the_genuine_one_is_named_even_when_its_hash_fits(
    place: int, before: bool, fits: bool
) -> None:
    forged = copy.deepcopy(GENUINE[: place + 1])
    forged[place]["actor"] = "user:mallory"
    if fits:
        rechained(forged, place)
    rows = [*GENUINE[: place + (not before)], forged[place], *GENUINE[place + (not before) :]]
    said = judged(rows)
    assert accused(said) == {place + 1}


@given(st.integers(1, COUNT - 1))
def test_events_of_a_fenced_writer_are_named(place: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place]["epoch"] = 0
    rechained(rows, place)
    said = judged(rows, {"UZ-TK": (COUNT, bytes.fromhex(rows[-1]["hash"]))})
    assert said == {place + 1: f"its epoch 0 is older than {rows[place - 1]['epoch']} before it: a fenced writer"}


@given(st.integers(0, COUNT - 1))
def test_a_journal_written_anew_is_betrayed_by_a_signed_head(place: int) -> None:
    rows = copy.deepcopy(GENUINE)
    rows[place]["actor"] = "user:mallory"
    rechained(rows, place)
    findings: list[Finding] = []
    signed = {seq: (bytes.fromhex(GENUINE[seq - 1]["hash"]), "2026-11-23T15:00:00Z") for seq in (6, 12, COUNT)}
    verification = Verification(findings.append, {"UZ-TK": signed})
    for row in rows:
        verification.add(event_of(json.dumps(row).encode()))
    verification.end({"UZ-TK": (COUNT, bytes.fromhex(rows[-1]["hash"]))})
    first = min(seq for seq in signed if seq > place)
    agreed = max([0, *(seq for seq in signed if seq <= place)])
    assert "rewritten somewhere after event" in said_of(findings)[first]
    assert said_of(findings)[first].endswith(f"after event {agreed}")


@given(st.integers(0, COUNT - 1))
def test_an_end_cut_off_with_its_head_is_betrayed_by_a_signed_head(length: int) -> None:
    findings: list[Finding] = []
    signed = {"UZ-TK": {COUNT: (HEAD["UZ-TK"][1], "2026-11-23T15:00:00Z")}}
    verification = Verification(findings.append, signed)
    for row in GENUINE[:length]:
        verification.add(event_of(json.dumps(row).encode()))
    verification.end({"UZ-TK": (length, bytes.fromhex(GENUINE[length - 1]["hash"]) if length else bytes(32))})
    assert set(said_of(findings)) == {length + 1}
    assert "the end is missing" in findings[0].what


@settings(deadline=None)
@given(st.data())
def test_any_flipped_byte_of_a_file_is_named(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    original = lines(GENUINE)
    place = data.draw(st.integers(0, len(original) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(original)
    damaged[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "UZ-TK.jsonl"
    path.write_bytes(damaged)
    findings: list[Finding] = []
    verification = Verification(findings.append, {})
    verify_file(path, verification, "UZ-TK")
    verification.end(HEAD)
    hit = original[:place].count(b"\n") + 1
    assert hit in said_of(findings) or hit + 1 in said_of(findings)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    regions = {region: journal(region, COUNT) for region in ("UZ-TK", "UZ-TO")}
    documents = [document for region in regions for document in personal(region, COUNT)]
    return export(tmp_path / "export", regions, documents)


def alone(*words: str) -> subprocess.CompletedProcess[str]:
    """The file by itself, as somebody runs it who has nothing else of ours."""
    program = [sys.executable, "-I", "-S", verify_log.__file__, *words]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_file_alone_verifies_an_export(whole: Path) -> None:
    done = alone(str(whole))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"WHOLE: {2 * COUNT} events of 2 regions" in done.stdout
    assert "16 fit their commitments, 0 are erased" in done.stdout


def test_one_region_and_one_file_can_be_verified(whole: Path) -> None:
    packed = whole.parent / "UZ-TO.jsonl.gz"
    packed.write_bytes(gzip.compress((whole / "journal" / "UZ-TO.jsonl").read_bytes()))
    assert f"WHOLE: {COUNT} events of 1 regions" in alone(str(whole), "--region", "UZ-TO").stdout
    assert f"WHOLE: {COUNT} events of 1 regions" in alone(str(packed)).stdout


def test_a_damaged_export_ends_with_status_1_and_a_line_for_each_fault(whole: Path) -> None:
    path = whole / "journal" / "UZ-TK.jsonl"
    path.write_bytes(path.read_bytes().replace(b"c-UZ-TK-7", b"c-UZ-TK-8"))
    done = alone(str(whole))
    assert done.returncode == 1
    assert "UZ-TK event 7: its content was altered" in done.stdout
    assert "its checksum differs" in done.stdout


def test_erased_documents_leave_the_journal_whole_and_altered_ones_do_not(whole: Path, tmp_path: Path) -> None:
    documents = personal("UZ-TK", COUNT)
    documents[0] |= {"salt": None, "document": None, "erased_at": "2026-11-24T00:00:00+00:00", "erased_by": "user:a"}
    done = alone(str(export(tmp_path / "erased", {"UZ-TK": GENUINE}, documents)))
    assert (done.returncode, "7 fit their commitments, 1 are erased" in done.stdout) == (0, True)
    documents[1]["document"] = documents[2]["document"]
    done = alone(str(export(tmp_path / "altered", {"UZ-TK": GENUINE}, documents)))
    assert (done.returncode, "c-UZ-TK-6 is not what its event commits to" in done.stdout) == (1, True)


def test_half_an_export_is_refused_as_a_mistake(whole: Path, tmp_path: Path) -> None:
    (whole / "manifest.json").unlink()
    for place in (whole, tmp_path / "nowhere"):
        done = alone(str(place))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "altered",
    [
        {"heads": None},
        {"heads": {"UZ-TK": []}},
        {"heads": {"UZ-TK": {"seq": "x", "hash": "zz"}}},
        {"files": []},
        {"files": {"journal/UZ-TK.jsonl": {}}},
        {"format": "another"},
    ],
)
def test_a_manifest_that_is_none_is_refused_as_a_mistake(whole: Path, altered: dict[str, Any]) -> None:
    path = whole / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | altered))
    ended = alone(str(whole))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "cannot be read as a manifest of ours" in ended.stderr


def test_a_file_that_the_manifest_names_must_be_there(whole: Path) -> None:
    (whole / "journal" / "UZ-TO.jsonl").unlink()
    findings: list[Finding] = []
    verify_directory(whole, Verification(findings.append, {}), findings.append)
    assert "journal/UZ-TO.jsonl is missing" in {finding.what for finding in findings}


def test_an_export_of_a_region_without_a_head_is_named_and_only_where_that_region_is_asked_for(whole: Path) -> None:
    path = whole / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["heads"]["UZ-TO"]
    path.write_text(json.dumps(manifest))
    for words in ((), ("--region", "UZ-TO")):
        done = alone(str(whole), *words)
        assert (done.returncode, f"UZ-TO -: {HEADLESS}\n" in done.stdout) == (1, True)
    assert alone(str(whole), "--region", "UZ-TK").returncode == 0
    assert alone(str(whole / "journal" / "UZ-TO.jsonl")).returncode == 0


def test_a_gzip_file_cut_off_is_named(whole: Path, tmp_path: Path) -> None:
    packed = tmp_path / "UZ-TK.jsonl.gz"
    packed.write_bytes(gzip.compress(lines(GENUINE))[:-40])
    done = alone(str(packed))
    assert (done.returncode, "is no event" in done.stdout) == (1, True)


# RFC 8032, section 7.1: public key, message, signature.
VECTORS = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_are_verified_as_the_standard_says(public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert signature_fits(key, text, signed)
    assert not signature_fits(key, text + b"\0", signed)
    for place in (0, 31, 32, 62):
        altered = bytearray(signed)
        altered[place] ^= 1
        assert not signature_fits(key, text, bytes(altered))
    assert not signature_fits(bytes(32), text, signed)
    assert not signature_fits(key, text, signed[:-1])
