"""A browser gets the console, its map and the facts of the installation, from us and from nobody else."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import msgspec
import pytest
from yarl import URL

from consoles.about import AboutPage
from consoles.access import Access, digest
from consoles.pages import SCREENS, Pages
from dispatch.clock import SystemClock
from dispatch.core.plans import PLANS
from dispatch.door import Door, open_door
from dispatch.errors import ServiceAway
from dispatch.keeping.memory import MemoryStore
from dispatch.web.application import POLICY, application
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.web.routes import Routes
from dispatch.web.websocket import Socket
from dispatch.writing.records import Device
from routing.basemap import outlines_geojson

LOGINS = {
    "dispatcher": {"username": "dispatcher", "password": "abc", "token": "secret"},
    "unit": {"unit_id": "TK-A1", "username": "TK-A1", "password": "broker", "token": "secret"},
    "device": {"actor": "device:demo", "token": "secret"},
}


class SmallMap:
    """Tiles that say their own address; an empty one for x = 0."""

    def tile(self, z: int, x: int, y: int) -> bytes:
        if not 5 <= z <= 14:
            raise ValueError(f"there is no tile {z}/{x}/{y}")
        return f"{z}/{x}/{y}".encode() if x else b""


class World:
    def __init__(self, dist: Path) -> None:
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.loaded = False
        self.health = Health(self.metrics, self.store.ping, lambda: self.loaded, {"mqtt": lambda: "away"})
        self.about = AboutPage(("UZ-TK", "UZ-SA"), "SIMULATION", 2.0)
        self.pages = Pages(outlines_geojson, SmallMap(), dist)
        self.door: Door | None = None

    async def open(self) -> None:
        await self.store.open()
        await self.store.put_device(Device(token=digest("key"), actor="user:x", role="planner"))
        access = Access(self.store, SystemClock(), self.metrics)
        routes = Routes(*self.health.routes(), *self.about.routes(), *self.pages.routes())
        app = application(routes, access.actor_of, self.metrics, self.pages.files())
        self.door = await open_door(app, nobody, ("127.0.0.1", 0), self.metrics)

    @property
    def url(self) -> str:
        assert self.door is not None
        return f"http://127.0.0.1:{self.door.port}"


async def nobody(socket: Socket) -> None:
    socket.abort()


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>the console")
    (tmp_path / "assets/main-abc.js").write_text("say('salom')\n" * 200)
    (tmp_path / "assets/noto.woff2").write_bytes(bytes(range(256)) * 8)
    (tmp_path.parent / "secret.txt").write_text("not for you")
    return tmp_path


@pytest.fixture
async def world(dist: Path) -> AsyncIterator[World]:
    made = World(dist)
    await made.open()
    yield made
    assert made.door is not None
    await made.door.close(1.0)


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def test_every_screen_is_the_console_and_loads_nothing_from_elsewhere(
    world: World, browser: aiohttp.ClientSession
) -> None:
    for screen in SCREENS:
        async with browser.get(world.url + screen) as got:
            assert (got.status, await got.text()) == (200, "<!doctype html>the console")
            assert got.headers["Cache-Control"] == "no-cache"
            assert got.headers["Content-Security-Policy"] == POLICY
            assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "http" not in POLICY
    assert "*" not in POLICY


async def test_assets_are_packed_kept_and_not_sent_twice(world: World, browser: aiohttp.ClientSession) -> None:
    url = f"{world.url}/assets/main-abc.js"
    async with browser.get(url, headers={"Accept-Encoding": "gzip"}) as got:
        raw = await got.read()
        assert got.headers["Content-Encoding"] == "gzip"
        assert "immutable" in got.headers["Cache-Control"]
        assert got.content_type == "application/javascript"
        assert gzip.decompress(raw).startswith(b"say('salom')")
        etag = got.headers["ETag"]
    async with browser.get(url, headers={"If-None-Match": etag}) as got:
        assert (got.status, await got.read()) == (304, b"")
    async with browser.get(url, headers={"Accept-Encoding": "identity"}) as got:
        assert "Content-Encoding" not in got.headers
        assert (await got.read()).startswith(b"say('salom')")
    async with browser.head(url) as got:
        assert (got.status, await got.read()) == (200, b"")


@pytest.mark.parametrize(
    "path",
    ["/assets/../../secret.txt", "/assets/%2e%2e/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/x.js",
     "/assets//etc/passwd", "/assets/", "/%00", "/assets/a%00.js", "/index.html/x"],
)  # fmt: skip
async def test_no_name_leads_out_of_the_bundle(world: World, browser: aiohttp.ClientSession, path: str) -> None:
    async with browser.get(URL(world.url + path, encoded=True)) as got:
        assert got.status == 404
        assert got.content_type == "application/problem+json"


async def test_a_service_without_a_bundle_says_how_to_build_one(tmp_path: Path) -> None:
    made = World(tmp_path / "absent")
    await made.open()
    async with aiohttp.ClientSession() as session, session.get(made.url) as got:
        assert got.status == 503
        assert "make web" in await got.text()
    assert made.door is not None
    await made.door.close(1.0)


async def test_the_map_is_ours_and_for_who_is_logged_in(world: World, browser: aiohttp.ClientSession) -> None:
    async with browser.get(f"{world.url}/map/regions.geojson") as got:
        assert len(msgspec.json.decode(await got.read())["features"]) == 14
    async with browser.get(f"{world.url}/map/tiles/10/5/6.mvt") as got:
        assert got.status == 401
    headers = {"Authorization": "Bearer key"}
    for path, status, body in (
        ("10/5/6", 200, b"10/5/6"),
        ("10/0/6", 204, b""),
        ("3/1/1", 404, None),
        ("x/1/1", 422, None),
        ("10/-1/1", 422, None),
    ):
        async with browser.get(f"{world.url}/map/tiles/{path}.mvt", headers=headers) as got:
            assert got.status == status, path
            assert body is None or await got.read() == body


async def test_about_tells_the_regions_and_the_types_in_five_languages(
    world: World, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{world.url}/api/v1/about") as got:
        about = await got.json()
    assert (about["mode"], about["speed"]) == ("SIMULATION", 2.0)
    assert [region["region"] for region in about["regions"]] == ["UZ-TK", "UZ-SA"]
    west, south, east, north = about["regions"][0]["bbox"]
    capital = about["regions"][0]["capital"]
    assert west < capital["lon"] < east
    assert south < capital["lat"] < north
    assert {kind["incident_type"] for kind in about["incident_types"]} == set(PLANS)
    for told in (*about["regions"], *about["incident_types"]):
        assert set(told["names"]) == {"uz-Latn", "uz-Cyrl", "ru", "kaa", "en"}
        assert all(told["names"].values())


async def test_the_demo_offers_its_log_ins_to_this_machine_alone(world: World, browser: aiohttp.ClientSession) -> None:
    async with browser.get(f"{world.url}/api/v1/about") as got:
        assert "demo_logins" not in await got.json()
    world.about.offer(LOGINS)
    async with browser.get(f"{world.url}/api/v1/about") as got:
        offered = await got.json()
        assert offered["demo_logins"] == [{"username": "dispatcher", "password": "abc", "role": "dispatcher"}]
        assert "secret" not in await got.text()
    for foreign in ({"X-Forwarded-For": "203.0.113.5"}, {"Host": "evil.example"}, {"Host": "["}):
        async with browser.get(f"{world.url}/api/v1/about", headers=foreign) as got:
            assert "demo_logins" not in await got.text()


async def test_a_service_is_ready_when_its_regions_are_loaded_and_its_database_answers(
    world: World, browser: aiohttp.ClientSession
) -> None:
    async def status(path: str) -> int:
        async with browser.get(world.url + path) as got:
            return got.status

    assert (await status("/healthz"), await status("/readyz")) == (200, 503)
    await world.health.ask()
    assert await status("/readyz") == 503
    world.loaded = True
    assert await status("/readyz") == 200
    world.store.faults.away = True
    with pytest.raises(ServiceAway):
        await world.store.ping()
    await world.health.ask()
    assert (await status("/healthz"), await status("/readyz")) == (200, 503)
    assert world.health.words() == {"postgres": "away", "mqtt": "away"}


async def test_a_database_that_answers_and_refuses_us_is_away_until_it_does_not(world: World) -> None:
    refused = True

    async def ping() -> None:
        if refused:
            raise asyncpg.InvalidPasswordError("password authentication failed")

    health = Health(world.metrics, ping, lambda: True)
    await health.ask()
    assert health.words() == {"postgres": "away"}
    refused = False
    await health.ask()
    assert health.words() == {"postgres": "ok"}


async def test_metrics_are_in_prometheus_format_with_units_in_their_names(
    world: World, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{world.url}/api/v1/about"):
        pass
    async with browser.get(f"{world.url}/nowhere"):
        pass
    async with browser.get(f"{world.url}/metrics") as got:
        lines = (await got.text()).splitlines()
    about = 'dispatch112_http_requests_total{method="GET",route="/api/v1/about",status="200"} 1.0'
    assert about in lines
    assert 'dispatch112_problems_total{code="not_found"} 1.0' in lines
