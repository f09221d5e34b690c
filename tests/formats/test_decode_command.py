"""`dispatch112 decode`: what an operator sees, and how a mistake is told."""

import argparse
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispatch.formats import command
from dispatch.formats.aml_form import sign_form

SMS = 'A"ML=1;lt=+41.31108;lg=+69.24056;rd=35;top=20261123143207;lc=90;pm=G;ei=353472104343540;mcc=434;mnc=04'
FORM = "v=1&device_number=%2B998901234567&location_latitude=41.3&location_longitude=69.2&location_source=gps"
PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@b.uz"><tuple><Circle srsName="EPSG:4326">'
    "<pos>41.3 69.2</pos><radius uom='9001'>24</radius></Circle></tuple></presence>"
)


class Run:
    """Runs the command on one message, through the file system or standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, folder

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, Any, str]:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        self.monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        code = command.run(parser.parse_args(arguments))
        streams = self.capsys.readouterr()
        return code, json.loads(streams.out), streams.err

    def file(self, content: bytes) -> str:
        path = self.folder / "message"
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return Run(monkeypatch, capsys, tmp_path)


COMMON = {"position", "accuracy_m", "at", "method", "number", "imei", "warnings"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("aml", SMS),
        ("aml", FORM),
        ("owntracks", '{"_type":"location","lat":41.3,"lon":69.2,"tst":1795445522}'),
        ("owntracks", '{"_type":"lwt","tst":1795445522}'),
        ("owntracks", '{"_type":"card"}'),
        ("osmand", "/?id=A22&lat=41.3&lon=69.2"),
        ("pidf-lo", PIDF),
    ],
)
def test_every_format_prints_the_same_keys(run: Run, kind: str, message: str) -> None:
    code, answer, errors = run(kind, stdin=message.encode())
    assert code == 0
    assert answer.keys() >= COMMON
    assert isinstance(answer["warnings"], list)
    assert errors == ""


def test_aml_is_told_in_full(run: Run) -> None:
    _, answer, _ = run("aml", run.file(SMS.encode()), "--sender", "901234567")
    assert answer["position"] == {"lat": 41.31108, "lon": 69.24056}
    assert answer["at"] == "2026-11-23T14:32:07Z"
    assert (answer["accuracy_m"], answer["method"], answer["technique"]) == (35.0, "G", "gnss")
    assert (answer["number"], answer["imei"], answer["mnc"]) == ("+998901234567", "353472104343540", "04")


def test_a_signature_is_checked_when_a_key_is_given(run: Run) -> None:
    signed = run.file(sign_form(FORM, b"key").encode())
    assert run("aml", signed, "--hmac-key", "key")[1]["verified"] is True
    assert run("aml", signed, "--hmac-key", "other")[1]["verified"] is False
    assert run("aml", signed)[1]["verified"] is None


def test_a_tracker_without_coordinates_prints_null_and_says_why(run: Run) -> None:
    code, answer, _ = run("osmand", "-", stdin=b"id=A22&cell=434,05,16,2224")
    assert code == 0
    assert answer["position"] is None
    assert answer["device"] == "A22"
    assert answer["warnings"]


def test_owntracks_takes_its_device_from_the_topic(run: Run) -> None:
    body = b'{"_type":"location","lat":41.3,"lon":69.2,"tst":1795445522}'
    assert run("owntracks", "--topic", "owntracks/A22/phone", stdin=body)[1]["device"] == "A22/phone"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("aml", b""),
        ("aml", b"  \n"),
        ("aml", b"hello"),
        ("aml", b"\x00\xff"),
        ("owntracks", b"{"),
        ("osmand", b"lat=41&lon=69"),
        ("pidf-lo", b"<presence>"),
        ("pidf-lo", b"x" * 100_000),
    ],
)
def test_a_mistake_is_one_line_an_error_object_and_exit_2(run: Run, kind: str, message: bytes) -> None:
    code, answer, errors = run(kind, "-", stdin=message)
    assert code == 2
    assert answer.keys() == {"error", "where", "what", "mend"}
    assert errors.count("\n") == 1
    assert errors.startswith("dispatch112 decode: ")


@pytest.mark.parametrize("name", ["missing.txt", ".", "a\x00b"])
def test_a_file_that_cannot_be_read_is_a_mistake_too(run: Run, name: str) -> None:
    code, answer, errors = run("aml", name)
    assert code == 2
    assert "cannot be read" in answer["error"]
    assert errors.count("\n") == 1
