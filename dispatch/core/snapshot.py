"""A region's state as bytes and back: the values alone, for every index can be rebuilt from them.

Both ways go in steps of some milliseconds: with a hundred thousand incidents either takes a second or more, and
whoever does it has other regions to lead, calls to answer and leases to keep.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import msgspec

from dispatch.core.aid_terms import AidReport, Ask, Loan
from dispatch.core.closure_terms import Closure
from dispatch.core.in_turns import each, outcome
from dispatch.core.onward_terms import Gone, Onward
from dispatch.core.state import Ending, RegionState
from dispatch.core.terms import (
    Call,
    CallId,
    Hazard,
    Incident,
    Offer,
    Order,
    Phase,
    Policy,
    RegionId,
    Unit,
    Value,
)


class Snapshot(Value, frozen=True, kw_only=True):
    """Everything of a region that its journal up to `seq` leads to. The order of entries is part of it."""

    version: int = 1
    region: RegionId
    seq: int
    stamp: int = 0
    number: int
    policy: Policy
    phase: Phase
    calls: tuple[Call, ...] = ()
    incidents: tuple[Incident, ...] = ()
    units: tuple[Unit, ...] = ()
    orders: tuple[Order, ...] = ()
    offers: dict[str, Offer] = msgspec.field(default_factory=dict)
    taken_offers: tuple[str, ...] = ()
    forgone: tuple[str, ...] = ()
    gone: dict[str, Gone] = msgspec.field(default_factory=dict)
    onward: tuple[Onward, ...] = ()
    evidence_heard: tuple[str, ...] = ()
    asks: tuple[Ask, ...] = ()
    loans: tuple[Loan, ...] = ()
    past_loans: tuple[AidReport, ...] = ()
    closures: tuple[Closure, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    ending: tuple[Ending, ...] = ()
    closed_calls: tuple[Call, ...] = ()
    closed_incidents: tuple[Incident, ...] = ()


AT_ONCE = 500
"""Entries a step: two or three milliseconds."""


class _Unread(Snapshot, frozen=True, kw_only=True):
    """A snapshot whose long lists are not decoded yet."""

    calls: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment]
    incidents: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment]
    closed_calls: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment]
    closed_incidents: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment]


_encode = msgspec.msgpack.Encoder().encode
_unread = msgspec.msgpack.Decoder(_Unread)
_call = msgspec.msgpack.Decoder(Call)
_incident = msgspec.msgpack.Decoder(Incident)


def take(state: RegionState) -> bytes:
    """The state as MessagePack. Equal states give equal bytes when their entries came in equal order."""
    return b"".join(pieces(state))


def pieces(state: RegionState) -> Iterator[bytes]:
    """The same in pieces, of the state as it is now: what happens to it while they are made is not in them."""
    return _encoded(
        Snapshot(
            region=state.region,
            seq=state.seq,
            stamp=state.stamp,
            number=state.number,
            policy=state.policy,
            phase=state.phase,
            calls=tuple(state.calls.values()),
            incidents=tuple(state.incidents.values()),
            units=tuple(state.units.values()),
            orders=tuple(state.orders.values()),
            offers={str(call_id): offer for call_id, offer in state.offers.items()},
            taken_offers=tuple(state.taken_offers),
            forgone=tuple(state.forgone),
            gone={str(call_id): gone for call_id, gone in state.gone.items()},
            onward=tuple(state.onward.values()),
            evidence_heard=tuple(state.evidence_heard),
            asks=tuple(state.asks.values()),
            loans=tuple(state.loans.values()),
            past_loans=tuple(state.past_loans.values()),
            closures=tuple(state.closures.values()),
            hazards=tuple(state.hazards.values()),
            ending=tuple(state.ending.values()),
            closed_calls=tuple(state.closed_calls.values()),
            closed_incidents=tuple(state.closed_incidents.values()),
        )
    )


def restore(data: bytes) -> RegionState:
    """The state of a snapshot. Raises msgspec.ValidationError when the bytes are none."""
    return outcome(restoring(data))


def restoring(data: bytes) -> Generator[None, None, RegionState]:
    """The same in steps; the state is the generator's value. Raises msgspec.ValidationError."""
    kept: _Unread = _unread.decode(data)
    state = RegionState(kept.region)
    # An older one has no stamp: then the number of an event was what stood for it.
    state.seq, state.stamp, state.number = kept.seq, kept.stamp or kept.seq, kept.number
    state.policy, state.phase = kept.policy, kept.phase
    yield from each(kept.calls, lambda raw: state.put_call(_call.decode(raw)), AT_ONCE)
    yield from each(kept.incidents, lambda raw: state.put_incident(_incident.decode(raw)), AT_ONCE)
    yield from each(kept.units, state.put_unit, AT_ONCE)
    yield from each(kept.orders, state.put_order, AT_ONCE)
    for hazard in kept.hazards:
        state.put_hazard(hazard)
    state.ending.update({ending.incident_id: ending for ending in kept.ending})
    state.offers.update({CallId(call_id): offer for call_id, offer in kept.offers.items()})
    state.taken_offers.update(dict.fromkeys(kept.taken_offers))
    state.forgone.update(dict.fromkeys(kept.forgone))
    state.gone.update({CallId(call_id): gone for call_id, gone in kept.gone.items()})
    state.onward.update({piece.evidence_id: piece for piece in kept.onward})
    state.evidence_heard.update(dict.fromkeys(kept.evidence_heard))
    state.asks.update({ask.request_id: ask for ask in kept.asks})
    state.loans.update({loan.request_id: loan for loan in kept.loans})
    state.past_loans.update({report.request_id: report for report in kept.past_loans})
    state.closures.update({closure.closure_id: closure for closure in kept.closures})
    state.closed_calls.update({call.call_id: call for call in map(_call.decode, kept.closed_calls)})
    state.closed_incidents.update({i.incident_id: i for i in map(_incident.decode, kept.closed_incidents)})
    state.taken()
    return state


def _encoded(kept: Snapshot) -> Iterator[bytes]:
    """MessagePack's map of the fields, long lists in stretches."""
    yield b"\xde" + len(kept.__struct_fields__).to_bytes(2, "big")
    for name in kept.__struct_fields__:
        value: Any = getattr(kept, name)
        yield _encode(name)
        if not isinstance(value, tuple):
            yield _encode(value)
            continue
        yield b"\xdd" + len(value).to_bytes(4, "big")
        for start in range(0, len(value), AT_ONCE):
            yield b"".join(map(_encode, value[start : start + AT_ONCE]))
