"""The feed of vehicles over HTTP: good, broken, too large, away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from dispatch.calling import transit
from dispatch.calling.transit import Transit
from dispatch.clock import ManualClock

pytest.importorskip("google.transit.gtfs_realtime_pb2")

from tests.routing.test_vehicles import feed

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


class Operator:
    """An operator of buses, with what its server answers."""

    def __init__(self) -> None:
        self.status, self.body, self.url = 200, feed({"id": "a"}, {"id": "b"}), ""

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    made = Operator()
    app = web.Application()
    app.router.add_get("/feed", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/feed"
    try:
        yield made
    finally:
        await runner.cleanup()


async def test_what_the_feed_says_is_known_and_what_it_no_longer_says_is_not(operator: Operator) -> None:
    followed = Transit(operator.url, ManualClock(NOW))
    async with aiohttp.ClientSession() as session:
        await followed.fetch(session)
        assert (len(followed.vehicles), followed.fetched) == (2, 1)
        operator.body = feed({"id": "a"})
        await followed.fetch(session)
    assert (len(followed.vehicles), followed.failures) == (1, 0)


async def test_a_feed_that_fails_leaves_what_is_known_and_is_asked_again(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transit, "FEED_MAX_BYTES", 10_000)
    followed = Transit(operator.url, ManualClock(NOW))
    async with aiohttp.ClientSession() as session:
        await followed.fetch(session)
        good = operator.body
        for status, body in ((503, b""), (200, b"\xff<html>"), (200, bytes(10_001))):
            operator.status, operator.body = status, body
            await followed.fetch(session)
        assert (followed.failures, len(followed.vehicles)) == (3, 2)
        operator.status, operator.body = 200, good
        await followed.fetch(session)
        assert followed.failures == 0
    away = Transit("http://127.0.0.1:9/feed", ManualClock(NOW))
    async with aiohttp.ClientSession() as session:
        await away.fetch(session)
    assert away.failures == 1
