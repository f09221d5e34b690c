"""`learn-speeds`: tracks in, speeds out, and each mistake in one line."""

import json
from pathlib import Path

import pytest

from dispatch.cli import main
from dispatch.settings import Settings
from dispatch.speeds import FILE, profile_of, read_tracks
from routing.roads import save
from tests.routing.oracle import small_roads

HEAD = "unit,at,lat,lon\n"


def town(tmp_path: Path) -> Path:
    """A street of twelve blocks of 200 m, 20 s each."""
    places = [(41.3 + 0.0018 * i, 69.2) for i in range(13)]
    arcs = [(i, i + 1, 20_000) for i in range(12)] + [(i + 1, i, 20_000) for i in range(12)]
    save(small_roads(places, arcs), tmp_path / "town.npz")
    return tmp_path / "town.npz"


def test_speeds_are_learnt_from_a_file_of_tracks_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"A{unit},2026-11-25T03:{minute:02}:{second:02}+00:00,{41.3 + 0.0018 * step},69.2\n"
        for unit in range(8)
        for step in range(13)
        for minute, second in [divmod(30 * step, 60)]
    ]
    (tmp_path / "tracks.csv").write_text(HEAD + "".join(rows))
    command = ["learn-speeds", str(tmp_path / "tracks.csv"), "--map", str(town(tmp_path)), "--data-dir", str(tmp_path)]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["units"], said["fixes"], said["groups_with_enough"]) == (8, 104, 1)
    learnt = profile_of(Settings(data_dir=tmp_path))
    assert learnt is not None and learnt.factors[0, 8, 0, 0] == pytest.approx(1.5, rel=0.02)


def test_the_roads_are_those_that_the_service_drives_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"A1,2026-11-25T03:{step:02}:00+00:00,{41.3 + 0.0018 * step},69.2\n" for step in range(13)]
    (tmp_path / "tracks.csv").write_text(HEAD + "".join(rows))
    monkeypatch.setenv("DISPATCH112_MAP", str(town(tmp_path)))
    assert main(["learn-speeds", str(tmp_path / "tracks.csv"), "--data-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["stretches_observed"] > 0


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("unit,at,lat\n", "no column lon"),
        (HEAD + "A1,yesterday,41.3,69.2\n", "line 2"),
        (HEAD + "A1,2026-11-25T03:00:00,41.3,69.2\n", "zone"),
        (HEAD + "A1,2026-11-25T03:00:00Z,141.3,69.2\n", "degrees"),
        pytest.param(HEAD + f'"{"A1," * 50_000}', "cannot read", id="a quotation mark that is never closed"),
    ],
)
def test_a_file_that_is_wrong_says_where(
    tmp_path: Path, text: str, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tracks.csv").write_text(text)
    assert main(["learn-speeds", str(tmp_path / "tracks.csv"), "--out", str(tmp_path / "out.json")]) == 2
    assert mistake in capsys.readouterr().err


def test_without_learnt_speeds_there_are_none(tmp_path: Path) -> None:
    assert profile_of(Settings(data_dir=tmp_path)) is None
    (tmp_path / "empty.csv").write_text(HEAD)
    assert read_tracks(tmp_path / "empty.csv") == {} and not (tmp_path / FILE).exists()
