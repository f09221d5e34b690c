"""Hand-overs and aid after a restore, a long cut, and when an incident changes under the units that are lent to it."""

from __future__ import annotations

from dispatch.cells.exchange import AidWish, Outcome, answer, chores, messages, received
from dispatch.core import commands as c
from dispatch.core.aid_terms import AidReport
from dispatch.core.evolve_between import LENT_KEPT
from dispatch.core.needs import lent, unmet
from dispatch.core.terms import (
    SYSTEM,
    AssignmentId,
    Disposition,
    IncidentId,
    IncidentStatus,
    LocationFix,
    RegionId,
    Source,
    UnitId,
)
from tests.core.scene import LOLA, START, TO, Scene, kinds, place
from tests.core.test_between import REQUEST, asking, heard, lent_unit, offered, wish


def test_after_a_restore_no_offer_is_taken_for_one_of_the_life_that_was_lost() -> None:
    """The giver goes on from a backup and numbers its events anew; its neighbour remembers what the numbers were."""
    lost, theirs, restored = offered("offered"), Scene(TO), Scene()
    (gone,) = messages(lost.state)
    theirs.do(received(gone, SYSTEM))
    other = restored.call("c-2")
    restored.do(c.TransferCall(actor=LOLA, call_id=other, to=TO))
    assert restored.state.seq == lost.state.seq
    (given,) = messages(restored.state)
    theirs.do(received(given, SYSTEM))
    assert answer(theirs.state, given).outcome is Outcome.TAKEN
    assert other in theirs.state.calls


def test_an_incident_with_lent_units_on_it_is_not_emptied_into_another() -> None:
    """Its need is met, so it would not move over, and with the emptied incident the help would be called off."""
    scene, incident_id = asking("accepted")
    scene.do(heard(version=6, units=(lent_unit(),)))
    assert not unmet(scene.incident_now(incident_id))
    other = scene.incident()
    assert scene.refusal(c.MergeIncidents(actor=LOLA, incident_id=incident_id, into=other)) == "incident_has_units"
    scene.do(c.MergeIncidents(actor=LOLA, incident_id=other, into=incident_id))
    assert lent(scene.incident_now(incident_id))


def test_a_lender_whose_crews_do_not_answer_hides_no_unit_of_another_lender() -> None:
    scene, incident_id = asking("accepted")
    scene.do(heard(version=6, units=(lent_unit(),)))
    scene.do(wish(incident_id, RegionId("UZ-SA")))
    request_id = next(name for name in scene.state.asks if name != REQUEST)
    tried = tuple(
        lent_unit(
            assignment_id=AssignmentId(f"SA-1.{n}.1"),
            unit_id=UnitId(f"SA-A{n}"),
            cleared_at=START,
            cleared_reason="not_acknowledged",
        )
        for n in range(LENT_KEPT + 5)
    )
    report = AidReport(request_id=request_id, version=9, heard=9, incident_id=IncidentId("SA-1"), units=tried)
    scene.do(c.HearAid(actor=SYSTEM, report=report, lender=RegionId("UZ-SA")))
    incident = scene.incident_now(incident_id)
    assert [unit.unit_id for unit in lent(incident)] == ["TO-A7"]
    assert len(incident.lent) == LENT_KEPT and not unmet(incident)


def test_the_only_call_of_an_incident_does_not_take_it_along_from_lent_units() -> None:
    scene = Scene()
    call_id = scene.call(incident_type="illness", location=place())
    incident_id = scene.call_now(call_id).incident_id
    assert incident_id is not None
    scene.do(wish(incident_id))
    (request_id,) = scene.state.asks
    report = AidReport(request_id=request_id, version=7, heard=9, incident_id=IncidentId("TO-1"), units=(lent_unit(),))
    scene.do(c.HearAid(actor=SYSTEM, report=report, lender=TO))
    assert scene.refusal(c.TransferCall(actor=LOLA, call_id=call_id, to=TO)) == "incident_has_units"
    where = place(regions=(TO,))
    fix = LocationFix(source=Source.AML, at=scene.now, lat=where.lat, lon=where.lon, accuracy_m=10.0)
    scene.do(c.LocateCall(actor=SYSTEM, call_id=call_id, fix=fix, location=where))
    assert scene.call_now(call_id).moving_to == TO
    assert scene.incident_now(incident_id).status is not IncidentStatus.CLOSED


def test_a_lender_that_cannot_be_reached_for_long_is_told_all_the_same_that_its_help_is_not_wanted() -> None:
    """So many incidents have ended since that this one is not remembered any more."""
    scene, incident_id = asking("accepted")
    scene.do(c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition=Disposition.RESOLVED))
    for chore in chores(scene.state, SYSTEM):
        scene.do(chore)
    while scene.state.incident(incident_id) is not None:
        other = scene.incident()
        scene.do(c.CloseIncident(actor=LOLA, incident_id=other, disposition=Disposition.RESOLVED))
    (word,) = messages(scene.state)
    assert isinstance(word, AidWish) and word.wanted.withdrawn and word.id == REQUEST


def test_after_a_restore_no_request_is_met_with_the_units_of_the_life_that_was_lost() -> None:
    (lost, incident_id), theirs, (restored, _) = asking(), Scene(TO), asking("none")
    (before,) = messages(lost.state)
    theirs.do(received(before, SYSTEM))
    restored.wait(3600)
    restored.do(wish(incident_id))
    (again,) = messages(restored.state)
    assert kinds(theirs.do(received(again, SYSTEM))) == ["aid_taken", "incident_opened"]
