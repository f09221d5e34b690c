"""What is wrong now and whose it is to mend. An alarm stands until it is over; nobody can scroll it away.

Each is a condition that is looked at once a second, so it cannot be missed by whoever comes later: it stands in
every heartbeat of the boards, on `/api/v1/about` and `/healthz`, on the metrics page, and its beginning and end
are in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import chain

import msgspec
from prometheus_client import Counter, Gauge

from dispatch.web.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_S = 1.0
AWAY_LOOKS = 3
"""A server is missed for so many seconds before somebody is called: the boards say it at once."""
ALARMS_MAX = 64
"""Conditions that one process watches; they are named in the code, so there is no more."""

CODES = frozenset(
    {
        *("postgres_away", "mqtt_away", "redis_away", "core_away"),
        *("calls_spooled", "spool_spoilt", "orders_unsent"),
        *("disk_early", "disk_low", "disk_critical"),
        *("board_faulty", "region_unfollowed", "region_unled"),
    }
)
"""Every alarm that there is: consoles have words for each in the operator's language."""

TECHNICIAN, SUPERVISOR = "admin", "supervisor"
"""Who owns an alarm: the role that has to act on it."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A condition: `said` gives a sentence while something is wrong, None otherwise, and must not wait."""

    code: str
    owner: str
    said: Callable[[], str | None]
    grave: bool = False
    """Whether something is being given up, or calls wait."""
    looks: int = 1
    """In how many looks running it must be wrong: a line that is just being opened is not away."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """`since` is service time, as all that stands on a console. `detail` is for people of the centre: without it the
    alarm may be shown to anybody."""

    code: str
    owner: str
    grave: bool
    since: datetime
    detail: str = ""


class Alarms:
    """The conditions of one process, and the alarms that stand."""

    def __init__(self, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._now = now
        self._watched: dict[str, Watched] = {}
        self._standing: dict[str, Alarm] = {}
        self._wrong: Counted[str] = Counted()
        registry = metrics.registry
        self._gauge = Gauge("dispatch112_alarm", "1 while the alarm stands", ["code", "owner"], registry=registry)
        self._raised = Counter("dispatch112_alarms_total", "How often an alarm began", ["code"], registry=registry)

    def watch(self, *conditions: Watched) -> None:
        """Look at these from now on."""
        for watched in conditions:
            assert watched.code in CODES, f"no console has words for it: {watched.code}"
            assert watched.code not in self._watched, f"watched twice: {watched.code}"
            self._watched[watched.code] = watched
            self._gauge.labels(watched.code, watched.owner).set(0)
        assert len(self._watched) <= ALARMS_MAX

    def standing(self) -> tuple[Alarm, ...]:
        """The alarms that stand, the grave ones first, then the oldest."""
        return merged(self._standing.values())

    def for_anybody(self) -> tuple[Alarm, ...]:
        """The same without what only the centre should read."""
        return tuple(msgspec.structs.replace(alarm, detail="") for alarm in self.standing())

    def look(self) -> None:
        """Ask every condition."""
        for code, watched in self._watched.items():
            detail, known = watched.said(), self._standing.get(code)
            self._wrong[code] = 0 if detail is None else self._wrong[code] + 1
            if detail is not None and self._wrong[code] >= watched.looks:
                self._stand(watched, detail, known)
            elif detail is None and known is not None:
                del self._standing[code]
                self._gauge.labels(code, watched.owner).set(0)
                lasted_s = (self._now() - known.since).total_seconds()
                log.warning("over after %.0f s: %s", lasted_s, code, extra={"action": "alarm"})

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def _stand(self, watched: Watched, detail: str, known: Alarm | None) -> None:
        if known is None:
            log.error("alarm for %s: %s: %s", watched.owner, watched.code, detail, extra={"action": "alarm"})
            self._raised.labels(watched.code).inc()
            self._gauge.labels(watched.code, watched.owner).set(1)
        since = known.since if known is not None else self._now()
        self._standing[watched.code] = Alarm(
            code=watched.code, owner=watched.owner, grave=watched.grave, since=since, detail=detail
        )


def merged(*processes: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """The alarms of several processes, each once since it first stood: the grave ones first, then the oldest.

    The words are those of the first process that has it.
    """
    found: dict[str, Alarm] = {}
    for alarm in chain.from_iterable(processes):
        known = found.setdefault(alarm.code, alarm)
        if alarm.since < known.since:
            found[alarm.code] = msgspec.structs.replace(known, since=alarm.since)
    return tuple(sorted(found.values(), key=lambda alarm: (not alarm.grave, alarm.since)))


def servers(words: Callable[[], Mapping[str, str]], names: Mapping[str, str]) -> tuple[Watched, ...]:
    """An alarm for each server while its word in the heartbeat is `away`: `postgres_away`, …

    `names`: server -> what that means for the work.
    """

    def condition(name: str) -> Callable[[], str | None]:
        return lambda: names[name] if words().get(name) == "away" else None

    return tuple(
        Watched(
            code=f"{name}_away",
            owner=TECHNICIAN,
            said=condition(name),
            grave=name in ("postgres", "core"),
            looks=AWAY_LOOKS,
        )
        for name in names
    )
