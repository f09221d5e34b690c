"""Who read whose personal data: noted at once, written together, never in the way of an answer.

An entry waits at most FLUSH_S before it is in the store; while the database is away up to WAITING_MAX
entries wait, and what is dropped beyond that is counted and said.
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

log = logging.getLogger(__name__)

FLUSH_S = 0.25
BATCH_MAX = 500
WAITING_MAX = 50_000


class Audit:
    """One a process. `note` where personal data is read or an account used; `run` beside the service."""

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
        async with self._written:
            while self._waiting:
                batch = [self._waiting[n] for n in range(min(BATCH_MAX, len(self._waiting)))]
                await self._store.audit(batch)
                for _ in batch:
                    self._waiting.popleft()

    async def run(self) -> None:
        """Write again and again until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                try:
                    await self.flush()
                except ServiceAway:
                    log.warning("the audit waits for the database", extra={"action": "audit"})
                    await asyncio.sleep(1.0)
        finally:
            await self.flush()
