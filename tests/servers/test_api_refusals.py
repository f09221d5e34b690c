"""What stands in the way of a command is said by a code that the served document names: `ApiWorld` compares them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from dispatch.cells.exchange import AidWish
from dispatch.cells.line import Line
from dispatch.cells.peers import KEY_MIN, Peer
from dispatch.core.aid_terms import Wanted
from dispatch.core.state import RegionState
from dispatch.core.terms import Body, IncidentId, Priority, RegionId
from tests.servers.api_world import CHORSU, TK, ApiWorld, api_world

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]
FA = RegionId("UZ-FA")


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        yield running


async def refused(world: ApiWorld, path: str, body: Any, code: str) -> None:
    got = await world.post(path, body, token="dispatcher")
    assert (got.status, got.code) == (409, code), got.raw


async def incident_of(world: ApiWorld, incident_type: str) -> str:
    opened = {"incident_type": incident_type, "location": [{"source": "operator", "point": CHORSU}]}
    got = await world.post("incidents", opened, token="dispatcher")
    assert got.status == 201, got.raw
    return str(got.json["incident_id"])


async def test_nobody_works_on_a_call_that_is_being_handed_over(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    path = f"calls/{call['call_id']}"
    # Fergana is of this cell, and nobody leads it at the moment: the offer stays under way.
    world.engine.replicas.adopt(RegionState(FA))
    given = await world.post(f"{path}/transfer", {"region": FA}, token="taker")
    assert given.json["moving_to"] == FA
    for name, body in (
        *((move, None) for move in ("claim", "answer", "hold", "callback", "abandon")),
        ("classify", {"incident_type": "illness"}),
        ("transfer", {"region": "UZ-SA"}),
        ("close", {"disposition": "test"}),
    ):
        await refused(world, f"{path}/{name}", body, "call_moving")
    seen = await world.post(f"{path}/location", {"source": "operator", "point": CHORSU}, token="dispatcher")
    assert (seen.status, seen.json["location"]["source"]) == (200, "operator"), "where it is may be said all the same"
    incident_id = await incident_of(world, "illness")
    await refused(world, f"incidents/{incident_id}/split", {"call_id": call["call_id"]}, "call_moving")


async def test_who_asks_again_hears_what_was_answered_while_somebody_led_the_region(world: ApiWorld) -> None:
    call, lines = await world.new_call(channel="voice"), world.neighbours.outbox.lines
    assert isinstance(lines, dict)
    path, body = f"calls/{call['call_id']}/transfer", {"region": FA}
    lines[FA] = Line(Peer(name="east", url="http://127.0.0.1:9", key="k" * KEY_MIN, regions=(FA,)))
    first = await world.post(path, body, token="dispatcher", key="k")
    await lines.pop(FA).close()
    again = await world.post(path, body, token="dispatcher", key="k")
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert (await world.post(path, body, token="dispatcher", key="other")).code == "region_unled"


async def test_a_region_that_nobody_leads_is_given_no_call_and_asked_for_no_help(world: ApiWorld) -> None:
    """The call would wait for nobody, where nobody may work on it, until a person took it back."""
    call = await world.new_call(channel="voice")
    await refused(world, f"calls/{call['call_id']}/transfer", {"region": FA}, "region_unled")
    row = (await world.get(f"calls/{call['call_id']}", token="dispatcher")).json
    assert (row.get("moving_to"), row["status"]) == (None, "ringing")
    wish = {"region": FA, "body": "moh", "capability": "bls"}
    await refused(world, f"incidents/{await incident_of(world, 'illness')}/aid", wish, "region_unled")


async def test_an_incident_with_units_on_it_is_neither_closed_nor_merged_nor_given_away(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    call = await world.new_call(incident_type="cardiac_arrest", location=HERE)
    other = await incident_of(world, "illness")
    path = f"incidents/{call['incident_id']}"
    await refused(world, f"{path}/close", {"disposition": "resolved"}, "incident_has_units")
    await refused(world, f"{path}/merge", {"into": other}, "incident_has_units")
    await refused(world, f"calls/{call['call_id']}/transfer", {"region": "UZ-SA"}, "incident_has_units")
    await refused(world, "units/TK-A1/shift", {"on_shift": False}, "unit_on_assignment")
    await refused(world, f"{path}/divert", {"unit_id": "TK-A1"}, "unit_not_on_incident")
    await refused(world, f"incidents/{other}/recall", {"units": ["TK-A1"]}, "unit_not_on_incident")


async def test_what_an_incident_has_already_is_not_done_twice(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    incident_id = await incident_of(world, "illness")
    path = f"incidents/{incident_id}"
    leg = {"body": "mia", "capability": "patrol"}
    assert (await world.post(f"{path}/legs", leg, token="dispatcher")).status == 200
    await refused(world, f"{path}/legs", leg, "leg_exists")
    await refused(world, f"{path}/merge", {"into": incident_id}, "same_incident")
    await refused(world, f"{path}/split", {"call_id": call["call_id"]}, "call_not_joined")


async def test_what_helps_another_region_is_changed_by_that_region_alone(world: ApiWorld) -> None:
    wanted = Wanted(
        request_id=f"{FA}:9:aid", region=FA, incident_id=IncidentId("FA-3"), incident_type="illness",
        priority=Priority.P2, body=Body.MOH, capability="bls", count=1, version=10,
    )  # fmt: skip
    asked = msgspec.json.encode(AidWish(origin=FA, to=TK, wanted=wanted))
    assert (await world.post(f"cells/{TK}/messages", asked, token="cell_fa")).status == 200
    call = await world.new_call(channel="voice")
    own = await incident_of(world, "illness")
    for name, body in (
        ("priority", {"priority": "P1"}),
        ("location", {"source": "operator", "point": CHORSU}),
        ("legs", {"body": "mia", "capability": "patrol"}),
        ("merge", {"into": own}),
        ("split", {"call_id": call["call_id"]}),
        ("aid", {"region": "UZ-SA", "body": "moh", "capability": "bls"}),
    ):
        await refused(world, f"incidents/TK-1/{name}", body, "aid_incident")
    joining = {"incident_type": "illness", "incident_id": "TK-1"}
    await refused(world, f"calls/{call['call_id']}/classify", joining, "aid_incident")


async def test_a_policy_is_not_set_under_a_key_of_another_address(world: ApiWorld) -> None:
    for path, body in (("policy", {"dispatch": "confirm"}), ("phase", {"phase": "parallel"})):
        await world.post("hazards", {"kind": "gas", "point": CHORSU}, token="supervisor", key=path)
        got = await world.call("PUT", f"regions/{TK}/{path}", body, token="supervisor", key=path)
        assert (got.status, got.code) == (422, "idempotency_reuse")


async def test_an_unknown_region_is_answered_with_those_that_there_are(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    for method, path, body in (
        ("GET", "calls?region=UZ-XX", None),
        ("PUT", "regions/UZ-XX/policy", {}),
        ("POST", "incidents", {"incident_type": "illness", "region": "UZ-XX"}),
        ("POST", "hazards", {"kind": "gas", "point": CHORSU, "region": "UZ-XX"}),
        ("POST", f"calls/{call['call_id']}/transfer", {"region": "UZ-XX"}),
    ):
        got = await world.call(method, path, body, token="dispatcher")
        assert got.status in (404, 422)
        assert "No region 'UZ-XX' here. Known: UZ-" in got.json["detail"]


async def test_wrong_tokens_from_one_address_keep_no_valid_device_out(world: ApiWorld) -> None:
    """Behind a balancer or a network's translator everybody has one address."""
    statuses = set()
    for number in range(1_000):
        statuses.add((await world.post("calls", {"channel": "app"}, token=f"nobody {number}")).status)
        if 429 in statuses:
            break
    assert statuses == {401, 429}
    assert (await world.post("calls", {"channel": "app"}, token="device")).status == 201
