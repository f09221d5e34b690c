"""Who read whose personal data: noted at once, written together, never in the way of an answer.

An entry waits at most FLUSH_S before it is in the store; while the database is away up to WAITING_MAX
entries wait. What is dropped beyond that, or cannot be written before a stop, is counted and said.
"""

import asyncio
import logging
from collections import deque

from prometheus_client import Counter

from dispatch.actors import Actor
from dispatch.clock import Clock
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.web.metrics import Metrics
from dispatch.writing.records import AuditEntry
from dispatch.writing.upkeep import last_work

log = logging.getLogger(__name__)

FLUSH_S = 0.25
BATCH_MAX = 500
WAITING_MAX = 50_000


class Audit:
    """One a process. `note` where personal data is read or an account used; `run` beside the service, `close` after."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[AuditEntry] = deque()
        self._written = asyncio.Lock()
        self._dropped = Counter(
            "dispatch112_audit_dropped_total", "Entries lost while the store was away", registry=metrics.registry
        )

    def note(self, actor: Actor, action: str, subject: str) -> None:
        """`action` such as `read`, `listed`, `exported`, `logged_in`; `subject` such as `call:…`."""
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._dropped.inc()
        entry = AuditEntry(at=self._clock.now(), actor=actor.actor_id, action=action, subject=subject)
        self._waiting.append(entry)

    async def flush(self) -> None:
        """Write what waits. Raises ServiceAway, and keeps what was not written."""
        while self._waiting:
            await self._write()

    async def run(self) -> None:
        """Write again and again until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except ServiceAway:
                log.warning("the audit waits for the database", extra={"action": "audit"})
                await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Write what waits as long as the database takes it; a stop is not held up, nor ended, by one that does not."""
        try:
            while before := len(self._waiting):
                await last_work(self._write())
                if len(self._waiting) == before:
                    break
        except ServiceAway as away:
            log.warning("stopped with the audit waiting: %s", away, extra={"action": "audit"})
        except Exception:
            log.exception("fault while writing the last of the audit", extra={"action": "audit"})
        if self._waiting:
            log.error("%d entries of the audit are lost", len(self._waiting), extra={"action": "audit"})
            self._dropped.inc(len(self._waiting))
            self._waiting.clear()

    async def _write(self) -> None:
        """Write the first that wait."""
        async with self._written:
            batch = [self._waiting[n] for n in range(min(BATCH_MAX, len(self._waiting)))]
            await self._store.audit(batch)
            for _ in batch:
                self._waiting.popleft()
