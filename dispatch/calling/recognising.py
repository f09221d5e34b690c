"""By what the open calls are recognised that others took, or an earlier process: their callers' numbers and handsets.

A process knows the callers of the calls that it takes. Those of a region that it begins to lead, and of a call that
comes from another cell, stand in the store. While that does not answer the calls are noted, and read when it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from dispatch.calling.calls import CallerKnown
from dispatch.calling.matching import Caller, Matcher, Waiting
from dispatch.core.state import RegionState
from dispatch.core.terms import Call, CallId
from dispatch.errors import ServiceAway
from dispatch.writing.records import Personal

READ_AT_ONCE = 500

Put = Callable[[CallId, Sequence[Waiting]], Awaitable[object]]


class PersonalShelf(Protocol):
    """What reads personal documents: the store."""

    async def personal(self, ids: Sequence[str]) -> dict[str, Personal]: ...


def recognisable(state: RegionState) -> list[Call]:
    """The calls whose handset may still say where it is: the open ones, and those that went to another cell."""
    return [*state.calls.values(), *(call for call_id, call in state.closed_calls.items() if call_id in state.gone)]


class Recogniser:
    """Indexes calls in a matcher; `put` is given what waited there for one of them."""

    def __init__(self, matcher: Matcher, shelf: PersonalShelf, put: Put) -> None:
        self._matcher = matcher
        self._shelf = shelf
        self._put = put
        self._unread: dict[CallId, Call] = {}

    async def know(self, calls: Iterable[Call]) -> None:
        """Know these calls by their callers, at once or as soon as they can be read."""
        self._unread |= {call.call_id: call for call in calls if call.commitment is not None}
        await self.read()

    async def read(self) -> None:
        """Read who is not known yet, as far as the store answers."""
        while step := dict(islice(self._unread.items(), READ_AT_ONCE)):
            try:
                documents = await self._shelf.personal(list(step))
            except ServiceAway:
                return
            for call_id, call in step.items():
                self._unread.pop(call_id, None)
                if call_id in documents:
                    await self._index(call, documents[call_id].document)

    async def _index(self, call: Call, document: bytes) -> None:
        known = msgspec.json.decode(document, type=CallerKnown)
        caller = Caller(call_id=call.call_id, started_at=call.at, number=known.number, imei=known.imei)
        waiting = self._matcher.called(caller)
        if waiting:
            await self._put(call.call_id, waiting)
