"""Kilometre posts: where «M39 125-km» is, between the posts of a road that are known or along its line."""

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import shapely

from routing.geometry import Point, along, distance_m, local_m

POST_M: Final = 100.0
SHARE_OF_GAP: Final = 0.1  # a road bends: what is between two posts lies off their straight line by up to so much
BESIDE_LINE_M: Final = 300.0  # a post so near to a road's line stands on it
BEYOND_KM: Final = 1.0  # behind the last post
LONGEST_GAP_KM: Final = 60.0

_REF: Final = r"(?P<ref>(?:4\s?-?\s?[rрpkк]|[mм]|[aа]|[dд])\s?-?\s?\d{1,4}[a-zа-я]?)"
_KM: Final = r"(?P<km>\d{1,4}(?:[.,]\d{1,3})?)(?:\s?\+\s?(?P<metres>\d{1,3}))?"
_UNIT: Final = r"(?:km|км|kilometr\w*|километр\w*|chaqirim\w*)\.?"
_BETWEEN: Final = r"(?:\s*[,;-]?\s*(?:[^\W\d_'’ʻʼ]+['’ʻʼ]?[^\W\d_]*\s+){0,3}?)"
_ASKED: Final = (
    re.compile(rf"(?<![\w-]){_REF}{_BETWEEN}\s*{_UNIT}\s*{_KM}(?!\w)"),
    re.compile(rf"(?<![\w-]){_REF}{_BETWEEN}\s*{_KM}\s*-?\s*(?:й|inchi|chi|нчи)?\s*-?\s*{_UNIT}(?!\w)"),
    re.compile(rf"(?<![\w+]){_KM}\s*-?\s*(?:й|inchi|chi|нчи)?\s*-?\s*{_UNIT}{_BETWEEN}\s*{_REF}(?!\w)"),
    re.compile(rf"(?<![\w+]){_UNIT}\s*{_KM}{_BETWEEN}\s*{_REF}(?!\w)"),
)
_LETTERS: Final = str.maketrans("мартд", "MAPTD") | str.maketrans("кр", "KR") | {ord("p"): "R"}


class Post(NamedTuple):
    """A kilometre post: the road's number in any spelling, the kilometre, and where it stands."""

    ref: str
    km: float
    at: Point


class Asked(NamedTuple):
    """A place on a road, as it was said; `ref` in the form of `road_ref`."""

    ref: str
    km: float


class OnRoad(NamedTuple):
    """Where it is."""

    at: Point
    accuracy_m: float


class Kilometres:
    """The posts of all roads; of roads whose line is known also its corners between two posts."""

    def __init__(self, posts: Iterable[Post], lines: Iterable[tuple[str, list[Point]]] = ()) -> None:
        roads: dict[str, dict[float, Point]] = {}
        for post in posts:
            roads.setdefault(road_ref(post.ref), {})[post.km] = post.at
        for ref, line in lines:
            known = roads.get(road_ref(ref), {})
            known |= dict(corner for corner in _corners(line, known) if corner[0] not in known)
        self._roads = {ref: sorted(known.items()) for ref, known in roads.items()}

    def __len__(self) -> int:
        return sum(map(len, self._roads.values()))

    def find(self, asked: Asked) -> OnRoad | None:
        """The place at a kilometre: a post itself, or between two; None where the road or its posts are unknown."""
        posts = self._roads.get(asked.ref)
        if not posts:
            return None
        i = bisect_left(posts, (asked.km,))
        behind = posts[i] if i < len(posts) else None
        before = posts[i - 1] if i else None
        if behind is not None and before is not None:
            return _between(before, behind, asked.km)
        km, at = behind or before or (0.0, Point(0.0, 0.0))
        away_km = abs(km - asked.km)
        return OnRoad(at, POST_M + 1000 * away_km) if away_km <= BEYOND_KM else None


def asked_kilometre(text: str) -> Asked | None:
    """The road and kilometre that a text names («A373 116-km», «трасса М39, 125-й км», «km 12 4R-20»), or None."""
    matches = (pattern.search(text.casefold()) for pattern in _ASKED)
    match = next((match for match in matches if match is not None), None)
    if match is None:
        return None
    km = float(match["km"].replace(",", ".")) + int(match["metres"] or 0) / 1000
    return Asked(road_ref(match["ref"]), km)


def road_ref(text: str) -> str:
    """A road's number as it is compared: «М-39», «m39» and «M 39» are `M39`, «4Р20» is `4R20`."""
    plain = "".join(letter for letter in text.casefold() if letter.isalnum())
    return plain.translate(_LETTERS).upper()


def posts_along(ref: str, line: Iterable[Point], km_from: float, km_to: float | None = None) -> list[Post]:
    """A road's line as posts at its corners; `km_to` stretches its length to what the posts say."""
    points = list(line)
    steps_km = [distance_m(a, b) / 1000 for a, b in pairwise(points)]
    length_km = sum(steps_km)
    stretch = 1.0 if km_to is None or not length_km else (km_to - km_from) / length_km
    posts, km = [], km_from
    for point, step_km in zip(points, [*steps_km, 0.0], strict=True):
        posts.append(Post(ref, km, point))
        km += step_km * stretch
    return posts


def _corners(line: list[Point], posts: dict[float, Point]) -> list[tuple[float, Point]]:
    """The corners of a line with their kilometres, as the posts beside it say; none outside two posts."""
    local = shapely.LineString([local_m(line[0], point) for point in line])
    stones = [(km, shapely.Point(local_m(line[0], at))) for km, at in posts.items()]
    beside = sorted((local.project(stone), km) for km, stone in stones if local.distance(stone) <= BESIDE_LINE_M)
    if len(beside) < 2:
        return []
    corners = [(local.project(shapely.Point(xy)), point) for xy, point in zip(local.coords, line, strict=True)]
    along_m, kms = zip(*beside, strict=True)
    inside = [(metres, point) for metres, point in corners if along_m[0] < metres < along_m[-1]]
    return [(float(np.interp(metres, along_m, kms)), point) for metres, point in inside]


def _between(before: tuple[float, Point], behind: tuple[float, Point], km: float) -> OnRoad | None:
    gap_km = behind[0] - before[0]
    if gap_km > LONGEST_GAP_KM:
        return None
    at = along(before[1], behind[1], (km - before[0]) / gap_km)
    to_nearest_km = min(km - before[0], behind[0] - km)
    return OnRoad(at, POST_M + SHARE_OF_GAP * 1000 * to_nearest_km)
