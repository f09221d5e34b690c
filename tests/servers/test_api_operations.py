"""What call takers and dispatchers do by HTTP, and what they are refused, always with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from dispatch.core import verdict
from dispatch.core.terms import Body, IncidentId
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld, Got, api_world

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        yield running


async def by_hand(world: ApiWorld) -> None:
    """The region confirms each recommendation."""
    got = await world.call("PUT", "regions/UZ-TK/policy", {"dispatch": "confirm"}, token="dispatcher")
    assert got.json["policy"] == {"dispatch": "confirm", "attended": False}


async def act(world: ApiWorld, path: str, body: Any = None, token: str = "dispatcher", **more: Any) -> Got:
    return await world.post(path, body, token=token, **more)


async def incident_of(world: ApiWorld, incident_type: str = "cardiac_arrest") -> str:
    call = await world.new_call(incident_type=incident_type, location=HERE)
    return str(call["incident_id"])


async def test_a_call_is_claimed_answered_classified_and_closed(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", location=HERE)
    path = f"calls/{call['call_id']}"
    for name, body, status in (
        ("claim", None, "claimed"),
        ("answer", {}, "answered"),
        ("hold", None, "held"),
        ("answer", None, "answered"),
        ("classify", {"incident_type": "chest_pain", "note": "65 yosh"}, "linked"),
        ("close", {"disposition": "resolved"}, "closed"),
    ):
        got = await act(world, f"{path}/{name}", body, "taker")
        assert (got.status, got.json["status"]) == (200, status), name
    assert got.json["incident_id"] == "TK-1"


async def test_a_call_whose_turn_to_be_closed_has_not_come_after_its_incident_is_closed_for_everybody(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "CLOSED_AT_ONCE", 0)
    call = await world.new_call(incident_type="smoke", location=HERE)
    await act(world, f"incidents/{call['incident_id']}/close", {"disposition": "false_call"})
    assert world.engine.states[TK].ending
    path = f"calls/{call['call_id']}"
    said = [
        await act(world, f"{path}/close", {"disposition": "resolved"}, "taker"),
        await act(world, f"{path}/location", HERE[0], "taker"),
        await act(world, f"{path}/location", HERE[0], "device"),
    ]
    assert [(got.status, got.code) for got in said] == [(409, "illegal_status")] * 3
    assert all("is closed" in got.json["detail"] for got in said)


async def test_a_call_in_one_taker_s_hands_is_not_taken_by_another(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    await act(world, f"calls/{call['call_id']}/claim", token="taker")
    got = await act(world, f"calls/{call['call_id']}/claim", token="dispatcher")
    assert (got.status, got.code) == (409, "call_in_hand")
    assert "user:taker" in got.json["detail"]


async def test_what_is_closed_is_over_and_not_unknown(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    path = f"calls/{call['call_id']}"
    closing = {"disposition": "test"}
    first = await act(world, f"{path}/close", closing, "taker", key="end")
    for name, body in (("claim", None), ("classify", {"incident_type": "illness"}), ("close", closing)):
        got = await act(world, f"{path}/{name}", body, "taker")
        assert (got.status, got.code) == (409, "illegal_status"), name
    assert (await world.post(f"{path}/location", HERE[0])).code == "illegal_status"
    assert (await act(world, f"{path}/close", closing, "taker", key="end")).raw == first.raw
    assert (await act(world, "calls/c-nothing/claim", token="taker")).status == 404


async def test_a_closed_incident_is_over_also_when_memory_has_let_go_of_it(world: ApiWorld) -> None:
    incident_id = await incident_of(world)
    path = f"incidents/{incident_id}"
    assert (await act(world, f"{path}/close", {"disposition": "test"})).status == 200
    for forgotten in (False, True):
        if forgotten:
            world.engine.replicas.states[TK].closed_incidents.clear()
        for name, body in (("notes", {"text": "kech"}), ("hold", {"held": True})):
            got = await act(world, f"{path}/{name}", body)
            assert (got.status, got.code) == (409, "illegal_status"), (name, forgotten)
        assert (await world.get(path, token="dispatcher")).status == 200
    elsewhere = await act(world, f"{path}/notes", {"text": "kech"}, "dispatcher_sa")
    assert elsewhere.status in (403, 404)


async def test_a_status_says_when_the_crew_meant_it_and_what_is_overtaken_is_refused(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    said = {"status": "out_of_service", "status_id": "s-1", "at": world.clock.wall().isoformat()}
    got = await world.post("units/TK-A1/status", said, token="TK-A1")
    assert (got.status, got.json["unit"]["status"]) == (200, "out_of_service")
    await world.post("units/TK-A1/status", {"status": "available"}, token="TK-A1")
    await incident_of(world)
    before = {"status": "available", "at": (world.clock.wall() - timedelta(minutes=10)).isoformat()}
    late = await world.post("units/TK-A1/status", before, token="TK-A1")
    assert (late.status, late.code) == (409, "assignment_over"), "said before it was sent, as over MQTT"
    naive = await world.post("units/TK-A1/status", said | {"at": "2026-01-01T00:00:00"}, token="TK-A1")
    assert (naive.status, naive.code) == (422, "invalid_body")


async def test_an_abandoned_call_is_rung_back(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    await world.post(f"calls/{call['call_id']}/abandon")
    got = await act(world, f"calls/{call['call_id']}/callback", token="taker")
    assert got.json["status"] == "calling_back"


async def test_a_call_is_transferred_to_another_region(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    got = await act(world, f"calls/{call['call_id']}/transfer", {"region": "UZ-SA"}, "taker")
    assert got.json["moving_to"] == "UZ-SA"
    for _ in range(100):
        if call["call_id"] in world.engine.replicas.states[SA].calls:
            break
        await asyncio.sleep(0.02)
    moved = (await world.get(f"calls/{call['call_id']}", token="taker")).json
    assert (moved["region"], moved["status"]) == ("UZ-SA", "ringing")


async def test_a_call_is_transferred_to_a_region_that_there_is(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    got = await act(world, f"calls/{call['call_id']}/transfer", {"region": "UZ-XX"}, "taker")
    assert (got.status, got.code) == (404, "unknown_region")


async def test_an_unknown_type_is_refused_in_classifying_too(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    got = await act(world, f"calls/{call['call_id']}/classify", {"incident_type": "dragon"}, "taker")
    assert (got.status, got.code) == (422, "unknown_incident_type")


async def test_a_closed_call_takes_no_more_commands(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    await act(world, f"calls/{call['call_id']}/close", {"disposition": "test"}, "taker")
    got = await act(world, f"calls/{call['call_id']}/answer", token="taker")
    assert got.status in (404, 409)


async def test_an_incident_without_a_call(world: ApiWorld) -> None:
    body = {"incident_type": "flood", "location": [{"source": "operator", "point": REGISTAN}], "note": "Sel"}
    got = await act(world, "incidents", body, "taker", key="i-1")
    assert (got.status, got.json["incident_id"], got.json["region"]) == (201, "SA-1", "UZ-SA")
    assert (await act(world, "incidents", body, "taker", key="i-1")).raw == got.raw
    card = (await world.get("incidents/SA-1", token="taker")).json
    assert [note["text"] for note in card["notes"]] == ["Sel"]


async def test_a_recommendation_says_who_goes_why_and_why_not_the_others(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    await world.unit("TK-A2", Body.MOH, "als", [69.30, 41.30])
    await world.unit("TK-B1", Body.MOH, "bls", CHORSU)
    incident_id = await incident_of(world)
    got = await world.get(f"incidents/{incident_id}/recommendation", token="dispatcher")
    said = got.json
    assert [unit["unit_id"] for unit in said["chosen"]] == ["TK-A1"]
    assert "nearest_by_road" in {reason["code"] for reason in said["chosen"][0]["reasons"]}
    assert [unit["unit_id"] for unit in said["alternatives"]] == ["TK-A2"]
    passed = {unit["unit_id"]: unit["reason"] for unit in said["passed_over"]}
    assert passed == {"TK-B1": "wrong_capability"}
    assert said["shortfalls"] == []


async def test_an_eta_has_a_range_as_wide_as_the_circle_about_the_place(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", [69.30, 41.30])
    widths, at_worst_s = [], []
    for accuracy_m in (10, 300):
        place = {"source": "app", "point": CHORSU, "accuracy_m": accuracy_m}
        call = await world.new_call(incident_type="chest_pain", location=[place])
        got = await world.get(f"incidents/{call['incident_id']}/recommendation", token="dispatcher")
        (choice,) = got.json["chosen"]
        least_s, most_s = choice["eta_range_s"]
        assert 0 <= least_s < choice["eta_s"] < most_s
        widths.append(most_s - least_s)
        at_worst_s.append(choice["eta_p90_s"])
        assert choice["eta_p90_s"] > choice["eta_s"]
    assert widths[0] < 20 < 100 < widths[1]
    assert at_worst_s[0] < at_worst_s[1]


async def test_an_assignment_says_when_it_is_there_at_the_latest(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", [69.30, 41.30])
    incident_id = await incident_of(world)
    said = (await world.get(f"incidents/{incident_id}/recommendation", token="dispatcher")).json
    body = {"units": ["TK-A1"], "recommendation_id": said["recommendation_id"]}
    got = await act(world, f"incidents/{incident_id}/assign", body, key="a-p90")
    (unit,) = got.json["incident"]["units"]
    (chosen,) = said["chosen"]
    assert unit["eta_p90_s"] == pytest.approx(chosen["eta_p90_s"], abs=0.2)
    assert unit["eta_p90_s"] > unit["eta_s"] == pytest.approx(chosen["eta_s"], abs=0.2)


async def test_a_confirmed_recommendation_sends_its_unit(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    incident_id = await incident_of(world)
    said = (await world.get(f"incidents/{incident_id}/recommendation", token="dispatcher")).json
    body = {"units": ["TK-A1"], "recommendation_id": said["recommendation_id"]}
    got = await act(world, f"incidents/{incident_id}/assign", body, key="a-1")
    assert (got.status, got.json["incident"]["status"]) == (200, "dispatched")
    assert [unit["unit_id"] for unit in got.json["incident"]["units"]] == ["TK-A1"]
    again = await act(world, f"incidents/{incident_id}/assign", body, key="a-1")
    assert again.raw == got.raw
    unit = (await world.get("units/TK-A1", token="dispatcher")).json
    assert (unit["status"], unit["incident_id"]) == ("dispatched", incident_id)


async def test_an_order_that_was_done_is_answered_so_by_whoever_holds_no_recommendation_of_it(world: ApiWorld) -> None:
    """Its leader died before it answered: the same command comes again to one that never recommended anything."""
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    first, second = await incident_of(world), await incident_of(world)
    said = (await world.get(f"incidents/{first}/recommendation", token="dispatcher")).json
    body = {"units": ["TK-A1"], "recommendation_id": said["recommendation_id"]}
    done = await act(world, f"incidents/{first}/assign", body, key="a-1")
    await world.stop()
    await world.start()
    again = await act(world, f"incidents/{first}/assign", body, key="a-1")
    assert (again.status, again.raw) == (done.status, done.raw) == (200, done.raw)
    for path, key in ((first, "a-2"), (second, "a-3"), (first, None)):
        got = await act(world, f"incidents/{path}/assign", body, key=key)
        assert (got.status, got.code) == (409, "unknown_recommendation")
    got = await act(world, f"incidents/{second}/assign", body, key="a-1")
    assert (got.status, got.code) == (422, "idempotency_reuse")


async def test_a_stale_recommendation_is_refused(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    incident_id = await incident_of(world)
    said = (await world.get(f"incidents/{incident_id}/recommendation", token="dispatcher")).json
    world.clock.advance(16)
    body = {"units": ["TK-A1"], "recommendation_id": said["recommendation_id"]}
    got = await act(world, f"incidents/{incident_id}/assign", body)
    assert (got.status, got.code) == (409, "recommendation_stale")


async def test_a_recommendation_counts_for_its_own_incident_only(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    first, second = await incident_of(world), await incident_of(world)
    said = (await world.get(f"incidents/{first}/recommendation", token="dispatcher")).json
    body = {"units": ["TK-A1"], "recommendation_id": said["recommendation_id"]}
    got = await act(world, f"incidents/{second}/assign", body)
    assert (got.status, got.code) == (409, "unknown_recommendation")


async def test_a_unit_that_works_elsewhere_is_refused_with_its_incident(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    first, second = await incident_of(world), await incident_of(world)
    await act(world, f"incidents/{first}/assign", {"units": ["TK-A1"], "reason": "near"})
    got = await act(world, f"incidents/{second}/assign", {"units": ["TK-A1"]})
    assert (got.status, got.code) == (409, "unit_taken")
    assert first in got.json["detail"]


async def test_a_unit_is_recalled_and_diverted(world: ApiWorld) -> None:
    await by_hand(world)
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    first, second = await incident_of(world), await incident_of(world)
    await act(world, f"incidents/{first}/assign", {"units": ["TK-A1"]})
    got = await act(world, f"incidents/{second}/divert", {"unit_id": "TK-A1", "reason": "nearer"})
    assert [unit["unit_id"] for unit in got.json["incident"]["units"]] == ["TK-A1"]
    got = await act(world, f"incidents/{second}/recall", {"units": ["TK-A1"]})
    assert got.json["incident"]["units"] == []


async def test_incidents_are_merged_and_calls_split_out_again(world: ApiWorld) -> None:
    first = await incident_of(world, "illness")
    call = await world.new_call(incident_type="illness", location=HERE)
    second = call["incident_id"]
    assert first != second
    got = await act(world, f"incidents/{second}/merge", {"into": first})
    assert got.json["incident"]["status"] == "closed"
    card = (await world.get(f"incidents/{first}", token="dispatcher")).json
    assert card["call_count"] == 2
    got = await act(world, f"incidents/{first}/split", {"call_id": call["call_id"]})
    assert got.status == 200
    assert (await world.get(f"calls/{call['call_id']}", token="taker")).json["incident_id"] == "TK-3"


async def test_an_incident_is_held_prioritised_placed_widened_and_closed(world: ApiWorld) -> None:
    incident_id = await incident_of(world, "illness")
    path = f"incidents/{incident_id}"
    assert (await act(world, f"{path}/hold")).json["incident"]["held"] is True
    assert (await act(world, f"{path}/hold", {"held": False})).json["incident"]["held"] is False
    raised = await act(world, f"{path}/priority", {"priority": "P1", "reason": "worse"})
    assert raised.json["incident"]["priority"] == "P1"
    placed = await act(world, f"{path}/location", {"source": "operator", "point": [69.26, 41.32]})
    assert placed.json["incident"]["lon"] == 69.26
    wider = await act(world, f"{path}/legs", {"body": "mia", "capability": "patrol"})
    assert {leg["body"] for leg in wider.json["incident"]["legs"]} == {"moh", "mia"}
    closed = await act(world, f"{path}/close", {"disposition": "advice_only"})
    assert closed.json["incident"]["status"] == "closed"
    assert IncidentId(incident_id) in world.engine.replicas.states[TK].closed_incidents


async def test_a_crew_s_report_over_the_radio_moves_its_unit(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    incident_id = await incident_of(world)
    for status in ("acknowledged", "en_route", "on_scene"):
        got = await act(world, "units/TK-A1/status", {"status": status, "status_id": f"s-{status}"})
        assert got.json["unit"]["status"] == status
    repeated = await act(world, "units/TK-A1/status", {"status": "on_scene", "status_id": "s-on_scene"})
    assert repeated.status == 200
    backward = await act(world, "units/TK-A1/status", {"status": "en_route"})
    assert (backward.status, backward.code) == (409, "illegal_status")
    controlled = await act(world, f"incidents/{incident_id}/control")
    assert controlled.json["incident"]["status"] == "under_control"


async def test_a_crew_reports_its_own_unit_and_sees_no_other(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    got = await act(world, "units/TK-A1/status", {"status": "out_of_service"}, "TK-A1")
    assert (got.status, got.json["unit"]["status"]) == (200, "out_of_service")
    assert (await world.get("units/TK-A1", token="TK-A1")).status == 200


RIGHTS = [
    ("TK-A2", "POST", "units/TK-A1/status", {"status": "out_of_service"}),
    ("TK-A2", "GET", "units/TK-A1", None),
    ("TK-A1", "GET", "units", None),
    ("TK-A1", "GET", "incidents/TK-1", None),
    ("TK-A1", "GET", "calls", None),
    ("planner", "POST", "calls", {"channel": "app"}),
    ("mia", "POST", "calls", {"channel": "app"}),
    ("planner", "GET", "calls", None),
    ("mia", "GET", "calls", None),
    ("device", "GET", "calls", None),
    ("device", "GET", "incidents", None),
    ("device", "GET", "units", None),
    ("device", "GET", "queue?region=UZ-TK", None),
    ("taker", "GET", "events?region=UZ-TK", None),
    ("taker", "GET", "contacts", None),
    ("taker", "PUT", "regions/UZ-TK/phase", {"phase": "live"}),
    ("dispatcher", "PUT", "regions/UZ-TK/phase", {"phase": "live"}),
    ("taker", "POST", "incidents/TK-1/assign", {"units": ["TK-A1"]}),
    ("planner", "POST", "incidents/TK-1/close", {"disposition": "test"}),
    ("planner", "POST", "incidents/TK-1/notes", {"text": "x"}),
    ("mia", "POST", "units/TK-A1/status", {"status": "available"}),
    ("dispatcher_sa", "POST", "incidents/TK-1/close", {"disposition": "test"}),
    ("dispatcher_sa", "GET", "incidents/TK-1", None),
    ("dispatcher_sa", "GET", "queue?region=UZ-TK", None),
    ("dispatcher_sa", "PUT", "regions/UZ-TK/policy", {"attended": True}),
    ("mia", "GET", "incidents/TK-1", None),
]


@pytest.mark.parametrize(("token", "method", "path", "body"), RIGHTS)
async def test_each_role_does_only_what_is_its_own(
    world: ApiWorld, token: str, method: str, path: str, body: Any
) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    await incident_of(world)
    before = world.engine.states[TK].seq
    got = await world.call(method, path, body, token=token)
    assert (got.status, got.code) == (403, "out_of_scope")
    assert world.engine.states[TK].seq == before
