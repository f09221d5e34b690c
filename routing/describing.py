"""Words for a position: the settlement, its district in a large city, distance and direction, a landmark beside it.

What a row of the queue and a crew's order say: «Urgut, 4 km shimoli-sharqda», «Toshkent, Yunusobod tumani, Navoiy
bogʻi yonida».
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from routing.geometry import Point, bearing_deg, compass_point, distance_m, distances_m
from routing.landmarks import Landmarks
from routing.names import Names, completed
from routing.places import SETTLEMENTS, Settlement, radius_m

LABEL_CELL_DEG: Final = 0.0025  # about 250 m: the label of a cell is that of its centre
LANDMARK_CELL_DEG: Final = 0.0005  # about 50 m, where there are landmarks
LABELS_KEPT: Final = 65_536

_DIRECTIONS: Final = {
    "n": Names("shimolda", "шимолда", "к северу", "arqada", "N"),
    "ne": Names("shimoli-sharqda", "шимоли-шарқда", "к северо-востоку", "arqa-shıǵısta", "NE"),
    "e": Names("sharqda", "шарқда", "к востоку", "shıǵısta", "E"),
    "se": Names("janubi-sharqda", "жануби-шарқда", "к юго-востоку", "qubla-shıǵısta", "SE"),
    "s": Names("janubda", "жанубда", "к югу", "qublada", "S"),
    "sw": Names("janubi-gʻarbda", "жануби-ғарбда", "к юго-западу", "qubla-batısta", "SW"),
    "w": Names("gʻarbda", "ғарбда", "к западу", "batısta", "W"),
    "nw": Names("shimoli-gʻarbda", "шимоли-ғарбда", "к северо-западу", "arqa-batısta", "NW"),
}
_KILOMETRE: Final = Names("km", "км", "км", "km", "km")
# The forms keep a name as it is: what a landmark is called is not ours to decline.
_INSIDE: Final = Names("{} ichida", "{} ичида", "внутри: {}", "{} ishinde", "in {}")
_BESIDE: Final = Names("{} yonida", "{} ёнида", "рядом: {}", "{} janında", "near {}")


class Describer:
    """Names positions by the settlements, city districts and landmarks given; there must be a settlement."""

    def __init__(self, places: Sequence[Settlement], landmarks: Landmarks) -> None:
        towns = [place for place in places if place.kind in SETTLEMENTS]
        self._towns, self._wards = towns, [place for place in places if place.kind == "city_district"]
        self._town_lats = np.array([town.at.lat for town in towns])
        self._town_lons = np.array([town.at.lon for town in towns])
        self._town_radii_m = np.array([radius_m(town.population) for town in towns])
        self._landmarks = landmarks
        self._label_of_cell = lru_cache(maxsize=LABELS_KEPT)(self._describe_cell)
        self._label_beside = lru_cache(maxsize=LABELS_KEPT)(self._describe_beside)

    def describe(self, lat: float, lon: float) -> Names:
        """The label of a position in all five languages; remembered by cells of 250 m, of 50 m with landmarks."""
        if len(self._landmarks):
            return self._label_beside(math.floor(lat / LANDMARK_CELL_DEG), math.floor(lon / LANDMARK_CELL_DEG))
        return self._label_of_cell(math.floor(lat / LABEL_CELL_DEG), math.floor(lon / LABEL_CELL_DEG))

    def _describe_beside(self, row: int, column: int) -> Names:
        at = Point((row + 0.5) * LANDMARK_CELL_DEG, (column + 0.5) * LANDMARK_CELL_DEG)
        label = self._label_of_cell(math.floor(at.lat / LABEL_CELL_DEG), math.floor(at.lon / LABEL_CELL_DEG))
        found = self._landmarks.beside(at)
        if found is None:
            return label
        words, names = _INSIDE if found.is_inside else _BESIDE, completed(found.landmark.names)
        said = zip(label.each(), words.each(), names.each(), strict=True)
        return Names(*(f"{where}, {word.format(name)}" for where, word, name in said))

    def _describe_cell(self, row: int, column: int) -> Names:
        at = Point((row + 0.5) * LABEL_CELL_DEG, (column + 0.5) * LABEL_CELL_DEG)
        away_m = distances_m(self._town_lats, self._town_lons, at)
        nearest = int(np.argmin(away_m - self._town_radii_m))
        town = self._towns[nearest]
        if away_m[nearest] <= self._town_radii_m[nearest]:
            return self._inside(town, at)
        direction = _DIRECTIONS[compass_point(bearing_deg(town.at, at))]
        distance = str(max(1, round(float(away_m[nearest]) / 1000)))
        said = zip(completed(town.names).each(), _KILOMETRE.each(), direction.each(), strict=True)
        return Names(*(f"{name}, {distance} {unit} {where}" for name, unit, where in said))

    def _inside(self, town: Settlement, at: Point) -> Names:
        """The town itself, and in a city with districts the one whose middle is nearest."""
        wards = [ward for ward in self._wards if distance_m(ward.at, town.at) < radius_m(town.population) * 1.5]
        names = completed(town.names)
        if not wards:
            return names
        ward = min(wards, key=lambda ward: distance_m(ward.at, at))
        pairs = zip(names.each(), completed(ward.names).each(), strict=True)
        return Names(*(f"{name}, {district}" for name, district in pairs))
