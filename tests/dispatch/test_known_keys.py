"""The filter of answered keys: never surely new what was answered, and seldom asked for in vain."""

from datetime import UTC, datetime, timedelta

from dispatch.store import ANSWERS_KEPT
from dispatch.writing.known_keys import KnownKeys
from dispatch.writing.records import KEY_DIGEST_BYTES, digest_of_key

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def knowing() -> KnownKeys:
    known = KnownKeys()
    known.certain.add("UZ-TK")
    return known


def test_what_was_answered_is_never_surely_new() -> None:
    known = knowing()
    for number in range(5_000):
        known.add("device:app", f"k-{number}", NOW)
    assert not any(known.surely_new("UZ-TK", "device:app", f"k-{number}") for number in range(5_000))
    new = sum(known.surely_new("UZ-TK", "device:app", f"n-{number}") for number in range(5_000))
    assert new > 4_990


def test_nothing_is_sure_of_a_region_whose_keys_were_not_learnt() -> None:
    assert knowing().surely_new("UZ-TK", "device:app", "k")
    assert not knowing().surely_new("UZ-TO", "device:app", "k")


def test_learnt_digests_stand_where_added_keys_do() -> None:
    known = knowing()
    names = [("device:app", f"k-{number}") for number in range(3_000)] + [("user:лола", "oʻ"), ("u", "\ud800")]
    known.learn(b"".join(digest_of_key(*name) for name in names))
    known.learn(b"")
    assert not any(known.surely_new("UZ-TK", *name) for name in names)
    assert known.surely_new("UZ-TK", "device:app", "another")
    assert len(digest_of_key("a", "b")) == KEY_DIGEST_BYTES
    assert digest_of_key("device:app", "k") != digest_of_key("device:ap", "pk")


def test_an_answer_is_known_for_a_day_and_not_for_ever() -> None:
    known = knowing()
    known.add("device:app", "first", NOW)
    known.add("device:app", "later", NOW + ANSWERS_KEPT + timedelta(hours=1))
    assert not known.surely_new("UZ-TK", "device:app", "first")
    known.add("device:app", "last", NOW + 2 * ANSWERS_KEPT + timedelta(hours=3))
    assert known.surely_new("UZ-TK", "device:app", "first")
    assert not known.surely_new("UZ-TK", "device:app", "later")
