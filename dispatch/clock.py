"""Time for the shell: the wall, the wall multiplied, or a clock that tests move by hand.

The core has no clock; it is handed `now`.
Service time drives deadlines, crews and arrivals; wall time measures latencies and the age of data.
Both are aware UTC datetimes.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

CATCHING_UP = 0.9
"""How fast service time runs while it is ahead of the wall: an hour is made up for in ten."""


def elapsing_s() -> float:
    """Seconds on a clock that nobody sets and that goes on while the process is stopped or the machine sleeps.

    What a lease is measured by: a loop's own time stands still in the turn in which its process was frozen.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Clock(Protocol):
    """What the shell asks for: the service's time, and the wall's for the age of data."""

    speed: float

    def now(self) -> datetime: ...

    def wall(self) -> datetime: ...

    def wall_delay_s(self, service_delay_s: float) -> float: ...

    def at_least(self, moment: datetime) -> None:
        """Go on from this moment, if that is later than now: it was service time somewhere already."""


class SystemClock:
    """Service time is the wall's time, but never runs backwards: every real installation.

    After the machine's clock was set back, or a start with it behind `start`, the latest time in the journal,
    service time goes on by itself, a little slower, until the wall has caught up. Else every deadline would be as
    much further away, and a silent crew given up as much later.
    """

    speed: float = 1.0

    def __init__(self, start: datetime | None = None) -> None:
        assert start is None or start.tzinfo is not None, "times are aware"
        self._known = start or datetime.now(UTC)
        self._known_s = elapsing_s()

    def now(self) -> datetime:
        wall, at_s = self.wall(), elapsing_s()
        least = self._known + timedelta(seconds=(at_s - self._known_s) * CATCHING_UP)
        if wall < least:
            return least
        self._known, self._known_s = wall, at_s
        return wall

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def wall_delay_s(self, service_delay_s: float) -> float:
        """How many seconds to sleep until so many seconds of service time have passed."""
        return max(0.0, service_delay_s)

    def at_least(self, moment: datetime) -> None:
        """Go on from this moment, if that is later than now."""
        if moment > self.now():
            self._known, self._known_s = moment, elapsing_s()


class ScaledClock:
    """Service time = start + (wall - wall at start) * speed. The demo's clock.

    It runs on the monotonic clock, so that a step of the machine's clock is not multiplied. `start` as above.
    """

    def __init__(self, speed: float, start: datetime | None = None) -> None:
        assert speed > 0, "a clock that stands still or runs backwards never reaches a deadline"
        assert start is None or start.tzinfo is not None, "times are aware"
        self.speed = speed
        self._start = start or datetime.now(UTC)
        self._origin_s = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._origin_s) * self.speed)

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def wall_delay_s(self, service_delay_s: float) -> float:
        """How many wall seconds to sleep until so many seconds of service time have passed."""
        return max(0.0, service_delay_s / self.speed)

    def at_least(self, moment: datetime) -> None:
        """Go on from this moment, if that is later than now."""
        self._start += max(timedelta(), moment - self.now())


class ManualClock:
    """Stands still until a test moves it."""

    speed: float = 1.0

    def __init__(self, start: datetime | None = None) -> None:
        assert start is None or start.tzinfo is not None, "times are aware"
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def wall(self) -> datetime:
        return self._now

    def wall_delay_s(self, service_delay_s: float) -> float:
        return max(0.0, service_delay_s)

    def at_least(self, moment: datetime) -> None:
        self._now = max(self._now, moment)

    def advance(self, seconds: float) -> datetime:
        """Move the hands forward and return the new time."""
        assert seconds >= 0, "time never runs backwards"
        self._now += timedelta(seconds=seconds)
        return self._now
