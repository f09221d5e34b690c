"""The demo country: stations and units of the five bodies in all 14 regions, from a seed.

How many: field.md knows 2,865 ambulance brigades at 1,680 stations (1.7 a station); of the other bodies it
knows nothing, so their national numbers are assumptions, sized by the work that callers.py gives them. The
demo takes SHARE of everybody: about 1,400 units, enough for 60 calls a minute, of which a third need
somebody, with 1.3 units each, busy for some 35 minutes (20 × 1.3 × 35 = 900 at work at once).

Where: ambulances by a region's 103 calls of 2025, everybody else by its people, with a least number of each;
inside a region by the people of its settlements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Protocol

import msgspec

from dispatch.core.commands import Command, RegisterUnit, SetPolicy, ShiftUnit
from dispatch.core.state import RegionState
from dispatch.core.terms import SYSTEM, Assigning, Body, Policy, RegionId, Unit, UnitId
from dispatch.errors import ServiceAway, UserMistake
from routing.geometry import Point, from_local_m
from routing.regions import RegionFacts, region_facts
from simulators.sites import Site, sites

SHARE = 0.3
"""The share of the national fleet that the demo shows."""
SHARE_MAX = 5.0
"""Twenty thousand units and more, for a benchmark: five times what the country has."""
UNITS_A_STATION = 2_865 / 1_680
CONFIRMED = ("UZ-NW", "UZ-SI", "UZ-XO")
"""Regions where dispatchers confirm each recommendation; in the others the system assigns by itself."""
STATION_SPREAD = 0.6
"""How far from a settlement's middle its stations lie, as a share of its reach."""
AT_ONCE = 400

Snap = Callable[[float, float], Point]


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The units of one kind. `national` in the whole country; `least` in each region of the demo."""

    letter: str
    body: Body
    kind: str
    capabilities: tuple[tuple[str, ...], ...]
    national: int
    least: int
    number: str
    """The service's number, by which people call its stations."""


FLEETS = (
    # One ambulance in two carries a doctor's team; it does the simpler work as well.
    Fleet(letter="A", body=Body.MOH, kind="ambulance", capabilities=(("als", "bls"), ("bls",)),
          national=2_865, least=12, number="103"),
    Fleet(letter="P", body=Body.MIA, kind="patrol", capabilities=(("patrol",),), national=640, least=6, number="102"),
    Fleet(letter="T", body=Body.MIA, kind="traffic", capabilities=(("traffic",),), national=230, least=3,
          number="102"),
    Fleet(letter="F", body=Body.MES, kind="pump", capabilities=(("pump",),), national=450, least=6, number="101"),
    Fleet(letter="R", body=Body.MES, kind="rescue", capabilities=(("rescue",),), national=200, least=3,
          number="1050"),
    Fleet(letter="G", body=Body.GAS, kind="gas_emergency", capabilities=(("gas_emergency",),), national=270, least=4,
          number="104"),
    Fleet(letter="S", body=Body.NASP, kind="social", capabilities=(("social",),), national=190, least=3,
          number="NASP"),
)  # fmt: skip


class UnitSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the roster and where its station stands (degrees)."""

    unit_id: UnitId
    call_sign: str
    region: RegionId
    body: Body
    kind: str
    capabilities: tuple[str, ...]
    station: str
    at: Point


class Engine(Protocol):
    """What enrolling needs of the service's engine."""

    states: dict[RegionId, RegionState]

    async def submit(self, region: RegionId, command: Command) -> object: ...


def roster(seed: int, share: float = SHARE, snap: Snap | None = None) -> tuple[UnitSpec, ...]:
    """The same units for the same seed and share; `snap` moves a station onto the roads."""
    assert 0 < share <= SHARE_MAX, share
    return tuple(spec for region in region_facts().values() for spec in _of_region(region, seed, share, snap))


def numbers(region: RegionFacts, share: float = SHARE) -> dict[str, int]:
    """How many units of each fleet, by its letter, a region has."""
    facts = region_facts().values()
    calls = region.calls_103_in_2025 / sum(fact.calls_103_in_2025 for fact in facts)
    people = region.population / sum(fact.population for fact in facts)
    return {
        fleet.letter: max(fleet.least, round(fleet.national * share * (calls if fleet.letter == "A" else people)))
        for fleet in FLEETS
    }


def share_for(units: int, seed: int) -> float:
    """The share of the national fleet that has at least so many units. Raises UserMistake when none has."""
    share = SHARE
    while len(roster(seed, share)) < units:
        if share == SHARE_MAX:
            raise UserMistake(f"there are no {units:,} units: at most {len(roster(seed, share)):,}")
        share = min(1.05 * share, SHARE_MAX)
    return share


async def enrol(engine: Engine, units: Sequence[UnitSpec]) -> int:
    """Put the roster into a service that does not have it yet; says how many units are new.

    After a restart nothing changes: what a person set since, a shift or a policy, stays.
    """
    fresh = [spec for spec in units if spec.region in engine.states and not _known(engine, spec)]
    unset = {spec.region for spec in fresh if not engine.states[spec.region].units}
    for region in sorted(unset & set(CONFIRMED)):
        policy = Policy(assigning=Assigning.CONFIRM)
        await _submitted(engine, RegionId(region), SetPolicy(actor=SYSTEM, policy=policy))
    for start in range(0, len(fresh), AT_ONCE):
        step = fresh[start : start + AT_ONCE]
        await asyncio.gather(*(_submitted(engine, s.region, RegisterUnit(actor=SYSTEM, unit=_unit(s))) for s in step))
        await asyncio.gather(
            *(_submitted(engine, s.region, ShiftUnit(actor=SYSTEM, unit_id=s.unit_id, on_shift=True)) for s in step)
        )
    return len(fresh)


async def _submitted(engine: Engine, region: RegionId, command: Command) -> None:
    refusal = getattr(await engine.submit(region, command), "refusal", None)
    if refusal is not None:
        raise ServiceAway(f"{region} refuses the demo's roster: {refusal.message}")


def _known(engine: Engine, spec: UnitSpec) -> bool:
    return spec.unit_id in engine.states[spec.region].units


def _unit(spec: UnitSpec) -> Unit:
    """The unit as the core keeps it; the core sets `since` when it registers one."""
    return Unit(
        unit_id=spec.unit_id,
        call_sign=spec.call_sign,
        region=spec.region,
        body=spec.body,
        kind=spec.kind,
        capabilities=spec.capabilities,
        station=spec.station,
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _of_region(region: RegionFacts, seed: int, share: float, snap: Snap | None) -> list[UnitSpec]:
    rng = Random(f"{seed}:roster:{region.id}")
    many = numbers(region, share)
    found: list[UnitSpec] = []
    for fleet in FLEETS:
        places = [
            place for site, count in _spread(region.id, many[fleet.letter]) for place in _stations(site, count, rng)
        ]
        for number, (station, at) in enumerate(places, start=1):
            call_sign = f"{fleet.letter}{number}"
            found.append(
                UnitSpec(
                    unit_id=UnitId(f"{region.id[3:]}-{call_sign}"),
                    call_sign=call_sign,
                    region=RegionId(region.id),
                    body=fleet.body,
                    kind=fleet.kind,
                    capabilities=fleet.capabilities[(number - 1) % len(fleet.capabilities)],
                    station=f"{fleet.number} {station}",
                    at=snap(*at) if snap is not None else at,
                )
            )
    return found


def _spread(region: str, count: int) -> list[tuple[Site, int]]:
    """So many units over the region's sites by their people: whole parts first, then the largest rests."""
    options = sites(region)
    people = sum(site.people for site in options)
    quotas = [count * site.people / people for site in options]
    given = [int(quota) for quota in quotas]
    rests = sorted(range(len(options)), key=lambda i: (given[i] - quotas[i], i))
    for i in rests[: count - sum(given)]:
        given[i] += 1
    assert sum(given) == count
    return [(site, n) for site, n in zip(options, given, strict=True) if n]


def _stations(site: Site, units: int, rng: Random) -> list[tuple[str, Point]]:
    """The stations of a site, one entry for each unit: the first in its middle, the others around it."""
    count = max(1, round(units / UNITS_A_STATION))
    reach_m = STATION_SPREAD * site.town_m
    made = [(site.name if count == 1 else f"{site.name} 1", site.at)]
    for number in range(2, count + 1):
        east_m, north_m = rng.uniform(-reach_m, reach_m), rng.uniform(-reach_m, reach_m)
        made.append((f"{site.name} {number}", from_local_m(site.at, east_m, north_m)))
    return [made[i % count] for i in range(units)]
