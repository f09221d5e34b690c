"""What dispatchers do about mutual aid: ask another region for units for an incident, call the help off."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from consoles.calling import Identifier
from consoles.desk import Act, Asked, Desk
from consoles.operations import OF, as_it_is
from dispatch.core.aid import MOST_UNITS
from dispatch.core.commands import AskAid, Command, WithdrawAid
from dispatch.core.terms import Body, IncidentId, RegionId
from dispatch.web.routes import Route


class AidWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units to ask another region for."""

    region: Identifier
    body: Body
    capability: Identifier
    count: Annotated[int, Meta(ge=1, le=MOST_UNITS)] = 1


class AidOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which request to call off; without one, all that the incident has under way."""

    request_id: Annotated[str, Meta(min_length=1, max_length=80)] | None = None


def _ask(asked: Asked) -> Command:
    said: AidWanted = asked.body
    return AskAid(
        actor=asked.actor.actor_id,
        incident_id=IncidentId(asked.id),
        to=RegionId(said.region),
        body=said.body,
        capability=said.capability,
        count=said.count,
    )


def _withdraw(asked: Asked) -> Command:
    said: AidOver = asked.body
    incident_id = IncidentId(asked.id)
    return WithdrawAid(actor=asked.actor.actor_id, incident_id=incident_id, request_id=said.request_id)


ACTS = (
    Act(
        name="aid",
        summary="Ask another region for units; they stay its own and are shown here as it reports them",
        action="incident.assign",
        body=AidWanted,
        make=_ask,
        other=lambda said: said.region,
        errors=("unknown_incident", "unknown_region", "region_unled", "aid_own_region", "aid_incident", "aid_limit"),
    ),
    Act(
        name="aid/withdraw",
        summary="Call off the help of another region",
        action="incident.assign",
        body=AidOver,
        make=_withdraw,
        errors=("unknown_incident", "unknown_aid"),
    ),
)


def routes(desk: Desk) -> list[Route]:
    """The addresses for mutual aid."""
    return desk.routes(OF, ACTS, desk.incident, as_it_is)
