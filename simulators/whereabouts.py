"""Callers whose place is known, and the evidence of it, made so that an estimate can be held to the truth.

What the estimate cannot know: radii that are off by a random factor, errors with heavy tails, callers who walk and
buses that drive on, and mistakes of kilometres. Nothing here is taken from routing's own table of habits, and the
shapes differ on purpose: Student's t, discs and log-uniform distances here, normal distributions there. A `World`
says how kind it is. Not here: callers as the demo's load has them (callers.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec

from routing.geometry import Point, from_local_m, in_country
from routing.locate import Fix
from routing.places import settlements
from routing.sectors import Sector
from routing.sources import Source, Spot

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TAIL = 4.0
"""Degrees of freedom of a handset's errors: now and then far out."""
GROSS_M = (800.0, 40_000.0)
"""How far a mistaken fix lies away: any order of magnitude is as likely as any other."""
STILL = 0.62
"""Of the callers: who stay where they are."""
WALK_M_S = (0.3, 1.7)
DRIVE_M_S = (2.0, 14.0)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """How true what is stated is: true radii over stated ones by their median and spread, share of mistakes."""

    ratio: float = 1.0
    spread: float = 0.45
    gross: float = 0.05


WORLDS = {
    "usual": World(),
    "exact": World(ratio=1.0, spread=0.0, gross=0.0),
    "boastful": World(ratio=1.4, spread=0.6, gross=0.08),
    "modest": World(ratio=0.75, spread=0.3, gross=0.02),
}


class Case(msgspec.Struct, frozen=True):
    """A caller, what is known of where, and which pieces (by their index) are mistaken."""

    truth: Point
    fixes: tuple[Fix, ...]
    mistaken: tuple[int, ...]


class Witness:
    """Makes the evidence of one caller after the other; the same of the same seed."""

    def __init__(self, seed: int, world: World) -> None:
        self._rng = Random(f"{seed}:whereabouts")
        self._world = world
        self._places = [place for place in settlements() if place.kind != "region"]
        self._truth = Point(41.3, 69.2)
        self._mistaken = False

    def case(self, mix: str) -> Case:
        """A caller with the evidence of a mix of MIXES."""
        self._truth = self._somewhere()
        fixes, mistaken = [], []
        for i, make in enumerate(MIXES[mix]):
            self._mistaken = self._rng.random() < self._world.gross
            if self._mistaken:
                mistaken.append(i)
            fixes.append(make(self))
        return Case(self._truth, tuple(fixes), tuple(mistaken))

    def aml(self) -> Fix:
        """A handset by satellites, by access points, or by its cell."""
        kind = self._rng.random()
        usual_m = 12.0 if kind < 0.6 else 35.0 if kind < 0.94 else 900.0
        return self._handset("aml", self._about(usual_m, 0.5), self._rng.uniform(0, 90))

    def app(self) -> Fix:
        return self._handset("app", self._about(15.0, 0.6), self._rng.uniform(0, 240))

    def old(self) -> Fix:
        """A handset that has said nothing for up to twenty minutes."""
        return self._handset("aml", self._about(20.0, 0.6), self._rng.uniform(300, 1200))

    def ecall(self) -> Fix:
        """A radius of 95 %, of a car that stands."""
        stated_m, age_s = self._about(25.0, 0.4), self._rng.uniform(0, 300)
        return self._fix("ecall", self._off(stated_m / 2.448, 0.0), stated_m, age_s)

    def vehicle(self) -> Fix:
        """A bus that has driven on since."""
        stated_m, age_s = self._about(12.0, 0.4), self._rng.uniform(5, 120)
        moved_m = 0.0 if self._rng.random() < 0.2 else age_s * self._rng.uniform(*DRIVE_M_S) * self._rng.uniform(0.4, 1)
        return self._fix("vehicle", self._off(stated_m / 1.51, moved_m), stated_m, age_s)

    def cell(self) -> Fix:
        """The disc that a network calls the cell's reach."""
        reach_m = self._rng.choice((500.0, 900.0, 2_500.0, 6_000.0))
        away_m = reach_m * self._world.ratio * math.sqrt(self._rng.random()) * math.exp(self._rng.gauss(0, 0.3))
        return self._fix("cell", self._gross() or self._from(self._truth, away_m), reach_m, self._rng.uniform(0, 60))

    def sector(self) -> Fix:
        """A mast, its direction and its reach; most callers are in front of it, some beside or beyond."""
        width_deg = self._rng.choice((65.0, 90.0, 120.0))
        reach_m = self._rng.choice((700.0, 1_500.0, 4_000.0))
        azimuth_deg = self._rng.uniform(0, 360)
        spill = self._rng.random() < 0.08
        turn_deg = azimuth_deg + width_deg * (self._rng.uniform(-0.5, 0.5) * (1.8 if spill else 1.0))
        away_m = reach_m * self._world.ratio * math.sqrt(self._rng.random()) * math.exp(self._rng.gauss(0, 0.15))
        turn = math.radians(turn_deg + 180)
        mast = self._gross() or from_local_m(self._truth, away_m * math.sin(turn), away_m * math.cos(turn))
        sector = Sector(azimuth_deg=azimuth_deg, width_deg=width_deg, range_m=reach_m)
        return Fix(lat=mast.lat, lon=mast.lon, source="cell", at=NOW, sector=sector, accuracy_m=reach_m)

    def address(self) -> Fix:
        """A house, a street, or a quarter that the caller is somewhere in."""
        reach_m = self._rng.choices((60.0, 400.0, 2_500.0), (0.4, 0.35, 0.25))[0]
        return self._fix("address", self._gross() or self._in(reach_m), reach_m, self._rng.uniform(0, 60))

    def landmark(self) -> Fix:
        """A name that up to three other places of the country share; rarely the right one is not among them."""
        reach_m = self._rng.choice((150.0, 500.0, 1_500.0))
        right = self._gross() or self._in(reach_m)
        spots = [Spot(lat=right.lat, lon=right.lon, accuracy_m=reach_m, score=self._score(100.0))]
        for _ in range(self._rng.choice((0, 0, 1, 2, 3))):
            other = self._elsewhere((5_000.0, 300_000.0))
            spots.append(Spot(lat=other.lat, lon=other.lon, accuracy_m=reach_m, score=self._score(98.0)))
        spots.sort(key=lambda spot: -spot.score)
        return Fix(lat=spots[0].lat, lon=spots[0].lon, source="landmark", at=NOW, accuracy_m=reach_m,
                   spots=tuple(spots))  # fmt: skip

    def _score(self, most: float) -> float:
        """What a search gives: the right name in most cases the best, not always."""
        return max(80.0, most - self._rng.expovariate(0.4))

    def _handset(self, source: Source, stated_m: float, age_s: float) -> Fix:
        walked_m = 0.0 if self._rng.random() < STILL else age_s * self._rng.uniform(*WALK_M_S)
        return self._fix(source, self._off(stated_m / 1.51, walked_m), stated_m, age_s)

    def _fix(self, source: Source, at: Point, accuracy_m: float, age_s: float) -> Fix:
        when = NOW - timedelta(seconds=age_s)
        return Fix(lat=at.lat, lon=at.lon, source=source, at=when, accuracy_m=accuracy_m)

    def _off(self, sigma_m: float, moved_m: float) -> Point:
        """Where a receiver thinks that it was: off by Student's t, scaled by a factor nobody knows."""
        wrong = self._gross()
        if wrong is not None:
            return wrong
        world = self._world
        scale_m = sigma_m * world.ratio * math.exp(self._rng.gauss(0, world.spread))
        # Of the same spread at 68 % as a normal one, so that a ratio of 1 is what is stated.
        tail = math.sqrt(TAIL / self._rng.gammavariate(TAIL / 2, 2.0)) * 0.88 if world.spread else 1.0
        before = self._from(self._truth, moved_m)
        return from_local_m(before, self._rng.gauss(0, scale_m * tail), self._rng.gauss(0, scale_m * tail))

    def _in(self, reach_m: float) -> Point:
        """The middle of something about the caller; a tenth of those who name it are beyond its reach."""
        wide_m = reach_m * self._world.ratio * math.exp(self._rng.gauss(0, 0.25))
        return self._from(self._truth, wide_m * math.sqrt(self._rng.random()))

    def _gross(self) -> Point | None:
        return self._elsewhere(GROSS_M) if self._mistaken else None

    def _elsewhere(self, reach_m: tuple[float, float]) -> Point:
        while True:
            away_m = math.exp(self._rng.uniform(*map(math.log, reach_m)))
            at = self._from(self._truth, away_m)
            if in_country(*at):
                return at

    def _from(self, point: Point, away_m: float) -> Point:
        turn = self._rng.uniform(0, 2 * math.pi)
        return from_local_m(point, away_m * math.sin(turn), away_m * math.cos(turn))

    def _about(self, median: float, spread: float) -> float:
        return median * math.exp(self._rng.gauss(0, spread))

    def _somewhere(self) -> Point:
        place = self._rng.choice(self._places)
        return from_local_m(place.at, self._rng.gauss(0, 2_500), self._rng.gauss(0, 2_500))


MIXES: dict[str, tuple[Callable[[Witness], Fix], ...]] = {
    "aml": (Witness.aml,),
    "app": (Witness.app,),
    "aml_long_ago": (Witness.old,),
    "ecall": (Witness.ecall,),
    "vehicle": (Witness.vehicle,),
    "cell": (Witness.cell,),
    "sector": (Witness.sector,),
    "address": (Witness.address,),
    "landmark": (Witness.landmark,),
    "aml_address": (Witness.aml, Witness.address),
    "aml_app": (Witness.aml, Witness.app),
    "aml_sector": (Witness.aml, Witness.sector),
    "cell_landmark": (Witness.cell, Witness.landmark),
    "sector_landmark": (Witness.sector, Witness.landmark),
    "cell_address": (Witness.cell, Witness.address),
    "two_sectors": (Witness.sector, Witness.sector),
    "vehicle_landmark": (Witness.vehicle, Witness.landmark),
    "address_landmark": (Witness.address, Witness.landmark),
    "aml_cell_address_landmark": (Witness.aml, Witness.cell, Witness.address, Witness.landmark),
}
"""What is known of a call, from one piece to four."""
