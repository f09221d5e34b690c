"""The tiles that the console's map draws, read back by a reader of our own."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import mvt
from routing.basemap import MAX_ZOOM, MIN_ZOOM, Basemap, outlines_geojson
from routing.regions import REGIONS
from routing.roads import Roads


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def read_all(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(value)
    return values


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            yield key >> 3, data[at : at + value]
            at += value
        else:
            assert key & 7 == 0
            yield key >> 3, value


def read_geometry(words: list[int]) -> list[list[tuple[int, int]]]:
    lines: list[list[tuple[int, int]]] = []
    at, x, y = 0, 0, 0
    while at < len(words):
        command, count = words[at] & 7, words[at] >> 3
        at += 1
        for _ in range(count):
            dx, dy = ((word >> 1) ^ -(word & 1) for word in words[at : at + 2])
            at, x, y = at + 2, x + dx, y + dy
            if command == 1:
                lines.append([])
            lines[-1].append((x, y))
    return lines


Read = list[tuple[int, dict[str, object], list[list[tuple[int, int]]]]]


def read_tile(data: bytes) -> dict[str, Read]:
    layers = {}
    for _, layer in read_fields(data):
        fields = list(read_fields(layer))  # type: ignore[arg-type]
        by_number = {n: [value for number, value in fields if number == n] for n in range(16)}
        assert by_number[5] == [4096] and by_number[15] == [2]
        keys = [key.decode() for key in by_number[3]]  # type: ignore[union-attr]
        values = [read_value(value) for value in by_number[4]]  # type: ignore[arg-type]
        features: Read = []
        for feature in by_number[2]:
            parts = dict(read_fields(feature))  # type: ignore[arg-type]
            tags = read_all(parts.get(2, b""))  # type: ignore[arg-type]
            attributes = {keys[k]: values[v] for k, v in zip(tags[::2], tags[1::2], strict=True)}
            features.append((parts[3], attributes, read_geometry(read_all(parts[4]))))  # type: ignore[arg-type]
        layers[by_number[1][0].decode()] = features  # type: ignore[union-attr]
    return layers


def read_value(data: bytes) -> str | int:
    number, value = next(iter(read_fields(data)))
    return value.decode() if isinstance(value, bytes) else value if number == 5 else ""


def over(lat: float, lon: float, z: int) -> tuple[int, int, int]:
    y = 0.5 - math.atanh(math.sin(math.radians(lat))) / (2 * math.pi)
    return z, int((lon / 360 + 0.5) * 2**z), int(y * 2**z)


@pytest.fixture(scope="module")
def basemap(demo_roads: Roads) -> Basemap:
    return Basemap(demo_roads)


@given(st.lists(st.integers(0, 2**35 - 1), max_size=30))
def test_varints_are_read_back(numbers: list[int]) -> None:
    assert read_all(mvt.varints(np.array(numbers, dtype=np.int64))) == numbers


@given(st.lists(st.lists(st.tuples(st.integers(-9_000, 9_000), st.integers(-9_000, 9_000)), min_size=2), min_size=1))
def test_lines_are_read_back(lines: list[list[tuple[int, int]]]) -> None:
    starts = np.cumsum([0, *map(len, lines[:-1])])
    words = mvt.lines(starts, np.array([place for line in lines for place in line], dtype=np.int64))
    assert read_geometry(read_all(mvt.varints(words))) == lines


@pytest.mark.parametrize("z", range(MIN_ZOOM, MAX_ZOOM + 1))
def test_each_zoom_over_the_capital_draws_roads_within_the_tile(basemap: Basemap, z: int) -> None:
    layers = read_tile(basemap.tile(*over(41.3111, 69.2797, z)))
    kinds = {attributes["class"] for _, attributes, _ in layers["roads"]}
    assert "trunk" in kinds or z > 9
    assert ("residential" in kinds) == (z >= 13)
    places = [place for _, _, lines in layers["roads"] for line in lines for place in line]
    assert all(-32_768 <= value < 32_768 for place in places for value in place)
    assert all(len(line) >= 2 for _, _, lines in layers["roads"] for line in lines)


def test_places_are_named_in_every_language(basemap: Basemap) -> None:
    named = {str(a["uz-Latn"]): a for _, a, _ in read_tile(basemap.tile(*over(41.3111, 69.2797, 6)))["places"]}
    assert named["Toshkent"]["ru"] == "Ташкент" and named["Toshkent"]["uz-Cyrl"] == "Тошкент"
    assert named["Toshkent"]["population"] == 3_164_000 and named["Toshkent"]["kind"] == "city"
    assert "Chelak" not in named


def test_a_place_is_drawn_where_it_is_and_in_one_tile_only(basemap: Basemap) -> None:
    z, x, y = over(39.6546, 66.9645, 9)
    drawn = [
        (column, row, lines[0][0])
        for column in range(x - 1, x + 2)
        for row in range(y - 1, y + 2)
        for _, attributes, lines in read_tile(basemap.tile(z, column, row)).get("places", [])
        if attributes["en"] == "Samarkand"
    ]
    assert len(drawn) == 1
    column, row, (px, _) = drawn[0]
    assert (column, row) == (x, y)
    assert (x + px / 4096) / 2**z * 360 - 180 == pytest.approx(66.9645, abs=1e-3)


def test_region_borders_are_drawn(basemap: Basemap) -> None:
    assert read_tile(basemap.tile(*over(41.40, 69.22, 10)))["regions"]


def test_a_tile_of_another_continent_is_empty(basemap: Basemap) -> None:
    assert basemap.tile(8, 3, 3) == b""


@pytest.mark.parametrize("wrong", [(3, 0, 0), (15, 0, 0), (6, 64, 0), (6, 0, -1)])
def test_a_tile_outside_the_pyramid_is_refused(basemap: Basemap, wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="there is no tile"):
        basemap.tile(*wrong)


def test_a_tile_asked_for_again_is_not_made_again(basemap: Basemap) -> None:
    assert basemap.tile(7, 88, 47) is basemap.tile(7, 88, 47)


def test_tiles_stay_small_enough_for_a_slow_line(basemap: Basemap) -> None:
    assert max(len(basemap.tile(*over(41.3111, 69.2797, z))) for z in range(MIN_ZOOM, MAX_ZOOM + 1)) < 100_000


def test_outlines_hold_every_region_and_little_more() -> None:
    features = json.loads(outlines_geojson())["features"]
    assert {feature["id"] for feature in features} == {facts.id for facts in REGIONS}
    assert len(outlines_geojson()) < 60_000
