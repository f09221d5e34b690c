"""How long the door waits for a client that takes or sends nothing, and how it says good-bye."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from dispatch.web import bodies, websocket
from dispatch.web.websocket import frame
from tests.door import test_door as door
from tests.door.test_door import World, handshake, talk, until

world = door.world


async def test_a_console_that_takes_nothing_for_long_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SLOW_TIMEOUT_S", 0.2)
    with handshake(world):
        await until(lambda: bool(world.sockets))
        lazy = world.sockets[0]
        while not lazy.slow:
            lazy.send(frame(b"x" * 65_000))
            await asyncio.sleep(0)
        await until(lambda: not lazy.open)


async def test_tiny_frames_without_end_are_read_slowly_and_cost_nobody_else(world: World) -> None:
    with handshake(world) as raw:
        await until(lambda: bool(world.sockets))
        raw.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                raw.send(Frame(Opcode.PING, b"").serialize(mask=True) * 1000)
        flooding = world.sockets[0]
        await until(lambda: "rest" in flooding._timers)
        async with connect(f"ws://{world.url}/ws/echo") as console:
            await console.send("still here")
            assert await console.recv() == "still here"
        assert flooding._frames < 2 * websocket.FRAMES_PER_S, "it waits long before its flood is through"
        assert flooding.open


async def test_a_crowd_of_messages_is_only_slowed(world: World) -> None:
    many = [str(number) for number in range(websocket.FRAMES_PER_S + 50)]
    async with connect(f"ws://{world.url}/ws/echo") as console:
        for message in many:
            await console.send(message)
        assert [await console.recv() for _ in many] == many


async def test_whoever_talks_on_after_our_good_bye_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.3)
    with handshake(world) as raw:
        await until(lambda: bool(world.sockets))
        deaf = world.sockets[0]
        deaf.close(websocket.SESSION_OVER, "log in again")

        def gone() -> bool:
            with contextlib.suppress(OSError):
                raw.send(Frame(Opcode.TEXT, b"and").serialize(mask=True))
            return deaf._transport is None

        await until(gone)


async def test_a_body_that_does_not_arrive_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ARRIVAL_TIMEOUT_S", 0.2)
    head = b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    got = await talk(world, head + b'{"text"')
    assert got.startswith(b"HTTP/1.1 408 ")


async def test_a_door_that_closes_says_good_bye(world: World) -> None:
    assert world.door is not None
    async with connect(f"ws://{world.url}/ws/echo") as console:
        await console.send("a")
        await console.recv()
        await world.door.close(1.0)
        with pytest.raises(ConnectionClosed):
            await console.recv()
        assert console.close_code == 1001
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", world.door.port)


async def test_a_client_that_leaves_within_its_request_is_no_fault_of_ours(world: World) -> None:
    assert world.door is not None
    _, writer = await asyncio.open_connection("127.0.0.1", world.door.port)
    writer.write(b'POST /say HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"te')
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await asyncio.sleep(0.05)
    assert 'dispatch112_faults_total{where="door"}' not in world.metrics.exposition().decode()
