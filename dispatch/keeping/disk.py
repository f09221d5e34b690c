"""How much room is left on the disks that our files lie on, and what must be given up when it gets little.

In this order: first an alarm, early enough for a person to act; then the tracks of units; then the inputs of
decisions. Calls, orders and the journal are never given up. Asked of the kernel once a second; a disk that
belongs to somebody else's server is theirs to watch.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

LOOK_S = 1.0
MEBIBYTE = 1024 * 1024
BACK_SHARE = 1.05
"""A level is left again with so much more room than it began at, so that it does not come and go."""


class Level(IntEnum):
    """What is given up; each level gives up what those before it do."""

    AMPLE = 0
    EARLY = 1
    """Nothing yet: somebody must make room."""
    LOW = 2
    """Tracks of units."""
    CRITICAL = 3
    """The inputs of decisions too."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Free room below which each level begins, in MiB."""

    early_mib: int = 4096
    low_mib: int = 2048
    critical_mib: int = 1024

    def level(self, free_bytes: int) -> Level:
        free_mib = free_bytes / MEBIBYTE
        begins = {Level.CRITICAL: self.critical_mib, Level.LOW: self.low_mib, Level.EARLY: self.early_mib}
        return next((level for level, mib in begins.items() if free_mib < mib), Level.AMPLE)


class Disk(Collector):
    """`level` as of the last look. `places`: what lies where, such as `data`; a place may come and go.

    `given_up`: what was not kept for it -> how many so far, for the metrics page.
    """

    def __init__(self, places: Callable[[], Mapping[str, Path]], limits: Limits) -> None:
        self.level = Level.AMPLE
        self.free_bytes: dict[str, int] = {}
        self.on_look: list[Callable[[], None]] = []
        self.given_up: dict[str, Callable[[], int]] = {}
        self._places = places
        self._limits = limits

    def look(self) -> Level:
        """Ask anew. The fullest disk decides."""
        self.free_bytes = {name: free for name, path in self._places().items() if (free := _free(path)) is not None}
        least = min(self.free_bytes.values(), default=None)
        if least is not None:
            found = self._limits.level(least)
            # On the way back the room must be a little more than what the level began at.
            self.level = max(found, min(self.level, self._limits.level(int(least / BACK_SHARE))))
        for listener in self.on_look:
            listener()
        return self.level

    def keeps_tracks(self) -> bool:
        return self.level < Level.LOW

    def keeps_inputs(self) -> bool:
        return self.level < Level.CRITICAL

    def word(self) -> str:
        """For the heartbeat: `ok`, or `degraded`; which of the levels it is the alarm says."""
        return "ok" if self.level is Level.AMPLE else "degraded"

    def said(self, level: Level) -> str | None:
        """What is wrong, while it is at this very level."""
        if self.level is not level or not self.free_bytes:
            return None
        name = min(self.free_bytes, key=lambda each: self.free_bytes[each])
        return f"{self.free_bytes[name] // MEBIBYTE} MiB are free on the disk of the {name}"

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def collect(self) -> Iterator[Metric]:
        """Free bytes by place, and the level, on the metrics page."""
        free = GaugeMetricFamily("dispatch112_disk_free_bytes", "Room on the disks of our files", labels=["place"])
        for name, found in self.free_bytes.items():
            free.add_metric([name], found)
        yield free
        lost = CounterMetricFamily("dispatch112_given_up", "Not kept for want of room on a disk", labels=["what"])
        for what, count in self.given_up.items():
            lost.add_metric([what], count())
        yield lost
        yield GaugeMetricFamily(
            "dispatch112_disk_level", "0 ample, 1 early, 2 low: no tracks, 3 critical: no inputs", value=self.level
        )


def _free(path: Path) -> int | None:
    """What an ordinary user may still write there; None where there is nothing to ask."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
