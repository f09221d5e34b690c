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

_encode = msgspec.json.Encoder().encode


class Delta(msgspec.Struct, frozen=True):
    """A frame that leads from one number to another."""

    before: int
    after: int
    frame: bytes


class Feed:
    """A region's board in one view. `seq` is the number up to which `shown` and the last delta go."""

    def __init__(self, state: RegionState, view: str) -> None:
        self.view = view
        self.region: RegionId = state.region
        self.watchers = 0
        self.idle_since_s = 0.0
        self._board = Board(view)
        self._recent: deque[Delta] = deque()
        self._recent_bytes = 0
        self.shown: Row = {}
        self.seq = -1
        self._snapshot: bytes | None = None
        self._draw(state)

    def follows(self, state: RegionState) -> bool:
        """Whether this feed was made from this state, and not from one that was loaded since."""
        return self._state is state

    def redraw(self, state: RegionState) -> None:
        """Begin anew from a state that was loaded: the deltas so far lead nowhere."""
        self._recent.clear()
        self._recent_bytes = 0
        self._draw(state)

    def advance(self, touched: Touched) -> bytes | None:
        """The delta frame from `seq` to the state's own; None when the region has not moved."""
        state = self._state
        if state.seq == self.seq:
            return None
        assert state.seq > self.seq, "a region's numbers only grow"
        changes = self._board.changes(state, touched)
        merge(self.shown, changes)
        message = {
            "type": "delta",
            "region": self.region,
            "from": self.seq,
            "to": state.seq,
            "changes": changes,
        }
        delta = Delta(self.seq, state.seq, frame(_encode(message)))
        self.seq = state.seq
        self._snapshot = None
        self._keep(delta)
        return delta.frame

    def snapshot(self) -> bytes:
        """The snapshot frame at `seq`."""
        if self._snapshot is None:
            message = {"type": "snapshot", "region": self.region, "seq": self.seq, "board": self.shown}
            self._snapshot = frame(_encode(message))
        return self._snapshot

    def since(self, seq: int) -> list[bytes] | None:
        """The delta frames that lead from `seq` to now; None when that is too long ago, or never was."""
        if seq == self.seq:
            return []
        found = [delta for delta in self._recent if delta.before >= seq]
        if not found or found[0].before != seq:
            return None
        return [delta.frame for delta in found]

    def _draw(self, state: RegionState) -> None:
        self._state = state
        self.shown = self._board.snapshot(state)
        self.seq = state.seq
        self._snapshot = None

    def _keep(self, delta: Delta) -> None:
        self._recent.append(delta)
        self._recent_bytes += len(delta.frame)
        while len(self._recent) > RECENT_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= len(self._recent.popleft().frame)


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
