"""Names after a restore; hand-overs and aid after a long cut, and when an incident changes under units lent to it."""

from __future__ import annotations

import msgspec

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
    Order,
    OrderId,
    RegionId,
    Source,
    UnitId,
)
from dispatch.formats.mqtt import OrderAck
from tests.core.scene import LOLA, START, TO, Scene, kinds, place
from tests.core.test_between import CALL, REQUEST, asking, heard, lent_unit, offered, wish


def test_after_a_restore_no_offer_is_taken_for_one_of_the_life_that_was_lost() -> None:
    """The giver goes on from a backup and numbers its events anew; its neighbour remembers what the numbers were."""
    lost, theirs, restored = offered("offered"), Scene(TO), Scene()
    (gone,) = messages(lost.state)
    theirs.do(received(gone, SYSTEM))
    restored.wait(3600)
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


def test_after_a_restore_no_order_has_the_name_of_one_of_the_life_that_was_lost() -> None:
    """A device drops an order whose name it has heard: the crew would stay where it is."""

    def ordered(restored_after_s: float) -> set[OrderId]:
        scene = Scene()
        for name in ("A1", "A2"):
            scene.unit(name)
        backed_up, other = scene.incident(), scene.incident(location=place(lat=41.5))
        scene.assign(backed_up, "A1")
        scene.wait(restored_after_s)
        facts = [
            *scene.do(c.AssignUnits(actor=LOLA, incident_id=other, units=(UnitId("A2"),))),
            *scene.do(c.LocateIncident(actor=LOLA, incident_id=backed_up, location=place(lat=41.35))),
            *scene.do(c.RecallUnits(actor=LOLA, incident_id=backed_up)),
        ]
        return {order.order_id for fact in facts if isinstance(order := getattr(fact, "order", None), Order)}

    lost, restored = ordered(60), ordered(3600)
    assert len(lost) == len(restored) == 3
    assert not lost & restored


def test_after_a_restore_no_evidence_is_taken_for_that_of_the_life_that_was_lost() -> None:
    def told(restored_after_s: float) -> set[str]:
        scene = offered("sent")
        scene.wait(restored_after_s)
        fix = LocationFix(source=Source.AML, at=scene.now, lat=41.3, lon=69.2, accuracy_m=10.0)
        scene.do(c.LocateCall(actor=SYSTEM, call_id=CALL, fix=fix))
        return set(scene.state.onward)

    assert told(60) and not told(60) & told(3600)


def test_the_names_of_orders_fit_into_what_a_device_may_answer() -> None:
    """Also in a region with ten million incidents and a thousand million events."""
    scene = Scene()
    scene.unit()
    scene.state.seq, scene.state.number = 999_999_900, 9_999_998
    incident_id = scene.incident()
    scene.assign(incident_id, "A1")
    scene.do(c.RecallUnits(actor=LOLA, incident_id=incident_id))
    said = OrderAck(order_id=scene.order_of("A1").order_id, stage="seen", at=START)
    assert msgspec.json.decode(msgspec.json.encode(said), type=OrderAck) == said
