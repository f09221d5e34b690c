"""The report says what happened: no double assignment unseen, none invented, and what is old enough to be over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from simulators.report import Courses, LoadReport, Samples

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTRACT = (
    "calls_accepted incidents_opened calls_located incidents_assigned incidents_cleared calls_lost "
    "double_assignments refused call_to_commit_ms call_to_console_ms call_to_order_delivered_ms"
)


def row(*units: str, opened: datetime = NOON, assigned: datetime = NOON) -> dict[str, Any]:
    held = [
        {"unit_id": unit, "assignment_id": f"{unit}.{opened:%H%M}", "assigned_at": assigned.isoformat()}
        for unit in units
    ]
    return {"opened_at": opened.isoformat(), "units": held}


def shown(courses: Courses, *rows: tuple[str, dict[str, Any] | None]) -> None:
    """One delta of a region's board."""
    concerned: list[str] = []
    for incident_id, said in rows:
        concerned += courses.row("UZ-TK", incident_id, said)
    courses.check(concerned)


@pytest.fixture
def courses() -> Courses:
    return Courses(NOON)


def test_a_unit_on_two_incidents_is_seen(courses: Courses) -> None:
    shown(courses, ("TK-1", row("TK-A1")))
    shown(courses, ("TK-2", row("TK-A2", "TK-A1")))
    assert {unit for unit, *_ in courses.double} == {"TK-A1"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_unit_that_moves_on_within_one_delta_is_not_on_two(courses: Courses, order: Sequence[int]) -> None:
    shown(courses, ("TK-1", row("TK-A1")))
    rows = [("TK-1", row()), ("TK-2", row("TK-A1"))]
    shown(courses, *(rows[i] for i in order))
    assert not courses.double


def test_a_unit_whose_incident_left_the_board_is_free(courses: Courses) -> None:
    shown(courses, ("TK-1", row("TK-A1")))
    shown(courses, ("TK-1", None))
    shown(courses, ("TK-2", row("TK-A1")))
    assert not courses.double


def test_only_incidents_of_this_load_and_old_enough_are_expected_to_be_over(courses: Courses) -> None:
    early, late = NOON + timedelta(minutes=1), NOON + timedelta(minutes=30)
    before = NOON - timedelta(minutes=9)
    shown(courses, ("TK-1", row("TK-A1", opened=early, assigned=early)))
    shown(courses, ("TK-2", row("TK-A2", opened=late, assigned=late)))
    shown(courses, ("TK-3", row("TK-A3", opened=before, assigned=before)))
    shown(courses, ("TK-4", row(opened=early)))
    assert courses.old(NOON + timedelta(minutes=47)) == ["TK-1"]
    assert set(courses.ours()) == {"TK-1", "TK-2", "TK-4"}


def test_the_way_of_an_order_is_timed_where_a_unit_was_there_at_once(courses: Courses) -> None:
    waited = NOON + timedelta(minutes=4)
    shown(courses, ("TK-1", row("TK-A1")), ("TK-2", row("TK-A2", assigned=waited)))
    for incident_id in ("TK-1", "TK-2"):
        courses.opening(incident_id, 10.0)
        courses.order(incident_id, 10.5)
        courses.order(incident_id, 99.0)
    assert courses.delivered({"UZ-TK": True}).seconds == [0.5]
    assert courses.delivered({"UZ-TK": False}).seconds == []


def test_incidents_that_waited_for_a_unit_or_have_none_are_counted_beside_the_way_of_orders(courses: Courses) -> None:
    shown(
        courses, ("TK-1", row("TK-A1")), ("TK-2", row("TK-A2", assigned=NOON + timedelta(minutes=4))), ("TK-3", row())
    )
    for incident_id in ("TK-1", "TK-2", "TK-3"):
        courses.opening(incident_id, 10.0)
    assert courses.kept_waiting({"UZ-TK": True}) == 2
    assert courses.kept_waiting({"UZ-TK": False}) == 0


def test_quantiles_are_those_of_the_samples() -> None:
    samples = Samples()
    for ms in range(1, 1001):
        samples.add(ms / 1000)
    latency = samples.latency()
    assert (latency.p50, latency.p99, latency.max, latency.samples) == (501.0, 991.0, 1000.0, 1000)
    assert Samples().latency().p99 is None


def test_the_report_has_the_keys_of_the_contract() -> None:
    assert set(CONTRACT.split()) <= set(LoadReport.__struct_fields__)
    assert {"p50", "p99"} <= msgspec.to_builtins(Samples().latency()).keys()
