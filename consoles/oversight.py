"""What supervisors oversee: the regions and how they work, and the contacts that nobody could understand."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from consoles.board import region_part
from consoles.desk import Desk, asked_body, no_region
from consoles.reading import Code, Cursor, Limit
from dispatch.actors import EVERYWHERE, require, sees
from dispatch.core.commands import Command, SetPhase, SetPolicy
from dispatch.core.state import RegionState
from dispatch.core.terms import Assigning, Phase, RegionId
from dispatch.store import BadCursor
from dispatch.web.application import ACTOR, answer
from dispatch.web.bodies import query
from dispatch.web.problems import Fault, Problem
from dispatch.web.replies import answering, key_of, replied
from dispatch.web.routes import Route
from dispatch.writing.records import UnreadableContact
from routing.names import LANGUAGES
from routing.regions import RegionFacts, region_facts


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays. `attended`: a person takes the region over from simulated staff."""

    dispatch: Assigning | None = None
    attended: bool | None = None


class NewPhase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    phase: Phase


class Settled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A supervisor has seen to it. `reason` is for the audit."""

    reason: Annotated[str, Meta(max_length=200)] | None = None


class ContactsQuery(msgspec.Struct, frozen=True, kw_only=True):
    region: Code | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class Oversight:
    """The supervisors' addresses, and the list of regions that everybody may see."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        region = "/api/v1/regions/{region}"
        return [
            Route(
                method="GET", path="/api/v1/regions", handler=self.regions, tag="regions",
                action="region.read", summary="The regions with their policy, phase and counts",
                responses={200: dict[str, Any]},
            ),
            Route(
                method="PUT", path=f"{region}/policy", handler=self.policy, tag="regions",
                action="region.policy", summary="Automatic or confirmed dispatch; attended or not",
                request=NewPolicy, responses={200: dict[str, Any]}, errors=("unknown_region",), creates=True,
            ),
            Route(
                method="PUT", path=f"{region}/phase", handler=self.phase, tag="regions",
                action="region.phase", summary="Legacy, parallel or live",
                request=NewPhase, responses={200: dict[str, Any]}, errors=("unknown_region",), creates=True,
            ),
            Route(
                method="GET", path="/api/v1/contacts", handler=self.contacts, tag="contacts",
                action="contact.read", query=ContactsQuery, responses={200: dict[str, Any]},
                summary="Contacts that nobody could understand, oldest first, raw",
            ),
            Route(
                method="POST", path="/api/v1/contacts/{contact_id}/close", handler=self.settle,
                tag="contacts", action="contact.read", request=Settled, responses={200: dict[str, Any]},
                summary="Somebody has seen to it", errors=("unknown_contact",),
            ),
        ]  # fmt: skip

    async def regions(self, request: web.Request) -> web.Response:
        """GET /regions."""
        actor, facts = request[ACTOR], region_facts()
        states = self._desk.replicas.states
        return answer({"regions": [_region(states[r], facts.get(r)) for r in sorted(states) if sees(actor, r)]})

    async def policy(self, request: web.Request) -> web.Response:
        """PUT /regions/{region}/policy."""
        raw, said = await asked_body(request, NewPolicy)
        state = self._state(request)
        require(request[ACTOR], "region.policy", state.region)
        wanted = {"assigning": said.dispatch, "attended": said.attended}
        changed = {name: value for name, value in wanted.items() if value is not None}
        policy = msgspec.structs.replace(state.policy, **changed)
        return await self._set(request, SetPolicy(actor=request[ACTOR].actor_id, policy=policy), raw)

    async def phase(self, request: web.Request) -> web.Response:
        """PUT /regions/{region}/phase."""
        raw, said = await asked_body(request, NewPhase)
        require(request[ACTOR], "region.phase", self._state(request).region)
        return await self._set(request, SetPhase(actor=request[ACTOR].actor_id, phase=said.phase), raw)

    async def contacts(self, request: web.Request) -> web.Response:
        """GET /contacts. What is raw may be personal, so each look is written down."""
        actor = request[ACTOR]
        asked = query(request, ContactsQuery)
        region = self._desk.regions(actor, asked.region)[0] if asked.region else None
        try:
            found, cursor = await self._desk.store.contacts(region, asked.cursor, asked.limit)
        except BadCursor as fault:
            raise Problem("invalid_query", str(fault), [Fault("cursor", str(fault))]) from None
        shown = [c for c in found if c.region is None or sees(actor, RegionId(c.region))]
        for contact in shown:
            self._desk.audit.note(actor, "read", f"contact:{contact.contact_id}")
        return answer({"contacts": [_contact(contact) for contact in shown], "next": cursor})

    async def settle(self, request: web.Request) -> web.Response:
        """POST /contacts/{contact_id}/close."""
        await asked_body(request, Settled)
        actor, contact_id = request[ACTOR], request.match_info["contact_id"]
        mine = None if EVERYWHERE in actor.regions else actor.regions
        if not await self._desk.store.settle_contact(contact_id, actor.actor_id, self._desk.clock.now(), mine):
            raise Problem("unknown_contact", f"No contact {contact_id[:64]} waits.")
        self._desk.audit.note(actor, "settled", f"contact:{contact_id}")
        return answer({"contact_id": contact_id, "settled": True})

    def _state(self, request: web.Request) -> RegionState:
        region = request.match_info["region"]
        state = self._desk.replicas.states.get(RegionId(region))
        if state is None:
            raise Problem("unknown_region", no_region(region, self._desk.replicas.states))
        return state

    async def _set(self, request: web.Request, command: Command, raw: bytes) -> web.Response:
        region = self._state(request).region
        key = key_of(request, request[ACTOR], raw)
        reply = await self._desk.engine.submit(region, command, answer=answering(200, _after), key=key)
        return replied(reply)


def _after(state: RegionState) -> dict[str, Any]:
    return {"seq": state.seq, "region": state.region} | _works(state)


def _works(state: RegionState) -> dict[str, Any]:
    policy = {"dispatch": state.policy.assigning, "attended": state.policy.attended}
    return {"policy": policy, "phase": state.phase}


def _region(state: RegionState, facts: RegionFacts | None) -> dict[str, Any]:
    shown = {"region": state.region, "seq": state.seq} | region_part(state)
    if facts is None:
        return shown
    south, west, north, east = facts.box
    return shown | {
        "names": dict(zip(LANGUAGES, facts.names.each(), strict=True)),
        "population": facts.population,
        "capital": {"lat": facts.capital_at.lat, "lon": facts.capital_at.lon},
        "bbox": [west, south, east, north],
    }


def _contact(contact: UnreadableContact) -> dict[str, Any]:
    """The raw form as text where it is text, else in base64."""
    shown = {
        "contact_id": contact.contact_id,
        "at": contact.at,
        "actor": contact.actor,
        "door": contact.door,
        "content_type": contact.content_type,
        "fault": contact.fault,
        "region": contact.region,
    }
    try:
        return shown | {"text": contact.raw.decode()}
    except UnicodeDecodeError:
        return shown | {"base64": base64.b64encode(contact.raw).decode()}
