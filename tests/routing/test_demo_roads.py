"""The generated country: its size, that one can drive everywhere, and that a seed gives the same roads again."""

from pathlib import Path

import numpy as np
import pytest

from routing import roads
from routing.demo_roads import classes, generate, links
from routing.geometry import distance_m
from routing.places import built_up
from routing.regions import Regions
from routing.roads import DEMO_SEED, TRUNK, Roads
from routing.streets import reached
from routing.travel import Travel
from tests.routing.oracle import small_roads


def test_the_network_is_within_its_bound_and_strongly_connected(demo_roads: Roads) -> None:
    count = len(demo_roads.lat)
    assert 60_000 < count <= 100_000
    assert reached(count, demo_roads.tail, demo_roads.head).all()
    assert reached(count, demo_roads.head, demo_roads.tail).all()


def test_every_settlement_has_streets_within_a_kilometre(demo_travel: Travel) -> None:
    far = [place.names.en for place in built_up() if demo_travel.snap(*place.at).distance_m > 1_000]
    assert far == []


def test_every_region_has_roads_and_most_of_them_in_the_country(demo_roads: Roads) -> None:
    regions = Regions()
    some = np.random.default_rng(1).integers(0, len(demo_roads.lat), 3_000)
    found = [regions.at(float(demo_roads.lat[i]), float(demo_roads.lon[i])).region for i in some]
    assert len(set(found) - {None}) == 14
    assert found.count(None) < 0.02 * len(found)


def test_tashkent_has_about_ten_thousand_crossings(demo_roads: Roads) -> None:
    away = np.hypot((demo_roads.lat - 41.3111) * 111.2, (demo_roads.lon - 69.2797) * 83.5)
    assert 8_000 < (away < 11).sum() < 12_500


def test_the_same_seed_draws_the_same_roads_and_another_seed_others(demo_roads: Roads) -> None:
    again = generate(DEMO_SEED, lambda _: None)
    assert np.array_equal(again.lat, demo_roads.lat) and np.array_equal(again.ms, demo_roads.ms)
    other = generate(DEMO_SEED + 1, lambda _: None)
    assert not np.array_equal(other.lat[:1_000], demo_roads.lat[:1_000])
    assert len(other.lat) <= 100_000


def test_highways_between_capitals_are_trunk_roads_and_join_everything() -> None:
    places = sorted(built_up(), key=lambda place: -place.population)
    joined = links(places)
    near = {frozenset(pair) for pair in joined}
    assert len(near) == len(joined) and len(joined) >= len(places) - 1
    assert max(distance_m(places[a].at, places[b].at) for a, b in joined) < 320_000
    kinds = classes(places, joined)
    names = {frozenset((places[a].names.en, places[b].names.en)): kind for (a, b), kind in kinds.items()}
    assert names[frozenset(("Angren", "Pap"))] == TRUNK  # the Kamchik pass, the only way into the valley
    assert {*kinds.values()} == {0, 1, 2}


def test_speeds_are_a_cars(demo_roads: Roads) -> None:
    speed_kmh = demo_roads.metres / demo_roads.ms * 3_600
    assert speed_kmh.min() > 15 and speed_kmh.max() < 110
    assert demo_roads.metres.max() < 3_000  # no piece so long that a map tile could not hold it


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = small_roads([(41.0, 69.0), (41.0, 69.01)], [(0, 1, 5), (1, 0, 6)])
    roads.save(written, tmp_path / "map" / "a.npz")
    read = roads.load(tmp_path / "map" / "a.npz")
    assert read.version == written.version
    assert all(
        np.array_equal(getattr(read, name), getattr(written, name)) for name in Roads._fields if name != "version"
    )
    assert [path.name for path in (tmp_path / "map").iterdir()] == ["a.npz"]


def test_a_second_start_reads_the_cache(tmp_path: Path, demo_roads: Roads) -> None:
    path = tmp_path / f"demo-roads-{roads.DEMO_VERSION}-{DEMO_SEED}.npz"
    roads.save(demo_roads, path)
    said: list[str] = []
    again = roads.demo(tmp_path, say=said.append)
    assert again.version == demo_roads.version and said == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a network"])
def test_a_damaged_network_is_said_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot read the road network"):
        roads.load(path)


def test_a_network_of_another_version_is_refused_and_a_damaged_cache_is_drawn_anew(
    tmp_path: Path, demo_roads: Roads
) -> None:
    path = tmp_path / f"demo-roads-{roads.DEMO_VERSION}-{DEMO_SEED}.npz"
    with path.open("wb") as file:
        np.savez(file, file_version=roads.FILE_VERSION + 1, **demo_roads._asdict())
    with pytest.raises(ValueError, match="another version"):
        roads.load(path)
    said: list[str] = []
    assert roads.demo(tmp_path, say=said.append).version == demo_roads.version
    assert "drawing it anew" in said[0] and len(said) == 3


def test_twins_pair_each_direction_once() -> None:
    tail, head = np.array([0, 1, 0, 1, 2]), np.array([1, 0, 1, 0, 2])
    twin = roads.twins(tail.astype(np.int32), head.astype(np.int32)).tolist()
    assert twin == [1, 0, 3, 2, -1]
