"""MQTT of the units: topics, reports up, orders down, and faults that name their place."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import msgspec
import pytest

from dispatch.formats import mqtt
from dispatch.formats.mqtt import LinkReport, Order, OrderAck, StatusReport
from dispatch.formats.trackers import Ignored, LastWill, Position
from dispatch.formats.values import FormatError

AT = datetime(2026, 11, 23, 14, 52, 2, tzinfo=UTC)
STATUS = {"status_id": "s1", "status": "en_route", "at": "2026-11-23T14:52:02Z", "assignment_id": "a9"}
ACK = {"order_id": "o1", "stage": "refused", "at": "2026-11-23T14:52:02Z", "reason": "flat tyre"}


def payload(base: Mapping[str, object], **changes: object) -> bytes:
    return msgspec.json.encode({**base, **changes})


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        ("112/units/A22/position", ("A22", "position")),
        ("112/units/A22/status", ("A22", "status")),
        ("112/units/A22/ack", ("A22", "ack")),
        ("112/units/A22/link", ("A22", "link")),
        ("owntracks/A22/phone", ("A22", "position")),
        ("112/units/A22/orders", None),
        ("112/units//status", None),
        ("112/units/A/22/status", None),
        ("112/units/+/status", None),
        ("owntracks/A22/phone/event", None),
        ("owntracks/A22", None),
        ("", None),
        ("112/units/" + "x" * 65 + "/status", None),
    ],
)
def test_a_topic_names_its_unit_and_kind(topic: str, parsed: tuple[str, str] | None) -> None:
    assert mqtt.parse_topic(topic) == parsed


def test_topics_are_built_as_they_are_read() -> None:
    assert mqtt.topic_of("A22", "orders") == "112/units/A22/orders"
    assert mqtt.parse_topic(mqtt.topic_of("A22", "status")) == ("A22", "status")
    with pytest.raises(AssertionError):
        mqtt.topic_of("+", "status")


def test_each_topic_has_its_report() -> None:
    position = mqtt.decode_up("112/units/A22/position", b'{"_type":"location","lat":41.3,"lon":69.2,"tst":1795445522}')
    assert position == ("A22", Position(device="A22", lat=41.3, lon=69.2, at=AT))
    assert mqtt.decode_up("112/units/A22/status", payload(STATUS)) == (
        "A22",
        StatusReport(status_id="s1", status="en_route", at=AT, assignment_id="a9"),
    )
    assert mqtt.decode_up("112/units/A22/ack", payload(ACK)) == (
        "A22",
        OrderAck(order_id="o1", stage="refused", at=AT, reason="flat tyre"),
    )
    assert mqtt.decode_up("112/units/A22/link", b'{"online": false}') == ("A22", LinkReport(online=False))
    assert mqtt.decode_up("owntracks/A22/phone", b'{"_type":"lwt","tst":1795445522}') == (
        "A22",
        LastWill(device="A22", at=AT),
    )
    assert mqtt.decode_up("owntracks/A22/phone", b'{"_type":"card"}') == (
        "A22",
        Ignored(device="A22", kind="card"),
    )


def test_the_payload_cannot_claim_another_unit() -> None:
    body = b'{"_type":"location","lat":41.3,"lon":69.2,"tst":1795445522,"topic":"owntracks/B7/x","tid":"B7"}'
    unit_id, position = mqtt.decode_up("112/units/A22/position", body)
    assert (unit_id, position.device) == ("A22", "A22")  # type: ignore[union-attr]


@pytest.mark.parametrize("status", get_args(mqtt.UnitStatus))
def test_every_unit_status_of_the_service_is_understood(status: str) -> None:
    assert mqtt.decode_status(payload(STATUS, status=status)).status == status


@pytest.mark.parametrize("at", ["2026-11-23T19:52:02+05:00", 1795445522, 1795445522.0, "1795445522"])
def test_times_of_every_kind_become_utc(at: object) -> None:
    report = mqtt.decode_status(payload(STATUS, at=at))
    assert report.at == AT
    assert report.at.tzinfo == UTC


def test_keys_of_a_newer_phone_are_left_alone() -> None:
    assert mqtt.decode_status(payload(STATUS, mood="good", nested={"a": [1]})).status_id == "s1"
    assert mqtt.decode_link(b'{"online": 1, "at": null}') == LinkReport(online=True)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"status": "asleep"}, "/status"),
        ({"status": None}, "/status"),
        ({"status_id": 7}, "/status_id"),
        ({"status_id": ""}, "/status_id"),
        ({"status_id": "x" * 65}, "/status_id"),
        ({"at": "noon"}, "/at"),
        ({"at": "2026-11-23T14:52:02"}, "/at"),
        ({"at": 1e300}, "/at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "/at"),
        ({"assignment_id": ["a9"]}, "/assignment_id"),
    ],
)
def test_a_bad_value_is_refused_at_its_place(changes: dict[str, object], pointer: str) -> None:
    with pytest.raises(FormatError) as caught:
        mqtt.decode_status(payload(STATUS, **changes))
    assert caught.value.where == pointer
    assert caught.value.what
    assert caught.value.mend


def test_a_word_of_no_list_is_answered_with_the_list() -> None:
    with pytest.raises(FormatError) as caught:
        mqtt.decode_ack(payload(ACK, stage="read" * 1_000))
    assert caught.value.mend == "send one of accepted, delivered, refused, seen"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"status_id":"\xff"}', b"[" * 8000])
def test_a_body_that_is_no_report_is_refused_as_a_whole(body: bytes) -> None:
    for decode in (mqtt.decode_status, mqtt.decode_ack, mqtt.decode_link):
        with pytest.raises(FormatError):
            decode(body)


def test_a_payload_above_8_kib_is_refused() -> None:
    with pytest.raises(FormatError, match="8192"):
        mqtt.decode_status(payload(STATUS, note="x" * 9000))


def test_a_foreign_topic_is_refused() -> None:
    with pytest.raises(FormatError, match="topic"):
        mqtt.decode_up("112/units/A22/orders", b"{}")


def test_an_order_comes_back_as_it_was_sent() -> None:
    order = Order(
        order_id="o1",
        kind="dispatch",
        at=AT.astimezone(timezone(timedelta(hours=5))),
        expires_at=AT + timedelta(minutes=5),
        assignment_id="a9",
        incident={"id": "i1", "type": "fire", "point": [69.2, 41.3]},
    )
    assert mqtt.decode_order(mqtt.encode_order(order)) == order


def test_reports_and_receipts_are_written_as_they_are_read() -> None:
    for report in (
        StatusReport(status_id="s1", status="available", at=AT),
        OrderAck(order_id="o1", stage="seen", at=AT),
        LinkReport(online=True, at=AT),
    ):
        decode = {StatusReport: mqtt.decode_status, OrderAck: mqtt.decode_ack, LinkReport: mqtt.decode_link}
        assert decode[type(report)](mqtt.encode_report(report)) == report
    assert mqtt.encode_receipt("s1") == b'{"status_id":"s1"}'
    refused = mqtt.encode_receipt("s1", "no_assignment")
    assert refused == b'{"status_id":"s1","refused":"no_assignment"}'
    assert mqtt.decode_receipt(refused) == mqtt.Receipt(status_id="s1", refused="no_assignment")
