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


def test_a_message_gives_topic_payload_and_what_acknowledges_it() -> None:
    body = wire.text("112/units/TK-1/position") + b"{}"
    assert wire.published(wire.PUBLISH, body) == ("112/units/TK-1/position", b"{}", b"")
    numbered = wire.text("t") + b"\0\x07" + b"payload"
    assert wire.published(wire.PUBLISH | 0x02, numbered) == ("t", b"payload", b"\0\x07")
    assert wire.published(wire.PUBLISH, wire.text("t") + b"")[1] == b""


def test_lengths_are_written_seven_bits_a_byte() -> None:
    assert wire.packet(wire.PINGREQ) == b"\xc0\x00"
    assert wire.packet(wire.PUBLISH, bytes(321))[:3] == b"\x30\xc1\x02"
