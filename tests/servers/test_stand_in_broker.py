"""Where no mosquitto can be had: the stand-in carries messages on loopback, and says that it enforces no rights."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from dispatch.servers import broker_programs
from dispatch.servers.broker import Broker, accepts

pytest.importorskip("iotcore", reason="the wheel iotcore is installed only where no mosquitto can be had")


@pytest.fixture
async def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    monkeypatch.setattr(broker_programs, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(broker_programs, "UNPACKED", tmp_path / "nothing")
    broker = Broker(tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


async def test_the_stand_in_carries_an_order_and_admits_its_limits(stand_in: Broker) -> None:
    port = int(str(stand_in.status()["port"]))
    assert stand_in.status()["enforces_rights"] is False
    await stand_in.write_credentials({"TK-AMB-001": "secret"})
    version = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client("127.0.0.1", port, protocol=version) as unit:
        await unit.subscribe("112/units/TK-AMB-001/orders", 1)
        await unit.publish("112/units/TK-AMB-001/orders", b"go", 1)
        message = await anext(aiter(unit.messages))
    assert message.payload == b"go"


async def test_the_stand_in_listens_on_loopback_only(stand_in: Broker) -> None:
    port = int(str(stand_in.status()["port"]))
    assert await accepts(port, "anybody", "")
    sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = {line.split()[1] for line in sockets if line.split()[3] == "0A"}
    assert {address for address in listening if address.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}
