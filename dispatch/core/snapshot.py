"""A region's state as bytes and back: the values alone, for every index can be rebuilt from them."""

from __future__ import annotations

import msgspec

from dispatch.core.aid_terms import AidReport, Ask, Loan
from dispatch.core.closure_terms import Closure
from dispatch.core.state import RegionState
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
    asks: tuple[Ask, ...] = ()
    loans: tuple[Loan, ...] = ()
    past_loans: tuple[AidReport, ...] = ()
    closures: tuple[Closure, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    closed_calls: tuple[Call, ...] = ()
    closed_incidents: tuple[Incident, ...] = ()


_decoder = msgspec.msgpack.Decoder(Snapshot)


def take(state: RegionState) -> bytes:
    """The state as MessagePack. Equal states give equal bytes when their entries came in equal order."""
    return msgspec.msgpack.encode(
        Snapshot(
            region=state.region,
            seq=state.seq,
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
            asks=tuple(state.asks.values()),
            loans=tuple(state.loans.values()),
            past_loans=tuple(state.past_loans.values()),
            closures=tuple(state.closures.values()),
            hazards=tuple(state.hazards.values()),
            closed_calls=tuple(state.closed_calls.values()),
            closed_incidents=tuple(state.closed_incidents.values()),
        )
    )


def restore(data: bytes) -> RegionState:
    """The state of a snapshot. Raises msgspec.ValidationError when the bytes are none."""
    kept: Snapshot = _decoder.decode(data)
    state = RegionState(kept.region)
    state.seq, state.number = kept.seq, kept.number
    state.policy, state.phase = kept.policy, kept.phase
    for call in kept.calls:
        state.put_call(call)
    for incident in kept.incidents:
        state.put_incident(incident)
    for unit in kept.units:
        state.put_unit(unit)
    for order in kept.orders:
        state.put_order(order)
    for hazard in kept.hazards:
        state.put_hazard(hazard)
    state.offers.update({CallId(call_id): offer for call_id, offer in kept.offers.items()})
    state.taken_offers.update(dict.fromkeys(kept.taken_offers))
    state.forgone.update(dict.fromkeys(kept.forgone))
    state.asks.update({ask.request_id: ask for ask in kept.asks})
    state.loans.update({loan.request_id: loan for loan in kept.loans})
    state.past_loans.update({report.request_id: report for report in kept.past_loans})
    state.closures.update({closure.closure_id: closure for closure in kept.closures})
    state.closed_calls.update({call.call_id: call for call in kept.closed_calls})
    state.closed_incidents.update({incident.incident_id: incident for incident in kept.closed_incidents})
    state.taken()
    return state
