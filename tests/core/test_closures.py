"""Closed roads as a region keeps them: until their time, until they are opened, and no more than it may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dispatch.core import closures, snapshot
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.closure_terms import Closure, ClosureId
from tests.core.scene import CHORSU, LOLA, START, Scene

HOUR = timedelta(hours=1)


def closure(name: str = "r-1", **changes: Any) -> Closure:
    known = {"line": (CHORSU,), "radius_m": 30.0, "reason": "works", "since": START, "by": LOLA, "at": START}
    return Closure(closure_id=ClosureId(name), **{**known, **changes})


def close(scene: Scene, name: str = "r-1", **changes: Any) -> list[e.Event] | str:
    return scene.outcome(c.CloseRoad(actor=LOLA, closure=closure(name, **changes)))


def reopen(scene: Scene, name: str = "r-1") -> list[e.Event] | str:
    return scene.outcome(c.ReopenRoad(actor=LOLA, closure_id=ClosureId(name)))


def test_a_closed_road_is_kept_as_it_was_drawn_and_survives_a_snapshot() -> None:
    scene = Scene()
    kept = closure(factor=2.5, until=START + HOUR)
    assert close(scene, factor=2.5, until=START + HOUR) == [e.RoadClosed(closure=kept)]
    again = snapshot.restore(snapshot.take(scene.state))
    assert again.closures == scene.state.closures == {"r-1": kept}


def test_a_road_is_opened_once_and_only_where_it_was_closed() -> None:
    scene = Scene()
    close(scene)
    assert reopen(scene) == [e.RoadReopened(closure_id=ClosureId("r-1"))]
    assert scene.state.closures == {}
    assert reopen(scene) == "unknown_closure"


def test_a_closure_whose_time_has_passed_cannot_be_opened_and_is_forgotten_with_the_next() -> None:
    scene = Scene()
    close(scene, until=START + HOUR)
    scene.wait(3_600)
    assert reopen(scene) == "unknown_closure"
    close(scene, "r-2", since=scene.now)
    assert list(scene.state.closures) == ["r-2"]


def test_a_closure_that_would_end_before_it_counts_is_refused() -> None:
    scene = Scene()
    assert close(scene, until=START) == "closure_over"
    assert close(scene, since=START + 2 * HOUR, until=START + HOUR) == "closure_over"
    assert isinstance(close(scene, since=START + HOUR, until=START + 2 * HOUR), list)


def test_the_closures_of_a_region_have_so_many_points_together_and_no_more() -> None:
    scene = Scene()
    most = closures.CLOSURE_POINTS_MAX
    assert close(scene, "r-more", line=(CHORSU,) * most, more=((CHORSU,),)) == "closure_limit"
    assert isinstance(close(scene, line=(CHORSU,) * 2, more=((CHORSU,) * (most - 2),), until=START + HOUR), list)
    assert close(scene, "r-more") == "closure_limit"
    scene.wait(3_600)
    assert isinstance(close(scene, "r-more", since=scene.now), list)


def test_a_region_keeps_so_many_closures_and_no_more() -> None:
    scene = Scene()
    for i in range(closures.CLOSURES_MAX):
        scene.state.closures[ClosureId(f"r-{i}")] = closure(f"r-{i}", until=START + HOUR)
    assert close(scene, "r-more") == "closure_limit"
    scene.wait(3_600)
    close(scene, "r-more", since=scene.now)
    assert list(scene.state.closures) == ["r-more"]
