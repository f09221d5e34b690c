"""`GET /vehicles`: which bus or tram a caller means by its route, label or plate, as evidence ready to be sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.desk import Desk
from dispatch.web.application import answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.routes import Route
from routing.geometry import parse_point
from routing.vehicles import Sighting, Vehicles

QUERY_MAX = 120
FOUND_MAX = 20


class VehiclesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`q`: what the caller says, as in `route 67, vehicle 01 123 ABC`. `near`: latitude,longitude of a rough place."""

    q: Annotated[str, Meta(min_length=1, max_length=QUERY_MAX)]
    near: Annotated[str, Meta(max_length=64)] | None = None


class VehicleEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """As a call's location takes it. `point` is [longitude, latitude]."""

    source: Literal["vehicle"] = "vehicle"
    point: list[float]
    accuracy_m: float
    at: datetime


class VehicleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A vehicle that may be meant. `named`: by its own plate, label or number, not only by its route."""

    vehicle_id: str
    route: str
    label: str
    plate: str
    named: bool
    evidence: VehicleEvidence


class VehiclesFound(msgspec.Struct, frozen=True, kw_only=True):
    """`feed`: whether this service follows a feed of vehicles at all."""

    feed: bool
    vehicles: list[VehicleRow]


def routes(desk: Desk, vehicles: Vehicles | None) -> list[Route]:
    """The address for vehicles."""

    async def found(request: web.Request) -> web.Response:
        asked = query(request, VehiclesQuery)
        try:
            near = parse_point(asked.near) if asked.near is not None else None
        except ValueError as fault:
            raise Problem("invalid_query", str(fault), [Fault("near", str(fault))]) from None
        seen = vehicles.find(asked.q, desk.clock.wall(), near, FOUND_MAX) if vehicles is not None else []
        return answer(VehiclesFound(feed=vehicles is not None, vehicles=[_row(sighting) for sighting in seen]))

    return [
        Route(
            method="GET", path="/api/v1/vehicles", handler=found, tag="vehicles", action="vehicle.find",
            summary="Buses and trams by what a caller on one says of it", query=VehiclesQuery,
            responses={200: VehiclesFound},
        )
    ]  # fmt: skip


def _row(sighting: Sighting) -> VehicleRow:
    vehicle = sighting.vehicle
    point = [round(vehicle.lon, 6), round(vehicle.lat, 6)]
    return VehicleRow(
        vehicle_id=vehicle.vehicle_id,
        route=vehicle.route,
        label=vehicle.label,
        plate=vehicle.plate,
        named=sighting.named,
        evidence=VehicleEvidence(point=point, accuracy_m=sighting.accuracy_m, at=vehicle.at),
    )
