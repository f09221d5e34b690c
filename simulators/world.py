"""A seeded world on a virtual clock that drives the core by itself, to find what breaks it.

Regions on a plane with straight roads, callers, operators, crews and the lines between them, all led by one
random generator. First a storm, in which everything of `Faults` happens; then calm, in which nothing goes
wrong any more and everything that was begun must come to an end. Nothing here waits, sleeps or opens a socket.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from random import Random

import msgspec
import numpy as np

from dispatch.cells.exchange import CallEvidence, answer, concluded, messages, received
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.assigning import candidates
from dispatch.core.deadlines import due, endings
from dispatch.core.followups import sweep
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    UNREACHABLE_MS,
    CallId,
    Channel,
    IncidentId,
    LocationFix,
    Order,
    Reach,
    Refusal,
    RegionId,
    Service,
    UnitId,
)
from simulators.brigades import Crew, muster
from simulators.crowd import Callers
from simulators.faults import CALM, STORM, Dice, Faults, Line
from simulators.plane import metres_between
from simulators.scripts import Operators
from simulators.verdicts import at_the_end, hazards_end_in_time, in_one_place, orders_are_answered, sent_knowingly
from simulators.watch import Console, consoles
from simulators.writer import UNHEARD, Fact, Writer

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
REGIONS = (RegionId("UZ-TK"), RegionId("UZ-TO"), RegionId("UZ-AN"))
SPEED_MPS = 14.0
TICK_S = 2.0
SWEEP_TICKS = 20
OFFER_TICKS = 3
DRAW_TICKS = 4
CHECK_TICKS = 80
TROUBLE_TICKS = 3
RECENT_KEPT = 30
CLOG_S = (20.0, 120.0)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How large a world is and how long it lasts, in seconds of its own time; the calm ends when all is quiet."""

    regions: int = 2
    units_each: int = 12
    storm_s: float = 900.0
    calm_s: float = 14_400.0
    quiet_s: float = 120.0
    calls_each: int = 9
    acts_every_s: float = 12.0

    @classmethod
    def varied(cls, chance: Random) -> Plan:
        """Worlds of different sizes: the small ones are quick, and rare meetings happen in the crowded ones."""
        return cls(
            regions=chance.choice((2, 2, 3)),
            units_each=chance.choice((5, 8, 12)),
            storm_s=chance.choice((240.0, 420.0, 720.0)),
            calls_each=chance.choice((3, 5, 8)),
            acts_every_s=chance.choice((8.0, 12.0)),
        )


class World:
    """One run. `run` returns when all is well and raises Broken when it is not."""

    def __init__(self, seed: int, plan: Plan | None = None, faults: Faults = STORM) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.plan = plan or Plan.varied(self.chance)
        self.dice = Dice(self.chance, faults.varied(self.chance))
        self.strikes = self.dice.strikes
        self.now_s = 0.0
        self.now = START
        self.recent: deque[Fact] = deque(maxlen=RECENT_KEPT)
        self.received: list[CallId] = []
        self.seen: dict[CallId, list[LocationFix]] = {}
        """What callers were told to be known of where they are."""
        self.line = Line(self.dice, self.later)
        self.writers = {r: Writer(r, self.reach, self.recent) for r in REGIONS[: self.plan.regions]}
        self.crews: dict[UnitId, Crew] = {}
        self.screens: dict[RegionId, list[Console]] = {
            r: consoles(w.state, self.chance) for r, w in self.writers.items()
        }
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0
        self._ticks = 0

    @property
    def events(self) -> int:
        """How many events all regions have written."""
        return sum(len(writer.journal) for writer in self.writers.values())

    @property
    def calm(self) -> bool:
        """Whether the faults have stopped."""
        return self.now_s >= self.plan.storm_s

    def run(self) -> None:
        """The storm, the calm, and the final account."""
        muster(self)
        callers, operators = Callers(self), Operators(self)
        callers.begin()
        operators.begin()
        self.later(TICK_S, self._tick)
        while self._agenda[0][0] <= self.plan.storm_s + self.plan.calm_s and not self._quiet():
            self.now_s, _, action = heapq.heappop(self._agenda)
            self.now = START + timedelta(seconds=self.now_s)
            if self.calm:
                self.dice.faults = CALM
            action()
        for region, writer in self.writers.items():
            self._draw(region, writer, look=True)
        at_the_end(self)

    def _quiet(self) -> bool:
        """Whether nothing has happened in the calm for a while, and nobody is on the way."""
        calm = START + timedelta(seconds=self.plan.storm_s)
        since_s = (self.now - max(calm, self.recent[-1].at)).total_seconds()
        return since_s > self.plan.quiet_s and not any(w.state.live for w in self.writers.values())

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after a while; what is due at one moment happens in the order it was asked for."""
        self._entries += 1
        heapq.heappush(self._agenda, (self.now_s + seconds, self._entries, action))

    def happens(self, probability: float) -> bool:
        """One throw of the dice."""
        return self.chance.random() < probability

    def submit(self, region: RegionId, command: c.Command) -> Refusal | None:
        """Put a command to a region's writer, and set going what its events ask for."""
        refusal, events = self.writers[region].submit(command, self.now)
        if events and self.strikes("dies_unpublished"):
            self._crash(region)
            return UNHEARD
        self._follow(region, events)
        return refusal

    def reach(self, state: RegionState, incident_id: IncidentId) -> Reach | None:
        """Straight roads at one speed; a unit that is cut off cannot come at all."""
        incident = state.incidents.get(incident_id)
        if incident is None or incident.location is None:
            return None
        units = candidates(state, incident)
        fixes = [self.crews[unit_id].fix() for unit_id in units]
        to = (incident.location.lat, incident.location.lon)
        ms = [
            UNREACHABLE_MS if fix.cut_off else int(metres_between((fix.lat, fix.lon), to) / SPEED_MPS * 1000)
            for fix in fixes
        ]
        return Reach(
            units=units,
            ms=np.array(ms, dtype=np.int32),
            edges=np.arange(len(units), dtype=np.int32),
            offsets=np.full(len(units), 0.5, dtype=np.float32),
            age_s=np.array([fix.age_s for fix in fixes], dtype=np.float32),
            map_version="plane",
        )

    def _follow(self, region: RegionId, events: list[e.Event]) -> None:
        state = self.writers[region].state
        for event in events:
            if isinstance(event, e.UnitAssigned):
                sent_knowingly(self.writers[region], event)
            match event:
                case (
                    e.UnitAssigned(order=order) | e.AssignmentCleared(order=Order() as order) | e.PlaceTold(order=order)
                ):
                    self._send(order)
                case e.OrderSent(order_id=order_id):
                    if order_id in state.orders:
                        self._send(state.orders[order_id])
                case e.CallOffered(call_id=call_id):
                    if self.strikes("crashes"):
                        self._crash(region, keep=True)
                    self._give(region, call_id)
                case e.CallReceived(call=call) | e.CallAccepted(call=call):
                    in_one_place(self, call.call_id)

    def _send(self, order: Order) -> None:
        crew = self.crews[order.unit_id]
        self.line.send(crew.region, lambda: crew.hear(order))

    def _give(self, region: RegionId, call_id: CallId) -> None:
        """One try to carry a hand-over: the call goes over the line, and the word that it arrived comes back."""
        offer = self.writers[region].state.offers.get(call_id)
        if offer is None or offer.to not in self.writers:
            return
        mark = c.MarkSent(actor=SYSTEM, call_id=call_id, offer_id=offer.offer_id)
        if self.submit(region, mark) is not None:
            return
        call = self.writers[region].state.calls[call_id]
        take = c.TakeCall(actor=SYSTEM, call=call, origin=region, offer_id=offer.offer_id)
        release = c.ReleaseCall(actor=SYSTEM, call_id=call_id, offer_id=offer.offer_id)

        def arrive() -> None:
            if self.submit(offer.to, take) is None:
                self.line.send(region, lambda: self._conclude(region, release))

        self.line.send(region, arrive)

    def _carry(self, region: RegionId) -> None:
        """One try to carry what was seen of calls that have gone on."""
        for message in list(messages(self.writers[region].state)):
            if isinstance(message, CallEvidence) and message.to in self.writers:
                self.line.send(message.to, partial(self._hear, message))

    def _hear(self, message: CallEvidence) -> None:
        self.submit(message.to, received(message, SYSTEM))
        said = answer(self.writers[message.to].state, message)
        told = concluded(message, said, SYSTEM, abroad=False)
        if told is not None:
            self.line.send(message.origin, lambda: self._conclude(message.origin, told))

    def _conclude(self, region: RegionId, command: c.Command) -> None:
        self.submit(region, command)

    def _tick(self) -> None:
        self._ticks += 1
        for region, writer in self.writers.items():
            for command in chain(due(writer.state, self.now), endings(writer.state)):
                self.submit(region, command)
            if self._ticks % SWEEP_TICKS == 0:
                self._follow(region, writer.look_at(sweep(writer.state, self._ticks // SWEEP_TICKS), self.now))
            if self._ticks % OFFER_TICKS == 0:
                for call_id in list(writer.state.offers):
                    self._give(region, call_id)
                self._carry(region)
            if self._ticks % TROUBLE_TICKS == 0:
                self._trouble(region, writer)
            orders_are_answered(writer.state, self.now)
            hazards_end_in_time(self, writer)
            if self._ticks % DRAW_TICKS == 0:
                self._draw(region, writer, look=self._ticks % CHECK_TICKS == 0)
        self.later(TICK_S, self._tick)

    def _trouble(self, region: RegionId, writer: Writer) -> None:
        """Crashes, take-overs, snapshots, clogged lines and consoles cut off, a few times in each storm."""
        share, faults = TICK_S * TROUBLE_TICKS / 60.0, self.dice.faults
        if self.strikes("crashes", share):
            self._crash(region)
        if self.strikes("fails_over", share):
            self._fail_over(region, writer)
        if self.strikes("clogs", share):
            self.line.clog(region, self.chance.uniform(*CLOG_S))
        if self.happens(0.3 * share):
            writer.keep()
        for console in self.screens[region]:
            if not console.linked or console.half_open:
                if self.happens(0.05 if faults.link_lost or faults.half_open else 1.0):
                    console.linked, console.half_open = True, False
                    console.resume()
            elif self.strikes("link_lost", share):
                console.linked = False
            elif self.strikes("half_open", share):
                console.half_open = True

    def _fail_over(self, region: RegionId, writer: Writer) -> None:
        """The old leader does not know that it is over, and takes another call: its caller gets no answer."""
        late = c.ReceiveCall(
            actor=SYSTEM, call_id=CallId(f"late{len(writer.journal)}"), channel=Channel.APP, service=Service.POLICE
        )
        writer.fail_over(late, self.now)
        self._reload(region, writer)

    def _crash(self, region: RegionId, *, keep: bool = False) -> None:
        """The writer of a region dies, with `keep` just after a snapshot, and another takes over."""
        writer = self.writers[region]
        if keep:
            writer.keep()
        writer.crash()
        self._reload(region, writer)

    def _reload(self, region: RegionId, writer: Writer) -> None:
        for console in self.screens[region]:
            console.reload(writer.state)

    def _draw(self, region: RegionId, writer: Writer, *, look: bool) -> None:
        touched, writer.undrawn = writer.undrawn, type(writer.undrawn)()
        for place, console in enumerate(self.screens[region]):
            console.draw(writer.state, touched)
            if look and (self.calm or place == self._ticks // CHECK_TICKS % len(self.screens[region])):
                console.check(writer.state)
