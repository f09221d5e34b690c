"""The rules are looked at in steps, so that a process that loads a large region goes on renewing its leases."""

from __future__ import annotations

from msgspec.structs import replace

from dispatch.core.invariants import AT_ONCE, broken, checking
from dispatch.core.terms import CallId, RegionId
from tests.core.scene import Scene


def _crowded() -> Scene:
    scene = Scene()
    call = scene.state.calls[scene.call("c-0000")]
    for number in range(1, 3 * AT_ONCE):
        scene.state.put_call(replace(call, call_id=CallId(f"c-{number:04}")))
    return scene


def test_a_large_region_is_looked_through_in_many_steps() -> None:
    assert sum(1 for _ in checking(_crowded().state)) > 6


def test_what_is_broken_is_found_in_whichever_step_it_lies() -> None:
    scene = _crowded()
    assert broken(scene.state) == []
    last = next(reversed(scene.state.calls.values()))
    scene.state.calls[last.call_id] = replace(last, region=RegionId("UZ-TO"))
    scene.state.in_hand[CallId("c-0001")] = None
    found = broken(scene.state)
    assert len(found) == 3
    assert any("is of UZ-TO in UZ-TK" in fault for fault in found)
    assert any("c-0001" in fault and "listed as in hand" in fault for fault in found)
    assert any(fault.startswith("Every index is") for fault in found)
