"""Hazards by HTTP: who records and reads them, what they refuse, and that their words stay apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dispatch.core.deadlines import due
from dispatch.core.terms import Body
from dispatch.units.wording import order_payload
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld, Got, api_world

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]
BESIDE = [CHORSU[0] + 0.0005, CHORSU[1]]
"""40 m away."""
BEYOND = [60.0, 38.0]
"""Abroad, though within the box about the country: no region is near."""


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        await running.call("PUT", "regions/UZ-TK/policy", {"dispatch": "confirm"}, token="dispatcher")
        await running.unit("TK-A1", Body.MOH, "als", CHORSU)
        yield running


async def recorded(world: ApiWorld, token: str = "dispatcher", key: str | None = None, **fields: Any) -> Got:
    return await world.post("hazards", {"kind": "gas", "point": BESIDE} | fields, token=token, key=key)


async def hazard_of(world: ApiWorld, **fields: Any) -> str:
    got = await recorded(world, **fields)
    assert got.status == 201, got.raw
    return str(got.json["hazard_id"])


async def incident_of(world: ApiWorld) -> str:
    return str((await world.new_call(incident_type="cardiac_arrest", location=HERE))["incident_id"])


async def card(world: ApiWorld, incident_id: str, token: str = "dispatcher") -> Any:
    return (await world.get(f"incidents/{incident_id}", token=token)).json


async def acknowledged(world: ApiWorld, hazard_id: str, incident_id: str, **more: Any) -> Got:
    return await world.post(
        f"hazards/{hazard_id}/acknowledge", {"incident_id": incident_id}, **{"token": "dispatcher"} | more
    )


async def test_units_go_once_every_hazard_is_acknowledged(world: ApiWorld) -> None:
    incident_id, hazard_id = await incident_of(world), await hazard_of(world, radius_m=80, text="hid kuchli")
    send = {"units": ["TK-A1"]}
    refused = await world.post(f"incidents/{incident_id}/assign", send, token="dispatcher")
    assert (refused.status, refused.code) == (409, "hazard_unacknowledged")
    assert hazard_id in refused.json["detail"]
    [shown] = (await card(world, incident_id))["hazards"]
    assert shown["hazard_id"] == hazard_id and shown["text"] == "hid kuchli" and not shown["acknowledged"]
    assert (shown["radius_m"], shown["point"]) == (80, {"type": "Point", "coordinates": BESIDE})
    got = await acknowledged(world, hazard_id, incident_id)
    assert (got.status, got.json["hazard"]["acknowledged_by"]) == (200, "user:dispatcher")
    after = await card(world, incident_id)
    [shown] = after["hazards"]
    assert shown["acknowledged"] and shown["acknowledged_by"] == "user:dispatcher" and shown["acknowledged_at"]
    assert "hazard_acknowledged" in [step["kind"] for step in after["timeline"]]
    assert (await world.post(f"incidents/{incident_id}/assign", send, token="dispatcher")).status == 200


async def test_the_board_flags_an_incident_until_the_hazard_is_acknowledged(world: ApiWorld) -> None:
    incident_id, hazard_id = await incident_of(world), await hazard_of(world)
    [row] = (await world.get("incidents?region=UZ-TK", token="dispatcher")).json["incidents"]
    assert "hazard" in row["flags"]
    assert row["hazards"] == [{"hazard_id": hazard_id, "kind": "gas", "acknowledged": False}]
    await acknowledged(world, hazard_id, incident_id)
    [row] = (await world.get("incidents?region=UZ-TK", token="dispatcher")).json["incidents"]
    assert "hazard" not in row["flags"] and row["hazards"][0]["acknowledged"]


async def test_the_system_sends_help_with_the_hazard_in_the_order(world: ApiWorld) -> None:
    hazard_id = await hazard_of(world, kind="downed_line", text="simlar yerda")
    await world.call("PUT", "regions/UZ-TK/policy", {"dispatch": "automatic"}, token="dispatcher")
    incident_id = await incident_of(world)
    [assignment] = (await card(world, incident_id))["assignments"]
    assert assignment["unacknowledged_hazards"] == [hazard_id]
    state = world.engine.replicas.states[TK]
    [order] = state.orders.values()
    sent = msgspec.json.decode(order_payload(state, order))
    [told] = sent["incident"]["hazards"]
    assert (told["kind"], told["radius_m"], told["acknowledged"]) == ("downed_line", 100.0, False)
    assert b"simlar" not in order_payload(state, order), "words are personal"


async def test_a_hazard_ends_by_itself_or_by_a_word(world: ApiWorld) -> None:
    soon = (world.clock.now() + timedelta(minutes=5)).isoformat()
    passing, standing = await hazard_of(world, until=soon), await hazard_of(world, kind="dog")
    world.clock.advance(300)
    for command in due(world.engine.states[TK], world.clock.now()):
        await world.engine.submit(TK, command)
    listed = (await world.get("hazards", token="dispatcher")).json["hazards"]
    assert [row["hazard_id"] for row in listed] == [standing]
    ended = await world.post(f"hazards/{standing}/end", token="dispatcher", key="over")
    assert (ended.status, ended.json["hazard"]) == (200, None)
    again = await world.post(f"hazards/{standing}/end", token="dispatcher", key="over")
    assert again.raw == ended.raw
    gone = await world.post(f"hazards/{passing}/end", token="dispatcher")
    assert (gone.status, gone.code) == (404, "unknown_hazard")


async def test_the_list_pages_and_names_regions(world: ApiWorld) -> None:
    here = [await hazard_of(world, kind=kind) for kind in ("gas", "dog", "weapon")]
    there = await hazard_of(world, point=REGISTAN)
    found, cursor = [], ""
    for _ in range(3):
        page = (await world.get(f"hazards?limit=2{cursor}", token="dispatcher")).json
        found += [row["hazard_id"] for row in page["hazards"]]
        cursor = f"&cursor={page['next']}"
        if page["next"] is None:
            break
    assert sorted(found) == sorted([*here, there]) and len(found) == 4
    listed = (await world.get("hazards?region=UZ-SA", token="dispatcher")).json["hazards"]
    assert [(row["hazard_id"], row["region"]) for row in listed] == [(there, SA)]
    for query in ("hazards?cursor=abc", "hazards?region=UZ-XX", "hazards?near=1"):
        assert (await world.get(query, token="dispatcher")).code == "invalid_query"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "dragon", "point": BESIDE}, 422, "invalid_body"),
        ({"kind": "gas"}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "radius_m": 0}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "radius_m": 50_000}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "until": "2020-01-01T00:00:00Z"}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "until": "2030-01-01T00:00:00"}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "until": "9999-12-31T23:59:59Z"}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "until": "9999-12-31T23:59:59-23:59"}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE[::-1]}, 422, "outside_country"),
        ({"kind": "gas", "point": BESIDE, "smell": True}, 422, "invalid_body"),
        ({"kind": "gas", "point": BESIDE, "region": "UZ-XX"}, 404, "unknown_region"),
        ({"kind": "gas", "point": BEYOND}, 404, "unknown_region"),
        ({"kind": "gas", "incident_id": "TK-99"}, 404, "unknown_incident"),
    ],
)
async def test_a_hazard_that_cannot_be_meant_is_refused(
    world: ApiWorld, body: dict[str, Any], status: int, code: str
) -> None:
    got = await world.post("hazards", body, token="dispatcher")
    assert (got.status, got.code) == (status, code)
    assert not world.engine.states[TK].hazards


async def test_a_hazard_beyond_the_border_is_kept_by_the_region_that_is_named(world: ApiWorld) -> None:
    got = await recorded(world, point=BEYOND, region=TK)
    assert (got.status, got.json["region"]) == (201, TK)


async def test_who_may_record_read_acknowledge_and_end(world: ApiWorld) -> None:
    incident_id, hazard_id = await incident_of(world), await hazard_of(world)
    for token, allowed in (
        ("taker", True),
        ("moh", True),
        ("planner", False),
        ("device", False),
        ("TK-A1", False),
        ("dispatcher_sa", False),
    ):
        assert (await recorded(world, token)).status == (201 if allowed else 403), token
    for token in ("taker", "moh", "device", "planner", "dispatcher_sa"):
        assert (await acknowledged(world, hazard_id, incident_id, token=token)).status == 403, token
        assert (await world.post(f"hazards/{hazard_id}/end", token=token)).status == 403, token
    assert (await world.get("hazards", token="device")).status == 403
    assert (await world.get("hazards", token="dispatcher_sa")).json["hazards"] == []
    assert len((await world.get("hazards", token="mia")).json["hazards"]) == 3


async def test_words_are_read_by_desks_and_by_the_body_that_wrote_them(world: ApiWorld) -> None:
    hazard_id = await hazard_of(world, token="moh", text="OITS")
    texts = {
        token: (await world.get("hazards", token=token)).json["hazards"][0]["text"]
        for token in ("dispatcher", "moh", "mia", "planner")
    }
    assert texts == {"dispatcher": "OITS", "moh": "OITS", "mia": None, "planner": None}
    events = await world.store.events(TK, 0, 100)
    assert all(b"OITS" not in event.payload for event in events), "words are personal"
    assert hazard_id == f"TK-H{events[-1].seq}"


async def test_a_repeated_key_records_one_hazard(world: ApiWorld) -> None:
    first, again = await recorded(world, key="k-1"), await recorded(world, key="k-1")
    assert first.raw == again.raw and len(world.engine.states[TK].hazards) == 1
    other = await recorded(world, key="k-1", kind="dog")
    assert other.headers["Idempotency-Mismatch"] == "true" and other.raw == first.raw


async def test_an_incident_gives_its_own_place_to_a_hazard(world: ApiWorld) -> None:
    incident_id = await incident_of(world)
    got = await world.post("hazards", {"kind": "weapon", "incident_id": incident_id}, token="taker")
    assert (got.status, got.json["region"], got.json["hazard"]["incident_id"]) == (201, TK, incident_id)
    elsewhere = await acknowledged(world, await hazard_of(world, point=[69.28, 41.32]), incident_id)
    assert (elsewhere.status, elsewhere.code) == (409, "hazard_elsewhere")


async def test_a_hazard_ends_within_ten_years_or_by_hand(world: ApiWorld) -> None:
    got = await recorded(world, until="9999-12-31T23:59:59-14:00")
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/until")
