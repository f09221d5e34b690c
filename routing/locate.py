"""Where a call is: one best estimate out of the evidence, with its uncertainty and its region.

Evidence comes as fixes: from the phone (AML, app), a car (eCall), the network (cell sector), the caller's words
(address, landmark), a moving vehicle, or a person at a console. What a person confirmed is never overwritten.
Pure: the time is given, nothing is read. Not here: reading the formats (dispatch), looking up names (gazetteer).
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from routing.geometry import distance_m, in_country
from routing.regions import RegionMatch, Regions

Source = Literal["aml", "app", "ecall", "cell", "address", "landmark", "vehicle", "operator"]

# The radius taken for a fix that states none, in metres.
USUAL_RADIUS_M: Final[dict[str, float]] = {
    "aml": 50.0, "app": 30.0, "ecall": 15.0, "cell": 3_000.0, "address": 100.0, "landmark": 300.0,
    "vehicle": 25.0, "operator": 20.0,
}  # fmt: skip

WORSE: Final = 4.0  # a newer fix does not replace one whose radius is so many times smaller (EENA's rule for AML)
WALK_M_PER_S: Final = 1.5  # how fast a radius grows while nothing is heard of somebody on foot
DRIVE_M_PER_S: Final = 20.0  # and of somebody in a vehicle
MOST_GROWTH_M: Final = 20_000.0
LEAST_RADIUS_M: Final = 3.0
AGREEMENT: Final = 2.0  # two fixes contradict each other when they are farther apart than so many of both radii
SLACK_M: Final = 200.0


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence. `accuracy_m` is a radius, None where the source states none; `at` is aware UTC."""

    lat: float
    lon: float
    source: Source
    at: datetime
    accuracy_m: float | None = None
    confirmed: bool = False


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Where we take the call to be. `also` names further regions within the radius; `contradiction` says in one
    sentence that other evidence points elsewhere; `match` is the look-up in full."""

    lat: float
    lon: float
    accuracy_m: float
    source: Source
    at: datetime
    confirmed: bool
    region: str | None
    also: tuple[str, ...]
    contradiction: str | None
    match: RegionMatch


def fuse(fixes: Sequence[Fix], now: datetime, regions: Regions) -> Estimate | None:
    """The best estimate from fixes in any order; None when none of them can be a place in the country.

    A confirmed fix wins over all others, and the newest of several. Otherwise the newest wins unless its radius,
    each grown with its age, is over four times that of the best before it.
    """
    usable = sorted((fix for fix in fixes if is_position(fix)), key=lambda fix: fix.at)
    if not usable:
        return None
    best = _best(usable, now)
    radius_m = radius_at(best, now)
    match = regions.at(best.lat, best.lon, radius_m)
    return Estimate(
        lat=best.lat,
        lon=best.lon,
        accuracy_m=radius_m,
        source=best.source,
        at=best.at,
        confirmed=best.confirmed,
        region=match.region,
        also=match.also,
        contradiction=_contradiction(best, usable, now),
        match=match,
    )


def is_position(fix: Fix) -> bool:
    """Whether a fix says anything: 0,0 is how a phone says that it knows nothing, and abroad is a mistake."""
    return in_country(fix.lat, fix.lon) and (fix.accuracy_m is None or math.isfinite(fix.accuracy_m))


def radius_at(fix: Fix, now: datetime) -> float:
    """The radius in metres within which the caller is by now: what is said stays, what moves spreads."""
    stated = USUAL_RADIUS_M[fix.source] if fix.accuracy_m is None else fix.accuracy_m
    return max(LEAST_RADIUS_M, stated) + _growth_m(fix, now)


def _growth_m(fix: Fix, now: datetime) -> float:
    if fix.confirmed or fix.source in ("address", "landmark", "operator"):
        return 0.0
    pace = DRIVE_M_PER_S if fix.source == "vehicle" else WALK_M_PER_S
    return min(MOST_GROWTH_M, max(0.0, (now - fix.at).total_seconds()) * pace)


def _best(usable: list[Fix], now: datetime) -> Fix:
    confirmed = [fix for fix in usable if fix.confirmed]
    if confirmed:
        return confirmed[-1]
    best = usable[0]
    for fix in usable[1:]:
        if radius_at(fix, now) <= WORSE * radius_at(best, now):
            best = fix
    return best


def _contradiction(best: Fix, usable: list[Fix], now: datetime) -> str | None:
    """The one other source that disagrees most, in words; only the newest fix of each source is asked."""
    newest = {fix.source: fix for fix in usable}
    gaps = [(_gap_m(best, fix, now), fix) for fix in newest.values() if fix is not best]
    gap_m, fix = max(gaps, key=lambda gap: gap[0], default=(0.0, best))
    if gap_m <= 0:
        return None
    apart_km = distance_m((best.lat, best.lon), (fix.lat, fix.lon)) / 1000
    return f"{fix.source} is {apart_km:.1f} km from {best.source}"


def _gap_m(a: Fix, b: Fix, now: datetime) -> float:
    """How much farther apart two fixes are than their radii explain; 0 or less where they agree."""
    reach_m = AGREEMENT * (radius_at(a, now) + radius_at(b, now)) + SLACK_M
    return distance_m((a.lat, a.lon), (b.lat, b.lon)) - reach_m
