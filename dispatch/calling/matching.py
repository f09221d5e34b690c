"""Which call a handset's own location belongs to: by number, else by IMEI, within a window around the call.

Numbers and IMEIs live only in this memory and in `personal`; the index is made again at start from the open
calls. Everything here is bounded, knows no clock and waits for nothing. The rules are those of the AML
specification's practice: from 60 s before a call to 120 s after its end; an unmatched message waits 10
minutes for its call, and longer for one that waits itself; of two open calls with one number the newer is meant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec

from dispatch.core.terms import CallId
from dispatch.formats.aml import AFTER_CALL_S, BEFORE_CALL_S, window
from dispatch.formats.aml_message import AmlMessage

WAITING = timedelta(minutes=10)
AFTER_CALL = timedelta(seconds=AFTER_CALL_S)
BEFORE_CALL = timedelta(seconds=BEFORE_CALL_S)
WAITING_MAX = 10_000
"""Unmatched messages kept; over it the oldest goes, and is counted by the caller of `keep`."""

CALLS_MAX = 200_000
"""Calls indexed; over it the one indexed first goes. The country's worst hour brings a third of that."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """By what one call can be recognised. `number` is E.164; `ended_at` None: still open."""

    call_id: CallId
    started_at: datetime
    number: str | None = None
    imei: str | None = None
    ended_at: datetime | None = None


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """`shared` says that another open call could have been meant as well."""

    call_id: CallId
    shared: bool = False


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits for its call. `turn` is its place among them: they came in this order."""

    turn: int
    message: AmlMessage
    received_at: datetime


Mark = tuple[str, str]


class Matcher:
    """Callers by number and IMEI, and messages that wait for their call.

    Whoever claims waiting messages has them in hand and says which are used, or gives them back. However often that
    happens, their ten minutes count from when they came.
    """

    def __init__(self, is_open: Callable[[CallId], bool]) -> None:
        """`is_open` says whether a call that was indexed is still going on."""
        self._is_open = is_open
        self._callers: OrderedDict[CallId, Caller] = OrderedDict()
        self._marked: dict[Mark, list[CallId]] = {}
        self._ended: OrderedDict[CallId, datetime] = OrderedDict()
        self._waiting: dict[int, Waiting] = {}
        self._waiting_by: dict[Mark, list[int]] = {}
        self._since: OrderedDict[int, datetime] = OrderedDict()
        """From when each one's ten minutes count, the longest past first."""
        self._in_hand: set[int] = set()
        self._kept = 0

    def __len__(self) -> int:
        return len(self._callers)

    @property
    def waiting(self) -> int:
        """How many messages wait for a call, and nobody has them in hand."""
        return len(self._waiting) - len(self._in_hand)

    def called(self, caller: Caller) -> list[Waiting]:
        """Index a call; returns the messages that waited for it, oldest first: they are in the asker's hand."""
        if caller.number is None and caller.imei is None:
            return []
        if caller.call_id in self._callers:
            self.forget(caller.call_id)
        self._callers[caller.call_id] = caller
        for mark in _marks(caller.number, caller.imei):
            self._marked.setdefault(mark, []).append(caller.call_id)
        while len(self._callers) > CALLS_MAX:
            self.forget(next(iter(self._callers)))
        return self.claim(caller)

    def look_at(self, calls: Iterable[CallId], now: datetime) -> None:
        """Note which of these calls are over; each stays matchable for the window's tail."""
        for call_id in calls:
            caller = self._callers.get(call_id)
            if caller is not None:
                self._current(caller, now)

    def forget(self, call_id: CallId) -> None:
        """Take a call out of the index."""
        caller = self._callers.pop(call_id, None)
        self._ended.pop(call_id, None)
        if caller is None:
            return
        for mark in _marks(caller.number, caller.imei):
            others = [other for other in self._marked.get(mark, ()) if other != call_id]
            if others:
                self._marked[mark] = others
            else:
                self._marked.pop(mark, None)

    def match(self, message: AmlMessage, now: datetime, received_at: datetime | None = None) -> Match | None:
        """The call that a message belongs to, which was received now, or at that time if it has waited."""
        came = received_at or now
        for mark in _marks(message.number, message.imei):
            meant = [c for c in self._under(mark, now) if _begins(c) <= came <= _ends(c, now)]
            if meant:
                newest = max(meant, key=lambda c: (c.ended_at is None, c.started_at, c.call_id))
                still_open = sum(c.ended_at is None for c in meant)
                return Match(call_id=newest.call_id, shared=still_open > 1)
        return None

    def shared(self, call_id: CallId, now: datetime) -> bool:
        """Whether another open call came from the same number."""
        caller = self._callers.get(call_id)
        if caller is None or caller.number is None:
            return False
        return sum(c.ended_at is None for c in self._under(("number", caller.number), now)) > 1

    def keep(self, message: AmlMessage, now: datetime) -> int:
        """Keep a message for a call that may still come. Returns how many older ones had to go for it."""
        marks = _marks(message.number, message.imei)
        if not marks:
            return 0
        self._kept += 1
        self._waiting[self._kept] = Waiting(turn=self._kept, message=message, received_at=now)
        self._since[self._kept] = now
        for mark in marks:
            self._waiting_by.setdefault(mark, []).append(self._kept)
        gone = 0
        while len(self._waiting) > WAITING_MAX:
            self._drop(next(iter(self._since)))
            gone += 1
        return gone

    def expire(self, now: datetime, is_awaited: Callable[[AmlMessage], bool] = lambda message: False) -> int:
        """Forget what has waited too long, and calls whose window is over. Returns how many messages.

        One that `is_awaited`, because its call waits as well, is looked at again ten minutes later.
        """
        gone = 0
        for turn in list(takewhile(lambda turn: now - self._since[turn] > WAITING, self._since)):
            if is_awaited(self._waiting[turn].message):
                self._since[turn] = now
                self._since.move_to_end(turn)
            else:
                self._drop(turn)
                gone += 1
        for call_id in list(takewhile(lambda c: now - self._ended[c] > AFTER_CALL, self._ended)):
            if not self._is_waited_for(self._callers[call_id]):
                self.forget(call_id)
        return gone

    def _is_waited_for(self, caller: Caller) -> bool:
        """Whether a message may be this call's that came in its time and could not be told yet."""
        return any(mark in self._waiting_by for mark in _marks(caller.number, caller.imei))

    def _under(self, mark: Mark, now: datetime) -> list[Caller]:
        return [self._current(self._callers[call_id], now) for call_id in self._marked.get(mark, ())]

    def _current(self, caller: Caller, now: datetime) -> Caller:
        """The caller, its end noted if the call is over."""
        if caller.ended_at is not None or self._is_open(caller.call_id):
            return caller
        ended = msgspec.structs.replace(caller, ended_at=now)
        self._callers[caller.call_id] = ended
        self._ended[caller.call_id] = now
        return ended

    def claim(self, caller: Caller) -> list[Waiting]:
        """The waiting messages that belong to this call, oldest first: they are in the asker's hand."""
        turns = {turn for mark in _marks(caller.number, caller.imei) for turn in self._waiting_by.get(mark, ())}
        since = caller.started_at - BEFORE_CALL
        mine = [self._waiting[turn] for turn in sorted(turns - self._in_hand)]
        claimed = [waiting for waiting in mine if waiting.received_at >= since]
        self._in_hand.update(waiting.turn for waiting in claimed)
        return claimed

    def claim_for(self, call_id: CallId) -> list[Waiting]:
        """The same for a call that is indexed."""
        caller = self._callers.get(call_id)
        return [] if caller is None else self.claim(caller)

    def used(self, claimed: Iterable[Waiting]) -> None:
        """These have found their call: they are forgotten."""
        for waiting in claimed:
            self._drop(waiting.turn)

    def give_back(self, claimed: Iterable[Waiting]) -> None:
        """These have not found their call: those that were not used, and are not too old by now, wait on."""
        self._in_hand.difference_update(waiting.turn for waiting in claimed)

    def _drop(self, turn: int) -> None:
        waiting = self._waiting.pop(turn, None)
        if waiting is None:
            return
        del self._since[turn]
        self._in_hand.discard(turn)
        for mark in _marks(waiting.message.number, waiting.message.imei):
            left = [other for other in self._waiting_by[mark] if other != turn]
            if left:
                self._waiting_by[mark] = left
            else:
                del self._waiting_by[mark]


def _marks(number: str | None, imei: str | None) -> list[Mark]:
    """By what a call or a message is known, the better first."""
    return [(kind, value) for kind, value in (("number", number), ("imei", imei)) if value]


def _begins(caller: Caller) -> datetime:
    return window(caller.started_at, caller.started_at)[0]


def _ends(caller: Caller, now: datetime) -> datetime:
    return window(caller.started_at, max(caller.ended_at or now, caller.started_at))[1]
