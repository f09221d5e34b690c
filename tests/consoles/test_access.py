"""Only who proves to be somebody is, for no longer than it lasts, and from no foreign page."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from consoles.access import (
    DOUBTED_AT_ONCE,
    DOUBTED_MAX,
    RECHECK_S,
    SESSION_KEPT,
    Access,
    digest,
    hashed,
)
from consoles.demo_accounts import FILE, seed_demo_credentials
from consoles.programs import Programs
from consoles.sessions import Sessions
from consoles.throttle import NAMES_MAX, Throttle
from dispatch.actors import RIGHTS, Actor, Role, may, require, visible
from dispatch.clock import ManualClock
from dispatch.core.terms import ActorId, Body, RegionId
from dispatch.door import Door, open_door
from dispatch.errors import ServiceAway
from dispatch.keeping.memory import MemoryStore
from dispatch.web.application import application, nothing
from dispatch.web.audit import Audit
from dispatch.web.metrics import Metrics
from dispatch.web.problems import Problem
from dispatch.web.routes import Route, Routes
from dispatch.web.websocket import Socket
from dispatch.writing.records import Device, Operator

TASHKENT, SAMARKAND = RegionId("UZ-TK"), RegionId("UZ-SA")


class World:
    """One dispatcher with a password, one device with a key, and a door that knows them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.access = Access(self.store, self.clock, self.metrics)
        self.audit = Audit(self.store, self.clock, self.metrics)
        self.door: Door | None = None

    async def open(self) -> None:
        await self.store.open()
        password = await hashed("to'g'ri parol")
        await self.store.put_operator(
            Operator(username="nodira", role="dispatcher", password=password, regions=(TASHKENT,))
        )
        await self.store.put_device(Device(token=digest("key"), actor="device:bus", role="device"))
        routes = Routes(*Sessions(self.access, self.audit).routes())
        routes.add(
            Route(
                method="POST", path="/act", handler=_act, summary="", tag="", action="incident.assign",
                responses={204: None},
            )
        )  # fmt: skip
        app = application(routes, self.access.actor_of, self.metrics)
        self.door = await open_door(app, self.watch, ("127.0.0.1", 0), self.metrics)

    async def watch(self, socket: Socket) -> None:
        try:
            actor = await self.access.actor_of_handshake(socket)
            if actor is None:
                raise Problem("unauthenticated")
        except Problem as problem:
            socket.reject(problem)
        else:
            socket.accept()
            socket.close(1000, actor.username)

    @property
    def url(self) -> str:
        assert self.door is not None
        return f"http://127.0.0.1:{self.door.port}"

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": self.url}


async def _act(request: aiohttp.web.Request) -> aiohttp.web.Response:
    return nothing()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.open()
    yield made
    assert made.door is not None
    await made.door.close(1.0)


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def log_in(world: World, browser: aiohttp.ClientSession, password: str = "to'g'ri parol") -> int:
    asked = {"username": "nodira", "password": password}
    async with browser.post(f"{world.url}/api/v1/sessions", json=asked) as got:
        return got.status


async def test_a_person_logs_in_works_and_logs_out(world: World, browser: aiohttp.ClientSession) -> None:
    assert await log_in(world, browser) == 201
    async with browser.get(f"{world.url}/api/v1/sessions/current") as got:
        said = await got.json()
        may = said.pop("may")
        assert said == {
            "username": "nodira", "role": "dispatcher", "body": None, "regions": ["UZ-TK"],
            "language": "uz-Latn",
        }  # fmt: skip
        assert {"closure.work", "incident.assign"} <= set(may) and "personal.export" not in may
    async with browser.post(f"{world.url}/act", headers=world.origin) as got:
        assert got.status == 204
    async with browser.delete(f"{world.url}/api/v1/sessions/current", headers=world.origin) as got:
        assert got.status == 204
    async with browser.get(f"{world.url}/api/v1/sessions/current") as got:
        assert got.status == 401
    await world.audit.flush()
    noted = {entry.action for entry in await world.store.audited("user:nodira", 10)}
    assert noted == {"logged_in", "logged_out"}


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    world: World, browser: aiohttp.ClientSession
) -> None:
    asked = {"username": "nodira", "password": "to'g'ri parol"}
    async with browser.post(f"{world.url}/api/v1/sessions", json=asked) as got:
        sent = got.headers["Set-Cookie"]
    assert "HttpOnly" in sent
    assert "SameSite=Strict" in sent
    secret = sent.partition("=")[2].partition(";")[0]
    assert await world.store.get_session(digest(secret)) is not None
    assert await world.store.get_session(secret.encode()) is None


@pytest.mark.parametrize("site", ["http://evil.example", "null", ""])
async def test_a_foreign_page_changes_nothing_with_the_cookie(
    world: World, browser: aiohttp.ClientSession, site: str
) -> None:
    await log_in(world, browser)
    async with browser.post(f"{world.url}/act", headers={"Origin": site} if site else {}) as got:
        assert got.status == 403
        assert json.loads(await got.read())["code"] == "cross_origin"
    async with browser.post(f"{world.url}/act", headers=world.origin | {"Sec-Fetch-Site": "cross-site"}) as got:
        assert got.status == 403


async def test_a_program_without_an_origin_may_end_its_own_session_and_a_foreign_page_may_not(
    world: World, browser: aiohttp.ClientSession
) -> None:
    await log_in(world, browser)
    for foreign in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        async with browser.delete(f"{world.url}/api/v1/sessions/current", headers=foreign) as got:
            assert got.status == 403
    async with browser.delete(f"{world.url}/api/v1/sessions/current") as got:
        assert got.status == 204
    async with browser.get(f"{world.url}/api/v1/sessions/current") as got:
        assert got.status == 401


async def test_a_websocket_by_cookie_must_come_from_our_page(world: World, browser: aiohttp.ClientSession) -> None:
    await log_in(world, browser)
    async with browser.ws_connect(f"{world.url}/ws/x", origin=world.url) as opened:
        await opened.receive()
        assert opened.close_code == 1000
    for origin in ("http://evil.example", None):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await browser.ws_connect(f"{world.url}/ws/x", origin=origin)
        assert caught.value.status == 403


async def test_a_program_needs_no_origin_but_a_token_that_we_know(world: World, browser: aiohttp.ClientSession) -> None:
    async with browser.ws_connect(f"{world.url}/ws/x", headers={"Authorization": "Bearer key"}) as opened:
        await opened.receive()
        assert opened.close_code == 1000
    for header in ("Bearer wrong", "Bearer ", "Basic a2V5", "Bearer " + "x" * 300, "\udcff"):
        async with browser.get(f"{world.url}/api/v1/sessions/current", headers={"Authorization": header}) as got:
            assert got.status == 401, header


async def test_a_role_without_the_right_is_out_of_scope(world: World, browser: aiohttp.ClientSession) -> None:
    async with browser.post(f"{world.url}/act", headers={"Authorization": "Bearer key"}) as got:
        assert got.status == 403
        assert json.loads(await got.read())["code"] == "out_of_scope"


async def test_an_expired_session_says_so(world: World, browser: aiohttp.ClientSession) -> None:
    await log_in(world, browser)
    world.clock.advance(SESSION_KEPT.total_seconds() + 1)
    await asyncio.sleep(RECHECK_S)
    async with browser.get(f"{world.url}/api/v1/sessions/current") as got:
        assert got.status == 401
        assert json.loads(await got.read())["code"] == "token_expired"


async def test_what_another_process_revokes_ends_here_within_a_second(world: World) -> None:
    ended: list[str] = []
    world.access.on_over.append(ended.append)
    actor, secret = await world.access.log_in("nodira", "to'g'ri parol", "::1")
    await world.store.drop_session(digest(secret))
    assert not await world.access.live(actor)
    assert ended == [actor.session]
    with pytest.raises(Problem):
        await world.access.verified(secret)


async def test_a_key_that_was_known_is_believed_while_the_database_is_away(world: World) -> None:
    actor = await world.access.verified("key")
    world.store.faults.away = True
    await asyncio.sleep(RECHECK_S)
    assert await world.access.verified("key") == actor
    with pytest.raises(ServiceAway):
        await world.access.verified("another key")


WRONG_MAX = 100
"""Tokens that are nobody's which an address may send at once."""


async def guess(access: Access, address: str) -> None:
    """Use the address's allowance up; it does not refill."""
    access._guesses = Throttle(burst=WRONG_MAX, refill_s=0.2, time_s=lambda: 0.0)
    codes = []
    for number in range(WRONG_MAX + 1):
        with pytest.raises(Problem) as caught:
            await access.verified(f"wrong {number}", address)
        codes.append(caught.value.code)
    assert codes == ["unauthenticated"] * WRONG_MAX + ["too_many_requests"]


async def test_wrong_tokens_of_an_address_keep_no_valid_one_out(world: World, browser: aiohttp.ClientSession) -> None:
    """A whole network's callers may come by one address."""
    await guess(world.access, "127.0.0.1")
    async with browser.post(f"{world.url}/act", headers={"Authorization": "Bearer wrong"}) as got:
        assert (got.status, "Retry-After" in got.headers) == (429, True)
    async with browser.get(f"{world.url}/api/v1/sessions/current", headers={"Authorization": "Bearer key"}) as got:
        assert got.status == 200


async def test_of_an_address_that_only_guesses_few_are_looked_up_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guess(world.access, "::1")
    looking, most, found = 0, 0, asyncio.Event()

    async def slow(token: bytes) -> Device | None:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await found.wait()
        looking -= 1
        return None

    monkeypatch.setattr(world.store, "get_device", slow)
    asked = [asyncio.create_task(world.access.verified(f"x {number}", "::1")) for number in range(DOUBTED_MAX + 5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(task.done() for task in asked) == 5, "more than can stand in line are told so at once"
    # Another address has its own allowance, and nobody of the first one's line before it.
    other = asyncio.create_task(world.access.verified("y", "::2"))
    await asyncio.sleep(0)
    assert looking == DOUBTED_AT_ONCE + 1
    other.cancel()
    found.set()
    faults = await asyncio.gather(*asked, return_exceptions=True)
    assert {fault.code for fault in faults if isinstance(fault, Problem)} == {"too_many_requests"}
    assert most == DOUBTED_AT_ONCE + 1
    monkeypatch.undo()
    assert (await world.access.verified("key", "::1")).role == "device"


async def test_a_program_on_the_list_does_not_stand_in_line(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path, world.store)
    await programs._note()
    access = Access(world.store, world.clock, world.metrics, programs)
    await guess(access, "::1")
    monkeypatch.setattr(access._doubted, "is_full", lambda address: True)
    with pytest.raises(Problem):
        await access.verified("wrong", "::1")
    assert (await access.verified("key", "::1")).role == "device"


async def test_guessing_a_password_is_soon_too_often(world: World, browser: aiohttp.ClientSession) -> None:
    statuses = [await log_in(world, browser, "wrong") for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert await log_in(world, browser) == 429, "also the right one waits"


async def test_guessing_many_passwords_at_once_is_no_way_around(world: World, browser: aiohttp.ClientSession) -> None:
    statuses = await asyncio.gather(*(log_in(world, browser, "wrong") for _ in range(20)))
    assert statuses.count(401) == 5


async def test_logging_in_often_is_no_failure(world: World, browser: aiohttp.ClientSession) -> None:
    assert [await log_in(world, browser) for _ in range(8)] == [201] * 8


async def test_an_inactive_person_cannot_log_in(world: World, browser: aiohttp.ClientSession) -> None:
    operator = await world.store.get_operator("nodira")
    assert operator is not None
    await world.store.put_operator(
        Operator(username="nodira", role="dispatcher", password=operator.password, active=False)
    )
    assert await log_in(world, browser) == 401


def test_an_allowance_refills_and_the_names_are_bounded() -> None:
    now_s = [0.0]
    throttle = Throttle(burst=2, refill_s=10.0, time_s=lambda: now_s[0])
    throttle.failed("a")
    assert throttle.wait_s("a") == 0
    throttle.failed("a")
    assert throttle.wait_s("a") == 10
    now_s[0] = 10.0
    assert throttle.wait_s("a") == 0
    for n in range(2 * NAMES_MAX):
        throttle.failed(f"name {n}")
    assert len(throttle._full_at_s) == NAMES_MAX


def actor(role: Role, body: Body | None = None) -> Actor:
    return Actor(actor_id=ActorId("user:x"), role=role, username="x", regions=(TASHKENT,), body=body)


def test_scope_is_by_role_region_and_body() -> None:
    assert may(actor(Role.DISPATCHER), "incident.assign", TASHKENT)
    assert not may(actor(Role.DISPATCHER), "incident.assign", SAMARKAND)
    assert not may(actor(Role.CALL_TAKER), "incident.assign", TASHKENT)
    assert may(actor(Role.BODY, Body.MIA), "incident.read", TASHKENT, Body.MIA)
    assert not may(actor(Role.BODY, Body.MIA), "incident.read", TASHKENT, Body.MOH)
    assert visible(actor(Role.PLANNER), (SAMARKAND, TASHKENT)) == (TASHKENT,)
    with pytest.raises(Problem) as caught:
        require(actor(Role.DEVICE), "call.read")
    assert caught.value.status == 403


def test_a_device_may_only_send_calls_and_follow_them() -> None:
    rights = {action for action in RIGHTS if may(actor(Role.DEVICE), action)}
    assert rights == {"session.read", "region.read", "call.receive", "call.locate", "call.follow", "aml.receive"}


async def test_the_demo_makes_its_log_ins_once_for_the_owner_alone(tmp_path: Path, world: World) -> None:
    made = await seed_demo_credentials(world.store, tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert await seed_demo_credentials(world.store, tmp_path) == made
    roles = {"call_taker", "dispatcher", "supervisor", "planner", "admin", "body"}
    assert set(made) == roles | {"device", "unit", "aml"}
    assert stat.S_IMODE((tmp_path / "aml.key").stat().st_mode) == 0o600
    for role in roles:
        actor, _ = await world.access.log_in(made[role]["username"], made[role]["password"], role)
        assert actor.role == role
        assert (await world.access.verified(made[role]["token"])).actor_id == actor.actor_id
    unit = await world.access.verified(made["unit"]["token"])
    assert (unit.role, unit.unit_id) == ("unit", made["unit"]["unit_id"])
    assert (await world.access.verified(made["device"]["token"])).role == "device"


async def test_a_fresh_database_learns_the_log_ins_of_the_file(tmp_path: Path, world: World) -> None:
    made = await seed_demo_credentials(MemoryStore(), tmp_path)
    await seed_demo_credentials(world.store, tmp_path)
    person = made["planner"]
    entered, _ = await world.access.log_in(person["username"], person["password"], "")
    assert entered.role == "planner"


async def test_audit_waits_for_the_database_and_loses_nothing(world: World) -> None:
    world.store.faults.away = True
    world.audit.note(actor(Role.DISPATCHER), "read", "call:1")
    with pytest.raises(ServiceAway):
        await world.audit.flush()
    world.clock.advance(timedelta(minutes=1).total_seconds())
    world.store.faults.away = False
    await world.audit.flush()
    await world.audit.flush()
    assert len(await world.store.audited("call:1", 10)) == 1
