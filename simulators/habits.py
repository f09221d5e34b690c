"""How simulated crews behave: how long each step takes them, and how often they refuse, forget or fall silent.

From San Francisco's fire data (field.md): turnout 49 s, on scene until transport 1,008 s, medians. Assumptions
of ours: the share that is taken to a hospital (most 103 calls in Uzbekistan end at home) and the short
hand-over there (San Francisco's 1,913 s is the long wait of its hospitals), the scene times of the other four
bodies, every share of misbehaviour, and the spreads. The way to the hospital is driven, not drawn.
"""

from __future__ import annotations

import math
from random import Random

import msgspec

from dispatch.core.terms import Body

TURNOUT_MEDIAN_S, TURNOUT_SPREAD = 49.0, 0.4
SEEN_MEDIAN_S, ACCEPTED_MEDIAN_S = 4.0, 10.0
SCENE_MEDIAN_S = {
    Body.MOH: 1_008.0,
    Body.MIA: 1_080.0,
    Body.MES: 1_320.0,
    Body.GAS: 1_200.0,
    Body.NASP: 1_320.0,
}
SCENE_SPREAD = 0.35
TRANSPORT_SHARE = 0.15
FACILITY_MEDIAN_S = 600.0
LOADING_S = 30.0
REFUSES, SILENT, LATE = 0.01, 0.01, 0.06
LATE_PRESS_S = (30.0, 120.0)
REFUSAL_S = (6.0, 20.0)
OUT_AFTER_REFUSAL_S = 480.0
SILENT_FOR_S = 600.0
QUIET_FACTOR = 0.95
"""Drives without sirens, such as home."""
DRIVER_SPREAD = 0.12


class Temper(msgspec.Struct, frozen=True, kw_only=True):
    """What one crew will do with one order, drawn when the order comes. Service seconds."""

    refuses: bool
    silent: bool
    seen_s: float
    accepted_s: float
    turnout_s: float
    drive_factor: float
    late_press_s: float
    scene_s: float
    transports: bool
    facility_s: float


def temper(body: Body, rng: Random) -> Temper:
    """Draw a crew's behaviour for one order."""
    whim = rng.random()
    late = rng.random() < LATE
    accepted_s = min(_about(ACCEPTED_MEDIAN_S, 0.4, rng), 45.0)
    return Temper(
        refuses=whim < REFUSES,
        silent=REFUSES <= whim < REFUSES + SILENT,
        seen_s=min(_about(SEEN_MEDIAN_S, 0.4, rng), accepted_s),
        accepted_s=accepted_s,
        turnout_s=max(accepted_s, _about(TURNOUT_MEDIAN_S, TURNOUT_SPREAD, rng)),
        drive_factor=math.exp(rng.gauss(0, DRIVER_SPREAD)),
        late_press_s=rng.uniform(*LATE_PRESS_S) if late else 0.0,
        scene_s=_about(SCENE_MEDIAN_S[body], SCENE_SPREAD, rng),
        transports=body is Body.MOH and rng.random() < TRANSPORT_SHARE,
        facility_s=_about(FACILITY_MEDIAN_S, 0.3, rng),
    )


def _about(median: float, spread: float, rng: Random) -> float:
    """A log-normal time."""
    return median * math.exp(rng.gauss(0, spread))
