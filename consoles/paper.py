"""What the paper kit says of one region: everything that somebody needs to go on by hand when nothing works.

Pure: a sheet is gathered from a committed state, the personal documents that go with it, and the telephone list.
How it looks is paper_page.py, when it is written paper_kit.py. Callers' numbers stand in full: see decision 28.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest

import msgspec

from consoles.telephones import Telephone
from dispatch.calling.calls import CallerKnown
from dispatch.core.needs import live, unmet
from dispatch.core.state import RegionState
from dispatch.core.terms import Assignment, Call, CallId, CallStatus, Incident, Location, Need, Unit

MOST_INCIDENTS = 500
MOST_CALLS = 300
CALLS_AN_INCIDENT = 4
NOTES_AN_INCIDENT = 6
"""The most urgent and the newest; a sheet says how many more there are."""

Documents = Mapping[str, bytes | None]
"""Id of a call or a note -> its personal document, None when it was erased; one that was not asked for is absent."""


class Note(msgspec.Struct, frozen=True):
    """A note's document, as far as paper needs it."""

    text: str


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """A call; `caller` is None when nothing personal was said; `missing` says why what was said cannot be shown."""

    call: Call
    caller: CallerKnown | None = None
    missing: str = ""


class IncidentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with what was said of it and who is on it."""

    incident: Incident
    calls: tuple[CallLine, ...]
    more_calls: int
    notes: tuple[str, ...]
    units: tuple[Assignment, ...]
    lacking: tuple[Need, ...]


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One region at one moment. `written_at` is wall time; `service_at` differs from it in a simulation only."""

    region: str
    written_at: datetime
    service_at: datetime
    mode: str
    incidents: tuple[IncidentEntry, ...]
    more_incidents: int
    calls: tuple[CallLine, ...]
    more_calls: int
    units: tuple[Unit, ...]
    telephones: tuple[Telephone, ...] | None
    telephone_fault: bool = False
    words_away: bool = False
    """The database gave no personal documents: those of the last time are shown."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What all sheets of one writing share."""

    written_at: datetime
    service_at: datetime
    mode: str
    telephones: tuple[Telephone, ...] | None = None
    telephone_fault: bool = False
    words_away: bool = False


def incidents_of(state: RegionState) -> list[Incident]:
    """The open incidents that a sheet holds, the most urgent first."""
    return nsmallest(MOST_INCIDENTS, state.incidents.values(), key=lambda i: (i.priority, i.opened_at, i.number))


def calls_of(state: RegionState) -> list[Call]:
    """The calls that nobody has finished with and that are no part of an incident, the oldest first."""
    waiting = [CallId(name) for _, _, name in state.waiting_calls.first(MOST_CALLS)]
    found = [state.calls[call_id] for call_id in dict.fromkeys([*waiting, *state.in_hand])]
    return sorted(found, key=lambda call: call.at)[:MOST_CALLS]


def wanted(state: RegionState) -> list[str]:
    """The ids of the personal documents that a sheet of this state shows."""
    ids: list[str] = [call.call_id for call in calls_of(state) if call.commitment is not None]
    for incident in incidents_of(state):
        ids += [call.call_id for call in _joined(state, incident) if call.commitment is not None]
        ids += incident.notes[-NOTES_AN_INCIDENT:]
    return ids


def gathered(state: RegionState, documents: Documents, moment: Moment) -> Sheet:
    """The sheet of one region; the state is only read, and at once."""
    incidents, calls = incidents_of(state), calls_of(state)
    waiting = sum(count for status, count in state.standing.items() if status is not CallStatus.LINKED)
    return Sheet(
        region=state.region,
        written_at=moment.written_at,
        service_at=moment.service_at,
        mode=moment.mode,
        incidents=tuple(_entry(state, incident, documents) for incident in incidents),
        more_incidents=len(state.incidents) - len(incidents),
        calls=tuple(_line(call, documents) for call in calls),
        more_calls=max(0, waiting - len(calls)),
        units=tuple(sorted(state.units.values(), key=lambda unit: (unit.body, not unit.on_shift, unit.call_sign))),
        telephones=moment.telephones,
        telephone_fault=moment.telephone_fault,
        words_away=moment.words_away,
    )


def place_of(location: Location | None, languages: Sequence[str]) -> list[str]:
    """The place in words, once for each language in which it has others, and its coordinates; empty without one."""
    if location is None:
        return []
    names = dict.fromkeys(location.place[tag] for tag in languages if location.place.get(tag))
    return [*names, f"{location.lat:.5f}, {location.lon:.5f} ± {location.accuracy_m:.0f} m"]


def _joined(state: RegionState, incident: Incident) -> list[Call]:
    ids: Iterable[CallId] = list(state.calls_of.get(incident.incident_id, ()))[:CALLS_AN_INCIDENT]
    return [state.calls[call_id] for call_id in ids]


def _entry(state: RegionState, incident: Incident, documents: Documents) -> IncidentEntry:
    calls = _joined(state, incident)
    ids = incident.notes[-NOTES_AN_INCIDENT:]
    return IncidentEntry(
        incident=incident,
        calls=tuple(_line(call, documents) for call in calls),
        more_calls=incident.call_count - len(calls),
        notes=tuple(msgspec.json.decode(kept, type=Note).text for kept in map(documents.get, ids) if kept is not None),
        units=tuple(live(incident)),
        lacking=tuple(unmet(incident)),
    )


def _line(call: Call, documents: Documents) -> CallLine:
    document = documents.get(call.call_id)
    if document is not None:
        return CallLine(call=call, caller=msgspec.json.decode(document, type=CallerKnown))
    asked = call.call_id in documents
    return CallLine(call=call, missing="" if call.commitment is None else "erased" if asked else "words_away")
