"""What is committed, to whoever follows it: the interface, and the twin for one process.

Events reach a follower in order, each once, without a gap: what the bus lost is read from the journal.
Nobody who follows can make a publisher wait. A follower that is too far behind is told so (`FellBehind`)
and begins again from a fresh snapshot. Positions are only the latest, and may be skipped.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from dispatch.clock import elapsing_s
from dispatch.core.terms import RegionId, UnitId
from dispatch.errors import ServiceAway
from dispatch.writing.positions import Position, Positions
from dispatch.writing.records import Recorded

FOLLOWER_LIMIT = 2_000
"""Events that wait for one follower; with more it is told to begin again."""
CATCH_UP_LIMIT = 5_000
"""Events read from the journal for one follower; when it lacks more, a snapshot is quicker."""
PAGE = 500
RETRY_S = 0.2
POSITIONS_EVERY_S = 0.5
WHOLE_EVERY = 30
"""Each so many turns every position is published again, for followers that came since, or lost some."""
ANSWER_LIMIT_S = 2.0
"""A journal that is silent for longer is asked again, on a new line, and each time waited for twice as long: one that
is only slow answers in the end."""
ANSWER_LIMIT_MAX_S = 16.0
QUIET_S = 5.0
"""So long after the last event a follower looks into the journal: what was committed just before a writer
failed is told to nobody."""


T = TypeVar("T")


class FellBehind(Exception):
    """The follower is further behind than events are worth: take a snapshot, and follow from its number."""

    def __init__(self, region: RegionId, seq: int) -> None:
        super().__init__(f"{region} was followed to {seq} and has gone on too far since")
        self.region = region
        self.seq = seq


class Journal(Protocol):
    """What the fan-out needs of the store: committed events, in order, after a number."""

    async def events(self, region: str, after: int, limit: int) -> Sequence[Recorded]: ...


class Fanout(Protocol):
    """One for all parts of a process. Close what `subscribe` and `positions` return with `aclose`."""

    def publish(self, region: RegionId, recorded: Sequence[Recorded]) -> None:
        """Pass committed events on, in order. Never waits; publishing them again changes nothing."""

    def begin(self, region: RegionId, seq: int) -> None:
        """This process publishes the region from now on; its journal ends with `seq`. Never waits."""

    def subscribe(self, region: RegionId, after_seq: int) -> AsyncGenerator[Recorded, None]:
        """Every event of the region after `after_seq`, as it is committed. Raises FellBehind."""

    def publish_positions(self, region: RegionId, positions: Sequence[Position]) -> None:
        """Pass positions on. Never waits."""

    def positions(self, region: RegionId) -> AsyncGenerator[Sequence[Position], None]:
        """The units that moved since the last time one looked, each with its latest position."""

    def silent_s(self, region: RegionId) -> float:
        """How long whoever follows the region has waited for the journal's word; 0 while nobody waits."""

    def health(self) -> str:
        """`ok`, `away`, or `none` when there is no bus to be away."""

    async def run(self) -> None:
        """Carry what is published; ends only by cancellation."""


async def carry_positions(
    positions: Positions,
    fanout: Fanout,
    regions: Iterable[RegionId],
    leads: Callable[[RegionId], bool] = lambda region: True,
) -> None:
    """Publish who moved in those of the regions that we lead each POSITIONS_EVERY_S; ends only by cancellation."""
    ticks = dict.fromkeys(regions, 0)
    for turn in itertools.count():
        whole = turn % WHOLE_EVERY == 0
        for region, tick in ticks.items():
            ticks[region], moved = positions.moved_since(region, 0 if whole else tick)
            if moved and leads(region):
                fanout.publish_positions(region, moved)
        await asyncio.sleep(POSITIONS_EVERY_S)


class Looks:
    """The looks of one fan-out into the journal: none waits on a silent line, and it is known how long each has."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._limit_s: dict[str, float] = {}

    def silent_s(self, who: str) -> float:
        """How long this one has waited, over all its tries; 0 when it does not wait."""
        since_s = self._since_s.get(who)
        return 0.0 if since_s is None else elapsing_s() - since_s

    async def answer(self, who: str, asking: Awaitable[T]) -> T:
        """What the journal answers. Raises ServiceAway, also when it is silent for too long."""
        self._since_s.setdefault(who, elapsing_s())
        limit_s = self._limit_s.get(who, ANSWER_LIMIT_S)
        try:
            async with asyncio.timeout(limit_s):
                found = await asking
        except TimeoutError:
            self._limit_s[who] = min(2 * limit_s, ANSWER_LIMIT_MAX_S)
            raise ServiceAway(f"the journal was silent for {limit_s:.0f} s") from None
        except ServiceAway:
            raise
        except BaseException:
            self._over(who)
            raise
        self._over(who)
        return found

    def _over(self, who: str) -> None:
        self._since_s.pop(who, None)
        self._limit_s.pop(who, None)


class Following:
    """One follower's place in a region's events: fills gaps from the journal and leaves out repetitions."""

    def __init__(self, journal: Journal, region: RegionId, seq: int, looks: Looks) -> None:
        self.seq = seq
        self._looks = looks
        self._journal = journal
        self._region = region

    async def missing(self, before: int | None = None) -> AsyncGenerator[Recorded, None]:
        """The events after our place as the journal has them, up to but without `before`."""
        start = self.seq
        while before is None or self.seq + 1 < before:
            page = await self._page()
            for event in page:
                if before is not None and event.seq >= before:
                    return
                if event.seq - start > CATCH_UP_LIMIT:
                    raise FellBehind(self._region, self.seq)
                self.seq = event.seq
                yield event
            if before is None and len(page) < PAGE:
                return
            if not page:  # The bus is ahead: it remembers a journal that went on from an older backup since.
                await asyncio.sleep(RETRY_S)

    async def in_order(self, event: Recorded) -> AsyncGenerator[Recorded, None]:
        """The event, after those before it that have not come; nothing when it has come already."""
        if event.seq <= self.seq:
            return
        if event.seq - self.seq > CATCH_UP_LIMIT:
            raise FellBehind(self._region, self.seq)
        if event.seq > self.seq + 1:
            async for earlier in self.missing(event.seq):
                yield earlier
        self.seq = event.seq
        yield event

    async def _page(self) -> Sequence[Recorded]:
        """The gap cannot be left: with the journal away, ask again until it is back."""
        while True:
            try:
                page = self._journal.events(self._region, self.seq, PAGE)
                return await self._looks.answer(self._region, page)
            except ServiceAway:
                await asyncio.sleep(RETRY_S)


class _Follower:
    """What waits for one follower; `lost` says that it was more than we keep."""

    def __init__(self) -> None:
        self.waiting: deque[Recorded] = deque()
        self.moved: dict[UnitId, Position] = {}
        self.wake = asyncio.Event()
        self.lost = False

    def give(self, recorded: Sequence[Recorded]) -> None:
        if len(self.waiting) + len(recorded) > FOLLOWER_LIMIT:
            self.lost = True
            self.waiting.clear()
        if not self.lost:
            self.waiting.extend(recorded)
        self.wake.set()

    def give_positions(self, positions: Sequence[Position]) -> None:
        self.moved.update((position.unit_id, position) for position in positions)
        self.wake.set()

    async def woken(self, limit_s: float) -> bool:
        """Wait for something to come; False when nothing came within `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True


class LocalFanout:
    """The bus of one process: a queue for each follower."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._looks = Looks()
        self._followers: dict[RegionId, dict[_Follower, None]] = {}
        self._watchers: dict[RegionId, dict[_Follower, None]] = {}

    def publish(self, region: RegionId, recorded: Sequence[Recorded]) -> None:
        for follower in self._followers.get(region, ()):
            follower.give(recorded)

    def begin(self, region: RegionId, seq: int) -> None:
        """Nothing to do: who follows here has seen no other journal."""

    async def subscribe(self, region: RegionId, after_seq: int) -> AsyncGenerator[Recorded, None]:
        follower, following = _Follower(), Following(self._journal, region, after_seq, self._looks)
        followers = self._followers.setdefault(region, {})
        followers[follower] = None
        try:
            async for event in following.missing():
                yield event
            while True:
                if not await follower.woken(QUIET_S):
                    async for event in following.missing():
                        yield event
                while follower.waiting:
                    async for event in following.in_order(follower.waiting.popleft()):
                        yield event
                if follower.lost:
                    raise FellBehind(region, following.seq)
        finally:
            del followers[follower]

    def publish_positions(self, region: RegionId, positions: Sequence[Position]) -> None:
        for watcher in self._watchers.get(region, ()):
            watcher.give_positions(positions)

    async def positions(self, region: RegionId) -> AsyncGenerator[Sequence[Position], None]:
        watcher = _Follower()
        watchers = self._watchers.setdefault(region, {})
        watchers[watcher] = None
        try:
            while True:
                await watcher.wake.wait()
                watcher.wake.clear()
                moved, watcher.moved = watcher.moved, {}
                yield tuple(moved.values())
        finally:
            del watchers[watcher]

    def silent_s(self, region: RegionId) -> float:
        return self._looks.silent_s(region)

    def health(self) -> str:
        return "none"

    async def run(self) -> None:
        """Publishing carries everything by itself; this only waits to be cancelled."""
        await asyncio.Event().wait()
