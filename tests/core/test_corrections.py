"""What was thought turns out otherwise: a place, a recommendation, an old word, a region; and who is told."""

from __future__ import annotations

import pytest

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.assigning import SEND_AGAIN_S, basis
from dispatch.core.crews import DEVICE_CLOCK_S, MOST_SENDS
from dispatch.core.relocating import TOLD_FROM_M
from dispatch.core.terms import (
    SYSTEM,
    CallId,
    CallStatus,
    Channel,
    IncidentId,
    Location,
    LocationFix,
    OrderKind,
    Priority,
    RegionId,
    Service,
    Source,
    Stage,
    UnitId,
    UnitStatus,
)
from tests.core.scene import LINE, LOLA, START, TK, TO, Scene, kinds, place, reach_of

FIX = LocationFix(source=Source.OPERATOR, at=START, lat=41.4, lon=69.2, confirmed=True)


def sent(status: UnitStatus | None = None) -> tuple[Scene, IncidentId]:
    """A unit sent to Chorsu, as far along as named."""
    scene = Scene()
    scene.unit("A1")
    incident_id = scene.incident()
    scene.assign(incident_id, "A1")
    scene.stage("A1", Stage.ACCEPTED)
    if status is not None:
        scene.report("A1", status)
    return scene, incident_id


def relocate(
    scene: Scene, incident_id: IncidentId, where: Location, seconds: dict[str, float | None] | None = None
) -> list[e.Event]:
    reach = reach_of(seconds) if seconds else None
    return scene.do(c.LocateIncident(actor=LOLA, incident_id=incident_id, location=where, reach=reach))


# A corrected place


@pytest.mark.parametrize("status", [None, UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE])
def test_a_crew_is_told_when_the_place_is_corrected(status: UnitStatus | None) -> None:
    scene, incident_id = sent(status)
    assert kinds(relocate(scene, incident_id, place(41.34))) == ["incident_located", "place_told"]
    told = scene.order_of("A1")
    assert (told.kind, told.assignment_id) == (OrderKind.MESSAGE, scene.unit_now("A1").assignment_id)
    scene.stage("A1", Stage.DELIVERED, told)
    assert not scene.state.orders
    assert scene.unit_now("A1").status is (status or UnitStatus.ACKNOWLEDGED)


def test_a_crew_that_carries_a_patient_is_not_turned_round() -> None:
    scene, incident_id = sent(UnitStatus.TRANSPORTING)
    assert kinds(relocate(scene, incident_id, place(41.34))) == ["incident_located"]


def test_a_few_steps_disturb_nobody() -> None:
    scene, incident_id = sent(UnitStatus.EN_ROUTE)
    metres = TOLD_FROM_M / 2 / 111_195
    assert kinds(relocate(scene, incident_id, place(41.3265 + metres))) == ["incident_located"]


def test_the_way_to_the_corrected_place_is_the_new_eta() -> None:
    scene, incident_id = sent(UnitStatus.EN_ROUTE)
    relocate(scene, incident_id, place(41.34), {"A1": 600.0})
    [assignment] = scene.incident_now(incident_id).assignments
    assert assignment.eta_s is not None and 0 < assignment.eta_s <= 600


def test_a_second_correction_takes_the_place_of_the_first() -> None:
    scene, incident_id = sent(UnitStatus.EN_ROUTE)
    relocate(scene, incident_id, place(41.34))
    first = scene.order_of("A1").order_id
    relocate(scene, incident_id, place(41.35))
    assert first not in scene.state.orders and len(scene.state.orders) == 1


def test_a_correction_that_nobody_hears_is_repeated_and_then_dropped_and_costs_no_assignment() -> None:
    scene, incident_id = sent(UnitStatus.EN_ROUTE)
    relocate(scene, incident_id, place(41.34))
    happened = kinds(scene.tick(SEND_AGAIN_S * (MOST_SENDS + 1)))
    assert happened == ["order_sent"] * (MOST_SENDS - 1) + ["order_dropped"]
    assert scene.unit_now("A1").status is UnitStatus.EN_ROUTE


def test_who_turns_a_correction_down_is_still_on_the_incident() -> None:
    scene, incident_id = sent(UnitStatus.EN_ROUTE)
    relocate(scene, incident_id, place(41.34))
    scene.stage("A1", Stage.REFUSED)
    assert scene.unit_now("A1").incident_id == incident_id and not scene.state.orders


def test_a_correction_ends_with_the_assignment() -> None:
    scene, incident_id = sent(UnitStatus.ON_SCENE)
    relocate(scene, incident_id, place(41.34))
    scene.report("A1", UnitStatus.AVAILABLE)
    assert not scene.state.orders


def test_better_evidence_of_the_only_caller_reaches_the_crew() -> None:
    scene = Scene()
    scene.unit("A1")
    scene.call("c-1", Channel.APP, incident_type="illness", location=place())
    scene.assign(IncidentId("TK-1"), "A1")
    found = scene.do(c.LocateCall(actor=LINE, call_id=CallId("c-1"), fix=FIX, location=place(41.34)))
    assert kinds(found) == ["call_located", "incident_located", "place_told"]


# A recommendation that the world has overtaken


def chosen(scene: Scene, incident_id: IncidentId, unit: str, asked: c.Basis) -> c.AssignUnits:
    return c.AssignUnits(
        actor=LOLA,
        incident_id=incident_id,
        units=(UnitId(unit),),
        recommended=(UnitId(unit),),
        age_s=2.0,
        basis=asked,
    )


def test_two_dispatchers_do_not_send_twice_for_one_need() -> None:
    scene = Scene()
    scene.unit("A1"), scene.unit("A2")
    incident_id = scene.incident()
    asked = basis(scene.incident_now(incident_id))
    scene.do(chosen(scene, incident_id, "A1", asked))
    assert scene.refusal(chosen(scene, incident_id, "A2", asked)) == "recommendation_stale"


def test_a_recommendation_for_another_priority_or_place_is_stale() -> None:
    scene = Scene()
    scene.unit("A1")
    incident_id = scene.incident(priority=Priority.P3)
    asked = basis(scene.incident_now(incident_id))
    scene.do(c.PrioritiseIncident(actor=LOLA, incident_id=incident_id, priority=Priority.P1))
    assert scene.refusal(chosen(scene, incident_id, "A1", asked)) == "recommendation_stale"
    asked = basis(scene.incident_now(incident_id))
    relocate(scene, incident_id, place(41.4))
    assert scene.refusal(chosen(scene, incident_id, "A1", asked)) == "recommendation_stale"
    scene.do(chosen(scene, incident_id, "A1", basis(scene.incident_now(incident_id))))


def test_a_note_leaves_a_recommendation_fresh() -> None:
    scene = Scene()
    scene.unit("A1")
    incident_id = scene.incident()
    asked = basis(scene.incident_now(incident_id))
    scene.do(c.NoteIncident(actor=LOLA, incident_id=incident_id, note_id="n-1", commitment="00"))
    scene.do(chosen(scene, incident_id, "A1", asked))
    assert scene.unit_now("A1").incident_id == incident_id


# An old word of a crew


def test_what_a_crew_said_before_its_assignment_does_not_end_it() -> None:
    scene, _ = sent()
    scene.wait(30)
    old = scene.said("A1", UnitStatus.AVAILABLE, age_s=30 + DEVICE_CLOCK_S + 1)
    assert scene.refusal(old) == "assignment_over"
    before_the_calendar = scene.said("A1", UnitStatus.AVAILABLE, age_s=1e12)
    assert scene.refusal(before_the_calendar) == "assignment_over"
    assert scene.unit_now("A1").status is UnitStatus.ACKNOWLEDGED


def test_what_a_crew_says_now_or_by_a_clock_a_little_slow_is_taken() -> None:
    scene, _ = sent()
    scene.wait(5)
    scene.report("A1", UnitStatus.EN_ROUTE, age_s=5 + DEVICE_CLOCK_S / 2)
    assert scene.unit_now("A1").status is UnitStatus.EN_ROUTE


SLOW_S = 600.0


def sent_with_a_slow_clock() -> Scene:
    """A unit sent whose device has acknowledged, and is ten minutes behind."""
    scene = Scene()
    scene.unit("A1")
    scene.assign(scene.incident(), "A1")
    scene.wait(2)
    scene.stage("A1", Stage.DELIVERED, age_s=SLOW_S + 1)
    return scene


@pytest.mark.parametrize("status", [UnitStatus.EN_ROUTE, UnitStatus.AVAILABLE, UnitStatus.OUT_OF_SERVICE])
def test_what_a_crew_says_at_work_is_believed_however_slow_its_clock_is(status: UnitStatus) -> None:
    scene = sent_with_a_slow_clock()
    scene.wait(60)
    scene.report("A1", status, age_s=SLOW_S + 5)
    assert scene.unit_now("A1").status is status


def test_a_crew_whose_acknowledgements_were_lost_shows_its_clock_by_setting_out() -> None:
    scene = Scene()
    scene.unit("A1")
    scene.assign(scene.incident(), "A1")
    named = scene.unit_now("A1").assignment_id
    scene.report("A1", UnitStatus.EN_ROUTE, assignment_id=named, age_s=SLOW_S)
    scene.wait(60)
    scene.report("A1", UnitStatus.AVAILABLE, age_s=SLOW_S)
    assert scene.unit_now("A1").status is UnitStatus.AVAILABLE


def test_a_breakdown_on_the_way_home_is_believed_of_a_slow_clock_too() -> None:
    scene = sent_with_a_slow_clock()
    named = scene.unit_now("A1").assignment_id
    for status in (UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE, UnitStatus.RETURNING):
        scene.report("A1", status, assignment_id=named, age_s=SLOW_S)
    scene.wait(60)
    scene.report("A1", UnitStatus.OUT_OF_SERVICE, assignment_id=named, age_s=SLOW_S)
    assert scene.unit_now("A1").status is UnitStatus.OUT_OF_SERVICE


def test_an_old_word_by_a_slow_clock_stays_an_old_word() -> None:
    scene = sent_with_a_slow_clock()
    scene.wait(28)
    old = scene.said("A1", UnitStatus.AVAILABLE, age_s=SLOW_S + 1 + 30 + DEVICE_CLOCK_S + 1)
    assert scene.refusal(old) == "assignment_over"


def test_a_clock_that_is_set_right_is_right_from_then_on() -> None:
    scene = sent_with_a_slow_clock()
    assert scene.unit_now("A1").behind_s == SLOW_S + 1
    scene.stage("A1", Stage.SEEN)
    assert scene.unit_now("A1").behind_s == SLOW_S + 1, "said without a time, as by a dispatcher"
    scene.stage("A1", Stage.ACCEPTED, age_s=0.2)
    assert scene.unit_now("A1").behind_s == 0.0
    assert scene.refusal(scene.said("A1", UnitStatus.AVAILABLE, age_s=SLOW_S)) == "assignment_over"


# A call that is another region's


def elsewhere(scene: Scene, call_id: str = "c-1") -> list[e.Event]:
    found = place(41.0, regions=(TO,))
    return scene.do(c.LocateCall(actor=LOLA, call_id=CallId(call_id), fix=FIX, location=found))


def handed_over(scene: Scene, call_id: str = "c-1") -> Scene:
    """The other region, once it has the call; the giving one has let go."""
    other = Scene(TO)
    offer = scene.state.offers[CallId(call_id)]
    call = scene.state.calls[CallId(call_id)]
    other.do(c.TakeCall(actor=SYSTEM, call=call, origin=TK, offer_id=offer.offer_id))
    scene.do(c.ReleaseCall(actor=SYSTEM, call_id=CallId(call_id), offer_id=offer.offer_id))
    return other


def test_notes_go_with_a_call_to_its_region() -> None:
    scene = Scene()
    scene.call("c-1", Channel.APP, incident_type="illness", location=place())
    scene.do(c.NoteIncident(actor=LOLA, incident_id=IncidentId("TK-1"), note_id="n-1", commitment="00"))
    elsewhere(scene)
    other = handed_over(scene)
    incident = other.incident_now(other.call_now("c-1").incident_id or "none")
    assert incident.notes == ("n-1",)


def test_an_incident_that_was_handed_over_says_where_it_went() -> None:
    scene = Scene()
    scene.call("c-1", Channel.APP, incident_type="illness", location=place())
    elsewhere(scene)
    gone = scene.incident_now("TK-1")
    assert (gone.status, gone.referred_to, gone.referred_call) == ("closed", TO, "c-1")


def test_a_call_whose_incident_has_units_goes_and_the_units_wait_for_a_person() -> None:
    scene = Scene()
    scene.unit("A1")
    scene.call("c-1", Channel.APP, incident_type="illness", location=place())
    scene.assign(IncidentId("TK-1"), "A1")
    assert kinds(elsewhere(scene)) == ["call_located", "call_split", "incident_referred", "call_offered"]
    other = handed_over(scene)
    assert other.call_now("c-1").status is CallStatus.LINKED
    left = scene.incident_now("TK-1")
    assert (left.referred_to, left.location, left.call_count) == (TO, place(), 0)
    assert scene.unit_now("A1").incident_id == "TK-1"
    scene.do(c.RecallUnits(actor=LOLA, incident_id=IncidentId("TK-1")))


def test_one_of_several_callers_goes_alone_to_its_region() -> None:
    scene = Scene()
    for name in ("c-1", "c-2"):
        scene.call(name, Channel.APP, service=Service.FIRE, location=place())
    elsewhere(scene, "c-2")
    other = handed_over(scene, "c-2")
    assert other.call_now("c-2").incident_id is not None
    assert scene.incident_now("TK-1").call_count == 1 and scene.call_now("c-1").incident_id == "TK-1"


def test_nothing_moves_near_a_border() -> None:
    scene = Scene()
    scene.call("c-1", Channel.APP, incident_type="illness", location=place())
    near = place(41.0, regions=(TO, RegionId("UZ-TK")))
    scene.do(c.LocateCall(actor=LOLA, call_id=CallId("c-1"), fix=FIX, location=near))
    assert not scene.state.offers


# What is over says so


def test_a_refused_order_says_when_it_was_refused() -> None:
    scene = Scene()
    scene.unit("A1")
    incident_id = scene.incident()
    scene.assign(incident_id, "A1")
    scene.stage("A1", Stage.REFUSED)
    [assignment] = scene.incident_now(incident_id).assignments
    assert (assignment.refused_at, assignment.accepted_at) == (scene.now, None)


def test_a_closed_incident_needs_nothing_any_more() -> None:
    scene = Scene()
    incident_id = scene.incident()
    scene.do(c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition="advice_only"))  # type: ignore[arg-type]
    assert {leg.status for leg in scene.incident_now(incident_id).legs} == {"cancelled"}
