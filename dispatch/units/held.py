"""Reports of units whose region nobody leads here: kept for some seconds, in case this process leads it next.

The broker gives each report to every core process. A unit says an acknowledgement or a link report only once: one that
came while its leader was dying is known to nobody else. A status it repeats until it has its receipt, so none is held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from dispatch.core.terms import UnitId

HELD_S = 15.0
"""Longer than any takeover; what its leader had committed by then is repeated or refused, which changes nothing."""
HELD_MAX = 20_000

Report = TypeVar("Report")


class Held(Generic[Report]):
    """Reports in the order in which they came; the oldest go first, by age and by number."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._reports: deque[tuple[float, UnitId, Report]] = deque(maxlen=HELD_MAX)

    def __len__(self) -> int:
        return len(self._reports)

    def keep(self, unit_id: UnitId, report: Report) -> None:
        now_s = self._now_s()
        while self._reports and self._reports[0][0] < now_s - HELD_S:
            self._reports.popleft()
        self._reports.append((now_s, unit_id, report))

    def taken(self, mine: Callable[[UnitId], bool]) -> Iterator[tuple[UnitId, Report]]:
        """Those of our units that are not too old, once; the others stay."""
        now_s, reports = self._now_s(), list(self._reports)
        self._reports.clear()
        for at_s, unit_id, report in reports:
            if not mine(unit_id):
                self._reports.append((at_s, unit_id, report))
            elif at_s >= now_s - HELD_S:
                yield unit_id, report
