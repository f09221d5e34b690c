"""Two processes of one cell lead different regions: a call whose place turns out to be the other's goes there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from dispatch.core.terms import RegionId
from dispatch.services import Services
from simulators.cluster import Cluster, cluster
from tests.journeys.ledger import read_ledger
from tests.journeys.proxy import Line, database_by, database_target

pytestmark = pytest.mark.slow

TASHKENT, SAMARKAND = RegionId("UZ-TK"), RegionId("UZ-SA")
PLACES = {TASHKENT: (41.311, 69.279), SAMARKAND: (39.654, 66.975)}
PATIENCE_S = 60.0


async def test_a_call_goes_to_its_region_though_another_process_leads_it(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2, [], regions=list(PLACES)) as made:
        leaders = await apart(made)
        assert leaders[TASHKENT] != leaders[SAMARKAND]
        for origin, target in ((TASHKENT, SAMARKAND), (SAMARKAND, TASHKENT)):
            call = await asked(
                made, "calls", {"channel": "app", "location": [said(origin)], "incident_type": "illness"}
            )
            assert call["region"] == origin
            corrected = said(target) | {"source": "operator"}
            await asked(made, f"calls/{call['call_id']}/location", corrected)
            card = await until_in(made, call["call_id"], target)
            assert card["status"] == "linked"
        connection = await asyncpg.connect(made.services.database_url)
        try:
            assert (await read_ledger(connection)).faults == []
        finally:
            await connection.close()


async def test_a_process_without_its_database_gives_the_answer_that_another_gave(tmp_path: Path) -> None:
    wire: dict[str, Line] = {}
    async with AsyncExitStack() as stack:

        async def urls(name: str, services: Services) -> dict[str, str]:
            wire[name] = await stack.enter_async_context(Line(database_target(services.database_url)))
            return {"database": database_by(services.database_url, wire[name]), "mqtt": services.mqtt_url}

        made = await stack.enter_async_context(cluster(tmp_path, 2, [], regions=list(PLACES), lines=urls))
        await apart(made)
        healthy, lost = made.doors()
        wire[made.members[1].name].cut()
        for region in PLACES:
            for kept in (True, False):
                headers = {"Idempotency-Key": f"{region}-{kept}"}
                first = await called(made, healthy, region, headers) if kept else None
                again = await called(made, lost, region, headers)
                assert again == first if kept else "spooled" in again["flags"]
        wire[made.members[1].name].heal()


async def called(made: Cluster, door: str, region: RegionId, headers: dict[str, str]) -> dict[str, Any]:
    """One app's call at that door: its receipt."""
    body = {"channel": "app", "location": [said(region)], "incident_type": "illness"}
    sent = {"Authorization": f"Bearer {made.credentials['device']['token']}", **headers}
    async with aiohttp.request("POST", f"{door}/api/v1/calls", json=body, headers=sent) as got:
        assert got.status == 201, await got.text()
        receipt: dict[str, Any] = await got.json()
        return receipt


async def apart(made: Cluster) -> dict[str, str]:
    """Region -> who leads it, once the two processes have shared the regions among themselves."""
    connection = await asyncpg.connect(made.services.database_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = dict(await connection.fetch("SELECT region, address FROM leaders"))
                if len(set(found.values())) == 2:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        seen = await connection.fetch("SELECT *, clock_timestamp() FROM leaders")
        words = "\n".join(member.last_words() for member in made.members)
        raise AssertionError(f"the regions were not shared: {seen}\n{words}") from None
    finally:
        await connection.close()


def said(region: RegionId) -> dict[str, Any]:
    lat, lon = PLACES[region]
    return {"source": "app", "point": {"type": "Point", "coordinates": [lon, lat]}, "accuracy_m": 20}


async def asked(made: Cluster, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A call taker's request at the first process, whichever leads."""
    headers = {"Authorization": f"Bearer {made.credentials['call_taker']['token']}"}
    url = f"{made.doors()[0]}/api/v1/{path}"
    async with aiohttp.request("POST", url, json=body, headers=headers) as got:
        assert got.status in (200, 201), await got.text()
        answer: dict[str, Any] = await got.json()
        return answer


async def until_in(made: Cluster, call_id: str, region: RegionId) -> dict[str, Any]:
    """The call's card at the second process, once the region has it."""
    headers = {"Authorization": f"Bearer {made.credentials['call_taker']['token']}"}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with aiohttp.request("GET", f"{made.doors()[1]}/api/v1/calls/{call_id}", headers=headers) as got:
                card: dict[str, Any] = await got.json()
            if got.status == 200 and card["region"] == region and card["moving_to"] is None:
                return card
            await asyncio.sleep(0.1)
