"""A call from ringing to closed: every status against everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.lifecycle import CALL, WAITING_CALL
from dispatch.core.terms import (
    ActorId,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    IncidentId,
    LocationFix,
    Priority,
    Service,
    Source,
)
from tests.core.scene import ANVAR, LINE, LOLA, START, TK, TO, Scene, kinds, place

CALL_1 = CallId("c-1")

GRID = """
             claimed answered held    abandoned calling_back requeue     classify locate       close   to_other
ringing      claimed answered -       abandoned -            transferred linked   ringing      closed  ringing
queued       claimed answered -       abandoned -            transferred linked   queued       closed  queued
claimed      =       answered held    abandoned -            transferred linked   claimed      closed  claimed
answered     -       =        held    abandoned -            transferred linked   answered     closed  answered
held         claimed answered =       abandoned -            transferred linked   held         closed  held
transferred  claimed answered -       abandoned -            -           linked   transferred  closed  transferred
abandoned    claimed answered -       =         calling_back -           linked   abandoned    closed  abandoned
calling_back -       answered -       abandoned =            -           linked   calling_back closed  calling_back
linked       -       -        -       -         -            -           linked   linked       closed  answered
closed       unknown unknown  unknown unknown   unknown      unknown     unknown  unknown      unknown unknown
"""
"""Status by command: the status after it; `=` nothing changes; `-` illegal_status; `unknown` unknown_call.

A call that goes to another region keeps its status while it is on the way; a joined one leaves its incident.
"""

ROWS = [line.split() for line in GRID.strip().splitlines()]
PAIRS = [(row[0], command, cell) for row in ROWS[1:] for command, cell in zip(ROWS[0], row[1:], strict=True)]

FIX = LocationFix(source=Source.CELL, at=START, lat=41.33, lon=69.24, accuracy_m=900.0)


def asked(command: str, actor: ActorId = LOLA) -> c.Command:
    """The command of a column."""
    others: dict[str, c.Command] = {
        "requeue": c.TransferCall(actor=actor, call_id=CALL_1, to=TK),
        "to_other": c.TransferCall(actor=actor, call_id=CALL_1, to=TO),
        "classify": c.ClassifyCall(actor=actor, call_id=CALL_1, incident_type="illness"),
        "locate": c.LocateCall(actor=actor, call_id=CALL_1, fix=FIX, location=place()),
        "close": c.CloseCall(actor=actor, call_id=CALL_1, disposition=Disposition.ADVICE_ONLY),
    }
    return others.get(command) or c.MoveCall(actor=actor, call_id=CALL_1, status=CallStatus(command))


def brought_to(status: CallStatus) -> Scene:
    """A region whose one call has this status."""
    scene = Scene()
    channel = Channel.APP if status is CallStatus.QUEUED else Channel.VOICE
    scene.call(CALL_1, channel, location=place())
    ways: dict[CallStatus, tuple[str, ...]] = {
        CallStatus.CALLING_BACK: ("abandoned", "calling_back"),
        CallStatus.HELD: ("answered", "held"),
        CallStatus.TRANSFERRED: ("requeue",),
        CallStatus.LINKED: ("classify",),
        CallStatus.CLOSED: ("close",),
        CallStatus.RINGING: (),
        CallStatus.QUEUED: (),
    }
    for step in ways.get(status, (str(status),)):
        scene.do(asked(step))
    assert scene.call_now(CALL_1).status is status
    return scene


def test_the_grid_names_every_status() -> None:
    assert {row[0] for row in ROWS[1:]} == set(CallStatus)


@pytest.mark.parametrize(("status", "command", "cell"), PAIRS)
def test_a_call_goes_where_its_grid_says(status: str, command: str, cell: str) -> None:
    scene = brought_to(CallStatus(status))
    outcome = scene.outcome(asked(command))
    if cell in ("-", "unknown"):
        assert outcome == {"-": "illegal_status", "unknown": "unknown_call"}[cell]
        assert scene.call_now(CALL_1).status == status
    elif cell == "=":
        assert outcome == []
    else:
        assert outcome and not isinstance(outcome, str)
        assert scene.call_now(CALL_1).status == cell


@pytest.mark.parametrize("status", ["ringing", "queued", "transferred", "linked", "closed"])
@pytest.mark.parametrize("before", sorted(CallStatus))
def test_no_report_of_a_status_may_do_the_work_of_another_command(before: str, status: str) -> None:
    scene = brought_to(CallStatus(before))
    outcome = scene.outcome(c.MoveCall(actor=LOLA, call_id=CALL_1, status=CallStatus(status)))
    assert outcome in ("illegal_status", "unknown_call") or (before == status and outcome == [])


@pytest.mark.parametrize("in_hand", [CallStatus.CLAIMED, CallStatus.ANSWERED])
@pytest.mark.parametrize("wish", [CallStatus.CLAIMED, CallStatus.ANSWERED])
def test_a_call_in_one_hand_is_not_taken_by_another(in_hand: CallStatus, wish: CallStatus) -> None:
    scene = brought_to(in_hand)
    assert scene.refusal(c.MoveCall(actor=ANVAR, call_id=CALL_1, status=wish)) == "call_in_hand"
    assert scene.call_now(CALL_1).taker == LOLA


def test_a_held_call_is_picked_up_by_whoever_is_free() -> None:
    scene = brought_to(CallStatus.HELD)
    scene.move(CALL_1, CallStatus.ANSWERED, ANVAR)
    assert scene.call_now(CALL_1).taker == ANVAR


def test_a_supervisor_puts_a_call_back_whose_taker_is_gone() -> None:
    scene = brought_to(CallStatus.CLAIMED)
    scene.do(asked("requeue", ANVAR))
    call = scene.call_now(CALL_1)
    assert call.status in WAITING_CALL and call.taker is None
    scene.move(CALL_1, CallStatus.ANSWERED, ANVAR)
    assert scene.call_now(CALL_1).taker == ANVAR


def test_the_first_answer_is_remembered_and_no_later_one_replaces_it() -> None:
    scene = brought_to(CallStatus.ANSWERED)
    scene.wait(30)
    scene.move(CALL_1, CallStatus.HELD)
    scene.wait(30)
    scene.move(CALL_1, CallStatus.ANSWERED)
    call = scene.call_now(CALL_1)
    assert call.answered_at == START and call.since == scene.now


def test_a_call_that_nobody_answered_is_not_answered_by_being_split() -> None:
    scene = Scene()
    scene.call(CALL_1, Channel.APP, service=Service.GAS, location=place())
    joined = scene.call_now(CALL_1).incident_id
    assert joined is not None
    scene.do(c.SplitCall(actor=LOLA, incident_id=joined, call_id=CALL_1))
    assert scene.call_now(CALL_1).answered_at is None


@pytest.mark.parametrize(
    ("channel", "status"),
    [(channel, CallStatus.RINGING if channel is Channel.VOICE else CallStatus.QUEUED) for channel in Channel],
)
def test_only_a_voice_rings(channel: Channel, status: CallStatus) -> None:
    scene = Scene()
    assert kinds(scene.do(c.ReceiveCall(actor=LINE, call_id=CALL_1, channel=channel))) == ["call_received"]
    assert scene.call_now(CALL_1).status is status


def test_a_call_without_number_place_and_words_is_a_call() -> None:
    scene = Scene()
    scene.call(CALL_1)
    call = scene.call_now(CALL_1)
    assert not call.has_number and call.location is None
    assert len(scene.state.waiting_calls) == 1


def test_a_call_with_a_service_goes_straight_to_an_incident() -> None:
    scene = Scene()
    facts = scene.do(
        c.ReceiveCall(actor=LINE, call_id=CALL_1, channel=Channel.APP, service=Service.AMBULANCE, location=place())
    )
    assert kinds(facts) == ["call_received", "incident_opened", "call_linked"]
    assert scene.state.incidents[IncidentId("TK-1")].incident_type == "medical_call"
    assert not len(scene.state.waiting_calls)


def test_the_same_call_does_not_come_in_twice_even_when_it_is_closed() -> None:
    for status in (CallStatus.RINGING, CallStatus.CLOSED):
        scene = brought_to(status)
        again = c.ReceiveCall(actor=LINE, call_id=CALL_1, channel=Channel.VOICE)
        assert scene.refusal(again) == "call_exists"


@pytest.mark.parametrize(
    "make",
    [
        lambda: c.ReceiveCall(actor=LINE, call_id=CallId("c-2"), channel=Channel.APP, incident_type="dragon"),
        lambda: c.ClassifyCall(actor=LOLA, call_id=CALL_1, incident_type="dragon"),
        lambda: c.OpenIncident(actor=LOLA, incident_type="dragon"),
    ],
)
def test_what_is_none_of_the_catalogue_is_refused(make: Callable[[], c.Command]) -> None:
    assert brought_to(CallStatus.RINGING).refusal(make()) == "unknown_incident_type"


def test_classifying_opens_an_incident_with_the_priority_said_or_usual() -> None:
    for said, expected in ((None, Priority.P3), (Priority.P1, Priority.P1)):
        scene = brought_to(CallStatus.ANSWERED)
        scene.do(c.ClassifyCall(actor=LOLA, call_id=CALL_1, incident_type="illness", priority=said))
        incident = scene.incident_now("TK-1")
        assert incident.priority is expected and incident.call_count == 1
        assert incident.location == place()


def test_a_note_of_the_call_taker_goes_to_the_incident() -> None:
    scene = brought_to(CallStatus.ANSWERED)
    scene.do(c.ClassifyCall(actor=LOLA, call_id=CALL_1, incident_type="illness", note_id="n-1", commitment="ab"))
    assert scene.incident_now("TK-1").notes == ("n-1",)


def test_a_joined_call_cannot_be_joined_elsewhere_without_a_split() -> None:
    scene = brought_to(CallStatus.LINKED)
    other = scene.incident("theft")
    again = c.ClassifyCall(actor=LOLA, call_id=CALL_1, incident_type="theft", incident_id=other)
    assert scene.refusal(again) == "illegal_status"


def test_a_call_cannot_join_an_incident_that_is_over() -> None:
    scene = brought_to(CallStatus.ANSWERED)
    gone = c.ClassifyCall(actor=LOLA, call_id=CALL_1, incident_type="theft", incident_id=IncidentId("TK-9"))
    assert scene.refusal(gone) == "unknown_incident"


def test_closing_a_joined_call_leaves_its_incident_open() -> None:
    scene = brought_to(CallStatus.LINKED)
    scene.do(asked("close"))
    incident = scene.incident_now("TK-1")
    assert incident.call_count == 0 and incident.closed_at is None


def test_evidence_is_kept_within_its_bound_and_what_a_person_confirmed_stays() -> None:
    scene = brought_to(CallStatus.RINGING)
    confirmed = LocationFix(source=Source.OPERATOR, at=START, lat=41.3, lon=69.2, confirmed=True)
    scene.do(c.LocateCall(actor=LOLA, call_id=CALL_1, fix=confirmed))
    for number in range(EVIDENCE_KEPT + 5):
        fix = LocationFix(source=Source.CELL, at=START, lat=41.0 + number / 100, lon=69.2)
        scene.do(c.LocateCall(actor=LINE, call_id=CALL_1, fix=fix))
    evidence = scene.call_now(CALL_1).evidence
    assert len(evidence) == EVIDENCE_KEPT
    assert confirmed in evidence
    assert evidence[-1].lat == 41.0 + (EVIDENCE_KEPT + 4) / 100


def test_evidence_that_places_the_call_nowhere_leaves_the_place_known_so_far() -> None:
    scene = brought_to(CallStatus.RINGING)
    scene.do(c.LocateCall(actor=LINE, call_id=CALL_1, fix=FIX))
    assert scene.call_now(CALL_1).location == place()


def test_the_first_place_of_a_call_is_the_place_of_its_incident() -> None:
    scene = Scene()
    scene.call(CALL_1, Channel.APP, service=Service.FIRE)
    assert scene.incident_now("TK-1").location is None
    scene.do(c.LocateCall(actor=LINE, call_id=CALL_1, fix=FIX, location=place()))
    assert scene.incident_now("TK-1").location == place()


def test_later_evidence_does_not_move_what_a_person_confirmed() -> None:
    scene = Scene()
    scene.call(CALL_1, Channel.APP, service=Service.FIRE, location=place(confirmed=True))
    scene.do(c.LocateCall(actor=LINE, call_id=CALL_1, fix=FIX, location=place(41.4)))
    assert scene.incident_now("TK-1").location == place(confirmed=True)


def test_one_of_several_callers_does_not_move_the_incident() -> None:
    scene = Scene()
    for name in ("c-1", "c-2"):
        scene.call(name, Channel.APP, service=Service.FIRE, location=place())
    assert scene.incident_now("TK-1").call_count == 2
    scene.do(c.LocateCall(actor=LINE, call_id=CallId("c-2"), fix=FIX, location=place(41.4)))
    assert scene.incident_now("TK-1").location == place()


def test_nothing_leaves_closed() -> None:
    assert not CALL[CallStatus.CLOSED]


def test_a_closed_call_says_when_and_how_it_ended() -> None:
    scene = brought_to(CallStatus.CLOSED)
    call = scene.call_now(CALL_1)
    assert (call.closed_at, call.disposition) == (START, Disposition.ADVICE_ONLY)
    assert CALL_1 not in scene.state.calls


def test_a_received_call_carries_what_the_channel_knew() -> None:
    scene = Scene()
    [received] = scene.do(
        c.ReceiveCall(
            actor=LINE,
            call_id=CALL_1,
            channel=Channel.SMS,
            language="uz-Cyrl",
            silent=True,
            has_number=True,
            commitment="ab",
            evidence=(FIX,),
        )
    )
    assert isinstance(received, e.CallReceived)
    call = received.call
    assert (call.language, call.silent, call.has_number, call.commitment) == ("uz-Cyrl", True, True, "ab")
    assert call.evidence == (FIX,) and call.device == LINE and call.at == START
