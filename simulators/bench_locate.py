"""`dispatch112 bench locate`: whether the circle about a call means what it says, and what a look-up costs.

Evidence of callers whose place is known (whereabouts.py), fused by the service's own code: how many of each mix lie
within their 90 % circle, how often a mistake of kilometres is contradicted, and how often the truth is. Worlds in
which sources boast or are modest say how far the circle can be trusted where the habits are not those assumed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from statistics import median
from typing import Any

import numpy as np

from routing.geometry import COUNTRY_EAST, COUNTRY_NORTH, COUNTRY_SOUTH, COUNTRY_WEST, distance_m
from routing.locate import fuse
from routing.regions import Regions
from simulators.whereabouts import MIXES, NOW, WORLDS, Case, Witness

CASES, CASES_OF_A_WORLD = 3_000, 300
TIMED = 200
ROUNDS = 5
LOOKED_UP = 20_000


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Shares from 0 to 1, metres and microseconds, by name."""
    regions = Regions()
    return {
        "mixes": {mix: _mix(mix, args.seed, regions) for mix in MIXES},
        "share_within_circle_by_world": {
            world: {mix: _held(_cases(mix, args.seed, world, CASES_OF_A_WORLD), regions) for mix in MIXES}
            for world in WORLDS
        },
        "region": _look_ups(args.seed, regions),
    }


def _cases(mix: str, seed: int, world: str, count: int) -> list[Case]:
    witness = Witness(seed, WORLDS[world])
    return [witness.case(mix) for _ in range(count)]


def _held(cases: Sequence[Case], regions: Regions) -> float:
    inside = 0
    for case in cases:
        found = fuse(case.fixes, NOW, regions)
        inside += found is not None and distance_m((found.lat, found.lon), case.truth) <= found.accuracy_m
    return round(inside / len(cases), 3)


def _mix(mix: str, seed: int, regions: Regions) -> dict[str, Any]:
    cases = _cases(mix, seed, "usual", CASES)
    found = [(case, fuse(case.fixes, NOW, regions)) for case in cases]
    known = [(case, estimate) for case, estimate in found if estimate is not None]
    errors_m = [distance_m((estimate.lat, estimate.lon), case.truth) for case, estimate in known]
    radii_m = [estimate.accuracy_m for _, estimate in known]
    figures: dict[str, Any] = {
        "cases": len(known),
        "share_within_circle": _share([e <= r for e, r in zip(errors_m, radii_m, strict=True)]),
        "error_m_p50": round(median(errors_m), 1),
        "circle_m_p50": round(median(radii_m), 1),
        "fuse_cpu_us": _us(partial(fuse, case.fixes, NOW, regions) for case in cases[:TIMED]),
    }
    if len(MIXES[mix]) > 1:
        told = [estimate.contradiction is not None for _, estimate in known]
        lied = [bool(case.mistaken) for case, _ in known]
        held = [e <= r for e, r in zip(errors_m, radii_m, strict=True)]
        figures |= {
            "contradiction_found_share": _share([t for t, is_lie in zip(told, lied, strict=True) if is_lie]),
            "false_alarm_share": _share([t for t, is_lie in zip(told, lied, strict=True) if not is_lie]),
            "share_within_circle_contradicted": _share([h for h, t in zip(held, told, strict=True) if t]),
        }
    return figures


def _look_ups(seed: int, regions: Regions) -> dict[str, float]:
    """Where people are, and anywhere in the country's box, borders and all."""
    rng = Random(f"{seed}:look-ups")
    witness = Witness(seed, WORLDS["usual"])
    people = [witness.case("aml").truth for _ in range(TIMED * 10)]
    lats = np.array([rng.uniform(COUNTRY_SOUTH, COUNTRY_NORTH) for _ in range(LOOKED_UP)])
    lons = np.array([rng.uniform(COUNTRY_WEST, COUNTRY_EAST) for _ in range(LOOKED_UP)])
    anywhere = list(zip(lats[: TIMED * 10].tolist(), lons[: TIMED * 10].tolist(), strict=True))
    return {
        "first_look_cpu_us": _us((partial(regions.at, *at) for at in people), rounds=1),
        "single_cpu_us": _us(partial(regions.at, *at) for at in people),
        "single_anywhere_cpu_us": _us(partial(regions.at, *at) for at in anywhere),
        "batched_cpu_us_each": round(_us([partial(regions.at_many, lats, lons)]) / LOOKED_UP, 3),
    }


def _us(asked: Iterable[Callable[[], object]], rounds: int = ROUNDS) -> float:
    """Microseconds of CPU each, of the best of a few rounds: what else runs on the machine only adds."""
    best_s, questions = float("inf"), list(asked)
    for _ in range(rounds):
        began_s = time.process_time()
        for ask in questions:
            ask()
        best_s = min(best_s, time.process_time() - began_s)
    return round(best_s / len(questions) * 1e6, 1)


def _share(claims: Sequence[bool]) -> float | None:
    return round(sum(claims) / len(claims), 3) if claims else None
