"""The loops that run beside the service, kept running: a fault of our own must not end one in silence.

And the last work before a stop, which waits for a server that is away only so long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from dispatch.clock import elapsing_s
from dispatch.web.metrics import Metrics

log = logging.getLogger(__name__)

AGAIN_S = 1.0
LAST_WORK_S = 2.0
SAID_AGAIN_S = 60.0
"""A fault that comes again and again is said so often, not at each turn."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Sayings:
    """Which of a loop's faults are worth a line in the log: a new one, or the same after SAID_AGAIN_S."""

    def __init__(self) -> None:
        self._last = ""
        self._said_s = float("-inf")

    def worth(self, fault: Exception) -> bool:
        """Whether to say this one; it counts as said then."""
        text, now_s = repr(fault), elapsing_s()
        if text == self._last and now_s - self._said_s < SAID_AGAIN_S:
            return False
        self._last, self._said_s = text, now_s
        return True


def beside(parts: Mapping[str, Work], metrics: Metrics) -> list[asyncio.Task[None]]:
    """Each loop in a task of its own; its owner cancels them."""
    loop = asyncio.get_running_loop()
    return [loop.create_task(kept_up(name, work, metrics), name=name) for name, work in parts.items()]


async def kept_up(name: str, work: Work, metrics: Metrics) -> None:
    """Run `work` until cancelled; after a fault say so, count it and begin again.

    A fault of its last work, when it is cancelled, is its owner's. Each beginning is a task of its own: a TaskGroup
    that a fault of its own ends leaves its task counted as cancelled for ever, and would pass for one told to end.
    """
    sayings, loop = Sayings(), asyncio.get_running_loop()
    while True:
        try:
            return await loop.create_task(work(), name=name)
        except Exception as fault:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # Its last work failed, after it was told to end.
            if sayings.worth(fault):
                log.exception("%s ended by a fault: it begins again", name, extra={"action": "upkeep"})
            metrics.faults.labels(name).inc()
            await asyncio.sleep(AGAIN_S)


async def last_work(work: Awaitable[None]) -> None:
    """Wait for a last piece of work before a stop, no longer than LAST_WORK_S."""
    try:
        async with asyncio.timeout(LAST_WORK_S):
            await work
    except TimeoutError:
        log.warning("stopped with work left: the database is away", extra={"action": "stop"})
