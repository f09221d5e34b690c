"""Writing Mapbox Vector Tiles 2.1: points, lines and rings in tile coordinates to the bytes that maps draw.

Written from the public specification (mapbox/vector-tile-spec). Only what our own map needs: no polygons, string
and integer attributes. Not here: which features a tile holds (basemap).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

EXTENT: Final = 4096
POINT, LINE = 1, 2
_MOVE_TO, _LINE_TO = 1, 2
_VARINT, _BYTES = 0, 2

Ints = NDArray[np.int64]


class Feature(NamedTuple):
    """One feature: POINT or LINE, its geometry as commands (see `points` and `lines`), its attributes."""

    kind: int
    geometry: Ints
    attributes: dict[str, str | int]


def tile(layers: dict[str, list[Feature]]) -> bytes:
    """A tile of named layers; layers without features are left out."""
    return b"".join(_field(3, _layer(name, features)) for name, features in layers.items() if features)


def points(places: Ints) -> Ints:
    """The commands of points at `places` (n, 2) in tile units."""
    moves = np.diff(places, axis=0, prepend=np.zeros((1, 2), np.int64))
    return np.concatenate([[_command(_MOVE_TO, len(places))], _zigzag(moves).ravel()])


def lines(starts: Ints, places: Ints) -> Ints:
    """The commands of several lines: `places` (n, 2) in tile units, `starts` the index at which each begins."""
    moves = _zigzag(np.diff(places, axis=0, prepend=np.zeros((1, 2), np.int64))).ravel()
    lengths = np.diff(np.append(starts, len(places)))
    assert (lengths >= 2).all(), "a line has at least two places"
    # Before each start come three words, after its own two the count of the line's further moves.
    at = np.repeat(2 * starts, 2) + np.tile([0, 2], len(starts))
    words = np.column_stack([np.full(len(starts), _command(_MOVE_TO, 1)), _LINE_TO | (lengths - 1) << 3])
    return np.insert(moves, at, words.ravel())


def varints(numbers: Ints) -> bytes:
    """Numbers from 0 to 2^35 as protobuf's base-128 varints, all at once."""
    groups = (numbers[:, None] >> np.arange(0, 35, 7)) & 0x7F
    size = np.maximum(1, 5 - np.argmax(groups[:, ::-1] != 0, axis=1))
    size[numbers == 0] = 1
    place = np.arange(5)
    groups |= np.where(place < size[:, None] - 1, 0x80, 0)
    return bytes(groups[place < size[:, None]].astype(np.uint8))


def _layer(name: str, features: list[Feature]) -> bytes:
    keys: dict[str, int] = {}
    values: dict[str | int, int] = {}
    parts = [_field(1, name.encode())]
    for feature in features:
        tags = [
            index
            for key, value in feature.attributes.items()
            for index in (keys.setdefault(key, len(keys)), values.setdefault(value, len(values)))
        ]
        parts.append(_field(2, _feature(feature, tags)))
    parts += [_field(3, key.encode()) for key in keys]
    parts += [_field(4, _value(value)) for value in values]
    return b"".join([*parts, _number(5, EXTENT), _number(15, 2)])


def _feature(feature: Feature, tags: list[int]) -> bytes:
    packed = _field(2, varints(np.array(tags, dtype=np.int64))) if tags else b""
    return packed + _number(3, feature.kind) + _field(4, varints(feature.geometry))


def _value(value: str | int) -> bytes:
    return _number(5, value) if isinstance(value, int) else _field(1, value.encode())


def _field(number: int, content: bytes) -> bytes:
    return _words((number << 3 | _BYTES, len(content))) + content


def _number(number: int, value: int) -> bytes:
    return _words((number << 3 | _VARINT, value))


def _words(numbers: Iterable[int]) -> bytes:
    return varints(np.array(tuple(numbers), dtype=np.int64))


def _command(command: int, count: int) -> int:
    return command | (count << 3)


def _zigzag(numbers: Ints) -> Ints:
    return (numbers << 1) ^ (numbers >> 63)
