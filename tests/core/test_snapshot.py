"""Snapshots in steps, copies of a state, and the order of what waits."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatch.core import snapshot
from dispatch.core.invariants import broken
from dispatch.core.queue import Ranked
from dispatch.core.state import RegionState
from dispatch.core.terms import CallId, CallStatus, IncidentId
from tests.core.scene import START, Scene

MANY = 3 * snapshot.AT_ONCE + 1

KEYS = st.lists(
    st.tuples(
        st.sampled_from(("P1", "P2", "P3", "P4")),
        st.integers(0, 9).map(lambda minutes: START + timedelta(minutes=minutes)),
        st.sampled_from("abcdef"),
    )
)


def crowded() -> RegionState:
    """A region with more that waits than one step takes."""
    scene = Scene()
    scene.unit()
    call, incident = scene.state.calls[scene.call()], scene.state.incidents[scene.incident()]
    for number in range(MANY):
        scene.state.put_call(replace(call, call_id=CallId(f"c-{number + 10}")))
        scene.state.put_incident(replace(incident, incident_id=IncidentId(f"TK-{number + 10}")))
    scene.state.taken()
    return scene.state


def test_a_snapshot_is_of_the_moment_in_which_it_was_begun() -> None:
    state = crowded()
    before = snapshot.take(state)
    steps = snapshot.pieces(state)
    pieces = [next(steps)]
    first = next(iter(state.calls.values()))
    state.put_call(replace(first, status=CallStatus.CLOSED))
    state.put_incident(replace(state.incidents[IncidentId("TK-10")], incident_id=IncidentId("TK-new")))
    assert b"".join(pieces + list(steps)) == before
    assert snapshot.take(state) != before


def test_a_state_comes_back_in_steps_with_all_its_indexes() -> None:
    state = crowded()
    steps, count = snapshot.restoring(snapshot.take(state)), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            restored: RegionState = end.value
            break
        count += 1
    assert count > 2 * MANY // snapshot.AT_ONCE
    assert snapshot.take(restored) == snapshot.take(state)
    assert list(broken(restored)) == []


def test_a_copy_goes_its_own_way() -> None:
    state = crowded()
    before, copied = snapshot.take(state), state.copy()
    assert snapshot.take(copied) == before
    assert list(broken(copied)) == []
    for incident in list(copied.incidents.values())[:5]:
        copied.put_incident(replace(incident, location=None, legs=()))
    for unit in list(copied.units.values()):
        copied.put_unit(replace(unit, on_shift=False))
    for call in list(copied.calls.values())[:5]:
        copied.put_call(replace(call, status=CallStatus.CLOSED))
    assert snapshot.take(state) == before
    assert list(broken(state)) == []
    assert not state.taken().calls


@given(came=KEYS, gone=KEYS)
def test_what_waits_stands_in_order(
    came: list[tuple[str, datetime, str]], gone: list[tuple[str, datetime, str]]
) -> None:
    ranked: Ranked[tuple[str, datetime, str]] = Ranked()
    for key in came:
        ranked.add(key)
    for key in gone:
        ranked.discard(key)
    left = sorted(set(came) - set(gone))
    assert list(ranked) == left == list(ranked.copy())
    assert len(ranked) == len(left)
    assert ranked.first(3) == left[:3]
    for word in ("P1", "P4"):
        of_word = [key for key in left if key[0] == word]
        assert ranked.starting(word) == (len(of_word), of_word[0] if of_word else None)
    assert all((key in ranked) == (key in left) for key in came + gone)


def test_a_snapshot_without_a_stamp_counts_by_its_number_until_the_next_event() -> None:
    scene = Scene()
    scene.unit()
    values = msgspec.msgpack.decode(snapshot.take(scene.state))
    assert values.pop("stamp") > values["seq"]
    state = snapshot.restore(msgspec.msgpack.encode(values))
    assert state.stamp == state.seq == scene.state.seq
