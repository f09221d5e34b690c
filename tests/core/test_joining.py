"""Many calls, one incident: what joins by itself, what joins by hand, and what a further call changes."""

from __future__ import annotations

import pytest

from dispatch.core import commands as c
from dispatch.core.calls import JOIN_ACCURACY_M
from dispatch.core.needs import unmet
from dispatch.core.plans import PLANS
from dispatch.core.terms import (
    Body,
    CallId,
    CallStatus,
    Channel,
    IncidentId,
    LegStatus,
    Location,
    Need,
    Priority,
    UnitStatus,
)
from tests.core.scene import CHORSU, LOLA, Scene, kinds, place

METRE = 1 / 111_195.0
"""A metre of latitude in degrees."""


def reported(scene: Scene, name: str, incident_type: str, location: Location | None) -> IncidentId:
    """The incident that a call of this type and place came to."""
    scene.call(name, Channel.APP, incident_type=incident_type, location=location)
    joined = scene.call_now(name).incident_id
    assert joined is not None
    return joined


def north(metres: float, **changes: float) -> Location:
    return place(CHORSU[0] + metres * METRE, **changes)


def needs(scene: Scene, incident_id: str) -> dict[tuple[str, str], int]:
    legs = scene.incident_now(incident_id).legs
    return {(need.body, need.capability): need.count for leg in legs for need in leg.needs}


@pytest.mark.parametrize(
    ("kind", "other", "metres", "seconds", "joins"),
    [
        ("building_fire", "building_fire", 299, 1799, True),
        ("building_fire", "building_fire", 301, 10, False),
        ("building_fire", "building_fire", 10, 1801, False),
        ("building_fire", "smoke", 250, 60, True),
        ("building_fire", "gas_leak", 5, 60, False),
        ("road_accident", "road_accident", 199, 1199, True),
        ("road_accident", "road_accident", 201, 60, False),
        ("illness", "illness", 0, 1, False),
        ("theft", "theft", 0, 1, False),
    ],
)
def test_a_call_joins_what_is_plainly_the_same(
    kind: str, other: str, metres: float, seconds: float, joins: bool
) -> None:
    scene = Scene()
    first = reported(scene, "c-1", kind, place())
    scene.wait(seconds)
    assert (reported(scene, "c-2", other, north(metres)) == first) is joins


def test_a_call_joins_across_the_border_of_a_grid_cell() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place(41.3299, 69.2399))
    assert reported(scene, "c-2", "smoke", place(41.3301, 69.2401)) == first


def test_a_call_joins_the_nearest_of_several() -> None:
    scene = Scene()
    reported(scene, "c-1", "smoke", north(0))
    near = reported(scene, "c-2", "smoke", north(500))
    assert reported(scene, "c-3", "smoke", north(290)) == near


def test_a_call_known_only_roughly_joins_nothing() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place())
    assert reported(scene, "c-2", "smoke", place(accuracy_m=JOIN_ACCURACY_M - 1)) == first
    assert reported(scene, "c-3", "smoke", place(accuracy_m=JOIN_ACCURACY_M + 1)) != first


def test_nothing_joins_an_incident_known_only_roughly() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place(accuracy_m=6_000.0))
    assert reported(scene, "c-2", "smoke", place(accuracy_m=20.0)) != first


def test_two_wide_circles_are_no_more_certain_together() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place(accuracy_m=400.0))
    assert reported(scene, "c-2", "smoke", place(accuracy_m=200.0)) == first
    assert reported(scene, "c-3", "smoke", place(accuracy_m=400.0)) != first


def test_a_call_whose_evidence_contradicts_itself_joins_nothing() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place())
    assert reported(scene, "c-2", "smoke", place(contradiction={"en": "address ≠ phone"})) != first


def test_a_call_without_a_place_joins_nothing() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place())
    assert reported(scene, "c-2", "smoke", None) != first


def test_nothing_joins_an_incident_that_is_over() -> None:
    scene = Scene()
    first = reported(scene, "c-1", "smoke", place())
    scene.do(c.CloseIncident(actor=LOLA, incident_id=first, disposition="false_call"))  # type: ignore[arg-type]
    assert reported(scene, "c-2", "smoke", place()) != first


def test_joining_by_itself_is_marked_as_such() -> None:
    scene = Scene()
    reported(scene, "c-1", "smoke", place())
    reported(scene, "c-2", "smoke", place())
    assert [scene.call_now(name).joined_automatically for name in ("c-1", "c-2")] == [False, True]


def test_smoke_that_turns_out_to_be_a_building_on_fire_gets_what_that_needs() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "smoke", place())
    assert needs(scene, incident_id) == {("mes", "pump"): 1}
    assert reported(scene, "c-2", "building_fire", place()) == incident_id
    incident = scene.incident_now(incident_id)
    assert (incident.incident_type, incident.priority) == ("building_fire", Priority.P1)
    assert needs(scene, incident_id) == {("mes", "pump"): 2, ("moh", "bls"): 1, ("mia", "patrol"): 1}


def test_a_lesser_report_takes_nothing_away() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "building_fire", place())
    before = scene.incident_now(incident_id)
    assert reported(scene, "c-2", "smoke", place()) == incident_id
    after = scene.incident_now(incident_id)
    assert (after.incident_type, after.priority, after.legs) == (before.incident_type, before.priority, before.legs)


def test_a_caller_who_reports_a_life_at_risk_raises_the_incident_and_adds_what_p1_needs() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "road_accident", place())
    scene.call("c-2", Channel.APP, incident_type="road_accident", priority=Priority.P1, location=place())
    assert scene.incident_now(incident_id).priority is Priority.P1
    assert needs(scene, incident_id)["mes", "rescue"] == 1


def test_units_under_way_stay_when_the_incident_grows() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "smoke", place())
    scene.unit("E1", ("pump",), Body.MES)
    scene.assign(incident_id, "E1")
    reported(scene, "c-2", "building_fire", place())
    incident = scene.incident_now(incident_id)
    assert Need(body=Body.MES, capability="pump", count=1) in unmet(incident)
    assert scene.unit_now("E1").incident_id == incident_id


def test_a_person_may_join_a_call_to_anything_and_it_brings_its_needs() -> None:
    scene = Scene()
    crash = scene.incident("road_accident")
    scene.call("c-1")
    said = c.ClassifyCall(actor=LOLA, call_id=CallId("c-1"), incident_type="unconscious", incident_id=crash)
    assert kinds(scene.do(said))[:2] == ["call_classified", "call_linked"]
    incident = scene.incident_now(crash)
    assert (incident.incident_type, incident.priority) == ("road_accident", Priority.P1)
    assert needs(scene, crash)["moh", "als"] == 1


def classified(scene: Scene, name: str, incident_type: str, priority: Priority | None = None) -> None:
    call_id = CallId(name)
    scene.do(c.ClassifyCall(actor=LOLA, call_id=call_id, incident_type=incident_type, priority=priority))


def test_correcting_the_only_call_corrects_the_incident() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "medical_call", place())
    classified(scene, "c-1", "cardiac_arrest")
    incident = scene.incident_now(incident_id)
    assert (incident.incident_type, incident.priority) == ("cardiac_arrest", Priority.P1)
    assert needs(scene, incident_id) == {("moh", "als"): 1}, "nobody was on the way yet"


def test_a_correction_leaves_the_crew_that_is_under_way() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "fire_call", place())
    scene.unit("E1", ("pump",), Body.MES)
    scene.assign(incident_id, "E1")
    classified(scene, "c-1", "theft")
    assert needs(scene, incident_id) == {("mes", "pump"): 1, ("mia", "patrol"): 1}
    assert scene.unit_now("E1").incident_id == incident_id


def test_a_correction_keeps_what_a_dispatcher_asked_for_besides() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "fire_call", place())
    scene.do(c.AddLeg(actor=LOLA, incident_id=incident_id, body=Body.NASP, capability="social"))
    classified(scene, "c-1", "theft")
    assert needs(scene, incident_id) == {("nasp", "social"): 1, ("mia", "patrol"): 1}


def test_a_correction_after_which_all_is_done_ends_the_incident() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "road_accident", place())
    scene.unit("A1", ("bls",))
    scene.assign(incident_id, "A1")
    scene.report("A1", UnitStatus.ON_SCENE)
    scene.report("A1", UnitStatus.AVAILABLE)
    assert scene.incident_now(incident_id).closed_at is None, "the traffic police are still needed"
    classified(scene, "c-1", "injury")
    assert scene.incident_now(incident_id).closed_at is not None


def test_correcting_one_of_several_calls_does_not_lower_the_incident() -> None:
    scene = Scene()
    incident_id = reported(scene, "c-1", "building_fire", place())
    reported(scene, "c-2", "building_fire", place())
    classified(scene, "c-2", "grass_fire")
    incident = scene.incident_now(incident_id)
    assert (incident.incident_type, incident.priority) == ("building_fire", Priority.P1)
    assert scene.call_now("c-2").incident_type == "grass_fire"


def merged(scene: Scene, incident_id: str, into: str) -> None:
    ours, theirs = IncidentId(incident_id), IncidentId(into)
    scene.do(c.MergeIncidents(actor=LOLA, incident_id=ours, into=theirs))


def test_merging_moves_calls_notes_place_priority_and_needs() -> None:
    scene = Scene()
    one = reported(scene, "c-1", "building_fire", place())
    two = reported(scene, "c-2", "smoke", None)
    scene.do(c.NoteIncident(actor=LOLA, incident_id=one, note_id="n-1", commitment="ab"))
    merged(scene, one, two)
    incident = scene.incident_now(two)
    assert incident.call_count == 2 and incident.notes == ("n-1",) and incident.location == place()
    assert (incident.priority, incident.incident_type) == (Priority.P1, "building_fire")
    assert needs(scene, two) == {("mes", "pump"): 2, ("moh", "bls"): 1, ("mia", "patrol"): 1}
    emptied = scene.incident_now(one)
    assert (emptied.merged_into, emptied.disposition, emptied.call_count) == (two, "duplicate", 0)


def test_merging_two_reports_of_one_thing_does_not_double_what_it_needs() -> None:
    scene = Scene()
    one, two = (reported(scene, name, "theft", place()) for name in ("c-1", "c-2"))
    merged(scene, one, two)
    assert needs(scene, two) == {("mia", "patrol"): 1}


def test_a_split_call_opens_an_incident_of_its_own() -> None:
    scene = Scene()
    one = reported(scene, "c-1", "smoke", place())
    reported(scene, "c-2", "vehicle_fire", north(100))
    scene.do(c.SplitCall(actor=LOLA, incident_id=one, call_id=CallId("c-2")))
    call = scene.call_now("c-2")
    assert call.status is CallStatus.LINKED and call.incident_id not in (None, one)
    own = scene.incident_now(str(call.incident_id))
    assert (own.incident_type, own.location, own.call_count) == ("vehicle_fire", north(100), 1)
    assert scene.incident_now(one).call_count == 1


def test_a_call_is_split_only_from_the_incident_that_it_joined() -> None:
    scene = Scene()
    reported(scene, "c-1", "smoke", place())
    other = scene.incident("theft")
    wrong = c.SplitCall(actor=LOLA, incident_id=other, call_id=CallId("c-1"))
    assert scene.refusal(wrong) == "call_not_joined"


def test_a_thousand_callers_are_one_incident() -> None:
    scene = Scene()
    first = reported(scene, "c-0", "flood", place())
    for number in range(1, 60):
        assert reported(scene, f"c-{number}", "flood", north(number % 7)) == first
    assert scene.incident_now(first).call_count == 60
    assert len(scene.state.incidents) == 1


def test_only_the_groups_that_may_join_have_a_distance() -> None:
    for plan in PLANS.values():
        assert (plan.joins_m > 0) == (plan.joins_s > 0)
        assert not plan.joins_m or plan.group
        assert plan.joins_m <= 500, "the grid of cells is looked at one cell around"


def test_more_of_a_body_that_is_there_already_adds_to_its_leg() -> None:
    scene = Scene()
    incident_id = scene.incident("theft")
    for _ in range(2):
        scene.do(c.AddLeg(actor=LOLA, incident_id=incident_id, body=Body.MIA, capability="patrol", count=2))
    [leg] = scene.incident_now(incident_id).legs
    assert leg.status is LegStatus.NEEDED
    assert needs(scene, incident_id) == {("mia", "patrol"): 5}
