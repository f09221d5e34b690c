"""What happened: frozen, versioned facts, the only thing that changes a region's state.

An event holds everything that `evolve` needs and nothing personal: words, names and numbers are kept apart
and an event carries only a salted commitment to them. The tag of a struct is its `kind` in the journal; a
new meaning gets a new tag, and the old one stays readable.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from dispatch.core.aid_events import AidEvent
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.fact import Event as Event
from dispatch.core.hazard_events import HazardEvent
from dispatch.core.onward_events import OnwardEvent
from dispatch.core.terms import (
    ActorId,
    Assignment,
    AssignmentId,
    Body,
    Call,
    CallId,
    CallStatus,
    Disposition,
    Incident,
    IncidentId,
    Leg,
    Location,
    LocationFix,
    Offer,
    Order,
    OrderId,
    Phase,
    Policy,
    Priority,
    RegionId,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
)


class CallReceived(Event, frozen=True, kw_only=True, tag="call_received"):
    call: Call


class CallLocated(Event, frozen=True, kw_only=True, tag="call_located"):
    """New evidence; `location` is the estimate after it, or None when it places the call nowhere."""

    call_id: CallId
    fix: LocationFix
    location: Location | None = None


class CallMoved(Event, frozen=True, kw_only=True, tag="call_moved"):
    """Claimed, answered, held, transferred, abandoned, calling back."""

    call_id: CallId
    status: CallStatus
    taker: ActorId | None = None


class CallClassified(Event, frozen=True, kw_only=True, tag="call_classified"):
    call_id: CallId
    incident_type: str
    priority: Priority


class CallLinked(Event, frozen=True, kw_only=True, tag="call_linked"):
    call_id: CallId
    incident_id: IncidentId
    automatic: bool = False


class CallSplit(Event, frozen=True, kw_only=True, tag="call_split"):
    """The call turned out to be about something else than the incident it had joined."""

    call_id: CallId
    incident_id: IncidentId


class CallClosed(Event, frozen=True, kw_only=True, tag="call_closed"):
    call_id: CallId
    disposition: Disposition


class CallOffered(Event, frozen=True, kw_only=True, tag="call_offered"):
    """Hand-over, first step, in the giving region: the call stays ours until the other side has it.

    `notes` of the incident that it leaves go with it.
    """

    call_id: CallId
    offer: Offer
    notes: tuple[str, ...] = ()


class CallAccepted(Event, frozen=True, kw_only=True, tag="call_accepted"):
    """Hand-over, second step, in the taking region: from now on the call is ours as well.

    `sealed`: note -> commitment, for the notes that came along from another cell.
    """

    call: Call
    origin: RegionId
    offer_id: str
    sealed: dict[str, str] = msgspec.field(default_factory=dict)


class OfferSent(Event, frozen=True, kw_only=True, tag="offer_sent"):
    """From now on the other side may know of the offer: written before the first word of it leaves."""

    call_id: CallId
    offer_id: str


class OfferRecalled(Event, frozen=True, kw_only=True, tag="offer_recalled"):
    """We want the call back; the other side, which may have it, is asked."""

    call_id: CallId
    offer_id: str


class OfferForgone(Event, frozen=True, kw_only=True, tag="offer_forgone"):
    """In the taking region: this offer will never be accepted here, however late it comes."""

    offer_id: str


class CallRegained(Event, frozen=True, kw_only=True, tag="call_regained"):
    """The offer is void: the call is ours alone again, and waits."""

    call_id: CallId
    offer_id: str


class CallDeparted(Event, frozen=True, kw_only=True, tag="call_departed"):
    """Hand-over to another cell, last step: theirs alone; our own books close it as referred."""

    call_id: CallId
    to: RegionId


class CallReleased(Event, frozen=True, kw_only=True, tag="call_released"):
    """Hand-over within a cell, last step, in the giving region: the call is theirs alone."""

    call_id: CallId
    to: RegionId


class IncidentOpened(Event, frozen=True, kw_only=True, tag="incident_opened"):
    incident: Incident


class IncidentLocated(Event, frozen=True, kw_only=True, tag="incident_located"):
    """It is elsewhere than was thought. `etas_s`: how far the units on it have to go now, where that is known, and
    `etas_p90_s` what nine of ten do not exceed."""

    incident_id: IncidentId
    location: Location
    etas_s: dict[AssignmentId, float] = msgspec.field(default_factory=dict)
    etas_p90_s: dict[AssignmentId, float] = msgspec.field(default_factory=dict)


class IncidentReferred(Event, frozen=True, kw_only=True, tag="incident_referred"):
    """A call of it turned out to be another region's, and is offered there; units on it wait for a person's word."""

    incident_id: IncidentId
    call_id: CallId
    to: RegionId


class IncidentPrioritised(Event, frozen=True, kw_only=True, tag="incident_prioritised"):
    incident_id: IncidentId
    priority: Priority
    reason: str | None = None


class IncidentClassified(Event, frozen=True, kw_only=True, tag="incident_classified"):
    """What it is about was corrected, or it turned out worse: `legs` are all of its legs after that."""

    incident_id: IncidentId
    incident_type: str
    legs: tuple[Leg, ...]


class IncidentHeld(Event, frozen=True, kw_only=True, tag="incident_held"):
    """A held incident waits for a person: it is not dispatched by itself."""

    incident_id: IncidentId
    held: bool


class IncidentNoted(Event, frozen=True, kw_only=True, tag="incident_noted"):
    incident_id: IncidentId
    note_id: str
    commitment: str


class IncidentMerged(Event, frozen=True, kw_only=True, tag="incident_merged"):
    """All calls and notes of `incident_id` go to `into`; the emptied incident closes as a duplicate."""

    incident_id: IncidentId
    into: IncidentId


class IncidentShort(Event, frozen=True, kw_only=True, tag="incident_short"):
    """No eligible unit was found for part of the need: the rest of it waits, and says so."""

    incident_id: IncidentId
    short: bool


class IncidentControlled(Event, frozen=True, kw_only=True, tag="incident_controlled"):
    """The crew on scene says that the situation is under control."""

    incident_id: IncidentId


class IncidentClosed(Event, frozen=True, kw_only=True, tag="incident_closed"):
    """The incident ends, and with it its calls: at once, or where there are many by `CallsClosed` that follow."""

    incident_id: IncidentId
    disposition: Disposition
    calls_follow: bool = False


class CallsClosed(Event, frozen=True, kw_only=True, tag="calls_closed"):
    """Some of the calls of an incident that has ended end too, at its time and with its disposition."""

    incident_id: IncidentId
    call_ids: tuple[CallId, ...]


class LegAdded(Event, frozen=True, kw_only=True, tag="leg_added"):
    incident_id: IncidentId
    leg: Leg


class LegCancelled(Event, frozen=True, kw_only=True, tag="leg_cancelled"):
    incident_id: IncidentId
    body: Body


class UnitAssigned(Event, frozen=True, kw_only=True, tag="unit_assigned"):
    """One unit goes to one incident. `digest` names the recorded inputs of the decision."""

    assignment: Assignment
    order: Order
    digest: str | None = None
    reason: str | None = None


class AssignmentCleared(Event, frozen=True, kw_only=True, tag="assignment_cleared"):
    """The assignment ended; `order` tells the crew when it was we who ended it."""

    assignment_id: AssignmentId
    incident_id: IncidentId
    unit_id: UnitId
    status: UnitStatus
    reason: str
    order: Order | None = None


class PlaceTold(Event, frozen=True, kw_only=True, tag="place_told"):
    """A crew is told that the place was corrected, or that something threatens there. It replaces an earlier word."""

    order: Order


class OrderSent(Event, frozen=True, kw_only=True, tag="order_sent"):
    order_id: OrderId
    send_again_at: datetime
    # With it the order's time begins anew, for until now nobody could have answered.
    expires_at: datetime | None = None


class OrderStaged(Event, frozen=True, kw_only=True, tag="order_staged"):
    """The unit says how far the order has come."""

    order_id: OrderId
    stage: Stage
    reason: str | None = None


class OrderDropped(Event, frozen=True, kw_only=True, tag="order_dropped"):
    """The order is over: expired, superseded, or given up after the last repetition."""

    order_id: OrderId
    reason: str


class UnitRegistered(Event, frozen=True, kw_only=True, tag="unit_registered"):
    unit: Unit


class UnitMoved(Event, frozen=True, kw_only=True, tag="unit_moved"):
    """A unit reports its status; `status_id` is its own number for the report, so repeats are seen."""

    unit_id: UnitId
    status: UnitStatus
    status_id: str | None = None


class UnitShifted(Event, frozen=True, kw_only=True, tag="unit_shifted"):
    unit_id: UnitId
    on_shift: bool


class UnitLinked(Event, frozen=True, kw_only=True, tag="unit_linked"):
    """Contact with the unit's device was lost or came back. Lost contact is not off duty."""

    unit_id: UnitId
    linked: bool


class RoadClosed(Event, frozen=True, kw_only=True, tag="road_closed"):
    """A road is closed or slow. Closures whose time had passed are forgotten with it."""

    closure: Closure


class RoadReopened(Event, frozen=True, kw_only=True, tag="road_reopened"):
    closure_id: ClosureId


class PolicyChanged(Event, frozen=True, kw_only=True, tag="policy_changed"):
    policy: Policy


class PhaseChanged(Event, frozen=True, kw_only=True, tag="phase_changed"):
    phase: Phase


AnyEvent = (
    CallReceived
    | CallLocated
    | CallMoved
    | CallClassified
    | CallLinked
    | CallSplit
    | CallClosed
    | CallOffered
    | CallAccepted
    | OfferSent
    | OfferRecalled
    | OfferForgone
    | CallRegained
    | CallDeparted
    | CallReleased
    | IncidentOpened
    | IncidentLocated
    | IncidentReferred
    | IncidentPrioritised
    | IncidentClassified
    | IncidentHeld
    | IncidentNoted
    | IncidentMerged
    | IncidentShort
    | IncidentControlled
    | IncidentClosed
    | CallsClosed
    | LegAdded
    | LegCancelled
    | UnitAssigned
    | AssignmentCleared
    | PlaceTold
    | OrderSent
    | OrderStaged
    | OrderDropped
    | UnitRegistered
    | UnitMoved
    | UnitShifted
    | UnitLinked
    | RoadClosed
    | RoadReopened
    | PolicyChanged
    | PhaseChanged
    | AidEvent
    | HazardEvent
    | OnwardEvent
)

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """The journal's bytes of an event: the same event always gives the same bytes."""
    return _encoder.encode(event)


def decode(payload: bytes) -> AnyEvent:
    """An event from the journal. Raises msgspec.ValidationError when it is none of ours."""
    return _decoder.decode(payload)
