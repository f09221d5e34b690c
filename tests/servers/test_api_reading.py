"""Lists, cards, the queue and the journal by HTTP: complete page by page, and each reader sees only its
own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatch.core.terms import Body
from dispatch.store import Store
from tests.servers.api_world import CHORSU, REGISTAN, ApiWorld, api_world, secret

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]
THERE = [{"source": "app", "point": REGISTAN, "accuracy_m": 20}]


@pytest.fixture
async def world(store: Store) -> AsyncIterator[ApiWorld]:
    async with api_world(store) as running:
        yield running


async def pages(world: ApiWorld, path: str, of: str, *, cursor: str | None = None) -> list[dict[str, Any]]:
    """Every row of a list, read to its end from the cursor on."""
    rows: list[dict[str, Any]] = []
    while True:
        got = await world.get(path + (f"&cursor={cursor}" if cursor else ""), token="supervisor")
        assert got.status == 200, got.raw
        rows += got.json[of]
        cursor = got.json["next"]
        if cursor is None:
            return rows


async def test_a_list_gives_every_call_once_newest_first_though_more_come_in(world: ApiWorld) -> None:
    made = []
    for _ in range(7):
        made.append((await world.new_call())["call_id"])
        world.clock.advance(1)
    first = (await world.get("calls?limit=3", token="taker")).json
    await world.new_call()
    rest = await pages(world, "calls?limit=3", "calls", cursor=first["next"])
    assert [row["call_id"] for row in first["calls"] + rest] == made[::-1]


async def test_a_list_is_narrowed_by_region_status_and_incident(world: ApiWorld) -> None:
    joined = await world.new_call(incident_type="illness", location=HERE)
    await world.new_call(location=HERE)
    await world.new_call(location=THERE)
    queued = (await world.get("calls?region=UZ-TK&status=queued", token="taker")).json["calls"]
    assert [row["region"] for row in queued] == ["UZ-TK"]
    of = (await world.get(f"calls?incident_id={joined['incident_id']}", token="taker")).json["calls"]
    assert [row["call_id"] for row in of] == [joined["call_id"]]
    opened = (await world.get("incidents?region=UZ-TK&status=pending_units", token="planner")).json["incidents"]
    assert [row["incident_id"] for row in opened] == ["TK-1"]


async def test_a_list_holds_the_actor_s_own_regions_only(world: ApiWorld) -> None:
    await world.new_call(location=HERE)
    await world.new_call(location=THERE)
    rows = (await world.get("calls", token="dispatcher_sa")).json["calls"]
    assert [row["region"] for row in rows] == ["UZ-SA"]
    assert (await world.get("calls?region=UZ-TK", token="dispatcher_sa")).status == 403


async def test_nothing_personal_is_in_a_list(world: ApiWorld) -> None:
    await world.new_call(caller={"number": "+998901234567", "name": "Aziza"}, text="Yordam", location=HERE)
    raw = (await world.get("calls", token="taker")).raw
    assert b"901234567" not in raw
    assert b"Aziza" not in raw
    assert b"Yordam" not in raw


async def test_a_body_sees_the_incidents_that_it_has_a_part_in(world: ApiWorld) -> None:
    await world.new_call(incident_type="cardiac_arrest", location=HERE)
    await world.new_call(incident_type="theft", location=HERE)
    seen = {
        body: [r["incident_type"] for r in (await world.get("incidents", token=body)).json["incidents"]]
        for body in ("mia", "moh")
    }
    assert seen == {"mia": ["theft"], "moh": ["cardiac_arrest"]}


async def test_police_do_not_read_medical_notes(world: ApiWorld) -> None:
    call = await world.new_call(incident_type="assault", location=HERE)
    path = f"incidents/{call['incident_id']}"
    await world.post(f"{path}/notes", {"text": "HIV"}, token="moh")
    await world.post(f"{path}/notes", {"text": "armed"}, token="mia")
    read = {
        token: [note["text"] for note in (await world.get(path, token=token)).json["notes"]]
        for token in ("mia", "moh", "dispatcher", "planner")
    }
    assert read == {"mia": ["armed"], "moh": ["HIV"], "dispatcher": ["HIV", "armed"], "planner": []}


async def test_a_body_s_people_see_no_calls_on_an_incident_s_card(world: ApiWorld) -> None:
    call = await world.new_call(incident_type="assault", location=HERE)
    card = (await world.get(f"incidents/{call['incident_id']}", token="mia")).json
    assert (card["calls"], card["evidence"], card["call_count"]) == ([], [], 1)


async def test_an_incident_s_card_tells_what_happened_in_order(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    call = await world.new_call(incident_type="cardiac_arrest", location=HERE)
    for status in ("acknowledged", "en_route", "on_scene"):
        world.clock.advance(30)
        await world.post("units/TK-A1/status", {"status": status}, token="dispatcher")
    card = (await world.get(f"incidents/{call['incident_id']}", token="planner")).json
    kinds = [row["kind"] for row in card["timeline"]]
    assert kinds[-3:] == ["order_accepted", "en_route", "on_scene"]
    assert set(kinds[:3]) == {"opened", "call", "assigned"}
    assert [a["status"] for a in card["assignments"]] == ["on_scene"]
    assert [c["call_id"] for c in card["calls"]] == [call["call_id"]]


async def test_a_unit_s_position_has_its_age_in_wall_seconds(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    world.clock.advance(42)
    row = (await world.get("units?region=UZ-TK&body=moh", token="mia")).status
    assert row == 403
    unit = (await world.get("units/TK-A1", token="moh")).json
    assert unit["position"]["age_s"] == 42
    assert unit["position"]["point"]["coordinates"] == CHORSU


async def test_the_queue_is_most_urgent_first_and_pages(world: ApiWorld) -> None:
    for kind in ("illness", "cardiac_arrest", "theft", "robbery", "gas_smell"):
        await world.new_call(incident_type=kind, location=THERE)
        await world.new_call(channel="voice", location=THERE)
        world.clock.advance(1)
    rows = await pages(world, "queue?region=UZ-SA&limit=2", "incidents")
    assert [row["priority"] for row in rows] == ["P1", "P1", "P2", "P3", "P3"]
    calls = await pages(world, "queue?region=UZ-SA&limit=2", "calls")
    assert len({row["call_id"] for row in calls}) == len(calls) == 5
    got = (await world.get("queue?region=UZ-SA", token="taker")).json
    assert got["counts"]["waiting"] == {"P1": 2, "P2": 1, "P3": 2, "P4": 0}


async def test_the_journal_is_read_without_gaps(world: ApiWorld) -> None:
    for _ in range(5):
        await world.new_call(location=THERE)
    seqs: list[int] = []
    after: int | None = 0
    while after is not None:
        got = (await world.get(f"events?region=UZ-SA&after={after}&limit=2", token="supervisor")).json
        seqs += [event["seq"] for event in got["events"]]
        after = got["next"]
    assert seqs == [1, 2, 3, 4, 5]


async def test_what_was_closed_long_ago_is_still_found(world: ApiWorld) -> None:
    call = await world.new_call(incident_type="illness", location=HERE)
    await world.post(f"incidents/{call['incident_id']}/close", {"disposition": "advice_only"}, token="dispatcher")
    for state in world.engine.replicas.states.values():
        state.closed_calls.clear()
        state.closed_incidents.clear()
    got = await world.get(f"incidents/{call['incident_id']}", token="dispatcher")
    assert (got.status, got.json["disposition"]) == (200, "advice_only")
    assert [c["call_id"] for c in got.json["calls"]] == [call["call_id"]]
    old = await world.get(f"calls/{call['call_id']}", token="taker")
    assert (old.status, old.json["status"]) == (200, "closed")
    assert (await world.get(f"calls/{call['call_id']}", token="dispatcher_sa")).status == 403
    assert (await world.get(f"calls/{call['call_id']}", token="device_sa")).status == 404


async def test_figures_name_the_rule_that_they_are_measured_by(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", location=HERE)
    world.clock.advance(12)
    await world.post(f"calls/{call['call_id']}/answer", token="taker")
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    world.clock.advance(30)
    body = {"incident_type": "cardiac_arrest"}
    await world.post(f"calls/{call['call_id']}/classify", body, token="taker")
    got = (await world.get("kpi?region=UZ-TK&rule=NFPA-1225", token="dispatcher")).json
    assert [(r["figure"], r["within_s"], r["percent"], r["met"]) for r in got["rules"]] == [
        ("answer", 10, 0.0, False),
        ("dispatch", 60, 100.0, True),
    ]
    assert (got["waits"]["answer"]["mean_s"], got["waits"]["dispatch"]["mean_s"]) == (12, 30)


async def test_regions_tell_how_they_work(world: ApiWorld) -> None:
    await world.call("PUT", "regions/UZ-TK/policy", {"attended": True}, token="dispatcher")
    await world.call("PUT", "regions/UZ-TK/phase", {"phase": "parallel"}, token="supervisor")
    shown = {r["region"]: r for r in (await world.get("regions")).json["regions"]}
    assert shown["UZ-TK"]["policy"] == {"dispatch": "automatic", "attended": True}
    assert (shown["UZ-TK"]["phase"], shown["UZ-SA"]["phase"]) == ("parallel", "live")
    assert shown["UZ-SA"]["names"]["ru"]


async def test_places_are_found_in_any_script_and_those_near_come_first(world: ApiWorld) -> None:
    for text in ("Samarqand", "самарканд", "САМАРҚАНД"):
        got = (await world.get(f"places?q={text}", token="taker")).json["places"]
        assert got[0]["region"] == "UZ-SA"
    near = (await world.get("places?q=Yunusobod&near=41.31,69.25&limit=1", token="taker")).json["places"]
    assert near[0]["region"] == "UZ-TK"


async def followed(world: ApiWorld, call_id: str, count: int, token: str = "device") -> list[Any]:
    """The first events of a call's stream."""
    found: list[Any] = []
    headers = {"Authorization": f"Bearer {secret(token)}"}
    url = f"{world.url}/api/v1/calls/{call_id}/stream"
    async with world.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        name = ""
        async for line in response.content:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                found.append((name, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_an_app_follows_its_call_until_help_comes_and_the_end(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    call = await world.new_call(location=HERE)
    following = asyncio.create_task(followed(world, call["call_id"], 4))
    await asyncio.sleep(0.4)
    body = {"incident_type": "cardiac_arrest"}
    await world.post(f"calls/{call['call_id']}/classify", body, token="taker")
    await asyncio.sleep(0.4)
    await world.post("units/TK-A1/status", {"status": "on_scene"}, token="dispatcher")
    await world.post("units/TK-A1/status", {"status": "available"}, token="dispatcher")
    events = await asyncio.wait_for(following, 60)
    states = [data for name, data in events if name == "state"]
    assert states[0]["status"] == "queued"
    assert states[1]["help"][0]["call_sign"] == "A1"
    assert states[1]["help"][0]["eta_s"] is not None
    assert [name for name, _ in events][-1] == "end"
    assert states[-1]["status"] == "closed"


async def test_nobody_follows_somebody_else_s_call(world: ApiWorld) -> None:
    call = await world.new_call()
    got = await world.get(f"calls/{call['call_id']}/stream", token="device_sa")
    assert (got.status, got.code) == (404, "unknown_call")
    assert (await world.get(f"calls/{call['call_id']}", token="device")).status == 200
    assert (await world.get(f"calls/{call['call_id']}", token="device_sa")).status == 404
