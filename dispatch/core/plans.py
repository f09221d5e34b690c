"""Incident types and what each needs: a first response plan for every kind of emergency.

A plan is data: the units by body and capability for its usual priority, what a P1 adds, and within what
distance and time a further call is taken to be about the same incident. Illness of one person never joins
by itself: two patients in one house are two incidents until a person says otherwise.
Names for people live in the catalogues, not here.
"""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.core.terms import Body, Need, Priority, Service, Value


class Plan(Value, frozen=True, kw_only=True):
    """What an incident type needs. `joins_m` 0 means that calls never join by themselves."""

    incident_type: str
    service: Service
    priority: Priority
    needs: tuple[Need, ...]
    more_at_p1: tuple[Need, ...] = ()
    group: str = ""
    joins_m: float = 0.0
    joins_s: float = 0.0


def _needs(*words: str) -> tuple[Need, ...]:
    """`"moh als"` is one such unit, `"mes pump 2"` two."""
    parts = (word.split() for word in words)
    return tuple(
        Need(body=Body(body), capability=capability, count=int(count[0]) if count else 1)
        for body, capability, *count in parts
    )


def _medical(name: str, priority: str, capability: str = "als") -> Plan:
    return Plan(
        incident_type=name,
        service=Service.AMBULANCE,
        priority=Priority(priority),
        needs=_needs(f"moh {capability}"),
    )


def _plan(words: str, *needs: str, more: tuple[str, ...] = (), joins: tuple[float, float] = (0, 0)) -> Plan:
    """`words` are the type, the service, the priority, and the group whose calls may join each other."""
    name, service, priority, group = words.split()
    return Plan(
        incident_type=name,
        service=Service(service),
        priority=Priority(priority),
        needs=_needs(*needs),
        more_at_p1=_needs(*more),
        group=group,
        joins_m=joins[0],
        joins_s=joins[1],
    )


_FIRE = (300.0, 1800.0)
_ROAD = (200.0, 1200.0)
_GAS = (150.0, 1800.0)
_WATER = (500.0, 3600.0)

PLANS: Mapping[str, Plan] = {
    plan.incident_type: plan
    for plan in (
        _medical("cardiac_arrest", "P1"),
        _medical("unconscious", "P1"),
        _medical("breathing_difficulty", "P1"),
        _medical("chest_pain", "P1"),
        _medical("stroke", "P1"),
        _medical("severe_bleeding", "P1"),
        _medical("childbirth", "P2"),
        _medical("injury", "P2", "bls"),
        _medical("burn", "P2", "bls"),
        _medical("poisoning", "P2", "bls"),
        _medical("fever_child", "P3", "bls"),
        _medical("illness", "P3", "bls"),
        _medical("medical_call", "P2", "bls"),
        _plan("road_accident ambulance P2 road", "moh bls", "mia traffic", more=("mes rescue",), joins=_ROAD),
        _plan("road_accident_trapped rescue P1 road", "moh als", "mes rescue", "mia traffic", joins=_ROAD),
        _plan("building_fire fire P1 fire", "mes pump 2", "moh bls", "mia patrol", joins=_FIRE),
        _plan("vehicle_fire fire P2 fire", "mes pump", joins=_FIRE),
        _plan("grass_fire fire P3 fire", "mes pump", joins=_FIRE),
        _plan("smoke fire P2 fire", "mes pump", joins=_FIRE),
        _plan("fire_call fire P2 fire", "mes pump", more=("mes pump",), joins=_FIRE),
        _plan("collapse rescue P1 collapse", "mes rescue 2", "moh als", "mia patrol", joins=_FIRE),
        _plan("water_rescue rescue P1 water", "mes rescue", "moh als", joins=_WATER),
        _plan("flood rescue P2 water", "mes rescue", joins=_WATER),
        _plan("person_trapped rescue P2 trapped", "mes rescue"),
        _plan("rescue_call rescue P2 rescue", "mes rescue"),
        _plan("gas_leak gas P1 gas", "gas gas_emergency", "mes pump", joins=_GAS),
        _plan("gas_smell gas P2 gas", "gas gas_emergency", joins=_GAS),
        _plan("carbon_monoxide gas P1 carbon_monoxide", "gas gas_emergency", "moh als"),
        _plan("gas_call gas P2 gas", "gas gas_emergency", joins=_GAS),
        _plan("assault police P1 assault", "mia patrol", "moh bls"),
        _plan("robbery police P1 robbery", "mia patrol 2"),
        _plan("domestic_violence police P2 domestic", "mia patrol"),
        _plan("disturbance police P3 disturbance", "mia patrol"),
        _plan("theft police P3 theft", "mia patrol"),
        _plan("missing_person police P2 missing", "mia patrol"),
        _plan("police_call police P2 police", "mia patrol"),
        _plan("child_at_risk social P2 child", "nasp social", "mia patrol"),
        _plan("social_crisis social P3 social", "nasp social"),
        _plan("social_call social P4 social", "nasp social"),
    )
}

UNSPECIFIED: Mapping[Service, str] = {
    Service.POLICE: "police_call",
    Service.FIRE: "fire_call",
    Service.RESCUE: "rescue_call",
    Service.AMBULANCE: "medical_call",
    Service.GAS: "gas_call",
    Service.SOCIAL: "social_call",
}
"""The incident type of a caller who named a service and nothing more."""

assert set(UNSPECIFIED.values()) <= set(PLANS)


def needs_of(incident_type: str, priority: Priority) -> tuple[Need, ...]:
    """What an incident of this type and priority asks for."""
    plan = PLANS[incident_type]
    more = plan.more_at_p1 if priority is Priority.P1 else ()
    found = {(need.body, need.capability): 0 for need in plan.needs + more}
    for need in plan.needs + more:
        found[need.body, need.capability] += need.count
    return tuple(Need(body=body, capability=what, count=n) for (body, what), n in found.items())
