"""Who may say and hear what on the broker: a unit its own, nobody a neighbour's, without a log-in nothing."""

import asyncio
import base64
import contextlib
from urllib.parse import urlsplit

import aiomqtt
import pytest

from dispatch.servers.broker import accepts
from dispatch.servers.broker_rights import hashed, password_file
from tests.conftest import RunningBroker

OWN, OTHER = "TK-AMB-001", "TK-AMB-002"
PASSWORDS = {OWN: "a word of its own", OTHER: "another word"}
SOON_S = 60.0


@pytest.fixture(scope="module")
def units(broker: RunningBroker) -> RunningBroker:
    if not broker.enforces_rights:
        pytest.skip("the stand-in broker does not enforce topic rights: apt-get install mosquitto")
    broker.write_credentials(PASSWORDS)
    return broker


def unit(broker: RunningBroker, name: str) -> aiomqtt.Client:
    return client(broker, name, PASSWORDS[name])


def service(broker: RunningBroker) -> aiomqtt.Client:
    parts = urlsplit(broker.url)
    return client(broker, parts.username or "", parts.password or "")


def client(broker: RunningBroker, name: str, password: str) -> aiomqtt.Client:
    version = aiomqtt.ProtocolVersion.V5
    return aiomqtt.Client("127.0.0.1", broker.port, username=name, password=password, protocol=version)


async def topics_until(listener: aiomqtt.Client, last: str) -> list[str]:
    """What is heard up to the topic that is known to be published last: order is kept on one connection."""
    topics: list[str] = []
    async with asyncio.timeout(SOON_S):
        async for message in listener.messages:
            topics.append(str(message.topic))
            if topics[-1] == last:
                break
    return topics


async def test_a_unit_speaks_only_for_itself(units: RunningBroker) -> None:
    own = [f"112/units/{OWN}/{word}" for word in ("status", "ack", "link", "position")]
    forbidden = [
        f"112/units/{OTHER}/position",
        f"112/units/{OTHER}/status",
        f"112/units/{OWN}/orders",
        f"112/units/{OTHER}/orders",
        f"112/units/{OWN}/receipts",
        f"owntracks/{OTHER}/phone",
        "112/anything",
    ]
    async with service(units) as listener, unit(units, OWN) as speaker:
        await listener.subscribe([("112/#", 0), ("owntracks/#", 0)])
        for topic in [*forbidden, f"owntracks/{OWN}/phone", *own]:
            await speaker.publish(topic, b"{}")
        assert await topics_until(listener, own[-1]) == [f"owntracks/{OWN}/phone", *own]


async def test_a_unit_hears_only_its_own_orders_and_receipts(units: RunningBroker) -> None:
    own = [f"112/units/{OWN}/receipts", f"112/units/{OWN}/orders"]
    others = [f"112/units/{OTHER}/orders", f"112/units/{OTHER}/receipts", f"112/units/{OTHER}/position"]
    async with unit(units, OWN) as listener, service(units) as speaker:
        for pattern in ("112/#", "owntracks/#", *others, *own):
            with contextlib.suppress(aiomqtt.MqttError):  # Refusing the subscription is as good.
                await listener.subscribe(pattern)
        for topic in [*others, *own]:
            await speaker.publish(topic, b"{}")
        heard = await topics_until(listener, own[-1])
        assert sorted(set(heard)) == sorted(own)


async def test_nobody_enters_without_a_valid_log_in(units: RunningBroker) -> None:
    assert await accepts(units.port, OWN, PASSWORDS[OWN])
    assert not await accepts(units.port, OWN, PASSWORDS[OTHER])
    assert not await accepts(units.port, "nobody", "")
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", units.port):
            pass


async def test_new_log_ins_hold_when_the_call_returns_and_old_ones_end(units: RunningBroker) -> None:
    await asyncio.to_thread(units.write_credentials, {**PASSWORDS, "TK-AMB-003": "third"})
    assert await accepts(units.port, "TK-AMB-003", "third")
    await asyncio.to_thread(units.write_credentials, PASSWORDS)
    assert not await accepts(units.port, "TK-AMB-003", "third")
    assert await accepts(units.port, OWN, PASSWORDS[OWN]), "the others are not touched"


def test_a_password_is_stored_as_mosquitto_passwd_would() -> None:
    digest = "hdXQzLa2kgbvQVjQAdSWGjnomRncckp5Wk8kfxGMsqGlBwU0OnvCWBtpdQK22LMIJv01KW2TkQG08wHBhXAl6w=="
    written = f"$7$101$pWx5n1TP14EiN2I3${digest}"
    assert hashed("secret", base64.b64decode("pWx5n1TP14EiN2I3")) == written


@pytest.mark.parametrize("name", ["", "a:b", "+", "112/#", "two\nlines"])
def test_a_name_that_could_reach_further_is_not_written(name: str) -> None:
    with pytest.raises(AssertionError, match="cannot be a name"):
        password_file({name: "secret"})
