"""Recommendations for dispatchers: made now, kept for a minute under an id, refused when the world has
moved on.

The choice is the core's (`recommend`); here the inputs are brought, the answer is shaped for a card, and
what a dispatcher confirms is found again by its id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from consoles.desk import Desk
from dispatch.core.assigning import basis, question
from dispatch.core.commands import Basis
from dispatch.core.lateness import crossing_s
from dispatch.core.recommend import Choice, Recommendation, recommend
from dispatch.core.terms import IncidentId, Location, Reach, RegionId, UnitId
from dispatch.web.application import ACTOR, answer
from dispatch.web.problems import Problem
from dispatch.web.routes import Route

KEPT = timedelta(seconds=120)
"""Longer than any is fresh, so that a stale one is called stale and not unknown."""

KEPT_MAX = 5_000
PASSED_OVER_MAX = 200

NOWHERE = Reach(
    units=(),
    ms=np.zeros(0, np.int32),
    edges=np.zeros(0, np.int32),
    offsets=np.zeros(0, np.float32),
    age_s=np.zeros(0, np.float32),
)
"""For an incident without a place: no unit can be said to be near."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A recommendation that somebody was shown; `at` is wall time, `basis` what it was asked about."""

    recommendation_id: str
    incident_id: IncidentId
    at: datetime
    reach: Reach
    basis: Basis
    said: Recommendation
    place: Location | None = None


class Advice:
    """Makes recommendations and remembers them for as long as they may be confirmed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._made: OrderedDict[str, Made] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/incidents/{incident_id}/recommendation",
                handler=self.show,
                summary="Which units should go, why, and why not the others",
                tag="incidents",
                action="incident.assign",
                responses={200: dict[str, Any]},
                errors=("unknown_incident",),
                description="Made when it is asked for, on the committed state; confirm it by its id within "
                "15 seconds. It is stale as soon as the incident's need, priority or place is another one. `eta_s` "
                "leads to the incident's point, `eta_range_s` [least, most] to anywhere in the circle about it, and "
                "nine drives of ten reach the caller within `eta_p90_s`: a bad day and the circle are in it.",
            )
        ]

    async def show(self, request: web.Request) -> web.Response:
        """GET /incidents/{incident_id}/recommendation."""
        region, incident = self._desk.incident(request[ACTOR], request.match_info["incident_id"], "incident.assign")
        return answer(self._shown(self.make(region, incident.incident_id)))

    def make(self, region: RegionId, incident_id: IncidentId) -> Made:
        """A recommendation from what is known now. Raises Problem when the incident is over."""
        engine, state = self._desk.engine, self._desk.replicas.states[region]
        incident = state.incidents.get(incident_id)
        if incident is None:
            raise Problem("unknown_incident", f"Incident {incident_id} is not open.")
        reach = engine.reach(state, incident_id) or NOWHERE
        made = Made(
            recommendation_id=self._desk.ids.made("r"),
            incident_id=incident_id,
            at=engine.clock.wall(),
            reach=reach,
            basis=basis(incident),
            said=recommend(question(incident), state.units, reach),
            place=incident.location,
        )
        self._keep(made)
        return made

    def made(self, recommendation_id: str, incident_id: str) -> Made:
        """The recommendation of this id for this incident. Raises Problem `unknown_recommendation`."""
        found = self._made.get(recommendation_id)
        if found is None or found.incident_id != incident_id:
            raise Problem("unknown_recommendation", f"No recommendation {recommendation_id[:64]} is kept.")
        return found

    def age_s(self, made: Made) -> float:
        """How long ago it was made, on the wall's clock."""
        return (self._desk.engine.clock.wall() - made.at).total_seconds()

    def reach_of(self, region: RegionId, incident_id: str, units: Sequence[str]) -> Reach | None:
        """Travel times of named units to an incident; None when it has no place."""
        engine, state = self._desk.engine, self._desk.replicas.states[region]
        incident = state.incidents.get(IncidentId(incident_id))
        if incident is None or incident.location is None:
            return None
        known = tuple(UnitId(unit) for unit in dict.fromkeys(units) if UnitId(unit) in state.units)
        return engine.reacher.to(known, incident.location, engine.clock.wall())

    def _keep(self, made: Made) -> None:
        self._made[made.recommendation_id] = made
        while self._made:
            oldest = next(iter(self._made.values()))
            if made.at - oldest.at <= KEPT and len(self._made) <= KEPT_MAX:
                break
            self._made.popitem(last=False)

    def _shown(self, made: Made) -> dict[str, Any]:
        said = made.said
        first = {(choice.body, choice.capability): choice.unit_id for choice in reversed(said.chosen)}
        return {
            "recommendation_id": made.recommendation_id,
            "incident_id": made.incident_id,
            "at": made.at,
            "age_s": round(self.age_s(made), 3),
            "chosen": [_choice(choice, made.place) for choice in said.chosen],
            "alternatives": [
                _choice(choice, made.place) | {"alternative_to": first.get((choice.body, choice.capability))}
                for choice in said.alternatives
            ],
            "passed_over": said.passed_over[:PASSED_OVER_MAX],
            "shortfalls": said.shortfalls,
        }


def advised(made: Made) -> tuple[UnitId, ...]:
    """The units that the recommendation chose."""
    return tuple(choice.unit_id for choice in made.said.chosen)


def eta_range_s(eta_s: float, place: Location) -> list[float]:
    """The least and the most that a drive takes to somebody who is anywhere in the circle, in nine cases of ten."""
    more_s = crossing_s(place)
    return [round(max(0.0, eta_s - more_s), 1), round(eta_s + more_s, 1)]


def _choice(choice: Choice, place: Location | None) -> dict[str, Any]:
    return {
        "unit_id": choice.unit_id,
        "call_sign": choice.call_sign,
        "body": choice.body,
        "capability": choice.capability,
        "eta_s": choice.eta_s,
        "eta_p90_s": choice.eta_p90_s,
        "eta_range_s": None if place is None else eta_range_s(choice.eta_s, place),
        "reasons": choice.reasons,
    }
