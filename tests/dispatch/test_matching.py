"""A handset's message belongs to the call of its number or IMEI, 60 s before it to 120 s after its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dispatch.calling import matching
from dispatch.calling.matching import Caller, Matcher
from dispatch.core.terms import CallId
from dispatch.formats.aml_message import AmlMessage

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NUMBER, OTHER, IMEI = "+998901234567", "+998935554433", "353472104343540"


class Exchange:
    """A matcher beside the calls that are going on."""

    def __init__(self) -> None:
        self.going_on: set[str] = set()
        self.matcher = Matcher(lambda call_id: call_id in self.going_on)

    def rings(
        self, name: str, at_s: float = 0, *, number: str | None = None, imei: str | None = None
    ) -> list[AmlMessage]:
        """The messages that waited for a call, which has them now."""
        self.going_on.add(name)
        waited = self.matcher.called(Caller(call_id=CallId(name), started_at=at(at_s), number=number, imei=imei))
        self.matcher.used(waited)
        return [waiting.message for waiting in waited]

    def meant(self, sent: AmlMessage, at_s: float) -> str | None:
        match = self.matcher.match(sent, at(at_s))
        return match.call_id if match is not None else None


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def message(number: str | None = None, imei: str | None = None) -> AmlMessage:
    return AmlMessage(transport="form", version="1", number=number, imei=imei)


@pytest.mark.parametrize(("after_start_s", "meant"), [(-61, None), (-60, "c"), (0, "c"), (3600, "c")])
def test_an_open_call_is_meant_from_a_minute_before_it(after_start_s: float, meant: str | None) -> None:
    exchange = Exchange()
    exchange.rings("c", number=NUMBER)
    assert exchange.meant(message(NUMBER), after_start_s) == meant


@pytest.mark.parametrize(("after_end_s", "meant"), [(0, "c"), (120, "c"), (121, None)])
def test_a_call_is_meant_until_two_minutes_after_its_end(after_end_s: float, meant: str | None) -> None:
    exchange = Exchange()
    exchange.rings("c", number=NUMBER)
    exchange.going_on.clear()
    exchange.matcher.look_at([CallId("c")], at(300))
    assert exchange.meant(message(NUMBER), 300 + after_end_s) == meant


def test_the_number_counts_before_the_imei() -> None:
    exchange = Exchange()
    exchange.rings("by_number", number=NUMBER)
    exchange.rings("by_imei", imei=IMEI)
    assert exchange.meant(message(NUMBER, IMEI), 10) == "by_number"
    assert exchange.meant(message(OTHER, IMEI), 10) == "by_imei"
    assert exchange.meant(message(OTHER), 10) is None


def test_of_two_open_calls_the_newer_is_meant_and_it_is_said() -> None:
    exchange = Exchange()
    exchange.rings("older", number=NUMBER)
    exchange.rings("newer", 30, number=NUMBER)
    match = exchange.matcher.match(message(NUMBER), at(40))
    assert match is not None
    assert (match.call_id, match.shared) == ("newer", True)


def test_an_open_call_is_meant_before_a_newer_one_that_is_over() -> None:
    exchange = Exchange()
    exchange.rings("open", number=NUMBER)
    exchange.rings("over", 30, number=NUMBER)
    exchange.going_on.remove("over")
    match = exchange.matcher.match(message(NUMBER), at(40))
    assert match is not None
    assert (match.call_id, match.shared) == ("open", False)


def test_messages_that_waited_are_given_to_their_call_once_and_in_order() -> None:
    exchange = Exchange()
    first, second, foreign = message(NUMBER), message(imei=IMEI), message(OTHER)
    for number, sent in enumerate((first, second, foreign)):
        exchange.matcher.keep(sent, at(-30 + number))
    assert exchange.rings("c", number=NUMBER, imei=IMEI) == [first, second]
    assert exchange.rings("d", 1, number=NUMBER, imei=IMEI) == []
    assert exchange.matcher.waiting == 1


def test_a_message_that_is_given_back_again_and_again_is_as_old_as_ever() -> None:
    matcher = Exchange().matcher
    caller = Caller(call_id=CallId("c"), started_at=START, number=NUMBER)
    matcher.keep(message(NUMBER), START)
    for at_s in range(0, 601, 50):
        (waiting,) = matcher.claim(caller)
        matcher.give_back([waiting])
        assert (waiting.received_at, matcher.expire(at(at_s))) == (START, 0)
    assert (matcher.expire(at(601)), matcher.waiting) == (1, 0)


def test_what_one_call_has_in_hand_no_other_gets_before_it_is_given_back() -> None:
    matcher = Exchange().matcher
    caller = Caller(call_id=CallId("c"), started_at=START, number=NUMBER)
    matcher.keep(message(NUMBER), START)
    matcher.keep(message(NUMBER, IMEI), at(1))
    first, second = matcher.claim(caller)
    assert (matcher.claim(caller), matcher.waiting) == ([], 0)
    matcher.used([first])
    matcher.give_back([first, second])
    assert (matcher.claim(caller), matcher.waiting) == ([second], 0)


def test_a_message_whose_call_waits_itself_does_not_expire() -> None:
    matcher = Exchange().matcher
    matcher.keep(message(NUMBER), START)
    matcher.keep(message(OTHER), START)
    expired = [matcher.expire(at(at_s), lambda waiting: waiting.number == NUMBER) for at_s in range(0, 7200, 60)]
    assert (sum(expired), matcher.waiting) == (1, 1)
    assert (matcher.expire(at(7200)), matcher.expire(at(7900))) == (0, 1)


def test_a_call_for_which_a_message_waits_is_known_and_the_message_is_judged_by_when_it_came() -> None:
    exchange = Exchange()
    exchange.rings("c", number=NUMBER)
    exchange.going_on.clear()
    exchange.matcher.look_at([CallId("c")], at(10))
    exchange.matcher.keep(message(NUMBER), at(100))
    exchange.matcher.expire(at(400))
    match = exchange.matcher.match(message(NUMBER), at(400), received_at=at(100))
    assert (exchange.meant(message(NUMBER), 400), match and match.call_id) == (None, "c")
    exchange.matcher.expire(at(701))
    assert len(exchange.matcher) == 0


def test_a_message_without_number_and_imei_waits_for_nobody() -> None:
    matcher = Exchange().matcher
    assert matcher.keep(message(), START) == 0
    assert matcher.waiting == 0


def test_what_waits_is_bounded_and_what_gave_way_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "WAITING_MAX", 10)
    matcher = Exchange().matcher
    dropped = sum(matcher.keep(message(f"+99890{n:07}"), START) for n in range(25))
    assert (matcher.waiting, dropped) == (10, 15)


def test_calls_in_the_index_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CALLS_MAX", 10)
    exchange = Exchange()
    for n in range(25):
        exchange.rings(f"c{n}", number=f"+99890{n:07}")
    assert len(exchange.matcher) == 10
    assert exchange.meant(message("+998900000000"), 1) is None
    assert exchange.meant(message("+998900000024"), 1) == "c24"


def test_after_an_hour_of_calls_that_end_nothing_is_left() -> None:
    exchange = Exchange()
    for n in range(500):
        exchange.rings(f"c{n}", n, number=f"+99890{n:07}", imei=f"3534721{n:08}")
        exchange.matcher.keep(message(f"+99893{n:07}"), at(n))
        exchange.going_on.clear()
    exchange.matcher.look_at([CallId(f"c{n}") for n in range(600)], at(500))
    exchange.matcher.expire(at(500 + 601))
    assert (len(exchange.matcher), exchange.matcher.waiting) == (0, 0)
    matcher = exchange.matcher
    assert not any((matcher._marked, matcher._waiting_by, matcher._since, matcher._in_hand, matcher._ended))
