"""Which region has a call, also when more than one has known it."""

from __future__ import annotations

from msgspec.structs import replace

from dispatch.core.terms import CallId, CallStatus, RegionId
from dispatch.writing.directory import Directory
from tests.core.scene import Scene

TK, TO, CALL = RegionId("UZ-TK"), RegionId("UZ-TO"), CallId("c-1")


def test_a_call_that_came_home_to_another_region_and_ended_there_is_there() -> None:
    """It went to another cell from the first of the two, whose closed row says so for a while."""
    gone, home = Scene(TK), Scene(TO)
    for scene in (gone, home):
        scene.call(CALL)
    directory = Directory()
    directory.states = {TK: gone.state, TO: home.state}
    closed = replace(home.call_now(CALL), status=CallStatus.CLOSED)
    gone.state.put_call(replace(closed, region=TK, moving_to=RegionId("UZ-FA")))
    assert directory.region_of_call(CALL) == TO
    home.state.put_call(closed)
    assert directory.region_of_call(CALL) == TO
    del home.state.closed_calls[CALL]
    assert directory.region_of_call(CALL) == TK
    assert directory.region_of_call(CallId("c-2")) is None
