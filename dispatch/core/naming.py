"""Names for what is remembered beyond the journal, by a crew's device or another region: none is given twice.

A region that was restored from a backup numbers its events anew, while those who heard the numbers of the time that
was lost still know them, and would take something new for what they had. Its time goes on, so it is in each name.
"""

from __future__ import annotations

from datetime import datetime

from dispatch.core.state import RegionState


def decided(state: RegionState, now: datetime) -> str:
    """`81-260301080000`: this decision, by the region's last event before it and by its second."""
    return f"{state.seq}-{now:%y%m%d%H%M%S}"
