"""Every refusal has a code, a status, a sentence and a pointer to what is wrong."""

from typing import Annotated, Literal

import msgspec
import pytest

from dispatch.core.terms import Priority, Refusal
from dispatch.web.problems import KINDS, Fault, Problem, document, escaped, fault_of, refused, status_of


class Point(msgspec.Struct, forbid_unknown_fields=True):
    lat: float
    kind: Literal["Point"] = "Point"


class Body(msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from"}):
    location: list[Point | Annotated[list[float], msgspec.Meta(max_length=2)]] | None = None
    priority: Priority | None = None
    since: int = 0


def fault(raw: bytes) -> Fault:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(raw, type=Body)
    return fault_of(caught.value, Body)


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
    assert fault(raw).pointer == pointer


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'{"priority": "P7"}', "Invalid enum value 'P7'. Known: P1, P2, P3, P4."),
        (b'{"location": [{"lat": 1, "kind": "Circle"}]}', "Invalid enum value 'Circle'. Known: Point."),
        (b'{"location": [{"lat": 1, "lon": 2}]}', "Object contains unknown field `lon`. Known: lat, kind."),
        (b'{"since": 1}', "Object contains unknown field `since`. Known: location, priority, from."),
        (b'{"from": "x"}', "Expected `int`, got `str`"),
    ],
)
def test_a_fault_says_what_would_have_fitted(raw: bytes, detail: str) -> None:
    assert fault(raw).detail == detail


def test_a_fault_stays_small_whatever_was_sent() -> None:
    for sent in ({"priority": "P" * 60_000}, {"p" * 60_000: 1}):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.convert(sent, type=Body)
        fault = fault_of(caught.value, Body)
        assert len(fault.pointer) + len(fault.detail) < 400
        assert "Known: " in fault.detail


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
