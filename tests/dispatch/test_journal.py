"""The journal's bytes: what the chain covers, and what a commitment gives away."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.writing.journal import GENESIS, canonical, chain, commitment, moment

AT = datetime(2026, 11, 23, 14, 32, 7, 250, tzinfo=UTC)
FACTS = {
    "previous": GENESIS,
    "region": "UZ-TK",
    "seq": 1,
    "at": AT,
    "kind": "call_received",
    "payload": '{"word":"yongʻin"}'.encode(),
    "actor": "user:lola",
    "epoch": 3,
}
OTHER = {
    "previous": b"\1" * 32,
    "region": "UZ-TO",
    "seq": 2,
    "at": AT + timedelta(microseconds=1),
    "kind": "call_moved",
    "payload": b"{}",
    "actor": "system",
    "epoch": 4,
}


def hashed(**changed: object) -> bytes:
    return chain(**{**FACTS, **changed})  # type: ignore[arg-type]


def test_the_hash_is_as_the_documented_recipe_says() -> None:
    fields = [b"UZ-TK", b"1", b"2026-11-23T14:32:07.000250Z", b"call_received"]
    fields += ['{"word":"yongʻin"}'.encode(), b"user:lola", b"3"]
    recipe = GENESIS + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    assert hashed() == hashlib.sha256(recipe).digest()


@pytest.mark.parametrize("field", sorted(OTHER))
def test_every_field_of_an_event_changes_its_hash(field: str) -> None:
    assert hashed(**{field: OTHER[field]}) != hashed()


def test_a_letter_that_moves_to_the_next_field_changes_the_hash() -> None:
    assert hashed(region="UZ-TK1", seq=1) != hashed(region="UZ-TK", seq=11)


def test_the_same_moment_in_another_zone_has_the_same_hash() -> None:
    assert hashed(at=AT.astimezone(timezone(timedelta(hours=5)))) == hashed()


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_has_one_length_and_reads_back(at: datetime) -> None:
    text = moment(at)
    assert len(text) == 27
    assert datetime.fromisoformat(text) == at


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": {"d": "ў", "c": None}}) == '{"a":{"c":null,"d":"ў"},"b":1}'.encode()


def test_a_commitment_fits_its_salt_and_document_only() -> None:
    salt, document = b"s" * 16, canonical({"number": "+998901234567"})
    assert commitment(salt, document) == hmac.new(salt, document, hashlib.sha256).hexdigest()
    assert commitment(salt, document) != commitment(b"t" * 16, document)
    assert commitment(salt, document) != commitment(salt, canonical({"number": "+998901234568"}))


def test_a_salt_too_short_to_hide_a_number_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        commitment(b"short", b"{}")
