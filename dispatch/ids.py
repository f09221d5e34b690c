"""New identifiers for calls, notes and contacts: sortable by time, and repeatable when a test gives a seed.

An id is a letter, a dash and 26 characters of Crockford's base 32: 48 bits of milliseconds, then 80 bits of
chance (the layout of a ULID). Two ids of one source never meet and sort in the order they were made.
Running numbers of incidents, assignments and orders are the core's own and not made here.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from random import Random

from dispatch.clock import Clock
from dispatch.core.closure_terms import ClosureId
from dispatch.core.terms import CallId

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no I, L, O or U, so an id can be read out over the radio."""
LENGTH = 26
CHANCE_BITS = 80
DRAWN_BYTES = 4_096
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)


class _Chance(Random):
    """The operating system's random bytes, fetched many at a time: a fetch costs more than an id."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn = b""
        self._used = 0

    def randbytes(self, n: int) -> bytes:
        if self._used + n > len(self._drawn):
            self._drawn, self._used = os.urandom(max(DRAWN_BYTES, n)), 0
        self._used += n
        return self._drawn[self._used - n : self._used]

    def getrandbits(self, k: int) -> int:
        """`k` is a whole number of bytes here."""
        assert k % 8 == 0
        return int.from_bytes(self.randbytes(k // 8))


class IdSource:
    """Makes ids from a clock and a generator; with a seed, the same clock gives the same ids again."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._random: Random = _Chance() if seed is None else Random(seed)
        self._last = 0

    def call_id(self) -> CallId:
        return CallId(self.made("c"))

    def note_id(self) -> str:
        return self.made("n")

    def closure_id(self) -> ClosureId:
        return ClosureId(self.made("r"))

    def contact_id(self) -> str:
        return self.made("u")

    def salt(self) -> bytes:
        """16 bytes of chance, for the commitment to a personal document."""
        return self._random.randbytes(16)

    def made(self, letter: str) -> str:
        """A new id under this letter; later calls give greater ones."""
        assert len(letter) == 1
        assert letter.isascii()
        number = (int(self._clock.now().timestamp() * 1000) << CHANCE_BITS) | self._random.getrandbits(CHANCE_BITS)
        if number >> CHANCE_BITS <= self._last >> CHANCE_BITS:
            # Within one millisecond, or after a clock was set back, count on instead.
            number = self._last + 1 + (number & 0xFFFF)
        self._last = number
        return f"{letter}-{_written(number)}"


def is_id(text: str, letter: str) -> bool:
    """Whether the text can be an id made here under this letter."""
    return len(text) == LENGTH + 2 and text.startswith(f"{letter}-") and all(mark in ALPHABET for mark in text[2:])


def _written(number: int) -> str:
    assert 0 <= number < 1 << (LENGTH * 5), "milliseconds fill 48 bits until the year 10889"
    return "".join(_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10))


def first_at(letter: str, at: datetime) -> str:
    """The least id that can be made under this letter at this time: ids sort by time."""
    return f"{letter}-{_written(int(at.timestamp() * 1000) << CHANCE_BITS)}"


def made_at(text: str) -> datetime | None:
    """When an id of ours was made, to the millisecond; None for a text that is none."""
    if not is_id(text, text[:1]):
        return None
    number = 0
    for mark in text[2:12]:
        number = number * 32 + ALPHABET.index(mark)
    # Ten characters hold 50 bits: 48 of milliseconds behind two zero bits.
    return datetime.fromtimestamp(number / 1000, UTC)
