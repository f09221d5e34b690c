"""Buses of a feed, and which of them a caller means."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import vehicles
from routing.geometry import in_country
from routing.vehicles import AHEAD, STALE, Vehicle, Vehicles, folded, parse

gtfs = pytest.importorskip("google.transit.gtfs_realtime_pb2")

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
CHORSU = (41.3265, 69.2350)


def feed(*said: dict[str, Any], at: datetime = NOW) -> bytes:
    """A feed as an operator of buses sends it."""
    message = gtfs.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = int(at.timestamp())
    for i, fields in enumerate(said):
        entity = message.entity.add(id=f"e{i}")
        vehicle = entity.vehicle
        vehicle.trip.route_id = fields.get("route", "67")
        vehicle.vehicle.id = fields.get("id", f"v{i}")
        vehicle.vehicle.label = fields.get("label", "")
        vehicle.vehicle.license_plate = fields.get("plate", "")
        vehicle.position.latitude, vehicle.position.longitude = fields.get("place", CHORSU)
        if "speed" in fields:
            vehicle.position.speed = fields["speed"]
        if "at" in fields:
            vehicle.timestamp = int(fields["at"].timestamp())
    return bytes(message.SerializeToString())


def bus(vehicle_id: str, **changes: Any) -> Vehicle:
    known = {"route": "67", "lat": CHORSU[0], "lon": CHORSU[1], "at": NOW}
    return Vehicle(vehicle_id=vehicle_id, **{**known, **changes})


def fleet(*buses: Vehicle) -> Vehicles:
    kept = Vehicles()
    kept.replace(buses)
    return kept


def found(kept: Vehicles, text: str, **more: Any) -> list[str]:
    return [sighting.vehicle.vehicle_id for sighting in kept.find(text, NOW, **more)]


def test_a_feed_says_where_each_vehicle_is_and_how_fast() -> None:
    earlier = NOW - timedelta(seconds=40)
    first, second = parse(feed({"plate": "01 123 ABC", "speed": 8.5, "at": earlier}, {"route": "T3", "id": "77"}), NOW)
    assert (first.vehicle_id, first.route, first.plate, first.speed_mps, first.at) == (
        "v0", "67", "01 123 ABC", 8.5, earlier,
    )  # fmt: skip
    assert first.lat == pytest.approx(CHORSU[0], abs=1e-5) and first.lon == pytest.approx(CHORSU[1], abs=1e-5)
    assert (second.vehicle_id, second.route, second.speed_mps, second.at) == ("77", "T3", None, NOW)


def test_vehicles_abroad_and_those_without_a_position_are_left_out_and_a_clock_that_runs_ahead_is_now() -> None:
    message = gtfs.FeedMessage.FromString(feed({"place": (48.85, 2.35)}, {"at": NOW + timedelta(hours=2)}))
    message.entity.add(id="nowhere").vehicle.trip.route_id = "67"
    message.entity.add(id="gone", is_deleted=True).vehicle.CopyFrom(message.entity[1].vehicle)
    assert [(v.vehicle_id, v.at) for v in parse(message.SerializeToString(), NOW)] == [("v1", NOW)]


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_a_feed_or_refused(raw: bytes) -> None:
    try:
        found_there = parse(raw, NOW)
    except ValueError:
        return
    assert all(in_country(vehicle.lat, vehicle.lon) and vehicle.at <= NOW + AHEAD for vehicle in found_there)


@pytest.mark.parametrize(
    "text",
    ["route 67, vehicle 01 123 ABC", "01123abc", "автобус 67, номер 01 123 АВС", "67-avtobus, raqami 01|123|ABC"],
)
def test_a_plate_is_known_however_it_is_said(text: str) -> None:
    kept = fleet(bus("a", plate="01 123 ABC"), bus("b", plate="01 124 ABC"), bus("c", plate="01123ABX"))
    assert found(kept, text) == ["a"]
    assert kept.find(text, NOW)[0].named


def test_a_label_names_its_vehicle_and_a_route_all_of_its_vehicles_the_nearest_first() -> None:
    kept = fleet(
        bus("far", label="1204", lat=41.40),
        bus("near", label="1205", lat=41.327),
        bus("other", route="11", label="67x"),
    )
    assert found(kept, "bus 1204 please") == ["far"]
    assert found(kept, "we are on the 67", near=CHORSU) == ["near", "far"]
    assert not kept.find("we are on the 67", NOW, near=CHORSU)[0].named
    assert found(kept, "we are on the 670") == []
    assert found(kept, "67", near=CHORSU, limit=1) == ["near"]


def test_a_short_number_is_a_route_and_names_no_vehicle() -> None:
    assert found(fleet(bus("12", route="67"), bus("67", route="12")), "67") == ["12"]


def test_an_old_place_is_wide_and_a_very_old_one_none() -> None:
    kept = fleet(
        bus("fresh"), bus("minute", at=NOW - timedelta(minutes=1), speed_mps=15.0), bus("old", at=NOW - 2 * STALE)
    )
    sightings = {s.vehicle.vehicle_id: s.accuracy_m for s in kept.find("67", NOW)}
    assert sightings == {"fresh": 30.0, "minute": 930.0}


def test_a_feed_replaces_what_was_known_and_keeps_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vehicles, "VEHICLES_MAX", 2)
    kept = fleet(bus("a", at=NOW - timedelta(seconds=9)), bus("b"), bus("c"), bus("a", label="newer"))
    assert len(kept) == 2 and found(kept, "newer") == ["a"]
    kept.replace([bus("d")])
    assert found(kept, "67") == ["d"]


@given(st.text(max_size=40))
def test_folding_is_done_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
