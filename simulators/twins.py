"""The servers of a simulated country: a database, a broker, a console's socket, each failing on request.

They keep their promises and no more: what was sent may arrive after whoever sent it is gone, an answer may be
lost after the work was done, a link may believe that it is up. Everything is on the loop's virtual time.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from dispatch.errors import ServiceAway
from dispatch.keeping.memory import Faults as Trouble
from dispatch.keeping.memory import MemoryStore
from dispatch.store import CommitUnknown, StoreAway
from dispatch.units.line import LinePlan
from dispatch.web.problems import Problem
from dispatch.web.websocket import Closed
from dispatch.writing.records import Answer, AnsweredKeys, Appended, Batch, Loaded, Recorded, Seat
from simulators.faults import Dice
from simulators.virtual import VirtualClock, VirtualLoop

TRIP_S = (0.0002, 0.004)
"""How long a message to a server, or its answer, is on the way."""

Kept = Callable[[Batch], None]


class Database(MemoryStore):
    """The store's twin behind a network. Each process has a `line` of its own to it, with faults of its own."""

    def __init__(self, loop: VirtualLoop, clock: VirtualClock, kept: Kept) -> None:
        super().__init__(clock.now)
        self._loop = loop
        self._kept = kept
        self.world = Context()
        self.after_commit: Callable[[], None] = lambda: None
        self._crawling = 0

    def line(self, after_commit: Callable[[], None]) -> Database:
        """The same tables by another way. `after_commit` is called between a commit and its answer."""
        made = copy.copy(self)
        made.faults = Trouble()
        made.after_commit = after_commit
        return made

    def epoch(self, region: str) -> int:
        """The epoch of whoever leads the region now."""
        leader = self._regions[region].leader
        return leader.epoch if leader is not None else 0

    def journal(self, region: str) -> list[Recorded]:
        """Every event of the region that is kept."""
        return self._regions[region].events if region in self._regions else []

    def answer_to(self, actor: str, key: str) -> bytes | None:
        """The answer that is kept under a key."""
        answer = self._answers.get((actor, key))
        return answer.body if answer is not None else None

    def table(self, name: str) -> dict[str, Any]:
        """The rows of a read model by their key."""
        return self._tables[name]

    @property
    def prompt(self) -> bool:
        """Whether it is quick now, and nothing is under way still that was sent while it was slow."""
        return not self.faults.latency_s and not self._crawling

    @contextmanager
    def _under_way(self) -> Iterator[float]:
        """The seconds that a word takes from now on; it keeps them, also when the weather changes meanwhile."""
        slow = self.faults.latency_s > 0.0
        self._crawling += slow
        try:
            yield self._loop.chance.uniform(*TRIP_S) + self.faults.latency_s
        finally:
            self._crawling -= slow

    async def _trip(self) -> None:
        with self._under_way() as delay_s:
            await asyncio.sleep(delay_s)
        self._reach()

    async def append(self, batch: Batch) -> Appended:
        """What was sent is committed whatever becomes of its sender; with the line broken nobody can say."""
        self._reach()
        done: asyncio.Future[Appended] = self._loop.create_future()
        with self._under_way() as delay_s:
            self._loop.call_later(delay_s, self._commit, batch, done, context=self.world)
            appended = await done
        try:
            await self._trip()
        except StoreAway as away:
            raise CommitUnknown(str(away)) from away
        return appended

    def _commit(self, batch: Batch, done: asyncio.Future[Appended]) -> None:
        try:
            appended = self._judged(batch)
        except StoreAway as away:
            if not done.cancelled():
                done.set_exception(away)
            return
        self.after_commit()
        if not done.cancelled():
            done.set_result(appended)

    def _keep(self, batch: Batch) -> None:
        super()._keep(batch)
        self._kept(batch)

    async def head(self, region: str) -> tuple[int, bytes]:
        await self._trip()
        return await super().head(region)

    async def load(self, region: str) -> Loaded:
        await self._trip()
        return await super().load(region)

    async def events(self, region: str, after: int, limit: int) -> list[Recorded]:
        await self._trip()
        return await super().events(region, after, limit)

    async def claim(
        self, region: str, holder: str, lease_s: float, address: str = "", *, dead: Seat | None = None
    ) -> int | None:
        await self._trip()
        epoch = await super().claim(region, holder, lease_s, address, dead=dead)
        await self._trip()
        return epoch

    async def renew(self, regions: Sequence[str], holder: str, lease_s: float, address: str = "") -> set[str]:
        await self._trip()
        ours = await super().renew(regions, holder, lease_s, address)
        await self._trip()
        return ours

    async def recall(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Answer]:
        await self._trip()
        found = await super().recall(pairs)
        await self._trip()
        return found

    async def answered(self, regions: Collection[str], after: tuple[str, str] | None, limit: int) -> AnsweredKeys:
        await self._trip()
        return await super().answered(regions, after, limit)


Hear = Callable[[str, bytes], None]


class Broker:
    """Carries messages between processes and devices; loses, repeats, delays and reorders them as the dice fall."""

    def __init__(self, loop: VirtualLoop, dice: Dice) -> None:
        self.loop = loop
        self.up = True
        self.devices: dict[str, Hear] = {}
        self._dice = dice
        self._world = Context()
        self._lines: list[BrokerLine] = []
        self._changed = asyncio.Event()

    def set_up(self, up: bool) -> None:
        """The broker goes away or comes back; everybody who is connected notices."""
        self.up = up
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Return when the broker has gone or come back."""
        await self._changed.wait()

    def connected(self, line: BrokerLine) -> None:
        """From now on the line hears what devices say."""
        self._lines.append(line)

    def gone(self, line: BrokerLine) -> None:
        """The line is down."""
        if line in self._lines:
            self._lines.remove(line)

    def say(self, topic: str, payload: bytes) -> None:
        """A device publishes: every process hears it."""
        for line in list(self._lines):
            self._carry(line.hear, topic, payload)

    def tell(self, topic: str, payload: bytes) -> None:
        """A process publishes to one unit."""
        hear = self.devices.get(topic.split("/")[2])
        if hear is not None:
            self._carry(hear, topic, payload)

    def _carry(self, hear: Hear, topic: str, payload: bytes) -> None:
        dice, chance = self._dice, self.loop.chance
        if not self.up or dice.strikes("lost"):
            return
        for _ in range(2 if dice.strikes("repeated") else 1):
            late = dice.strikes("delayed")
            delay_s = chance.expovariate(4 / dice.faults.delay_s) if late else chance.uniform(*TRIP_S)
            self.loop.call_later(delay_s, hear, topic, payload, context=self._world)


class BrokerLine:
    """A process's connection: what `dispatch.units.line.Line` is over TCP."""

    def __init__(
        self,
        plan: LinePlan,
        *,
        broker: Broker,
        published: Callable[[str, bytes], None],
        enter: Callable[..., None],
        on_message: Hear,
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.up = False
        self.ups = 0
        self._light = plan.light
        self._broker = broker
        self._published = published
        self._enter = enter
        self._on_message = on_message
        self._on_up = on_up

    def hear(self, topic: str, payload: bytes) -> None:
        """A message has come for this process."""
        if self.up:
            self._enter(self._on_message, topic, payload)

    async def run(self) -> None:
        """Stay connected while the broker is there; ends only by cancellation."""
        while True:
            while not self._broker.up:
                await self._broker.changed()
            self.up = True
            self.ups += 1
            if not self._light:
                self._broker.connected(self)
            self._on_up()
            while self._broker.up:
                await self._broker.changed()
            self.up = False
            self._broker.gone(self)
            await asyncio.sleep(0.1)

    async def publish(self, topic: str, payload: bytes, *, properties: Any = None) -> None:
        """Hand a message over. Raises ServiceAway; then it may have arrived all the same."""
        if not self.up:
            raise ServiceAway("the broker is away")
        self._published(topic, payload)
        self._broker.tell(topic, payload)
        await asyncio.sleep(self._broker.loop.chance.uniform(*TRIP_S))
        if not self.up:
            raise ServiceAway("the broker went away")


class ConsoleSocket:
    """A console's WebSocket, as the gateway sees it. `deaf`: half open, what is sent arrives nowhere."""

    def __init__(self, loop: VirtualLoop, path: str, query: dict[str, str], heard: Callable[[bytes], None]) -> None:
        self.path = path
        self.query = query
        self.slow = False
        self.deaf = False
        self.rejected: str | None = None
        self.on_drained: Callable[[], None] | None = None
        self.over: asyncio.Future[None] = loop.create_future()
        self._heard = heard

    @property
    def open(self) -> bool:
        return not self.over.done()

    def accept(self) -> bool:
        return self.open

    def reject(self, problem: Problem) -> None:
        """Turn the console away."""
        self.rejected = problem.code
        self.close(1000, problem.code)

    def send(self, data: bytes) -> None:
        """Bytes for the console: it takes them at once, or never."""
        if data and not self.deaf and not self.over.done():
            self._heard(data)

    def close(self, code: int, reason: str) -> None:
        """The connection ends."""
        if not self.over.done():
            self.over.set_result(None)

    async def receive(self) -> bytes:
        """A console says nothing; this returns with an end."""
        await asyncio.wait([self.over])
        raise Closed


def texts(data: bytes) -> list[bytes]:
    """The messages of some WebSocket frames as a server writes them (RFC 6455, 5.2): whole and unmasked."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        length, start = data[at + 1] & 0x7F, at + 2
        if length == 126:
            length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
        elif length == 127:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        found.append(data[start : start + length])
        at = start + length
    return found
