"""OsmAnd and Traccar Client: knots and shares become our units, in each of the protocol's spellings."""

from datetime import UTC, datetime

import msgspec
import pytest

from dispatch.formats.osmand import decode_osmand
from dispatch.formats.values import FormatError, Point

FIX = datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)
QUERY = "id=A22&lat=41.31108&lon=69.24056&timestamp=1795445522&speed=20&bearing=271.5&altitude=455&batt=67&accuracy=12"


def client(**location: object) -> bytes:
    """What Traccar Client 9 posts."""
    coords = {
        "latitude": 41.31108,
        "longitude": 69.24056,
        "accuracy": 12,
        "speed": 10,
        "heading": 90,
        "altitude": 455,
    }
    base = {
        "timestamp": "2026-11-23T14:52:02.000Z",
        "coords": coords,
        "event": "motionchange",
        "battery": {"level": 0.67, "is_charging": False},
    }
    return msgspec.json.encode({"location": base | location, "device_id": "A22"})


def test_a_query_becomes_a_position_in_our_units() -> None:
    position = decode_osmand(QUERY)
    assert position.device == "A22"
    assert position.point == Point(lat=41.31108, lon=69.24056)
    assert position.at == FIX
    assert position.speed_mps == pytest.approx(10.2889, abs=1e-4)
    assert (position.heading_deg, position.altitude_m) == (271.5, 455.0)
    assert (position.battery_pct, position.accuracy_m) == (67.0, 12.0)
    assert position.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "/?" + QUERY,
        "?" + QUERY,
        "http://127.0.0.1:5055/?" + QUERY,
        "/track?" + QUERY + "#top",
        f"GET /?{QUERY} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST / HTTP/1.1 {QUERY}".rpartition(" ")[2],
        QUERY + "\r\n",
        QUERY.replace("id=", "deviceid="),
        QUERY.replace("bearing=", "heading="),
        QUERY.replace("lat=41.31108&lon=69.24056", "location=41.31108,69.24056"),
        QUERY.replace("lat=41.31108&lon=69.24056", "location=41.31108%2C69.24056"),
        QUERY + "&ignition=true&rpm=933&driverUniqueId=7&hdop=1.2",
    ],
)
def test_every_spelling_of_the_query_is_the_same_position(text: str) -> None:
    assert decode_osmand(text) == decode_osmand(QUERY)


@pytest.mark.parametrize(
    "timestamp",
    [
        "1795445522",
        "1795445522000",
        "1795445522.0",
        "2026-11-23T14:52:02Z",
        "2026-11-23T14%3A52%3A02Z",
        "2026-11-23T14:52:02.000Z",
        "2026-11-23+14:52:02",
        "2026-11-23%2014%3A52%3A02",
        "2026-11-23T19:52:02%2B05:00",
        "2026-11-23T19:52:02+05:00",
        "2026-11-23T19:52:02+0500",
    ],
)
def test_every_spelling_of_the_time_is_the_same_instant(timestamp: str) -> None:
    position = decode_osmand(f"id=A22&lat=41.3&lon=69.2&timestamp={timestamp}")
    assert position.at == FIX
    assert position.warnings == ()


def test_a_time_without_zone_is_utc_and_says_so() -> None:
    position = decode_osmand("id=A22&lat=41.3&lon=69.2&timestamp=2026-11-23T14:52:02")
    assert position.at == FIX
    assert len(position.warnings) == 1


@pytest.mark.parametrize("timestamp", ["", "later", "0", "99999999999999999", "2026-13-01T00:00:00Z", "nan"])
def test_a_fix_without_a_usable_time_keeps_its_place(timestamp: str) -> None:
    position = decode_osmand(f"id=A22&lat=41.3&lon=69.2&timestamp={timestamp}")
    assert position.at is None
    assert position.lat == 41.3
    assert position.warnings


def test_json_of_the_client_is_in_metres_a_second_and_shares() -> None:
    position = decode_osmand(client())
    assert position.device == "A22"
    assert position.point == Point(lat=41.31108, lon=69.24056)
    assert (position.at, position.accuracy_m) == (FIX, 12.0)
    assert (position.speed_mps, position.heading_deg) == (10.0, 90.0)
    assert (position.battery_pct, position.trigger) == (67.0, "motionchange")
    assert position.warnings == ()


def test_minus_one_in_json_is_unknown() -> None:
    coords = {"latitude": 41.3, "longitude": 69.2, "accuracy": -1, "speed": -1, "heading": -1}
    position = decode_osmand(client(coords=coords, battery={"level": -1}))
    assert position.speed_mps is position.heading_deg is position.accuracy_m is position.battery_pct is None
    assert position.warnings == ()


def test_help_is_an_alarm_in_either_form() -> None:
    assert decode_osmand(QUERY + "&alarm=sos").panic
    assert decode_osmand(client(extras={"alarm": "sos"})).panic
    assert not decode_osmand(QUERY + "&alarm=lowBattery").panic
    assert not decode_osmand(client()).panic


@pytest.mark.parametrize(
    "body",
    [
        "id=A22&timestamp=1795445522&cell=434,05,16,2224&cell=434,05,16,2223,-90&wifi=00-14-22-01-23-45,-80",
        "id=A22&timestamp=1795445522",
        "id=A22&timestamp=1795445522&lat=0.0&lon=0.0",
        "id=A22&timestamp=1795445522&lat=91&lon=69",
        "id=A22&timestamp=1795445522&lat=41.3",
        "id=A22&timestamp=1795445522&location=here",
        "id=A22&timestamp=1795445522&lat=0x1.4p5&lon=69",
        '{"device_id": "A22", "location": {"timestamp": 1795445522}}',
        '{"device_id": "A22", "location": {"timestamp": 1795445522, "coords": [41, 69]}}',
    ],
)
def test_a_report_without_coordinates_has_no_position_but_stays(body: str) -> None:
    position = decode_osmand(body)
    assert position.device == "A22"
    assert position.point is None
    assert position.at == FIX
    assert position.warnings


def test_a_fix_that_the_sender_doubts_is_flagged() -> None:
    assert decode_osmand(QUERY + "&valid=true").warnings == ()
    doubtful = decode_osmand(QUERY + "&valid=0")
    assert doubtful.point is not None
    assert doubtful.warnings == ("valid: the sender marks its own fix as not valid",)


@pytest.mark.parametrize(
    "body",
    [
        "/?timestamp=1795445522&lat=60.0&lon=30.0",
        "id=&lat=60&lon=30",
        "id=" + "x" * 300 + "&lat=60&lon=30",
        "id=%00%01&lat=60&lon=30",
        '{"location": {"coords": {"latitude": 41, "longitude": 69}}}',
        '{"device_id": ["A22"]}',
        "{}",
        "[]",
        "",
        "hello",
        "&".join(f"k{i}=1" for i in range(200)),
    ],
)
def test_nobody_can_use_a_report_without_a_device(body: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode_osmand(body)
    assert caught.value.where.startswith("osmand")


def test_a_numeric_device_id_is_text() -> None:
    assert decode_osmand('{"device_id": 48241179, "location": {}}').device == "48241179"
