"""How simulated people keep time: they live on service time, which a demo lets run faster than the wall.

The service's heartbeats say what time it is there; between them time runs on by the monotonic clock.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from time import monotonic


class Pace:
    """Service time as seen from outside the service."""

    def __init__(self, speed: float, at: datetime) -> None:
        assert speed > 0
        self.speed = speed
        self._at = at
        self._since_s = monotonic()
        self._begun_s = self._since_s

    def heard(self, at: datetime) -> None:
        """A heartbeat. A late one only seems to say that time ran slower, so the earliest word counts."""
        if at > self.now():
            self._at, self._since_s = at, monotonic()

    def now(self) -> datetime:
        """The service's time, as far as we can tell."""
        return self._at + timedelta(seconds=(monotonic() - self._since_s) * self.speed)

    def seconds(self) -> float:
        """Service seconds since the beginning; never runs backward, nor jumps."""
        return (monotonic() - self._begun_s) * self.speed

    async def sleep(self, service_s: float) -> None:
        """Let so many service seconds pass."""
        await asyncio.sleep(max(0.0, service_s) / self.speed)

    async def sleep_unless(self, heard: asyncio.Event, service_s: float) -> bool:
        """Let so many service seconds pass, or fewer when something is heard meanwhile: whether it was."""
        try:
            await asyncio.wait_for(heard.wait(), max(0.0, service_s) / self.speed)
        except TimeoutError:
            return False
        return True

    async def until(self, at: datetime) -> None:
        """Wait for a moment of service time; one that has passed is not waited for."""
        await self.sleep((at - self.now()).total_seconds())
