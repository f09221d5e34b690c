"""Cards: everything of one call or one incident on one page, with what is personal for those who may see
it.

Each look at personal data is noted in the audit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import to_builtins

from consoles.aid_rows import advice
from consoles.board import call_row, incident_row, stage_of
from consoles.desk import Desk, NoteDocument
from consoles.hazard_rows import of_incident
from dispatch.actors import Actor, Role
from dispatch.calling.evidence import whereabouts
from dispatch.core.hazards import hazards_of
from dispatch.core.terms import Assignment, Body, Call, CallId, Incident, LocationFix, UnitId
from dispatch.ids import made_at
from routing.geometry import to_lonlat

Row = dict[str, Any]

CALLS_SHOWN = 100
"""Calls on an incident's card; the list `GET /calls?incident_id=` pages through all."""

READERS = frozenset({Role.CALL_TAKER, Role.DISPATCHER, Role.SUPERVISOR, Role.ADMIN})
"""Who may read what callers and colleagues said. A body's people read their own body's notes only."""

_TIMES = (
    ("assigned_at", "assigned"),
    ("delivered_at", "order_delivered"),
    ("seen_at", "order_seen"),
    ("accepted_at", "order_accepted"),
    ("refused_at", "order_refused"),
    ("en_route_at", "en_route"),
    ("on_scene_at", "on_scene"),
    ("transporting_at", "transporting"),
    ("at_facility_at", "at_facility"),
    ("cleared_at", "cleared"),
)

_CREWS = frozenset(field for field, _ in _TIMES) - {"assigned_at", "delivered_at", "cleared_at"}
"""What crews say themselves."""


async def call_card(desk: Desk, actor: Actor, call: Call, shared_number: bool) -> Row:
    """A call: its row, evidence, and for those who may the caller and the words. `shared_number` flags it."""
    waiting = _waiting(desk, call)
    row: Row = {"region": call.region} | call_row(call, waiting=bool(waiting))
    if shared_number:
        row["flags"] = [*row["flags"], "shared_number"]
    return row | {
        "location": whereabouts(call.location),
        "evidence": await _evidence(desk, actor, call.evidence),
        "evidence_waiting": await _evidence(desk, actor, waiting),
        "answered_at": call.answered_at,
        "closed_at": call.closed_at,
        "disposition": call.disposition,
        "came_from": call.came_by.partition(":")[0] if call.came_by else None,
        "came_by": call.came_by,
        "caller": await _caller(desk, actor, call),
    }


async def incident_card(desk: Desk, actor: Actor, incident: Incident) -> Row:
    """An incident: its row, calls, assignments with their times, notes, evidence, what happened when."""
    state = desk.replicas.states[incident.region]
    calls = await _calls(desk, incident)
    notes = await _notes(desk, actor, incident)
    hazards = await _hazards(desk, actor, incident)
    shown = [] if actor.role is Role.BODY else [call_row(call) for call in calls]
    fixes = [] if actor.role is Role.BODY else [fix for call in calls for fix in call.evidence]
    evidence = await _evidence(desk, actor, fixes)
    return (
        {"region": incident.region}
        | incident_row(state, incident, actor.view)
        | {
            "location": whereabouts(incident.location),
            "calls": shown,
            "call_count": incident.call_count,
            "lent_units": [{"region": one.region} | _lent(one.assignment) for one in incident.lent],
            "aid_advice": advice(state, incident),
            "assignments": [_assignment(desk, incident, a) for a in incident.assignments],
            "notes": notes,
            "hazards": hazards,
            "evidence": evidence,
            "timeline": timeline(incident, [] if actor.role is Role.BODY else calls, notes),
            "merged_into": incident.merged_into,
            "referred_to": incident.referred_to,
            "referred_call": incident.referred_call,
            "disposition": incident.disposition,
            "closed_at": incident.closed_at,
        }
    )


def position_of(desk: Desk, unit_id: UnitId) -> Row | None:
    """Where a unit is and how old that is, in wall seconds; None when it never said."""
    position = desk.engine.positions.get(unit_id)
    if position is None:
        return None
    return {
        "point": {"type": "Point", "coordinates": to_lonlat((position.lat, position.lon))},
        "at": position.at,
        "age_s": round(position.age_s(desk.engine.clock.wall()), 1),
        "heading_deg": position.heading_deg,
        "speed_mps": position.speed_mps,
        "accuracy_m": position.accuracy_m,
    }


def timeline(incident: Incident, calls: Iterable[Call], notes: Iterable[Row]) -> list[Row]:
    """What happened with an incident, in order; a call that came long before it was joined stands first."""
    rows: list[Row] = [{"at": incident.opened_at, "kind": "opened", "actor": None}]
    rows += [{"at": c.at, "kind": "call", "actor": c.device, "call_id": c.call_id} for c in calls]
    for assignment in incident.assignments:
        rows += _steps(assignment)
    rows += [
        {"at": one.at, "kind": "hazard_acknowledged", "actor": one.actor, "hazard_id": one.hazard_id}
        for one in incident.acknowledged
    ]
    rows += [{"at": n["at"], "kind": "note", "actor": n["actor"], "note_id": n["note_id"]} for n in notes]
    if incident.closed_at is not None:
        rows.append({"at": incident.closed_at, "kind": "closed", "actor": None})
    return sorted(rows, key=lambda row: row["at"])


def _steps(assignment: Assignment) -> Iterator[Row]:
    for field, kind in _TIMES:
        at = getattr(assignment, field)
        if at is not None:
            row = {
                "at": at,
                "kind": kind,
                "actor": f"unit:{assignment.unit_id}" if field in _CREWS else None,
                "unit_id": assignment.unit_id,
            }
            yield row | {"call_sign": assignment.call_sign, "assignment_id": assignment.assignment_id}


def _lent(found: Assignment) -> Row:
    """A unit of another region, as its home last said."""
    return {
        "unit_id": found.unit_id,
        "call_sign": found.call_sign,
        "body": found.body,
        "capability": found.capability,
        "status": found.status,
        "eta_s": found.eta_s,
        "eta_p90_s": found.eta_p90_s,
        "cleared_reason": found.cleared_reason,
    } | {field: getattr(found, field) for field, _ in _TIMES}


def _assignment(desk: Desk, incident: Incident, found: Assignment) -> Row:
    order = desk.replicas.states[incident.region].orders.get(found.order_id)
    times = {field: getattr(found, field) for field, _ in _TIMES}
    return {
        "assignment_id": found.assignment_id,
        "unit_id": found.unit_id,
        "call_sign": found.call_sign,
        "body": found.body,
        "capability": found.capability,
        "status": found.status,
        "stage": stage_of(found, order),
        "eta_s": found.eta_s,
        "eta_p90_s": found.eta_p90_s,
        "cleared_reason": found.cleared_reason,
        "unacknowledged_hazards": found.unacknowledged,
    } | times


def _waiting(desk: Desk, call: Call) -> list[LocationFix]:
    """What was taken for a call that is on its way or gone, and has not reached it yet."""
    state = desk.replicas.states.get(call.region)
    return [piece.fix for piece in state.onward_of(call.call_id)] if state is not None else []


async def _evidence(desk: Desk, actor: Actor, fixes: Iterable[LocationFix]) -> list[Row]:
    """Pieces of evidence, with their words for those who may read what callers say."""
    fixes = list(fixes)
    ids = [fix.note_id for fix in fixes if fix.note_id is not None] if actor.role in READERS else []
    found = await desk.store.personal(ids) if ids else {}
    for id in found:
        desk.audit.note(actor, "read", f"personal:{id}")
    words = {id: msgspec.json.decode(kept.document, type=NoteDocument).text for id, kept in found.items()}
    return [_fix(fix) | ({"text": words[fix.note_id]} if fix.note_id in words else {}) for fix in fixes]


def _fix(fix: LocationFix) -> Row:
    point = None
    if fix.lat is not None and fix.lon is not None:
        point = {"type": "Point", "coordinates": to_lonlat((fix.lat, fix.lon))}
    return {
        "source": fix.source,
        "point": point,
        "accuracy_m": fix.accuracy_m,
        "at": fix.at,
        "confirmed": fix.confirmed,
    } | _shape(fix)


def _shape(fix: LocationFix) -> Row:
    """What a cell covers, and other places that words may mean, where there is such."""
    shape: Row = {}
    if fix.sector is not None:
        shape |= to_builtins(fix.sector)
    if fix.area:
        shape["area"] = {"type": "Polygon", "coordinates": [[to_lonlat(corner) for corner in fix.area]]}
    if fix.spots:
        shape["candidates"] = [
            {"point": {"type": "Point", "coordinates": to_lonlat((spot.lat, spot.lon))}, "accuracy_m": spot.accuracy_m,
             "score": spot.score}
            for spot in fix.spots
        ]  # fmt: skip
    return shape


async def _caller(desk: Desk, actor: Actor, call: Call) -> Row | None:
    """The personal document of a call for those who may read it; a device knows what it sent anyway."""
    if call.commitment is None or actor.role not in READERS | {Role.DEVICE}:
        return None
    found = (await desk.store.personal([call.call_id])).get(call.call_id)
    if found is None:
        return {"erased": True}
    desk.audit.note(actor, "read", f"call:{call.call_id}")
    document: Row = msgspec.json.decode(found.document)
    return document


async def _calls(desk: Desk, incident: Incident) -> list[Call]:
    """The calls of an incident, oldest first: from memory while it is open, else from the read models."""
    state = desk.replicas.states[incident.region]
    if incident.incident_id in state.incidents:
        ids: Iterable[CallId] = list(state.calls_of.get(incident.incident_id, ()))[:CALLS_SHOWN]
        return [state.calls[call_id] for call_id in ids]
    filters = {"incident_id": str(incident.incident_id), "region": str(incident.region)}
    rows, _ = await desk.store.rows("calls", filters, None, CALLS_SHOWN)
    return [msgspec.json.decode(row["doc"], type=Call) for row in reversed(rows)]


async def _notes(desk: Desk, actor: Actor, incident: Incident) -> list[Row]:
    """The notes that this actor may read, oldest first."""
    said = await _documents(desk, actor, incident.notes)
    return [{"note_id": id, "at": _note_at(id), "actor": one.actor, "text": one.text} for id, one in said.items()]


async def _hazards(desk: Desk, actor: Actor, incident: Incident) -> list[Row]:
    """The hazards that concern it, each with its words for those who may read them."""
    found = hazards_of(desk.replicas.states[incident.region], incident)
    words = await words_of(desk, actor, [hazard.note_id for hazard in found if hazard.note_id])
    return [of_incident(hazard, incident) | {"text": words.get(hazard.note_id or "")} for hazard in found]


async def words_of(desk: Desk, actor: Actor, note_ids: Sequence[str]) -> dict[str, str]:
    """What was written under these ids, as far as this actor may read it."""
    return {id: said.text for id, said in (await _documents(desk, actor, note_ids)).items()}


async def _documents(desk: Desk, actor: Actor, note_ids: Sequence[str]) -> dict[str, NoteDocument]:
    """The documents of these notes that this actor may read, in their order; each look is audited."""
    if not note_ids or not (actor.role in READERS or actor.role is Role.BODY):
        return {}
    found = await desk.store.personal(note_ids)
    documents = {id: msgspec.json.decode(found[id].document, type=NoteDocument) for id in note_ids if id in found}
    shown = {id: said for id, said in documents.items() if _may_read(actor, said.body)}
    for id in shown:
        desk.audit.note(actor, "read", f"personal:{id}")
    return shown


def _may_read(actor: Actor, body: Body | None) -> bool:
    """Police do not read medical notes: a body's people read what their own body wrote."""
    return actor.role is not Role.BODY or body == actor.body


def _note_at(note_id: str) -> datetime:
    return made_at(note_id) or datetime(1970, 1, 1, tzinfo=UTC)
