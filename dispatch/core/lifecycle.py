"""Which status may follow which: the only place where a move is allowed or refused.

The tables are data. A move that a table does not hold is refused as `illegal_status` when a person or
a device asks for it, and is our own bug when the code tries it.

Theory. A call is *waiting* (ringing, queued, transferred, abandoned, calling_back), *in hand* (claimed,
answered, held) or *settled* (linked, closed). Nothing leaves `closed`; `linked` goes back only when a call is
split from its incident. A unit may skip steps forward, for a crew that forgets a button is still there,
but never backward within one assignment. From any status a crew may go out of service: a broken vehicle
is a fact, and its work returns to the queue. Of a lent unit we may hear first when it is on scene already.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from dispatch.core.terms import CallStatus as C
from dispatch.core.terms import IncidentStatus as I
from dispatch.core.terms import LegStatus as L
from dispatch.core.terms import Stage as S
from dispatch.core.terms import UnitStatus as U

Status = TypeVar("Status", bound=StrEnum)

CALL: Mapping[C, frozenset[C]] = {
    C.RINGING: frozenset({C.CLAIMED, C.ANSWERED, C.ABANDONED, C.TRANSFERRED, C.LINKED, C.CLOSED}),
    C.QUEUED: frozenset({C.CLAIMED, C.ANSWERED, C.ABANDONED, C.TRANSFERRED, C.LINKED, C.CLOSED}),
    C.CLAIMED: frozenset({C.CLAIMED, C.ANSWERED, C.HELD, C.ABANDONED, C.TRANSFERRED, C.LINKED, C.CLOSED}),
    C.ANSWERED: frozenset({C.HELD, C.ABANDONED, C.TRANSFERRED, C.LINKED, C.CLOSED}),
    C.HELD: frozenset({C.CLAIMED, C.ANSWERED, C.ABANDONED, C.TRANSFERRED, C.LINKED, C.CLOSED}),
    C.TRANSFERRED: frozenset({C.CLAIMED, C.ANSWERED, C.ABANDONED, C.LINKED, C.CLOSED}),
    C.ABANDONED: frozenset({C.CALLING_BACK, C.CLAIMED, C.ANSWERED, C.LINKED, C.CLOSED}),
    C.CALLING_BACK: frozenset({C.CALLING_BACK, C.ANSWERED, C.ABANDONED, C.LINKED, C.CLOSED}),
    C.LINKED: frozenset({C.ANSWERED, C.CLOSED}),
    C.CLOSED: frozenset(),
}

INCIDENT: Mapping[I, frozenset[I]] = {
    I.OPEN: frozenset({I.PENDING_UNITS, I.DISPATCHED, I.ON_SCENE, I.CLOSED}),
    I.PENDING_UNITS: frozenset({I.OPEN, I.DISPATCHED, I.ON_SCENE, I.CLOSED}),
    I.DISPATCHED: frozenset({I.PENDING_UNITS, I.ON_SCENE, I.OPEN, I.CLOSED}),
    I.ON_SCENE: frozenset({I.UNDER_CONTROL, I.PENDING_UNITS, I.DISPATCHED, I.OPEN, I.CLOSED}),
    I.UNDER_CONTROL: frozenset({I.ON_SCENE, I.PENDING_UNITS, I.DISPATCHED, I.OPEN, I.CLOSED}),
    I.CLOSED: frozenset(),
}

LEG: Mapping[L, frozenset[L]] = {
    L.NEEDED: frozenset({L.ASSIGNED, L.ON_SCENE, L.DONE, L.CANCELLED}),
    L.ASSIGNED: frozenset({L.NEEDED, L.ON_SCENE, L.DONE, L.CANCELLED}),
    L.ON_SCENE: frozenset({L.ASSIGNED, L.NEEDED, L.DONE, L.CANCELLED}),
    L.DONE: frozenset({L.NEEDED, L.ASSIGNED, L.ON_SCENE}),
    L.CANCELLED: frozenset({L.NEEDED, L.ASSIGNED}),
}

_AT_WORK = (U.DISPATCHED, U.ACKNOWLEDGED, U.EN_ROUTE, U.ON_SCENE, U.TRANSPORTING, U.AT_FACILITY)
_ENDS = frozenset({U.RETURNING, U.AVAILABLE, U.OUT_OF_SERVICE})

UNIT: Mapping[U, frozenset[U]] = {
    U.AVAILABLE: frozenset({U.DISPATCHED, U.OUT_OF_SERVICE, U.RETURNING}),
    U.RETURNING: frozenset({U.AVAILABLE, U.DISPATCHED, U.OUT_OF_SERVICE}),
    U.OUT_OF_SERVICE: frozenset({U.AVAILABLE}),
} | {status: frozenset(_AT_WORK[step + 1 :]) | _ENDS for step, status in enumerate(_AT_WORK)}

ORDER: Mapping[S, frozenset[S]] = {
    S.PENDING: frozenset({S.SENT, S.DELIVERED, S.SEEN, S.ACCEPTED, S.REFUSED}),
    S.SENT: frozenset({S.SENT, S.DELIVERED, S.SEEN, S.ACCEPTED, S.REFUSED}),
    S.DELIVERED: frozenset({S.SEEN, S.ACCEPTED, S.REFUSED}),
    S.SEEN: frozenset({S.ACCEPTED, S.REFUSED}),
    S.ACCEPTED: frozenset(),
    S.REFUSED: frozenset(),
}

WAITING_CALL = frozenset({C.RINGING, C.QUEUED, C.TRANSFERRED, C.ABANDONED, C.CALLING_BACK})
"""A call that nobody has in hand: it stands in its region's queue."""

IN_HAND = frozenset({C.CLAIMED, C.ANSWERED, C.HELD})
"""A call that somebody deals with."""

FREE = frozenset({U.AVAILABLE, U.RETURNING})
"""A unit that may be sent: standing by, or on its way home."""

WORKING = frozenset(_AT_WORK)
"""A unit with a live assignment has one of these, and no other unit has."""


def may(table: Mapping[Status, frozenset[Status]], old: Status, new: Status) -> bool:
    """Whether the table allows the move."""
    return new in table[old]


def moved(table: Mapping[Status, frozenset[Status]], old: Status, new: Status) -> Status:
    """The new status; a move that the table does not hold is our bug."""
    assert old == new or new in table[old], f"{type(old).__name__}: {old} may not become {new}"
    return new
