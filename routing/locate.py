"""Where a call is: one best estimate out of the evidence, with a circle that means something, and its regions.

Evidence comes as fixes: from the phone (AML, app), a car (eCall), the network (cell sector), the caller's words
(address, landmark), a moving vehicle, or a person at a console. What a person confirmed is never overwritten;
everything else is multiplied, each piece by what it is worth (sources.py), and the answer is the place with the most
weight and the circle about it that holds nine cases in ten. Pure: the time is given, nothing is read. Not here:
reading the formats (dispatch), looking up names (gazetteer).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Final

import msgspec

from routing.geometry import distance_m, from_local_m
from routing.mixtures import Mixture, centre, concentric_radius, product, radius_holding
from routing.regions import RegionMatch, Regions
from routing.sources import HABITS, is_position, placed, spread
from routing.sources import Fix as Fix
from routing.sources import Source as Source

HELD: Final = 0.9  # share of cases that an estimate's circle holds
WORSE: Final = 4.0  # a newer fix does not replace one whose radius is so many times smaller (EENA's rule for AML)
SPOKEN: Final = ("address", "landmark")
CELLS_TOGETHER_S: Final = 30.0  # cells heard within this of the newest speak of one moment
MOST_OF_ONE: Final = 4  # pieces of one source that count, the newest
DOUBT: Final = 0.9  # evidence contradicts itself when it is so likely that some of it is wrong
APART_M: Final = 400.0  # nearer than this nobody is sent to the wrong place


class Contradiction(msgspec.Struct, frozen=True):
    """`one`, on which the estimate rests, and `other` cannot both be right. `wrong` is how likely `other` is not."""

    one: Fix
    other: Fix
    apart_m: float
    wrong: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Where we take the call to be: within `accuracy_m` of the point in nine cases of ten.

    `source` is what the estimate rests on most. `also` names further regions within the circle; `match` is the
    look-up in full; `contradiction` says that other evidence points elsewhere.
    """

    lat: float
    lon: float
    accuracy_m: float
    source: Source
    at: datetime
    confirmed: bool
    region: str | None
    also: tuple[str, ...]
    contradiction: Contradiction | None
    match: RegionMatch


def fuse(fixes: Sequence[Fix], now: datetime, regions: Regions) -> Estimate | None:
    """The best estimate from fixes in any order; None when none of them can be a place in the country.

    A confirmed fix wins over all others, and the newest of several; the others can only contradict it.
    """
    usable = sorted((fix for fix in fixes if is_position(fix)), key=_order)
    if not usable:
        return None
    confirmed = [fix for fix in usable if fix.confirmed]
    if confirmed:
        return _confirmed(confirmed[-1], [fix for fix in usable if not fix.confirmed], now, regions)
    counted = usable if len(usable) == 1 else independent(usable, now)
    if len(counted) == 1 and counted[0].is_round:
        fix = counted[0]
        return _estimate(fix, (fix.lat, fix.lon), radius_at(fix, now), None, regions)
    return _fused(counted, now, regions)


def radius_at(fix: Fix, now: datetime) -> float:
    """The radius in metres about a fix's point that holds the caller by now, in nine cases of ten, as far as this
    fix knows. What a person confirmed stays as it was stated."""
    if fix.confirmed:
        return fix.stated_m
    if HABITS[fix.source].even:
        return radius_holding(placed(fix, now, (fix.lat, fix.lon), 1), (0.0, 0.0), HELD)
    scatter = spread(fix.source, fix.stated_m, (now - fix.at).total_seconds())
    return concentric_radius(scatter.weights, scatter.variances, HELD)


def independent(usable: Sequence[Fix], now: datetime) -> list[Fix]:
    """The fixes that each say something of their own, oldest first.

    One device's fixes err together, so the newest of each source counts alone, unless its radius by now is over
    four times that of the one before it. Words are different words, and cells of one moment different masts.
    """
    of_source: dict[str, list[Fix]] = {}
    for fix in usable:
        of_source.setdefault(fix.source, []).append(fix)
    kept = [fix for fixes in of_source.values() for fix in _own(fixes, now)]
    return sorted(kept, key=_order)


def _own(fixes: list[Fix], now: datetime) -> list[Fix]:
    source = fixes[0].source
    if len(fixes) == 1:
        return fixes
    if source in SPOKEN:
        return list({(fix.lat, fix.lon): fix for fix in fixes}.values())[-MOST_OF_ONE:]
    if source == "cell":
        together = [fix for fix in fixes if (fixes[-1].at - fix.at).total_seconds() <= CELLS_TOGETHER_S]
        return list({(fix.lat, fix.lon, fix.sector, fix.area): fix for fix in together}.values())[-MOST_OF_ONE:]
    best = fixes[0]
    for fix in fixes[1:]:
        if radius_at(fix, now) <= WORSE * radius_at(best, now):
            best = fix
    return [best]


def _fused(fixes: list[Fix], now: datetime, regions: Regions) -> Estimate:
    exact = min(fixes, key=lambda fix: fix.stated_m)
    origin = (exact.lat, exact.lon)
    pieces = _pieces(fixes, now, origin)
    found = reduce(product, pieces)
    middle = centre(found)
    best = _leading(found, middle, fixes)
    at = from_local_m(origin, *middle)
    return _estimate(best, at, radius_holding(found, middle, HELD), _contradiction(found, best, fixes), regions)


def _pieces(fixes: list[Fix], now: datetime, origin: tuple[float, float]) -> list[Mixture]:
    """Each fix as a mixture, marked by its bit; a place of the same source that was named before is doubted."""
    last = {fix.source: i for i, fix in enumerate(fixes)}
    return [
        placed(fix, now, origin, 1 << i, again=fix.source == "address" and last[fix.source] != i)
        for i, fix in enumerate(fixes)
    ]


def _leading(found: Mixture, middle: tuple[float, float], fixes: list[Fix]) -> Fix:
    """The most exact fix that the likeliest part about the best point does not take for wrong."""
    away = (found.east - middle[0]) ** 2 + (found.north - middle[1]) ** 2
    near = found.weight * (away <= 9.0 * found.variance)
    wrong = int(found.wrong[near.argmax()])
    right = [fix for i, fix in enumerate(fixes) if not wrong >> i & 1]
    return min(right or fixes, key=lambda fix: fix.stated_m)


def _contradiction(found: Mixture, best: Fix, fixes: list[Fix]) -> Contradiction | None:
    """The piece that is most likely wrong beside the best one, when it is likely that some piece is."""
    if float(found.weight[found.wrong == 0].sum()) > 1.0 - DOUBT:
        return None
    doubts = [
        Contradiction(best, fix, _apart_m(best, fix), _wrong(found, i))
        for i, fix in enumerate(fixes)
        if fix is not best
    ]
    far = [doubt for doubt in doubts if doubt.apart_m >= APART_M]
    return max(far, key=lambda doubt: doubt.wrong, default=None)


def _apart_m(one: Fix, other: Fix) -> float:
    """Between the nearest of the places that two pieces may mean."""
    return min(distance_m(here, there) for here in one.places for there in other.places)


def _wrong(found: Mixture, i: int) -> float:
    return float(found.weight[found.wrong >> i & 1 == 1].sum())


def _confirmed(best: Fix, others: list[Fix], now: datetime, regions: Regions) -> Estimate:
    """What a person confirmed, and the piece that contradicts it most."""
    doubts = []
    for fix in independent(others, now):
        pair = [best, fix]
        found = reduce(product, _pieces(pair, now, (best.lat, best.lon)))
        doubt = _contradiction(found, best, pair)
        if doubt is not None:
            doubts.append(doubt)
    worst = max(doubts, key=lambda doubt: doubt.apart_m, default=None)
    return _estimate(best, (best.lat, best.lon), radius_at(best, now), worst, regions)


def _estimate(
    best: Fix, at: tuple[float, float], accuracy_m: float, contradiction: Contradiction | None, regions: Regions
) -> Estimate:
    match = regions.at(*at, accuracy_m)
    return Estimate(
        lat=at[0],
        lon=at[1],
        accuracy_m=accuracy_m,
        source=best.source,
        at=best.at,
        confirmed=best.confirmed,
        region=match.region,
        also=match.also,
        contradiction=contradiction,
        match=match,
    )


def _order(fix: Fix) -> tuple[datetime, str, float, float, float]:
    """By time; the rest only so that the order of arrival never matters."""
    return fix.at, fix.source, fix.lat, fix.lon, fix.stated_m
