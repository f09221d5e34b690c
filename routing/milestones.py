"""Kilometre posts of a map, and the lines of the roads on which they stand: `kilometres.geojson` of a map folder.

A post is a node with `highway=milestone` and its kilometre as `distance` (or `pk`). Its road is the one that it names
by `ref`, if the map has such a road, else the nearest with a number. Roads with fewer than two posts are left out, for
along them nothing can be measured. Not here: finding a kilometre between posts (kilometres).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import shapely

from routing.geometry import METRES_PER_DEGREE
from routing.kilometres import road_ref
from routing.osm import Extract, Floats

FILE: Final = "kilometres.geojson"
ROAD_KEYS: Final = ("road:ref", "road_ref", "ref")
KM_KEYS: Final = ("distance", "pk", "km")
FEWEST_POSTS: Final = 2
BESIDE_ROAD_M: Final = 50.0  # a post stands at the edge of its road; farther, it may be that of a smaller one

_KM: Final = re.compile(r"^(?:km|км)?\s*(\d{1,4})(?:[.,](\d{1,3}))?(?:\s?\+\s?(\d{1,3}))?\s*(?:km|км)?$", re.IGNORECASE)


class Milestone(NamedTuple):
    """A post: the road's number as the map writes it, the kilometre, and where it stands (lon, lat)."""

    ref: str
    km: float
    at: tuple[float, float]


def kilometre(text: str) -> float | None:
    """What stands on a post: `132`, `132.4`, `132,4`, `km 132`, `132+400`; None where that is no kilometre."""
    found = _KM.match(text.strip())
    if found is None:
        return None
    whole, decimals, metres = found.groups()
    return float(f"{whole}.{decimals or 0}") + int(metres or 0) / 1000


def write(extract: Extract, place: Path) -> int:
    """Write the file; how many posts are in it."""
    lines = {ref: _lines(extract, ways) for ref, ways in extract.road_refs.items()}
    posts: dict[str, list[Milestone]] = {}
    for post in _milestones(extract, {ref: line for ref, line in lines.items() if not line.is_empty}):
        posts.setdefault(post.ref, []).append(post)
    posts = {ref: own for ref, own in posts.items() if len({post.km for post in own}) >= FEWEST_POSTS}
    features = [
        *(_feature(lines[ref], {"ref": ref}) for ref in posts),
        *(
            _feature(shapely.Point(post.at), {"kind": "kilometre_post", "ref": ref, "km": post.km})
            for ref, own in posts.items()
            for post in own
        ),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
    (place / FILE).write_text(text + "\n", "utf-8")
    return sum(map(len, posts.values()))


def _feature(shape: shapely.Geometry, said: dict[str, Any]) -> dict[str, Any]:
    geometry = json.loads(shapely.to_geojson(shapely.transform(shape, lambda xy: xy.round(6))))
    return {"type": "Feature", "properties": said, "geometry": geometry}


def _lines(extract: Extract, ways: list[int]) -> shapely.Geometry:
    """The ways of a road, those that follow on each other as one line."""
    lines = []
    for way in ways:
        index = extract.nodes.find(extract.refs[extract.first[way] : extract.first[way + 1]])
        index = index[index >= 0]  # an extract's edge cuts ways
        if len(index) > 1:
            lines.append(shapely.linestrings(np.column_stack([extract.nodes.lon[index], extract.nodes.lat[index]])))
    return shapely.line_merge(shapely.MultiLineString(lines))


def _milestones(extract: Extract, lines: dict[str, shapely.Geometry]) -> Iterator[Milestone]:
    """The posts whose kilometre can be read and that stand on a road with a number."""
    refs = list(lines)
    plane = _plane(extract)
    tree = shapely.STRtree([shapely.transform(line, lambda lonlat: lonlat * plane) for line in lines.values()])
    known = {road_ref(ref): ref for ref in refs}
    index = extract.nodes.find(np.array([post.nodes[0] for post in extract.milestones], np.int64))
    for post, at in zip(extract.milestones, index.tolist(), strict=True):
        km = next((km for key in KM_KEYS if (km := kilometre(post.tags.get(key, ""))) is not None), None)
        if km is None or at < 0:
            continue
        here = (float(extract.nodes.lon[at]), float(extract.nodes.lat[at]))
        named = (known.get(road_ref(part)) for key in ROAD_KEYS for part in post.tags.get(key, "").split(";"))
        ref = next((ref for ref in named if ref is not None), None)
        if ref is None:
            beside = tree.query_nearest(shapely.Point(plane * here), max_distance=BESIDE_ROAD_M)
            ref = refs[int(beside[0])] if len(beside) else None
        if ref is not None:
            yield Milestone(ref, km, here)


def _plane(extract: Extract) -> Floats:
    """Metres of a degree of longitude and of one of latitude, in the middle of the extract."""
    return METRES_PER_DEGREE * np.array([np.cos(np.radians(np.median(extract.nodes.lat))), 1.0])
