"""The command: quick help, examples that parse, a mistake answered in one line, no traceback."""

import errno
import importlib
import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.cli import COMMANDS, Parser, available, main
from dispatch.errors import ServiceAway, UserMistake
from dispatch.flags import can_be_written
from dispatch.formats.aml import sign_form

HEAVY = {"numba", "numpy", "asyncpg", "aiohttp", "shapely", "aiomqtt", "msgspec"}


def test_help_lists_what_exists_and_loads_nothing_heavy() -> None:
    program = "import sys, json; from dispatch.cli import main; main(['--help']); print(json.dumps([*sys.modules]))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    *shown, loaded = said.splitlines()
    assert not HEAVY & {name.split(".")[0] for name in json.loads(loaded)}
    listed = {line.split()[0] for line in shown[2:-2]}
    assert listed == {name for name, command in available().items() if not command.hidden}


@pytest.mark.parametrize("name", sorted(available()))
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert re.search(rf"examples?: .*dispatch112 {name}", " ".join(capsys.readouterr().out.split()))


@pytest.mark.parametrize("name", sorted(available()))
def test_every_example_parses_as_typed(name: str) -> None:
    command = COMMANDS[name]
    parser = Parser(prog=name)
    getattr(importlib.import_module(command.module), command.arguments)(parser)
    first, *rest = shlex.split(command.example)
    assert first == name
    assert parser.parse_args(rest) is not None


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["doctor", "--no-such-flag"],
        ["doctor", "--port", "many"],
        ["travel", "--from", "41.3,69.2", "--to", "nowhere"],
        ["search", "Chorsu", "--limit", "0"],
        ["serve", "--regions", "UZ-ZZ"],
        ["serve", "--regions", ","],
        ["serve", "--roles", ""],
        ["serve", "--roles", "core,everything"],
        ["serve", "--data-dir", ""],
        ["serve", "--data-dir", "/dev/null"],
        ["serve", "--mqtt-url", "mqtt://"],
        ["serve", "--redis-url", "redis://["],
        ["serve", "--host", "192.0.2.1"],
        ["serve", "--map", "/nowhere"],
        ["serve", "--cells", "/nowhere"],
        ["demo", "--map", "/nowhere"],
        ["demo", "--cells", "/nowhere"],
        ["load", "--map", "/nowhere"],
        ["import-map", "/nowhere.osm.pbf", "--map", "/nowhere"],
        ["demo", "--speed", "0"],
        ["demo", "--speed", "inf"],
        ["demo", "--for", "nan"],
        ["demo", "--calls-per-minute", "1e300"],
        ["demo", "--report", "/dev/null/report.json"],
        ["demo", "--report", "/"],
        ["demo", "--no-load", "--report", "report.json"],
        ["load", "--url", "nowhere"],
        ["load", "--calls-per-second", "-1"],
        ["load", "--calls-per-second", "0"],
        ["load", "--seconds", "-1"],
        ["load", "--units", "-3"],
        ["load", "--consoles", "-1"],
        ["load", "--credentials", "/dev/null"],
        ["bench", "nothing"],
        ["bench", "--units", "0"],
        ["bench", "--units", "1000000"],
        ["bench", "--seconds", "inf"],
        ["bench", "travel", "--report", "/dev/null/report.json"],
        ["sim", "--seeds", "-1"],
        ["travel", "--from", "41.3,69.2", "--to", "41.4,69.3", "--map", "/nowhere"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("dispatch112: ")
    assert said.count("\n") == 1


def test_a_map_that_is_named_is_read_and_never_drawn(tmp_path: Path) -> None:
    place = tmp_path / "map"
    assert main(["travel", "--from", "41.3,69.2", "--to", "41.4,69.3", "--map", str(place)]) == 2
    assert not place.exists()


def test_a_report_is_tried_before_the_run_and_leaves_nothing_behind(tmp_path: Path) -> None:
    fresh, kept = tmp_path / "new" / "report.json", tmp_path / "kept.json"
    kept.write_text("of last time")
    can_be_written(fresh)
    can_be_written(kept)
    assert not fresh.exists() and kept.read_text() == "of last time"


def test_a_port_that_is_taken_is_said_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--data-dir", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err == f"dispatch112: cannot listen at 127.0.0.1, port {port}: Address already in use\n"
    assert not (tmp_path / "data").exists()


def test_flags_may_stand_before_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    form = tmp_path / "form"
    form.write_text(sign_form("v=1&location_latitude=41.3&location_longitude=69.2", b"K"))
    for words in (["aml", "--hmac-key", "K", str(form)], ["--hmac-key", "K", "aml", str(form)]):
        assert main(["decode", *words]) == 0
        assert json.loads(capsys.readouterr().out)["verified"] is True


def test_a_mistake_in_a_flag_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "many"]) == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UserMistake("x"), 2),
        (ServiceAway("x"), 1),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "calls.log"), 2),
    ],
)
def test_each_fault_has_its_exit_status(fault: BaseException, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(words: list[str]) -> int:
        raise fault

    monkeypatch.setattr("dispatch.cli._run", fails)
    assert main([]) == status


def test_output_into_a_closed_pipe_is_not_a_fault(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m dispatch --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    assert "Traceback" not in done.stderr


def test_the_doctor_names_the_remedy_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--data-dir", str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "lacks"}
    assert {"python", "postgres", "broker", "data", "port"} <= {line.split()[1] for line in lines}
    assert not (tmp_path / "new").exists()


def test_the_doctor_fails_when_the_database_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql://nobody@/nothing?host={tmp_path}"
    assert main(["doctor", "--data-dir", str(tmp_path), "--database-url", url]) == 1
    assert "DISPATCH112_DATABASE_URL" in capsys.readouterr().out
