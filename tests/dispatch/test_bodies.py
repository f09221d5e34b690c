"""Bad input ends as a 4xx problem that keeps the raw body, whatever it is made of."""

from typing import Any

import msgspec
import pytest

from dispatch.web.bodies import RAW_KEPT_BYTES, converted, decode
from dispatch.web.problems import Problem, Unreadable


class Place(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    lat: float | None = None
    text: str | None = None
    more: Any = None


class Asked(msgspec.Struct, kw_only=True):
    limit: int = 100
    region: str | None = None


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"lat": 1} x', "malformed_json"),
        (b'{"lat": NaN}', "malformed_json"),
        (b'{"lat": Infinity}', "malformed_json"),
        (b'{"text": "\\ud800 and then some"}', "malformed_json"),
        (b'{"text": "\\udc00 and then some"}', "malformed_json"),
        (b'{"text": "\xff\xfe"}', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed_json"),
        (b'{"more": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "malformed_json"),
        (b"[" * 1_000_000, "invalid_body"),
        (b'{"lat": 1e999}', "invalid_body"),
        (b'{"lat": "41.3"}', "invalid_body"),
        (b'{"lat": true}', "invalid_body"),
        (b'{"lat": 1, "lat": 2}', "invalid_body"),
        (b'{"more": {"a": [{"b": 1, "b": 1}]}}', "invalid_body"),
        (b'{"latitude": 1}', "invalid_body"),
        (b'{"text": "a\\u0000b"}', "invalid_body"),
        (b'{"more": ' + b"9" * 5_000 + b"}", "invalid_body"),
        (b"null", "invalid_body"),
    ],
)
def test_bad_bodies_are_refused_and_kept(raw: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(raw, Place)
    assert caught.value.code == code
    assert 400 <= caught.value.status < 500
    assert caught.value.raw == raw[:RAW_KEPT_BYTES]


@pytest.mark.parametrize("raw", [b"", b" \n"])
def test_an_empty_body_is_said_to_be_empty(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="empty"):
        decode(raw, Place)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('{"text": "Oʻzbekiston, Тошкент 😀"}'.encode(), "Oʻzbekiston, Тошкент 😀"),
        (b'{"text": "\\ud83d\\ude00"}', "😀"),
        (b'{"text": "a\\\\u0000b"}', "a\\u0000b"),
    ],
)
def test_unusual_but_right_text_is_taken(raw: bytes, text: str) -> None:
    assert decode(raw, Place).text == text


def test_a_doubled_field_is_named() -> None:
    with pytest.raises(Unreadable) as caught:
        decode(b'{"text": "a", "text": "b"}', Place)
    assert caught.value.errors[0].pointer == "/text"


def test_query_text_becomes_numbers() -> None:
    assert converted({"limit": "5", "region": "UZ-TK"}, Asked) == Asked(limit=5, region="UZ-TK")


@pytest.mark.parametrize("values", [{"limit": "many"}, {"limit": "1e999"}, {"lymit": "5"}])
def test_a_wrong_parameter_is_named(values: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        converted(values, Asked)
    assert caught.value.code == "invalid_query"
    assert caught.value.errors[0].pointer == next(iter(values))
