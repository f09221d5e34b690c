"""OwnTracks: kilometres an hour become metres a second, and no oddity loses a unit's position."""

from datetime import UTC, datetime

import msgspec
import pytest

from dispatch.formats.trackers import Ignored, LastWill, Position, decode_owntracks
from dispatch.formats.values import FormatError, Point

TOPIC = "owntracks/A22/phone"
LOCATION = {
    "_type": "location",
    "lat": 41.31108,
    "lon": 69.24056,
    "tst": 1795445522,
    "acc": 12,
    "alt": 455,
    "vel": 36,
    "cog": 271,
    "batt": 67,
    "t": "p",
    "tid": "22",
    "conn": "m",
}


def location(**changes: object) -> Position:
    """The sample location with keys changed; `None` stays a JSON null."""
    decoded = decode_owntracks(msgspec.json.encode(LOCATION | changes), TOPIC)
    assert isinstance(decoded, Position)
    return decoded


def test_a_location_becomes_a_position_in_our_units() -> None:
    assert location() == Position(
        device="A22/phone",
        lat=41.31108,
        lon=69.24056,
        at=datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC),
        accuracy_m=12.0,
        speed_mps=10.0,
        heading_deg=271.0,
        battery_pct=67.0,
        altitude_m=455.0,
        trigger="p",
    )
    assert location().point == Point(lat=41.31108, lon=69.24056)


def test_a_crew_that_presses_the_button_calls_for_help() -> None:
    assert location(t="u").panic
    assert not location(t="p").panic
    assert not location(t=None).panic


def test_the_topic_names_the_device_before_the_message_does() -> None:
    body = msgspec.json.encode(LOCATION | {"topic": "owntracks/B7/tablet"})
    named = [decode_owntracks(body, topic).device for topic in (TOPIC, None, "112/units/A22/position")]
    assert named == ["A22/phone", "B7/tablet", "B7/tablet"]
    assert decode_owntracks(msgspec.json.encode(LOCATION)).device == "22"


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("acc", 0, "accuracy_m"),
        ("acc", -1, "accuracy_m"),
        ("vel", -1, "speed_mps"),
        ("cog", -1, "heading_deg"),
        ("batt", -1, "battery_pct"),
        ("alt", None, "altitude_m"),
        ("t", "", "trigger"),
    ],
)
def test_unknown_is_absent_and_no_fault(key: str, value: object, field: str) -> None:
    decoded = location(**{key: value})
    assert getattr(decoded, field) is None
    assert decoded.warnings == ()


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("acc", "wide", "accuracy_m"),
        ("vel", 1e9, "speed_mps"),
        ("cog", 400, "heading_deg"),
        ("batt", 140, "battery_pct"),
        ("alt", True, "altitude_m"),
        ("alt", 1e300, "altitude_m"),
        ("t", ["u"], "trigger"),
        ("tst", "noon", "at"),
        ("tst", 12, "at"),
        ("tst", 1e300, "at"),
        ("tst", None, "at"),
        ("lat", None, "lat"),
        ("lat", 91, "lat"),
        ("lon", -181, "lat"),
        ("lon", [69], "lon"),
    ],
)
def test_a_value_that_cannot_be_is_dropped_with_a_warning(key: str, value: object, field: str) -> None:
    decoded = location(**{key: value})
    assert getattr(decoded, field) is None
    assert decoded.warnings
    assert not decoded.panic


def test_zero_zero_is_no_position() -> None:
    assert location(lat=0, lon=0.0).point is None


def test_heading_360_is_north() -> None:
    assert location(cog=360).heading_deg == 0.0


def test_numbers_written_as_text_and_times_in_milliseconds_are_read() -> None:
    decoded = location(lat="41.31108", tst=1795445522435)
    assert decoded.lat == 41.31108
    assert decoded.at == datetime(2026, 11, 23, 14, 52, 2, 435000, tzinfo=UTC)


def test_a_will_says_when_its_connection_began() -> None:
    will = decode_owntracks('{"_type":"lwt","tst":1795445522}', TOPIC)
    assert will == LastWill(device="A22/phone", at=datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC))


@pytest.mark.parametrize("kind", ["transition", "waypoint", "status", "steps", "card", "encrypted", "cmd"])
def test_other_kinds_are_ignored_not_refused(kind: str) -> None:
    assert decode_owntracks(f'{{"_type":"{kind}","lat":1,"lon":2}}', TOPIC) == Ignored(device="A22/phone", kind=kind)


def test_a_location_without_its_type_is_still_one() -> None:
    decoded = decode_owntracks('{"lat":41.3,"lon":69.2,"tst":1795445522}')
    assert isinstance(decoded, Position)
    assert decoded.lat == 41.3
    assert len(decoded.warnings) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "1",
        "{",
        "{}",
        '{"tst":1}',
        '{"_type":5e400}',
        b"\xff\xfe{}",
        "[" * 4000,
        '{"a":' * 1500,
    ],
)
def test_what_is_no_message_is_refused(body: bytes | str) -> None:
    with pytest.raises(FormatError) as caught:
        decode_owntracks(body)
    assert caught.value.where.startswith("owntracks")


def test_a_message_above_8_kib_is_refused() -> None:
    with pytest.raises(FormatError, match="8192"):
        decode_owntracks(msgspec.json.encode(LOCATION | {"x": "y" * 9000}))
