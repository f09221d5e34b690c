"""One region in one view, as frames: the snapshot, each delta, and the recent deltas for who comes back.

Pure but for the bytes: nothing here knows a connection. Every frame is encoded once, whoever it goes to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from consoles.board import SECTIONS, Board, Row
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import RegionId
from dispatch.web.websocket import frame

RECENT_MAX = 512
RECENT_BYTES_MAX = 2 * 1024 * 1024
"""Deltas kept for who comes back: about a minute of a busy region. Older: a snapshot is cheaper."""

MARK_DIGITS = 12

_encode = msgspec.json.Encoder().encode

Known = tuple[int, str]
"""What a console has: a number, and the mark that came with it. '' for one who keeps no marks."""


class Delta(msgspec.Struct, frozen=True):
    """A frame that leads from one number, with its mark, to another."""

    before: int
    mark: str
    after: int
    frame: bytes


class Feed:
    """A region's board in one view. `seq` is the number up to which `shown` and the last delta go, and `mark` the
    beginning of that event's hash: after a restore the same number may be another event's.
    """

    def __init__(self, region: RegionId, view: str) -> None:
        """Nothing is drawn yet."""
        self.view = view
        self.region = region
        self.watchers = 0
        self.idle_since_s = 0.0
        self.again_at_s = 0.0
        """Not drawn before that, on the loop's clock, after a fault in drawing."""
        self._board = Board(view)
        self._recent: deque[Delta] = deque()
        self._recent_bytes = 0
        self.shown: Row = {}
        self.seq, self.mark = -1, ""
        self._snapshot: bytes | None = None
        self._state: RegionState | None = None

    @property
    def drawn(self) -> bool:
        """Whether it shows the committed state; not before it is drawn, nor after a fault in drawing it."""
        return self._state is not None

    def follows(self, state: RegionState) -> bool:
        """Whether this feed was made from this state, and not from one that was loaded since."""
        return self._state is state

    def spoil(self) -> None:
        """A delta is lost: the feed follows nothing any more until it is drawn anew."""
        self._state = None

    def redraw(self, state: RegionState, digest: bytes) -> None:
        """Begin anew from a state, of whose last event the hash is: the deltas so far lead nowhere."""
        self._recent.clear()
        self._recent_bytes = 0
        self.shown = self._board.snapshot(state)
        self.seq, self.mark = state.seq, marked(digest)
        self._snapshot = None
        self.snapshot()  # What cannot be encoded is found out here, and not when somebody comes.
        self._state = state

    def advance(self, touched: Touched, digest: bytes) -> bytes | None:
        """The delta frame from `seq` to the state's own, of whose last event the hash is; None when the region has
        not moved.
        """
        state = self._state
        if state is None or state.seq == self.seq:
            return None
        assert state.seq > self.seq, "a region's numbers only grow"
        changes = self._board.changes(state, touched)
        merge(self.shown, changes)
        message = {
            "type": "delta",
            "region": self.region,
            "from": self.seq,
            "to": state.seq,
            "mark": marked(digest),
            "changes": changes,
        }
        delta = Delta(self.seq, self.mark, state.seq, frame(_encode(message)))
        self.seq, self.mark = state.seq, marked(digest)
        self._snapshot = None
        self._keep(delta)
        return delta.frame

    def snapshot(self) -> bytes:
        """The snapshot frame at `seq`."""
        if self._snapshot is None:
            message = {"type": "snapshot", "region": self.region, "seq": self.seq, "mark": self.mark}
            self._snapshot = frame(_encode(message | {"board": self.shown}))
        return self._snapshot

    def since(self, known: Known) -> list[bytes] | None:
        """The delta frames that lead from what is known to now; None when that is too long ago, or never was."""
        seq, mark = known
        if seq == self.seq:
            return [] if mark in ("", self.mark) else None
        found = [delta for delta in self._recent if delta.before >= seq]
        if not found or found[0].before != seq or mark not in ("", found[0].mark):
            return None
        return [delta.frame for delta in found]

    def _keep(self, delta: Delta) -> None:
        self._recent.append(delta)
        self._recent_bytes += len(delta.frame)
        while len(self._recent) > RECENT_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= len(self._recent.popleft().frame)


def marked(digest: bytes) -> str:
    """The mark of an event by its hash."""
    return digest.hex()[:MARK_DIGITS]


def merge(board: Row, changes: Row) -> None:
    """Merge a delta's changes into a board, as every console does: by id, null removes, the rest replaces."""
    for key, value in changes.items():
        if key not in SECTIONS:
            board[key] = value
            continue
        section = board[key]
        for name, row in value.items():
            if row is None:
                section.pop(name, None)
            else:
                section[name] = row


def said(message: dict[str, Any]) -> bytes:
    """Any other message as a frame."""
    return frame(_encode(message))


def joined(frames: Iterable[bytes]) -> bytes:
    """Several frames as one write: the send call is what costs."""
    return b"".join(frames)
