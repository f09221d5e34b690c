"""What credentials.json says works from outside: the unit at the broker, with its own topics only, and AML's key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiomqtt
import pytest

from dispatch.formats.aml import sign_form
from dispatch.keeping.tracks import FLUSH_EVERY_S
from dispatch.servers.broker_programs import find_broker
from dispatch.services import running_addresses
from simulators.client import Client, Counts
from tests.servers.field_world import plain_client
from tests.simulators.running_demo import demo, ended, token

pytestmark = pytest.mark.slow

OTHER = "TK-A2"
SOON_S, QUIET_S = 60.0, 1.0
TRACED_S = FLUSH_EVERY_S + 1.0
HERE = {"_type": "location", "lat": 41.3264, "lon": 69.2346, "acc": 8}


def unit_login(home: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((home / "credentials.json").read_text())["unit"]
    return found


@asynccontextmanager
async def logged_in(home: Path) -> AsyncIterator[aiomqtt.Client]:
    """A client with what the file says, as a person would type it."""
    kept = unit_login(home)
    place = urlsplit(kept["mqtt_url"])
    assert place.username is None and place.password is None, "the service's own log-in is nobody else's"
    async with aiomqtt.Client(
        place.hostname or "",
        place.port or 0,
        username=kept["username"],
        password=kept["password"],
        protocol=aiomqtt.ProtocolVersion.V5,
    ) as client:
        yield client


def served(home: Path) -> aiomqtt.Client:
    """The service's own client, which may say everything."""
    addresses = running_addresses(home)
    assert addresses is not None
    return plain_client(addresses.mqtt_url)


async def heard(client: aiomqtt.Client) -> tuple[str, Any]:
    """The next message on what the client follows."""
    async with asyncio.timeout(SOON_S):
        message = await anext(client.messages)
    return str(message.topic), json.loads(bytes(message.payload))


async def overheard(client: aiomqtt.Client) -> set[str]:
    """The topics of everything that still comes."""
    topics: set[str] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(QUIET_S):
            async for message in client.messages:
                topics.add(str(message.topic))
    return topics


def status(number: str) -> bytes:
    at = datetime.now(UTC).isoformat()
    return json.dumps({"status_id": number, "status": "out_of_service", "at": at}).encode()


async def refused_elsewhere(client: aiomqtt.Client, unit_id: str) -> None:
    """Nothing of anybody else is heard or said: MQTT 5 has the broker say so, or it stays silent."""
    foreign = (f"112/units/{OTHER}/orders", f"112/units/{OTHER}/receipts", f"112/units/{unit_id}/status", "#")
    for topic in foreign:
        await client.subscribe(topic, qos=1)
    spoken = ((f"112/units/{OTHER}/status", status("stolen")), (f"112/units/{unit_id}/orders", b"{}"))
    for topic, payload in spoken:
        await client.publish(topic, payload, qos=1)


async def positioned(home: Path, url: str, unit_id: str) -> dict[str, Any]:
    """The unit with its position, once there is one."""
    reader = Client(url, token(home, "dispatcher"), Counts())
    try:
        async with asyncio.timeout(SOON_S):
            while not (unit := (await reader.get(f"units/{unit_id}")).body).get("position"):
                await asyncio.sleep(0.1)
    finally:
        await reader.close()
    found: dict[str, Any] = unit
    return found


async def test_a_form_signed_with_the_demos_key_locates_its_call_and_a_forged_one_does_not(tmp_path: Path) -> None:
    home = tmp_path / "data"
    async with demo(home, "--no-load") as (_, url):
        key = json.loads((home / "credentials.json").read_text())["aml"]["hmac_key"]
        client = Client(url, token(home, "call_taker"), Counts())
        try:
            said = {"channel": "voice", "caller": {"number": "+998901234567"}}
            call = (await client.post("calls", said)).body["call_id"]
            fields = {"v": 1, "device_number": "+998901234567", "location_latitude": 41.3264}
            form = urlencode(fields | {"location_longitude": 69.2346, "location_accuracy": 12})
            assert (await client.post_form("aml", sign_form(form, b"a guess").encode())).status == 204
            assert (await client.get(f"calls/{call}")).body.get("location") is None
            assert (await client.post_form("aml", sign_form(form, key.encode()).encode())).status == 204
            found = (await client.get(f"calls/{call}")).body["location"]
            assert (found["source"], found["point"]["coordinates"]) == ("aml", [69.2346, 41.3264])
        finally:
            await client.close()


async def test_the_units_log_in_works_at_the_broker_and_reaches_only_its_own_topics(tmp_path: Path) -> None:
    if not find_broker().enforces_rights:
        pytest.skip("the stand-in broker does not enforce topic rights: apt-get install mosquitto")
    home = tmp_path / "data"
    async with demo(home, "--no-load") as (child, url):
        kept = unit_login(home)
        unit_id = kept["unit_id"]
        async with logged_in(home) as client:
            await refused_elsewhere(client, unit_id)
            await client.subscribe(f"112/units/{unit_id}/receipts", qos=1)
            at = int(datetime.now(UTC).timestamp())
            await client.publish(f"112/units/{unit_id}/position", json.dumps(HERE | {"tst": at}).encode(), qos=1)
            async with served(home) as service:
                await service.publish(f"112/units/{OTHER}/orders", b"{}", qos=1)
            await client.publish(f"112/units/{unit_id}/status", status("mine"), qos=1)
            assert await heard(client) == (f"112/units/{unit_id}/receipts", {"status_id": "mine"})
            assert await overheard(client) <= {f"112/units/{unit_id}/receipts"}, "by `#` it comes a second time"
        await positioned(home, url, unit_id)
        await asyncio.sleep(TRACED_S)
        other = Client(url, token(home, "dispatcher"), Counts())
        assert (await other.get(f"units/{OTHER}")).body["status"] == "available", "not the stolen one"
        await other.close()
        child.send_signal(signal.SIGTERM)
        code, said = await ended(child)
        assert code == 0, said
        assert kept["mqtt_url"] in said and kept["password"] in said
    async with demo(home, "--no-load") as (_, url):
        where = (await positioned(home, url, unit_id))["position"]
        assert where["point"]["coordinates"] == [HERE["lon"], HERE["lat"]], "where it was before the restart"
        assert unit_login(home)["password"] == kept["password"]
        async with logged_in(home) as client:
            await client.subscribe(f"112/units/{unit_id}/receipts", qos=1)
            await client.publish(f"112/units/{unit_id}/status", status("later"), qos=1)
            assert await heard(client) == (f"112/units/{unit_id}/receipts", {"status_id": "later"})
