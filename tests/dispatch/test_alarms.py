"""An alarm stands until it is over, has an owner, and is said at its beginning and its end."""

import logging

import pytest

from dispatch.clock import ManualClock
from dispatch.web.alarms import SUPERVISOR, TECHNICIAN, Alarms, Watched, merged, servers
from dispatch.web.metrics import Metrics


class Bench:
    """Alarms over two conditions that a test sets."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.said: dict[str, str] = {}
        self.alarms = Alarms(self.metrics, self.clock.now)
        self.alarms.watch(
            Watched(code="disk_early", owner=TECHNICIAN, said=lambda: self.said.get("disk")),
            Watched(code="calls_spooled", owner=SUPERVISOR, said=lambda: self.said.get("calls"), grave=True),
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def test_an_alarm_stands_with_its_beginning_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.alarms.look()
    assert bench.alarms.standing() == ()
    bench.said["calls"] = "1 call waits"
    with caplog.at_level(logging.WARNING):
        bench.alarms.look()
        began = bench.clock.wall()
        bench.clock.advance(3600)
        bench.said["calls"] = "7 calls wait"
        bench.alarms.look()
    (alarm,) = bench.alarms.standing()
    assert (alarm.code, alarm.owner, alarm.since, alarm.detail) == (
        "calls_spooled", "supervisor", began, "7 calls wait",
    )  # fmt: skip
    assert len(caplog.records) == 1
    assert bench.value("dispatch112_alarm", code="calls_spooled", owner="supervisor") == 1
    del bench.said["calls"]
    bench.alarms.look()
    assert bench.alarms.standing() == ()
    assert "over after 3600 s: calls_spooled" in caplog.text
    assert bench.value("dispatch112_alarm", code="calls_spooled", owner="supervisor") == 0
    assert bench.value("dispatch112_alarms_total", code="calls_spooled") == 1


def test_the_grave_ones_stand_first_and_who_is_not_logged_in_reads_no_detail() -> None:
    bench = Bench()
    bench.said["disk"] = "3000 MiB are free on the disk of the data"
    bench.alarms.look()
    bench.clock.advance(1)
    bench.said["calls"] = "1 call waits"
    bench.alarms.look()
    assert [alarm.code for alarm in bench.alarms.standing()] == ["calls_spooled", "disk_early"]
    assert {alarm.detail for alarm in bench.alarms.for_anybody()} == {""}


def test_a_server_that_is_away_is_an_alarm_and_one_that_is_not_used_is_none() -> None:
    words = {"postgres": "away", "redis": "none", "mqtt": "ok"}
    alarms = Alarms(Metrics(), ManualClock().now)
    alarms.watch(*servers(lambda: words, dict.fromkeys(words, "it means something")))
    for standing in ([], [], [("postgres_away", "admin", True)]):
        alarms.look()
        assert [(alarm.code, alarm.owner, alarm.grave) for alarm in alarms.standing()] == standing
    words["mqtt"], words["postgres"] = "away", "ok"
    alarms.look()
    assert alarms.standing() == ()
    words["mqtt"] = "ok"
    alarms.look()
    words["mqtt"] = "away"
    for codes in ([], [], ["mqtt_away"]):
        alarms.look()
        assert [alarm.code for alarm in alarms.standing()] == codes


def test_an_alarm_of_several_processes_is_one_that_stands_since_the_first_of_them() -> None:
    here, there = Bench(), Bench()
    there.said["disk"], there.said["calls"] = "far", "7 calls wait"
    there.alarms.look()
    here.clock.advance(60)
    here.said["disk"] = "near"
    here.alarms.look()
    alarms = merged(here.alarms.standing(), there.alarms.for_anybody())
    assert [(alarm.code, alarm.detail) for alarm in alarms] == [("calls_spooled", ""), ("disk_early", "near")]
    assert {alarm.since for alarm in alarms} == {there.clock.wall()}
    assert merged(here.alarms.standing()) == here.alarms.standing()


def test_an_alarm_that_no_console_has_words_for_is_not_watched() -> None:
    with pytest.raises(AssertionError, match="words"):
        Bench().alarms.watch(Watched(code="something_else", owner=TECHNICIAN, said=lambda: None))
