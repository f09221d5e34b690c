"""Evidence for a call that is being handed over, or was: taken, and put once and in order to whoever has the call.

Two or three regions say to each other what `dispatch.cells.exchange` reads off their states.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from consoles.board import Board
from dispatch.cells import exchange
from dispatch.cells.exchange import Answer, CallEvidence, Document, Outcome
from dispatch.core import commands as c
from dispatch.core import onward, snapshot
from dispatch.core.evidence import EVIDENCE_KEPT
from dispatch.core.terms import (
    SYSTEM,
    CallId,
    CallStatus,
    Disposition,
    IncidentId,
    LocationFix,
    RegionId,
    Source,
)
from tests.core.scene import LINE, LOLA, START, TK, TO, Scene, kinds, place

SA = RegionId("UZ-SA")
CALL = CallId("c-1")


def fix(number: int = 0, **changes: Any) -> LocationFix:
    """A piece of evidence like no other of its number."""
    return LocationFix(source=Source.AML, at=START, lat=41.3 + number / 1000, lon=69.2, **changes)


def seen(number: int = 0, **changes: Any) -> c.LocateCall:
    return c.LocateCall(actor=LINE, call_id=CALL, fix=fix(number), **changes)


def mark(scene: Scene) -> c.MarkSent:
    return c.MarkSent(actor=SYSTEM, call_id=CALL, offer_id=scene.state.offers[CALL].offer_id)


class Trio:
    """Three regions; `say` carries all that one of them has to say, once."""

    def __init__(self, status: str) -> None:
        self.scenes = {region: Scene(region) for region in (TK, TO, SA)}
        self.tk, self.to, self.sa = self.scenes.values()
        self.tk.call()
        self.tk.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TO))
        if status != "offered":
            self.tk.do(mark(self.tk))
        if status in ("taken", "gone"):
            self.take()
        if status == "gone":
            self.say()

    def take(self, giver: RegionId = TK) -> None:
        """The other side accepts what is offered; the giver has not heard so yet."""
        offer = next(m for m in exchange.messages(self.scenes[giver].state) if isinstance(m, exchange.CallOffer))
        self.scenes[offer.to].do(exchange.received(offer, SYSTEM))

    def say(self, region: RegionId = TK, *, abroad: bool = True) -> list[CallEvidence]:
        """Everything that the region says, heard and answered; the evidence among it."""
        said = list(exchange.messages(self.scenes[region].state))
        for message in said:
            assert exchange.fault_in(message) is None
            self.scenes[message.to].do(exchange.received(message, SYSTEM))
            answer = exchange.answer(self.scenes[message.to].state, message)
            follows = exchange.concluded(message, answer, SYSTEM, abroad=abroad)
            if follows is not None:
                self.scenes[region].do(follows)
        return [message for message in said if isinstance(message, CallEvidence)]

    def settle(self, *, abroad: bool = True) -> None:
        for _ in range(3 * EVIDENCE_KEPT):
            for region, scene in self.scenes.items():
                if CALL in scene.state.offers and not scene.state.offers[CALL].sent:
                    scene.do(mark(scene))
                self.say(region, abroad=abroad)
        assert not any(scene.state.onward or scene.state.offers for scene in self.scenes.values())


def evidence(scene: Scene) -> list[float | None]:
    call = scene.state.call(CALL)
    assert call is not None
    return [piece.lat for piece in call.evidence]


def with_a_crew() -> tuple[Scene, IncidentId]:
    """A call that opened an incident, and a unit on its way there."""
    scene = Scene()
    scene.unit()
    scene.call(incident_type="illness", location=place())
    incident_id = scene.call_now(CALL).incident_id
    assert incident_id is not None
    scene.assign(incident_id, "A1")
    return scene, incident_id


def lats(*numbers: int) -> list[float | None]:
    return [fix(number).lat for number in numbers]


def test_before_anything_was_sent_the_call_is_located_as_ever_and_the_offer_says_so() -> None:
    trio = Trio("offered")
    assert kinds(trio.tk.do(seen(1, location=place()))) == ["call_located"]
    trio.tk.do(mark(trio.tk))
    trio.take()
    assert evidence(trio.to) == lats(1) and trio.to.call_now(CALL).location == place()


def test_a_call_that_turns_out_to_be_in_a_third_region_is_offered_there_while_nothing_was_sent() -> None:
    trio = Trio("offered")
    first = trio.tk.state.offers[CALL]
    there = place(regions=(SA,))
    assert kinds(trio.tk.do(seen(1, location=there))) == ["call_located", "call_offered"]
    again = trio.tk.state.offers[CALL]
    assert again.to == SA and again.offer_id != first.offer_id
    assert trio.tk.outcome(c.MarkSent(actor=SYSTEM, call_id=CALL, offer_id=first.offer_id)) == []
    assert kinds(trio.tk.do(seen(2, location=there))) == ["call_located"]
    trio.settle()
    assert evidence(trio.sa) == lats(1, 2) and CALL not in trio.to.state.calls


def test_an_incident_says_of_the_call_that_left_it_where_it_goes_in_the_end() -> None:
    scene, incident_id = with_a_crew()
    for region in (TO, SA):
        scene.do(seen(1 if region == TO else 2, location=place(regions=(region,))))
        assert scene.incident_now(incident_id).referred_to == region == scene.call_now(CALL).moving_to


@pytest.mark.parametrize("status", ["sent", "taken", "gone"])
@pytest.mark.parametrize("abroad", [True, False])
def test_what_comes_after_it_was_sent_follows_once_and_in_order(status: str, abroad: bool) -> None:
    trio = Trio(status)
    for number in range(3):
        assert kinds(trio.tk.do(seen(number, location=place()))) == ["evidence_kept"]
    if status == "sent":
        trio.take()
    trio.settle(abroad=abroad)
    assert evidence(trio.to) == lats(0, 1, 2)


def test_an_offer_that_is_sent_again_does_not_bring_what_follows_by_itself() -> None:
    trio = Trio("sent")
    trio.tk.do(seen(1))
    trio.take()
    assert evidence(trio.to) == []
    trio.settle()
    assert evidence(trio.to) == lats(1)


def test_nobody_is_told_while_nobody_knows_whose_the_call_is() -> None:
    trio = Trio("sent")
    trio.tk.do(seen(1))
    assert not [m for m in exchange.messages(trio.tk.state) if isinstance(m, CallEvidence)]


def test_a_board_says_of_a_call_under_way_that_evidence_for_it_waits_until_it_is_put_to_it() -> None:
    trio, board = Trio("sent"), Board()
    state = trio.tk.state

    def flags() -> list[str]:
        board.changes(state, state.taken())
        row: dict[str, Any] = board._shown["calls"][CALL]
        assert row == Board().snapshot(state)["calls"][CALL]
        return [flag for flag in row["flags"] if flag not in ("unlocated", "no_number")]

    assert flags() == ["handing_over"]
    trio.tk.do(seen(1))
    assert flags() == ["handing_over", "evidence_waiting"]
    trio.tk.do(c.RecallCall(actor=LOLA, call_id=CALL))
    assert flags() == ["handing_over", "taking_back", "evidence_waiting"]
    trio.settle()
    assert flags() == []


def test_of_a_call_that_comes_back_the_evidence_is_put_to_it_here() -> None:
    trio = Trio("sent")
    trio.tk.do(seen(1, location=place()))
    trio.tk.do(c.RecallCall(actor=LOLA, call_id=CALL))
    trio.say()
    assert CALL not in trio.tk.state.offers
    (piece,) = trio.tk.state.onward.values()
    assert piece.to == TK
    assert kinds(trio.tk.do(seen(2))) == ["evidence_kept"], "it does not overtake what came before"
    trio.settle()
    assert evidence(trio.tk) == lats(1, 2)


def test_what_waits_for_a_call_that_is_ours_again_goes_with_it_when_it_leaves_once_more() -> None:
    trio = Trio("sent")
    trio.tk.do(seen(1))
    trio.tk.do(c.RecallCall(actor=LOLA, call_id=CALL))
    trio.say()
    (message,) = exchange.messages(trio.tk.state)
    trio.tk.do(c.TransferCall(actor=LOLA, call_id=CALL, to=SA))
    trio.tk.do(mark(trio.tk))
    assert trio.tk.do(exchange.received(message, SYSTEM)) == []
    assert exchange.answer(trio.tk.state, message).outcome is Outcome.LATER
    trio.settle()
    assert evidence(trio.sa) == lats(1)
    assert trio.tk.do(exchange.received(message, SYSTEM)) == []
    assert exchange.answer(trio.tk.state, message).outcome is Outcome.HEARD


def test_what_waits_for_a_call_that_is_ours_again_and_closed_is_kept_with_it() -> None:
    trio = Trio("sent")
    trio.tk.do(seen(1))
    trio.tk.do(c.RecallCall(actor=LOLA, call_id=CALL))
    trio.say()
    trio.tk.do(c.CloseCall(actor=LOLA, call_id=CALL, disposition=Disposition.TEST))
    trio.settle()
    assert evidence(trio.tk) == lats(1)


def test_a_call_that_is_here_is_located_though_older_evidence_is_still_under_way_elsewhere() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.to.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TK))
    trio.to.do(mark(trio.to))
    trio.take(TO)
    assert kinds(trio.tk.do(seen(2))) == ["call_located"]
    trio.settle()
    assert evidence(trio.tk) == lats(2, 1)


def test_an_incident_that_its_call_comes_back_to_is_where_the_call_was_found_meanwhile() -> None:
    scene, incident_id = with_a_crew()
    scene.do(c.LocateCall(actor=LINE, call_id=CALL, fix=fix(), location=place(regions=(TO,))))
    scene.wait(5)
    found = place(41.4, at=scene.now)
    scene.do(seen(1, location=found))
    events = scene.do(c.RecallCall(actor=LOLA, call_id=CALL))
    assert kinds(events) == ["call_regained", "call_linked", "incident_located", "place_told"]
    assert scene.incident_now(incident_id).location == found


def test_a_repeated_word_changes_nothing_and_is_answered_the_same() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    (message,) = exchange.messages(trio.tk.state)
    assert exchange.answer(trio.to.state, message) == Answer(outcome=Outcome.LATER)
    for events in (["call_located", "evidence_heard"], [], []):
        assert kinds(trio.to.do(exchange.received(message, SYSTEM))) == events
        assert exchange.answer(trio.to.state, message) == Answer(outcome=Outcome.HEARD)
    told = c.MarkEvidenceTold(actor=SYSTEM, evidence_id=message.id)
    assert kinds(trio.tk.do(told)) == ["evidence_told"] and trio.tk.do(told) == []
    assert evidence(trio.to) == lats(1)


def test_what_the_call_was_told_of_directly_does_not_count_again_when_it_follows() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.to.do(seen(1))
    assert kinds(trio.to.do(seen(1))) == ["call_located"], "who says it here again says it again"
    trio.settle()
    assert evidence(trio.to) == lats(1, 1)


def test_of_one_call_one_piece_is_under_way_so_that_none_overtakes_another() -> None:
    trio = Trio("gone")
    for number in (1, 2):
        trio.tk.do(seen(number))
    assert [message.fix for message in trio.say()] == [fix(1)]
    assert [message.fix for message in trio.say()] == [fix(2)]


def test_evidence_follows_a_call_that_has_gone_on_and_round() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.to.do(c.TransferCall(actor=LOLA, call_id=CALL, to=SA))
    trio.to.do(mark(trio.to))
    trio.say()
    assert [piece.to for piece in trio.to.state.onward.values()] == [None]
    trio.settle()
    trio.tk.do(seen(2))
    trio.sa.do(c.TransferCall(actor=LOLA, call_id=CALL, to=TK))
    trio.settle()
    assert evidence(trio.tk) == lats(1, 2) and not trio.tk.state.gone


def test_evidence_for_a_call_that_was_closed_there_is_kept_with_it() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.to.do(c.CloseCall(actor=LOLA, call_id=CALL, disposition=Disposition.TEST))
    trio.settle()
    assert evidence(trio.to) == lats(1) and trio.to.call_now(CALL).status is CallStatus.CLOSED


def test_evidence_for_a_call_that_nobody_remembers_is_heard_all_the_same() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.scenes[TO] = Scene(TO)
    trio.settle()
    assert not trio.tk.state.onward


def test_a_restart_loses_no_evidence() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    trio.say()
    trio.tk.do(seen(2))
    for scene in trio.scenes.values():
        before = snapshot.take(scene.state)
        scene.state = snapshot.restore(before)
        assert snapshot.take(scene.state) == before
    (message,) = exchange.messages(trio.tk.state)
    trio.tk.do(seen(3))
    trio.to.do(replace_id(message, next(iter(trio.to.state.evidence_heard))))
    trio.settle()
    assert evidence(trio.to) == lats(1, 2, 3)


def replace_id(message: Any, evidence_id: str) -> c.Command:
    return exchange.received(replace(message, evidence_id=evidence_id), SYSTEM)


def test_of_one_call_so_much_waits_as_the_call_would_keep() -> None:
    trio = Trio("gone")
    confirmed = fix(99, confirmed=True)
    trio.tk.do(c.LocateCall(actor=LOLA, call_id=CALL, fix=confirmed))
    for number in range(EVIDENCE_KEPT + 3):
        trio.tk.do(seen(number))
    assert len(trio.tk.state.onward) == EVIDENCE_KEPT
    trio.settle()
    assert evidence(trio.to) == lats(99, *range(4, EVIDENCE_KEPT + 3))


def test_beyond_the_bound_no_more_is_taken_and_nothing_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward, "ONWARD_MAX", 2)
    trio = Trio("gone")
    for number in (1, 2):
        trio.tk.do(seen(number))
    assert trio.tk.refusal(seen(3)) == "call_moving"
    trio.say()
    trio.tk.do(seen(3))
    trio.settle()
    assert evidence(trio.to) == lats(1, 2, 3)


def test_what_cannot_be_taken_on_now_is_not_heard() -> None:
    trio = Trio("gone")
    trio.tk.do(seen(1))
    (message,) = exchange.messages(trio.tk.state)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onward, "ONWARD_MAX", 0)
        trio.to.do(c.TransferCall(actor=LOLA, call_id=CALL, to=SA))
        trio.to.do(mark(trio.to))
        assert trio.to.refusal(exchange.received(message, SYSTEM)) == "call_moving"
        assert exchange.answer(trio.to.state, message).outcome is Outcome.LATER
    trio.settle()
    assert evidence(trio.sa) == lats(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence_id": "UZ-SA:1:evidence"},
        {"call_id": CallId("")},
        {"documents": (Document(id="n-2", kind="note", text="{}"),)},
        {"documents": (Document(id="n-1", kind="call", text="{}"),)},
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(changes: dict[str, Any]) -> None:
    words = (Document(id="n-1", kind="note", text="{}"),)
    message = CallEvidence(
        origin=TK, to=TO, evidence_id="UZ-TK:1:evidence", call_id=CALL, fix=fix(note_id="n-1"), documents=words
    )
    assert exchange.fault_in(message) is None
    assert exchange.fault_in(replace(message, **changes)) is not None
