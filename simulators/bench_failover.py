"""`dispatch112 bench failover`: core processes killed and frozen under load, and what their callers notice.

Two or three processes share the country on one database and broker, all on loopback. Callers know every door
and go on to the next one under their key. Again and again a process is killed, or frozen for longer than its
lease; the takeover lasts from the blow until each of its busy regions has committed a call elsewhere. In the
end every acknowledged call is looked for in the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic
from typing import Any

import asyncpg
import msgspec

from consoles.serve import run_loop
from dispatch.core.terms import RegionId
from routing.regions import region_facts
from simulators.arrivals import shares
from simulators.cluster import Cluster, cluster
from simulators.country import roster, share_for
from simulators.phones import Phones, Told, refusals
from simulators.sites import chosen, sites, somewhere

QUIET_S = 2.0
FROZEN_S = 4.0
TAKEN_OVER_S = 4.0
AFTER_S = 3.0
ANSWERED_AT_ONCE_S = 0.15
BUSY_CALLS = 20
"""A region's takeover is timed where calls come all the time: elsewhere it would be the wait for the next call."""
TYPES = ("injury", "smoke", "road_accident", "gas_smell", "theft")
UNITS = 200
SETTLED_S = 10.0


class Blow(msgspec.Struct, kw_only=True):
    """One blow: which way, when, and which regions its process led."""

    how: str
    at_s: float
    led: set[str]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Start everything, measure, stop everything."""
    with tempfile.TemporaryDirectory(prefix="dispatch112-bench-") as home:
        return run_loop(_measured(args, Path(home)))


async def _measured(args: argparse.Namespace, home: Path) -> dict[str, Any]:
    regions = tuple(RegionId(region) for region in region_facts())
    units = roster(args.seed, share_for(UNITS, args.seed))[:UNITS]
    async with cluster(home, args.cores, units, regions=regions) as made:
        connection = await asyncpg.connect(made.services.database_url)
        try:
            phones = Phones(made.doors, made.credentials["device"]["token"], words, args.seed)
            each_s = QUIET_S + TAKEN_OVER_S + AFTER_S
            load = asyncio.create_task(phones.ring(args.calls_per_second, args.blows * each_s))
            blows = await _struck(made, connection, args)
            calls = await load
            return await _figures(args, calls, blows, connection)
        finally:
            await connection.close()


async def _struck(made: Cluster, connection: asyncpg.Connection, args: argparse.Namespace) -> list[Blow]:
    """Blow after blow, by turns a kill and a freeze, each when all processes are there again."""
    rng, blows = Random(args.seed), list[Blow]()
    for number in range(args.blows):
        await asyncio.sleep(QUIET_S)
        await asyncio.gather(*(member.readied() for member in made.members))
        member = rng.choice(made.members)
        rows = await connection.fetch("SELECT region FROM leaders WHERE address = $1", member.url)
        how = ("kill", "freeze")[number % 2]
        blows.append(Blow(how=how, at_s=monotonic(), led={row["region"] for row in rows}))
        if how == "kill":
            member.kill()
            await asyncio.sleep(TAKEN_OVER_S)
            member.launch()
        else:
            member.freeze()
            await asyncio.sleep(FROZEN_S)
            member.wake()
        await asyncio.sleep(AFTER_S)
    return blows


async def _figures(
    args: argparse.Namespace, calls: list[Told], blows: list[Blow], connection: asyncpg.Connection
) -> dict[str, Any]:
    told = [call for call in calls if call.status == 201]
    kept = await _kept(connection, told)
    seen: dict[str, list[float | None]] = {"kill": [], "freeze": []}
    for blow in blows:
        seen[blow.how] += takeovers_s(blow, calls)
    took = {how: [s for s in some if s is not None] for how, some in seen.items()}
    keys = await connection.fetch("SELECT key, convert_from(body, 'UTF8')::json->>'call_id' AS call_id FROM answers")
    made = Counter(row["call_id"] for row in keys)
    waits = sorted(call.told_s - call.asked_s for call in told)
    missing = [call.key for call in told if call.receipt["call_id"] not in kept]
    return {
        "processes": args.cores,
        "processors": len(os.sched_getaffinity(0)),
        "calls_per_second": args.calls_per_second,
        "blows": len(blows),
        "takeover_killed_p50_s": _rounded(median(took["kill"]) if took["kill"] else None),
        "takeover_killed_max_s": _rounded(max(took["kill"], default=None)),
        "takeover_frozen_p50_s": _rounded(median(took["freeze"]) if took["freeze"] else None),
        "takeover_frozen_max_s": _rounded(max(took["freeze"], default=None)),
        "takeovers_unseen": sum(some.count(None) for some in seen.values()),
        "calls_sent": len(calls),
        "acknowledged": len(told),
        "found": len(told) - len(missing),
        "calls_lost": len(missing),
        "doubled": sum(count - 1 for count in made.values()) + len(kept.keys() - made.keys()),
        "out_of_order": sum(
            kept[call.receipt["call_id"]] > call.receipt["seq"]
            for call in told
            if call.receipt["call_id"] in kept and not call.spooled
        ),
        "spooled": sum(call.spooled for call in told),
        "answers_other_than_201": refusals(calls),
        "wait_p99_s": _rounded(waits[int(0.99 * len(waits))] if waits else None),
        "wait_max_s": _rounded(waits[-1] if waits else None),
    }


async def _kept(connection: asyncpg.Connection, told: list[Told]) -> dict[str, int]:
    """Call id -> the number of the event it came in with; waits a while for what is still in a spool."""
    give_up_s = monotonic() + SETTLED_S
    while True:
        rows = await connection.fetch(
            "SELECT payload->'call'->>'call_id' AS call_id, seq FROM events WHERE kind = 'call_received'"
        )
        kept = {row["call_id"]: int(row["seq"]) for row in rows}
        if monotonic() > give_up_s or all(call.receipt["call_id"] in kept for call in told):
            return kept
        await asyncio.sleep(0.5)


def takeovers_s(blow: Blow, calls: list[Told]) -> list[float | None]:
    """For each busy region of the blow's process, from the blow until a call was committed there again; None where
    none was."""
    first: dict[str, float] = {}
    count = Counter[str]()
    for call in calls:
        if call.status != 201 or call.spooled:
            continue
        region = call.receipt["region"]
        count[region] += 1
        if call.told_s > blow.at_s + ANSWERED_AT_ONCE_S:
            first[region] = min(first.get(region, call.told_s), call.told_s)
    busy = {region for region, calls_there in count.items() if calls_there >= BUSY_CALLS}
    return [first[region] - blow.at_s if region in first else None for region in blow.led & busy]


def words(rng: Random) -> dict[str, Any]:
    """A call from where people live, in a region by its share of the country's calls."""
    share = shares()
    region = rng.choices(list(share), list(share.values()))[0]
    point = somewhere(chosen(sites(region), rng), rng)
    place = {"type": "Point", "coordinates": [round(point.lon, 6), round(point.lat, 6)]}
    return {
        "channel": "app",
        "caller": {"number": f"+99890{rng.randrange(10_000_000):07d}"},
        "location": [{"source": "app", "point": place, "accuracy_m": 15.0}],
        "incident_type": rng.choice(TYPES),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
