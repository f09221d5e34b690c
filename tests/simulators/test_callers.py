"""Callers are those of field.md: who needs somebody, who is silent, who has no number, and from where they call."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from dispatch.actors import SYSTEM_ACTOR
from dispatch.calling.calls import NewCall, check
from dispatch.core.plans import PLANS
from dispatch.core.terms import Disposition
from routing.geometry import distance_m
from routing.regions import Regions
from simulators.callers import ENDINGS, SEEN_BY_MANY, TYPES, Callers, Contact

START = datetime(2026, 3, 1, 7, tzinfo=UTC)
MANY = 12_000


@pytest.fixture(scope="module")
def contacts() -> list[Contact]:
    callers = Callers(1)
    return [callers.call(START + timedelta(seconds=n), "UZ-TK" if n % 2 else "UZ-QR") for n in range(MANY)]


def share(contacts: list[Contact], claim: str) -> float:
    return sum(bool(getattr(contact, claim)) for contact in contacts) / len(contacts)


def test_a_third_needs_somebody_and_two_in_five_hang_up(contacts: list[Contact]) -> None:
    fates = Counter(contact.fate for contact in contacts)
    assert fates["genuine"] / MANY == pytest.approx(0.33, abs=0.02)
    assert fates["unfounded"] / MANY == pytest.approx(0.28, abs=0.02)
    assert fates["hung_up"] / MANY == pytest.approx(0.39, abs=0.02)


def test_a_fifth_of_the_answered_calls_is_silent(contacts: list[Contact]) -> None:
    answered = [contact for contact in contacts if contact.fate != "hung_up"]
    assert share(answered, "silent") == pytest.approx(0.2, abs=0.02)


def test_some_calls_come_without_a_number_and_none_of_them_sends_aml(contacts: list[Contact]) -> None:
    nameless = [contact for contact in contacts if contact.phone is None]
    assert 0.05 < len(nameless) / MANY < 0.25
    assert all(contact.aml is None for contact in nameless)


def test_some_calls_come_without_any_place(contacts: list[Contact]) -> None:
    assert 0.02 < sum(not contact.evidence and contact.aml is None for contact in contacts) / MANY < 0.2


def test_six_in_ten_ambulance_calls_are_emergencies() -> None:
    ambulance = {name: TYPES[name] for name in TYPES if PLANS[name].service == "ambulance"}
    urgent = sum(weight for name, weight in ambulance.items() if PLANS[name].priority in ("P1", "P2"))
    assert urgent / sum(ambulance.values()) == pytest.approx(0.6, abs=0.05)


def test_every_type_and_ending_is_of_the_catalogue() -> None:
    assert set(TYPES) <= set(PLANS)
    assert set(ENDINGS) <= {str(one) for one in Disposition}


def test_a_further_call_about_a_fire_comes_from_where_it_burns() -> None:
    callers, first, again = Callers(2), list[Contact](), list[Contact]()
    for n in range(6_000):
        contact = callers.call(START + timedelta(seconds=n), "UZ-TK")
        if contact.incident_type in SEEN_BY_MANY:
            (again if contact.again else first).append(contact)
    assert len(again) > 50
    for contact in again:
        alike = [f for f in first if f.incident_type == contact.incident_type and f.number < contact.number]
        assert min(distance_m(f.point, contact.point) for f in alike) < 400


def test_callers_stand_in_their_own_region(contacts: list[Contact]) -> None:
    regions = Regions()
    strays = [c for c in contacts[:2_000] if regions.at(*c.point).region != c.region and not c.again]
    assert not strays


def test_karakalpak_is_spoken_in_karakalpakstan(contacts: list[Contact]) -> None:
    spoken = Counter((contact.region, contact.language) for contact in contacts)
    assert spoken["UZ-QR", "kaa"] > spoken["UZ-QR", "ru"]
    assert spoken["UZ-TK", "kaa"] == 0
    assert {language for _, language in spoken} == {"uz-Latn", "uz-Cyrl", "ru", "kaa", "en"}


def test_every_body_is_one_that_the_service_understands(contacts: list[Contact]) -> None:
    for contact in contacts[:3_000]:
        raw = msgspec.json.encode(contact.body())
        check(msgspec.json.decode(raw, type=NewCall), SYSTEM_ACTOR, raw)


def test_only_who_hangs_up_hangs_up(contacts: list[Contact]) -> None:
    assert all((c.hangs_up_after_s is not None) == (c.fate == "hung_up") for c in contacts)
    assert all(c.channel == "voice" for c in contacts if c.fate == "hung_up")


def test_the_same_seed_gives_the_same_callers() -> None:
    def some(seed: int) -> list[Contact]:
        callers = Callers(seed)
        return [callers.call(START, "UZ-SA") for _ in range(40)]

    assert some(4) == some(4)
    assert some(4) != some(5)
