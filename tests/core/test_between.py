"""Hand-overs that are taken back, and mutual aid: every status of an offer and of a request, with every command."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dispatch.core import aid_events as a
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.aid import asks_of, wanted
from dispatch.core.aid_terms import AidReport, AidStatus, Wanted, is_told, report_of
from dispatch.core.crews import ACCEPT_S, MOST_SENDS
from dispatch.core.fact import kind_of
from dispatch.core.needs import lent, unmet
from dispatch.core.terms import (
    SYSTEM,
    Assigning,
    Assignment,
    AssignmentId,
    Body,
    CallId,
    CallStatus,
    Disposition,
    IncidentId,
    IncidentStatus,
    OrderId,
    Priority,
    RegionId,
    Stage,
    UnitId,
    UnitStatus,
)
from tests.core.scene import ANVAR, LOLA, START, TK, TO, Scene, kinds, place

CALL = CallId("c-1")
OFFER = f"UZ-TK:2-{START:%y%m%d%H%M%S}"
REQUEST = f"UZ-TK:2-{START:%y%m%d%H%M%S}:aid"


def offered(status: str) -> Scene:
    """A region whose call was offered to another, so far."""
    scene = Scene()
    scene.call()
    assert scene.state.seq == 2
    if status != "here":
        scene.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TO))
    if status in ("sent", "recalled"):
        scene.do(c.MarkSent(actor=SYSTEM, call_id=CALL, offer_id=OFFER))
    if status == "recalled":
        scene.do(c.RecallCall(actor=LOLA, call_id=CALL))
    return scene


GIVING: dict[str, c.Command] = {
    "mark": c.MarkSent(actor=SYSTEM, call_id=CALL, offer_id=OFFER),
    "recall": c.RecallCall(actor=LOLA, call_id=CALL),
    "regain": c.RegainCall(actor=SYSTEM, call_id=CALL, offer_id=OFFER),
    "release": c.ReleaseCall(actor=SYSTEM, call_id=CALL, offer_id=OFFER),
    "depart": c.ReleaseCall(actor=SYSTEM, call_id=CALL, offer_id=OFFER, abroad=True),
    "late regain": c.RegainCall(actor=SYSTEM, call_id=CALL, offer_id="UZ-TK:1"),
    "late release": c.ReleaseCall(actor=SYSTEM, call_id=CALL, offer_id="UZ-TK:1", abroad=True),
    "late mark": c.MarkSent(actor=SYSTEM, call_id=CALL, offer_id="UZ-TK:1"),
}
LATE: dict[str, Any] = {"late regain": [], "late release": [], "late mark": []}
ENDS: dict[str, Any] = {"regain": ["call_regained"], "release": ["call_released"], "depart": ["call_departed"]}
GIVEN: dict[str, dict[str, Any]] = {
    "here": {"mark": [], "recall": "not_moving", "regain": [], "release": [], "depart": []} | LATE,
    "offered": {"mark": ["offer_sent"], "recall": ["call_regained"]} | ENDS | LATE,
    "sent": {"mark": [], "recall": ["offer_recalled"]} | ENDS | LATE,
    "recalled": {"mark": [], "recall": []} | ENDS | LATE,
}


@pytest.mark.parametrize("status", GIVEN)
@pytest.mark.parametrize("command", GIVING)
def test_the_giver_moves_an_offer_only_as_the_table_says(status: str, command: str) -> None:
    outcome = offered(status).outcome(GIVING[command])
    assert (outcome if isinstance(outcome, str) else kinds(outcome)) == GIVEN[status][command]


def taking(status: str) -> Scene:
    """The other region, as far as it knows of the offer."""
    scene = Scene(TO)
    given = offered("sent").call_now(CALL)
    if status == "taken":
        scene.do(c.TakeCall(actor=SYSTEM, call=given, origin=TK, offer_id=OFFER))
    if status == "forgone":
        scene.do(c.ForgoOffer(actor=SYSTEM, call_id=CALL, offer_id=OFFER))
    return scene


TAKEN: dict[str, dict[str, Any]] = {
    "unknown": {"take": ["call_accepted"], "forgo": ["offer_forgone"]},
    "taken": {"take": [], "forgo": "offer_taken"},
    "forgone": {"take": "offer_forgone", "forgo": []},
}


@pytest.mark.parametrize("status", TAKEN)
@pytest.mark.parametrize("command", ["take", "forgo"])
def test_an_offer_is_taken_or_forgone_for_ever(status: str, command: str) -> None:
    given = offered("sent").call_now(CALL)
    wish: c.Command = c.TakeCall(actor=SYSTEM, call=given, origin=TK, offer_id=OFFER)
    if command == "forgo":
        wish = c.ForgoOffer(actor=SYSTEM, call_id=CALL, offer_id=OFFER)
    outcome = taking(status).outcome(wish)
    assert (outcome if isinstance(outcome, str) else kinds(outcome)) == TAKEN[status][command]


def test_a_call_that_is_taken_back_waits_again_in_nobody_s_hands() -> None:
    scene = Scene()
    scene.call()
    scene.move(CALL, CallStatus.ANSWERED)
    scene.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TO))
    assert scene.call_now(CALL).moving_since == scene.now
    scene.do(c.RecallCall(actor=ANVAR, call_id=CALL))
    back = scene.call_now(CALL)
    assert (back.status, back.taker, back.moving_to) == (CallStatus.TRANSFERRED, None, None)
    scene.move(CALL, CallStatus.CLAIMED, ANVAR)


def test_a_classified_call_that_is_taken_back_has_an_incident_again() -> None:
    scene = Scene()
    scene.call(incident_type="illness", location=place())
    scene.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TO))
    assert scene.call_now(CALL).incident_id is None
    events = scene.do(c.RecallCall(actor=LOLA, call_id=CALL))
    assert kinds(events) == ["call_regained", "incident_opened", "call_linked"]


def test_our_books_say_where_a_departed_call_went_and_theirs_where_it_came_from() -> None:
    scene, theirs = offered("sent"), taking("taken")
    scene.do(GIVING["depart"])
    gone = scene.call_now(CALL)
    assert (gone.status, gone.disposition, gone.moving_to) == (CallStatus.CLOSED, Disposition.REFERRED, TO)
    assert theirs.call_now(CALL).came_by == OFFER


def test_a_departed_call_may_come_back() -> None:
    scene, theirs = offered("sent"), taking("taken")
    scene.do(GIVING["depart"])
    theirs.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TK))
    back = theirs.call_now(CALL)
    scene.do(c.TakeCall(actor=SYSTEM, call=back, origin=TO, offer_id=theirs.state.offers[CALL].offer_id))
    assert CALL in scene.state.calls and CALL not in scene.state.closed_calls


# Mutual aid


def asking(status: str = "asked") -> tuple[Scene, IncidentId]:
    """A region with an incident that asked for an ambulance, and how far that is."""
    scene = Scene()
    incident_id = scene.incident()
    if status != "none":
        scene.do(wish(incident_id))
    if status in ("accepted", "over"):
        scene.do(heard(version=5))
    if status == "withdrawing":
        scene.do(c.WithdrawAid(actor=LOLA, incident_id=incident_id))
    if status == "over":
        scene.do(heard(version=6, over=True))
    return scene, incident_id


def wish(incident_id: IncidentId, to: RegionId = TO) -> c.AskAid:
    return c.AskAid(actor=LOLA, incident_id=incident_id, to=to, body=Body.MOH, capability="bls")


def heard(version: int, units: tuple[Assignment, ...] = (), *, over: bool = False, lender: RegionId = TO) -> c.HearAid:
    report = AidReport(
        request_id=REQUEST, version=version, heard=3, incident_id=IncidentId("TO-1"), units=units, over=over
    )
    return c.HearAid(actor=SYSTEM, report=report, lender=lender)


def lent_unit(**changes: Any) -> Assignment:
    known: dict[str, Any] = {
        "assignment_id": AssignmentId("TO-1.4.1"),
        "incident_id": IncidentId("TO-1"),
        "unit_id": UnitId("TO-A7"),
        "call_sign": "A7",
        "body": Body.MOH,
        "capability": "bls",
        "order_id": OrderId("TO-1.4.1.go"),
        "assigned_at": START,
        "eta_s": 240.0,
    }
    return Assignment(**(known | changes))


BORROWING: dict[str, dict[str, Any]] = {
    "none": {"withdraw": "unknown_aid", "restate": [], "newer": [], "older": [], "stranger": []},
    "asked": {"withdraw": ["aid_withdrawn"], "restate": ["aid_restated"], "newer": ["aid_reported"]},
    "accepted": {"withdraw": ["aid_withdrawn"], "restate": ["aid_restated"], "newer": ["aid_reported"]},
    "withdrawing": {"withdraw": [], "restate": [], "newer": ["aid_reported"]},
    "over": {"withdraw": "unknown_aid", "restate": [], "newer": []},
}


@pytest.mark.parametrize("status", BORROWING)
@pytest.mark.parametrize("command", ["withdraw", "restate", "newer", "older", "stranger"])
def test_the_borrower_moves_a_request_only_as_the_table_says(status: str, command: str) -> None:
    scene, incident_id = asking(status)
    commands: dict[str, c.Command] = {
        "withdraw": c.WithdrawAid(actor=LOLA, incident_id=incident_id),
        "restate": c.RestateAid(actor=SYSTEM, request_id=REQUEST),
        "newer": heard(version=9),
        "older": heard(version=0),
        "stranger": heard(version=9, lender=RegionId("UZ-SA")),
    }
    outcome = scene.outcome(commands[command])
    expected = BORROWING[status].get(command, [])
    assert (outcome if isinstance(outcome, str) else kinds(outcome)) == expected


def lending(status: str, assigning: Assigning = Assigning.CONFIRM) -> tuple[Scene, Wanted]:
    """The other region, as far as it knows of the request."""
    scene, (borrower, _) = Scene(TO, assigning), asking()
    said = wanted(borrower.state, borrower.state.asks[REQUEST])
    assert said is not None
    if status != "unknown":
        scene.do(c.TakeAid(actor=SYSTEM, wanted=said))
    if status in ("closed", "over"):
        scene.do(c.CloseIncident(actor=LOLA, incident_id=IncidentId("TO-1"), disposition=Disposition.REFERRED))
    if status == "over":
        scene.do(told(scene))
    return scene, said


def told(scene: Scene) -> c.MarkTold:
    loan = scene.state.loans.get(REQUEST)
    report = AidReport(request_id=REQUEST, version=99, heard=0)
    return c.MarkTold(actor=SYSTEM, report=report_of(loan, scene.state.stamp) if loan else report)


def changed(said: Wanted, **changes: Any) -> c.TakeAid:
    return c.TakeAid(actor=SYSTEM, wanted=replace(said, **changes))


LENDING: dict[str, dict[str, Any]] = {
    "unknown": {
        "same": ["aid_taken", "incident_opened"],
        "withdrawn": ["aid_taken"],
        "raised": ["aid_taken", "incident_opened"],
        "told": [],
    },
    "taken": {
        "same": [],
        "withdrawn": ["aid_heard", "incident_closed"],
        "raised": ["aid_heard", "incident_prioritised"],
        "told": ["aid_told"],
    },
    "closed": {"same": [], "withdrawn": ["aid_heard"], "raised": ["aid_heard"], "told": ["aid_told"]},
    "over": {"same": [], "withdrawn": [], "raised": [], "told": []},
}


@pytest.mark.parametrize("status", LENDING)
@pytest.mark.parametrize("command", ["same", "withdrawn", "raised", "told"])
def test_the_lender_moves_a_loan_only_as_the_table_says(status: str, command: str) -> None:
    scene, said = lending(status)
    commands: dict[str, c.Command] = {
        "same": changed(said),
        "withdrawn": changed(said, version=said.version + 1, withdrawn=True),
        "raised": changed(said, version=said.version + 1, priority=Priority.P1),
        "told": told(scene),
    }
    outcome = scene.outcome(commands[command])
    assert (outcome if isinstance(outcome, str) else kinds(outcome)) == LENDING[status][command]


def test_help_that_was_withdrawn_before_it_was_heard_of_never_begins() -> None:
    scene, said = lending("unknown")
    scene.do(changed(said, version=said.version + 1, withdrawn=True))
    assert scene.outcome(changed(said)) == [] and not scene.state.incidents
    assert scene.state.loans[REQUEST].over and not is_told(scene.state.loans[REQUEST])


def test_a_lent_unit_fills_the_need_and_ends_the_incident_with_its_work() -> None:
    scene, incident_id = asking("accepted")
    assert unmet(scene.incident_now(incident_id))
    scene.do(heard(6, (lent_unit(),)))
    incident = scene.incident_now(incident_id)
    assert (incident.status, unmet(incident)) == (IncidentStatus.DISPATCHED, ())
    scene.do(heard(7, (lent_unit(status=UnitStatus.ON_SCENE, on_scene_at=START),)))
    assert scene.incident_now(incident_id).status is IncidentStatus.ON_SCENE
    done = lent_unit(status=UnitStatus.AVAILABLE, on_scene_at=START, cleared_at=START, cleared_reason="completed")
    events = scene.do(heard(8, (done,), over=True))
    assert kinds(events) == ["aid_reported", "incident_closed"]
    assert not scene.state.asks and not lent(scene.incident_now(incident_id))


def test_a_lent_unit_that_is_first_heard_of_on_scene_is_on_scene() -> None:
    scene, incident_id = asking()
    scene.do(heard(6, (lent_unit(status=UnitStatus.ON_SCENE, on_scene_at=START),)))
    assert scene.incident_now(incident_id).status is IncidentStatus.ON_SCENE


def test_a_lent_unit_that_leaves_early_puts_the_incident_back_in_the_queue() -> None:
    scene, incident_id = asking()
    scene.do(heard(6, (lent_unit(),)))
    scene.do(heard(7, (lent_unit(cleared_at=START, cleared_reason="recalled"),), over=True))
    assert unmet(scene.incident_now(incident_id)) and scene.state.waiting


@pytest.mark.parametrize("how", ["recalled", "diverted", "refused", "unheard"])
def test_an_incident_whose_work_a_lent_unit_has_done_ends_with_the_last_to_leave(how: str) -> None:
    scene, incident_id = asking()
    scene.unit()
    scene.assign(incident_id, "A1")
    order = next(iter(scene.state.orders))
    there = {"status": UnitStatus.ON_SCENE, "on_scene_at": START}
    scene.do(heard(6, (lent_unit(**there),)))
    scene.do(heard(7, (lent_unit(cleared_at=START, cleared_reason="completed", **there),)))
    assert incident_id in scene.state.incidents
    if how == "recalled":
        scene.do(c.RecallUnits(actor=LOLA, incident_id=incident_id))
    elif how == "diverted":
        scene.do(c.DivertUnit(actor=LOLA, incident_id=scene.incident(), unit_id=UnitId("A1"), reason="nearer"))
    elif how == "refused":
        scene.do(c.StageOrder(actor=SYSTEM, unit_id=UnitId("A1"), order_id=order, stage=Stage.REFUSED))
    else:
        for _ in range(MOST_SENDS):
            scene.wait(ACCEPT_S)
            scene.do(c.SendOrder(actor=SYSTEM, order_id=order))
    assert scene.incident_now(incident_id).disposition is Disposition.RESOLVED


def test_the_lender_works_a_request_like_an_incident_of_its_own() -> None:
    scene, _ = lending("taken")
    scene.unit()
    incident = scene.assign(IncidentId("TO-1"), "A1")
    assert incident.aid_for is not None and incident.aid_for.region == TK
    assert scene.state.loans[REQUEST].units == incident.assignments
    scene.report("A1", UnitStatus.ON_SCENE)
    scene.report("A1", UnitStatus.AVAILABLE)
    assert scene.state.loans[REQUEST].over


def test_a_withdrawn_request_calls_the_units_back() -> None:
    scene, said = lending("taken")
    scene.unit()
    scene.assign(IncidentId("TO-1"), "A1")
    events = scene.do(changed(said, version=said.version + 1, withdrawn=True))
    assert kinds(events) == ["aid_heard", "assignment_cleared", "incident_closed"]
    assert scene.unit_now("A1").status is UnitStatus.RETURNING


@pytest.mark.parametrize(
    "command",
    [
        c.PrioritiseIncident(actor=LOLA, incident_id=IncidentId("TO-1"), priority=Priority.P1),
        c.LocateIncident(actor=LOLA, incident_id=IncidentId("TO-1"), location=place()),
        c.AddLeg(actor=LOLA, incident_id=IncidentId("TO-1"), body=Body.MES, capability="pump"),
        c.MergeIncidents(actor=LOLA, incident_id=IncidentId("TO-1"), into=IncidentId("TO-2")),
        c.MergeIncidents(actor=LOLA, incident_id=IncidentId("TO-2"), into=IncidentId("TO-1")),
        wish(IncidentId("TO-1"), TK),
    ],
)
def test_only_the_borrower_says_what_its_incident_needs(command: c.Command) -> None:
    scene, _ = lending("taken")
    scene.incident()
    assert scene.refusal(command) == "aid_incident"


def test_a_caller_s_incident_never_joins_the_help_for_another_region() -> None:
    scene, _ = lending("taken")
    scene.call(incident_type="illness", location=place())
    assert scene.call_now(CALL).incident_id == "TO-2"


def test_a_region_asks_another_and_not_without_end() -> None:
    scene, incident_id = asking("none")
    assert scene.refusal(wish(incident_id, TK)) == "aid_own_region"
    for _ in range(8):
        scene.do(wish(incident_id))
    assert scene.refusal(wish(incident_id)) == "aid_limit"


def test_a_request_whose_incident_is_over_withdraws_itself() -> None:
    scene, incident_id = asking("accepted")
    scene.do(c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition=Disposition.RESOLVED))
    events = scene.do(c.RestateAid(actor=SYSTEM, request_id=REQUEST))
    assert kinds(events) == ["aid_withdrawn"]
    assert asks_of(scene.state, incident_id)[0].status is AidStatus.WITHDRAWING
    scene.do(heard(9, over=True))
    assert not scene.state.asks


def test_an_old_journal_reads_as_before() -> None:
    old = b'{"kind":"call_offered","call_id":"c-1","offer":{"offer_id":"UZ-TK:2","to":"UZ-TO"}}'
    event = e.decode(old)
    assert isinstance(event, e.CallOffered) and not event.offer.sent and not event.offer.recalled
    assert kind_of(a.AidRestated(request_id="r")) == "aid_restated"
