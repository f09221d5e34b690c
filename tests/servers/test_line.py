"""The line against a real broker: it hears all, comes back by itself, and the broker has what it hands over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.errors import ServiceAway
from dispatch.servers.broker import Broker
from dispatch.units import line as line_module
from dispatch.units import stream, wire
from dispatch.units.line import Line, LinePlan
from dispatch.units.wire import Will
from tests.servers.field_world import plain_client, until
from tests.servers.wire import Wire


class Reader:
    """A line without a session that keeps what it hears, on a wire that can be cut."""

    def __init__(self, broker: Broker, url: str, wire: Wire) -> None:
        self.broker = broker
        self.url = url
        self.wire = wire
        self.heard: list[tuple[str, bytes]] = []
        self.line = self.made(wire.url(url))

    def made(self, url: str) -> Line:
        plan = LinePlan(url=url, client_id="reader", subscriptions=(("112/units/+/position", 0),), session_expiry_s=0)
        return Line(plan, on_message=lambda topic, payload: self.heard.append((topic, payload)))

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
    many = 5 * stream.PACKETS_AT_ONCE + 7
    await reader.say(*(b'{"n":%d}' % number for number in range(many)))
    await until(lambda: len(reader.heard) == many)
    assert reader.heard == [(f"112/units/TK-{n}/position", b'{"n":%d}' % n) for n in range(many)]


async def test_what_gathers_is_heard_in_order_and_nothing_stays_behind(reader: Reader) -> None:
    heard: list[bytes] = []
    plan = LinePlan(
        url=reader.url,
        client_id="patient",
        subscriptions=(("112/units/+/position", 0),),
        session_expiry_s=0,
        gather_s=0.05,
    )
    line = Line(plan, on_message=lambda topic, payload: heard.append(payload))
    running = asyncio.create_task(line.run())
    await until(lambda: line.ups == 1)
    said = [b"%d" % number for number in range(3 * stream.PACKETS_AT_ONCE)]
    for start in range(0, len(said), 50):
        await reader.say(*said[start : start + 50])
    await until(lambda: len(heard) == len(said))
    assert heard == said
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


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


async def test_more_messages_than_may_be_under_way_all_arrive_in_order(reader: Reader) -> None:
    many = 2 * stream.INFLIGHT_LIMIT + 7
    said = [b"%d" % number for number in range(many)]
    await asyncio.gather(*(reader.line.publish("112/units/TK-1/position", payload) for payload in said))
    await until(lambda: len(reader.heard) == many)
    assert [payload for _, payload in reader.heard] == said


async def test_what_is_under_way_when_the_line_breaks_is_said_to_be_unsent(reader: Reader) -> None:
    many = 2 * stream.INFLIGHT_LIMIT
    sent = [asyncio.create_task(reader.line.publish("112/units/TK-1/orders", b"{}")) for _ in range(many)]
    await asyncio.sleep(0)
    reader.wire.cut()
    ends = await asyncio.gather(*sent, return_exceptions=True)
    assert sum(isinstance(end, ServiceAway) for end in ends) >= many - stream.INFLIGHT_LIMIT
    assert all(end is None or isinstance(end, ServiceAway) for end in ends)


async def test_who_stops_waiting_for_the_broker_leaves_room_for_the_others(reader: Reader) -> None:
    for _ in range(2 * stream.INFLIGHT_LIMIT):
        leaving = asyncio.create_task(reader.line.publish("112/units/TK-1/orders", b"{}"))
        await asyncio.sleep(0)
        leaving.cancel()
    await asyncio.wait_for(reader.line.publish("112/units/TK-1/position", b"last"), 5.0)
    await until(lambda: [payload for _, payload in reader.heard] == [b"last"])


async def test_a_session_keeps_what_came_while_its_line_was_broken(reader: Reader) -> None:
    heard: list[bytes] = []
    plan = LinePlan(url=reader.wire.url(reader.url), client_id="lasting", subscriptions=(("112/units/+/ack", 1),))
    line = Line(plan, on_message=lambda topic, payload: heard.append(payload))
    running = asyncio.create_task(line.run())
    await until(lambda: line.ups == 1)
    reader.wire.cut()
    async with plain_client(reader.url) as client:
        await client.publish("112/units/TK-1/ack", b"meanwhile", qos=1)
    reader.wire.mend()
    await until(lambda: heard == [b"meanwhile"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(("cut", "spoken"), [(True, [b"gone"]), (False, [])])
async def test_a_will_is_spoken_for_a_line_that_broke_and_not_for_one_that_left(
    reader: Reader, cut: bool, spoken: list[bytes]
) -> None:
    will = Will(topic="112/units/TK-1/position", payload=b"gone", delay_s=0)
    async with Wire(int(reader.url.rpartition(":")[2])) as own_wire:
        plan = LinePlan(url=own_wire.url(reader.url), client_id="mortal", will=lambda: will)
        line = Line(plan, on_message=lambda topic, payload: None)
        running = asyncio.create_task(line.run())
        await until(lambda: line.up)
        if cut:
            own_wire.cut()
            await until(lambda: len(reader.heard) == 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(0.3)
    assert [payload for _, payload in reader.heard] == spoken


async def test_a_broker_that_acknowledges_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ANSWER_LIMIT_S", 0.1)
    monkeypatch.setattr(line_module, "KEEPALIVE_S", 0.2)
    monkeypatch.setattr(wire, "connect", lambda *_, **__: wire.packet(wire.CONNECT))
    answers = {wire.CONNECT: wire.packet(wire.CONNACK, b"\0\0\0"), wire.PINGREQ: wire.packet(wire.PINGRESP)}

    async def deaf(coming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = wire.Packets()
        while data := await coming.read(4096):
            packets.feed(data)
            for first, _ in packets.taken(100):
                writer.write(answers.get(wire.kind_of(first), b""))
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = Line(LinePlan(url=f"mqtt://127.0.0.1:{port}", client_id="deaf"), on_message=lambda topic, payload: None)
    running = asyncio.create_task(line.run())
    await until(lambda: line.up)
    with pytest.raises(ServiceAway):
        await line.publish("112/units/TK-1/orders", b"{}")
    await until(lambda: line.ups >= 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()


async def test_a_broker_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "GREETING_LIMIT_S", 0.2)
    came = 0

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = LinePlan(url=f"mqtt://127.0.0.1:{port}", client_id="reader", session_expiry_s=0)
    line = Line(plan, on_message=lambda topic, payload: None)
    running = asyncio.create_task(line.run())
    await until(lambda: came >= 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()
    assert line.ups == 0
