"""Drops what is past its age: hourly, sooner when the disk gets full, and again at once while much is left.

Runs in each process that leads; two at a time pass over each other's rows. What was dropped, and how old what
is left is, stands on the metrics page.

A machine's clock that leaps may be wrong, and then everything looks old at once: the first answers by which a repeated
call is known, the words of callers who still wait. So nothing is dropped for a day after, in which somebody may look;
nor for a day after a start with nothing in the journal for longer than that, for the leap may have come before it. Who
restarts within that day with a clock that is still wrong has nothing to be told by.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

from msgspec.structs import replace
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatch.clock import Clock, elapsing_s
from dispatch.errors import ServiceAway
from dispatch.keeping.disk import Level
from dispatch.keeping.pruning import PRUNE_MOST
from dispatch.store import USUAL_AGES, Ages, Store, TableFacts

log = logging.getLogger(__name__)

PRUNE_S = 3600.0
AGAIN_S = 10.0
"""After a run that left something behind: the bad hour's rows are gone within the next."""
LOOK_S = 2.0
"""How often the disk's level is looked at."""
LEAP_S = 3600.0
"""A clock that gains or loses so much between two looks was set."""
TRUSTED_AGAIN_S = 24 * 3600.0
TRACKS_WHEN_LOW = timedelta(days=1)
DECISIONS_WHEN_CRITICAL = timedelta(days=1)


class Retention(Collector):
    """`run` beside the service."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ages: Ages = USUAL_AGES,
        level: Callable[[], Level] = lambda: Level.AMPLE,
        now_s: Callable[[], float] = elapsing_s,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.runs = 0
        self.facts: dict[str, TableFacts] = {}
        self._store = store
        self._clock = clock
        self._ages = ages
        self._level = level
        self._now_s = now_s
        self._seen = clock.wall(), now_s()
        self._trusted_from_s = float("-inf")
        self._looked = False

    async def run(self) -> None:
        """Prune again and again until cancelled."""
        while True:
            level = self._level()
            try:
                wait_s = AGAIN_S if await self.look() else PRUNE_S
            except ServiceAway as away:
                log.warning("nothing dropped by age: %s", away, extra={"action": "prune"})
                wait_s = AGAIN_S
            for _ in range(round(wait_s / LOOK_S)):
                await asyncio.sleep(LOOK_S)
                if self._level() > level:
                    break

    async def look(self) -> bool:
        """Drop what is past its age, if ages can be told; whether more of it is left. Raises ServiceAway."""
        if not self._looked:
            latest = await self._store.latest()
            if latest is not None and (self._clock.wall() - latest).total_seconds() > TRUSTED_AGAIN_S:
                log.warning("no event since %s: nothing is dropped by age for a day", latest.isoformat())
                self._trusted_from_s = self._now_s() + TRUSTED_AGAIN_S
            self._looked = True
        return self._trusts_the_clock() and await self.prune()

    def _trusts_the_clock(self) -> bool:
        """Whether ages can be told: not for a day after the wall's clock was set."""
        (wall_before, before_s), self._seen = self._seen, (self._clock.wall(), self._now_s())
        wall, now_s = self._seen
        leapt_s = (wall - wall_before).total_seconds() - (now_s - before_s)
        if abs(leapt_s) > LEAP_S:
            log.error("the clock was set by %.0f s: nothing is dropped by age for a day", leapt_s)
            self._trusted_from_s = now_s + TRUSTED_AGAIN_S
        return now_s >= self._trusted_from_s

    async def prune(self) -> bool:
        """Drop what is past its age; whether more of it is left. Raises ServiceAway."""
        now, wall = self._clock.now(), self._clock.wall()
        if self._clock.speed == 1.0:  # Ahead of the wall it is no longer than the time of a clock that was wrong.
            now = min(now, wall)
        dropped = await self._store.prune(now, self.ages(), wall)
        self.dropped.update(dropped)
        self.facts = await self._store.facts()
        self.runs += 1
        if any(dropped.values()):
            said = ", ".join(f"{rows} of {what}" for what, rows in dropped.items() if rows)
            log.info("dropped by age: %s", said, extra={"action": "prune"})
        return any(rows >= PRUNE_MOST for rows in dropped.values())

    def ages(self) -> Ages:
        """How long things are kept now: shorter for what is given up first on a disk that gets full."""
        ages, level = self._ages, self._level()
        if level >= Level.LOW:
            ages = replace(ages, tracks=min(ages.tracks, TRACKS_WHEN_LOW))
        if level >= Level.CRITICAL:
            ages = replace(ages, decisions=min(ages.decisions, DECISIONS_WHEN_CRITICAL))
        return ages

    def collect(self) -> Iterator[Metric]:
        """Rows dropped, and the size and the oldest row of each table, on the metrics page."""
        dropped = CounterMetricFamily("dispatch112_pruned_rows", "Dropped by age (tracks: days)", labels=["table"])
        size = GaugeMetricFamily("dispatch112_table_bytes", "Size of a table with its indexes", labels=["table"])
        age = GaugeMetricFamily("dispatch112_oldest_row_age_seconds", "Age of the oldest row", labels=["table"])
        for table, rows in self.dropped.items():
            dropped.add_metric([table], rows)
        now = self._clock.now()
        for table, facts in self.facts.items():
            size.add_metric([table], facts.size_bytes)
            if facts.oldest is not None:
                age.add_metric([table], (now - facts.oldest).total_seconds())
        yield dropped
        yield CounterMetricFamily("dispatch112_prunes", "How often the tables were looked through", value=self.runs)
        yield size
        yield age
