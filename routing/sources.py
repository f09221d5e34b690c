"""What a source's word is worth: how its stated radius is meant, how far it may be off, how it ages.

One table of habits, and evidence as the mixture that follows from it. The numbers are judgement, fitted to simulated
evidence only (decision 37 says how, and how to fit them to a centre's own records). Not here: several pieces of
evidence together (locate.py), the shape of a sector (sectors.py).
"""

import math
from datetime import datetime
from typing import Final, Literal

import msgspec

from routing.geometry import in_country, local_m
from routing.mixtures import Mixture, mixture
from routing.sectors import Area, Ring, Sector

Source = Literal["aml", "app", "ecall", "cell", "address", "landmark", "vehicle", "operator"]

LEAST_RADIUS_M: Final = 3.0
MOST_GROWTH_M: Final = 20_000.0
CANDIDATE_SCORE: Final = 1.7  # points of a search's score (0..100) that make a candidate e times likelier
SECOND_THOUGHTS: Final = 0.5  # share of places named first that are wrong once the caller names another
BEYOND: Final = 3.0  # a mistaken fix is off by more than its radius explains
MISTAKES: Final = (0.45, 0.45, 0.1)  # shares of the mistaken: near, far, and anywhere in the country
ANYWHERE_M: Final = 250_000.0  # without such a part two exact places far apart would meet where nobody is


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """A source's habits. `usual_m` is the radius where none is stated, and `confidence` the share of cases that a
    stated radius is meant to hold. True radii are the stated one times `optimism`, lognormally spread by `spread`.
    A share `wrong` is mistaken, mostly by a few times `wrong_m` metres. Of the callers a share `moving` moves on, at
    `pace`. `even`: what was named is an area, and its edge is as likely as its middle; a receiver's errors are likelier
    small.
    """

    usual_m: float
    confidence: float
    optimism: float = 1.0
    spread: float = 0.4
    wrong: float = 0.05
    wrong_m: tuple[float, float] = (1_500.0, 12_000.0)
    moving: float = 0.0
    pace_m_s: float = 0.0
    even: bool = False

    def factors(self) -> tuple[tuple[float, float], ...]:
        """(weight, variance along an axis for a stated radius of 1 m) of the true radii: three nodes of Gauss and
        Hermite. Of a disc the variance is a quarter of its squared radius, and how unsure that is blurs its edge."""
        if self.even:
            return ((1.0, self.optimism**2 / (4.0 * self.confidence)),)
        plain = self.optimism**2 / (-2.0 * math.log(1.0 - self.confidence))
        step = math.exp(2.0 * math.sqrt(3.0) * self.spread)
        return ((1 / 6, plain / step), (2 / 3, plain), (1 / 6, plain * step))


STROLL: Final = 0.4  # share of callers who walk on
WALK_M_S: Final = 0.76
SPOKEN: Final = (2_500.0, 20_000.0)

HABITS: Final[dict[str, Habit]] = {
    # ETSI TS 103 625 leaves the confidence to the message; the radius is brought to 68 % where it comes in.
    "aml": Habit(usual_m=50.0, confidence=0.68, optimism=1.1, spread=0.5, moving=STROLL, pace_m_s=WALK_M_S),
    # Android and iOS both mean 68 %.
    "app": Habit(usual_m=30.0, confidence=0.68, optimism=1.1, spread=0.5, moving=STROLL, pace_m_s=WALK_M_S),
    # EN 15722 trusts a position that is within its radius in 95 % of cases. A car that called has stopped.
    "ecall": Habit(usual_m=40.0, confidence=0.95, optimism=1.1, spread=0.5),
    # What operators call a cell's reach holds most of its telephones, not all.
    "cell": Habit(
        usual_m=3_000.0, confidence=0.9, spread=0.3, wrong=0.02, wrong_m=(4_000.0, 20_000.0),
        moving=STROLL, pace_m_s=WALK_M_S, even=True,
    ),
    # The reach of what was named, about its middle.
    "address": Habit(usual_m=100.0, confidence=0.9, spread=0.25, wrong=0.03, wrong_m=SPOKEN, even=True),
    "landmark": Habit(usual_m=300.0, confidence=0.9, spread=0.25, wrong=0.03, wrong_m=SPOKEN, even=True),
    "vehicle": Habit(usual_m=25.0, confidence=0.68, optimism=1.1, spread=0.5, moving=0.8, pace_m_s=4.5),
    "operator": Habit(usual_m=20.0, confidence=0.9, wrong=0.02),
}  # fmt: skip
FACTORS: Final = {source: habit.factors() for source, habit in HABITS.items()}


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """One place that words may mean; `score` is the search's, 0 to 100."""

    lat: float
    lon: float
    accuracy_m: float
    score: float = 100.0


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence. `accuracy_m` is a radius, None where the source states none; `at` is aware UTC.

    Words that may mean several places have them as `spots`, the best of which is the fix's own point. A cell may
    have a `sector`, about the fix's point as its mast, or an `area`: a ring of (lat, lon).
    """

    lat: float
    lon: float
    source: Source
    at: datetime
    accuracy_m: float | None = None
    confirmed: bool = False
    spots: tuple[Spot, ...] = ()
    sector: Sector | None = None
    area: Ring = ()

    @property
    def stated_m(self) -> float:
        """The radius that it states, or its source's usual one."""
        stated = HABITS[self.source].usual_m if self.accuracy_m is None else self.accuracy_m
        return max(LEAST_RADIUS_M, stated)

    @property
    def places(self) -> tuple[tuple[float, float], ...]:
        """Every place that it may mean, as (lat, lon)."""
        return tuple((spot.lat, spot.lon) for spot in self.spots) or ((self.lat, self.lon),)

    @property
    def is_round(self) -> bool:
        """Whether everything that it says lies about one point."""
        return len(self.spots) <= 1 and self.sector is None and not self.area


def is_position(fix: Fix) -> bool:
    """Whether a fix says anything: 0,0 is how a phone says that it knows nothing, and abroad is a mistake."""
    return in_country(fix.lat, fix.lon) and (fix.accuracy_m is None or math.isfinite(fix.accuracy_m))


def restated(radius_m: float, confidence: float, source: str) -> float:
    """A radius stated at a confidence (a share of cases) as the one that the source is taken to state.

    Nobody is sure: beyond 99 % a confidence is taken for 99 %, and below 10 % for nonsense that changes nothing.
    """
    if not 0.1 <= confidence <= 1.0:
        return radius_m
    usual, stated = (math.log(1.0 - min(share, 0.99)) for share in (HABITS[source].confidence, confidence))
    return radius_m * math.sqrt(usual / stated)


Part = tuple[float, float, float, float, int]  # of a mixture: weight, east, north, variance, wrong
# The middle of a disc, and six directions about it.
DISC: Final = ((0.0, 0.0), *((math.cos(math.pi * i / 3.0), math.sin(math.pi * i / 3.0)) for i in range(6)))


class Spread(msgspec.Struct, frozen=True, gc=False):
    """How a round fix scatters about its point by now: the last parts are those of MISTAKES."""

    weights: tuple[float, ...]
    variances: tuple[float, ...]


def spread(source: str, radius_m: float, age_s: float, wrong: float | None = None) -> Spread:
    """The parts of a radius stated so many seconds ago. `wrong` is the share of mistakes, if not the usual one."""
    habit, square = HABITS[source], radius_m * radius_m
    bad = habit.wrong if wrong is None else wrong
    moved = min(MOST_GROWTH_M, habit.pace_m_s * max(0.0, age_s)) ** 2
    weights, variances = [], []
    for weight, factor in FACTORS[source]:
        variance = square * factor
        if moved > 0.04 * variance:
            weights += [weight * (1.0 - habit.moving) * (1.0 - bad), weight * habit.moving * (1.0 - bad)]
            variances += [variance, variance + moved]
        else:
            weights.append(weight * (1.0 - bad))
            variances.append(variance)
    widest = BEYOND * BEYOND * square * FACTORS[source][len(FACTORS[source]) // 2][1] + moved
    mistaken = _mistaken(habit, bad, widest)
    return Spread((*weights, *mistaken.weights), (*variances, *mistaken.variances))


def _mistaken(habit: Habit, wrong: float, variance: float) -> Spread:
    """The parts of a mistake, together `wrong`, that is off by more than what `variance` explains."""
    distances_m = (*habit.wrong_m, ANYWHERE_M)
    return Spread(tuple(wrong * share for share in MISTAKES), tuple(variance + away_m**2 for away_m in distances_m))


def placed(fix: Fix, now: datetime, origin: tuple[float, float], mark: int, again: bool = False) -> Mixture:
    """A fix as a mixture about an origin; `mark` is the bit of its mistaken parts.

    `again`: the caller has named another place since, and most often meant to correct this one.
    """
    age_s = (now - fix.at).total_seconds()
    wrong = SECOND_THOUGHTS if again else None
    if fix.sector is not None or fix.area:
        return _within(fix, age_s, origin, mark)
    spots = fix.spots or (Spot(lat=fix.lat, lon=fix.lon, accuracy_m=fix.stated_m),)
    best = max(spot.score for spot in spots)
    likely = [math.exp((spot.score - best) / CANDIDATE_SCORE) for spot in spots]
    parts = []
    for spot, share in zip(spots, likely, strict=True):
        scatter = spread(fix.source, max(LEAST_RADIUS_M, spot.accuracy_m), age_s, wrong)
        at = local_m(origin, (spot.lat, spot.lon))
        parts += _about(scatter, at, share / sum(likely), mark, HABITS[fix.source])
    return mixture(parts)


def _within(fix: Fix, age_s: float, origin: tuple[float, float], mark: int) -> Mixture:
    """Cells of a sector or an area, each as likely as it is large, and a mistake about its middle."""
    habit = HABITS[fix.source]
    area = Area.of_ring(fix.area) if fix.area else Area.of_sector((fix.lat, fix.lon), fix.sector or Sector())
    good = (1.0 - habit.wrong) / len(area.cells)
    moved = min(MOST_GROWTH_M, habit.pace_m_s * max(0.0, age_s)) ** 2
    parts = [
        (good, *local_m(origin, (cell.lat, cell.lon)), cell.sigma_m**2 + moved * habit.moving, 0) for cell in area.cells
    ]
    mistaken = _mistaken(habit, habit.wrong, area.reach_m**2)
    return mixture([*parts, *_about(mistaken, local_m(origin, area.middle), 1.0, mark, habit)])


def _about(scatter: Spread, at: tuple[float, float], share: float, mark: int, habit: Habit) -> list[Part]:
    good = len(scatter.weights) - len(MISTAKES)
    parts: list[Part] = []
    for weight, variance in zip(scatter.weights[:good], scatter.variances[:good], strict=True):
        if habit.even:
            parts += _disc(share * weight, at, variance, habit.spread)
        else:
            parts.append((share * weight, *at, variance, 0))
    mistaken = zip(scatter.weights[good:], scatter.variances[good:], strict=True)
    return parts + [(share * weight, *at, variance, mark) for weight, variance in mistaken]


def _disc(weight: float, at: tuple[float, float], variance: float, unsure: float) -> list[Part]:
    """A disc of this variance along an axis: seven equal pieces, one in the middle and six around it, each as wide as a
    seventh of the disc and all together as wide as the whole. Where its edge is, is `unsure` by a lognormal factor."""
    away_m, own = math.sqrt(2.0 * variance), variance * (1.0 / 7.0 + math.expm1(2.0 * unsure * unsure))
    return [(weight / 7.0, at[0] + away_m * east, at[1] + away_m * north, own, 0) for east, north in DISC]
