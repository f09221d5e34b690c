"""The order of waiting work: lists that stay sorted while entries come and go.

Priority first, then age, then the identifier, so that two replays of one journal queue alike.
Binary search over plain lists, one a priority: what comes is the youngest of its priority, and stands last in its
list, so that a hundred thousand that wait cost the next one nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from dispatch.core.terms import Call, Incident, Priority

Key = TypeVar("Key", bound=tuple[Any, ...])

IncidentKey = tuple[str, datetime, str]
CallKey = tuple[str, datetime, str]


class Ordered(Generic[Key]):
    """A sorted list of distinct keys."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def add(self, key: Key) -> None:
        """Insert; a key that is already there stays once."""
        if not self._keys or self._keys[-1] < key:
            self._keys.append(key)
        elif key not in self:
            insort(self._keys, key)

    def discard(self, key: Key) -> None:
        """Remove when present."""
        place = bisect_left(self._keys, key)
        if place < len(self._keys) and self._keys[place] == key:
            del self._keys[place]

    def __contains__(self, key: Key) -> bool:
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and bool(self._keys[place] == key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def copy(self) -> Ordered[Key]:
        """The same keys in a list of their own."""
        copied: Ordered[Key] = Ordered()
        copied._keys = self._keys.copy()
        return copied


class Ranked(Generic[Key]):
    """A sorted collection of distinct keys whose first part is one of a few words: a list for each word."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[str, Ordered[Key]] = {}

    def add(self, key: Key) -> None:
        """Insert; a key that is already there stays once."""
        lane = self._lanes.get(key[0])
        if lane is None:
            self._lanes[key[0]] = lane = Ordered()
            self._lanes = dict(sorted(self._lanes.items()))
        lane.add(key)

    def discard(self, key: Key) -> None:
        """Remove when present."""
        if key[0] in self._lanes:
            self._lanes[key[0]].discard(key)

    def __contains__(self, key: Key) -> bool:
        return key[0] in self._lanes and key in self._lanes[key[0]]

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(self._lanes.values())

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def starting(self, word: str) -> tuple[int, Key | None]:
        """How many keys begin with this word, and the first of them."""
        lane = self._lanes.get(word, ())
        return len(lane), next(iter(lane), None)

    def first(self, count: int) -> list[Key]:
        """The `count` most urgent keys."""
        return list(islice(self, count))

    def copy(self) -> Ranked[Key]:
        """The same keys in lists of their own."""
        copied: Ranked[Key] = Ranked()
        copied._lanes = {word: lane.copy() for word, lane in self._lanes.items()}
        return copied


def incident_key(incident: Incident) -> IncidentKey:
    """Where an incident stands among those that wait for units."""
    return (incident.priority, incident.opened_at, incident.incident_id)


def call_key(call: Call) -> CallKey:
    """Where a call stands among those that nobody has in hand: an unknown priority counts as P2.

    Unknown may be the worst, but must not push a known P1 back.
    """
    return (call.priority or Priority.P2, call.at, call.call_id)
