"""The road networks of JEMSS.jl as networks of ours: nodes.csv and arcs.csv, in a folder or a zip file.

Tables follow one another in a file, each under a line with its name. Times are in days, one column a travel mode;
distances in kilometres; x is the longitude; nodes and arcs count from 1. `arcForm` says whether an arc is a street
in both directions (undirected) or one of them. Every mode becomes a profile, every node stays a node.
"""

import csv
import io
import math
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.network import Network, snapping_arcs
from routing.roads import SECONDARY, Roads, lengths_m, twins

NODES, ARCS = "nodes.csv", "arcs.csv"
MEMBER_MAX_BYTES: Final = 1024 * 1024 * 1024
MS_PER_DAY: Final = 86_400_000

Rows = list[tuple[int, dict[str, str]]]


class _Columns(NamedTuple):
    """The arcs as read, counted from 0."""

    tail: NDArray[np.int32]
    head: NDArray[np.int32]
    ms: dict[str, NDArray[np.int32]]
    metres: NDArray[np.float64]


def is_jemss(path: Path) -> bool:
    """Whether a file or folder is meant to be such a network."""
    return path.suffix.lower() == ".zip" or (path.is_dir() and (path / NODES).exists())


def read(path: Path) -> Network:
    """Read a network. ValueError with one sentence: which file, which line, what is wrong there."""
    lat, lon = _nodes(f"{path}/{NODES}", _tables(path, NODES))
    columns = _arcs(f"{path}/{ARCS}", _tables(path, ARCS), len(lat))
    metres = np.where(columns.metres > 0, columns.metres, lengths_m(lat, lon, columns.tail, columns.head))
    first = next(iter(columns.ms))
    made = Roads(
        lat=lat, lon=lon, tail=columns.tail, head=columns.head, ms=columns.ms[first],
        metres=metres.astype(np.float32), kind=np.full(len(metres), SECONDARY, np.uint8),
        urban=np.ones(len(metres), bool), twin=twins(columns.tail, columns.head),
        order=np.arange(len(lat), dtype=np.int32), version="unordered",
    )  # fmt: skip
    streets = np.ones(len(metres), bool)
    snaps = {mode: snapping_arcs(made, ms, streets) for mode, ms in columns.ms.items()}
    counts = {"nodes": len(lat), "arcs": len(metres)}
    return Network(made._replace(snaps=snaps[first]), [], columns.ms, snaps, np.arange(1, len(lat) + 1), counts)


def _tables(path: Path, name: str) -> dict[str, Rows]:
    """The tables of a file by name, each row with the number of its line."""
    tables: dict[str, Rows] = {}
    lines = csv.reader(io.StringIO(_text(path, name)))
    title, columns = "", list[str]()
    try:
        for line in lines:
            words = [word.strip() for word in line]
            if not any(words):
                title = ""
            elif not title:
                title, columns = words[0], []
                tables[title] = []
            elif not columns:
                columns = words
            else:
                tables[title].append((lines.line_num, dict(zip(columns, words, strict=False))))
    except csv.Error as fault:
        raise ValueError(f"{path}/{name}: line {lines.line_num}: {fault}") from None
    return tables


def _text(path: Path, name: str) -> str:
    try:
        if path.is_dir():
            return (path / name).read_text("utf-8-sig")
        with ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if Path(info.filename).name == name]
            if len(inside) != 1 or inside[0].file_size > MEMBER_MAX_BYTES:
                raise ValueError(f"{path} must hold one {name} of at most 1 GiB; it holds {len(inside)}")
            return archive.read(inside[0]).decode("utf-8-sig")
    except (OSError, BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError) as fault:
        raise ValueError(f"cannot read {path}: {fault}") from None


def _nodes(where: str, tables: dict[str, Rows]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = _rows(where, tables, "nodes")
    lat, lon = np.empty(len(rows)), np.empty(len(rows))
    for i, (line, row) in enumerate(rows):
        if _number(where, line, row, "index") != i + 1:
            raise ValueError(f"{where}: line {line}: nodes must be numbered 1, 2, 3 … without a gap")
        lat[i], lon[i] = _number(where, line, row, "y"), _number(where, line, row, "x")
        if not (abs(lat[i]) <= 90 and abs(lon[i]) <= 180):
            raise ValueError(f"{where}: line {line}: x is a longitude and y a latitude, in degrees")
    return lat, lon


def _arcs(where: str, tables: dict[str, Rows], nodes: int) -> _Columns:
    rows = _rows(where, tables, "arcs")
    form = [row.get("arcForm") for _, row in tables.get("miscData", [])]
    modes = [name for name in rows[0][1] if name.startswith("mode_")]
    if form not in (["directed"], ["undirected"]) or not modes:
        raise ValueError(f"{where}: miscData must say arcForm directed or undirected, and arcs need a column mode_1")
    ends = np.empty((len(rows), 2), np.int32)
    days, metres = np.empty((len(rows), len(modes))), np.zeros(len(rows))
    for i, (line, row) in enumerate(rows):
        for side, name in enumerate(("fromNode", "toNode")):
            node = _number(where, line, row, name)
            if not (node.is_integer() and 1 <= node <= nodes):
                raise ValueError(f"{where}: line {line}: {name} names no node: {row.get(name)!r}")
            ends[i, side] = int(node) - 1
        days[i] = [_number(where, line, row, mode) for mode in modes]
        metres[i] = 1_000 * _number(where, line, row, "distance") if "distance" in row else 0.0
        if days[i].min() < 0 or metres[i] < 0:
            raise ValueError(f"{where}: line {line}: times and distances are not negative")
    ms = np.minimum(np.rint(days * MS_PER_DAY), UNREACHABLE).astype(np.int32)
    if form == ["undirected"]:
        ends, ms, metres = np.concatenate([ends, ends[:, ::-1]]), np.concatenate([ms, ms]), np.concatenate([metres] * 2)
    times = {mode: np.ascontiguousarray(ms[:, i]) for i, mode in enumerate(modes)}
    return _Columns(np.ascontiguousarray(ends[:, 0]), np.ascontiguousarray(ends[:, 1]), times, metres)


def _rows(where: str, tables: dict[str, Rows], name: str) -> Rows:
    if not tables.get(name):
        raise ValueError(f"{where}: no table {name!r} with rows in it")
    return tables[name]


def _number(where: str, line: int, row: dict[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, ValueError):
        raise ValueError(f"{where}: line {line}: {name} is no number: {row.get(name)!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"{where}: line {line}: {name} is no number: {row.get(name)!r}")
    return value
