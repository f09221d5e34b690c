"""Files of places in, a file of times out: what `dispatch112 travel --from-file … --to-file …` reads and writes.

A file of places is CSV with a header: `id,lat,lon` in degrees, or `id,node` with nodes as edges.csv calls them. The
table is CSV `from,to,ms,metres`; where no road leads, ms and metres are empty.
"""

import csv
import io
import math
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from routing.geometry import Box, inside
from routing.matrix import ROWS_AT_ONCE, Matrix, Places

PLACES_MAX: Final = 20_000  # of one file: their labels are in memory together


class Asked(NamedTuple):
    """A file of places: their ids in its order, and either nodes (from 0) or positions."""

    ids: list[str]
    nodes: list[int]
    points: list[tuple[float, float]]


def read_places(path: Path, box: Box, first_node: int, nodes: int) -> Asked:
    """Read a file of places. ValueError names the file, the line, and what is wrong there."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise ValueError(f"cannot read {path}: {getattr(fault, 'strerror', None) or fault}") from None
    lines = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    asked = Asked([], [], [])
    try:
        columns = set(lines.fieldnames or ())
        if "id" not in columns or not ({"lat", "lon"} <= columns or "node" in columns):
            raise ValueError(f"{path}: line 1: the header is id,lat,lon or id,node, not {','.join(sorted(columns))!r}")
        for row in lines:
            try:
                _take(asked, row, (box, first_node, nodes))
            except ValueError as fault:
                raise ValueError(f"{path}: line {lines.line_num}: {fault}") from None
    except csv.Error as fault:
        raise ValueError(f"{path}: line {lines.line_num}: {fault}") from None
    if not asked.ids:
        raise ValueError(f"{path}: no place is in it")
    return asked


def _take(asked: Asked, row: dict[str, Any], bounds: tuple[Box, int, int]) -> None:
    box, first_node, nodes = bounds
    if len(asked.ids) == PLACES_MAX:
        raise ValueError(f"a file names at most {PLACES_MAX:,} places; divide it")
    if None in row or None in row.values() or not row["id"].strip():
        raise ValueError("a row has as many fields as the header, and an id")
    if "node" in row:
        word = row["node"].strip()
        if not (word.isascii() and word.isdigit() and first_node <= int(word) < first_node + nodes):
            raise ValueError(f"node {word!r} is none of this map's: they are {first_node} to {first_node + nodes - 1}")
        asked.nodes.append(int(word) - first_node)
    else:
        asked.points.append(_point(row["lat"], row["lon"], box))
    asked.ids.append(row["id"].strip())


def _point(lat_text: str, lon_text: str, box: Box) -> tuple[float, float]:
    try:
        lat, lon = float(lat_text), float(lon_text)
    except ValueError:
        raise ValueError(f"lat and lon are degrees, not {lat_text!r} and {lon_text!r}") from None
    if not inside(box, lat, lon):
        swapped = " (they look swapped)" if inside(box, lon, lat) else ""
        raise ValueError(f"the position {lat_text},{lon_text} is outside the map{swapped}")
    return lat, lon


def write_table(matrix: Matrix, starts: Asked, ends: Asked, path: Path) -> dict[str, Any]:
    """Write the times from all starts to all ends; what can be said of the whole. The file appears whole or not."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    sources, targets = (_placed(matrix, asked) for asked in (starts, ends))
    unreachable = 0
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("from", "to", "ms", "metres"))
            for begin in range(0, len(starts.ids), ROWS_AT_ONCE):
                block = sources.part(begin, begin + ROWS_AT_ONCE)
                for start, (ms, metres) in zip(starts.ids[begin:], matrix.rows(block, targets), strict=False):
                    unreachable += int(np.count_nonzero(np.isnan(metres)))
                    out.writerows(map(_row, [start] * len(ms), ends.ids, ms.tolist(), metres.tolist()))
        part.replace(path)
    except OSError as fault:
        part.unlink(missing_ok=True)
        raise ValueError(f"cannot write {path}: {fault.strerror}") from None
    return {
        "rows": len(starts.ids) * len(ends.ids),
        "unreachable": unreachable,
        "from_road_m_most": round(float(sources.away_m.max()), 1),
        "to_road_m_most": round(float(targets.away_m.max()), 1),
    }


def _placed(matrix: Matrix, asked: Asked) -> Places:
    return matrix.at_nodes(asked.nodes) if asked.nodes else matrix.at_positions(asked.points)


def _row(start: str, end: str, ms: int, metres: float) -> tuple[str, str, int | str, float | str]:
    return (start, end, "", "") if math.isnan(metres) else (start, end, ms, round(metres, 1))
