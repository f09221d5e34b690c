"""Where buses and trams are, from a GTFS-Realtime feed, and which of them a caller means.

The format is GTFS Realtime 2.0, VehiclePosition (https://gtfs.org/documentation/realtime/reference/). A caller on a bus
knows its route from the front and perhaps its plate: "route 67, vehicle 01 123 ABC". Letters that look alike in Latin
and Cyrillic are one here. Not here: fetching the feed.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from routing.geometry import distance_m, in_country

VEHICLES_MAX: Final = 20_000
STALE: Final = timedelta(minutes=5)  # whoever was heard of so long ago may be anywhere
AHEAD: Final = timedelta(minutes=1)  # of our clock
GPS_M: Final = 30.0
DRIVES_MPS: Final = 10.0  # where nothing is said of the speed
SHORTEST_NAME: Final = 3
LOOKS_LIKE: Final = str.maketrans("авекмнорстухАВЕКМНОРСТУХ", "abekmhopctyxABEKMHOPCTYX")
WORD: Final = re.compile(r"[^\W_]+")


class Vehicle(msgspec.Struct, frozen=True, kw_only=True):
    """One vehicle where it last was. `label` is what passengers read, `plate` its licence plate."""

    vehicle_id: str
    route: str = ""
    label: str = ""
    plate: str = ""
    lat: float
    lon: float
    at: datetime
    speed_mps: float | None = None
    bearing: float | None = None


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A vehicle that may be meant, and within how many metres of its last place it is now. `named`: its own plate,
    label or number was said, not only its route."""

    vehicle: Vehicle
    accuracy_m: float
    named: bool


def parse(feed: bytes, now: datetime) -> list[Vehicle]:
    """The vehicles of a feed, in its order; what has no position or lies abroad is left out. Raises ValueError when it
    is no feed, ImportError where the extra `transit` is not installed."""
    from google.protobuf.message import DecodeError
    from google.transit import gtfs_realtime_pb2

    message = gtfs_realtime_pb2.FeedMessage()
    try:
        message.ParseFromString(feed)
    except DecodeError:
        raise ValueError("not a GTFS-Realtime feed") from None
    said_at = _moment(message.header.timestamp, now)
    found = []
    for entity in message.entity:
        if entity.HasField("vehicle") and not entity.is_deleted and entity.vehicle.HasField("position"):
            vehicle = _vehicle(entity.id, entity.vehicle, said_at, now)
            if vehicle is not None:
                found.append(vehicle)
    return found


def _vehicle(entity_id: str, said: object, said_at: datetime, now: datetime) -> Vehicle | None:
    position, descriptor = said.position, said.vehicle  # type: ignore[attr-defined]
    lat, lon = position.latitude, position.longitude
    if not (math.isfinite(lat + lon) and in_country(lat, lon)):
        return None
    return Vehicle(
        vehicle_id=descriptor.id or entity_id,
        route=said.trip.route_id,  # type: ignore[attr-defined]
        label=descriptor.label,
        plate=descriptor.license_plate,
        lat=lat,
        lon=lon,
        at=_moment(said.timestamp, now) if said.timestamp else said_at,  # type: ignore[attr-defined]
        speed_mps=position.speed if position.HasField("speed") and 0 <= position.speed < 60 else None,
        bearing=position.bearing if position.HasField("bearing") else None,
    )


def _moment(timestamp: int, now: datetime) -> datetime:
    """A time of the feed; one that is missing or ahead of our clock counts as now."""
    latest = (now + AHEAD).timestamp()
    return datetime.fromtimestamp(timestamp, UTC) if 0 < timestamp <= latest else now


class Vehicles:
    """The latest of each vehicle, at most VEHICLES_MAX of them: of more the first that the feed names."""

    def __init__(self) -> None:
        self._vehicles: list[Vehicle] = []

    def __len__(self) -> int:
        return len(self._vehicles)

    def replace(self, vehicles: Iterable[Vehicle]) -> None:
        """A feed says everything anew."""
        newest: dict[str, Vehicle] = {}
        for vehicle in vehicles:
            known = newest.get(vehicle.vehicle_id)
            if (known is None and len(newest) < VEHICLES_MAX) or (known is not None and vehicle.at > known.at):
                newest[vehicle.vehicle_id] = vehicle
        self._vehicles = list(newest.values())

    def find(
        self, text: str, now: datetime, near: tuple[float, float] | None = None, limit: int = 10
    ) -> list[Sighting]:
        """Which vehicles a caller may mean: those that were named, else those of the named route; the nearest to
        `near` first, else the last heard of."""
        words = [folded(word) for word in WORD.findall(text)]
        spoken = "".join(words)
        fresh = [vehicle for vehicle in self._vehicles if now - vehicle.at <= STALE]
        named = [vehicle for vehicle in fresh if _is_named(vehicle, spoken, words)]
        meant = named or [vehicle for vehicle in fresh if vehicle.route and folded(vehicle.route) in words]

        def away(vehicle: Vehicle) -> tuple[float, datetime]:
            oldest_last = datetime.fromtimestamp(now.timestamp() - vehicle.at.timestamp(), UTC)
            return (distance_m(near, (vehicle.lat, vehicle.lon)) if near else 0.0), oldest_last

        return [
            Sighting(vehicle=vehicle, accuracy_m=_accuracy_m(vehicle, now), named=bool(named))
            for vehicle in sorted(meant, key=away)[:limit]
        ]


def folded(text: str) -> str:
    """Letters and digits alone, alike whichever alphabet and case they were written in."""
    return "".join(WORD.findall(text)).translate(LOOKS_LIKE).casefold()


def _is_named(vehicle: Vehicle, spoken: str, words: list[str]) -> bool:
    """Whether the words hold the vehicle's plate, in pieces or not, or its label or number as a word."""
    plate = folded(vehicle.plate)
    if len(plate) >= SHORTEST_NAME and plate in spoken:
        return True
    own = {folded(name) for name in (vehicle.label, vehicle.vehicle_id)} - {folded(vehicle.route)}
    return any(len(name) >= SHORTEST_NAME and name in words for name in own)


def _accuracy_m(vehicle: Vehicle, now: datetime) -> float:
    speed_mps = DRIVES_MPS if vehicle.speed_mps is None else max(vehicle.speed_mps, DRIVES_MPS / 2)
    return round(GPS_M + speed_mps * max(0.0, (now - vehicle.at).total_seconds()), 1)
