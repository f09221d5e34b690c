"""The replicas of a process that writes nothing: loaded from the store, then kept by the committed events.

Each region is followed on its own. An event that does not continue the hash chain of what we have (a bus
that remembers another database, for one) is not believed: the region is loaded again, as it is when it fell
too far behind. Boards are told of events as an engine tells them, so they cannot know the difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from dispatch.core.events import decode
from dispatch.core.terms import RegionId
from dispatch.engine import Listener
from dispatch.errors import ServiceAway
from dispatch.fanout import Fanout, FellBehind
from dispatch.store import Store
from dispatch.writing.journal import chain
from dispatch.writing.positions import Positions
from dispatch.writing.records import Recorded
from dispatch.writing.recovery import recovered
from dispatch.writing.replica import Gap, Replicas
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

AGAIN_S = 0.5
"""Between two attempts to load a region."""
SILENT_S = 3.0
"""A journal that is waited for longer than this may have gone on without us: what is shown is old."""


class Follower:
    """`begin` with a region and `leave` it again, or `start` with all and `run` until cancelled, then `close`.

    `on_commit` listeners must be quick and never raise. Without `positions` nobody is asked where units are.
    """

    def __init__(self, store: Store, fanout: Fanout, replicas: Replicas, positions: Positions | None) -> None:
        self.on_commit: list[Listener] = []
        self.loads = 0
        self._store = store
        self._fanout = fanout
        self._replicas = replicas
        self._positions = positions
        self._hashes: dict[RegionId, bytes] = {}
        self._waiting: dict[RegionId, dict[asyncio.Event, int]] = {}
        self._tasks: dict[RegionId, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether every region that is to be followed is loaded; never after `close`."""
        return not self._closed and self._hashes.keys() >= self._tasks.keys()

    def behind(self) -> str | None:
        """What to say while regions that are shown are not followed: a condition of the alarms."""
        wanted = self._replicas.states.keys() if self._closed else self._tasks.keys()
        silent = {region for region in self._tasks if self._fanout.silent_s(region) > SILENT_S}
        regions = sorted((wanted - self._hashes.keys()) | silent)
        return f"not followed, what their boards show is old: {', '.join(regions)}" if regions else None

    async def start(self, regions: Sequence[RegionId]) -> None:
        """Load every region. Raises ServiceAway."""
        for region in regions:
            await self._load(region, first=True)

    async def run(self) -> None:
        """Follow every region that was loaded."""
        for region in self._replicas.states:
            self.begin(region)
        try:
            async with asyncio.TaskGroup() as group:
                if self._positions is not None:
                    for region in self._replicas.states:
                        group.create_task(self._watch(region, self._positions))
                group.create_task(asyncio.Event().wait())
        finally:
            await self.close()

    def begin(self, region: RegionId) -> None:
        """Follow a region from now on; once more changes nothing."""
        self._closed = False
        if region not in self._tasks:
            self._tasks[region] = asyncio.get_running_loop().create_task(self._follow(region))

    def leave(self, region: RegionId) -> None:
        """Follow it no more: from this moment nothing of it is applied here."""
        task = self._tasks.pop(region, None)
        if task is not None:
            task.cancel()
        self._hashes.pop(region, None)

    async def close(self) -> None:
        """Follow no region any more, until one is begun with again."""
        self._closed = True
        tasks = list(self._tasks.values())
        for region in list(self._tasks):
            self.leave(region)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reached(self, region: RegionId, seq: int, limit_s: float) -> bool:
        """Wait until the region's event `seq` is seen here; False when that takes longer."""
        state = self._replicas.states.get(region)
        if state is None or state.seq >= seq:
            return state is not None
        here, waiting = asyncio.Event(), self._waiting.setdefault(region, {})
        waiting[here] = seq
        try:
            async with asyncio.timeout(limit_s):
                await here.wait()
        except TimeoutError:
            return False
        finally:
            del waiting[here]
        return True

    async def _follow(self, region: RegionId) -> None:
        """Never ends by itself: what stops it is said, and the region begun with again.

        A cancellation may be lost in what is waited for (`asyncio.wait_for` of Python 3.11 loses one that comes
        with the answer), and a follower that was left must touch nothing any more: it looks for itself.
        """
        sayings = Sayings()
        while self._follows(region):
            try:
                if region not in self._hashes:
                    await self._load(region)
                await self._take(region)
            except (FellBehind, Gap, ServiceAway) as why:
                log.warning("following begins again: %s", why, extra={"region": region, "action": "follow"})
            except Exception as fault:
                if sayings.worth(fault):
                    log.exception("fault while following", extra={"region": region, "action": "follow"})
            if self._follows(region):
                self._hashes.pop(region, None)
            await asyncio.sleep(AGAIN_S)

    def _follows(self, region: RegionId) -> bool:
        """Whether this very task is the one that follows the region."""
        return self._tasks.get(region) is asyncio.current_task()

    async def _load(self, region: RegionId, *, first: bool = False) -> None:
        loaded = await self._store.load(region)
        state = await recovered(region, loaded)
        if not first and not self._follows(region):
            return
        self._replicas.adopt(state, loaded.head_hash)
        self._hashes[region] = loaded.head_hash
        self.loads += 1
        self._wake(region, loaded.head_seq)

    async def _take(self, region: RegionId) -> None:
        async with aclosing(self._fanout.subscribe(region, self._replicas.states[region].seq)) as events:
            async for record in events:
                if not self._follows(region):
                    return
                self._apply(region, record)

    def _apply(self, region: RegionId, record: Recorded) -> None:
        """Raises Gap for an event that is not the next of this journal."""
        if _hash_after(self._hashes[region], record) != record.hash:
            raise Gap(f"event {record.seq} of {region} is of another journal than the store's")
        recorded, events = (record,), (decode(record.payload),)
        self._replicas.apply(region, recorded, events)
        self._hashes[region] = record.hash
        for listener in self.on_commit:
            listener(region, recorded, events)
        self._wake(region, record.seq)

    def _wake(self, region: RegionId, seq: int) -> None:
        for here, wanted in self._waiting.get(region, {}).items():
            if wanted <= seq:
                here.set()

    async def _watch(self, region: RegionId, positions: Positions) -> None:
        """Never ends by itself: no position is worth a board that stands still."""
        sayings = Sayings()
        while True:
            try:
                async with aclosing(self._fanout.positions(region)) as moves:
                    async for moved in moves:
                        for position in moved:
                            positions.put(position)
            except Exception as fault:
                if sayings.worth(fault):
                    log.exception("fault while watching positions", extra={"region": region, "action": "follow"})
            await asyncio.sleep(AGAIN_S)


def _hash_after(before: bytes, record: Recorded) -> bytes:
    return chain(
        before,
        record.region,
        record.seq,
        record.at,
        kind=record.kind,
        payload=record.payload,
        actor=record.actor,
        epoch=record.epoch,
    )
