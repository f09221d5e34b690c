"""What `dispatch112 travel` prints, and how it refuses."""

import argparse
import json
from pathlib import Path

import pytest

from routing import command, roads
from routing.compiled import compiled
from routing.roads import DEMO_SEED, DEMO_VERSION, Roads


@pytest.fixture(scope="module")
def map_dir(tmp_path_factory: pytest.TempPathFactory, demo_roads: Roads) -> Path:
    directory = tmp_path_factory.mktemp("command")
    roads.save(demo_roads, directory / f"demo-roads-{DEMO_VERSION}-{DEMO_SEED}.npz")
    return directory


def travel(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_travel_arguments(parser)
    return command.run_travel(parser.parse_args(words))


def test_travel_prints_seconds_metres_and_the_way(map_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert travel("--from", "41.3111,69.2797", "--to", "41.35,69.25", "--map", str(map_dir)) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 100 < answer["seconds"] < 1_500 and 4_000 < answer["metres"] < 15_000
    coordinates = answer["path"]["coordinates"]
    assert answer["points"] == len(coordinates)
    assert coordinates[0] == pytest.approx([69.2797, 41.3111], abs=0.01)
    assert coordinates[-1] == pytest.approx([69.25, 41.35], abs=0.01)


@pytest.mark.parametrize("wrong", ["69.2797,41.3111", "here", "41.3", "0,0"])
def test_travel_refuses_what_is_not_a_position_here(map_dir: Path, wrong: str) -> None:
    with pytest.raises(ValueError):
        travel("--from", wrong, "--to", "41.35,69.25", "--map", str(map_dir))


def test_preparing_says_each_step_once(map_dir: Path) -> None:
    said: list[str] = []
    assert command.prepare(map_dir, said.append).version.startswith("demo-")
    assert len(said) == 1 and said[0].startswith("readied travel times in ")


def test_loops_without_a_place_for_their_code_are_compiled_all_the_same() -> None:
    space: dict[str, object] = {}
    exec("def doubled(x: int) -> int:\n    return 2 * x\n", space)  # from no file, so numba can keep nothing
    doubled = compiled(space["doubled"])  # type: ignore[type-var]
    assert doubled(21) == 42  # type: ignore[operator]
