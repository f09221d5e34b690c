"""Streets closed by their names on an imported map: found in any script, never guessed, exactly the stretch that was
said; and what boards show of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shapely

from consoles.board import VIEWS, Board
from consoles.closure_rows import closure_row
from consoles.drawing import STREET_RADIUS_M
from consoles.feed import merge
from consoles.streets import StreetPart, Stretch, length_m, stretch_of
from dispatch.calling.locating import Locator
from dispatch.core.terms import RegionId
from dispatch.web.problems import Problem
from routing import mapfolder
from routing.boundaries import Boundary
from routing.districts import Districts
from routing.gazetteer import load
from routing.geometry import to_lonlat
from routing.named import NamedStreets
from routing.regions import Regions
from routing.travel import warm
from tests.routing.avenue import AVENUE, BOBUR, NAVOIY, avenue_map
from tests.routing.test_named import at
from tests.servers.api_world import ApiWorld, Got, api_world

ON_IT, SAMARKAND = to_lonlat(at(0, 5)), [66.974, 39.656]
HERE = {"name": AVENUE, "near": ON_IT}
CUT = {**HERE, "between": [NAVOIY, BOBUR]}


@pytest.fixture(scope="module")
def map_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warm()
    return avenue_map(tmp_path_factory.mktemp("avenue"))


@pytest.fixture
async def world(map_dir: Path) -> AsyncIterator[ApiWorld]:
    async with api_world(map_dir=map_dir) as running:
        yield running


async def preview(world: ApiWorld, token: str = "dispatcher", **said: Any) -> Got:
    return await world.post("closures/preview", said, token=token)


async def close(world: ApiWorld, street: dict[str, Any], token: str = "dispatcher", **said: Any) -> Got:
    return await world.post("closures", {"reason": "a fair", "street": street, **said}, token=token)


@pytest.mark.parametrize(
    "name",
    [AVENUE, "amir temur", "Амир Темур шоҳ кўчаси", "проспект Амира Темура", "Amir Temur shoh ko'chasi, Toshkent"],
)
async def test_a_street_is_found_by_its_name_in_any_script(world: ApiWorld, name: str) -> None:
    got = await preview(world, street={"name": name, "near": ON_IT})
    assert got.status == 200, got.json
    assert (got.json["street"], got.json["region"]) == (AVENUE, "UZ-TK")
    assert got.json["meets"] == [NAVOIY, BOBUR]
    assert len(got.json["more"]) == 1 and got.json["metres"] == pytest.approx(2 * 1677, rel=0.02)


async def test_a_name_in_two_towns_is_asked_back_and_a_choice_taken(world: ApiWorld) -> None:
    asked = await close(world, {"name": AVENUE})
    assert (asked.status, asked.code) == (422, "street_ambiguous")
    choices = asked.json["choices"]
    assert {choice["name"] for choice in choices} == {AVENUE} and len(choices) == 2
    assert "Samarqand" in choices[1]["where"]["uz-Latn"] and "Самарканд" in choices[1]["where"]["ru"]
    assert (await world.get("closures", token="taker")).json["closures"] == []
    for choice, region in zip(choices, ("UZ-TK", "UZ-SA"), strict=True):
        took = await close(world, {"name": choice["name"], "near": choice["point"]})
        assert (took.status, took.json["region"]) == (201, region)
        assert took.json["metres"] == pytest.approx(choice["metres"], rel=0.01)


async def test_nobody_is_asked_to_choose_what_would_be_refused(world: ApiWorld) -> None:
    asked = await preview(world, "dispatcher_sa", street={"name": AVENUE})
    assert asked.code == "street_ambiguous" and len(asked.json["choices"]) == 1
    choice = asked.json["choices"][0]
    took = await preview(world, "dispatcher_sa", street={"name": choice["name"], "near": choice["point"]})
    assert (took.status, took.json["region"]) == (200, "UZ-SA")
    elsewhere = await preview(world, "supervisor_to", street={"name": AVENUE})
    assert (elsewhere.status, elsewhere.code) == (403, "out_of_scope")


async def test_the_town_in_the_words_tells_streets_apart(world: ApiWorld) -> None:
    got = await preview(world, street={"name": f"{AVENUE}, Samarqand"})
    assert (got.status, got.json["region"]) == (200, "UZ-SA")


async def test_a_stretch_between_crossings_closes_both_carriageways_and_no_other_road(world: ApiWorld) -> None:
    got = await close(world, CUT)
    assert got.status == 201, got.json
    closure = got.json["closure"]
    assert (got.json["streets"], closure["street"]) == (2, f"{AVENUE} ({NAVOIY} – {BOBUR})")
    assert closure["place"]["uz-Latn"].startswith("Toshkent") and len(closure["more"]) == 1
    assert got.json["metres"] == pytest.approx(2 * 671, rel=0.02)
    one_way = await preview(world, street=CUT, direction="ahead")
    assert one_way.json["streets"] == 1
    back = await preview(world, street={**HERE, "between": [BOBUR, NAVOIY]}, direction="ahead")
    assert back.json["streets"] == 1 and back.json["line"] != one_way.json["line"]


async def test_a_stretch_near_a_place_or_in_a_district(world: ApiWorld) -> None:
    near = await preview(world, street={**HERE, "within_m": 100})
    assert near.status == 200 and len(near.json["line"]) == 2
    district = await preview(world, street={**HERE, "district": "Юнусабадский район"})
    lons = [lon for line in (district.json["line"], *district.json["more"]) for lon, _ in line]
    assert max(lons) == pytest.approx(ON_IT[0], abs=1e-4) and min(lons) == pytest.approx(to_lonlat(at(0, 0))[0])


def test_of_districts_of_one_name_the_one_that_the_street_meets_is_meant_or_there_is_a_choice(map_dir: Path) -> None:
    found = mapfolder.load(map_dir)
    named, places = NamedStreets(found.roads, found.names), load([map_dir])

    def stretch(district: Any, *outlines: tuple[str, float, float]) -> Stretch:
        known = Districts([Boundary(_box(west, east), name, "", {"uz": name}) for name, west, east in outlines])
        part = msgspec.convert({**HERE, "district": district}, StreetPart)
        return stretch_of(part, named, Locator(Regions(districts=known), places))

    town, around, far = ("Zamin shahri", -1.0, 5.0), ("Zamin tumani", 5.0, 11.0), ("Zamin tumani", 40.0, 50.0)
    assert len(stretch("Zamin", town, far).lines) == 2
    with pytest.raises(Problem) as raised:
        stretch("Zamin", town, around, far)
    assert raised.value.code == "district_ambiguous"
    assert [choice.name for choice in raised.value.choices] == ["Zamin shahri", "Zamin tumani"]
    for choice in raised.value.choices:
        chosen = stretch(list(choice.point), town, around, far)
        assert length_m(chosen.lines) == pytest.approx(choice.metres, abs=1)
    with pytest.raises(Problem) as raised:
        stretch(SAMARKAND, town, around, far)
    assert raised.value.code == "unknown_district"


def _box(west: float, east: float) -> shapely.Geometry:
    """An area about the avenue, between two columns."""
    (left, bottom), (right, top) = to_lonlat(at(-5, west)), to_lonlat(at(5, east))
    return shapely.box(left, bottom, right, top)


@pytest.mark.parametrize(
    ("street", "status", "code", "pointer"),
    [
        ({"name": "Shota Rustaveli koʻchasi"}, 404, "unknown_street", "/street/name"),
        ({"name": AVENUE, "near": [60.6, 41.5]}, 404, "unknown_street", "/street/name"),
        ({**HERE, "between": [NAVOIY, "Mustaqillik koʻchasi"]}, 422, "no_such_crossing", "/street/between/1"),
        ({**HERE, "between": [SAMARKAND, BOBUR]}, 422, "no_road_there", "/street/between/0"),
        ({**HERE, "between": [ON_IT, ON_IT]}, 422, "no_road_there", "/street/between"),
        ({**HERE, "between": [[2.35, 48.85], BOBUR]}, 422, "outside_country", "/street/between/0"),
        ({**HERE, "district": "Chilonzor"}, 404, "unknown_district", "/street/district"),
        ({**HERE, "district": SAMARKAND}, 404, "unknown_district", "/street/district"),
        ({**HERE, "district": [2.35, 48.85]}, 422, "outside_country", "/street/district"),
        ({"name": AVENUE, "near": SAMARKAND, "district": "Yunusobod"}, 422, "no_road_there", "/street/district"),
        ({"name": AVENUE, "within_m": 50}, 422, "invalid_body", "/street"),
        ({**CUT, "within_m": 50}, 422, "invalid_body", "/street"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_place_of_the_mistake(
    world: ApiWorld, street: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    got = await close(world, street)
    assert (got.status, got.code, got.json["errors"][0]["pointer"]) == (status, code, pointer), got.json
    assert (await world.get("closures", token="taker")).json["closures"] == []


async def test_a_crossing_that_is_none_is_answered_with_those_that_are(world: ApiWorld) -> None:
    got = await preview(world, street={**HERE, "between": [NAVOIY, "Mustaqillik koʻchasi"]})
    assert f"which meets {NAVOIY}, {BOBUR}" in got.json["detail"]


async def test_a_name_with_a_slip_is_offered_and_one_of_another_street_is_not(world: ApiWorld) -> None:
    got = await preview(world, street={"name": "Bobuur kochasi"})
    found = got.json if got.status == 200 else got.json["choices"][0]
    assert BOBUR in (found.get("street"), found.get("name"))


@pytest.mark.parametrize("said", [{"street": HERE}, {"road": to_lonlat(at(-1, 2))}, {"point": ON_IT}])
async def test_one_direction_of_what_has_no_ends_is_no_direction(world: ApiWorld, said: dict[str, Any]) -> None:
    got = await preview(world, **said, direction="ahead")
    assert (got.status, got.code, got.json["errors"][0]["pointer"]) == (422, "invalid_body", "/direction")


async def test_a_position_on_a_road_means_the_piece_between_its_crossings(world: ApiWorld) -> None:
    got = await preview(world, road=to_lonlat(at(-1, 2)))
    assert (got.status, got.json["streets"]) == (200, 2) and got.json["metres"] == pytest.approx(445, rel=0.02)
    assert got.json["radius_m"] == STREET_RADIUS_M
    off = await preview(world, road=to_lonlat(at(-1, 4)))
    assert (off.status, off.code) == (422, "no_road_there")


async def test_a_road_of_the_map_is_closed_without_the_lane_beside_it(world: ApiWorld) -> None:
    """The lane runs 16 m south of the avenue."""
    for said in ({"road": to_lonlat(at(0, 5))}, {"between": [to_lonlat(at(0, 4)), to_lonlat(at(0, 6))]}):
        got = await preview(world, **said)
        assert (got.status, got.json["streets"], got.json["radius_m"]) == (200, 1, STREET_RADIUS_M), got.json


async def test_a_preview_closes_nothing_and_is_for_those_who_may_close(world: ApiWorld) -> None:
    assert (await preview(world, street=CUT)).status == 200
    assert (await world.get("closures", token="taker")).json["closures"] == []
    assert (await preview(world, "taker", street=CUT)).code == "out_of_scope"
    assert (await preview(world, "dispatcher_sa", street=CUT)).code == "out_of_scope"


async def test_a_map_without_names_says_so() -> None:
    async with api_world() as world:
        got = await close(world, {"name": AVENUE})
        assert (got.status, got.code) == (409, "no_street_names")


async def test_boards_follow_closures_in_every_view_and_equal_a_fresh_one(world: ApiWorld) -> None:
    state = world.engine.replicas.states[RegionId("UZ-TK")]
    boards = {view: Board(view) for view in VIEWS}
    shown = {view: board.snapshot(state) for view, board in boards.items()}
    closed = (await close(world, CUT, factor=3)).json["closure"]
    for step in ("closed", "opened"):
        for view, board in boards.items():
            merge(shown[view], board.changes(state, state.touched))
            assert shown[view] == Board(view).snapshot(state)
            listed = {**closed}
            del listed["by"]  # nothing personal is on a board
            rows = [listed] if step == "closed" else []
            assert msgspec.to_builtins(list(shown[view]["closures"].values())) == rows
        if step == "closed":
            kept = state.closures[next(iter(state.closures))]
            assert closure_row(state.region, kept).factor == 3
            await world.call("DELETE", f"closures/{closed['closure_id']}", token="dispatcher")
