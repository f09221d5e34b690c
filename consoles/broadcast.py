"""What all consoles get: deltas after commits, positions and heartbeats, each encoded once for an audience.

An audience is the consoles of one view and the same regions: the same joined bytes are written to each of
them. Deltas go out at once after a quiet moment and at most each COALESCE_S. Nobody is waited for: a console
that takes nothing is sent nothing and owed fresh snapshots; positions that it missed are only missed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from consoles.feed import Feed, Known, joined, said
from dispatch.actors import Actor
from dispatch.clock import Clock
from dispatch.core.events import Event
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import RegionId
from dispatch.web.alarms import Alarm
from dispatch.web.metrics import Metrics
from dispatch.web.websocket import Socket
from dispatch.writing.positions import Position
from dispatch.writing.records import Recorded
from dispatch.writing.replica import Replicas

log = logging.getLogger(__name__)

COALESCE_S = 0.05
TICK_S = 0.5
"""Positions go out each tick, a heartbeat each second tick."""
WRITES_AT_ONCE = 64
"""Consoles that get positions before calls have their turn again: some 10 microseconds each."""
REDRAW_S = 1.0
"""A board that could not be drawn is tried again after so long."""
IDLE_KEPT_S = 120.0
"""A feed that nobody watches is followed for so long, for whoever lost the line and comes back."""

Frames = dict[tuple[RegionId, str], bytes]
"""(Region, view) -> a frame."""


class Moves(Protocol):
    """Where positions come from; `dispatch.writing.positions.Positions` is one."""

    def moved_since(self, region: RegionId, tick: int) -> tuple[int, list[Position]]: ...


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a console is told about the service as a whole."""

    mode: str = "LIVE"
    speed: float = 1.0
    health: Callable[[], dict[str, str]] = dict
    """`{postgres, mqtt, redis, travel, disk}`, each a word; asked once a second, must not wait."""
    alarms: Callable[[], tuple[Alarm, ...]] = tuple
    """What is wrong now and whose it is; as `health`."""


class Console:
    """One connected board. `due`: regions of which it must get a snapshot, because it missed something."""

    def __init__(self, socket: Socket, actor: Actor, audience: Audience) -> None:
        self.socket = socket
        self.actor = actor
        self.audience = audience
        self.due: dict[RegionId, None] = {}

    def write(self, text: bytes) -> bool:
        """Send frames, unless the console takes nothing or lacks what came before them."""
        if self.socket.slow or self.due:
            return False
        self.socket.send(text)
        return True


class Audience:
    """The consoles of one view and the same regions."""

    def __init__(self, view: str, regions: tuple[RegionId, ...]) -> None:
        self.view = view
        self.regions = regions
        self.consoles: dict[Console, None] = {}


class Broadcast:
    """The feeds and audiences of one process."""

    def __init__(self, replicas: Replicas, positions: Moves, *, clock: Clock, metrics: Metrics, scene: Scene) -> None:
        self.replicas = replicas
        self.clock = clock
        self.metrics = metrics
        self.scene = scene
        self.audiences: dict[tuple[str, tuple[RegionId, ...]], Audience] = {}
        self._positions = positions
        self._touched = replicas.follow()
        self._feeds: dict[tuple[RegionId, str], Feed] = {}
        self._ticks: dict[RegionId, int] = {}
        self._places: Frames = {}
        self._commits_s: list[float] = []
        self._flushed_s = 0.0
        self._flushing: asyncio.TimerHandle | None = None

    # Coming and going

    def join(self, socket: Socket, actor: Actor, regions: tuple[RegionId, ...]) -> Console:
        """Make the socket a console of its audience; from now on it gets what the audience gets."""
        self.flush()
        key = (actor.view, regions)
        audience = self.audiences.setdefault(key, Audience(*key))
        console = Console(socket, actor, audience)
        audience.consoles[console] = None
        for region in regions:
            self.feed(region, actor.view).watchers += 1
            # What moved before is in the positions that a console gets first.
            self._ticks.setdefault(region, self._positions.moved_since(region, 0)[0])
        self.metrics.consoles.inc()
        return console

    def leave(self, console: Console) -> None:
        audience = console.audience
        del audience.consoles[console]
        if not audience.consoles:
            del self.audiences[audience.view, audience.regions]
        for region in audience.regions:
            feed = self._feeds[region, audience.view]
            feed.watchers -= 1
            feed.idle_since_s = _now_s()
        self.metrics.consoles.dec()

    def missed(self, console: Console, known: dict[RegionId, Known]) -> dict[RegionId, list[bytes]]:
        """The deltas since `known` of each region that has some; where they are not kept a snapshot becomes due."""
        audience, deltas = console.audience, {}
        for region in audience.regions:
            feed = self.feed(region, audience.view)
            since = feed.since(known.get(region, (-1, ""))) if feed.drawn else []
            if since is None:
                console.due[region] = None
            elif since:
                deltas[region] = since
        return deltas

    def owed(self, console: Console, missed: dict[RegionId, list[bytes]]) -> dict[RegionId, int]:
        """The regions of which `begin` sends something, each with the number up to which that leads."""
        return {region: self.feed(region, console.audience.view).seq for region in (*console.due, *missed)}

    def begin(self, console: Console, missed: dict[RegionId, list[bytes]]) -> None:
        """Send the deltas that were missed, the snapshots that are due, and all positions."""
        for deltas in missed.values():
            console.socket.send(joined(deltas))
        self.catch_up(console)
        console.socket.send(self._all_positions(console.audience, console.audience.regions))

    def catch_up(self, console: Console) -> list[RegionId]:
        """Send the snapshots that are due, as many as the console takes at once; says of which regions.

        Of a board that cannot be drawn nothing is sent: when it can, everybody gets it.
        """
        sent: list[RegionId] = []
        while console.due and not console.socket.slow:
            region = next(iter(console.due))
            del console.due[region]
            feed = self.feed(region, console.audience.view)
            if feed.drawn:
                console.socket.send(feed.snapshot())
                sent.append(region)
        return sent

    def drained(self, console: Console) -> None:
        """A slow console takes something again: give it what it is owed."""
        sent = self.catch_up(console)
        self.metrics.resyncs.labels("slow").inc(len(sent))
        console.socket.send(self._all_positions(console.audience, sent))

    def feed(self, region: RegionId, view: str) -> Feed:
        """The region's feed in this view, made when it is asked for first."""
        feed = self._feeds.get((region, view))
        if feed is None:
            feed = self._feeds[region, view] = Feed(region, view)
            self._draw(feed, self.replicas.states[region])
        return feed

    def faulty(self) -> str | None:
        """What to say while boards that somebody watches cannot be drawn: a condition of the alarms."""
        regions = sorted({feed.region for feed in self._feeds.values() if feed.watchers and not feed.drawn})
        return f"boards cannot be drawn, what they show is old: {', '.join(regions)}" if regions else None

    def _draw(self, feed: Feed, state: RegionState) -> bool:
        """Draw a feed's board from its region's state. One that cannot be drawn keeps no other from its consoles."""
        try:
            feed.redraw(state, self.replicas.hashes[feed.region])
        except Exception:
            self._fault(feed)
            return False
        return True

    def _fault(self, feed: Feed) -> None:
        """A fault of our own in one board: it is drawn anew a moment later."""
        log.exception("a board cannot be drawn", extra={"region": feed.region, "action": "draw"})
        self.metrics.faults.labels("board").inc()
        feed.spoil()
        feed.again_at_s = _now_s() + REDRAW_S

    # After commits

    def committed(self, region: RegionId, recorded: Sequence[Recorded], events: Sequence[Event]) -> None:
        """Told after each commit, when the replica has followed it: an engine's `on_commit` listener."""
        self._commits_s.append(_now_s())
        if self._flushing is None:
            wait_s = self._flushed_s + COALESCE_S - _now_s()
            self._flushing = asyncio.get_running_loop().call_later(max(0.0, wait_s), self.flush)

    def flush(self) -> None:
        """Send what changed since the last time to everybody whom it concerns."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._flushed_s = _now_s()
        touched = dict(self._touched)
        self._touched.clear()
        self._adopt()
        frames: Frames = {}
        for key, feed in self._feeds.items():
            try:
                made = feed.advance(touched.get(feed.region) or Touched(), self.replicas.hashes[feed.region])
            except Exception:  # What was touched is forgotten by now, and no later delta would say it.
                self._fault(feed)
                continue
            if made is not None:
                frames[key] = made
        if frames:
            self._give(frames)
        self._measure()

    def _adopt(self) -> None:
        """Begin anew with regions that were loaded again, or lost a delta, and tell their consoles so."""
        for (region, view), feed in self._feeds.items():
            state = self.replicas.states.get(region)
            if state is None or feed.follows(state) or feed.again_at_s > _now_s() or not self._draw(feed, state):
                continue
            for audience in self.audiences.values():
                if audience.view == view and region in audience.regions:
                    self._owe(audience.consoles, region)

    def _owe(self, consoles: Iterable[Console], region: RegionId) -> None:
        for console in consoles:
            console.due[region] = None
            self.metrics.resyncs.labels("reloaded").inc(len(self.catch_up(console)))

    def _measure(self) -> None:
        now_s = _now_s()
        for commit_s in self._commits_s:
            self.metrics.event_to_console_s.observe(now_s - commit_s)
        self._commits_s.clear()

    def _give(self, frames: Frames) -> None:
        """Write each audience its deltas as one. Who takes nothing now is owed snapshots for what it lost."""
        for audience in self.audiences.values():
            regions = [region for region in audience.regions if (region, audience.view) in frames]
            if not regions:
                continue
            text = joined(frames[region, audience.view] for region in regions)
            written = 0
            for console in audience.consoles:
                if console.write(text):
                    written += 1
                else:
                    console.due.update(dict.fromkeys(regions))
            self._count("delta", written, written * len(text))

    def _count(self, sort: str, frames: int, size: int) -> None:
        self.metrics.frames.labels(sort).inc(frames)
        self.metrics.frame_bytes.inc(size)

    # The beat

    async def run(self) -> None:
        """Send positions and heartbeats until cancelled."""
        for beat in itertools.count(1):
            await asyncio.sleep(TICK_S)
            try:
                self.flush()
                await self.tell(b"" if beat % 2 else self._heartbeat())
                self._forget()
            except Exception:
                log.exception("fault in the beat of the boards")
                self.metrics.faults.labels("broadcast").inc()

    async def tell(self, heartbeat: bytes) -> None:
        """Write everybody what moved since the last beat, and the heartbeat if there is one.

        What is written is made at one moment, and so is the list of those who get it: whoever comes while it is
        written gets newer positions first. A thousand writes in one piece would keep calls waiting.
        """
        self._places.clear()
        moved = self._moved()
        due: list[tuple[Console, bytes]] = []
        for audience in self.audiences.values():
            text = joined(moved.get((region, audience.view), b"") for region in audience.regions) + heartbeat
            if text:
                due.extend((console, text) for console in audience.consoles)
        written = size = 0
        for number, (console, text) in enumerate(due, start=1):
            if console.write(text):
                written += 1
                size += len(text)
            if number % WRITES_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._count("positions" if moved else "heartbeat", written, size)

    def _heartbeat(self) -> bytes:
        scene = self.scene
        return said(
            {
                "type": "heartbeat",
                "at": self.clock.now(),
                "speed": scene.speed,
                "health": scene.health(),
                "alarms": scene.alarms(),
            }
        )

    def _moved(self) -> Frames:
        """The frames of the units that moved since the last beat."""
        views: dict[RegionId, list[str]] = {}
        for (region, view), feed in self._feeds.items():
            if feed.watchers:
                views.setdefault(region, []).append(view)
        frames: Frames = {}
        for region, watched in views.items():
            self._ticks[region], moved = self._positions.moved_since(region, self._ticks.get(region, 0))
            for view in watched if moved else ():
                made = self._positions_frame(region, view, moved)
                if made is not None:
                    frames[region, view] = made
        return frames

    def _all_positions(self, audience: Audience, regions: Iterable[RegionId]) -> bytes:
        """Where every unit of these regions is. Until the next beat, which tells what has moved since, the same
        frame serves whoever comes: after a failover that is everybody.
        """
        for region in regions:
            if (region, audience.view) not in self._places:
                moved = self._positions.moved_since(region, 0)[1]
                self._places[region, audience.view] = self._positions_frame(region, audience.view, moved) or b""
        return joined(self._places[region, audience.view] for region in regions)

    def _positions_frame(self, region: RegionId, view: str, moved: list[Position]) -> bytes | None:
        cells = self.feed(region, view).shown.get("units", ())
        wall = self.clock.wall()
        units = [placed(position, position.age_s(wall)) for position in moved if position.unit_id in cells]
        if not units:
            return None
        return said({"type": "positions", "region": region, "at": self.clock.now(), "units": units})

    def _forget(self) -> None:
        """Stop following what nobody has watched for a while."""
        now_s = _now_s()
        for key, feed in list(self._feeds.items()):
            if not feed.watchers and now_s - feed.idle_since_s > IDLE_KEPT_S:
                del self._feeds[key]


def _now_s() -> float:
    """The loop's own clock, on which the timers here run."""
    return asyncio.get_running_loop().time()


def placed(position: Position, age_s: float) -> list[Any]:
    """A position as `[unit_id, lon, lat, heading, age_s]`."""
    heading = None if position.heading_deg is None else round(position.heading_deg)
    return [position.unit_id, round(position.lon, 6), round(position.lat, 6), heading, round(age_s, 1)]
