"""The enumerations of the contract: what a status, a source, a body or a priority can be."""

from __future__ import annotations

from enum import StrEnum


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


class Direction(Word):
    """Of a closure along a line: whether it counts both ways, or only as the line was drawn."""

    BOTH = "both"
    AHEAD = "ahead"


class HazardKind(Word):
    """What can harm a crew at a place."""

    GAS = "gas"
    DOWNED_LINE = "downed_line"
    FIRE = "fire"
    EXPLOSIVE = "explosive"
    CHEMICAL = "chemical"
    RADIATION = "radiation"
    INFECTION = "infection"
    VIOLENT_PERSON = "violent_person"
    WEAPON = "weapon"
    DOG = "dog"
    COLLAPSE = "collapse"
    FLOOD = "flood"
    TRAFFIC = "traffic"
    OTHER = "other"


class Assigning(Word):
    """Whether the system assigns by itself or a dispatcher confirms each recommendation."""

    AUTOMATIC = "automatic"
    CONFIRM = "confirm"
