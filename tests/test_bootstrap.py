"""Set-up does a step once, again when what it depends on has changed, and says in a line what stops it."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import bootstrap
from tests.style import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set-up in a directory of its own."""
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "STAMPS", tmp_path / "stamps")
    return tmp_path


def test_a_step_is_done_once_for_the_same_inputs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    for recipe in ("first", "first", "second", "second"):
        bootstrap._step("roads", recipe, lambda recipe=recipe: done.append(recipe))  # type: ignore[misc]
    assert done == ["first", "second"]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["roads", "roads"]
    assert all(line.endswith(" s") for line in said), "each step says its seconds"


def test_a_step_that_failed_is_done_again(place: Path) -> None:
    def fails() -> None:
        raise bootstrap.Obstacle("no network")

    with pytest.raises(bootstrap.Obstacle):
        bootstrap._step("packages", "same", fails)
    done: list[str] = []
    assert bootstrap._step("packages", "same", lambda: done.append("now"))
    assert done == ["now"]


def test_inputs_are_files_by_name_and_content_without_what_tools_made(place: Path) -> None:
    (place / "src").mkdir()
    (place / "node_modules").mkdir()
    (place / "src" / "a.ts").write_text("1")
    (place / "node_modules" / "b.js").write_text("2")
    assert bootstrap._sources(place) == [place / "src" / "a.ts"]
    before = bootstrap._digest(bootstrap._sources(place))
    (place / "node_modules" / "b.js").write_text("3")
    assert bootstrap._digest(bootstrap._sources(place)) == before
    (place / "src" / "a.ts").write_text("4")
    changed = bootstrap._digest(bootstrap._sources(place))
    (place / "src" / "a.ts").rename(place / "src" / "c.ts")
    assert len({before, changed, bootstrap._digest(bootstrap._sources(place))}) == 3


def test_a_command_that_fails_shows_what_it_said() -> None:
    with pytest.raises(bootstrap.Obstacle, match=r"(?s)failed:.*the reason"):
        bootstrap._run([sys.executable, "-c", "import sys; sys.exit('the reason')"])


@pytest.mark.parametrize(("said", "good"), [("v20.18.3", False), ("v20.19.0", True), ("v24.1.0", True), ("", False)])
def test_a_node_is_used_when_new_enough(said: str, good: bool, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {said}\n")
    node.chmod(0o755)
    assert (bootstrap._node_version(str(node)) >= bootstrap.OLDEST_NODE) is good


def test_two_set_ups_take_turns(place: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with bootstrap._alone():
            order.append("second")

    thread = threading.Thread(target=second)
    with bootstrap._alone():
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_a_machine_without_a_python_is_told_so_in_one_line() -> None:
    make = [shutil.which("make") or "", "PYTHON=", "setup"]
    done = subprocess.run(make, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr.splitlines()[0]
