"""Who drives how: travel profiles, each of which gives every arc of a map its time.

A profile says what is open to a vehicle and by which factor its time differs from a car's; `profiles.json`
beside this file holds them and the speeds, and a file of the same shape may be named instead. Profiles named
after a body and the state of its sirens are for looking ahead by road; `unit` is what live dispatch uses,
where the core itself multiplies by the factor for sirens. Not here: what a tag means (tags), which turns there
are (junctions).
"""

from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.cch import UNREACHABLE
from routing.regions import DATA

CAR: Final = "car"
UNIT: Final = "unit"
READ_CLASSES: Final = (
    *("motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential"),
    *("living_street", "service", "track", "link"),
)

# What stands in the way of a turn, mildest first: nothing, a sign that excepts those who come to help, a sign, a gate
# that is shut for others, what nobody drives through, and what is no turn at all.
FREE, EXCEPTED, SIGN, GATE, WALL, NEVER = range(6)

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


class Speeds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kilometres an hour, with lights and crossings, inside built-up places and outside."""

    urban: float
    rural: float


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of driving. Factors multiply a car's time."""

    opens: Literal["public", "emergency"]
    """`emergency`: private grounds, bus lanes and gates are open."""
    urban: float
    rural: float
    turn_ban_s: float | None = None
    """What a turn against a sign costs; None: the sign is obeyed."""
    gate_s: float = 0.0
    """What a gate costs that is shut for others."""
    contraflow_m: float = 0.0
    """One-way streets of lesser classes, up to this length, may be driven the wrong way."""


class Profiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file: speeds by class of road, limits by zone, the share of a signed limit that is driven."""

    speeds_kmh: dict[str, Speeds]
    zone_limits_kmh: dict[str, float]
    share_of_limit: Speeds
    profiles: dict[str, Profile]


class Arcs(NamedTuple):
    """What the times of m arcs are made of. `kmh` float64: a car's pace; `public`, `emergency`: for whom a street
    is open; `contraflow`: the wrong way of a one-way street where sirens may go; `turn`: uint8, what stands in the
    way of an arc that is a turn, FREE on streets; `metres` float32, 0 on turns; `urban`: in a built-up place."""

    metres: NDArray[np.float32]
    kmh: Floats
    urban: Flags
    public: Flags
    emergency: Flags
    contraflow: Flags
    turn: NDArray[np.uint8]


def read_profiles(path: Path = DATA / "profiles.json") -> Profiles:
    """The profiles of a file; ValueError with one sentence when it is not one."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Profiles)
    except (OSError, msgspec.DecodeError) as fault:
        raise ValueError(f"cannot read the travel profiles {path}: {fault}") from None
    numbers = [speed for pair in found.speeds_kmh.values() for speed in (pair.urban, pair.rural)]
    numbers += [factor for profile in found.profiles.values() for factor in (profile.urban, profile.rural)]
    numbers += [*found.zone_limits_kmh.values(), found.share_of_limit.urban, found.share_of_limit.rural]
    if not all(0 < number < 1_000 for number in numbers):
        raise ValueError(f"the travel profiles {path} hold a speed, limit or factor that is not between 0 and 1,000")
    if missing := {CAR, UNIT} - set(found.profiles):
        raise ValueError(f"the travel profiles {path} lack {' and '.join(sorted(missing))}, which are always needed")
    if missing := set(READ_CLASSES) - set(found.speeds_kmh):
        raise ValueError(f"the travel profiles {path} give no speed for {', '.join(sorted(missing))}")
    return found


def times_ms(profile: Profile, arcs: Arcs) -> Ints:
    """What each arc takes in this profile: ms, UNREACHABLE where it is closed."""
    factor = np.where(arcs.urban, profile.urban, profile.rural)
    street_ms = np.maximum(1, np.rint(arcs.metres * 3_600 / arcs.kmh * factor))
    is_open = arcs.emergency if profile.opens == "emergency" else arcs.public
    is_open = is_open | (arcs.contraflow & (arcs.metres <= profile.contraflow_m))
    ms = np.where(arcs.metres > 0, street_ms, _turn_s(profile)[arcs.turn] * 1_000)
    return np.where(is_open, np.minimum(ms, UNREACHABLE), UNREACHABLE).astype(np.int32)


def _turn_s(profile: Profile) -> Floats:
    """What a turn costs by what stands in its way."""
    free = 0.0 if profile.opens == "emergency" else np.inf
    sign = np.inf if profile.turn_ban_s is None else profile.turn_ban_s
    gate = profile.gate_s if profile.opens == "emergency" else np.inf
    return np.array([0.0, free, max(free, sign), gate, np.inf, np.inf])
