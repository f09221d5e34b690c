"""The arithmetic of choosing, on arrays: shared by live dispatch and by the planners' fast loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dispatch.core.terms import UNREACHABLE_MS

Milliseconds = NDArray[np.int32]


def driven(ms: Milliseconds, age_s: NDArray[np.float32], factor: float, oldest_s: float) -> Milliseconds:
    """Plain driving times as an emergency drive; unreachable where there is no way or the position is old."""
    usable = (ms < UNREACHABLE_MS) & (age_s <= oldest_s)
    return np.where(usable, np.minimum(ms * factor, UNREACHABLE_MS - 1), UNREACHABLE_MS).astype(np.int32)


def lowest(cost: Milliseconds, count: int) -> list[int]:
    """The places of the `count` lowest costs, cheapest first, ties by place; never an unreachable one.

    Repeated minimum: for the few units that an incident needs it beats sorting, and its ties are settled.
    """
    left = cost.copy()
    places: list[int] = []
    for _ in range(min(count, len(left))):
        place = int(left.argmin())
        if left[place] >= UNREACHABLE_MS:
            break
        places.append(place)
        left[place] = UNREACHABLE_MS
    return places
