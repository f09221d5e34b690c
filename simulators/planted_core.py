"""Bugs planted in the deciding core, the boards among them; planted.py hunts them in worlds of the core."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

import dispatch.core.state
from consoles.board import Board
from dispatch.core import assigning, crews, recommend, snapshot
from dispatch.core import commands as c
from dispatch.core import decide as deciding
from dispatch.core import events as e
from dispatch.core.steps import STEPS
from dispatch.core.verdict import NOTHING
from simulators.planting import list_of, swapped
from simulators.seeds import Level

BUGS, bug = list_of(Level.CORE)


@bug
def an_unanswered_order_is_never_sent_again() -> AbstractContextManager[None]:
    return swapped((deciding.DECIDERS, c.SendOrder, lambda state, command, now: NOTHING))


@bug
def the_deadlines_are_lost_with_a_restart() -> AbstractContextManager[None]:
    whole = snapshot.restore

    def restore(data: bytes) -> Any:
        state = whole(data)
        state.due.clear()
        return state

    return swapped((snapshot, "restore", restore))


@bug
def a_restart_forgets_which_calls_joined_what() -> AbstractContextManager[None]:
    whole = snapshot.restore

    def restore(data: bytes) -> Any:
        state = whole(data)
        state.calls_of.clear()
        return state

    return swapped((snapshot, "restore", restore))


@bug
def one_kind_of_event_leaves_its_index_behind() -> AbstractContextManager[None]:
    step = STEPS[e.CallReleased]

    def released(state: Any, event: Any, at: Any) -> None:
        waiting = list(state.waiting_calls)
        step(state, event, at)
        for key in waiting:
            state.waiting_calls.add(key)

    return swapped((STEPS, e.CallReleased, released))


@bug
def a_unit_out_of_contact_is_recommended() -> AbstractContextManager[None]:
    suits, sendable = recommend._suits, dispatch.core.state.can_be_sent

    def heard(unit: Any) -> Any:
        return None if unit is None else replace(unit, linked=True)

    return swapped(
        (recommend, "_suits", lambda unit, needs: suits(heard(unit), needs)),
        (dispatch.core.state, "can_be_sent", lambda unit: sendable(heard(unit))),
    )


@bug
def a_merge_leaves_a_call_behind() -> AbstractContextManager[None]:
    step = STEPS[e.IncidentMerged]

    def merged(state: Any, event: Any, at: Any) -> None:
        joined = sorted(state.calls_of.get(event.incident_id, ()))
        left = state.calls[joined[-1]] if joined else None
        step(state, event, at)
        if left is not None:
            state.put_call(left)

    return swapped((STEPS, e.IncidentMerged, merged))


@bug
def a_hand_over_is_taken_twice() -> AbstractContextManager[None]:
    take = deciding.DECIDERS[c.TakeCall]

    def taken(state: Any, command: Any, now: Any) -> Any:
        return take(state, replace(command, offer_id=f"{command.offer_id}/{state.seq}"), now)

    return swapped((deciding.DECIDERS, c.TakeCall, taken))


@bug
def evidence_for_a_call_on_its_way_is_dropped() -> AbstractContextManager[None]:
    locate = deciding.DECIDERS[c.LocateCall]

    def located(state: Any, command: Any, now: Any) -> Any:
        return NOTHING if command.call_id in state.offers else locate(state, command, now)

    return swapped((deciding.DECIDERS, c.LocateCall, located))


@bug
def a_unit_that_is_busy_is_assigned_again() -> AbstractContextManager[None]:
    suits = recommend._suits
    return swapped(
        (recommend, "_suits", lambda unit, needs: suits(unit and replace(unit, assignment_id=None), needs)),
        (dispatch.core.state, "can_be_sent", lambda unit: unit.on_shift and unit.linked),
    )


@bug
def what_a_crew_with_a_slow_clock_says_is_taken_for_old() -> AbstractContextManager[None]:
    return swapped((crews, "_news_of_clock", lambda unit, age_s: None))


@bug
def a_person_sends_into_a_danger_that_nobody_has_read_of() -> AbstractContextManager[None]:
    return swapped((assigning, "_unread", lambda state, incident: None))


@bug
def a_delta_shows_a_body_what_only_dispatchers_see() -> AbstractContextManager[None]:
    whole = Board.changes

    def changes(self: Board, state: Any, touched: Any) -> Any:
        own = self._body
        self._body = None if touched is not None else own
        try:
            return whole(self, state, touched)
        finally:
            self._body = own

    return swapped((Board, "changes", changes))
