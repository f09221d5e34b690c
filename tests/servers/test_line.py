"""The line of reports and orders against brokers that answer at a bad moment, or say no."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from dispatch.errors import ServiceAway
from dispatch.units import wire
from dispatch.units.line import Line, LinePlan
from tests.servers.field_world import PATIENCE_S, until

TOPICS = (("112/units/+/status", 1), ("112/units/+/ack", 1))
GRANTED, NOT_AUTHORISED = 0x01, 0x87


class Strict:
    """As much of an MQTT 5 broker as a line needs to come up. `grades` is what it answers to each subscription."""

    def __init__(self, grades: tuple[int, ...] = (GRANTED,) * len(TOPICS)) -> None:
        self.grades = grades
        self.refusals = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = wire.Packets()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                packets.feed(data)
                for first, body in packets.taken(16):
                    self._answer(writer, wire.kind_of(first), body)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
        if kind == wire.CONNECT:
            writer.write(wire.packet(wire.CONNACK, b"\0\0\0"))
        elif kind == wire.kind_of(wire.SUBSCRIBE):
            self.refusals += NOT_AUTHORISED in self.grades
            writer.write(wire.packet(wire.SUBACK, body[:2] + b"\0" + bytes(self.grades)))
        elif kind == wire.PINGREQ:
            writer.write(wire.packet(wire.PINGRESP))


@asynccontextmanager
async def serving(broker: Strict) -> AsyncIterator[Line]:
    """A line to it that does not run yet."""
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = LinePlan(url=f"mqtt://core:secret@127.0.0.1:{port}", client_id="core", subscriptions=TOPICS)
    try:
        yield Line(plan, on_message=lambda topic, payload: None)
    finally:
        server.close()


async def ended(task: asyncio.Task[None]) -> bool:
    """Whether it ends by itself; it does not outlive the test in any case."""
    done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return bool(done)


@pytest.mark.parametrize("answer", ["_on_connect", "_on_subscribe", "_on_disconnect"])
async def test_a_stop_in_the_turn_in_which_the_broker_answers_is_heeded(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Callable[..., None] = getattr(aiomqtt.Client, answer)

    def in_the_same_turn(self: aiomqtt.Client, *said: Any, **more: Any) -> None:
        heard(self, *said, **more)
        running.cancel()

    monkeypatch.setattr(aiomqtt.Client, answer, in_the_same_turn)
    refusing = answer == "_on_disconnect"  # We hang up on a broker that refuses us, and hear that we have.
    async with serving(Strict((NOT_AUTHORISED,) * len(TOPICS)) if refusing else Strict()) as line:
        running = asyncio.create_task(line.run())
        assert await ended(running)
    assert not line.up
    assert running.cancelled()


async def test_a_line_whose_topics_are_refused_is_not_up(caplog: pytest.LogCaptureFixture) -> None:
    broker = Strict((GRANTED, NOT_AUTHORISED))
    async with serving(broker) as line:
        running = asyncio.create_task(line.run())
        try:
            await until(lambda: line.up or broker.refusals > 2)
            assert (line.up, line.ups) == (False, 0)
            assert "the broker refuses us: Granted QoS 1, Not authorized" in caplog.text
            broker.grades = (GRANTED, GRANTED)
            await until(lambda: line.up)
            assert line.ups == 1
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    with pytest.raises(ServiceAway):
        await line.publish("112/units/TK-1/orders", b"")
