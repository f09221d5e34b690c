"""AML where several processes share the regions: whichever is told, the call has it, and no call goes in circles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from consoles.access import digest, hashed
from dispatch.actors import Actor, Role
from dispatch.calling.along import with_handsets
from dispatch.calling.calls import NewCall
from dispatch.core.state import RegionState
from dispatch.core.terms import ActorId, CallId, RegionId
from dispatch.formats.aml import sign_form
from dispatch.formats.aml_message import AmlMessage
from dispatch.formats.values import Point
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.spool import Spooled
from dispatch.web.bodies import decode
from dispatch.writing.records import Device
from tests.conftest import RunningBroker
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld, api_world
from tests.servers.test_api_aml import NUMBER, form, outcome, place, send
from tests.servers.two_processes import PATIENCE_S, REGIONS, Json, Process, enrolled

FORM = "application/x-www-form-urlencoded"
OURS, STRANGERS = "127.0.0.1", "127.0.0.2"
"""The address of the operators' gateway, and one that nobody allowed."""
SENDER = Actor(actor_id=ActorId("device:1"), role=Role.DEVICE, username="1")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """A process that leads Tashkent, with its spool; Samarkand is another's."""
    async with api_world(MemoryStore(), tmp_path / "spool") as running:
        await running.stop()
        running.regions = (TK,)
        await running.start()
        running.engine.replicas.adopt(RegionState(SA))
        await running.get("regions")
        yield running


async def vouched(world: ApiWorld, body: str, shown: str) -> None:
    headers = {"Content-Type": FORM, "Via": "1.1 dispatch112-core", "Authorization": shown}
    async with world.session.post(f"{world.url}/api/v1/aml", data=body.encode(), headers=headers) as got:
        assert got.status == 204


async def test_what_another_process_vouches_for_is_believed_signed_or_not(world: ApiWorld) -> None:
    world.interface.aml.admits = "Process ours".__eq__
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    signed = sign_form(form(device_number=NUMBER), b"a key that only the other has")
    for body in (form(device_number=NUMBER), signed):
        await vouched(world, body, "Process theirs")
        assert place(world, call["call_id"]) is None
    await vouched(world, signed, "Process ours")
    assert place(world, call["call_id"]).source == "aml"
    counted = [await outcome(world, name) for name in ("unauthenticated", "forged", "used")]
    assert counted == [1, 1, 1]


async def test_a_call_whose_handset_is_in_the_region_of_another_process_begins_here_and_is_handed_over(
    world: ApiWorld,
) -> None:
    await send(world, form(REGISTAN, device_number=NUMBER))
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    assert (call["region"], call["flags"]) == (TK, ["unlocated"])
    kept = world.engine.states[TK].calls[CallId(call["call_id"])]
    assert (kept.moving_to, place(world, call["call_id"]).source) == (SA, "aml")
    assert len(kept.evidence) == 1 and world.interface.aml.matcher.waiting == 0


async def test_a_spooled_call_is_committed_whatever_region_its_handset_says(world: ApiWorld) -> None:
    assert isinstance(world.store, MemoryStore) and world.spool is not None
    world.store.faults.away = True
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, form(REGISTAN, device_number=NUMBER))
    world.store.faults.away = False
    async with asyncio.timeout(60):
        while len(world.spool):
            await asyncio.sleep(0.02)
    assert world.engine.states[TK].calls[CallId(call["call_id"])].moving_to == SA


async def test_a_call_that_is_carried_to_another_process_takes_its_handset_s_words_along() -> None:
    async with api_world() as world:
        intake, clock = world.interface.intake, world.clock
        came_at, where = clock.now(), Point(lat=REGISTAN[1], lon=REGISTAN[0])
        for accuracy_m in (12.0, 20_000_000.0):
            said = AmlMessage(transport="form", version="1", position=where, accuracy_m=accuracy_m, number=NUMBER)
            intake.matcher.keep(said, came_at)
        calls = [spooled("c-1", came_at, "90 123 45 67"), spooled("c-2", came_at, "90 765 43 21")]
        clock.advance(3600)
        tried: list[tuple[RegionId, Sequence[Spooled]]] = []
        away = {SA}

        async def carry(some: Sequence[Spooled], region: RegionId) -> Collection[CallId]:
            tried.append((region, some))
            return [call.call_id for call in some if region not in away]

        along = with_handsets(intake.reception, carry)
        assert await along(calls, TK) == {"c-2"}
        assert intake.matcher.waiting == 2, "nobody has it yet"
        away.clear()
        assert await along(calls, TK) == {"c-1", "c-2"}
        assert intake.matcher.waiting == 0
        assert [region for region, _ in tried] == [SA, TK, SA, TK] and dict(tried)[TK] == [calls[1]]
        (taken,) = dict(tried)[SA]
        assert {piece.at for piece in decode(taken.raw, NewCall).evidence} == {came_at}
        assert await intake.drain.drained([taken], onward=False) == {}
        location = world.engine.states[SA].calls[CallId("c-1")].location
        assert location is not None and location.source == "aml"


def spooled(name: str, at: datetime, number: str) -> Spooled:
    raw = f'{{"channel":"voice","caller":{{"number":"{number}"}}}}'.encode()
    return Spooled(call_id=CallId(name), at=at, actor=SENDER, raw=raw, answer=b"{}", region=TK)


class Cell:
    """Two cores, one for each region, and a gateway; each takes AML from the operators' gateway."""

    def __init__(self, home: Path, database_url: str, broker: RunningBroker) -> None:
        shared = ["--database-url", database_url, "--regions", ",".join(REGIONS)]
        core = ["--roles", "core,intake", "--mqtt-url", broker.url]
        self.cores = [Process(home, name, *core, *shared) for name in ("one", "two")]
        self.gateway = Process(home, "gateway", "--roles", "gateway", *shared)
        for name in ("one", "two", "gateway"):
            (home / name).mkdir(mode=0o700)
            (home / name / "aml.allow").write_text(f"{OURS}\n")
        self._database_url = database_url
        self.session = aiohttp.ClientSession()

    async def start(self) -> None:
        for process in (*self.cores, self.gateway):
            await process.start()

    async def leaders(self) -> dict[str, Process]:
        """Who leads each region, once each of the two leads one."""
        by_url = {process.url: process for process in self.cores}
        connection = await asyncpg.connect(self._database_url)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    found = await connection.fetch("SELECT region, address FROM leaders WHERE expires_at > now()")
                    led = {row["region"]: by_url[row["address"]] for row in found if row["address"] in by_url}
                    if len(led) == len(set(led.values())) == 2:
                        return led
                    await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def ask(self, at: Process, method: str, path: str, body: Any = None, token: str = "dispatcher") -> Json:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, f"{at.url}/api/v1/{path}", json=body, headers=headers) as got:
            assert got.status in (200, 201), await got.text()
            said: Json = await got.json()
            return said

    async def tell(
        self,
        at: Process,
        number: str,
        *,
        point: Sequence[float] = REGISTAN,
        sender: str = OURS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A handset's SMS, as a gateway passes it on."""
        made = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        text = f'A"ML=1;lt={point[1]:+.5f};lg={point[0]:+010.5f};rd=35;top={made};lc=90;pm=G'
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(sender, 0))) as session,
            session.post(
                f"{at.url}/api/v1/aml",
                params={"from": number},
                data=text.encode(),
                headers={"Content-Type": "text/plain", **(headers or {})},
            ) as got,
        ):
            assert got.status == 204

    async def until_placed(self, at: Process, call_id: str, region: str) -> None:
        """Return when the call is in the region, placed by its handset."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                card = await self.ask(at, "GET", f"calls/{call_id}")
                found = card["location"] or {}
                if (card["region"], found.get("source"), card.get("moving_to")) == (region, "aml", None):
                    return
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        await self.session.close()
        for process in (self.gateway, *self.cores):
            process.stop()


@pytest.fixture
async def cell(tmp_path: Path, postgres_url: str, broker: RunningBroker) -> AsyncIterator[Cell]:
    await enrolled(postgres_url, await hashed("a long pass phrase"))
    store = PostgresStore(postgres_url)
    await store.open()
    await store.put_device(Device(token=digest("device_sa"), actor="device:sa", role="device", regions=(SA,)))
    await store.close()
    made = Cell(tmp_path, postgres_url, broker)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def in_samarkand(number: str) -> Json:
    """A call that its mast places in Samarkand."""
    mast = {"source": "cell", "point": REGISTAN, "accuracy_m": 3000}
    return {"channel": "voice", "caller": {"number": number}, "location": [mast]}


@pytest.mark.slow
async def test_what_an_allowed_gateway_says_reaches_its_call_whichever_process_is_told(cell: Cell) -> None:
    leaders = await cell.leaders()
    there = leaders[SA]
    strangers = [{}, {"X-Forwarded-For": OURS}, {"Authorization": "Process of ours"}]
    for index, door in enumerate((leaders[TK], cell.gateway)):
        number = f"+99890123456{index}"
        call = await cell.ask(there, "POST", "calls", in_samarkand(number), token="device")
        for headers in strangers:
            await cell.tell(door, number, sender=STRANGERS, headers=headers)
        card = await cell.ask(there, "GET", f"calls/{call['call_id']}")
        assert (card["region"], card["location"]["source"]) == (SA, "cell")
        await cell.tell(door, number)
        await cell.until_placed(there, call["call_id"], SA)


@pytest.mark.slow
async def test_a_redial_for_which_a_location_waits_that_another_process_used_is_taken_at_once(cell: Cell) -> None:
    leaders = await cell.leaders()
    here, there = leaders[TK], leaders[SA]
    voice = {"channel": "voice", "caller": {"number": NUMBER}}
    first = await cell.ask(there, "POST", "calls", voice, token="device_sa")
    await cell.tell(there, NUMBER)
    await cell.until_placed(there, first["call_id"], SA)
    again = await cell.ask(here, "POST", "calls", voice, token="device")
    assert (again["region"], "spooled" in again.get("flags", ())) == (TK, False)
    await cell.until_placed(there, again["call_id"], SA)


@pytest.mark.slow
async def test_what_comes_too_late_or_from_nowhere_is_one_person_s_work_once(cell: Cell) -> None:
    await cell.leaders()
    call = await cell.ask(cell.cores[0], "POST", "calls", in_samarkand(NUMBER), token="device")
    # Whoever starts now knows by its number each call that goes on, also where another leads.
    for core in cell.cores:
        core.stop()
        await core.start()
    there = (await cell.leaders())[SA]
    await cell.ask(there, "POST", f"calls/{call['call_id']}/close", {"disposition": "advice_only"})
    await asyncio.sleep(1.0)  # The other follows, and sees that the call is over.
    program = {"Authorization": "Bearer device"}
    await cell.tell(there, NUMBER, sender=STRANGERS, headers=program)
    await cell.tell(there, NUMBER, point=[37.6, 55.7], sender=STRANGERS, headers=program)
    await cell.tell(cell.gateway, NUMBER, point=CHORSU[::-1])
    kept = await cell.ask(there, "GET", "contacts", token="supervisor")
    faults = sorted(contact["fault"][:18] for contact in kept["contacts"])
    assert faults == ["AML of a call that", "AML without a usab", "AML without a usab"]
