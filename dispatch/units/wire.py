"""MQTT 3.1.1 as bytes: the few packets that a reader of positions needs. No connection, no meaning.

The library's client costs six times as much a message, most of it for what a message of QoS 0 does not have
(docs/decisions/0004). Everything that must arrive travels on the library's line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
PINGREQ, PINGRESP = 0xC0, 0xD0
PACKET_LIMIT: Final = 1 << 20
"""Bytes of one packet; a longer one is skipped as it comes and never held."""

_CLEAN, _LOGIN = 0x02, 0xC0
_KIND = 0xF0


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
                found = _length(buffer, start)
                if found is None:
                    return
                length, head = found
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


def connect(name: str, login: tuple[str, str], keepalive_s: int) -> bytes:
    """CONNECT without a session; an empty user name means no log-in."""
    username, password = login
    flags = _CLEAN | (_LOGIN if username else 0)
    head = text("MQTT") + bytes((4, flags)) + keepalive_s.to_bytes(2, "big") + text(name)
    return packet(CONNECT, head + (text(username) + text(password) if username else b""))


def subscribe(number: int, topics: Sequence[tuple[str, int]]) -> bytes:
    """SUBSCRIBE to (filter, quality) pairs."""
    return packet(SUBSCRIBE, number.to_bytes(2, "big") + b"".join(text(topic) + bytes((qos,)) for topic, qos in topics))


def published(first: int, body: bytes) -> tuple[str, bytes, bytes]:
    """Topic, payload and, with QoS 1, the two bytes that acknowledge it. Raises ValueError."""
    end = 2 + int.from_bytes(body[:2], "big")
    number_end = end + (2 if first >> 1 & 3 else 0)
    if number_end > len(body):
        raise ValueError("a topic longer than its packet")
    return body[2:end].decode(errors="replace"), body[number_end:], body[end:number_end]


def packet(first: int, body: bytes = b"") -> bytes:
    """The first byte, the length as MQTT writes it (seven bits a byte, the lowest first), the body."""
    size, length = bytearray(), len(body)
    while True:
        length, seven = divmod(length, 128)
        size.append(seven | (0x80 if length else 0))
        if not length:
            return bytes((first,)) + bytes(size) + body


def text(words: str) -> bytes:
    """A text behind its length."""
    encoded = words.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """The length of the packet's body and of its head; None while the head is not all there."""
    length = 0
    for step in range(4):
        at = start + 1 + step
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 0x7F) << (7 * step)
        if not buffer[at] & 0x80:
            return length, 2 + step
    raise ValueError("a length of five bytes is not MQTT")
