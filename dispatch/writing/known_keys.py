"""Which idempotency keys surely have no answer yet: what spares the usual new call a look into the database.

A Bloom filter of the answers of a day. "Not known" is certain for a region whose kept answers were learnt since
we came to lead it; "perhaps known" is asked of the store. The certainty need not be perfect: should a key be
answered in another region too, the append finds it and undoes itself (schema.sql, KR001).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np

from dispatch.store import ANSWERS_KEPT
from dispatch.writing.records import digest_of_key

FILTER_BITS: Final = 1 << 26
"""8 MiB a generation: after five million keys in a day 0.7 % of the new ones are asked for in vain."""

_PLACES: Final = FILTER_BITS - 1


class KnownKeys:
    """Two generations, each of the answers of a day: the older is dropped when the younger is a day old."""

    def __init__(self) -> None:
        self.certain: set[str] = set()
        """Regions all of whose kept answers are in here."""
        self._young = bytearray(FILTER_BITS // 8)
        self._old = bytearray(FILTER_BITS // 8)
        self._since: datetime | None = None

    def surely_new(self, region: str, actor: str, key: str) -> bool:
        """Whether no answer of the region stands under the key."""
        return region in self.certain and not self._perhaps(digest_of_key(actor, key))

    def add(self, actor: str, key: str, at: datetime) -> None:
        """Note a key that has its answer from now on."""
        if self._since is None:
            self._since = at
        elif at - self._since > ANSWERS_KEPT:
            self._since, self._old, self._young = at, self._young, bytearray(FILTER_BITS // 8)
        for place in _places(digest_of_key(actor, key)):
            self._young[place >> 3] |= 1 << (place & 7)

    def learn(self, digests: bytes) -> None:
        """Note many keys by their digests, one after the other."""
        places = np.frombuffer(digests, dtype="<u4") & np.uint32(_PLACES)
        bits = np.left_shift(np.uint8(1), (places & 7).astype(np.uint8))
        np.bitwise_or.at(np.frombuffer(self._young, dtype=np.uint8), places >> 3, bits)

    def _perhaps(self, name: bytes) -> bool:
        places = _places(name)
        return any(
            all(generation[place >> 3] >> (place & 7) & 1 for place in places)
            for generation in (self._young, self._old)
        )


def _places(name: bytes) -> tuple[int, ...]:
    """Where a digest stands: its four words, each the number of a bit."""
    number = int.from_bytes(name, "little")
    return number & _PLACES, number >> 32 & _PLACES, number >> 64 & _PLACES, number >> 96 & _PLACES
