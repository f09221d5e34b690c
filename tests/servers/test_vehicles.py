"""A caller on a bus: its number becomes evidence of where the call is."""

from __future__ import annotations

from datetime import timedelta

from routing.vehicles import Vehicle, Vehicles
from tests.servers.api_world import CHORSU, ApiWorld, api_world


def on_the_road(world: ApiWorld) -> Vehicle:
    lon, lat = CHORSU
    at = world.clock.wall() - timedelta(seconds=10)
    return Vehicle(vehicle_id="1204", route="67", plate="01 123 ABC", lat=lat, lon=lon, at=at, speed_mps=8.0)


async def test_the_number_of_a_bus_is_found_and_its_place_locates_the_call() -> None:
    async with api_world() as world:
        world.vehicles = Vehicles()
        await world.stop()
        await world.start()
        bus = on_the_road(world)
        world.vehicles.replace([bus])
        got = await world.get("vehicles?q=route%2067,%2001%20123%20ABC", token="taker")
        assert got.status == 200 and got.json["feed"]
        (row,) = got.json["vehicles"]
        assert (row["vehicle_id"], row["plate"], row["named"]) == ("1204", "01 123 ABC", True)
        assert row["evidence"]["point"] == CHORSU and row["evidence"]["accuracy_m"] == 110.0
        call = await world.new_call(location=[row["evidence"]])
        assert call["location"]["source"] == "vehicle" and call["region"] == "UZ-TK"


async def test_without_a_feed_no_vehicle_is_known_and_the_answer_says_so() -> None:
    async with api_world() as world:
        got = await world.get("vehicles?q=67", token="taker")
        assert got.json == {"feed": False, "vehicles": []}
        assert (await world.get("vehicles?q=67&near=nowhere", token="taker")).code == "invalid_query"
        assert (await world.get("vehicles?q=67", token="device")).code == "out_of_scope"
