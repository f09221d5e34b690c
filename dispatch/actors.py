"""Who asks, and what each role may do: one table of rights, and the scope by region and by body.

This file decides nothing about *who somebody is* (`consoles/access.py` does) and opens no connection:
it is data and a few pure functions, used by every address of the service.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from dispatch.core.terms import SYSTEM, ActorId, Body, RegionId, UnitId
from dispatch.web.problems import Problem

EVERYWHERE = RegionId("*")
"""In `Actor.regions`: every region that there is or will be."""


class Role(StrEnum):
    CALL_TAKER = "call_taker"
    DISPATCHER = "dispatcher"
    SUPERVISOR = "supervisor"
    PLANNER = "planner"
    ADMIN = "admin"
    BODY = "body"
    UNIT = "unit"
    DEVICE = "device"
    CELL = "cell"
    """A neighbouring cell: it speaks for its regions to ours, and may do nothing else."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose request we answer. `session` names the log-in or token it came by, never its secret."""

    actor_id: ActorId
    role: Role
    username: str
    regions: tuple[RegionId, ...] = (EVERYWHERE,)
    body: Body | None = None
    unit_id: UnitId | None = None
    language: str | None = None
    session: str = ""

    @property
    def view(self) -> str:
        """The class of fields that this actor may see on a board: `full`, or `body:mia` …"""
        return f"body:{self.body}" if self.role is Role.BODY else "full"


_TAKERS = frozenset({Role.CALL_TAKER, Role.DISPATCHER, Role.SUPERVISOR, Role.ADMIN})
_SENDERS = frozenset({Role.DISPATCHER, Role.SUPERVISOR, Role.ADMIN})
_CHIEFS = frozenset({Role.SUPERVISOR, Role.ADMIN})
_ANALYSTS = frozenset({Role.SUPERVISOR, Role.PLANNER, Role.ADMIN})
_DESKS = _TAKERS | {Role.PLANNER}
_ALL = frozenset(Role) - {Role.CELL}

RIGHTS: dict[str, frozenset[Role]] = {
    "session.read": _ALL,
    "call.receive": _TAKERS | {Role.DEVICE},
    "call.locate": _TAKERS | {Role.DEVICE},
    "call.follow": _TAKERS | {Role.DEVICE},
    "call.read": _TAKERS,
    "call.work": _TAKERS,
    "aml.receive": _TAKERS | {Role.DEVICE},
    "incident.open": _TAKERS,
    "incident.read": _DESKS | {Role.BODY},
    "incident.note": _TAKERS | {Role.BODY},
    "incident.assign": _SENDERS,
    "incident.work": _SENDERS,
    "hazard.read": _DESKS | {Role.BODY},
    "hazard.record": _TAKERS | {Role.BODY},
    "hazard.acknowledge": _SENDERS,
    "hazard.end": _SENDERS,
    "unit.read": _DESKS | {Role.BODY, Role.UNIT},
    "unit.report": _SENDERS | {Role.BODY, Role.UNIT},
    "unit.field": frozenset({Role.UNIT}),
    "unit.shift": _SENDERS | {Role.BODY, Role.UNIT},
    "closure.read": _DESKS | {Role.BODY, Role.UNIT},
    "closure.work": _SENDERS,
    "region.read": _ALL,
    "region.policy": _SENDERS,
    "region.phase": _CHIEFS,
    "queue.read": _DESKS,
    "events.read": _ANALYSTS,
    "kpi.read": _ANALYSTS | {Role.DISPATCHER},
    "contact.read": _CHIEFS,
    "personal.export": _CHIEFS,
    "place.search": _ALL - {Role.DEVICE},
    "vehicle.find": _DESKS,
    "board.watch": _DESKS | {Role.BODY},
    "cell.exchange": frozenset({Role.CELL}),
    "cell.read": _DESKS,
}
"""Action -> the roles that have the right to it. Scope by region, body and unit comes on top."""

assert all(RIGHTS.values()), "an action that nobody may do is a mistake"


def may(actor: Actor, action: str, region: RegionId | None = None, body: Body | None = None) -> bool:
    """Whether the role has the right, and region and body (where the caller knows them) are in its scope."""
    assert action in RIGHTS, f"no such action: {action}"
    return (
        actor.role in RIGHTS[action]
        and (region is None or sees(actor, region))
        and (body is None or actor.body is None or actor.body == body)
    )


def require(actor: Actor, action: str, region: RegionId | None = None, body: Body | None = None) -> None:
    """Raises Problem `out_of_scope` (403) where `may` is false."""
    if not may(actor, action, region, body):
        where = f" in {region}" if region is not None else ""
        raise Problem("out_of_scope", f"{actor.role} may not do {action}{where}.")


def sees(actor: Actor, region: RegionId) -> bool:
    """Whether the region is in the actor's scope."""
    return EVERYWHERE in actor.regions or region in actor.regions


def visible(actor: Actor, regions: Iterable[RegionId]) -> tuple[RegionId, ...]:
    """Those of the regions that the actor sees, in their order."""
    return tuple(region for region in regions if sees(actor, region))


SYSTEM_ACTOR = Actor(actor_id=SYSTEM, role=Role.ADMIN, username="system")
"""The service itself: deadlines, hand-overs, simulated staff."""
