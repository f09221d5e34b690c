"""What the tags of an OpenStreetMap way, node or restriction mean for driving.

Pure: tags in, a value out. The rules follow the OpenStreetMap wiki (Key:highway, Key:oneway, Key:access,
Key:maxspeed, Key:barrier, Relation:restriction). Not here: how quick a road is (profiles), what is joined to
what (chains, junctions).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from routing.profiles import EXCEPTED, FREE, GATE, SIGN, WALL
from routing.roads import PRIMARY, RESIDENTIAL, SECONDARY, TERTIARY, TRUNK

Tags = Mapping[str, str]

KINDS: Final = {
    **dict.fromkeys(("motorway", "motorway_link", "trunk", "trunk_link"), TRUNK),
    **dict.fromkeys(("primary", "primary_link"), PRIMARY),
    **dict.fromkeys(("secondary", "secondary_link"), SECONDARY),
    **dict.fromkeys(("tertiary", "tertiary_link"), TERTIARY),
    **dict.fromkeys(
        ("unclassified", "residential", "living_street", "service", "road", "track", "busway"), RESIDENTIAL
    ),
}
"""The classes that are driven on, and how the map shows them."""
ON_FOOT: Final = ("pedestrian", "footway", "path", "cycleway", "bridleway")
"""Not driven on, unless a tag says that motor vehicles or emergency services may."""
SPEED_CLASS: Final = {"road": "unclassified", "busway": "service"} | dict.fromkeys(ON_FOOT, "track")
NEVER_AGAINST: Final = ("motorway", "trunk", "primary", "secondary", "busway")
"""One-way streets of these classes are driven the wrong way by nobody."""

PUBLIC: Final = {"yes", "permissive", "designated", "destination", "customers", "delivery", "public", "official"}
PRIVATE: Final = {"private", "permit", "residents", "employees", "psv", "bus", "emergency", "agricultural", "forestry"}
"""Closed to others, open to those who come to help; what is neither here nor public (`no`, `military`) is closed."""
CAR_KEYS: Final = ("motorcar", "motor_vehicle", "vehicle")
VEHICLE_KEYS: Final = (*CAR_KEYS, "access")

OPEN_BARRIERS: Final = {
    *("no", "cattle_grid", "border_control", "toll_booth", "entrance", "height_restrictor", "kerb", "rope"),
    *("bump_gate", "sally_port", "checkpoint", "speed_bump", "spikes", "arch"),
}
GATES: Final = {"gate", "lift_gate", "swing_gate", "sliding_gate", "sliding_beam", "hampshire_gate", "wicket_gate"}

ZONE: Final = re.compile(r"^(?:[a-z]{2}(?:-[a-z]+)?:)?(?:zone:?)?([a-z_]+|\d+)$", re.IGNORECASE)
NUMBER: Final = re.compile(r"^(\d+(?:\.\d+)?)\s*(km/?h|kph|kmh|mph|knots)?$", re.IGNORECASE)
IN_KMH: Final = {"mph": 1.609344, "knots": 1.852}
UNLIMITED_KMH: Final = 130.0
HIGHEST_KMH: Final = 160.0

RESTRICTION_KEYS: Final = (*(f"restriction:{key}" for key in CAR_KEYS), "restriction")
LIFTED: Final = re.compile(r"\b(?:none|no_restriction|off)\s*@\s*(\([^)]*\)|[^;]+)", re.IGNORECASE)
RESTRICTION: Final = re.compile(r"^(no|only)_(left_turn|right_turn|straight_on|u_turn|entry|exit)$")


class Limit(NamedTuple):
    """What a way says of its speed: a signed limit in km/h (0: none), or the zone whose limit holds ("": none)."""

    kmh: float = 0.0
    zone: str = ""


class Street(NamedTuple):
    """A way that can be driven, all that matters of it. Equal streets that meet are one.

    `public` and `emergency` say for (along the way, against it) whether it is open to everybody, and to those who
    come to help; `against` says that sirens may go the wrong way; `urban` is None when no tag tells.
    """

    kind: int
    speed_class: str
    is_link: bool
    public: tuple[bool, bool]
    emergency: tuple[bool, bool]
    against: bool
    limits: tuple[Limit, Limit]
    urban: bool | None
    name: str

    @property
    def is_symmetric(self) -> bool:
        """Whether the way is the same in both directions."""
        return len(set(self.public)) == len(set(self.emergency)) == len(set(self.limits)) == 1


def street(tags: Tags) -> Street | None:
    """The street that a way's tags describe, None where no vehicle goes."""
    highway = tags.get("highway", "")
    on_foot = highway in ON_FOOT
    if (highway not in KINDS and not on_foot) or tags.get("area") == "yes":
        return None
    public, emergency = _opens(tags, highway)
    if not emergency:
        return None
    along, against = _directions(tags, highway)
    limits = _limits(tags, highway)
    base = highway.removesuffix("_link")
    one_way = along != against
    return Street(
        kind=KINDS.get(highway, RESIDENTIAL),
        speed_class=SPEED_CLASS.get(base, base),
        is_link=base != highway,
        public=(public and along, public and against),
        emergency=(along, against),
        against=one_way and base not in NEVER_AGAINST and base == highway and not _is_round(tags),
        limits=limits,
        urban=_urban(tags, limits),
        name=tags.get("name") or tags.get("ref") or "",
    )


def barrier(tags: Tags) -> int:
    """What a node does to those who drive over it: FREE, GATE or WALL."""
    what = tags.get("barrier")
    if what is None or what in OPEN_BARRIERS:
        return FREE
    says = _first(tags, VEHICLE_KEYS)
    if tags.get("emergency") in ("yes", "designated", "official"):
        return FREE if says in PUBLIC else GATE
    if what in GATES:
        if tags.get("emergency") == "no" or says == "no":
            return WALL
        return GATE if says in PRIVATE or tags.get("locked") == "yes" else FREE
    return FREE if says in PUBLIC else WALL


def restriction(tags: Tags) -> tuple[bool, int] | None:
    """(whether it names the only way, how it stands in the way) of a turn restriction; None when it concerns no
    car, or only at some hours: a turn that is open now and then is open, for its ban is not known to hold.

    What is said of lorries, buses or cycles alone binds no crew. A condition counts where it lifts the ban: at some
    hours (`none @ (22:00-06:00)`), or for those who come to help (`none @ (emergency)`).
    """
    of_whom = tags.get("type", "restriction").removeprefix("restriction").lstrip(":")
    found = RESTRICTION.match(_first(tags, RESTRICTION_KEYS) or "")
    excepted = {word.strip() for word in tags.get("except", "").split(";")}
    lifted = [match[1] for key in RESTRICTION_KEYS for match in LIFTED.finditer(tags.get(f"{key}:conditional", ""))]
    at_hours = "hour_on" in tags or "day_on" in tags or any("emergency" not in condition for condition in lifted)
    if found is None or at_hours or excepted & set(CAR_KEYS) or of_whom not in ("", *CAR_KEYS):
        return None
    return found[1] == "only", EXCEPTED if lifted or "emergency" in excepted else SIGN


def speed_limit(text: str) -> Limit:
    """What `maxspeed` says: `60`, `30 mph`, `UZ:urban`, `DE:zone30`, `walk`, `none`; nothing when it cannot be read."""
    text = text.split(";")[0].strip()
    if number := NUMBER.match(text):
        kmh = float(number[1]) * IN_KMH.get((number[2] or "").lower(), 1.0)
        return Limit(kmh=min(kmh, HIGHEST_KMH)) if kmh > 0 else Limit()
    if text == "none":
        return Limit(kmh=UNLIMITED_KMH)
    if zone := ZONE.match(text):
        word = zone[1].lower()
        return Limit(kmh=min(float(word), HIGHEST_KMH)) if word.isdigit() and float(word) > 0 else Limit(zone=word)
    return Limit()


def _opens(tags: Tags, highway: str) -> tuple[bool, bool]:
    """Whether a way is open to everybody, and to those who come to help."""
    says = _first(tags, VEHICLE_KEYS)
    if highway in ON_FOOT:
        # What is said of `access` is said to those on foot.
        says = _first(tags, VEHICLE_KEYS[:2]) or "no"
    elif highway == "busway":
        says = says or "psv"
    elif highway == "service" and tags.get("service") == "emergency_access":
        says = "emergency"
    public = says is None or says in PUBLIC
    emergency = public or says in PRIVATE or any(tags.get(key) in PUBLIC for key in ("bus", "psv"))
    told = tags.get("emergency")
    if told in PUBLIC or told == "no":
        emergency = told != "no" or public
    return public, emergency


def _first(tags: Tags, keys: tuple[str, ...]) -> str | None:
    """What the most particular of some access keys says."""
    return next((tags[key].split(";")[0].strip() for key in keys if key in tags), None)


def _directions(tags: Tags, highway: str) -> tuple[bool, bool]:
    """Whether a way may be driven along, and against, its own direction."""
    says = tags.get("oneway:motorcar") or tags.get("oneway:motor_vehicle") or tags.get("oneway")
    if says in ("-1", "reverse"):
        return False, True
    if says in ("yes", "1", "true"):
        return True, False
    if says in ("no", "0", "false"):
        return True, True
    return True, not (highway in ("motorway", "motorway_link") or _is_round(tags))


def _is_round(tags: Tags) -> bool:
    return tags.get("junction") in ("roundabout", "circular")


def _limits(tags: Tags, highway: str) -> tuple[Limit, Limit]:
    both = tags.get("maxspeed") or tags.get("zone:maxspeed") or tags.get("maxspeed:type") or ""
    if not both and highway == "living_street":
        both = "living_street"
    along, against = tags.get("maxspeed:forward", both), tags.get("maxspeed:backward", both)
    return speed_limit(along), speed_limit(against)


def _urban(tags: Tags, limits: tuple[Limit, Limit]) -> bool | None:
    """Whether the tags say that a way runs in a built-up place."""
    said = (limits[0].zone, *(speed_limit(tags.get(key, "")).zone for key in ("source:maxspeed", "maxspeed:type")))
    if "urban" in said or limits[0].zone == "living_street":
        return True
    return False if "rural" in said or "motorway" in said else None
