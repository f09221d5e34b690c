"""Who writes which region: loads what its leases give it (leases.py), and turns the wheel of time.

A claimed region is loaded from its newest snapshot and the events after it, checked against the invariants,
and handed to the engine. When the engine drops it, it is claimed and loaded again.
The wheel: deadlines that are due, waiting incidents that no fact woke, calls to close after their incident.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter

from dispatch.core.deadlines import due, endings
from dispatch.core.followups import sweep
from dispatch.core.invariants import checking
from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.writing.leases import Leases
from dispatch.writing.led import Led
from dispatch.writing.recovery import in_steps, recovered
from dispatch.writing.snapshots import Snapshots

log = logging.getLogger(__name__)

TURN_S = 0.2
SWEEP_S = 2.0


class Leader:
    """Leads regions for an engine: `run` does all of it, `ready` says whether every region is being written."""

    def __init__(self, engine: Engine, store: Store, regions: Sequence[RegionId], holder: str) -> None:
        self._engine = engine
        self._store = store
        self.regions = tuple(regions)
        self.leases = Leases(engine, store, regions, holder)
        self.leases.load, self.leases.before_given = self._load, self._try_snap
        self.snapshots = Snapshots(engine, store)
        self._tasks: set[asyncio.Task[None]] = set()
        self.turns = 0
        self.on_led = self.leases.on_led
        self.before_led: list[Callable[[RegionId], None]] = []
        engine.on_down.append(lambda region, why: self.leases.dropped(region))
        self.orders_flow: Callable[[], bool] = lambda: True

    @property
    def ready(self) -> bool:
        """Whether every region has its writer, here or in another process, and this one is not about to go."""
        return self.leases.settled and not self.leases.retiring

    async def start(self) -> None:
        """Claim and load this process's share; returns when each region is led, here or elsewhere."""
        await self.leases.start()

    async def announce(self, address: str) -> None:
        """Say in the leases where this process answers by HTTP, for the gateways to send commands to."""
        self.leases.address = address
        await self.leases.renew()

    async def run(self) -> None:
        """Keep the leases and turn the wheel until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.leases.run())
            group.create_task(self._turn())
            group.create_task(self._end())
            group.create_task(self._snap())

    async def retire(self) -> None:
        """Hand every region to another process, if there is one, while the door is still open."""
        try:
            await self.leases.retire()
        except Exception:
            log.exception("went before every region had its next leader", extra={"action": "retire"})

    async def stop(self) -> None:
        """Write snapshots and give the regions up, so that the next start is quick."""
        for task in list(self._tasks):
            task.cancel()
        await self.leases.close()
        try:
            # Without a snapshot the journal has everything; the next leader only reads more of it.
            for region in list(self._engine.led):
                await self._try_snap(region)
            await self.leases.release()
        except ServiceAway as away:
            log.warning("stopped with leases that others must wait for: %s", away, extra={"action": "stop"})

    async def _load(self, region: RegionId, epoch: int) -> None:
        began_s = perf_counter()
        loaded = await self._store.load(region)
        state = await recovered(region, loaded)
        for event in await self._store.events(region, state.seq - 1, 1) if state.seq else ():
            # Whoever led before may have had a clock ahead of ours, and each deadline of the region is by that one.
            self._engine.clock.at_least(event.at)
        for fault in await in_steps(checking(state)):
            log.error("invariant broken after loading: %s", fault, extra={"region": region})
        replica = state.copy()
        until_s = self.leases.until_s.get(region)
        if until_s is None:
            raise ServiceAway(f"the lease of {region} ended while it was being loaded")
        for listener in self.before_led:
            listener(region)
        self.snapshots.loaded(region, loaded.snapshot_seq)
        self._engine.adopt(Led(state=state, epoch=epoch, hash=loaded.head_hash, until_s=until_s), replica)
        # An empty region is no news: fourteen of them would bury the first start's own words.
        log.log(
            logging.INFO if state.seq else logging.DEBUG,
            "leads %s from event %d, %d after its snapshot, in %.0f ms",
            region, state.seq, state.seq - loaded.snapshot_seq, 1000 * (perf_counter() - began_s),
            extra={"region": region, "action": "lead"},
        )  # fmt: skip

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn(self) -> None:
        sweep_every = round(SWEEP_S / TURN_S)
        while True:
            await asyncio.sleep(TURN_S)
            self.turns += 1
            for region in list(self._engine.led):
                self._look(region, self.turns % sweep_every == 0, self.turns // sweep_every)

    def _look(self, region: RegionId, sweeps: bool, turn: int) -> None:
        """What time asks for in one region. A fault in one region does not stop the wheel of the others."""
        state = self._engine.states.get(region)
        if state is None:
            return
        try:
            # With the broker away no crew can answer: their orders wait, and nobody is given up for silence.
            for command in due(state, self._engine.clock.now(), orders=self.orders_flow()):
                if self._engine.writable(region) is None:
                    return
                self._engine.post(region, command)
            if sweeps and region in self._engine.led:
                self._engine.look_at(region, sweep(state, turn))
        except Exception:
            log.exception("a deadline failed", extra={"region": region, "action": "turn"})

    async def _end(self) -> None:
        """Close the calls of incidents that have ended: a portion a region, each in a commit of its own."""
        while True:
            await asyncio.sleep(TURN_S)
            for region in list(self._engine.led):
                await self._try_end(region)

    async def _try_end(self, region: RegionId) -> None:
        """What stays open is tried again in the next turn, by whoever leads the region then."""
        try:
            led = self._engine.writable(region)
            for command in endings(led.state) if led is not None else ():
                await self._engine.submit(region, command)
        except ServiceAway as away:
            log.warning("calls of an ended incident wait: %s", away, extra={"region": region, "action": "end"})
        except Exception:
            log.exception("calls of an ended incident stay open", extra={"region": region, "action": "end"})

    async def _snap(self) -> None:
        """A snapshot of each region that has gone on far enough, or long enough, since its last."""
        while True:
            await asyncio.sleep(TURN_S)
            for region in self.snapshots.due():
                await self._try_snap(region)

    async def _try_snap(self, region: RegionId) -> None:
        """A snapshot only saves time: without one the work goes on, and tries again after as many events."""
        try:
            await self.snapshots.take(region)
        except ServiceAway as away:
            log.warning("no snapshot: %s", away, extra={"region": region, "action": "snapshot"})
            self.snapshots.skipped(region)
        except Exception:
            log.exception("no snapshot", extra={"region": region, "action": "snapshot"})
            self.snapshots.skipped(region)
