"""One writer a region: command in, decide, change the state at once, commit in a group, then answer and publish.

The way of a command: `submit` decides synchronously, so nothing changes between looking and choosing; what it
led to waits in `_pending`; the committer takes all that waits and commits it as one batch; only then is the
asker answered and are `on_commit` listeners told. The commit under way is the only timer: a lone command
waits for nothing, a crowd shares one fsync.

When a batch fails, its regions' states are ahead of the journal, so they are thrown away and read again;
until then the region answers ServiceAway. What the engine does not do: transport, log-in, formats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import msgspec

from dispatch.clock import Clock, elapsing_s
from dispatch.core import commands as c
from dispatch.core.assigning import candidates
from dispatch.core.decide import decide
from dispatch.core.events import Event, encode
from dispatch.core.evolve import evolve
from dispatch.core.fact import kind_of
from dispatch.core.followups import wishes
from dispatch.core.needs import live
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, ActorId, IncidentId, Location, Reach, Refusal, RegionId
from dispatch.core.verdict import Decision
from dispatch.errors import Elsewhere, ServiceAway
from dispatch.store import Store
from dispatch.web.problems import refused
from dispatch.writing.committer import Committer, Entry
from dispatch.writing.directory import Directory
from dispatch.writing.journal import chain
from dispatch.writing.keys import Key
from dispatch.writing.led import Led, inputs_of
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.recollection import Recollection
from dispatch.writing.records import REPEATED, Answer, Personal, Recorded
from dispatch.writing.replica import Replicas
from dispatch.writing.stages import Stages
from dispatch.writing.upkeep import Sayings

log = logging.getLogger(__name__)

MOST_FOLLOWUPS = 96
"""How many incidents one command may make the engine look at; the sweep finds the others."""

REUSED = "idempotency_reuse"
"""The refusal of a key that has an answer of another address."""

MOST_PENDING = 20_000
"""How many commands may wait for a commit before new ones wait outside."""

Answering = Callable[[RegionState, tuple[Event, ...]], tuple[int, bytes]]
Listener = Callable[[RegionId, Sequence[Recorded], Sequence[Event]], None]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to, after the commit. `body` is JSON, a problem document for a refusal."""

    status: int
    body: bytes
    region: RegionId
    seq: int = 0
    refusal: Refusal | None = None
    replayed: bool = False
    mismatch: bool = False


class Engine(Directory):
    """The writer of its regions."""

    def __init__(
        self, store: Store, clock: Clock, reacher: Reacher, positions: Positions, stages: Stages | None = None
    ) -> None:
        super().__init__()
        self.store = store
        self.clock = clock
        self.reacher = reacher
        self.positions = positions
        self.stages = stages or Stages()
        self.led: dict[RegionId, Led] = {}
        self.now_s: Callable[[], float] = elapsing_s
        self.replicas = Replicas()
        self.on_commit: list[Listener] = []
        self.on_down: list[Callable[[RegionId, str], None]] = []
        self.keeps_inputs: Callable[[], bool] = lambda: True
        self.inputs_dropped = 0
        self._sayings = Sayings()
        self._recollection = Recollection(store)
        self.remember = self._recollection.keep
        self._committer = Committer(store, self._committed, self._failed, self.stages)

    def adopt(self, led: Led, replica: RegionState) -> None:
        """Begin to write a region, from its loaded state and an equal one for the replicas."""
        assert led.state.seq == replica.seq
        region = led.state.region
        self.led[region] = led
        self.states[region] = led.state
        self.replicas.adopt(replica, led.hash)
        self._recollection.adopt(region)

    def drop(self, region: RegionId) -> None:
        """Stop writing a region."""
        self.led.pop(region, None)
        self.states.pop(region, None)
        self._recollection.drop(region)

    async def run(self) -> None:
        """Commit what waits, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._committer.run())
            group.create_task(self._recollection.run())

    async def drained(self) -> None:
        """Return when everything decided so far is committed or has failed."""
        await self._committer.idle()

    async def submit(
        self,
        region: RegionId,
        command: c.Command,
        *,
        answer: Answering | None = None,
        key: Key | None = None,
        personal: tuple[Personal, ...] = (),
    ) -> Reply:
        """Decide now, return after the commit. A refusal is a Reply with `refusal`, once what it rests on is kept.

        A repeated key gives the first answer again. Raises ServiceAway when the region has no writer here
        or its commit failed: nothing of the command was kept then.
        """
        if key is None:
            return await self._accept(region, command, answer, None, personal)
        # An asker who goes away must not let the key go: its repetition would be decided beside the commit.
        return await asyncio.shield(self._once(region, command, answer, key, personal))

    async def answered(self, key: Key) -> Reply | None:
        """What a request with this key is told without being done: None when nothing was answered under it.

        Raises ServiceAway when the store cannot be asked.
        """
        async with self._recollection.of(key.actor, key.key) as first:
            return None if first is None else _replayed(first, key)

    async def _once(
        self,
        region: RegionId,
        command: c.Command,
        answer: Answering | None,
        key: Key,
        personal: tuple[Personal, ...],
    ) -> Reply:
        """The first answer to the key, made now if there is none."""
        async with self._recollection.of(key.actor, key.key, region) as first:
            if first is not None:
                return _replayed(first, key)
            return await self._accept(region, command, answer, key, personal)

    async def _accept(
        self,
        region: RegionId,
        command: c.Command,
        answer: Answering | None,
        key: Key | None,
        personal: tuple[Personal, ...],
    ) -> Reply:
        if self._committer.waiting >= MOST_PENDING:
            await self._committer.room(MOST_PENDING)
        if self._committer.in_doubt:
            raise ServiceAway("nobody can say what the last commit kept")
        led = self.writable(region)
        if led is None:
            raise Elsewhere(region)
        entry = self._decide(led, command)
        if isinstance(entry, Refusal):
            # Nobody is refused for what never came to be: what it was decided on may yet fail to be kept.
            await self._kept_so_far(led)
            status, body = refused(entry)
            return Reply(status=status, body=body, region=region, refusal=entry)
        with self._whole(region):
            status, body = answer(led.state, tuple(entry.events)) if answer else (200, b"{}")
        reply = Reply(status=status, body=body, region=region, seq=led.state.seq)
        if entry.recorded:
            entry.personal = personal
            entry.answer = key.answered(status, body, entry.recorded[0]) if key else None
        ours = entry.answer
        await self._committer.add(entry)
        if key is not None and entry.answer is not None:
            self._recollection.keep(entry.answer)
            if entry.answer is not ours:
                return _replayed(entry.answer, key)
        return reply

    def writable(self, region: RegionId) -> Led | None:
        """The region's writer; None while none is here or nobody can say what the last commit kept."""
        led = self.led.get(region)
        writes = led is not None and not led.closing and not self._committer.in_doubt and self.leads(region)
        return led if writes else None

    def leads(self, region: RegionId) -> bool:
        """Whether the region's lease is ours at this very moment: whoever sends orders asks before each."""
        led = self.led.get(region)
        return led is not None and self.now_s() < led.until_s

    async def closed(self, region: RegionId) -> None:
        """Decide nothing more for a region; return when all that was decided is committed.

        Raises ServiceAway when it is not. Whoever is kept from waiting for it has not closed the region: it goes on.
        """
        led = self.led.get(region)
        if led is None:
            return
        led.closing = True
        try:
            await self._kept_so_far(led)
        except BaseException:
            led.closing = False
            raise

    async def _kept_so_far(self, led: Led) -> None:
        """Return when all that was decided for a region is committed. Raises ServiceAway when it is not."""
        await self._committer.add(Entry(region=led.state.region, state=led.state, at=self.clock.now()))

    def _decide(self, led: Led, command: c.Command) -> Entry | Refusal:
        """Everything between looking and having chosen, without a pause. Our own bug stops this region only."""
        entry = Entry(region=led.state.region, state=led.state, at=self.clock.now())
        began = perf_counter()
        with self._whole(led.state.region):
            verdict = decide(led.state, command, entry.at)
            if isinstance(verdict, Refusal):
                return verdict
            self._record(led, entry, verdict, command.actor)
            self.stages.add("decide", perf_counter() - began)
            self._follow(led, entry)
        return entry

    @contextmanager
    def _whole(self, region: RegionId) -> Iterator[None]:
        """What is decided here is put in line for its commit, or the region is read again: a fault between the two
        would leave a state that no journal has, and a gap before the next command.
        """
        try:
            yield
        except Exception:
            log.exception("fault while deciding", extra={"region": region, "action": "decide"})
            self.fail(region, "a fault in our own code")
            raise

    def _record(self, led: Led, entry: Entry, decision: Decision, actor: ActorId) -> None:
        """Evolve at once, and write down what happened with its place in the chain."""
        state, at = led.state, entry.at
        for event in decision.events:
            payload, kind = encode(event), kind_of(event)
            evolve(state, event, at)
            led.hash = chain(
                led.hash,
                state.region,
                state.seq,
                at,
                kind=kind,
                payload=payload,
                actor=actor,
                epoch=led.epoch,
            )
            entry.events.append(event)
            entry.recorded.append(
                Recorded(
                    region=state.region,
                    seq=state.seq,
                    at=at,
                    kind=kind,
                    payload=payload,
                    actor=actor,
                    epoch=led.epoch,
                    hash=led.hash,
                )
            )
        if self.keeps_inputs():
            entry.decisions += [inputs_of(state, inquest, entry.recorded[-1]) for inquest in decision.inquests]
        else:
            self.inputs_dropped += len(decision.inquests)

    def _follow(self, led: Led, entry: Entry) -> None:
        """Look at the incidents that the facts make worth looking at, and send units where the policy says so."""
        for incident_id in wishes(led.state, entry.events)[:MOST_FOLLOWUPS]:
            self._dispatch(led, entry, incident_id)

    def _dispatch(self, led: Led, entry: Entry, incident_id: IncidentId) -> None:
        began = perf_counter()
        try:
            reach = self.reach(led.state, incident_id)
        except Exception as fault:
            # A call is not lost, nor its region stopped, for a travel time: the incident waits, for a person to see.
            if self._sayings.worth(fault):
                log.exception("no travel times", extra={"incident": incident_id, "action": "travel"})
            return
        reached = perf_counter()
        self.stages.add("travel", reached - began)
        if reach is None:
            return
        asked = c.Dispatch(actor=SYSTEM, incident_id=incident_id, reach=reach)
        verdict = decide(led.state, asked, entry.at)
        if isinstance(verdict, Decision):
            self._record(led, entry, verdict, SYSTEM)
        self.stages.add("recommend", perf_counter() - reached)

    def reach(self, state: RegionState, incident_id: IncidentId) -> Reach | None:
        """Travel times of the free candidates to an incident; None when it has no place yet."""
        incident = state.incidents.get(incident_id)
        if incident is None or incident.location is None:
            return None
        return self.reacher.to(candidates(state, incident), incident.location, self.clock.wall())

    def reach_of_crews(self, region: RegionId, incident_id: IncidentId, to: Location) -> Reach | None:
        """Travel times of the units on an incident to a place where it may be; None when nobody is on it."""
        incident = self.led[region].state.incidents.get(incident_id) if region in self.led else None
        units = tuple(assignment.unit_id for assignment in live(incident)) if incident is not None else ()
        return self.reacher.to(units, to, self.clock.wall()) if units else None

    def look_at(self, region: RegionId, incidents: Sequence[IncidentId]) -> None:
        """Look at waiting incidents again, without anybody waiting for the answer: the sweep."""
        led = self.writable(region)
        if led is None or not incidents:
            return
        entry = Entry(region=region, state=led.state, at=self.clock.now())
        with self._whole(region):
            for incident_id in incidents[:MOST_FOLLOWUPS]:
                self._dispatch(led, entry, incident_id)
        if entry.recorded:
            self._committer.post(entry)

    def post(self, region: RegionId, command: c.Command) -> None:
        """Submit a command of the service's own, without waiting for its commit."""
        led = self.writable(region)
        if led is None:
            return
        entry = self._decide(led, command)
        if isinstance(entry, Entry) and entry.recorded:
            self._committer.post(entry)

    def fail(self, region: RegionId, why: str, *, moved: bool = False) -> None:
        """The region's state here can no longer be trusted: stop writing it until it is loaded again.

        `moved`: because another process leads it now, or will.
        """
        self._committer.abandon(region, why, moved=moved)

    def _committed(self, entry: Entry) -> None:
        """After the commit: the replica follows, then everybody who wants to know."""
        if not entry.recorded:
            return
        if self.replicas.states[entry.region].seq >= entry.recorded[-1].seq:
            # Read again from the journal while this commit was in doubt: who follows has begun anew since.
            return
        try:
            self.replicas.apply(entry.region, entry.recorded, entry.events)
        except Exception:
            log.exception("the replica cannot follow", extra={"region": entry.region, "action": "apply"})
            self.fail(entry.region, "its replica cannot follow")
            return
        for listener in self.on_commit:
            try:
                listener(entry.region, entry.recorded, entry.events)
            except Exception:
                log.exception("a listener failed", extra={"action": str(listener)})

    def _failed(self, region: RegionId, why: str) -> None:
        log.error("region stopped: %s", why, extra={"region": region, "action": "stop_region"})
        self.drop(region)
        if why == REPEATED:
            self._recollection.mistrust(region)
        for listener in self.on_down:
            listener(region, why)


def _replayed(first: Answer, key: Key) -> Reply:
    """The first answer again; at another address the key is refused, for that command was never done."""
    if not key.is_of(first):
        refusal = Refusal(code=REUSED, message="This key was used at another address: give each request its own.")
        status, body = refused(refusal)
        return Reply(status=status, body=body, region=RegionId(first.region), refusal=refusal)
    return Reply(
        status=first.status,
        body=first.body,
        region=RegionId(first.region),
        replayed=True,
        mismatch=not key.has_body_of(first),
    )
