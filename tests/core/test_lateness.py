"""When help is there at the latest in nine cases of ten: told to people, kept with the order, no part of the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

import msgspec
import pytest

from dispatch.core import commands as c
from dispatch.core.assigning import question
from dispatch.core.lateness import CROSSING_M_S, p90_s
from dispatch.core.recommend import Inputs, digest, pick, recommend
from dispatch.core.terms import SYSTEM, Assigning, Reach, Spread
from tests.core.scene import LOLA, Scene, place, reach_of

USUAL = Spread(share=0.3, fixed_s=45.0)


def reach_with(seconds: Mapping[str, float | None], spread: Spread | None) -> Reach:
    return msgspec.structs.replace(reach_of(seconds), spread=spread)


@pytest.mark.parametrize(("accuracy_m", "urban"), [(10, True), (100, True), (600, True), (600, False), (2_500, True)])
def test_nine_drives_of_ten_reach_the_caller_in_time(accuracy_m: float, urban: bool) -> None:
    """Drives with a bad day, an awkward arrival and a caller somewhere in the circle, each by chance alone."""
    rng, where = Random(3), place(accuracy_m=accuracy_m, urban=urban)
    z = 1.2816
    for expected_s in (60.0, 420.0, 1_500.0):
        said_s = p90_s(expected_s, USUAL, where)
        assert said_s is not None
        late = 0
        for _ in range(4_000):
            day_s = expected_s * (math.exp(rng.gauss(0, math.log(1.3) / z)) - 1)
            away_m = accuracy_m / 2.146 * math.hypot(rng.gauss(0, 1), rng.gauss(0, 1))
            took_s = expected_s + day_s + rng.gauss(0, 45 / z) + away_m / CROSSING_M_S[urban]
            late += took_s > said_s
        assert 0.08 <= late / 4_000 <= 0.12, (expected_s, late / 4_000)


def test_a_wider_circle_a_longer_way_and_a_worse_hour_are_later() -> None:
    late = p90_s(420.0, USUAL, place(accuracy_m=20))
    assert late is not None and 420 + 126 < late < 420 + 126 + 15
    assert late < (p90_s(420.0, USUAL, place(accuracy_m=900)) or 0)
    assert late < (p90_s(420.0, Spread(share=0.6, fixed_s=45.0), place(accuracy_m=20)) or 0)
    steps = [p90_s(float(s), USUAL, place()) or 0.0 for s in range(0, 4_000, 10)]
    assert steps == sorted(steps), "who is farther away is never there earlier at worst"


def test_nothing_is_said_where_nobody_can_say() -> None:
    assert p90_s(420.0, None, place()) is None and p90_s(420.0, USUAL, None) is None


def test_a_recommendation_says_it_and_chooses_as_without_it() -> None:
    scene = Scene()
    for name in ("A1", "A2", "A3"):
        scene.unit(name)
    incident = scene.state.incidents[scene.incident()]
    seconds = {"A1": 500.0, "A2": 300.0, "A3": 900.0}
    plain, told = (
        recommend(question(incident), scene.state.units, reach_with(seconds, spread)) for spread in (None, USUAL)
    )
    assert [choice.unit_id for choice in plain.chosen] == [choice.unit_id for choice in told.chosen] == ["A2"]
    assert pick(plain.inputs) == pick(told.inputs)
    assert all(choice.eta_p90_s is None for choice in (*plain.chosen, *plain.alternatives))
    for choice in (*told.chosen, *told.alternatives):
        assert choice.eta_p90_s == p90_s(choice.eta_s, USUAL, incident.location)
        assert choice.eta_p90_s is not None and choice.eta_p90_s > choice.eta_s


@pytest.mark.parametrize("spread", [None, USUAL])
def test_a_dispatch_by_itself_keeps_it_and_its_recorded_inputs_give_the_digest_again(spread: Spread | None) -> None:
    scene = Scene(assigning=Assigning.AUTOMATIC)
    scene.unit("A1")
    incident_id = scene.incident()
    (event, *_) = scene.do(c.Dispatch(actor=SYSTEM, incident_id=incident_id, reach=reach_with({"A1": 300.0}, spread)))
    (kept,) = scene.state.incidents[incident_id].assignments
    assert kept.eta_s is not None
    assert kept.eta_p90_s == p90_s(kept.eta_s, spread, scene.state.incidents[incident_id].location)
    (record,) = scene.inquests
    inputs = msgspec.msgpack.decode(record.inputs, type=Inputs)
    assert inputs.spread == spread
    assert digest(inputs, pick(inputs)) == record.digest == event.digest  # type: ignore[attr-defined]


def test_inputs_of_before_are_digested_as_they_were() -> None:
    scene = Scene()
    scene.unit("A1")
    incident = scene.state.incidents[scene.incident()]
    inputs = recommend(question(incident), scene.state.units, reach_of({"A1": 300.0})).inputs
    assert b"spread" not in msgspec.msgpack.encode(inputs)


def test_a_person_s_choice_and_a_corrected_place_have_it_too() -> None:
    scene = Scene()
    scene.unit("A1")
    incident_id = scene.incident()
    reach = reach_with({"A1": 300.0}, USUAL)
    scene.do(c.AssignUnits(actor=LOLA, incident_id=incident_id, units=tuple(reach.units), reach=reach))
    (first,) = scene.state.incidents[incident_id].assignments
    assert first.eta_s is not None and first.eta_p90_s is not None and first.eta_p90_s > first.eta_s
    farther, unsure = place(41.36, accuracy_m=800.0), reach_with({"A1": 900.0}, USUAL)
    scene.do(c.LocateIncident(actor=LOLA, incident_id=incident_id, location=farther, reach=unsure))
    (then,) = scene.state.incidents[incident_id].assignments
    assert then.eta_s is not None
    assert then.eta_p90_s == p90_s(then.eta_s, USUAL, farther)
