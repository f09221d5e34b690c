"""After a load: is everything there that was promised? Read back from the service's own lists by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec

from dispatch.errors import ServiceAway
from simulators.client import Client, Counts

PAGE = 200
PAGES_MOST = 1_200
SINGLES_AT_ONCE = 16

Row = dict[str, Any]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the service has of the calls it accepted. `lost`: it answered 201 and does not know the call."""

    located: int
    lost: tuple[str, ...]
    by_status: dict[str, int]


async def kept_calls(client: Client, accepted: Collection[str]) -> Kept:
    """Look for every accepted call: in the lists, newest first, and the rest one by one."""
    wanted, found = set(accepted), dict[str, Row]()
    cursor: str | None = None
    for _ in range(PAGES_MOST):
        rows, cursor = await _page(client, "calls", cursor)
        found.update((row["call_id"], row) for row in rows if row["call_id"] in wanted)
        if cursor is None or len(found) == len(wanted):
            break
    missing = sorted(wanted - found.keys())
    lost: list[str] = []
    for start in range(0, len(missing), SINGLES_AT_ONCE):
        step = missing[start : start + SINGLES_AT_ONCE]
        answers = await asyncio.gather(*(client.get(f"calls/{call_id}") for call_id in step))
        for call_id, answer in zip(step, answers, strict=True):
            if answer.good:
                found[call_id] = answer.body
            else:
                lost.append(call_id)
    statuses = [str(row["status"]) for row in found.values()]
    return Kept(
        located=sum(row["lat"] is not None for row in found.values()),
        lost=tuple(lost),
        by_status={status: statuses.count(status) for status in sorted(set(statuses))},
    )


async def calls_lost(url: str, token: str, accepted: Collection[str]) -> int:
    """How many calls were answered with 201 and are not there, as whoever has the token sees it."""
    client = Client(url, token, Counts())
    try:
        return len((await kept_calls(client, accepted)).lost)
    finally:
        await client.close()


async def incident_statuses(client: Client, wanted: Collection[str]) -> dict[str, str]:
    """The status of each incident that the lists still know."""
    found: dict[str, str] = {}
    names, cursor = set(wanted), None
    for _ in range(PAGES_MOST):
        rows, cursor = await _page(client, "incidents", cursor)
        found.update((row["incident_id"], row["status"]) for row in rows if row["incident_id"] in names)
        if cursor is None or len(found) == len(names):
            break
    return found


async def doubles(client: Client) -> list[tuple[str, ...]]:
    """Units with two live assignments: by the open incidents in the lists, and not by the boards.

    A list is read page by page while units move on, so whatever looks double is looked at again.
    """
    held: dict[str, set[str]] = {}
    for status in ("dispatched", "on_scene", "under_control", "pending_units"):
        cursor: str | None = None
        for _ in range(PAGES_MOST):
            rows, cursor = await _page(client, "incidents", cursor, status)
            for row in rows:
                for unit in row["units"]:
                    held.setdefault(unit["unit_id"], set()).add(row["incident_id"])
            if cursor is None:
                break
    suspects = [(unit_id, sorted(on)) for unit_id, on in sorted(held.items()) if len(on) > 1]
    return [(unit_id, *on) for unit_id, on in suspects if await _is_on_all(client, unit_id, on)]


async def _is_on_all(client: Client, unit_id: str, incidents: Collection[str]) -> bool:
    """Whether the incidents, asked for one after the other and then the first again, all hold the unit."""
    names = [*incidents, next(iter(incidents))]
    answers = [await client.get(f"incidents/{name}") for name in names]
    return all(a.good and unit_id in {unit["unit_id"] for unit in a.body["units"]} for a in answers)


async def units(client: Client) -> list[Row]:
    """The roster as the service knows it."""
    found: list[Row] = []
    cursor: str | None = None
    for _ in range(PAGES_MOST):
        rows, cursor = await _page(client, "units", cursor)
        found += rows
        if cursor is None:
            break
    return found


async def _page(
    client: Client, what: str, cursor: str | None, status: str | None = None
) -> tuple[list[Row], str | None]:
    asked = {"limit": str(PAGE)}
    if cursor is not None:
        asked["cursor"] = cursor
    if status is not None:
        asked["status"] = status
    answer = await client.get(what, asked)
    if not answer.good:
        raise ServiceAway(f"the service does not tell its {what} ({answer.code}): nothing can be checked")
    rows: list[Row] = answer.body[what]
    return rows, answer.body["next"]
