"""The words of the service as types: identifiers, and the values that the state is made of.

Their enumerations stand in `words.py` and are names of this module too.

Every value is frozen; the state of a region (`state.py`) is the one thing that changes.
Times are aware UTC; distances are metres, durations seconds, and the names say so.
"""

from __future__ import annotations

from datetime import datetime
from typing import NewType

import msgspec
import numpy as np
from numpy.typing import NDArray

from dispatch.core.words import (
    Assigning as Assigning,
)
from dispatch.core.words import (
    Body as Body,
)
from dispatch.core.words import (
    CallStatus as CallStatus,
)
from dispatch.core.words import (
    Channel as Channel,
)
from dispatch.core.words import (
    Disposition as Disposition,
)
from dispatch.core.words import (
    HazardKind as HazardKind,
)
from dispatch.core.words import (
    IncidentStatus as IncidentStatus,
)
from dispatch.core.words import (
    LegStatus as LegStatus,
)
from dispatch.core.words import (
    OrderKind as OrderKind,
)
from dispatch.core.words import (
    Phase as Phase,
)
from dispatch.core.words import (
    Priority as Priority,
)
from dispatch.core.words import (
    Service as Service,
)
from dispatch.core.words import (
    Source as Source,
)
from dispatch.core.words import (
    Stage as Stage,
)
from dispatch.core.words import (
    UnitStatus as UnitStatus,
)
from dispatch.core.words import (
    Word as Word,
)

RegionId = NewType("RegionId", str)
"""ISO 3166-2, such as `UZ-TK`."""
CallId = NewType("CallId", str)
IncidentId = NewType("IncidentId", str)
"""The region's letters and a running number that can be said over the radio, such as `TK-4471`."""
AssignmentId = NewType("AssignmentId", str)
OrderId = NewType("OrderId", str)
UnitId = NewType("UnitId", str)
HazardId = NewType("HazardId", str)
"""The region's letters, `H` and the number of the event that recorded it: `TK-H81`."""
ActorId = NewType("ActorId", str)
"""Who asked: `user:…`, `device:…`, `unit:…` or `system`."""

SYSTEM = ActorId("system")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A frozen value with named fields; defaults stay out of the journal. None can hold itself, hence `gc=False`."""


class Spot(Value, frozen=True, kw_only=True):
    """One of the places that words may mean; `score` is the search's, 0 to 100."""

    lat: float
    lon: float
    accuracy_m: float
    score: float = 100.0


class Sector(Value, frozen=True, kw_only=True):
    """What an antenna covers, about its mast: degrees clockwise from north, metres."""

    azimuth_deg: float = 0.0
    width_deg: float = 360.0
    range_m: float = 3_000.0
    min_range_m: float = 0.0


class LocationFix(Value, frozen=True, kw_only=True):
    """One piece of location evidence as it came in; `at` is the time of the fix, `accuracy_m` as its source states it.

    Words that may mean several places have them as `spots`. A cell's point is its mast where it has a `sector`; it
    may have an `area`, a ring of (lat, lon), instead. Words that came after the call are the personal document
    `note_id`, under `commitment`.
    """

    source: Source
    at: datetime
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    confirmed: bool = False
    spots: tuple[Spot, ...] = ()
    sector: Sector | None = None
    area: tuple[tuple[float, float], ...] = ()
    note_id: str | None = None
    commitment: str | None = None


class Location(Value, frozen=True, kw_only=True):
    """The best estimate of where help is needed, fused from all evidence.

    `accuracy_m` is the radius of the circle about it that holds nine cases of ten.
    `regions` names the region of the point first, then any other that the circle reaches.
    `place` is a label for people, per language tag, made from our own gazetteer, `district` the name of the
    district where the map knows it. `contradiction` says per language tag what cannot both be right (in journals
    of before as one sentence). `outside`: the point lies in no region, and the nearest one was taken, or in one that
    nobody whom we reach works in, and it is ours.
    """

    lat: float
    lon: float
    accuracy_m: float
    source: Source
    at: datetime
    regions: tuple[RegionId, ...] = ()
    confirmed: bool = False
    urban: bool = False
    contradiction: dict[str, str] | str | None = None
    outside: bool = False
    place: dict[str, str] = {}
    district: dict[str, str] = {}


class Call(Value, frozen=True, kw_only=True):
    """One contact with the service. Number, name and words live in `personal`, under `commitment`.

    `notes` are those of the incident that it left behind in the region which handed it over. `misunderstood`:
    fields whose word is none of their list; the word itself is beside the caller's own.
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
    misunderstood: tuple[str, ...] = ()
    joined_automatically: bool = False
    moving_to: RegionId | None = None
    notes: tuple[str, ...] = ()
    moving_since: datetime | None = None
    taking_back: bool = False
    came_by: str | None = None
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

    `place_order_id` is the latest word to the crew that the place, or what threatens there, has changed.
    `unacknowledged`: hazards that no person had acknowledged when the system sent the unit by itself.
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
    eta_p90_s: float | None = None
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
    unacknowledged: tuple[HazardId, ...] = ()


class Lent(Value, frozen=True, kw_only=True):
    """A unit of another region on an incident of ours: its assignment at home, as its home last said."""

    request_id: str
    region: RegionId
    assignment: Assignment


class AidFor(Value, frozen=True, kw_only=True):
    """Whose incident one of ours helps with: `request_id` names what that region asked for."""

    request_id: str
    region: RegionId
    incident_id: IncidentId


class Acknowledged(Value, frozen=True, kw_only=True):
    """A person knows of a hazard and takes it into account for one incident."""

    hazard_id: HazardId
    kind: HazardKind
    actor: ActorId
    at: datetime


class Hazard(Value, frozen=True, kw_only=True):
    """What crews must know of a place before they go in. Words about it live in `personal`, under `commitment`.

    It concerns every incident within `radius_m` of it, and `incident_id`, in whose course it was told.
    """

    hazard_id: HazardId
    region: RegionId
    kind: HazardKind
    location: Location
    radius_m: float
    at: datetime
    actor: ActorId
    until: datetime | None = None
    incident_id: IncidentId | None = None
    note_id: str | None = None
    commitment: str | None = None


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
    lent: tuple[Lent, ...] = ()
    aid_for: AidFor | None = None
    acknowledged: tuple[Acknowledged, ...] = ()


class Unit(Value, frozen=True, kw_only=True):
    """A crewed vehicle, without its position: positions are not events. `behind_s`: how slow its device's clock is."""

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
    behind_s: float = 0.0
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
    """A hand-over under way, until the other side has the call. Before `sent` that cannot know of it."""

    offer_id: str
    to: RegionId
    sent: bool = False
    recalled: bool = False


class Policy(Value, frozen=True, kw_only=True):
    """How a region works now. `attended` means that a person has taken it over from simulated staff."""

    assigning: Assigning = Assigning.AUTOMATIC
    attended: bool = False


UNREACHABLE_MS = 2**30 - 1
"""Longer than any drive; the road engine uses the same number, and twice it still fits int32."""


class Spread(Value, frozen=True, kw_only=True):
    """How late drives are: nine of ten take no more than `share` of their time longer, and `fixed_s` whatever it is."""

    share: float
    fixed_s: float


class Reach(Value, frozen=True, kw_only=True):
    """Travel times from candidate units to one incident, as data: the core never computes a road.

    Arrays run parallel to `units`: `ms` int32 plain driving time (UNREACHABLE_MS where there is no way),
    `edges` int32 and `offsets` float32 where each unit stands on the map, `age_s` float32 of its position.
    `spread` is that of the hour.
    """

    units: tuple[UnitId, ...]
    ms: NDArray[np.int32]
    edges: NDArray[np.int32]
    offsets: NDArray[np.float32]
    age_s: NDArray[np.float32]
    map_version: str = ""
    weights_version: int = 0
    spread: Spread | None = None

    def __post_init__(self) -> None:
        assert len(self.units) == len(self.ms) == len(self.edges) == len(self.offsets) == len(self.age_s)


class Refusal(Value, frozen=True, kw_only=True):
    """A command that the rules do not allow now: an answer, not a fault."""

    code: str
    message: str
    pointer: str | None = None
