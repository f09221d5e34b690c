"""The fan-out between processes: a Redis stream for each region's events, a channel for its positions.

The stream's entry of event `seq` has the id `<seq>-0`, so Redis itself refuses a second one and publishing
again after a crash is harmless. Redis is never trusted: a gap is read from the journal, and with Redis away
everybody follows the journal until it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from dispatch.core.terms import RegionId, UnitId
from dispatch.fanout import QUIET_S, Following, Journal, Looks
from dispatch.writing.positions import Position
from dispatch.writing.records import Recorded
from dispatch.writing.upkeep import Sayings

STREAM_LIMIT = 10_000
"""Events kept in a region's stream, about; who needs older ones reads the journal."""
BACKLOG_LIMIT = 20_000
"""Events that wait for Redis; beyond it the oldest go, and followers read them from the journal."""
BATCH_LIMIT = 512
BLOCK_MS = 500
ANSWER_LIMIT_S = 2.0
CONNECT_LIMIT_S = 1.0
POLL_S = 0.2
POSITIONS_EVERY_S = 0.25

log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(Recorded).decode
_decode_positions = msgspec.msgpack.Decoder(tuple[Position, ...]).decode


class FanoutCounts(msgspec.Struct):
    """`repeated`: entries that Redis had already; `overflowed`: events it never got from us."""

    published: int = 0
    repeated: int = 0
    overflowed: int = 0


class RedisFanout:
    """See `fanout.Fanout`. `run` must be running for anything to be published."""

    def __init__(self, url: str, journal: Journal) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_LIMIT_S,
            socket_connect_timeout=CONNECT_LIMIT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._journal = journal
        self._looks = Looks()
        self._backlog: deque[Recorded] = deque()
        self._begun: dict[RegionId, int] = {}
        self._moved: dict[RegionId, dict[UnitId, Position]] = {}
        self._wake = asyncio.Event()
        self._away = False
        self._sayings = Sayings()
        self.counts = FanoutCounts()

    def publish(self, region: RegionId, recorded: Sequence[Recorded]) -> None:
        self._backlog.extend(recorded)
        while len(self._backlog) > BACKLOG_LIMIT:
            self._backlog.popleft()
            self.counts.overflowed += 1
        self._wake.set()

    def begin(self, region: RegionId, seq: int) -> None:
        self._begun[region] = seq
        self._wake.set()

    def publish_positions(self, region: RegionId, positions: Sequence[Position]) -> None:
        moved = self._moved.setdefault(region, {})
        moved.update((position.unit_id, position) for position in positions)

    def silent_s(self, region: RegionId) -> float:
        return self._looks.silent_s(region)

    def health(self) -> str:
        return "away" if self._away else "ok"

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry_events())
                group.create_task(self._carry_positions())
        finally:
            await self._redis.aclose()

    async def subscribe(self, region: RegionId, after_seq: int) -> AsyncGenerator[Recorded, None]:
        following = Following(self._journal, region, after_seq, self._looks)
        look_at_s = 0.0
        while True:
            if time.monotonic() >= look_at_s:
                async for event in following.missing():
                    yield event
                look_at_s = time.monotonic() + QUIET_S
            try:
                arrived = await self._read(region, following.seq)
            except (RedisError, OSError) as fault:
                self._lost(fault)
                look_at_s = 0.0
                await asyncio.sleep(POLL_S)
                continue
            self._found()
            for entry in arrived:
                look_at_s = time.monotonic() + QUIET_S
                async for event in following.in_order(entry):
                    yield event

    async def positions(self, region: RegionId) -> AsyncGenerator[Sequence[Position], None]:
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(_positions_channel(region))
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            yield self._read_positions(region, message["data"])
            except (RedisError, OSError):
                await asyncio.sleep(POLL_S)

    def _read_positions(self, region: RegionId, said: bytes) -> tuple[Position, ...]:
        """Nobody's place, where another version of us says it in other words: the next ones come in a moment."""
        try:
            return _decode_positions(said)
        except ValueError as fault:
            if self._sayings.worth(fault):
                log.warning("positions that we cannot read: %s", fault, extra={"region": region, "action": "fanout"})
            return ()

    async def _read(self, region: RegionId, seq: int) -> list[Recorded]:
        """What the stream has after `seq`, waiting BLOCK_MS for it at most."""
        stream = _stream(region)
        answer = await self._redis.xread({stream: f"{seq}-0"}, count=BATCH_LIMIT, block=BLOCK_MS)
        return [_decode_event(fields[b"e"]) for _, fields in _entries(answer)]

    async def _carry_events(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._begun or self._backlog:
                if self._begun:
                    begun, self._begun = self._begun, {}
                    if not await self._reachable(self._cut(begun)):
                        self._begun = begun | self._begun
                    continue
                # The batch stays in the backlog until Redis has it.
                batch = [self._backlog[place] for place in range(min(BATCH_LIMIT, len(self._backlog)))]
                if await self._reachable(self._add(batch)):
                    self._forget(batch)

    async def _cut(self, begun: dict[RegionId, int]) -> None:
        """A stream beyond the end of its journal tells of a life that a restore ended, and would refuse our events.

        Whoever follows loses nothing with it: what is missing is read from the journal.
        """
        for region, seq in begun.items():
            try:
                newest: Any = await self._redis.xrevrange(_stream(region), count=1)
                if newest and int(newest[0][0].partition(b"-")[0]) > seq:
                    log.warning("Redis told of another journal: its events are dropped", extra={"region": region})
                    await self._redis.delete(_stream(region))
            except ResponseError as fault:  # Not ours to look at or delete there: no reason to publish nothing.
                log.warning("Redis refuses a look at its stream: %s", fault, extra={"region": region})

    async def _add(self, batch: Sequence[Recorded]) -> None:
        """One round trip. An id that the stream has passed is refused, and that is as it should be."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event in batch:
                pipeline.xadd(
                    _stream(RegionId(event.region)),
                    {b"e": _encode(event)},
                    id=f"{event.seq}-0",
                    maxlen=STREAM_LIMIT,
                    approximate=True,
                )
            answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
                self.counts.repeated += 1
            elif isinstance(answer, RedisError):
                raise answer
            else:
                self.counts.published += 1

    def _forget(self, batch: Sequence[Recorded]) -> None:
        """What is published leaves the backlog, of which the oldest may have gone meanwhile."""
        last = batch[-1]
        gone = {id(event) for event in batch}
        while self._backlog and id(self._backlog[0]) in gone:
            if self._backlog.popleft() is last:
                break

    async def _carry_positions(self) -> None:
        while True:
            await asyncio.sleep(POSITIONS_EVERY_S)
            waiting, self._moved = self._moved, {}
            if waiting:
                await self._reachable(self._tell(waiting))

    async def _reachable(self, asking: Awaitable[None]) -> bool:
        """Whether Redis took it. When it is away, say so once and give it POLL_S before the next try."""
        try:
            await asking
        except (RedisError, OSError) as fault:
            self._lost(fault)
            await asyncio.sleep(POLL_S)
            return False
        self._found()
        return True

    def _lost(self, fault: Exception) -> None:
        if not self._away:
            log.warning("Redis away: %s", fault, extra={"action": "fanout"})
        self._away = True

    def _found(self) -> None:
        if self._away:
            log.warning("Redis is back", extra={"action": "fanout"})
        self._away = False

    async def _tell(self, waiting: dict[RegionId, dict[UnitId, Position]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for region, moved in waiting.items():
                pipeline.publish(_positions_channel(region), _encode(tuple(moved.values())))
            await pipeline.execute()


def _stream(region: RegionId) -> str:
    return f"112:events:{region}"


def _positions_channel(region: RegionId) -> str:
    return f"112:positions:{region}"


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of the one stream read: RESP2 answers with pairs, RESP3 with a map, or nothing at all."""
    if not answer:
        return []
    entries = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    # RESP3 wraps the entries of a stream once more.
    return entries[0] if entries and isinstance(entries[0], list) else entries
