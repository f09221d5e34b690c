"""What tags mean for driving: each rule of the OpenStreetMap wiki that we rely on, as values in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import tags
from routing.profiles import EXCEPTED, FREE, GATE, SIGN, WALL
from routing.tags import Limit, Street


def street(**said: str) -> Street:
    found = tags.street({"highway": "residential", **{key.replace("__", ":"): value for key, value in said.items()}})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "along", "against"),
    [
        ({}, True, True),
        ({"oneway": "yes"}, True, False),
        ({"oneway": "1"}, True, False),
        ({"oneway": "-1"}, False, True),
        ({"oneway": "reverse"}, False, True),
        ({"oneway": "no"}, True, True),
        ({"junction": "roundabout"}, True, False),
        ({"junction": "roundabout", "oneway": "-1"}, False, True),
        ({"highway": "motorway"}, True, False),
        ({"highway": "motorway", "oneway": "no"}, True, True),
        ({"highway": "motorway_link"}, True, False),
        ({"highway": "trunk"}, True, True),
        ({"oneway": "yes", "oneway__motorcar": "no"}, True, True),
    ],
)
def test_a_way_is_driven_along_or_against(said: dict[str, str], along: bool, against: bool) -> None:
    assert street(**said).public == (along, against)


@pytest.mark.parametrize(
    ("said", "public", "emergency"),
    [
        ({"access": "private"}, False, True),
        ({"access": "no"}, False, False),
        ({"access": "no", "emergency": "yes"}, False, True),
        ({"access": "no", "motor_vehicle": "yes"}, True, True),
        ({"access": "no", "bus": "yes"}, False, True),
        ({"motor_vehicle": "private"}, False, True),
        ({"motor_vehicle": "destination"}, True, True),
        ({"access": "military"}, False, False),
        ({"highway": "busway"}, False, True),
        ({"highway": "service", "service": "emergency_access"}, False, True),
        ({"highway": "footway", "motor_vehicle": "yes"}, True, True),
        ({"highway": "pedestrian", "emergency": "yes"}, False, True),
        ({"highway": "service", "access": "private", "emergency": "no"}, None, None),
    ],
)
def test_what_is_closed_to_cars_may_be_open_to_help(
    said: dict[str, str], public: bool | None, emergency: bool | None
) -> None:
    found = tags.street({"highway": "residential", **said})
    assert (found and found.public[0], found and found.emergency[0]) in ((public, emergency), (None, None))
    assert (found is None) == (not emergency)


@pytest.mark.parametrize("highway", ["footway", "steps", "construction", "proposed", "path", "pedestrian", "rest_area"])
def test_what_is_not_driven_on_is_no_street(highway: str) -> None:
    assert tags.street({"highway": highway}) is None


def test_an_area_and_a_ferry_are_no_streets() -> None:
    assert tags.street({"highway": "service", "area": "yes"}) is None
    assert tags.street({"route": "ferry"}) is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60", Limit(60)),
        ("60 km/h", Limit(60)),
        ("30 mph", Limit(48.28032)),
        ("30mph", Limit(48.28032)),
        ("UZ:urban", Limit(zone="urban")),
        ("uz:rural", Limit(zone="rural")),
        ("RU:living_street", Limit(zone="living_street")),
        ("DE:zone30", Limit(30)),
        ("DE:zone:30", Limit(30)),
        ("FR:30", Limit(30)),
        ("walk", Limit(zone="walk")),
        ("none", Limit(130)),
        ("50;70", Limit(50)),
        ("0", Limit()),
        ("signals @ wet", Limit()),
        ("", Limit()),
        ("9999", Limit(160)),
    ],
)
def test_a_limit_is_read_in_every_way_that_it_is_written(text: str, limit: Limit) -> None:
    found = tags.speed_limit(text)
    assert found.zone == limit.zone and found.kmh == pytest.approx(limit.kmh)


@given(st.text(max_size=30))
def test_no_text_is_too_strange_for_a_limit(text: str) -> None:
    assert 0 <= tags.speed_limit(text).kmh <= 160


@given(st.dictionaries(st.sampled_from(["highway", "oneway", "access", "maxspeed", "junction", "area"]), st.text()))
def test_no_tags_are_too_strange_for_a_street(said: dict[str, str]) -> None:
    found = tags.street({"highway": "residential", **said})
    assert found is None or any(found.emergency)


def test_limits_may_differ_by_direction() -> None:
    found = street(maxspeed="60", maxspeed__backward="40")
    assert [limit.kmh for limit in found.limits] == [60, 40]
    assert not found.is_symmetric


def test_tags_tell_places_from_open_country() -> None:
    assert street(maxspeed="UZ:urban").urban is True
    assert street(maxspeed="90", source__maxspeed="UZ:rural").urban is False
    assert street(highway="living_street").urban is True
    assert street(maxspeed="60").urban is None


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ({}, FREE),
        ({"barrier": "bollard"}, WALL),
        ({"barrier": "bollard", "motor_vehicle": "yes"}, FREE),
        ({"barrier": "bollard", "emergency": "yes"}, GATE),
        ({"barrier": "block"}, WALL),
        ({"barrier": "gate"}, FREE),
        ({"barrier": "gate", "access": "private"}, GATE),
        ({"barrier": "lift_gate", "motor_vehicle": "private"}, GATE),
        ({"barrier": "gate", "locked": "yes"}, GATE),
        ({"barrier": "gate", "access": "no"}, WALL),
        ({"barrier": "toll_booth"}, FREE),
        ({"barrier": "cattle_grid"}, FREE),
        ({"barrier": "border_control"}, FREE),
    ],
)
def test_barriers_stop_cars_and_gates_open_for_help(said: dict[str, str], stands: int) -> None:
    assert tags.barrier(said) == stands


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"restriction": "no_left_turn"}, (False, SIGN)),
        ({"restriction": "only_straight_on"}, (True, SIGN)),
        ({"restriction:motorcar": "no_u_turn"}, (False, SIGN)),
        ({"restriction": "no_left_turn", "except": "psv;emergency"}, (False, EXCEPTED)),
        ({"restriction": "no_left_turn", "except": "motorcar"}, None),
        ({"restriction:hgv": "no_left_turn"}, None),
        ({"restriction:conditional": "no_left_turn @ (07:00-09:00)"}, None),
        ({"restriction": "no_left_turn", "hour_on": "07:00"}, None),
        ({"restriction": "give_way"}, None),
        ({"restriction": "no_left_turn", "restriction:conditional": "none @ (22:00-06:00)"}, None),
        ({"restriction": "no_left_turn", "restriction:conditional": "none @ (emergency)"}, (False, EXCEPTED)),
        ({"restriction": "no_left_turn", "restriction:conditional": "no_u_turn @ (Mo-Fr 07:00-09:00)"}, (False, SIGN)),
        ({"restriction:conditional": "no_left_turn @ (weight>7.5)"}, None),
        ({"restriction:vehicle": "no_left_turn"}, (False, SIGN)),
        ({"restriction:hgv": "none", "restriction": "no_entry"}, (False, SIGN)),
        ({"type": "restriction:hgv", "restriction": "no_left_turn"}, None),
        ({"type": "restriction:motorcar", "restriction": "no_left_turn"}, (False, SIGN)),
        ({"restriction": "no_left_turn", "except": "vehicle"}, None),
    ],
)
def test_a_restriction_binds_whom_it_names(said: dict[str, str], meant: tuple[bool, int] | None) -> None:
    assert tags.restriction(said) == meant
