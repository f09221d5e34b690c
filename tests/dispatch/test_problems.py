"""Every refusal has a code, a status, a sentence and a pointer to what is wrong."""

import msgspec
import pytest

from dispatch.core.terms import Refusal
from dispatch.web.problems import KINDS, Fault, Problem, document, escaped, fault_of, refused, status_of


class Point(msgspec.Struct, forbid_unknown_fields=True):
    lat: float


class Body(msgspec.Struct, forbid_unknown_fields=True):
    location: list[Point] = []


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"location": [{"lat": 1}, {"lat": "x"}]}', "/location/1/lat"),
        (b'{"location": [{"lat": 1, "lon": 2}]}', "/location/0/lon"),
        (b'{"location": [{}]}', "/location/0/lat"),
        (b'{"place": 1}', "/place"),
        (b'{"a/b~c": 1}', "/a~1b~0c"),
        (b"[]", ""),
    ],
)
def test_a_fault_points_at_the_field_that_is_wrong(raw: bytes, pointer: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(raw, type=Body)
    assert fault_of(caught.value).pointer == pointer


def test_a_problem_says_type_title_status_detail_code_and_errors() -> None:
    fields = msgspec.json.decode(document("unit_taken", "TK-A22 is on TK-7.", [Fault("/units/0", "taken")]))
    assert fields == {
        "type": "urn:dispatch112:problem:unit_taken",
        "title": KINDS["unit_taken"].title,
        "status": 409,
        "detail": "TK-A22 is on TK-7.",
        "code": "unit_taken",
        "errors": [{"pointer": "/units/0", "detail": "taken"}],
    }


def test_a_problem_stays_small_whatever_it_is_about() -> None:
    errors = [Fault(f"/{n}", "wrong") for n in range(10_000)]
    assert len(document("invalid_body", "x" * 100_000, errors)) < 4_000


@pytest.mark.parametrize(
    ("code", "status"),
    [("unknown_call", 404), ("out_of_scope", 403), ("unit_taken", 409), ("illegal_status", 409)],
)
def test_a_refusal_of_the_core_has_the_status_of_its_code(code: str, status: int) -> None:
    got, body = refused(Refusal(code=code, message="No."))
    assert (got, msgspec.json.decode(body)["detail"]) == (status, "No.")


def test_a_code_that_is_not_listed_yet_is_still_a_refusal_and_no_fault() -> None:
    assert status_of("unknown_balloon") == 404
    assert status_of("balloon_burst") == 409


def test_every_kind_has_an_error_status_and_a_sentence() -> None:
    for code, kind in KINDS.items():
        assert 400 <= kind.status < 600, code
        assert kind.title.endswith("."), code
        assert Problem(code).status == kind.status


def test_a_pointer_escapes_tilde_before_slash() -> None:
    assert escaped("~/") == "~0~1"
