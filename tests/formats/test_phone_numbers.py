"""Phone numbers: every spelling of a subscriber becomes one, and nothing becomes a subscriber."""

import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.formats.numbers import e164, similar


@pytest.mark.parametrize(
    "spelling",
    [
        "+998901234567",
        "998901234567",
        "901234567",
        "+998 90 123-45-67",
        "(90) 123 45 67",
        "00998901234567",
        "810998901234567",
        "8901234567",
        " +998901234567\r\n",
        "tel:+998-90-123-45-67",
        "sip:+998901234567@ims.mnc04.mcc434.3gppnetwork.org;user=phone",
        "＋998901234567",
    ],
)
def test_every_spelling_of_a_subscriber_is_one_number(spelling: str) -> None:
    assert e164(spelling) == "+998901234567"


@pytest.mark.parametrize(
    ("text", "number"),
    [("+33611223344", "+33611223344"), ("33611223344", "+33611223344"), ("+1438101600", "+1438101600")],
)
def test_a_foreign_caller_keeps_the_own_country(text: str, number: str) -> None:
    assert e164(text) == number


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "+",
        "112",
        "103",
        "anonymous",
        "sip:user@domain.com",
        "BankOfX",
        "+12",
        "1" * 80,
        "+" + "9" * 30,
        "\ud800",
    ],
)
def test_what_is_no_number_stays_none(text: str | None) -> None:
    assert e164(text) is None


def test_region_decides_a_national_number() -> None:
    assert e164("0612345678", "FR") == "+33612345678"


def test_similar_numbers_end_alike() -> None:
    assert similar("+998901234567", "901234567")
    assert similar("0998901234567", "+998901234567")
    assert not similar("+998901234567", "+998901234568")
    assert not similar("34567", "+998901234567")
    assert not similar(None, "+998901234567")
    assert not similar("", "")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_gives_a_number_or_none(text: str) -> None:
    number = e164(text)
    assert number is None or (number.startswith("+") and number[1:].isdigit() and 8 <= len(number) <= 16)


@settings(deadline=None)
@given(st.integers(min_value=10**8, max_value=10**9 - 1))
def test_e164_of_e164_is_itself(subscriber: int) -> None:
    number = e164(f"+998{subscriber}")
    assert number is not None
    assert e164(number) == number


def test_a_repeated_number_costs_next_to_nothing() -> None:
    e164("+998 90 123 45 67")
    per_call_us = min(timeit.repeat(lambda: e164("+998 90 123 45 67"), number=1000, repeat=5)) * 1000
    assert per_call_us <= 5.0
