"""MQTT 5 as bytes: the packets that a client of QoS 0 and 1 needs. No connection, no meaning.

A library's client costs six times as much a message (docs/decisions/0004). Numbers in brackets are sections of the
OASIS standard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
PINGREQ, PINGRESP, DISCONNECT = 0xC0, 0xD0, 0xE0
AT_LEAST_ONCE: Final = 0x02
"""The flag of a PUBLISH whose receiver acknowledges it: QoS 1."""
REFUSED_FROM: Final = 0x80
"""Reason codes from here on are a no (2.4)."""
RECEIVE_MAXIMUM, SERVER_KEEP_ALIVE = 0x21, 0x13
"""Properties of a CONNACK: how many messages of QoS 1 may be under way, and how often the broker wants to hear."""
PACKET_LIMIT: Final = 1 << 20
"""Bytes of one packet; a longer one is skipped as it comes and never held."""

_CLEAN, _WILL, _LOGIN = 0x02, 0x0C, 0xC0
_KIND = 0xF0
_SESSION_EXPIRY, _WILL_DELAY, _MESSAGE_EXPIRY, _RESPONSE_TOPIC, _CORRELATION = 0x11, 0x18, 0x02, 0x08, 0x09
_SIZES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
"""Bytes of the properties that are numbers (2.2.2.2); the others are texts, a user's property two."""
_USER_PROPERTY = 0x26


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker says for us when the line breaks and stays broken for `delay_s`."""

    topic: str
    payload: bytes
    delay_s: int = 30


class Packets:
    """Cuts what a socket gives into packets."""

    def __init__(self) -> None:
        self.skipped = 0
        """Packets over the limit."""
        self._buffer = bytearray()
        self._skipping = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._skipping:
            passed = min(self._skipping, len(data))
            self._skipping -= passed
            data = data[passed:]
        self._buffer += data

    def taken(self, most: int) -> Iterator[tuple[int, bytes]]:
        """(kind with its flags, body) of at most so many whole packets. Raises ValueError when it is no MQTT."""
        buffer, start = self._buffer, 0
        try:
            for _ in range(most):
                found = _length(buffer, start + 1)
                if found is None:
                    return
                length, head = found[0], found[1] + 1
                end = start + head + length
                if length > PACKET_LIMIT:
                    self.skipped += 1
                    self._skipping = max(0, end - len(buffer))
                    start = min(end, len(buffer))
                    continue
                if len(buffer) < end:
                    return
                first, body = buffer[start], bytes(buffer[start + head : end])
                start = end
                yield first, body
        finally:
            del buffer[:start]


def kind_of(first: int) -> int:
    """Which packet the first byte begins, without its flags."""
    return first & _KIND


def connect(
    name: str, login: tuple[str, str], keepalive_s: int, *, session_expiry_s: int = 0, will: Will | None = None
) -> bytes:
    """CONNECT; an empty user name means no log-in. Without an expiry the session begins and ends with the line."""
    username, password = login
    flags = (_LOGIN if username else 0) | (_WILL if will is not None else 0) | (0 if session_expiry_s else _CLEAN)
    body = text("MQTT") + bytes((5, flags)) + keepalive_s.to_bytes(2, "big")
    body += _measured(bytes((_SESSION_EXPIRY,)) + session_expiry_s.to_bytes(4, "big")) + text(name)
    if will is not None:
        delay = bytes((_WILL_DELAY,)) + will.delay_s.to_bytes(4, "big")
        body += _measured(delay) + text(will.topic) + len(will.payload).to_bytes(2, "big") + will.payload
    return packet(CONNECT, body + (text(username) + text(password) if username else b""))


def subscribe(number: int, topics: Sequence[tuple[str, int]]) -> bytes:
    """SUBSCRIBE to (filter, quality) pairs."""
    asked = b"".join(text(topic) + bytes((qos,)) for topic, qos in topics)
    return packet(SUBSCRIBE, number.to_bytes(2, "big") + b"\0" + asked)


def publish(topic: str, payload: bytes, number: int = 0, properties: bytes = b"") -> bytes:
    """PUBLISH: with a number its receiver acknowledges it (QoS 1)."""
    first, numbered = (PUBLISH | AT_LEAST_ONCE, number.to_bytes(2, "big")) if number else (PUBLISH, b"")
    return packet(first, text(topic) + numbered + _measured(properties) + payload)


def order_properties(*, expiry_s: int, response_topic: str, correlation: str) -> bytes:
    """When a message is worthless, where the answer goes, and what that answers (3.3.2.3)."""
    assert expiry_s > 0, "an expired message is not sent"
    expiry = bytes((_MESSAGE_EXPIRY,)) + expiry_s.to_bytes(4, "big")
    return expiry + bytes((_RESPONSE_TOPIC,)) + text(response_topic) + bytes((_CORRELATION,)) + text(correlation)


def published(first: int, body: bytes) -> tuple[str, bytes, bytes]:
    """Topic, payload and, with QoS 1, the two bytes that acknowledge it. Raises ValueError."""
    end = 2 + int.from_bytes(body[:2], "big")
    number_end = end + (2 if first >> 1 & 3 else 0)
    found = _length(body, number_end)
    if found is None or number_end + sum(found) > len(body):
        raise ValueError("a topic longer than its packet")
    return body[2:end].decode(errors="replace"), body[number_end + sum(found) :], body[end:number_end]


def numbers_in(properties: bytes) -> dict[int, int]:
    """The properties that are numbers, of a CONNACK's properties behind their length. Raises ValueError."""
    found: dict[int, int] = {}
    at = 0
    while at < len(properties):
        kind, at = properties[at], at + 1
        if size := _SIZES.get(kind):
            found[kind] = int.from_bytes(properties[at : at + size], "big")
            at += size
        for _ in range(0 if size else 2 if kind == _USER_PROPERTY else 1):
            at += 2 + int.from_bytes(properties[at : at + 2], "big")
    if at > len(properties):
        raise ValueError("properties longer than their packet")
    return found


def welcome(body: bytes) -> dict[int, int]:
    """What a CONNACK sets: its properties that are numbers. Raises ValueError."""
    found = _length(body, 2)
    if found is None:
        raise ValueError("a CONNACK without properties")
    length, head = found
    return numbers_in(body[2 + head : 2 + head + length])


def packet(first: int, body: bytes = b"") -> bytes:
    """The first byte, the length, the body."""
    return bytes((first,)) + _measured(body)


def _measured(body: bytes) -> bytes:
    """Bytes behind their length as MQTT writes it: seven bits a byte, the lowest first."""
    length = len(body)
    if length < 128:
        return bytes((length,)) + body
    size = bytearray()
    while True:
        length, seven = divmod(length, 128)
        size.append(seven | (0x80 if length else 0))
        if not length:
            return bytes(size) + body


def text(words: str) -> bytes:
    """A text behind its length."""
    encoded = words.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(buffer: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """A length, and how many bytes say it; None while they are not all there. Raises ValueError."""
    length = 0
    for step in range(4):
        at = start + step
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 0x7F) << (7 * step)
        if not buffer[at] & 0x80:
            return length, 1 + step
    raise ValueError("a length of five bytes is not MQTT")
