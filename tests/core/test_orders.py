"""Orders: every stage against everything a unit may say, and what time makes of an order that is not answered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.assigning import ORDER_LIFE_S, SEND_AGAIN_S
from dispatch.core.crews import ACCEPT_S, HELD_UP_S, MOST_SENDS
from dispatch.core.deadlines import AT_ONCE, due, next_due
from dispatch.core.evolve import evolve
from dispatch.core.needs import unmet
from dispatch.core.state import DUE_SLACK
from dispatch.core.terms import (
    SYSTEM,
    ActorId,
    IncidentId,
    OrderId,
    OrderKind,
    Stage,
    UnitId,
    UnitStatus,
)
from tests.core.scene import LOLA, Scene, kinds

GRID = """
           pending sent  delivered seen  accepted refused
pending    -       -     yes       yes   over     gone
sent       -       -     yes       yes   over     gone
delivered  -       -     =         yes   over     gone
seen       -       -     -         =     over     gone
accepted   u       u     u         u     u        u
refused    u       u     u         u     u        u
"""
"""Stage by word: `yes` it is so; `=` nothing changes; `over` accepted and no longer kept; `gone` the unit is off it;
`-` illegal_status; `u` unknown_order: the order is over."""

ROWS = [line.split() for line in GRID.strip().splitlines()]
PAIRS = [(row[0], said, cell) for row in ROWS[1:] for said, cell in zip(ROWS[0], row[1:], strict=True)]


def given(stage: str = "pending") -> tuple[Scene, OrderId]:
    """A unit with an order of this stage."""
    scene = Scene()
    scene.unit("A1")
    scene.assign(scene.incident(), "A1")
    order = scene.order_of("A1")
    if stage == "sent":
        scene.tick(SEND_AGAIN_S)
    elif stage != "pending":
        scene.stage("A1", Stage(stage))
    return scene, order.order_id


def said(order_id: OrderId, stage: Stage, unit: str = "A1") -> c.StageOrder:
    return c.StageOrder(actor=ActorId(f"unit:{unit}"), unit_id=UnitId(unit), order_id=order_id, stage=stage)


def test_an_order_that_was_looked_at_in_vain_is_looked_at_again() -> None:
    """Whoever is given it may find that it leads the region no more, and lead it once more a moment later."""
    scene, order_id = given()
    later = scene.now + timedelta(seconds=SEND_AGAIN_S)
    assert next(iter(due(scene.state, later))) == c.SendOrder(actor=SYSTEM, order_id=order_id)
    assert next_due(scene.state) == scene.now + timedelta(seconds=SEND_AGAIN_S)
    scene.tick(SEND_AGAIN_S)
    assert scene.state.orders[order_id].sends == 2


def test_deadlines_that_nobody_serves_are_not_hoarded() -> None:
    """A follower of a region serves none: what is over must leave its heap all the same, and what stands must stay."""
    scene, standing = given()
    for unit in (f"B{number}" for number in range(4 * DUE_SLACK)):
        scene.unit(unit)
        scene.assign(scene.incident(), unit)
        scene.stage(unit, Stage.ACCEPTED)
    assert len(scene.state.due) <= DUE_SLACK + 2
    assert next_due(scene.state) == scene.state.orders[standing].send_again_at


def test_the_grid_names_every_stage() -> None:
    assert {row[0] for row in ROWS[1:]} == set(ROWS[0]) == set(Stage)


@pytest.mark.parametrize(("stage", "word", "cell"), PAIRS)
def test_an_order_goes_where_its_grid_says(stage: str, word: str, cell: str) -> None:
    scene, order_id = given(stage)
    outcome = scene.outcome(said(order_id, Stage(word)))
    if cell in ("-", "u"):
        assert outcome == {"-": "illegal_status", "u": "unknown_order"}[cell]
    elif cell == "=":
        assert outcome == []
    elif cell == "yes":
        assert scene.state.orders[order_id].stage == word
    else:
        assert order_id not in scene.state.orders
        expected = UnitStatus.ACKNOWLEDGED if cell == "over" else UnitStatus.OUT_OF_SERVICE
        assert scene.unit_now("A1").status is expected


def test_an_order_begins_with_its_assignment_and_says_when_it_is_looked_at_again() -> None:
    scene, order_id = given()
    order = scene.state.orders[order_id]
    assert (order.kind, order.sends, order.stage) == (OrderKind.DISPATCH, 1, Stage.PENDING)
    assert order.send_again_at is not None and next_due(scene.state) == order.send_again_at
    assert (order.send_again_at - scene.now).total_seconds() == SEND_AGAIN_S
    assert order.assignment_id == scene.unit_now("A1").assignment_id


def test_what_a_unit_says_stamps_its_assignment_once() -> None:
    scene, order_id = given()
    times = []
    for stage in (Stage.DELIVERED, Stage.SEEN, Stage.ACCEPTED):
        scene.wait(2)
        scene.stage("A1", stage, scene.state.orders[order_id])
        times.append(scene.now)
    [assignment] = scene.incident_now("TK-1").assignments
    assert [assignment.delivered_at, assignment.seen_at, assignment.accepted_at] == times


def test_accepting_says_that_the_order_was_delivered_and_seen() -> None:
    scene, _ = given()
    scene.stage("A1", Stage.ACCEPTED)
    [assignment] = scene.incident_now("TK-1").assignments
    assert assignment.delivered_at == assignment.seen_at == assignment.accepted_at == scene.now


def test_a_crew_that_already_drives_is_not_put_back_by_its_late_acceptance() -> None:
    scene, order_id = given()
    scene.report("A1", UnitStatus.EN_ROUTE)
    assert scene.refusal(said(order_id, Stage.ACCEPTED)) == "unknown_order"
    assert scene.unit_now("A1").status is UnitStatus.EN_ROUTE


def test_a_refusal_takes_the_crew_out_of_service_and_leaves_the_need_open() -> None:
    scene, order_id = given()
    facts = scene.do(
        c.StageOrder(actor=LOLA, unit_id=UnitId("A1"), order_id=order_id, stage=Stage.REFUSED, reason="no fuel")
    )
    assert kinds(facts) == ["order_staged", "assignment_cleared", "unit_moved"]
    assert scene.incident_now("TK-1").assignments[0].cleared_reason == "no fuel"
    assert unmet(scene.incident_now("TK-1"))
    assert scene.state.touched.orders[order_id].stage is Stage.REFUSED, "the order's row says what became of it"


def test_an_order_is_of_one_unit_only() -> None:
    scene, order_id = given()
    scene.unit("A2")
    assert scene.refusal(said(order_id, Stage.ACCEPTED, "A2")) == "unknown_order"


def test_an_unheard_order_is_sent_again_and_then_given_up() -> None:
    scene, order_id = given()
    facts = scene.tick(SEND_AGAIN_S * MOST_SENDS - 1)
    assert kinds(facts) == ["order_sent"] * (MOST_SENDS - 1)
    assert scene.state.orders[order_id].sends == MOST_SENDS
    facts = scene.tick(1)
    assert kinds(facts) == ["assignment_cleared", "unit_linked"]
    unit = scene.unit_now("A1")
    assert (unit.status, unit.linked) == (UnitStatus.AVAILABLE, False)
    assert scene.incident_now("TK-1").assignments[0].cleared_reason == "not_acknowledged"


def test_a_crew_that_is_given_up_is_told_so_for_as_long_as_any_order() -> None:
    scene, _ = given()
    scene.tick(SEND_AGAIN_S * MOST_SENDS)
    recall = scene.order_of("A1")
    assert recall.kind is OrderKind.RECALL
    facts = scene.tick(SEND_AGAIN_S * MOST_SENDS)
    assert kinds(facts) == ["order_sent"] * (MOST_SENDS - 1) + ["order_dropped"]
    assert not scene.state.orders


@pytest.mark.parametrize("stage", [Stage.DELIVERED, Stage.SEEN])
def test_an_order_that_is_only_looked_at_goes_to_the_next_unit_after_a_minute(stage: Stage) -> None:
    scene, _ = given()
    scene.stage("A1", stage)
    scene.tick(ACCEPT_S - 1)
    assert scene.unit_now("A1").status is UnitStatus.DISPATCHED
    scene.tick(1)
    assert scene.unit_now("A1").assignment_id is None
    assert scene.incident_now("TK-1").assignments[0].cleared_reason == "not_accepted"


def test_an_order_heard_at_the_last_moment_gets_its_whole_minute() -> None:
    scene, _ = given()
    scene.tick(SEND_AGAIN_S * MOST_SENDS - 1)
    scene.stage("A1", Stage.DELIVERED)
    scene.tick(ACCEPT_S - SEND_AGAIN_S * MOST_SENDS)
    assert scene.unit_now("A1").status is UnitStatus.DISPATCHED
    scene.tick(1)
    assert scene.unit_now("A1").assignment_id is None


def outage(scene: Scene, seconds: float) -> list[e.Event]:
    """Time in which nobody serves a deadline, for no crew could answer; the facts when it is over."""
    scene.wait(seconds)
    return [fact for command in due(scene.state, scene.now) for fact in scene.do(command)]


@pytest.mark.parametrize("sends", [1, MOST_SENDS])
def test_an_order_that_no_crew_could_answer_begins_anew(sends: int) -> None:
    scene, order_id = given()
    scene.tick(SEND_AGAIN_S * sends - 1)
    assert scene.state.orders[order_id].sends == sends
    assert kinds(outage(scene, ORDER_LIFE_S + 1)) == ["order_sent"]
    order = scene.state.orders[order_id]
    assert (order.sends, (order.expires_at - scene.now).total_seconds()) == (1, ORDER_LIFE_S)
    facts = scene.tick(SEND_AGAIN_S * MOST_SENDS)
    assert kinds(facts) == ["order_sent"] * (MOST_SENDS - 1) + ["assignment_cleared", "unit_linked"]


def test_a_crew_that_could_not_press_its_button_has_its_whole_minute_afterwards() -> None:
    """It was told by radio and drives: its order was delivered, and the broker is back after two minutes."""
    scene, _ = given()
    scene.stage("A1", Stage.DELIVERED)
    outage(scene, 2 * ACCEPT_S)
    scene.tick(ACCEPT_S - 1)
    assert scene.unit_now("A1").status is UnitStatus.DISPATCHED
    scene.tick(1)
    assert scene.incident_now("TK-1").assignments[0].cleared_reason == "not_accepted"


def test_a_deadline_that_is_a_little_late_is_the_same_deadline() -> None:
    scene, order_id = given()
    expires_at = scene.state.orders[order_id].expires_at
    outage(scene, SEND_AGAIN_S + HELD_UP_S - 1)
    assert (scene.state.orders[order_id].sends, scene.state.orders[order_id].expires_at) == (2, expires_at)


def test_a_recall_that_could_not_be_sent_does_not_call_a_crew_off_its_next_work() -> None:
    scene, _ = given()
    scene.do(c.RecallUnits(actor=LOLA, incident_id=IncidentId("TK-1")))
    recall = scene.order_of("A1")
    scene.wait(ORDER_LIFE_S)
    scene.assign(scene.incident(), "A1")
    outage(scene, ORDER_LIFE_S / 2)
    assert scene.state.orders[recall.order_id].expires_at == recall.expires_at < scene.now
    assert scene.order_of("A1").expires_at == scene.now + timedelta(seconds=ORDER_LIFE_S)


def test_an_old_journal_s_repetition_leaves_the_order_its_time() -> None:
    scene, order_id = given()
    later = scene.now + timedelta(seconds=SEND_AGAIN_S)
    old = e.decode(f'{{"kind":"order_sent","order_id":"{order_id}","send_again_at":"{later.isoformat()}"}}'.encode())
    expires_at = scene.state.orders[order_id].expires_at
    evolve(scene.state, old, scene.now)
    assert (scene.state.orders[order_id].sends, scene.state.orders[order_id].expires_at) == (2, expires_at)


def test_an_accepted_order_is_never_sent_again() -> None:
    scene, _ = given()
    scene.stage("A1", Stage.ACCEPTED)
    assert scene.tick(120) == []


def test_a_unit_that_was_given_up_counts_again_once_it_is_heard() -> None:
    scene, _ = given()
    scene.tick(SEND_AGAIN_S * MOST_SENDS)
    scene.stage("A1", Stage.DELIVERED)
    assert scene.unit_now("A1").linked


def test_an_order_whose_time_has_not_come_is_left_alone() -> None:
    scene, order_id = given()
    assert scene.do(c.SendOrder(actor=SYSTEM, order_id=order_id)) == []
    assert scene.do(c.SendOrder(actor=SYSTEM, order_id=OrderId("none"))) == []


def test_deadlines_are_served_in_the_order_of_their_time_within_a_bound() -> None:
    scene = Scene()
    names = [f"A{n:03}" for n in range(AT_ONCE + 5)]
    for name in names:
        scene.unit(name)
        scene.assign(scene.incident(), name)
        scene.wait(0.001)
    scene.wait(SEND_AGAIN_S)
    served = [scene.do(command)[0] for command in due(scene.state, scene.now)]
    assert len(served) == AT_ONCE
    assert [x.order_id for x in served if isinstance(x, e.OrderSent)] == sorted(
        (o.order_id for o in scene.state.orders.values() if o.sends == 2),
        key=lambda order_id: scene.state.orders[order_id].at,
    )
    assert len(list(due(scene.state, scene.now))) == 5


def test_an_entry_of_the_deadlines_whose_order_moved_on_is_dropped() -> None:
    scene, _ = given()
    scene.stage("A1", Stage.ACCEPTED)
    scene.wait(SEND_AGAIN_S)
    assert list(due(scene.state, scene.now)) == [] and next_due(scene.state) is None
