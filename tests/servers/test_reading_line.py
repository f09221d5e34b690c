"""The line of positions against a real broker: it reads all, comes back by itself, and one message breaks nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.errors import ServiceAway
from dispatch.servers.broker import Broker
from dispatch.units import line as line_module
from dispatch.units import reading
from dispatch.units.line import Line, LinePlan
from dispatch.units.reading import ReadingLine
from tests.servers.field_world import plain_client, until
from tests.servers.wire import Wire


class Reader:
    """A reading line that keeps what it hears, on a wire that can be cut."""

    def __init__(self, broker: Broker, url: str, wire: Wire) -> None:
        self.broker = broker
        self.url = url
        self.wire = wire
        self.heard: list[tuple[str, bytes]] = []
        self.line = self.made(wire.url(url))

    def made(self, url: str) -> ReadingLine:
        plan = LinePlan(url=url, client_id="reader", subscriptions=(("112/units/+/position", 0),), light=True)
        return ReadingLine(plan, on_message=lambda topic, payload: self.heard.append((topic, payload)))

    async def say(self, *payloads: bytes) -> None:
        async with plain_client(self.url) as client:
            for number, payload in enumerate(payloads):
                await client.publish(f"112/units/TK-{number}/position", payload)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    broker = Broker(tmp_path)
    url = await broker.start()
    try:
        async with Wire(int(url.rpartition(":")[2])) as cuttable:
            made = Reader(broker, url, cuttable)
            running = asyncio.create_task(made.line.run())
            try:
                await until(lambda: made.line.up)
                yield made
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
    finally:
        await broker.stop()


async def test_more_than_one_turn_of_messages_is_heard_in_order(reader: Reader) -> None:
    many = 5 * reading.PACKETS_AT_ONCE + 7
    await reader.say(*(b'{"n":%d}' % number for number in range(many)))
    await until(lambda: len(reader.heard) == many)
    assert reader.heard == [(f"112/units/TK-{n}/position", b'{"n":%d}' % n) for n in range(many)]


async def test_a_broken_handler_is_survived(reader: Reader) -> None:
    hear = reader.line._on_message
    failures = 0

    def stumble(topic: str, payload: bytes) -> None:
        nonlocal failures
        if payload == b"trip":
            failures += 1
            raise RuntimeError("a bug of ours")
        hear(topic, payload)

    reader.line._on_message = stumble
    reader.wire.cut()
    reader.wire.mend()
    await until(lambda: reader.line.ups == 2)
    await reader.say(b"before", b"trip", b"after")
    await until(lambda: len(reader.heard) == 2)
    assert [payload for _, payload in reader.heard] == [b"before", b"after"]
    assert (failures, reader.line.ups) == (1, 2)


async def test_a_broken_line_comes_back_by_itself(reader: Reader) -> None:
    reader.wire.cut()
    await until(lambda: not reader.line.up)
    reader.wire.mend()
    await until(lambda: reader.line.up and reader.line.ups == 2)
    await reader.say(b"again")
    await until(lambda: len(reader.heard) == 1)


async def test_a_wrong_log_in_is_no_line(reader: Reader) -> None:
    port = reader.url.rpartition(":")[2]
    stranger = reader.made(f"mqtt://nobody:wrong@127.0.0.1:{port}")
    if not reader.broker.status()["enforces_rights"]:
        pytest.skip("the stand-in broker lets everybody in")
    running = asyncio.create_task(stranger.run())
    await asyncio.sleep(0.5)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert stranger.ups == 0
    with pytest.raises(ServiceAway):
        await stranger.publish("112/units/TK-1/orders", b"")


@pytest.mark.parametrize("kind", [ReadingLine, Line])
async def test_a_broker_that_says_nothing_is_left(
    kind: type[ReadingLine | Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "GREETING_LIMIT_S", 0.2)
    monkeypatch.setattr(line_module, "GREETING_LIMIT_S", 0.2)
    came = left = 0

    async def silent(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came, left
        came += 1
        with contextlib.suppress(ConnectionError):
            await stream.read()  # Until whoever tried has hung up.
        left += 1
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = LinePlan(url=f"mqtt://127.0.0.1:{port}", client_id="reader", light=True)
    line = kind(plan, on_message=lambda topic, payload: None)
    running = asyncio.create_task(line.run())
    await until(lambda: came >= 4)
    assert left >= came - 2, "each try hangs up before the next"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()
    assert line.ups == 0
