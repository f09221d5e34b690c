"""Identifiers sort by time, never meet, and come again from the same seed."""

from __future__ import annotations

from datetime import UTC, datetime

from dispatch.clock import ManualClock
from dispatch.ids import IdSource, is_id, made_at


def test_ids_sort_in_the_order_they_were_made_within_a_millisecond_too() -> None:
    clock = ManualClock()
    ids = IdSource(clock)
    made = []
    for _ in range(50):
        made += [ids.call_id() for _ in range(50)]
        clock.advance(0.001)
    assert made == sorted(set(made))


def test_a_seed_gives_the_same_ids_again() -> None:
    first, again, other = (IdSource(ManualClock(), seed) for seed in (5, 5, 6))
    assert [first.call_id(), first.salt()] == [again.call_id(), again.salt()]
    assert other.call_id() != first.call_id()


def test_a_clock_that_is_set_back_makes_no_id_twice() -> None:
    class Back(ManualClock):
        def now(self) -> datetime:
            self._now = datetime.fromtimestamp(self._now.timestamp() - 1, UTC)
            return self._now

    ids = IdSource(Back())
    made = [ids.note_id() for _ in range(1000)]
    assert made == sorted(set(made))


def test_an_id_tells_when_it_was_made() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 14, 32, 7, 123000, tzinfo=UTC))
    made = IdSource(clock).note_id()
    assert is_id(made, "n")
    assert made_at(made) == clock.now()
    assert made_at("n-nothing") is None
