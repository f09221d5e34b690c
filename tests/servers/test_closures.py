"""Roads closed by HTTP: drawn, refused with the reason, obeyed by the next recommendation, kept over a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dispatch.core.terms import Body
from routing.roads import Roads
from routing.travel import warm
from tests.routing.oracle import small_roads
from tests.servers.api_world import CHORSU, REGISTAN, ApiWorld, Got, api_world

LON, LAT = CHORSU
WEST, EAST = [LON - 0.012, LAT], [LON + 0.02, LAT]
STREET = [[LON - 0.0115, LAT], [LON - 0.0005, LAT]]
HERE = [{"source": "app", "point": [LON + 0.0001, LAT], "accuracy_m": 5}]


def bazaar() -> Roads:
    """A unit to the west of the bazaar, 100 s by the street and 900 s around; another one to the east, 200 s."""
    places = [WEST, CHORSU, EAST, [LON - 0.012, LAT + 0.02], [LON, LAT + 0.02]]
    streets = [(0, 1, 100), (1, 2, 200), (0, 3, 300), (3, 4, 300), (4, 1, 300)]
    arcs = [(*ends, s * 1000) for a, b, s in streets for ends in ((a, b), (b, a))]
    return small_roads([(lat, lon) for lon, lat in places], arcs)


@pytest.fixture(scope="module", autouse=True)
def compiled_loops() -> None:
    """As at a start: what compiles within a request holds the loop for longer than a lease."""
    warm()


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world(roads=bazaar()) as running:
        yield running


async def staffed(world: ApiWorld) -> str:
    """Two ambulances, and an incident that waits for a person's word."""
    await world.call("PUT", "regions/UZ-TK/policy", {"dispatch": "confirm"}, token="dispatcher")
    await world.unit("TK-A1", Body.MOH, "als", WEST)
    await world.unit("TK-A2", Body.MOH, "als", EAST)
    return str((await world.new_call(incident_type="cardiac_arrest", location=HERE))["incident_id"])


async def advised(world: ApiWorld, incident_id: str) -> list[str]:
    """The units in the order in which they are advised."""
    said = (await world.get(f"incidents/{incident_id}/recommendation", token="dispatcher")).json
    return [unit["unit_id"] for unit in [*said["chosen"], *said["alternatives"]]]


async def close(world: ApiWorld, token: str = "dispatcher", key: str | None = None, **said: Any) -> Got:
    more = {"key": key} if key is not None else {}
    return await world.post("closures", {"reason": "a burst main", **said}, token=token, **more)


async def listed(world: ApiWorld, token: str = "taker") -> list[dict[str, Any]]:
    found = (await world.get("closures", token=token)).json["closures"]
    assert isinstance(found, list)
    return found


async def test_the_first_recommendation_after_a_closure_avoids_it(world: ApiWorld) -> None:
    incident_id = await staffed(world)
    assert await advised(world, incident_id) == ["TK-A1", "TK-A2"]
    got = await close(world, line=STREET)
    assert (got.status, got.json["streets"], got.json["region"]) == (201, 2, "UZ-TK")
    assert await advised(world, incident_id) == ["TK-A2", "TK-A1"]


async def test_what_a_decision_looked_at_names_the_weights(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "als", WEST)
    await close(world, line=STREET)
    await world.new_call(incident_type="cardiac_arrest", location=HERE)
    await world.engine.drained()
    kept = list(world.store._decisions.values())  # type: ignore[attr-defined]
    looked_at = [msgspec.msgpack.decode(inputs.inputs) for inputs in kept]
    assert any(2 in _values(each, "weights_version") for each in looked_at), looked_at


def _values(value: Any, name: str) -> list[Any]:
    """Every value of that name anywhere in a document."""
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == name] + [f for v in value.values() for f in _values(v, name)]
    return [found for each in value for found in _values(each, name)] if isinstance(value, list) else []


async def test_a_closure_survives_a_restart(world: ApiWorld) -> None:
    incident_id = await staffed(world)
    closure = (await close(world, line=STREET, reason="snow on the pass")).json["closure"]
    await world.stop()
    await world.start()
    assert await listed(world) == [closure]
    for unit, at in (("TK-A1", WEST), ("TK-A2", EAST)):
        world.seen_at(unit, at)
    assert await advised(world, incident_id) == ["TK-A2", "TK-A1"]


async def test_a_slow_street_is_slower_by_its_factor_and_an_opened_one_as_it_was(world: ApiWorld) -> None:
    incident_id = await staffed(world)
    slow = (await close(world, line=STREET, factor=3)).json
    assert await advised(world, incident_id) == ["TK-A2", "TK-A1"]
    opened = await world.call("DELETE", f"closures/{slow['closure_id']}", token="supervisor")
    assert (opened.status, opened.json["closure_id"]) == (200, slow["closure_id"])
    assert await advised(world, incident_id) == ["TK-A1", "TK-A2"]
    assert await listed(world) == []
    again = await world.call("DELETE", f"closures/{slow['closure_id']}", token="supervisor")
    assert (again.status, again.code) == (404, "unknown_closure")


async def test_a_closure_ends_by_itself(world: ApiWorld) -> None:
    incident_id = await staffed(world)
    now = world.clock.now()
    await close(world, line=STREET, until=(now + timedelta(minutes=10)).isoformat())
    assert await advised(world, incident_id) == ["TK-A2", "TK-A1"]
    world.clock.advance(601)
    assert world.live_roads is not None
    world.live_roads.look()
    assert await listed(world) == []
    for unit, at in (("TK-A1", WEST), ("TK-A2", EAST)):
        world.seen_at(unit, at)
    assert await advised(world, incident_id) == ["TK-A1", "TK-A2"]


async def test_a_closure_between_two_positions_lies_on_the_road_between_them(world: ApiWorld) -> None:
    got = await close(world, between=[[LON - 0.011, LAT], [LON - 0.001, LAT]])
    assert got.status == 201 and got.json["streets"] == 2
    line = got.json["closure"]["line"]
    assert line[0] == pytest.approx([LON - 0.011, LAT], abs=1e-4)
    assert line[-1] == pytest.approx([LON - 0.001, LAT], abs=1e-4)


async def test_a_road_that_is_closed_already_is_found_again_between_the_same_positions(world: ApiWorld) -> None:
    ends = [[LON - 0.011, LAT], [LON - 0.001, LAT]]
    first = await close(world, key="c-1", between=ends)
    again = await close(world, key="c-1", between=ends)
    other = await close(world, between=ends, factor=2)
    assert again.raw == first.raw and other.json["closure"]["line"] == first.json["closure"]["line"]
    far = await close(world, between=[CHORSU, REGISTAN])
    assert (far.status, far.code) == (422, "invalid_body")


async def test_a_point_closes_what_comes_near_it(world: ApiWorld) -> None:
    got = await close(world, point=[LON - 0.006, LAT + 0.0001], radius_m=50)
    assert (got.status, got.json["streets"], got.json["closure"]["radius_m"]) == (201, 2, 50)


@pytest.mark.parametrize(
    ("said", "status", "code", "pointer"),
    [
        ({}, 422, "invalid_body", ""),
        ({"line": STREET, "point": CHORSU}, 422, "invalid_body", ""),
        ({"line": STREET, "factor": 0.5}, 422, "invalid_body", "/factor"),
        ({"line": STREET, "radius_m": 0}, 422, "invalid_body", "/radius_m"),
        ({"line": [CHORSU]}, 422, "invalid_body", "/line"),
        ({"line": STREET, "reason": ""}, 422, "invalid_body", "/reason"),
        ({"line": [[41.3, 69.2], CHORSU]}, 422, "outside_country", "/line/0"),
        ({"point": [2.35, 48.85]}, 422, "outside_country", "/point"),
        ({"line": [[LON + 0.01, LAT + 0.01], [LON + 0.011, LAT + 0.01]]}, 422, "no_road_there", "/line"),
        ({"line": STREET, "until": "2020-01-01T00:00:00Z"}, 409, "closure_over", None),
    ],
)
async def test_a_drawing_that_cannot_be_right_is_refused_with_the_place_of_the_mistake(
    world: ApiWorld, said: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    got = await close(world, **said)
    assert (got.status, got.code) == (status, code), got.json
    assert pointer is None or [fault["pointer"] for fault in got.json["errors"]] == [pointer]
    assert await listed(world) == []


async def test_only_those_who_send_units_close_roads_and_only_in_their_regions(world: ApiWorld) -> None:
    for token in ("taker", "planner", "mia", "device", "TK-A1"):
        assert (await close(world, token, line=STREET)).code == "out_of_scope"
    assert (await close(world, "dispatcher_sa", line=STREET)).code == "out_of_scope"
    closed = (await close(world, "admin", line=STREET)).json
    refused = await world.call("DELETE", f"closures/{closed['closure_id']}", token="dispatcher_sa")
    assert (refused.status, refused.code) == (403, "out_of_scope")
    assert await listed(world, "dispatcher_sa") == []
    assert len(await listed(world, "mia")) == 1
    assert (await world.get("closures?region=UZ-SA", token="taker")).json["closures"] == []


async def test_a_repeated_key_gives_the_first_answer_and_one_closure(world: ApiWorld) -> None:
    first = await close(world, key="c-1", line=STREET)
    second = await close(world, key="c-1", line=STREET)
    assert first.raw == second.raw and len(await listed(world)) == 1


async def test_without_a_map_a_closure_is_kept_as_it_was_drawn() -> None:
    async with api_world() as world:
        got = await close(world, line=[REGISTAN, [66.98, 39.66]])
        assert (got.status, got.json["streets"], got.json["region"]) == (201, None, "UZ-SA")
        assert [row["line"] for row in await listed(world)] == [[REGISTAN, [66.98, 39.66]]]
