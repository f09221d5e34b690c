"""Names after a restore; hand-overs and aid after a long cut, and when an incident changes under units lent to it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from msgspec.structs import replace

from dispatch.cells.exchange import AidWish, Message, Outcome, answer, chores, concluded, messages, received
from dispatch.core import commands as c
from dispatch.core import snapshot
from dispatch.core.aid import SAID_ANEW_S
from dispatch.core.aid_terms import AidReport
from dispatch.core.evolve_between import LENT_KEPT
from dispatch.core.naming import STAMPS_A_SECOND, next_stamp
from dispatch.core.needs import lent, unmet
from dispatch.core.terms import (
    SYSTEM,
    Assigning,
    Assignment,
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
    UnitStatus,
)
from dispatch.formats.mqtt import OrderAck
from tests.core.scene import LOLA, START, TO, Scene, kinds, place
from tests.core.test_between import CALL, REQUEST, asking, heard, lent_unit, offered, wish

OURS, THEIRS = IncidentId("TK-1"), IncidentId("TO-1")


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


WORDS_MOST = 20


def at_rest(*scenes: Scene) -> None:
    """The regions have said all that there is to say, in a bounded number of words."""
    regions = {scene.state.region: scene for scene in scenes}
    words = 0
    while said := [word for scene in scenes for word in _words(scene)]:
        words += len(said)
        assert words <= WORDS_MOST, said
        for word in said:
            regions[word.to].outcome(received(word, SYSTEM))
            follows = concluded(word, answer(regions[word.to].state, word), SYSTEM, abroad=True)
            if follows is not None:
                regions[word.origin].do(follows)


def _words(scene: Scene) -> list[Message]:
    for chore in chores(scene.state, SYSTEM):
        scene.do(chore)
    return list(messages(scene.state))


def lending() -> tuple[Scene, Scene]:
    """A region whose incident has a unit of another, and that one."""
    (ours, _), theirs = asking(), Scene(TO)
    theirs.unit("A7")
    at_rest(ours, theirs)
    theirs.assign(THEIRS, "A7")
    at_rest(ours, theirs)
    return ours, theirs


def restored(lost: Scene, backup: bytes) -> Scene:
    """The region goes on from a backup, a second after the last moment of the life that is lost."""
    scene = Scene(lost.state.region, Assigning.AUTOMATIC)
    scene.state, scene.now = snapshot.restore(backup), lost.now
    scene.wait(1)
    return scene


def goes_on(scene: Scene, seconds: float) -> None:
    """Time passes, in which something else happens as well."""
    scene.wait(seconds)
    scene.incident()


def shown(ours: Scene) -> list[Assignment]:
    """The lent units that the borrower shows."""
    return [one.assignment for one in ours.incident_now(OURS).lent]


def agree(ours: Scene, theirs: Scene) -> bool:
    """Whether the borrower's books say the same as the lender's."""
    loans = theirs.state.loans
    told = [unit for loan in loans.values() for unit in loan.units]
    return ours.state.asks.keys() == loans.keys() and (not loans or shown(ours) == told)


def test_a_lender_that_was_restored_is_believed_again() -> None:
    """Many events of the life that was lost have higher numbers than any of the next steps."""
    ours, theirs = lending()
    backup = snapshot.take(theirs.state)
    for status in (UnitStatus.EN_ROUTE, UnitStatus.ON_SCENE):
        theirs.wait(60)
        theirs.report("A7", status)
        at_rest(ours, theirs)
    assert shown(ours)[0].status is UnitStatus.ON_SCENE
    theirs = restored(theirs, backup)
    theirs.report("A7", UnitStatus.EN_ROUTE)
    at_rest(ours, theirs)
    assert agree(ours, theirs) and shown(ours)[0].status is UnitStatus.EN_ROUTE
    theirs.report("A7", UnitStatus.ON_SCENE)
    theirs.report("A7", UnitStatus.AVAILABLE)
    at_rest(ours, theirs)
    assert not ours.state.asks and not theirs.state.loans
    assert ours.incident_now(OURS).status is IncidentStatus.CLOSED


def test_help_is_called_off_at_a_lender_that_was_restored() -> None:
    ours, theirs = lending()
    backup = snapshot.take(theirs.state)
    theirs.wait(60)
    theirs.report("A7", UnitStatus.EN_ROUTE)
    at_rest(ours, theirs)
    theirs = restored(theirs, backup)
    ours.wait(120)
    ours.do(c.WithdrawAid(actor=LOLA, incident_id=OURS))
    at_rest(ours, theirs)
    assert not ours.state.asks and not theirs.state.loans
    assert theirs.unit_now("A7").assignment_id is None and not lent(ours.incident_now(OURS))


def test_a_lender_that_was_restored_to_before_the_request_takes_it_on_again() -> None:
    ours, theirs = asking()[0], Scene(TO)
    theirs.unit("A7")
    backup = snapshot.take(theirs.state)
    at_rest(ours, theirs)
    theirs.assign(THEIRS, "A7")
    at_rest(ours, theirs)
    theirs = restored(theirs, backup)
    goes_on(ours, SAID_ANEW_S + 1)
    at_rest(ours, theirs)
    assert agree(ours, theirs) and not shown(ours)
    theirs.assign(THEIRS, "A7")
    at_rest(ours, theirs)
    assert agree(ours, theirs) and shown(ours)


def test_a_withdrawal_that_its_lender_lost_with_a_life_is_said_anew() -> None:
    ours, theirs = lending()
    backup = snapshot.take(theirs.state)
    ours.wait(60)
    ours.do(c.WithdrawAid(actor=LOLA, incident_id=OURS))
    (word,) = messages(ours.state)
    theirs.do(received(word, SYSTEM))
    report = answer(theirs.state, word).report
    assert report is not None
    # The answer is lost but for that it was heard.
    ours.do(c.HearAid(actor=SYSTEM, report=replace(report, over=False), lender=TO))
    theirs = restored(theirs, backup)
    goes_on(ours, SAID_ANEW_S + 1)
    at_rest(ours, theirs)
    assert not ours.state.asks and not theirs.state.loans


def test_a_borrower_that_was_restored_is_heard_again() -> None:
    (ours, _), theirs = asking(), Scene(TO)
    backup = snapshot.take(ours.state)
    at_rest(ours, theirs)
    for lat in (41.35, 41.36, 41.37):
        ours.wait(10)
        ours.do(c.LocateIncident(actor=LOLA, incident_id=OURS, location=place(lat=lat)))
        at_rest(ours, theirs)
    ours = restored(ours, backup)
    ours.do(c.LocateIncident(actor=LOLA, incident_id=OURS, location=place(lat=41.4)))
    at_rest(ours, theirs)
    where = theirs.incident_now(THEIRS).location
    assert where is not None and where.lat == 41.4
    ours.do(c.WithdrawAid(actor=LOLA, incident_id=OURS))
    at_rest(ours, theirs)
    assert not ours.state.asks and not theirs.state.loans


def test_a_borrower_that_was_restored_learns_that_the_help_was_over() -> None:
    ours, theirs = lending()
    backup = snapshot.take(ours.state)
    theirs.wait(60)
    theirs.report("A7", UnitStatus.ON_SCENE)
    theirs.report("A7", UnitStatus.AVAILABLE)
    at_rest(ours, theirs)
    assert not ours.state.asks
    ours = restored(ours, backup)
    assert lent(ours.incident_now(OURS))
    goes_on(ours, SAID_ANEW_S + 1)
    at_rest(ours, theirs)
    assert not ours.state.asks and not lent(ours.incident_now(OURS))


def test_what_was_said_anew_is_not_said_again_at_once() -> None:
    ours, theirs = lending()
    goes_on(ours, SAID_ANEW_S + 1)
    at_rest(ours, theirs)
    (asked,) = ours.state.asks.values()
    goes_on(ours, SAID_ANEW_S - 1)
    assert not _words(ours) and ours.state.asks[asked.request_id] == asked


def test_that_help_is_over_is_heard_whatever_number_it_is_said_under() -> None:
    """As after a change to this version: what the numbers of events were said under is below every stamp."""
    scene, incident_id = asking("accepted")
    scene.do(heard(version=900, units=(lent_unit(),)))
    scene.do(heard(version=30, over=True))
    assert not scene.state.asks and not lent(scene.incident_now(incident_id))


def test_stamps_grow_with_each_event_and_with_time() -> None:
    first = next_stamp(0, START)
    assert next_stamp(first, START) == first + 1
    assert next_stamp(first + 7, START - timedelta(hours=1)) == first + 8
    assert next_stamp(first, START + timedelta(seconds=1)) == first + STAMPS_A_SECOND


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
