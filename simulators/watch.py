"""The consoles that watch one region in a simulated world: one in each view, some with a bad link.

Checks the law of the boards: a snapshot with all later deltas merged into it equals a fresh snapshot. A console
that lost its link comes back with its number and gets the deltas since then, or a snapshot when they are gone.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from consoles.board import FULL, SECTIONS, VIEWS, Board
from consoles.feed import merge
from dispatch.core.state import RegionState, Touched
from simulators.writer import Broken

RECENT = 5
"""Deltas kept for who comes back: few, so that coming back too late happens as well."""

BODIES_WATCHING = 2

Row = dict[str, Any]


class Console:
    """One board of one region: what was drawn, the latest deltas, and what the screen shows."""

    def __init__(self, view: str, state: RegionState) -> None:
        self.view = view
        self.linked = True
        self.half_open = False
        self.resumed = self.restarted = 0
        self.shown_seq = state.seq
        self._recent: deque[tuple[int, int, Row]] = deque(maxlen=RECENT)
        self.reload(state)

    def reload(self, state: RegionState) -> None:
        """The region was loaded anew: begin with a snapshot."""
        self._board = Board(self.view)
        self._drawn = self._board.snapshot(state)
        self._recent.clear()
        self.seq = state.seq
        self.take_snapshot()

    def draw(self, state: RegionState, touched: Touched) -> None:
        """Make the next delta, and merge it into the screen while the link holds."""
        if state.seq == self.seq:
            return
        changes = self._board.changes(state, touched)
        merge(self._drawn, changes)
        self._recent.append((self.seq, state.seq, changes))
        self.seq = state.seq
        if self.linked and not self.half_open:
            self.resume()

    def resume(self) -> None:
        """Catch up by the deltas since the screen's own number, or by a snapshot."""
        missed = self.since(self.shown_seq)
        if missed is None:
            self.restarted += 1
            self.take_snapshot()
            return
        self.resumed += len(missed) > 1
        for _, after, changes in missed:
            merge(self.shown, changes)
            self.shown_seq = after

    def since(self, seq: int) -> list[tuple[int, int, Row]] | None:
        """The deltas that lead from a number to now; None when they are gone."""
        if seq == self.seq:
            return []
        found = [delta for delta in self._recent if delta[0] >= seq]
        return found if found and found[0][0] == seq else None

    def take_snapshot(self) -> None:
        """Show what the feed has drawn so far."""
        copied = {key: dict(value) if key in SECTIONS else value for key, value in self._drawn.items()}
        self.shown, self.shown_seq = copied, self.seq

    def check(self, state: RegionState) -> None:
        """The law, for a console that is up to date."""
        if self.shown_seq != state.seq:
            return
        fresh = Board(self.view).snapshot(state)
        if self.shown != fresh:
            raise Broken(
                f"{state.region}: the board {self.view!r} differs from a fresh one: {_first(self.shown, fresh)}"
            )


def consoles(state: RegionState, chance: Random) -> list[Console]:
    """A console that sees everything, and those of two bodies, another pair in each world."""
    bodies = chance.sample([view for view in VIEWS if view != FULL], BODIES_WATCHING)
    return [Console(view, state) for view in (FULL, *bodies)]


def _first(shown: Row, fresh: Row) -> str:
    """The first thing that differs, for whoever has to find out why."""
    for key in fresh:
        if shown.get(key) == fresh[key]:
            continue
        if not isinstance(fresh[key], dict):
            return f"{key} is {shown.get(key)}, not {fresh[key]}"
        for name in dict.fromkeys([*shown[key], *fresh[key]]):
            if shown[key].get(name) != fresh[key].get(name):
                return f"{key}/{name} is {shown[key].get(name)}, not {fresh[key].get(name)}"
    return f"{sorted(shown.keys() - fresh.keys())} should not be there"
