"""Roads that dispatchers close, slow down and open again, and the list of them.

A closure is drawn: a line along the road, or one position with a radius. It may also be said by its two ends, by one
position on it, or by the street's name (streets); what that means on the map becomes the line. It is kept as drawn, in
the journal of the region where it begins, and counts for every unit that would drive there. `preview` says what would
be closed, and closes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.closure_rows import ClosureRow, Shape, closure_row, lonlat
from consoles.desk import Desk, asked_body
from consoles.drawing import DRAWING, Drawing, Drawings, Drawn, Streets
from consoles.reading import Code
from dispatch.actors import Actor, may, require
from dispatch.calling.evidence import Moment
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.commands import CloseRoad, ReopenRoad
from dispatch.core.events import Event, RoadClosed
from dispatch.core.state import RegionState
from dispatch.core.terms import LocationFix, RegionId, Source
from dispatch.formats.values import plausible
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Choice, Fault, Problem
from dispatch.web.replies import Answering, answering, encode, key_of, replied
from dispatch.web.routes import Route

REASON_MAX = 200


class NewClosure(Drawing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is closed, why, and for how long."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_MAX)]
    since: Moment | None = None
    until: Moment | None = None


class Preview(Shape, frozen=True, kw_only=True):
    """What a drawing means: its lines of [longitude, latitude] as in a closure. `streets`: how many directed streets of
    the map these are, null when there is no map. `metres`: how long the lines are, of a street that was named one for
    each carriageway; around a point the length of all streets that come near it. `meets`: of a street that was named,
    the names of those that cross it."""

    streets: int | None
    metres: int | None
    meets: list[str]


class ClosureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept; `streets` and `metres` as in the preview."""

    closure_id: str
    region: str
    seq: int
    streets: int | None
    metres: int | None
    closure: ClosureRow


class ClosureQuery(msgspec.Struct, frozen=True, kw_only=True):
    region: Code | None = None


class Closing:
    """The addresses for closures. Without a map (`streets` None) a line is kept as it was drawn."""

    def __init__(self, desk: Desk, streets: Streets | None) -> None:
        self._desk = desk
        self._drawings = Drawings(streets, desk.locator)

    def routes(self) -> list[Route]:
        path = "/api/v1/closures"
        return [
            Route(
                method="GET", path=path, handler=self.listed, tag="closures", action="closure.read",
                summary="Roads that are closed or slow, or will be", query=ClosureQuery,
                responses={200: dict[str, list[ClosureRow]]},
            ),
            Route(
                method="POST", path=path, handler=self.close, tag="closures", action="closure.work", creates=True,
                summary="Close a road, or say that it is slow", request=NewClosure, responses={201: ClosureReceipt},
                errors=(*DRAWING, "closure_over", "closure_limit"),
            ),
            Route(
                method="POST", path=f"{path}/preview", handler=self.preview, tag="closures", action="closure.work",
                summary="What would be closed; closes nothing", request=Drawing, responses={200: Preview},
                errors=DRAWING,
            ),
            Route(
                method="DELETE", path=f"{path}/{{closure_id}}", handler=self.reopen, tag="closures",
                action="closure.work", summary="Open it again before its time",
                responses={200: dict[str, Any]}, errors=("unknown_closure",),
            ),
        ]  # fmt: skip

    async def listed(self, request: web.Request) -> web.Response:
        """GET /closures."""
        desk, now = self._desk, self._desk.clock.now()
        regions = desk.regions(request[ACTOR], query(request, ClosureQuery).region)
        states = (desk.replicas.states[region] for region in regions)
        rows = [closure_row(s.region, c) for s in states for c in s.closures.values() if not c.is_over(now)]
        return answer({"closures": rows})

    async def preview(self, request: web.Request) -> web.Response:
        """POST /closures/preview."""
        _, said = await asked_body(request, Drawing)
        drawn = await self._drawn(request[ACTOR], said)
        region = self._region(drawn.lines[0][0])
        require(request[ACTOR], "closure.work", region)
        streets, metres = self._drawings.meant(said, drawn)
        line, *more = map(lonlat, drawn.lines)
        return answer(
            Preview(
                region=region,
                street=drawn.street,
                place=self._place(drawn),
                line=line,
                more=more,
                radius_m=drawn.radius_m,
                streets=streets,
                metres=metres,
                meets=list(drawn.meets),
            )
        )

    async def close(self, request: web.Request) -> web.Response:
        """POST /closures."""
        actor, desk = request[ACTOR], self._desk
        raw, said = await asked_body(request, NewClosure)
        drawn = await self._drawn(actor, said)
        now = desk.clock.now()
        region = self._region(drawn.lines[0][0])
        require(actor, "closure.work", region)
        closure = Closure(
            closure_id=desk.ids.closure_id(),
            line=drawn.lines[0],
            more=drawn.lines[1:],
            radius_m=drawn.radius_m,
            direction=said.direction,
            factor=said.factor,
            reason=said.reason,
            street=drawn.street,
            place=self._place(drawn),
            since=_time(said.since, "/since") or now,
            until=_time(said.until, "/until"),
            by=actor.actor_id,
            at=now,
        )
        made = CloseRoad(actor=actor.actor_id, closure=closure)
        key, means = key_of(request, actor, raw), self._drawings.meant(said, drawn)
        return replied(await desk.engine.submit(region, made, answer=_closed(*means), key=key))

    async def reopen(self, request: web.Request) -> web.Response:
        """DELETE /closures/{closure_id}."""
        actor, closure_id = request[ACTOR], ClosureId(request.match_info["closure_id"])
        region = self._desk.replicas.region_of_closure(closure_id)
        if region is None:
            raise Problem("unknown_closure", f"No closure {closure_id[:64]}.")
        require(actor, "closure.work", region)
        made = ReopenRoad(actor=actor.actor_id, closure_id=closure_id)
        after = answering(200, lambda state: {"closure_id": closure_id, "region": state.region, "seq": state.seq})
        return replied(await self._desk.engine.submit(region, made, answer=after))

    async def _drawn(self, actor: Actor, said: Drawing) -> Drawn:
        """What a drawing means. Raises Problem, with choices only where the actor may close one, by its middle."""
        try:
            return await self._drawings.drawn(said)
        except Problem as problem:
            theirs = [choice for choice in problem.choices if self._may_close(actor, choice)]
            if theirs or not problem.choices or problem.code == "unknown_street":
                problem.choices = tuple(theirs)
                raise
            raise Problem("out_of_scope", "Nothing that fits lies where you may close roads.") from problem

    def _may_close(self, actor: Actor, choice: Choice) -> bool:
        lon, lat = choice.point
        region = self._region_at(lat, lon)
        return region is not None and may(actor, "closure.work", region)

    def _place(self, drawn: Drawn) -> dict[str, str]:
        """Where it is, in words: those for the middle of its first line."""
        line = drawn.lines[0]
        return self._desk.locator.describe(line[len(line) // 2])

    def _region(self, at: tuple[float, float]) -> RegionId:
        region = self._region_at(*at)
        if region is None:
            raise Problem("unknown_region", "The road begins in no region of this service.")
        return region

    def _region_at(self, lat: float, lon: float) -> RegionId | None:
        now = self._desk.clock.now()
        fix = LocationFix(source=Source.OPERATOR, at=now, lat=lat, lon=lon, accuracy_m=1.0, confirmed=True)
        location = self._desk.locator.estimate((fix,), now)
        region = location.regions[0] if location is not None and location.regions else None
        return region if region in self._desk.replicas.states else None


def _time(said: datetime | None, pointer: str) -> datetime | None:
    """In UTC. Raises Problem for one that no journal can keep."""
    at = plausible(said) if said is not None else None
    if said is not None and at is None:
        fault = Fault(pointer, f"{said.isoformat()} is out of range: leave it out.")
        raise Problem("invalid_body", fault.detail, [fault])
    return at


def _closed(streets: int | None, metres: int | None) -> Answering:
    def make(state: RegionState, events: tuple[Event, ...]) -> tuple[int, bytes]:
        closure = next(event.closure for event in events if isinstance(event, RoadClosed))
        return 201, encode(
            ClosureReceipt(
                closure_id=closure.closure_id,
                region=state.region,
                seq=state.seq,
                streets=streets,
                metres=metres,
                closure=closure_row(state.region, closure),
            )
        )

    return make
