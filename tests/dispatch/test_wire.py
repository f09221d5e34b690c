"""MQTT as bytes: whatever way a stream is cut, the same packets come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.units import wire

BODIES = st.lists(st.binary(max_size=400), max_size=8)


def messages(packets: wire.Packets) -> list[tuple[int, bytes]]:
    return list(packets.taken(1_000))


@given(BODIES, st.integers(1, 50))
def test_a_stream_may_be_cut_anywhere(bodies: list[bytes], piece: int) -> None:
    stream = b"".join(wire.packet(wire.PUBLISH, body) for body in bodies)
    packets, found = wire.Packets(), []
    for at in range(0, len(stream), piece):
        packets.feed(stream[at : at + piece])
        found += messages(packets)
    assert found == [(wire.PUBLISH, body) for body in bodies]


def test_no_more_are_taken_than_asked_for_and_none_is_lost() -> None:
    packets = wire.Packets()
    packets.feed(wire.packet(wire.PINGRESP) * 5)
    assert [len(list(packets.taken(2))) for _ in range(4)] == [2, 2, 1, 0]


def test_a_packet_over_the_limit_is_skipped_and_what_follows_is_read() -> None:
    packets = wire.Packets()
    huge, after = wire.packet(wire.PUBLISH, bytes(wire.PACKET_LIMIT + 1)), wire.packet(wire.PUBLISH, b"\0\1tx")
    stream = huge + after
    for at in range(0, len(stream), 100_000):
        packets.feed(stream[at : at + 100_000])
        if at + 100_000 < len(stream):
            assert messages(packets) == []
    assert messages(packets) == [(wire.PUBLISH, b"\0\1tx")]
    assert packets.skipped == 1


def test_what_is_no_mqtt_is_said() -> None:
    packets = wire.Packets()
    packets.feed(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(ValueError, match="not MQTT"):
        messages(packets)
    with pytest.raises(ValueError, match="topic"):
        wire.published(wire.PUBLISH, b"\0\x09abc")


@pytest.mark.parametrize(
    "properties", [b"", wire.order_properties(expiry_s=9, response_topic="a/b", correlation="c" * 200)]
)
@pytest.mark.parametrize("number", [0, 1, 65_535])
def test_what_is_published_is_read_back(number: int, properties: bytes) -> None:
    stream = wire.packet(wire.PINGREQ) + wire.publish("112/units/TK-1/orders", b"{}", number, properties)
    packets = wire.Packets()
    packets.feed(stream)
    _, (first, body) = messages(packets)
    assert wire.kind_of(first) == wire.PUBLISH
    acknowledged_by = number.to_bytes(2, "big") if number else b""
    assert wire.published(first, body) == ("112/units/TK-1/orders", b"{}", acknowledged_by)


@given(st.binary(max_size=60))
def test_a_message_of_any_bytes_is_read_or_refused(body: bytes) -> None:
    try:
        _, payload, _ = wire.published(wire.PUBLISH | wire.AT_LEAST_ONCE, body)
    except ValueError:
        return
    assert body.endswith(payload)


def test_the_properties_of_an_order_are_those_of_the_standard() -> None:
    made = wire.order_properties(expiry_s=600, response_topic="r", correlation="c")
    assert made == b"\x02\0\0\x02\x58" + b"\x08\0\1r" + b"\x09\0\1c"


def test_what_the_broker_sets_is_found_among_what_it_only_tells() -> None:
    told = b"\x1f" + wire.text("reason") + b"\x26" + wire.text("key") + wire.text("value")
    numbers = b"\x21\0\x14" + b"\x27\0\x10\0\0" + b"\x13\0\x05" + b"\x2a\1"
    properties = told + numbers
    found = wire.welcome(b"\0\0" + bytes((len(properties),)) + properties)
    assert (found[wire.RECEIVE_MAXIMUM], found[wire.SERVER_KEEP_ALIVE]) == (20, 5)
    assert wire.welcome(b"\1\0\0") == {}
    with pytest.raises(ValueError, match="longer"):
        wire.numbers_in(b"\x1f\0\x09abc")


def test_lengths_are_written_seven_bits_a_byte() -> None:
    assert wire.packet(wire.PINGREQ) == b"\xc0\x00"
    assert wire.packet(wire.PUBLISH, bytes(127))[:2] == b"\x30\x7f"
    assert wire.packet(wire.PUBLISH, bytes(321))[:3] == b"\x30\xc1\x02"
