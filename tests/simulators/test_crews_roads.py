"""Simulated crews drive by what is closed now: they turn round before a closure that appears ahead of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from dispatch.core.terms import Body, RegionId, UnitId
from routing.geometry import Point, distance_m
from routing.travel import UNREACHABLE, Travel
from simulators.barriers import Barriers
from simulators.client import Client, Counts
from simulators.country import UnitSpec
from simulators.crews import Crew, Crews
from simulators.pace import Pace
from tests.routing.oracle import small_roads
from tests.servers.api_world import CHORSU, ApiWorld, api_world, secret

SPEED = 400.0
LON, LAT = CHORSU
HOME, SCENE = Point(LAT, LON), Point(LAT, LON + 0.02)
PLACES = [HOME, (LAT, LON + 0.01), SCENE, (LAT + 0.01, LON), (LAT + 0.01, LON + 0.02)]
"""Straight on by two streets of 60 s, or around by three of 100 s."""
STREETS = [(0, 1, 60), (1, 2, 60), (0, 3, 100), (3, 4, 100), (4, 2, 100)]


@pytest.fixture
def travel() -> Travel:
    arcs = [(*ends, s * 1000) for a, b, s in STREETS for ends in ((a, b), (b, a))]
    return Travel(small_roads(PLACES, arcs))


def crew_on(travel: Travel, now: datetime | None = None) -> tuple[Crews, Crew]:
    """One crew without a radio: it drives, and says nothing."""
    spec = UnitSpec(
        unit_id=UnitId("TK-A1"), call_sign="A1", region=RegionId("UZ-TK"), body=Body.MOH, kind="car",
        capabilities=("bls",), station="S1", at=HOME,
    )  # fmt: skip
    crews = Crews([spec], "mqtt://nowhere", travel=travel, pace=Pace(SPEED, now or datetime.now(UTC)), seed=1)
    return crews, crews._crews[spec.unit_id]


async def watched(crews: Crews, crew: Crew, at_s: dict[float, Callable[[], None]]) -> list[Point]:
    """Where a drive from home to the scene leads, while things happen after so many service seconds."""
    driving = asyncio.create_task(crews._drive(crew, SCENE, 1.0))
    began_s, places = crews._pace.seconds(), []
    while not driving.done():
        await asyncio.sleep(0.002)
        now_s = crews._pace.seconds() - began_s
        places.append(crew.where(crews._pace.seconds()).at)
        for due_s in [due for due in at_s if due <= now_s]:
            at_s.pop(due_s)()
    await driving
    return [*places, crew.still]


def close(crews: Crews, travel: Travel, node_a: int, node_b: int) -> None:
    ms = travel.roads.ms.copy()
    ends = {node_a, node_b}
    for arc, (tail, head) in enumerate(zip(travel.roads.tail.tolist(), travel.roads.head.tolist(), strict=True)):
        if {tail, head} == ends:
            ms[arc] = UNREACHABLE
    travel.reweigh(ms)
    crews.roads_changed()


def is_on_second_street(place: Point) -> bool:
    return abs(place.lat - LAT) < 1e-4 and LON + 0.0102 < place.lon < LON + 0.0198


async def test_nothing_closed_is_driven_straight_on(travel: Travel) -> None:
    crews, crew = crew_on(travel)
    places = await watched(crews, crew, {})
    assert distance_m(places[-1], SCENE) < 5 and any(map(is_on_second_street, places))
    assert crews.counts["ways_changed"] == 0


async def test_a_crew_turns_round_before_a_closure_that_appears_ahead(travel: Travel) -> None:
    crews, crew = crew_on(travel)
    places = await watched(crews, crew, {30.0: lambda: close(crews, travel, 1, 2)})
    assert distance_m(places[-1], SCENE) < 5
    assert not any(map(is_on_second_street, places)), "nobody drives through"
    assert any(place.lat > LAT + 0.005 for place in places), "it went around"
    assert crews.counts["ways_changed"] == 1


async def test_what_is_closed_beside_the_way_or_behind_changes_nothing(travel: Travel) -> None:
    crews, crew = crew_on(travel)
    places = await watched(crews, crew, {30.0: lambda: close(crews, travel, 3, 4)})
    assert crews.counts["ways_changed"] == 0
    assert all(abs(place.lat - LAT) < 1e-4 for place in places)


async def test_the_way_is_straight_again_once_the_road_is_open(travel: Travel) -> None:
    crews, crew = crew_on(travel)
    close(crews, travel, 1, 2)
    travel.catch_up()

    def opened() -> None:
        travel.reweigh(travel.roads.ms.copy())
        crews.roads_changed()

    await watched(crews, crew, {})
    crew.still = HOME
    opened()
    places = await watched(crews, crew, {})
    assert any(map(is_on_second_street, places))


@pytest.fixture
async def world(travel: Travel) -> AsyncIterator[ApiWorld]:
    async with api_world(roads=travel.roads) as running:
        yield running


async def test_crews_hear_of_a_closure_as_the_service_lists_it(world: ApiWorld, travel: Travel) -> None:
    crews, crew = crew_on(travel, world.clock.now())
    client = Client(world.url, secret("dispatcher"), Counts())
    barriers = Barriers(client, travel, crews._pace)
    barriers.on_change.append(crews.roads_changed)
    try:
        await barriers.look()
        assert travel.weights_version == 1
        line = [[LON + 0.0105, LAT], [LON + 0.0195, LAT]]
        closed = await world.post("closures", {"reason": "a burst main", "line": line}, token="dispatcher")
        assert closed.status == 201
        driving = asyncio.create_task(crews._drive(crew, SCENE, 1.0))
        await asyncio.sleep(0.01)
        await barriers.look()
        assert crews.counts["ways_changed"] == 1
        assert int((travel.ms == UNREACHABLE).sum()) == 2
        await driving
        assert distance_m(crew.still, SCENE) < 5
        await world.call("DELETE", f"closures/{closed.json['closure_id']}", token="dispatcher")
        await barriers.look()
        assert (travel.ms == travel.roads.ms).all()
    finally:
        await client.close()
