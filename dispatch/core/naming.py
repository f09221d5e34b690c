"""Names and numbers for what is remembered beyond the journal, by a crew's device or another region.

A region that was restored from a backup numbers its events anew, while those who heard the numbers of the time that
was lost still know them, and would take something new for what they had. Its time goes on, so it is in each name, and
no name is given twice; and in each stamp, so that what is said now is newer than all that was said then.
"""

from __future__ import annotations

from datetime import datetime

from dispatch.core.state import RegionState

STAMPS_A_SECOND = 1_000_000


def decided(state: RegionState, now: datetime) -> str:
    """`81-260301080000`: this decision, by the region's last event before it and by its second."""
    return f"{state.seq}-{now:%y%m%d%H%M%S}"


def next_stamp(last: int, at: datetime) -> int:
    """The stamp of an event: its time in microseconds since 1970, and always above that of the event before it."""
    return max(last + 1, int(at.timestamp() * STAMPS_A_SECOND))
