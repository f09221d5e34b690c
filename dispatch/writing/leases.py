"""Leases: which regions this process leads, kept while the database hears from it, given up before they end.

All processes share the regions (sharing.py). A lease is on the database's clock; here it is believed in for a
little less, counted from before it was asked for. So a process that is frozen, or whose line is cut, has
stopped by itself when another may begin, and one that is woken finds its leases over before it does anything.
A lease that was seen unrenewed for its whole length is over as well, whatever the database's clock says by then.
When nobody has taken them meanwhile it goes on where it was: no claim, no other events.

The lease of a process that was killed need not be waited for: it renews no more, and at its address the machine
itself says that nobody listens. If that should be wrong, the epoch still lets one of the two write alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from dispatch.core.terms import RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.store import Store
from dispatch.writing.records import Leadership, Process, Seat
from dispatch.writing.sharing import Sharer, to_give, wanted

log = logging.getLogger(__name__)

LEASE_S = 2.5
"""With LOOK_S and the loading of a region a takeover from a frozen process takes some three seconds, and five on a
machine that is busy with everything else; a shorter one would be lost to a database that pauses for a second or two."""
RENEW_S = 0.4
MARGIN_S = 0.25
"""So much earlier than the database a lease is over for us: an order that is just being written has left by then."""
LOOK_S = 0.2
OVERDUE_S = 1.0
"""A region that nobody has taken for so long is taken by whoever sees it, whatever its share."""
ANSWER_LIMIT_S = 2.0
"""A database that is silent for longer is asked again on a new line: a lease leaves no time for more."""
QUIET_S = 1.0
"""So long after a region has changed hands the next is given away: a takeover is not the time for it."""
FAULT_PAUSE_S = 5.0
"""Before a region is tried again that a fault of our own keeps from being led: the others go on meanwhile."""
RETIRE_LIMIT_S = 8.0
UNRENEWED_S = 1.0
"""Whoever has renewed nothing for so long, two times and more, is looked for at its address."""
KNOCK_LIMIT_S = 0.2

Load = Callable[[RegionId, int], Awaitable[None]]
Knock = Callable[[str], Awaitable[bool]]
"""Whether the machine at an address says that nobody listens there: silence is no such word."""


class Leases:
    """`start`, then `run` until cancelled, `close`. Its owner sets `load(region, epoch)`, which reads a
    claimed region and adopts it, and `before_given`, which makes the next leader's start short."""

    def __init__(self, engine: Engine, store: Store, regions: Sequence[RegionId], holder: str) -> None:
        self._engine = engine
        self._store = store
        self.regions = tuple(regions)
        self.holder = holder
        self.address = ""
        self.secret = secrets.token_hex(16)
        self.view = Leadership()
        self.elsewhere: dict[RegionId, Seat] = {}
        """Who leads the regions that another process leads."""
        self.until_s: dict[RegionId, float] = {}
        """Every region whose lease is ours, also while it is being loaded."""
        self.retiring = False
        self.load: Load = _unloaded
        self.knock: Knock = nobody_listens
        self.before_given: Callable[[RegionId], Awaitable[None]] = _nothing
        self.on_led: list[Callable[[RegionId], None]] = []
        self.on_elsewhere: list[Callable[[RegionId], None]] = []
        self._seen_s = self._moved_s = float("-inf")
        self._unrenewed_s: dict[tuple[object, ...], float] = {}
        self._epochs: dict[str, int] = {}
        self._left_behind: dict[str, Seat] = {}
        self._known_dead: set[str] = set()
        self._claiming: set[RegionId] = set()
        self._vacant_s: dict[RegionId, float] = {}
        self._not_before_s: dict[RegionId, float] = {}
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def settled(self) -> bool:
        """Whether each region has its writer, here or elsewhere: of the others nothing is known by old news."""
        others = self.elsewhere if self._engine.now_s() - self._seen_s < LEASE_S else ()
        return all(self._engine.leads(region) or region in others for region in self.regions)

    @property
    def fresh(self) -> bool:
        """Whether the database has lately said who leads: then it is worth waiting for a region's next leader."""
        return self._engine.now_s() - self._seen_s < ANSWER_LIMIT_S

    async def start(self) -> None:
        """Take part; returns when each region has its writer. From then on `run` must be running."""
        keeping = asyncio.create_task(self.run())
        try:
            while not self.settled:
                await asyncio.sleep(0.01)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def run(self) -> None:
        """Keep the leases and look for what is to be led, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(RENEW_S, self.renew))
            group.create_task(self._every(LOOK_S, self.look))

    async def close(self) -> None:
        """Begin with no further region; `release` gives back what is still ours."""
        self.retiring = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def release(self) -> None:
        """Give everything up, so that a standby need not wait. Raises ServiceAway."""
        self.until_s.clear()
        await self._store.depart(self.holder)
        await self._store.release(self.regions, self.holder)

    def dropped(self, region: RegionId) -> None:
        """The engine writes the region no more: look at once who does."""
        self.until_s.pop(region, None)
        self._woken.set()

    async def renew(self) -> None:
        """Say that we live and prolong every lease; what is not ours any more is dropped at once."""
        asked_s, held = self._engine.now_s(), list(self.until_s)
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                if not self.retiring:
                    await self._store.attend(self._self(), LEASE_S)
                ours = await self._store.renew(held, self.holder, LEASE_S, self.address) if held else set()
        except (ServiceAway, TimeoutError):
            return
        for region in held:
            if region in ours:
                self._prolong(region, asked_s)
            elif region in self.until_s:
                self._lose(region, "another process leads the region")

    async def look(self) -> None:
        """See who leads what, claim what is ours to claim, and give away what another should have.

        One look at a time: who retires looks beside the loop that does, and each goes by what it has seen itself.
        """
        async with self._looking:
            await self._looked()

    async def _looked(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                view = await self._store.leadership()
        except (ServiceAway, TimeoutError):
            return
        self._seen_s = self._engine.now_s()
        self._note_renewals(view)
        dead = self._known_dead = await self._dead(view)
        left = [seat for seat in view.seats if seat.holder in dead or self._outlived(seat)]
        self._left_behind = {seat.region: seat for seat in left}
        self.view = replace(
            view,
            seats=tuple(seat for seat in view.seats if seat not in left),
            processes=tuple(process for process in view.processes if process.holder not in dead),
        )
        self._note_seats()
        epochs = {seat.region: seat.epoch for seat in self.view.seats if seat.region in self.regions}
        if epochs != self._epochs:
            self._epochs, self._moved_s = epochs, self._seen_s
        if self.retiring:
            return
        me = self._me()
        for region in sorted(wanted(me, self.view, self._overdue()), key=self._work, reverse=True):
            if self._not_before_s.get(region, 0.0) <= self._seen_s:
                self._claiming.add(region)
                self._spawn(self._lead(region))
        gift = to_give(me, self.view)
        if gift is not None and not self._claiming and self._seen_s - self._moved_s >= QUIET_S:
            log.info("handed to a process that leads fewer", extra={"region": gift, "action": "give"})
            await self.give([gift])

    async def give(self, regions: Sequence[RegionId]) -> None:
        """Hand regions back politely: nothing new is decided, what was decided is committed, then they are free.

        A region whose commit takes too long stays ours: who waits here sees no other region that needs a leader.
        """
        given = []
        for region in regions:
            await self.before_given(region)
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await self._engine.closed(region)
            except (ServiceAway, TimeoutError):
                # It failed meanwhile, and is free when its lease ends. Or it is still ours, and goes on.
                self._said_led(region)
                continue
            self._engine.drop(region)
            self.until_s.pop(region, None)
            given.append(region)
        if not given:
            return
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self._store.release(given, self.holder)
        except (ServiceAway, TimeoutError) as away:
            log.warning("not released: %s", away, extra={"action": "give"})

    async def retire(self) -> None:
        """Let the other processes take over while the door is still open.

        Without another process nothing is given: this one leads until its end.
        """
        self.retiring = True
        try:
            async with asyncio.timeout(RETIRE_LIMIT_S):
                await self._store.depart(self.holder)
                await self.look()
                while to_come := self._inherited():
                    ours = [region for region in to_come if region in self._engine.led]
                    await (self.give(ours[:1]) if ours else asyncio.sleep(0.02))
        except (ServiceAway, TimeoutError) as why:
            log.warning("went before every region had its next leader: %s", why, extra={"action": "retire"})
        # What is still ours is given up when it is written: until then nobody is to take us for dead at a shut door.
        self.address = ""
        await self.renew()

    def _inherited(self) -> list[RegionId]:
        """The regions that another process has yet to take over. Who is about to go as well is none: asked anew each
        time, for it may say so only now."""
        heirs = {region for each in self.view.processes if each.holder != self.holder for region in each.regions}
        return [region for region in self.regions if region in heirs and region not in self.elsewhere]

    async def _lead(self, region: RegionId) -> None:
        """One attempt to claim a region, load it and begin to write it."""
        try:
            asked_s = self._engine.now_s()
            async with asyncio.timeout(ANSWER_LIMIT_S):
                dead = self._left_behind.get(region)
                epoch = await self._store.claim(region, self.holder, LEASE_S, self.address, dead=dead)
            if epoch is None:
                return
            self.until_s[region] = 0.0
            self._prolong(region, asked_s)
            self.elsewhere.pop(region, None)
            await self.load(region, epoch)
        except (ServiceAway, TimeoutError) as away:
            log.warning("cannot lead yet: %s", away, extra={"region": region, "action": "lead"})
            self.until_s.pop(region, None)
            return
        except Exception:
            log.exception("fault while taking the lead", extra={"region": region, "action": "lead"})
            self.until_s.pop(region, None)
            self._not_before_s[region] = self._engine.now_s() + FAULT_PAUSE_S
            return
        finally:
            self._claiming.discard(region)
        for listener in self.on_led:
            listener(region)

    async def _dead(self, view: Leadership) -> set[str]:
        """The holders that have stopped renewing and at whose address nobody listens.

        Who was dead stays so when it has no seat left, until its address answers: else it would be given regions.
        """
        silent = {seat.holder: seat.address for seat in view.seats if seat.left_s <= LEASE_S - UNRENEWED_S}
        silent |= {process.holder: process.address for process in view.processes if process.holder in self._known_dead}
        silent = {holder: address for holder, address in silent.items() if self._may_knock(holder, address)}
        refused = await asyncio.gather(*map(self.knock, silent.values()))
        return {holder for holder, is_dead in zip(silent, refused, strict=True) if is_dead}

    def _note_renewals(self, view: Leadership) -> None:
        """Since when, by our own clock, each seat stands as it stands: `until` changes with every renewal."""
        known = self._unrenewed_s
        self._unrenewed_s = {key: known.get(key, self._seen_s) for key in map(_renewal, view.seats)}

    def _outlived(self, seat: Seat) -> bool:
        """Whether another's seat was left alone for a whole lease by our clock: its holder has stopped by itself, and
        a database whose clock was set back would have us wait for as long."""
        return seat.holder != self.holder and self._seen_s - self._unrenewed_s[_renewal(seat)] >= LEASE_S

    def _may_knock(self, holder: str, address: str) -> bool:
        """Whether a refusal at the address says something of the holder: `127.0.0.1` of another machine is ours."""
        if not address or holder == self.holder:
            return False
        host = urlsplit(address).hostname or ""
        own = host in ("localhost", "::1") or host.startswith("127.")
        return not own or holder.rpartition(":")[0] == self.holder.rpartition(":")[0]

    def _prolong(self, region: RegionId, asked_s: float) -> None:
        if region in self.until_s:
            self.until_s[region] = asked_s + LEASE_S - MARGIN_S
            led = self._engine.led.get(region)
            if led is None:
                return
            lapsed, led.until_s = self._engine.now_s() >= led.until_s, self.until_s[region]
            if lapsed:
                self._said_led(region)

    def _said_led(self, region: RegionId) -> None:
        """What was left alone while nothing was written, orders and reports of units, is ours to do again."""
        if self._engine.leads(region):
            for listener in self.on_led:
                listener(region)

    def _lose(self, region: RegionId, why: str) -> None:
        self.until_s.pop(region, None)
        if region in self._engine.led:
            self._engine.fail(region, why, moved=True)

    def _note_seats(self) -> None:
        seats = {RegionId(seat.region): seat for seat in self.view.seats if seat.holder != self.holder}
        for region in self.regions:
            seat = seats.get(region)
            if seat is None or region in self._engine.led or region in self._claiming:
                self.elsewhere.pop(region, None)
                if seat is None and region not in self._engine.led:
                    self._vacant_s.setdefault(region, self._seen_s)
                continue
            self._vacant_s.pop(region, None)
            if region not in self.elsewhere or self.elsewhere[region].epoch != seat.epoch:
                self.elsewhere[region] = seat
                for listener in self.on_elsewhere:
                    listener(region)
            self.elsewhere[region] = seat
        for region in self._engine.led:
            self._vacant_s.pop(region, None)

    def _overdue(self) -> set[RegionId]:
        return {region for region, since_s in self._vacant_s.items() if self._seen_s - since_s >= OVERDUE_S}

    def _work(self, region: RegionId) -> int:
        """How much there is to do in a region, as far as it was followed: most callers wait where that is most."""
        state = self._engine.replicas.states.get(region)
        return 0 if state is None else state.seq

    def _me(self) -> Sharer:
        held = {*self._engine.led, *self._claiming}
        return Sharer(holder=self.holder, regions=self.regions, held=held)

    def _self(self) -> Process:
        return Process(holder=self.holder, address=self.address, secret=self.secret, regions=self.regions)

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Again and again, or at once when woken; a fault of our own must not end it: a lease would."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("fault while keeping leases", extra={"action": "lease"})
            try:
                async with asyncio.timeout(pause_s):
                    await (self._woken.wait() if work == self.look else asyncio.sleep(pause_s))
            except TimeoutError:
                continue
            self._woken.clear()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _renewal(seat: Seat) -> tuple[object, ...]:
    return seat.region, seat.holder, seat.epoch, seat.until


async def nobody_listens(address: str) -> bool:
    """Whether a connection to the address is refused, which only a machine does that runs without the process."""
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(KNOCK_LIMIT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return False


async def _unloaded(region: RegionId, epoch: int) -> None:
    raise NotImplementedError("whoever owns the leases says how a region is loaded")


async def _nothing(region: RegionId) -> None:
    """For an owner who writes no snapshots."""
