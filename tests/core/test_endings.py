"""An incident that ends with a crowd of calls: they end with it, in portions, and nobody touches them meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core.deadlines import endings
from dispatch.core.onward_events import EvidenceHeard
from dispatch.core.terms import (
    SYSTEM,
    CallId,
    CallStatus,
    Disposition,
    IncidentId,
    IncidentStatus,
    LocationFix,
    Source,
)
from dispatch.core.verdict import CLOSED_AT_ONCE
from tests.core.scene import LOLA, Scene, place

CROWD = 2 * CLOSED_AT_ONCE + 5


def crowd(scene: Scene, calls: int) -> IncidentId:
    """A fire that so many people have called about."""
    for number in range(calls):
        scene.call(f"c-{number:04}", location=place(), incident_type="smoke")
    (incident_id,) = scene.state.incidents
    return incident_id


def end(scene: Scene, incident_id: IncidentId) -> list[e.Event]:
    asked = c.CloseIncident(actor=LOLA, incident_id=incident_id, disposition=Disposition.FALSE_CALL)
    return scene.do(asked)


def go_on(scene: Scene) -> list[e.Event]:
    """What time asks for once."""
    return [event for command in endings(scene.state) for event in scene.do(command)]


def test_a_few_calls_end_with_their_incident_in_one_fact() -> None:
    scene = Scene()
    incident_id = crowd(scene, CLOSED_AT_ONCE)
    (closed,) = end(scene, incident_id)
    assert isinstance(closed, e.IncidentClosed) and not closed.calls_follow
    assert not scene.state.calls and not scene.state.ending and not endings(scene.state)


def test_a_crowd_of_calls_ends_in_portions_oldest_first_as_of_the_same_time() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    ended_at = scene.now
    end(scene, incident_id)
    assert scene.incident_now(incident_id).status is IncidentStatus.CLOSED
    assert scene.incident_now(incident_id).call_count == CROWD == len(scene.state.calls)
    portions = []
    while endings(scene.state):
        scene.wait(1)
        (portion,) = go_on(scene)
        assert isinstance(portion, e.CallsClosed)
        portions.append(portion.call_ids)
    assert [len(portion) for portion in portions] == [CLOSED_AT_ONCE, CLOSED_AT_ONCE, 5]
    assert [name for portion in portions for name in portion] == [f"c-{n:04}" for n in range(CROWD)]
    call = scene.call_now("c-0000")
    assert (call.status, call.disposition) == (CallStatus.CLOSED, Disposition.FALSE_CALL)
    assert call.closed_at == call.since == ended_at
    assert not scene.state.calls and not scene.state.ending


def test_one_fact_touches_no_more_calls_than_a_portion() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    scene.state.taken()
    end(scene, incident_id)
    assert not scene.state.taken().calls
    go_on(scene)
    assert len(scene.state.taken().calls) == CLOSED_AT_ONCE


def test_a_call_of_an_incident_that_has_ended_counts_as_closed_before_its_turn_comes() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    end(scene, incident_id)
    last = CallId(f"c-{CROWD - 1:04}")
    about: list[c.Command] = [
        c.MoveCall(actor=LOLA, call_id=last, status=CallStatus.ANSWERED),
        c.ClassifyCall(actor=LOLA, call_id=last, incident_type="illness"),
        c.CloseCall(actor=LOLA, call_id=last, disposition=Disposition.ADVICE_ONLY),
        c.SplitCall(actor=LOLA, call_id=last, incident_id=incident_id),
    ]
    assert [scene.refusal(command) for command in about] == ["unknown_call"] * len(about)


def test_evidence_for_a_call_of_an_incident_that_has_ended_comes_too_late() -> None:
    scene = Scene()
    end(scene, crowd(scene, CROWD))
    last = CallId(f"c-{CROWD - 1:04}")
    fix = LocationFix(source=Source.AML, at=scene.now, lat=41.4, lon=69.3)
    told = c.LocateCall(actor=LOLA, call_id=last, fix=fix, location=place(41.4))
    assert scene.refusal(told) == "unknown_call"
    (heard,) = scene.do(replace(told, evidence_id="UZ-TO:7:evidence"))
    assert isinstance(heard, EvidenceHeard) and heard.late == fix
    assert scene.call_now(last).evidence[-1] == fix and scene.call_now(last).location == place()


def test_who_calls_about_it_again_opens_an_incident_of_its_own() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    end(scene, incident_id)
    again = scene.call("c-late", location=place(), incident_type="smoke")
    assert scene.call_now(again).incident_id not in (None, incident_id)


def test_what_was_left_to_close_outlives_a_restart() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    end(scene, incident_id)
    go_on(scene)
    scene.state = snapshot.restore(snapshot.take(scene.state))
    while endings(scene.state):
        go_on(scene)
    assert not scene.state.calls


def test_a_journal_from_before_there_were_portions_closes_every_call_with_its_incident() -> None:
    scene = Scene()
    incident_id = crowd(scene, CROWD)
    old = b'{"kind":"incident_closed","incident_id":"%s","disposition":"false_call"}' % incident_id.encode()
    event = e.decode(old)
    assert isinstance(event, e.IncidentClosed)
    from dispatch.core.evolve import evolve

    evolve(scene.state, event, scene.now)
    assert not scene.state.calls and not scene.state.ending


@pytest.mark.parametrize("unknown", ["TK-999", "TK-1"])
def test_there_is_nothing_to_close_where_nothing_is_ending(unknown: str) -> None:
    scene = Scene()
    crowd(scene, 3)
    assert scene.do(c.CloseCalls(actor=SYSTEM, incident_id=IncidentId(unknown))) == []
