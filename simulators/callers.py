"""Who calls, from where, about what, and how the call ends: everything a simulated caller knows, from a seed.

Shares that field.md gives: of all calls 33 % need somebody, 28 % are unfounded, 39 % are hung up before an
answer (Türkiye, the one country whose shares cover every call; its law and its size are near ours); a fifth of
the calls that somebody answers are silent (Moldova); of those that need nobody more than a third only ask
(Romania, 36 % non-urgent). Every other share is an assumption of ours and stands here as a named number.
Not here: when calls come (arrivals) and how they travel (load).
"""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime, timedelta
from random import Random

import msgspec

from dispatch.core.plans import PLANS
from dispatch.core.terms import Priority
from routing.geometry import Point, from_local_m, to_lonlat
from simulators.sites import Site, chosen, sites, somewhere

GENUINE, UNFOUNDED, HUNG_UP = 0.33, 0.28, 0.39
SILENT_UNFOUNDED, SILENT_GENUINE = 0.42, 0.02
"""Together a fifth of the calls that are answered."""
DUPLICATE = 0.12
"""Of those who need somebody: who sees a fire or an accident that others have reported already."""
NO_SIM_GENUINE, NO_SIM_UNFOUNDED = 0.04, 0.18
AML_SHARE, CELL_SHARE = 0.45, 0.85
AML_S = (3.0, 20.0)
"""AML comes so many service seconds after its call."""
TYPED_SHARE = 0.7
"""Of those who need somebody by app, web or SMS: who say what happened, not only whom they want."""
RAISED_SHARE = 0.08
"""Of the calls of second rank: which the call taker finds to be a matter of life."""
SCENES_KEPT = 12
SCENE_LIFE = timedelta(minutes=20)
SCENE_REACH_M = 90.0

CHANNELS = {"voice": 0.85, "app": 0.10, "sms": 0.02, "web": 0.015, "ecall": 0.01, "sensor": 0.005}
UNFOUNDED_CHANNELS = {"voice": 0.94, "app": 0.05, "sms": 0.01}
ENDINGS = {"false_call": 0.42, "advice_only": 0.36, "no_trace": 0.12, "test": 0.10}
TYPES = {
    # Ambulance: two in three; 60 % of them emergencies, as of the 103 calls.
    "illness": 17, "fever_child": 9, "medical_call": 6, "injury": 6, "chest_pain": 6, "breathing_difficulty": 4,
    "unconscious": 3, "stroke": 3, "poisoning": 2.5, "childbirth": 2.5, "severe_bleeding": 1, "burn": 1,
    "cardiac_arrest": 0.7, "road_accident": 4.5, "road_accident_trapped": 0.4,
    # Police.
    "disturbance": 6, "domestic_violence": 4, "theft": 3.5, "assault": 1.5, "police_call": 2, "missing_person": 0.6,
    "robbery": 0.3,
    # Fire, rescue, gas, social.
    "grass_fire": 1.2, "smoke": 1.2, "building_fire": 0.8, "vehicle_fire": 0.6, "fire_call": 0.6,
    "person_trapped": 0.9, "rescue_call": 0.5, "water_rescue": 0.15, "flood": 0.15, "collapse": 0.05,
    "gas_smell": 2.6, "gas_leak": 0.5, "carbon_monoxide": 0.3, "gas_call": 0.5,
    "social_call": 1.4, "social_crisis": 0.8, "child_at_risk": 0.3,
}  # fmt: skip
SEEN_BY_MANY = frozenset({"building_fire", "grass_fire", "smoke", "vehicle_fire", "fire_call", "road_accident",
                          "road_accident_trapped", "gas_smell", "water_rescue", "collapse"})  # fmt: skip
LANGUAGES = {"uz-Latn": 0.62, "uz-Cyrl": 0.16, "ru": 0.20, "en": 0.02}
LANGUAGES_OF = {
    "UZ-QR": {"kaa": 0.55, "uz-Latn": 0.30, "uz-Cyrl": 0.05, "ru": 0.10},
    "UZ-TK": {"uz-Latn": 0.50, "uz-Cyrl": 0.08, "ru": 0.38, "en": 0.04},
}
TALK_MEDIAN_S = {"genuine": 65.0, "unfounded": 25.0, "hung_up": 20.0}
"""Conversations with a mean of 75 s (RU PP-1931) when somebody is in need, short ones otherwise."""
TALK_SPREAD = 0.5
HANG_UP_MEAN_S = 9.0
NUMBERS = ("90", "91", "93", "94", "95", "97", "98", "99", "88", "33")


class Aml(msgspec.Struct, frozen=True, kw_only=True):
    """The handset's own location, sent so many service seconds after the call."""

    after_s: float
    point: Point
    accuracy_m: float


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One caller: what is sent, and what only a conversation brings out. Seconds are service time."""

    number: int
    region: str
    fate: str
    """`genuine`, `unfounded` or `hung_up`."""
    channel: str
    language: str
    phone: str | None
    silent: bool
    point: Point
    place: str
    incident_type: str | None = None
    priority: str | None = None
    typed: bool = False
    evidence: tuple[dict[str, object], ...] = ()
    aml: Aml | None = None
    hangs_up_after_s: float | None = None
    talk_s: float = 30.0
    ending: str = "resolved"
    again: bool = False
    """Somebody has reported the same before."""

    def body(self) -> dict[str, object]:
        """What is sent to `POST /calls`."""
        caller: dict[str, object] = {"language": self.language}
        if self.phone is not None:
            caller["number"] = self.phone
        body: dict[str, object] = {"channel": self.channel, "caller": caller, "location": list(self.evidence)}
        if self.silent:
            body["silent"] = True
        if self.typed and self.incident_type is not None:
            body["incident_type"] = self.incident_type
        elif self.channel != "voice" and self.fate == "genuine" and self.incident_type is not None:
            body["service"] = PLANS[self.incident_type].service
        return body


class _Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Something that many can see."""

    at: datetime
    incident_type: str
    point: Point
    place: str


class Callers:
    """Makes callers, one after the other; the same ones for the same seed and the same times."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"{seed}:callers")
        self._made = 0
        self._scenes: dict[str, deque[_Scene]] = {}

    def call(self, at: datetime, region: str) -> Contact:
        """The caller of a moment and a region."""
        self._made += 1
        fate = self._rng.choices(("genuine", "unfounded", "hung_up"), (GENUINE, UNFOUNDED, HUNG_UP))[0]
        return self._genuine(at, region) if fate == "genuine" else self._other(fate, region)

    def _genuine(self, at: datetime, region: str) -> Contact:
        rng = self._rng
        seen = self._seen(at, region) if rng.random() < DUPLICATE else None
        if seen is not None:
            what, place = seen.incident_type, seen.place
            point = from_local_m(seen.point, rng.gauss(0, SCENE_REACH_M / 2), rng.gauss(0, SCENE_REACH_M / 2))
            site = chosen(sites(region), rng)
        else:
            what, site = _drawn(TYPES, rng), chosen(sites(region), rng)
            point, place = somewhere(site, rng), site.name
            if what in SEEN_BY_MANY:
                scene = _Scene(at=at, incident_type=what, point=point, place=place)
                self._scenes.setdefault(region, deque(maxlen=SCENES_KEPT)).append(scene)
        channel = _channel(what, rng)
        phone = None if rng.random() < NO_SIM_GENUINE else self._phone()
        return Contact(
            number=self._made,
            region=region,
            fate="genuine",
            channel=channel,
            language=self._language(region),
            phone=phone,
            silent=channel == "voice" and rng.random() < SILENT_GENUINE,
            point=point,
            place=place,
            incident_type=what,
            priority=self._priority(what),
            typed=channel in ("ecall", "sensor") or (channel != "voice" and rng.random() < TYPED_SHARE),
            evidence=self._evidence(channel, point, site, place),
            aml=self._aml(point) if channel == "voice" and phone else None,
            talk_s=self._talk_s("genuine"),
            again=seen is not None,
        )

    def _other(self, fate: str, region: str) -> Contact:
        rng = self._rng
        site = chosen(sites(region), rng)
        point = somewhere(site, rng)
        channel = "voice" if fate == "hung_up" else _drawn(UNFOUNDED_CHANNELS, rng)
        phone = None if rng.random() < NO_SIM_UNFOUNDED else self._phone()
        silent = fate == "unfounded" and channel == "voice" and rng.random() < SILENT_UNFOUNDED
        return Contact(
            number=self._made,
            region=region,
            fate=fate,
            channel=channel,
            language=self._language(region),
            phone=phone,
            silent=silent,
            point=point,
            place=site.name,
            evidence=self._evidence(channel, point, site, site.name),
            aml=self._aml(point) if channel == "voice" and phone and fate == "unfounded" else None,
            hangs_up_after_s=rng.expovariate(1 / HANG_UP_MEAN_S) if fate == "hung_up" else None,
            talk_s=self._talk_s(fate),
            ending="abandoned" if fate == "hung_up" else "no_trace" if silent else _drawn(ENDINGS, rng),
        )

    def _seen(self, at: datetime, region: str) -> _Scene | None:
        """A scene of the last minutes, the newest most often."""
        open_ones = [scene for scene in self._scenes.get(region, ()) if at - scene.at < SCENE_LIFE]
        return self._rng.choices(open_ones, range(1, len(open_ones) + 1))[0] if open_ones else None

    def _priority(self, what: str) -> str | None:
        raised = PLANS[what].priority is Priority.P2 and self._rng.random() < RAISED_SHARE
        return "P1" if raised else None

    def _evidence(self, channel: str, point: Point, site: Site, place: str) -> tuple[dict[str, object], ...]:
        """What comes with the call itself: an app's fix, a cell's sector, or the words of an address."""
        rng = self._rng
        if channel in ("app", "ecall"):
            source = "ecall" if channel == "ecall" else "app"
            return (_fix(source, _near(point, 15.0, rng), round(rng.uniform(6, 30), 1)),)
        if channel == "sensor":
            return (_fix("landmark", point, 20.0),)
        if channel in ("sms", "web"):
            return ({"source": "address", "text": place},)
        if rng.random() >= CELL_SHARE:
            return ()
        accuracy_m = 700.0 if site.town_m > 2_000 else 3_000.0
        return (_fix("cell", _near(point, accuracy_m / 2, rng), accuracy_m),)

    def _aml(self, point: Point) -> Aml | None:
        rng = self._rng
        if rng.random() >= AML_SHARE:
            return None
        accuracy_m = round(8.0 * math.exp(rng.gauss(0.5, 0.7)), 1)
        return Aml(after_s=rng.uniform(*AML_S), point=_near(point, accuracy_m / 2, rng), accuracy_m=accuracy_m)

    def _language(self, region: str) -> str:
        return _drawn(LANGUAGES_OF.get(region, LANGUAGES), self._rng)

    def _phone(self) -> str:
        return f"+998{self._rng.choice(NUMBERS)}{self._rng.randrange(10_000_000):07d}"

    def _talk_s(self, fate: str) -> float:
        return TALK_MEDIAN_S[fate] * math.exp(self._rng.gauss(0, TALK_SPREAD))


def _drawn(weights: dict[str, float], rng: Random) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _channel(what: str, rng: Random) -> str:
    """A car calls about its own crash only, a sensor about smoke and gas."""
    channel = _drawn(CHANNELS, rng)
    fits = {
        "ecall": what.startswith("road_accident"),
        "sensor": what in ("smoke", "gas_smell", "carbon_monoxide"),
    }
    return channel if fits.get(channel, True) else "voice"


def _near(point: Point, spread_m: float, rng: Random) -> Point:
    return from_local_m(point, rng.gauss(0, spread_m), rng.gauss(0, spread_m))


def _fix(source: str, point: Point, accuracy_m: float) -> dict[str, object]:
    lon, lat = to_lonlat(point)
    coordinates = [round(lon, 6), round(lat, 6)]
    return {
        "source": source,
        "point": {"type": "Point", "coordinates": coordinates},
        "accuracy_m": accuracy_m,
    }
