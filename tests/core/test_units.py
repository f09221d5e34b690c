"""A unit from free to free again: every status against every report, and what a crew leaves behind."""

from __future__ import annotations

import msgspec
import pytest

from dispatch.core import commands as c
from dispatch.core.needs import SERVED, unmet
from dispatch.core.terms import (
    SYSTEM,
    AssignmentId,
    Body,
    IncidentId,
    IncidentStatus,
    LegStatus,
    Need,
    Stage,
    UnitId,
    UnitStatus,
)
from tests.core.scene import LOLA, START, TO, Scene, kinds

GRID = """
                available dispatched acknowledged en_route on_scene transporting at_facility returning out_of_service
available       =         none       none         none     none     none         none        yes       yes
dispatched      yes       =          yes          yes      yes      yes          yes         yes       yes
acknowledged    yes       -          =            yes      yes      yes          yes         yes       yes
en_route        yes       -          -            =        yes      yes          yes         yes       yes
on_scene        yes       -          -            -        =        yes          yes         yes       yes
transporting    yes       -          -            -        -        =            yes         yes       yes
at_facility     yes       -          -            -        -        -            =           yes       yes
returning       yes       none       none         none     none     none         none        =         yes
out_of_service  yes       none       none         none     none     none         none        -         =
"""
"""Status by report: `yes` it is so; `=` nothing changes; `-` illegal_status; `none` no_assignment."""

ROWS = [line.split() for line in GRID.strip().splitlines()]
PAIRS = [(row[0], said, cell) for row in ROWS[1:] for said, cell in zip(ROWS[0], row[1:], strict=True)]
AT_WORK = ("dispatched", "acknowledged", "en_route", "on_scene", "transporting", "at_facility")


def brought_to(status: str) -> Scene:
    """A region whose one unit has this status, on an incident when it is at work."""
    scene = Scene()
    scene.unit("A1")
    if status in AT_WORK:
        scene.assign(scene.incident(), "A1")
    if status not in ("available", "dispatched"):
        scene.report("A1", UnitStatus(status))
    assert scene.unit_now("A1").status == status
    return scene


def test_the_grid_names_every_status() -> None:
    assert {row[0] for row in ROWS[1:]} == set(ROWS[0]) == set(UnitStatus)


@pytest.mark.parametrize(("status", "said", "cell"), PAIRS)
def test_a_unit_goes_where_its_grid_says(status: str, said: str, cell: str) -> None:
    scene = brought_to(status)
    outcome = scene.outcome(scene.said("A1", UnitStatus(said)))
    if cell in ("-", "none"):
        assert outcome == {"-": "illegal_status", "none": "no_assignment"}[cell]
        assert scene.unit_now("A1").status == status
    elif cell == "=":
        assert outcome == []
    else:
        assert outcome and not isinstance(outcome, str)
        assert scene.unit_now("A1").status == said


@pytest.mark.parametrize("status", [s for s in AT_WORK if s not in ("dispatched", "acknowledged")])
def test_each_step_of_the_work_has_its_own_time(status: str) -> None:
    scene = brought_to("dispatched")
    scene.wait(100)
    scene.report("A1", UnitStatus(status))
    [assignment] = scene.incident_now("TK-1").assignments
    assert getattr(assignment, f"{status}_at") == scene.now
    assert assignment.status == status and assignment.assigned_at == START
    assert assignment.accepted_at == scene.now, "who drives has plainly got the order"
    assert not scene.state.orders


def test_an_acknowledgement_by_status_accepts_the_order() -> None:
    scene = brought_to("dispatched")
    facts = scene.report("A1", UnitStatus.ACKNOWLEDGED)
    assert kinds(facts) == ["order_staged", "unit_moved"]
    assert scene.unit_now("A1").status is UnitStatus.ACKNOWLEDGED
    assert not scene.state.orders


@pytest.mark.parametrize("last", ["on_scene", "transporting", "at_facility"])
def test_a_crew_that_was_there_has_done_its_work_whichever_button_it_forgot(last: str) -> None:
    scene = brought_to(last)
    scene.report("A1", UnitStatus.AVAILABLE)
    incident = scene.incident_now("TK-1")
    assert incident.assignments[0].cleared_reason == SERVED
    assert incident.status is IncidentStatus.CLOSED
    assert incident.disposition == ("resolved" if last == "on_scene" else incident.disposition)


def test_an_incident_whose_last_crew_carried_somebody_ends_as_transported() -> None:
    scene = brought_to("transporting")
    scene.report("A1", UnitStatus.RETURNING)
    assert scene.incident_now("TK-1").disposition == "transported"


@pytest.mark.parametrize("last", ["dispatched", "acknowledged", "en_route"])
def test_a_crew_that_gives_up_on_the_way_leaves_the_need_open(last: str) -> None:
    scene = brought_to(last)
    scene.report("A1", UnitStatus.AVAILABLE)
    incident = scene.incident_now("TK-1")
    assert incident.assignments[0].cleared_reason == "left_early"
    assert incident.status is IncidentStatus.OPEN
    assert unmet(incident) == (Need(body=Body.MOH, capability="bls"),)


@pytest.mark.parametrize("last", ["en_route", "on_scene", "transporting"])
def test_a_vehicle_that_breaks_down_leaves_its_work_to_another(last: str) -> None:
    scene = brought_to(last)
    scene.report("A1", UnitStatus.OUT_OF_SERVICE)
    assert scene.incident_now("TK-1").assignments[0].cleared_reason == "out_of_service"
    assert unmet(scene.incident_now("TK-1"))


def test_an_incident_ends_only_when_the_last_body_is_done() -> None:
    scene = Scene()
    scene.unit("A1", ("bls",))
    scene.unit("P1", ("traffic",), Body.MIA)
    incident_id = scene.incident("road_accident")
    scene.assign(incident_id, "A1", "P1")
    for unit in ("A1", "P1"):
        scene.report(unit, UnitStatus.ON_SCENE)
    scene.report("A1", UnitStatus.AVAILABLE)
    incident = scene.incident_now(incident_id)
    assert incident.closed_at is None
    assert [leg.status for leg in incident.legs] == [LegStatus.DONE, LegStatus.ON_SCENE]
    scene.wait(60)
    scene.report("P1", UnitStatus.RETURNING)
    incident = scene.incident_now(incident_id)
    assert incident.closed_at == scene.now


def test_the_calls_of_an_incident_end_with_it() -> None:
    scene = Scene()
    scene.unit("A1")
    scene.call("c-1", incident_type="illness")
    scene.assign(IncidentId("TK-1"), "A1")
    scene.report("A1", UnitStatus.ON_SCENE)
    scene.report("A1", UnitStatus.AVAILABLE)
    call = scene.call_now("c-1")
    assert (call.status, call.disposition, call.closed_at) == ("closed", "resolved", scene.now)


def test_a_repeated_report_changes_nothing() -> None:
    scene = brought_to("dispatched")
    scene.report("A1", UnitStatus.EN_ROUTE, status_id="s1")
    scene.report("A1", UnitStatus.ON_SCENE, status_id="s2")
    assert scene.report("A1", UnitStatus.EN_ROUTE, status_id="s2") == []
    assert scene.unit_now("A1").status is UnitStatus.ON_SCENE


def test_a_late_word_about_a_past_assignment_is_refused() -> None:
    scene = brought_to("on_scene")
    past = scene.unit_now("A1").assignment_id
    scene.report("A1", UnitStatus.AVAILABLE)
    scene.assign(scene.incident(), "A1")
    late = scene.said("A1", UnitStatus.AVAILABLE, assignment_id=past)
    assert scene.refusal(late) == "assignment_over"
    assert scene.unit_now("A1").status is UnitStatus.DISPATCHED


@pytest.mark.parametrize("status", [UnitStatus.AVAILABLE, UnitStatus.OUT_OF_SERVICE])
def test_a_crew_on_its_way_home_may_still_name_the_assignment_that_it_comes_from(status: UnitStatus) -> None:
    scene = brought_to("on_scene")
    past = scene.unit_now("A1").assignment_id
    scene.report("A1", UnitStatus.RETURNING, assignment_id=past)
    scene.report("A1", status, assignment_id=past)
    assert scene.unit_now("A1").status is status


def test_a_recalled_crew_that_breaks_down_is_out_of_service_whatever_assignment_it_names() -> None:
    scene = brought_to("en_route")
    unit = scene.unit_now("A1")
    assert unit.incident_id is not None
    scene.do(c.RecallUnits(actor=LOLA, incident_id=unit.incident_id, units=(unit.unit_id,), reason="recalled"))
    scene.report("A1", UnitStatus.OUT_OF_SERVICE, assignment_id=unit.assignment_id)
    assert scene.unit_now("A1").status is UnitStatus.OUT_OF_SERVICE


def test_a_word_about_a_past_assignment_undoes_nothing_that_was_said_since() -> None:
    scene = brought_to("on_scene")
    past = scene.unit_now("A1").assignment_id
    scene.report("A1", UnitStatus.AVAILABLE)
    scene.wait(60)
    late = scene.said("A1", UnitStatus.OUT_OF_SERVICE, assignment_id=past, age_s=90.0)
    assert scene.refusal(late) == "assignment_over"
    scene.report("A1", UnitStatus.OUT_OF_SERVICE)
    assert scene.refusal(scene.said("A1", UnitStatus.AVAILABLE, assignment_id=past)) == "assignment_over"


def test_a_report_about_the_present_assignment_is_taken() -> None:
    scene = brought_to("dispatched")
    scene.report("A1", UnitStatus.EN_ROUTE, assignment_id=scene.unit_now("A1").assignment_id)
    assert scene.unit_now("A1").status is UnitStatus.EN_ROUTE


@pytest.mark.parametrize(
    "command",
    [
        c.ReportStatus(actor=LOLA, unit_id=UnitId("Z9"), status=UnitStatus.AVAILABLE),
        c.ShiftUnit(actor=LOLA, unit_id=UnitId("Z9"), on_shift=True),
        c.ReportLink(actor=LOLA, unit_id=UnitId("Z9"), linked=True),
    ],
)
def test_a_unit_that_is_not_ours_is_refused(command: c.Command) -> None:
    assert Scene(TO).refusal(command) == "unknown_unit"


# Contact


def test_losing_contact_is_not_going_off_duty() -> None:
    scene = brought_to("on_scene")
    scene.do(c.ReportLink(actor=SYSTEM, unit_id=UnitId("A1"), linked=False))
    unit = scene.unit_now("A1")
    assert (unit.linked, unit.on_shift, unit.status) == (False, True, UnitStatus.ON_SCENE)


def test_a_unit_out_of_contact_is_not_listed_as_free() -> None:
    scene = brought_to("available")
    scene.do(c.ReportLink(actor=SYSTEM, unit_id=UnitId("A1"), linked=False))
    assert not len(scene.state.free[Body.MOH, "bls"])


@pytest.mark.parametrize("said", [UnitStatus.RETURNING, UnitStatus.AVAILABLE])
def test_whatever_a_unit_says_it_is_in_contact_again(said: UnitStatus) -> None:
    scene = brought_to("available")
    scene.do(c.ReportLink(actor=SYSTEM, unit_id=UnitId("A1"), linked=False))
    scene.report("A1", said)
    assert scene.unit_now("A1").linked
    assert len(scene.state.free[Body.MOH, "bls"]) == 1


def test_contact_that_is_there_already_is_no_news() -> None:
    assert brought_to("available").do(c.ReportLink(actor=SYSTEM, unit_id=UnitId("A1"), linked=True)) == []


# Shifts and the roster


def shifted(scene: Scene, on_shift: bool) -> c.ShiftUnit:
    return c.ShiftUnit(actor=LOLA, unit_id=UnitId("A1"), on_shift=on_shift)


@pytest.mark.parametrize("status", AT_WORK)
def test_nobody_goes_home_in_the_middle_of_an_assignment(status: str) -> None:
    scene = brought_to(status)
    assert scene.refusal(shifted(scene, False)) == "unit_on_assignment"


@pytest.mark.parametrize("status", ["available", "returning", "out_of_service"])
def test_a_shift_ends_and_begins(status: str) -> None:
    scene = brought_to(status)
    scene.do(shifted(scene, False))
    unit = scene.unit_now("A1")
    assert (unit.on_shift, unit.status) == (False, UnitStatus.OUT_OF_SERVICE)
    assert scene.do(shifted(scene, False)) == []
    scene.do(shifted(scene, True))
    assert scene.unit_now("A1").status is UnitStatus.AVAILABLE


def test_a_crew_off_shift_cannot_make_itself_available() -> None:
    scene = brought_to("available")
    scene.do(shifted(scene, False))
    assert scene.refusal(scene.said("A1", UnitStatus.AVAILABLE)) == "unit_unavailable"


def test_a_unit_enters_the_roster_idle_whatever_its_card_says() -> None:
    scene = brought_to("dispatched")
    busy = scene.unit_now("A1")
    other = Scene(TO)
    other.do(c.RegisterUnit(actor=LOLA, unit=busy))
    unit = other.unit_now("A1")
    assert (unit.region, unit.assignment_id, unit.incident_id) == (TO, None, None)
    assert unit.status is UnitStatus.OUT_OF_SERVICE


def test_correcting_a_units_particulars_leaves_what_it_is_doing() -> None:
    scene = brought_to("en_route")
    before = scene.unit_now("A1")
    changed = msgspec.structs.replace(before, call_sign="A-One", capabilities=("als",), status=UnitStatus.AVAILABLE)
    scene.do(c.RegisterUnit(actor=LOLA, unit=changed))
    unit = scene.unit_now("A1")
    assert (unit.call_sign, unit.capabilities) == ("A-One", ("als",))
    assert (unit.status, unit.assignment_id) == (before.status, before.assignment_id)
    assert scene.do(c.RegisterUnit(actor=LOLA, unit=changed)) == []


def test_a_free_unit_that_learns_something_is_free_for_that_too() -> None:
    scene = brought_to("available")
    trained = msgspec.structs.replace(scene.unit_now("A1"), capabilities=("bls", "als"))
    scene.do(c.RegisterUnit(actor=LOLA, unit=trained))
    assert [len(scene.state.free[Body.MOH, skill]) for skill in ("bls", "als")] == [1, 1]


def test_an_assignment_named_by_nobody_is_over() -> None:
    scene = brought_to("available")
    said = scene.said("A1", UnitStatus.EN_ROUTE, assignment_id=AssignmentId("TK-9.9.9"))
    assert scene.refusal(said) == "assignment_over"
    assert not [order for order in scene.state.orders.values() if order.stage is not Stage.PENDING]
