"""What is known about a simulated service from outside: every commit, every answer, every order that was sent.

The ledger follows the journal event by event, whoever writes it, and holds the service to its laws at each
step: no gap, one chain, one leader's epoch, the core's invariants; nothing answered that is not kept; the same
answer to the same key; no order before its commit, none by who leads no more, and none again that the unit has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from dispatch.core.events import AssignmentCleared, CallReceived, Event, PlaceTold, UnitAssigned, decode
from dispatch.core.evolve import evolve
from dispatch.core.invariants import broken, broken_near
from dispatch.core.state import RegionState
from dispatch.core.terms import ActorId, Assignment, AssignmentId, CallId, LocationFix, Order, OrderId, RegionId
from dispatch.units.orders import UNDELIVERED
from dispatch.writing.journal import GENESIS, chain
from dispatch.writing.records import Batch, Recorded
from simulators.station import Station
from simulators.verdicts import hanging, no_evidence_is_lost
from simulators.writer import Broken, Fact, Reaching

ALL_EVERY = 40
"""Batches between two looks at everything."""

Judged = Callable[[Broken], None]


class Receipt(msgspec.Struct):
    """The part of an answer that names the call."""

    call_id: str
    seq: int = 0
    flags: tuple[str, ...] = ()


class Made(NamedTuple):
    """An order as it was committed: by which region, and when."""

    region: RegionId
    at: datetime


_receipt = msgspec.json.Decoder(Receipt)


class Ledger:
    """The truth about a world. `report` gets what is broken: a commit has nobody to raise it to."""

    def __init__(
        self, regions: Iterable[RegionId], recent: deque[Fact], report: Judged, now: Callable[[], datetime]
    ) -> None:
        self.truth = {region: RegionState(region) for region in regions}
        self.epoch_of: Callable[[str], int] = lambda region: 0
        self.answer_to: Callable[[str, str], bytes | None] = lambda actor, key: None
        self.events = 0
        self.batches = 0
        self.acknowledged: dict[str, dict[CallId, None]] = {}
        self.answers: dict[str, bytes] = {}
        self.seen: dict[CallId, list[LocationFix]] = {}
        """Where calls are, as far as somebody was told that it is known."""
        self.assignments: dict[AssignmentId, Assignment] = {}
        self.orders: dict[OrderId, Order] = {}
        """Every one that ever was, as it was last."""
        self.published: dict[OrderId, set[Station]] = {}
        self._called: dict[ActorId | None, CallId] = {}
        self._hashes = dict.fromkeys(self.truth, GENESIS)
        self.epochs = dict.fromkeys(self.truth, 0)
        self._recent = recent
        self._report = report
        self._now = now
        self._made: dict[OrderId, Made] = {}
        self._had_in: dict[OrderId, int] = {}
        """In which epoch an order came to its unit, or to its end."""

    # The journal

    def kept(self, batch: Batch) -> None:
        """A batch, or its part, is committed."""
        try:
            self._kept(batch)
        except Broken as law:
            self._report(law)
        except Exception as fault:
            self._report(Broken(f"what was committed cannot be followed: {fault!r}", fault))

    def _kept(self, batch: Batch) -> None:
        self.batches += 1
        for record in batch.events:
            self._follow(record)
        for region in dict.fromkeys(RegionId(record.region) for record in batch.events):
            state = self.truth[region]
            touched = state.taken()
            self.assignments.update(touched.assignments)
            self.orders.update(touched.orders)
            for order_id in touched.orders:
                if _is_over(state.orders.get(order_id)):
                    self._had_in.setdefault(order_id, self.epochs[region])
            faults = broken_near(state, touched)
            if not faults and self.batches % ALL_EVERY == 0:
                faults = broken(state)
            if faults:
                raise Broken(f"{region}: {faults[0]}")

    def _follow(self, record: Recorded) -> None:
        region = RegionId(record.region)
        state = self.truth[region]
        self._recent.append(Fact(region, record.seq, record.at, record.payload))
        if record.seq != state.seq + 1:
            raise Broken(f"{region}: event {record.seq} comes after {state.seq}")
        if record.epoch != self.epoch_of(region) or record.epoch < self.epochs[region]:
            raise Broken(
                f"{region}: an event of epoch {record.epoch} is kept while epoch {self.epoch_of(region)} leads"
            )
        fields = {"kind": record.kind, "payload": record.payload, "actor": record.actor, "epoch": record.epoch}
        self._hashes[region] = chain(self._hashes[region], region, record.seq, record.at, **fields)  # type: ignore[arg-type]
        if self._hashes[region] != record.hash:
            raise Broken(f"{region}: event {record.seq} does not continue the chain")
        self.epochs[region] = record.epoch
        event = decode(record.payload)
        self._note(region, event)
        evolve(state, event, record.at)
        self.events += 1

    def _note(self, region: RegionId, event: Event) -> None:
        match event:
            case CallReceived(call=call):
                # Here everybody has one phone and calls once, however often the phone asks.
                if call.device in self._called:
                    raise Broken(
                        f"the call of {call.device} is kept twice: {self._called[call.device]}, {call.call_id}"
                    )
                self._called[call.device] = call.call_id
            case UnitAssigned(order=order) | AssignmentCleared(order=Order() as order) | PlaceTold(order=order):
                self._made[order.order_id] = Made(region, self._now())

    # Answers

    def answered(self, key: str, body: bytes) -> None:
        """A caller has heard that its call is kept. `key` names the sender and its idempotency key.

        A process that cannot reach the database answers from its spool, and cannot know what another one
        answered to the same key: then the two answers may differ, but only one call may come of it.
        """
        receipt = _receipt.decode(body)
        call_id = CallId(receipt.call_id)
        self.acknowledged.setdefault(key, {})[call_id] = None
        if "spooled" in receipt.flags:
            return
        first = self.answers.setdefault(key, body)
        if first != body:
            raise Broken(f"{key} was answered {first.decode()}, and then {body.decode()}")
        if not self.has(call_id):
            raise Broken(f"{call_id} was acknowledged and is in no journal")

    def unkept(self) -> list[str]:
        """The keys to which a call was acknowledged that is in no journal, under whatever id."""
        return [key for key, calls in self.acknowledged.items() if not any(map(self.has, self._named(key, calls)))]

    def _named(self, key: str, calls: Iterable[CallId]) -> set[CallId]:
        """The ids that a key's call may have: those that were heard, and the one that is kept with the key."""
        actor, _, name = key.partition("/")
        kept = self.answer_to(actor, name)
        return {*calls} | ({CallId(_receipt.decode(kept).call_id)} if kept is not None else set())

    def has(self, call_id: CallId) -> bool:
        """Whether the call is in a region's journal, open or closed."""
        return any(state.call(call_id) is not None for state in self.truth.values())

    # Orders

    def sent(self, station: Station, order_id: OrderId, at: datetime) -> None:
        """A process gives the broker an order for a unit: it leads the region at this moment, and by all that it can
        know the unit has it not yet.

        The outbox asks for its lease in the turn in which it sends, so nothing lies between the two here. What a leader
        cannot know is what became of the order in commits of its own whose answers are still on their way; whatever
        was committed before its epoch it has read.
        """
        made = self._made.get(order_id)
        if made is None:
            raise Broken(f"{order_id} was sent before it was committed")
        region, led = made.region, station.engine.led.get(made.region)
        if led is None or led.epoch != self.epoch_of(region):
            epoch = led.epoch if led is not None else "none"
            true = self.epoch_of(region)
            raise Broken(f"{order_id} was sent by {station.name} in epoch {epoch} of {region}, where {true} leads")
        known = station.engine.replicas.states[region].orders.get(order_id)
        if known is None or _is_over(known) or self._had_in.get(order_id, led.epoch) < led.epoch:
            stage = known.stage if known is not None else "over"
            raise Broken(f"{order_id} was sent again by {station.name}, and its unit had it: it is {stage}")
        if at > known.expires_at:
            raise Broken(f"{order_id} was sent after it had expired")
        self.published.setdefault(order_id, set()).add(station)

    def unsent(self, station: Station, region: RegionId, before: datetime) -> OrderId | None:
        """An order committed before this moment that no unit has, and that this process has not sent."""
        return next(
            (
                order.order_id
                for order in self.truth[region].orders.values()
                if order.stage in UNDELIVERED
                and self._made[order.order_id].at < before
                and station not in self.published.get(order.order_id, ())
            ),
            None,
        )

    # The end

    def at_the_end(self) -> None:
        """Everything that was promised to anybody is in the journal, and nothing is left undone."""
        if lost := self.unkept():
            raise Broken(f"acknowledged and lost: {lost}")
        for key, calls in self.acknowledged.items():
            if len(found := [call_id for call_id in self._named(key, calls) if self.has(call_id)]) > 1:
                raise Broken(f"{key} made {len(found)} calls of one: {found}")
        for region, state in self.truth.items():
            faults = broken(state)
            if faults:
                raise Broken(f"{region}: {faults[0]}")
        _no_call_twice(self.truth)
        no_evidence_is_lost(self.seen, self.truth.values())

    def undone(self, reach: Reaching) -> str | None:
        """What still has to come to an end once nothing goes wrong any more."""
        for region, state in self.truth.items():
            if (left := hanging(state, reach)) is not None:
                return f"{region}: {left}"
        return next((f"the call of {key} was acknowledged and is not committed" for key in self.unkept()), None)


def _is_over(order: Order | None) -> bool:
    """Whether an order need not be sent any more: its unit has it, or nobody wants it done."""
    return order is None or order.stage not in UNDELIVERED


def _no_call_twice(truth: dict[RegionId, RegionState]) -> None:
    places: dict[CallId, list[str]] = {}
    for region, state in truth.items():
        for call_id in (*state.calls, *state.closed_calls):
            places.setdefault(call_id, []).append(region)
    doubled = {call_id: found for call_id, found in places.items() if len(found) > 1}
    if doubled:
        raise Broken(f"calls are in two places: {doubled}")
