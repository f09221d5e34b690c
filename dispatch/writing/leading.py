"""Who writes which region: claims, loads, keeps the lease, and turns the wheel of time.

A region is claimed on the database's clock, loaded from its newest snapshot and the events after it, checked
against the invariants, and handed to the engine. When the engine drops it, it is claimed and loaded again.
The wheel: deadlines that are due, waiting incidents that no fact woke.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence

from dispatch.core import snapshot
from dispatch.core.deadlines import due
from dispatch.core.followups import sweep
from dispatch.core.invariants import broken
from dispatch.core.terms import RegionId
from dispatch.engine import Engine, Led
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.writing.recovery import recovered

log = logging.getLogger(__name__)

LEASE_S = 10.0
RENEW_S = 3.0
TURN_S = 0.2
SWEEP_S = 2.0
SNAPSHOT_EVERY = 2000
TRY_AGAIN_S = 0.5
FAULT_PAUSE_S = 5.0
"""Before a region is tried again that a fault of our own keeps from being led: the others go on meanwhile."""


class Leader:
    """Leads regions for an engine: `run` does all of it, `ready` says whether every region is being written."""

    def __init__(self, engine: Engine, store: Store, regions: Sequence[RegionId], holder: str) -> None:
        self._engine = engine
        self._store = store
        self.regions = tuple(regions)
        self._holder = holder
        self._address = ""
        self._snapped: dict[RegionId, int] = {}
        self._claiming: set[RegionId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.turns = 0
        self.on_led: list[Callable[[RegionId], None]] = []
        self.orders_flow: Callable[[], bool] = lambda: True
        engine.on_down.append(lambda region, why: self._again(region))

    @property
    def ready(self) -> bool:
        """Whether every region has its writer here."""
        return all(region in self._engine.led for region in self.regions)

    async def start(self) -> None:
        """Claim and load every region; returns when all are led."""
        for region in self.regions:
            await self.lead(region)

    async def announce(self, address: str) -> None:
        """Say in the leases where this process answers by HTTP, for the gateways to send commands to."""
        self._address = address
        await self._renew()

    async def run(self) -> None:
        """Keep the leases and turn the wheel until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._turn())

    async def stop(self) -> None:
        """Write snapshots and give the regions up, so that the next start is quick."""
        for task in list(self._tasks):
            task.cancel()
        try:
            for region in self.regions:
                await self._snap(region)
            await self._store.release(self.regions, self._holder)
        except ServiceAway as away:
            # The journal has everything; the next leader only reads more of it.
            log.warning("stopped without snapshots: %s", away, extra={"action": "stop"})

    async def lead(self, region: RegionId) -> None:
        """Claim a region, as often as it takes, load it, and begin to write it."""
        if region in self._claiming:
            return
        self._claiming.add(region)
        try:
            while True:
                try:
                    epoch = await self._store.claim(region, self._holder, LEASE_S, self._address)
                    if epoch is not None:
                        await self._load(region, epoch)
                        break
                    pause_s = TRY_AGAIN_S
                except ServiceAway as away:
                    log.warning("cannot lead yet: %s", away, extra={"region": region, "action": "lead"})
                    pause_s = TRY_AGAIN_S
                except Exception:
                    log.exception("fault while taking the lead", extra={"region": region, "action": "lead"})
                    pause_s = FAULT_PAUSE_S
                await asyncio.sleep(pause_s)
        finally:
            self._claiming.discard(region)
        for listener in self.on_led:
            listener(region)

    async def _load(self, region: RegionId, epoch: int) -> None:
        loaded = await self._store.load(region)
        state = await recovered(region, loaded)
        faults = broken(state)
        for fault in faults:
            log.error("invariant broken after loading: %s", fault, extra={"region": region})
        self._snapped[region] = loaded.snapshot_seq
        replica = snapshot.restore(snapshot.take(state))
        self._engine.adopt(Led(state=state, epoch=epoch, hash=loaded.head_hash), replica)

    def _again(self, region: RegionId) -> None:
        self._spawn(self.lead(region))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        """Prolong the leases; a region whose lease another has taken is dropped at once."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew()

    async def _renew(self) -> None:
        led = list(self._engine.led)
        try:
            ours = await self._store.renew(led, self._holder, LEASE_S, self._address)
        except ServiceAway:
            return
        for region in led:
            if region not in ours:
                self._engine.fail(region, "another process leads the region")

    async def _turn(self) -> None:
        sweep_every = round(SWEEP_S / TURN_S)
        while True:
            await asyncio.sleep(TURN_S)
            self.turns += 1
            for region in list(self._engine.led):
                self._look(region, self.turns % sweep_every == 0, self.turns // sweep_every)
                if self._engine.replicas.states[region].seq - self._snapped[region] >= SNAPSHOT_EVERY:
                    await self._try_snap(region)

    def _look(self, region: RegionId, sweeps: bool, turn: int) -> None:
        """What time asks for in one region. A fault in one region does not stop the wheel of the others."""
        state = self._engine.states.get(region)
        if state is None:  # Dropped while the wheel waited for a snapshot.
            return
        try:
            # With the broker away no crew can answer: their orders wait, and nobody is given up for silence.
            for command in due(state, self._engine.clock.now()) if self.orders_flow() else ():
                self._engine.post(region, command)
            if sweeps and region in self._engine.led:
                self._engine.look_at(region, sweep(state, turn))
        except Exception:
            log.exception("a deadline failed", extra={"region": region, "action": "turn"})

    async def _snap(self, region: RegionId) -> None:
        state = self._engine.replicas.states.get(region)
        if state is None or state.seq == self._snapped.get(region):
            return
        seq, data = state.seq, snapshot.take(state)
        await self._store.snapshot(region, seq, data)
        self._snapped[region] = seq

    async def _try_snap(self, region: RegionId) -> None:
        """A snapshot only saves time: without one the wheel goes on, and tries again after as many events."""
        try:
            await self._snap(region)
        except ServiceAway as away:
            log.warning("no snapshot: %s", away, extra={"region": region, "action": "snapshot"})
            self._snapped[region] = self._engine.replicas.states[region].seq
