"""The words of the service as types: identifiers, enumerations, and the values that the state is made of.

Every value is frozen; the state of a region (`state.py`) is the one thing that changes.
Times are aware UTC; distances are metres, durations seconds, and the names say so.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NewType

import msgspec
import numpy as np
from numpy.typing import NDArray

RegionId = NewType("RegionId", str)
"""ISO 3166-2, such as `UZ-TK`."""
CallId = NewType("CallId", str)
IncidentId = NewType("IncidentId", str)
"""The region's letters and a running number that can be said over the radio, such as `TK-4471`."""
AssignmentId = NewType("AssignmentId", str)
OrderId = NewType("OrderId", str)
UnitId = NewType("UnitId", str)
ActorId = NewType("ActorId", str)
"""Who asked: `user:…`, `device:…`, `unit:…` or `system`."""

SYSTEM = ActorId("system")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A frozen value with named fields; defaults stay out of the journal. None can hold itself, hence `gc=False`."""


class Word(StrEnum):
    """A value of the contract. It hashes as the text that it equals, and without Enum's detour through Python."""

    __hash__ = str.__hash__


class Channel(Word):
    VOICE = "voice"
    APP = "app"
    SMS = "sms"
    WEB = "web"
    ECALL = "ecall"
    SENSOR = "sensor"
    TRANSFER = "transfer"


class Source(Word):
    """Where a location comes from; `OPERATOR` means that a person confirmed it."""

    AML = "aml"
    APP = "app"
    ECALL = "ecall"
    CELL = "cell"
    ADDRESS = "address"
    LANDMARK = "landmark"
    VEHICLE = "vehicle"
    OPERATOR = "operator"


class Service(Word):
    """What a caller asks for."""

    POLICE = "police"
    FIRE = "fire"
    RESCUE = "rescue"
    AMBULANCE = "ambulance"
    GAS = "gas"
    SOCIAL = "social"


class Body(Word):
    """The five bodies: internal affairs, emergency situations, health, social protection, gas."""

    MIA = "mia"
    MES = "mes"
    MOH = "moh"
    NASP = "nasp"
    GAS = "gas"


class Priority(Word):
    """P1 is a life at risk now; P4 can be planned."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Phase(Word):
    LEGACY = "legacy"
    PARALLEL = "parallel"
    LIVE = "live"


class CallStatus(Word):
    RINGING = "ringing"
    QUEUED = "queued"
    CLAIMED = "claimed"
    ANSWERED = "answered"
    HELD = "held"
    TRANSFERRED = "transferred"
    ABANDONED = "abandoned"
    CALLING_BACK = "calling_back"
    LINKED = "linked"
    CLOSED = "closed"


class IncidentStatus(Word):
    OPEN = "open"
    PENDING_UNITS = "pending_units"
    DISPATCHED = "dispatched"
    ON_SCENE = "on_scene"
    UNDER_CONTROL = "under_control"
    CLOSED = "closed"


class LegStatus(Word):
    NEEDED = "needed"
    ASSIGNED = "assigned"
    ON_SCENE = "on_scene"
    DONE = "done"
    CANCELLED = "cancelled"


class UnitStatus(Word):
    AVAILABLE = "available"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    EN_ROUTE = "en_route"
    ON_SCENE = "on_scene"
    TRANSPORTING = "transporting"
    AT_FACILITY = "at_facility"
    RETURNING = "returning"
    OUT_OF_SERVICE = "out_of_service"


class Disposition(Word):
    RESOLVED = "resolved"
    TRANSPORTED = "transported"
    ADVICE_ONLY = "advice_only"
    NO_TRACE = "no_trace"
    FALSE_CALL = "false_call"
    DUPLICATE = "duplicate"
    ABANDONED = "abandoned"
    TEST = "test"
    REFERRED = "referred"


class OrderKind(Word):
    DISPATCH = "dispatch"
    RECALL = "recall"
    DIVERT = "divert"
    MOVE_UP = "move_up"
    MESSAGE = "message"


class Stage(Word):
    """How far an order has come: kept by us, handed to the broker, then what the unit says of it."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    SEEN = "seen"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Assigning(Word):
    """Whether the system assigns by itself or a dispatcher confirms each recommendation."""

    AUTOMATIC = "automatic"
    CONFIRM = "confirm"


class LocationFix(Value, frozen=True, kw_only=True):
    """One piece of location evidence as it came in; `at` is the time of the fix."""

    source: Source
    at: datetime
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    confirmed: bool = False


class Location(Value, frozen=True, kw_only=True):
    """The best estimate of where help is needed, fused from all evidence.

    `regions` names the region of the point first, then any other that the uncertainty reaches.
    `place` is a label for people, per language tag, made from our own gazetteer. `outside`: the point lies in
    no region, and the nearest one was taken.
    """

    lat: float
    lon: float
    accuracy_m: float
    source: Source
    at: datetime
    regions: tuple[RegionId, ...] = ()
    confirmed: bool = False
    urban: bool = False
    contradiction: str | None = None
    outside: bool = False
    place: dict[str, str] = {}


class Call(Value, frozen=True, kw_only=True):
    """One contact with the service. Number, name and words live in `personal`, under `commitment`.

    `notes` are those of the incident that it left behind in the region which handed it over.
    """

    call_id: CallId
    region: RegionId
    channel: Channel
    status: CallStatus
    at: datetime
    since: datetime
    language: str | None = None
    service: Service | None = None
    incident_type: str | None = None
    priority: Priority | None = None
    location: Location | None = None
    evidence: tuple[LocationFix, ...] = ()
    incident_id: IncidentId | None = None
    taker: ActorId | None = None
    device: ActorId | None = None
    disposition: Disposition | None = None
    commitment: str | None = None
    has_number: bool = False
    silent: bool = False
    joined_automatically: bool = False
    moving_to: RegionId | None = None
    notes: tuple[str, ...] = ()
    answered_at: datetime | None = None
    closed_at: datetime | None = None


class Need(Value, frozen=True, kw_only=True):
    """How many units of one body with one capability an incident asks for."""

    body: Body
    capability: str
    count: int = 1


class Leg(Value, frozen=True, kw_only=True):
    """The part of one body in an incident."""

    body: Body
    needs: tuple[Need, ...]
    status: LegStatus = LegStatus.NEEDED


class Assignment(Value, frozen=True, kw_only=True):
    """One unit on one incident, with its own times. It is live until `cleared_at`.

    `place_order_id` is the latest word to the crew that the place has changed.
    """

    assignment_id: AssignmentId
    incident_id: IncidentId
    unit_id: UnitId
    call_sign: str
    body: Body
    capability: str
    order_id: OrderId
    assigned_at: datetime
    status: UnitStatus = UnitStatus.DISPATCHED
    eta_s: float | None = None
    delivered_at: datetime | None = None
    seen_at: datetime | None = None
    accepted_at: datetime | None = None
    refused_at: datetime | None = None
    en_route_at: datetime | None = None
    on_scene_at: datetime | None = None
    transporting_at: datetime | None = None
    at_facility_at: datetime | None = None
    cleared_at: datetime | None = None
    cleared_reason: str | None = None
    place_order_id: OrderId | None = None


class Incident(Value, frozen=True, kw_only=True):
    """What needs help; one or many calls have joined it, and each body has its own leg.

    `referred_to` is the region that took `referred_call` from it, the latest of them.
    """

    incident_id: IncidentId
    number: int
    region: RegionId
    incident_type: str
    priority: Priority
    opened_at: datetime
    status: IncidentStatus = IncidentStatus.OPEN
    location: Location | None = None
    legs: tuple[Leg, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    call_count: int = 0
    notes: tuple[str, ...] = ()
    held: bool = False
    short: bool = False
    merged_into: IncidentId | None = None
    referred_to: RegionId | None = None
    referred_call: CallId | None = None
    disposition: Disposition | None = None
    closed_at: datetime | None = None


class Unit(Value, frozen=True, kw_only=True):
    """A crewed vehicle. Its position is no part of the state: positions are not events."""

    unit_id: UnitId
    call_sign: str
    region: RegionId
    body: Body
    kind: str
    capabilities: tuple[str, ...]
    station: str
    since: datetime
    status: UnitStatus = UnitStatus.OUT_OF_SERVICE
    assignment_id: AssignmentId | None = None
    incident_id: IncidentId | None = None
    on_shift: bool = False
    linked: bool = True
    last_status_id: str | None = None


class Order(Value, frozen=True, kw_only=True):
    """An instruction to a unit, kept and sent again until the unit says that it has it."""

    order_id: OrderId
    unit_id: UnitId
    kind: OrderKind
    at: datetime
    expires_at: datetime
    assignment_id: AssignmentId | None = None
    incident_id: IncidentId | None = None
    stage: Stage = Stage.PENDING
    sends: int = 0
    send_again_at: datetime | None = None


class Offer(Value, frozen=True, kw_only=True):
    """A hand-over under way, kept by the giving region until the other side has the call."""

    offer_id: str
    to: RegionId


class Policy(Value, frozen=True, kw_only=True):
    """How a region works now. `attended` means that a person has taken it over from simulated staff."""

    assigning: Assigning = Assigning.AUTOMATIC
    attended: bool = False


UNREACHABLE_MS = 2**30 - 1
"""Longer than any drive; the road engine uses the same number, and twice it still fits int32."""


class Reach(Value, frozen=True, kw_only=True):
    """Travel times from candidate units to one incident, as data: the core never computes a road.

    Arrays run parallel to `units`: `ms` int32 plain driving time (UNREACHABLE_MS where there is no way),
    `edges` int32 and `offsets` float32 where each unit stands on the map, `age_s` float32 of its position.
    """

    units: tuple[UnitId, ...]
    ms: NDArray[np.int32]
    edges: NDArray[np.int32]
    offsets: NDArray[np.float32]
    age_s: NDArray[np.float32]
    map_version: str = ""
    weights_version: int = 0

    def __post_init__(self) -> None:
        assert len(self.units) == len(self.ms) == len(self.edges) == len(self.offsets) == len(self.age_s)


class Refusal(Value, frozen=True, kw_only=True):
    """A command that the rules do not allow now: an answer, not a fault."""

    code: str
    message: str
    pointer: str | None = None
