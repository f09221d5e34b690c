"""What measures the service reads its frames, answers and figures right, however they arrive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from dispatch.errors import ServiceAway
from dispatch.web.metrics import Metrics
from dispatch.writing.depths import Depths
from dispatch.writing.stages import StageMeasures, Stages
from simulators import load
from simulators.bench_measures import by_quarter, slope_per_minute
from simulators.exposition import Reading, depths, parsed, stages
from simulators.lean import Poster, watch
from simulators.mirror import Mirror, View
from tests.core.scene import Scene

BOARD: dict[str, Any] = {"incidents": {}, "calls": {}, "units": {}, "closures": {}}
SNAPSHOT = {"type": "snapshot", "region": "UZ-TK", "seq": 5, "mark": "m5", "board": BOARD}


def delta(before: int, after: int) -> dict[str, Any]:
    changes = {"calls": {f"c-{after}": {"status": "ringing"}}}
    return {"type": "delta", "region": "UZ-TK", "from": before, "to": after, "mark": f"m{after}", "changes": changes}


async def test_a_watcher_reads_numbers_from_frames_of_every_length() -> None:
    texts = ['{"type":"heartbeat"}', '{"type":"snapshot","region":"UZ-TK","seq":7,"board":{}}']
    for seq, size in ((8, 10), (9, 300), (10, 70_000)):
        texts.append(f'{{"type":"delta","region":"UZ-TK","from":{seq - 1},"to":{seq},"x":"{"y" * size}"}}')

    async def board(socket: ServerConnection) -> None:
        for text in texts:
            await socket.send(text)
        await (await socket.ping())
        await socket.close()

    async with serve(board, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        watcher = await watch(f"http://127.0.0.1:{port}", "secret")
        async with asyncio.timeout(60):
            while not watcher.broken:
                await asyncio.sleep(0.01)
    assert watcher.came[b"UZ-TK"][0] == [7, 8, 9, 10]
    assert watcher.came[b"UZ-TK"][1] == sorted(watcher.came[b"UZ-TK"][1])


async def test_a_watcher_that_is_not_let_in_says_so() -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(401, "no")

    async def never(socket: ServerConnection) -> None:
        raise AssertionError("nobody was let in")

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionRefusedError, match="401"):
            await watch(f"http://127.0.0.1:{port}", "wrong")


async def test_a_poster_keeps_its_connections_and_tells_answers_apart() -> None:
    async def say(request: web.Request) -> web.Response:
        text = await request.text()
        await asyncio.sleep(0.01 if text.endswith("0") else 0)
        assert request.headers["Authorization"] == "Bearer secret"
        return web.Response(status=201, text=text + request.headers["Idempotency-Key"])

    app = web.Application()
    app.router.add_post("/say", say)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    poster = Poster(f"http://127.0.0.1:{runner.addresses[0][1]}", "secret")
    try:
        for _ in range(3):
            replies = await asyncio.gather(*(poster.post("/say", b"call%d" % n, f"-k{n}") for n in range(20)))
            assert [r.body for r in replies] == [b"call%d-k%d" % (n, n) for n in range(20)]
            assert {r.status for r in replies} == {201}
        assert poster.opened <= 20
    finally:
        poster.close()
        await runner.cleanup()


def test_stages_are_read_from_what_the_service_prints() -> None:
    metrics, kept = Metrics(), Stages()
    metrics.registry.register(StageMeasures(kept))
    kept.add("decide", 0.5)
    before = Reading(0.0, parsed(metrics.exposition().decode()))
    kept.add("decide", 0.25)
    kept.add("commit (wall)", 1.0)
    after = Reading(1.0, parsed(metrics.exposition().decode()))
    assert stages(before, after) == {"decide": (0.25, 1.0), "commit (wall)": (1.0, 1.0)}
    assert after.memory_mb > 10
    assert after.cpu_s > 0


def reading(second: float, megabytes: float) -> Reading:
    return Reading(second, {("process_resident_memory_bytes", ""): megabytes * 1e6})


def test_memory_that_grows_has_a_slope() -> None:
    assert slope_per_minute([reading(s, 300.0) for s in range(20)]) == 0.0
    assert slope_per_minute([reading(s, 300.0 + s / 10) for s in range(20)]) == 6.0
    assert slope_per_minute([reading(0, 300.0)]) is None


def test_memory_is_told_by_quarters_beside_what_was_open() -> None:
    readings = [reading(s, 300.0 + s) for s in range(20)]
    for second, one in enumerate(readings):
        for region in ("UZ-TK", "UZ-SA"):
            one.measures["dispatch112_open", f'region="{region}",what="calls"'] = second
    assert by_quarter(readings) == {"memory_mb": [304.0, 309.0, 314.0, 319.0], "calls": [8, 18, 28, 38]}
    assert by_quarter([reading(0, 300.0)]) == {}


def test_what_is_open_is_read_from_what_the_service_prints() -> None:
    scene, metrics = Scene(), Metrics()
    scene.unit("A1")
    scene.incident()
    metrics.registry.register(Depths({scene.state.region: scene.state}))
    found = depths(Reading(0.0, parsed(metrics.exposition().decode())))
    assert found["incidents"] == found["units_on_shift"] == found["units_to_send"] == 1
    assert found["calls"] == len(scene.state.calls)


def test_a_console_knows_when_it_came_to_know_a_number() -> None:
    view = View("UZ-TK")
    for seq, at_s in ((5, 1.0), (9, 2.0), (12, 3.0)):
        view.reached(seq, at_s)
    assert [view.knew_at_s(seq) for seq in (4, 5, 6, 9, 12)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert view.knew_at_s(13) is None


async def test_a_mirror_that_missed_a_delta_asks_for_what_it_lacks() -> None:
    asked: list[str] = []

    async def board(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        hello = {"type": "hello", "at": "2026-03-01T12:00:00Z", "regions": ["UZ-TK"], "speed": 1.0}
        first = len(asked) == 1
        for message in [hello, SNAPSHOT, delta(5, 6), delta(7, 8)] if first else [hello, delta(6, 7), delta(7, 8)]:
            await socket.send(web.json_response(message).body)  # type: ignore[arg-type]
        await socket.wait_closed()

    async with serve(board, "127.0.0.1", 0) as server:
        mirror = Mirror(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "secret")
        running = asyncio.create_task(mirror.run())
        async with asyncio.timeout(60):
            await mirror.ready()
            while mirror.views["UZ-TK"].seq < 8:
                await asyncio.sleep(0.01)
        running.cancel()
    assert asked == ["/ws/v1/board", "/ws/v1/board?after=UZ-TK:6:m6"]
    assert sorted(mirror.views["UZ-TK"].board["calls"]) == ["c-6", "c-7", "c-8"]


async def test_a_service_that_does_not_answer_ends_a_load_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "READY_LIMIT_S", 0.05)
    roles = ("device", "call_taker", "dispatcher", "supervisor")
    credentials = {role: {"token": role} for role in roles}
    with pytest.raises(ServiceAway, match="the boards did not answer within"):
        await load.run("http://127.0.0.1:1", "mqtt://127.0.0.1:1", credentials, load.LoadOptions(), asyncio.Event())
