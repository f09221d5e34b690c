"""The socket of a crew's field page, over the real door, by a client of other people."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from consoles import front as front_of_all
from consoles.access import COOKIE
from consoles.field_page import PAGES_MAX, PATH, FieldPages
from consoles.front import Front, opened
from consoles.onward import Onward
from dispatch.core import snapshot
from dispatch.core.terms import Body, UnitId
from dispatch.errors import ServiceAway
from dispatch.web.websocket import SESSION_OVER, frame
from dispatch.writing.records import Device
from tests.servers.api_world import CHORSU, TK, ApiWorld, api_world, secret

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]
PATIENCE_S = 60.0
Json = dict[str, Any]


class Crew:
    """A page as its crew has it: frames by their sort, in the order in which they came."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self.frames: list[Json] = []

    async def say(self, frame: Any) -> None:
        await self.line.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def next(self, sort: str, **fields: Any) -> Json:
        """The next frame of this sort with these fields."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame: Json = json.loads(await self.line.recv())
                self.frames.append(frame)
                if frame["type"] == sort and fields.items() <= frame.items():
                    return frame


class FieldPageWorld:
    """The HTTP interface and its sockets on one port."""

    def __init__(self, world: ApiWorld, pages: FieldPages, port: int) -> None:
        self.api = world
        self.pages = pages
        self.port = port

    @contextlib.asynccontextmanager
    async def page(self, token: str = "TK-A1") -> AsyncIterator[Crew]:
        headers = {"Authorization": f"Bearer {secret(token)}"}
        async with connect(self.url, additional_headers=headers, compression=None) as line:
            yield Crew(line)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def status(self, status: str, status_id: str, **more: Any) -> Json:
        return {"type": "status", "status_id": status_id, "status": status, "at": self._now(), **more}

    def ack(self, order_id: str, stage: str, **more: Any) -> Json:
        return {"type": "ack", "order_id": order_id, "stage": stage, "at": self._now(), **more}

    def _now(self) -> str:
        return self.api.clock.wall().isoformat()

    async def incident(self) -> str:
        call = await self.api.new_call(incident_type="cardiac_arrest", location=HERE)
        return str(call["incident_id"])

    async def send(self, incident_id: str, unit: str = "TK-A1") -> None:
        got = await self.api.post(f"incidents/{incident_id}/assign", {"units": [unit]}, token="dispatcher")
        assert got.status == 200, got.raw

    def unit(self, name: str = "TK-A1") -> Any:
        return self.api.engine.replicas.states[TK].units[UnitId(name)]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FieldPageWorld]:
    made: list[FieldPages] = []
    put_together = front_of_all._field_pages

    def noted(front: Front, onward: Onward) -> FieldPages:
        made.append(put_together(front, onward))
        return made[-1]

    monkeypatch.setattr(front_of_all, "_field_pages", noted)
    async with api_world() as api:
        await api.call("PUT", "regions/UZ-TK/policy", {"dispatch": "confirm"}, token="dispatcher")
        for name in ("TK-A1", "TK-A2"):
            await api.unit(name, Body.MOH, "als", CHORSU)
        front = Front(
            listen=("127.0.0.1", 0),
            store=api.store,
            clock=api.clock,
            metrics=api.metrics,
            access=api.access,
            audit=api.audit,
            replicas=api.engine.replicas,
            positions=api.positions,
            follow=api.engine.on_commit.append,
            regions=(TK,),
            routes=api.interface.routes,
            ready=lambda: True,
            words={},
        )
        async with opened(front) as port:
            yield FieldPageWorld(api, made[0], port)


# What a crew gets


async def test_a_page_begins_with_what_the_unit_is_and_has_to_do(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        first = await crew.next("snapshot")
    assert crew.frames == [first]
    assert (first["unit"]["unit_id"], first["assignment"], first["orders"]) == ("TK-A1", None, [])
    assert first["seq"] == world.api.engine.replicas.states[TK].seq
    await world.send(await world.incident())
    async with world.page() as crew:
        again = await crew.next("snapshot")
    [order] = again["orders"]
    assert (order["kind"], order["incident"]["incident_id"]) == ("dispatch", "TK-1")
    assert again["assignment"]["assignment_id"] == order["assignment_id"]
    assert again["assignment"]["incident"] == order["incident"]


async def test_an_order_arrives_is_accepted_and_driven_to(world: FieldPageWorld) -> None:
    async with world.page() as crew, world.page("TK-A2") as other:
        await crew.next("snapshot"), await other.next("snapshot")
        await world.send(await world.incident())
        order = (await crew.next("order"))["order"]
        for stage in ("delivered", "seen", "accepted"):
            await crew.say(world.ack(order["order_id"], stage))
        while (await crew.next("unit"))["unit"]["status"] != "acknowledged":
            pass
        await crew.say(world.status("en_route", "s-1", assignment_id=order["assignment_id"]))
        assert await crew.next("receipt") == {"type": "receipt", "status_id": "s-1"}
        assert world.unit().status == "en_route"
        await other.next("heartbeat")
        await other.next("heartbeat")
    assert {frame["type"] for frame in other.frames} == {"snapshot", "heartbeat"}, "only its own unit"


async def test_a_page_shows_what_others_do_with_its_unit_and_its_incident(world: FieldPageWorld) -> None:
    incident_id = await world.incident()
    await world.send(incident_id)
    async with world.page() as crew:
        await crew.next("snapshot")
        danger = {"kind": "dog", "incident_id": incident_id}
        await world.api.post("hazards", danger, token="dispatcher")
        told = (await crew.next("order"))["order"]
        assert (told["kind"], told["incident"]["hazards"][0]["kind"]) == ("message", "dog")
        changed = await crew.next("unit")
        assert changed["assignment"]["incident"]["hazards"] == told["incident"]["hazards"]
        await world.api.post(f"incidents/{incident_id}/recall", {}, token="dispatcher")
        assert (await crew.next("order"))["order"]["kind"] == "recall"
        assert (await crew.next("unit"))["assignment"] is None


async def test_a_beat_comes_in_service_time(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        at = (await crew.next("heartbeat"))["at"]
    assert at == world.api.clock.now().isoformat().replace("+00:00", "Z")


async def test_a_region_that_was_loaded_again_is_shown_anew(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        await crew.next("snapshot")
        replicas = world.api.engine.replicas
        replicas.adopt(snapshot.restore(snapshot.take(replicas.states[TK])))
        assert (await crew.next("snapshot"))["unit"]["unit_id"] == "TK-A1"


async def test_a_page_that_reads_nothing_delays_nobody_and_is_shown_anew(world: FieldPageWorld) -> None:
    async with world.page() as lazy, world.page("TK-A2") as keen:
        await lazy.next("snapshot"), await keen.next("snapshot")
        [page] = world.pages._pages[UnitId("TK-A1")]
        lazy.line.transport.pause_reading()
        while not page.socket.slow:
            page.socket.send(frame(b'{"type": "padding", "of": "%s"}' % (b"x" * 60_000)))
            await asyncio.sleep(0)
        incident_id = await world.incident()
        await world.send(incident_id, "TK-A1")
        await world.send(incident_id, "TK-A2")
        assert (await keen.next("order"))["order"]["kind"] == "dispatch"
        assert page.owed
        lazy.line.transport.resume_reading()
        again = await lazy.next("snapshot")
        assert [order["kind"] for order in again["orders"]] == ["dispatch"]
        assert "order" not in {frame["type"] for frame in lazy.frames}


# What a crew says


async def test_a_status_is_kept_once_however_often_it_is_said(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        for status_id, status in (("s-1", "out_of_service"), ("s-2", "available"), ("s-1", "out_of_service")):
            await crew.say(world.status(status, status_id))
            assert await crew.next("receipt") == {"type": "receipt", "status_id": status_id}
    async with world.page() as crew:
        await crew.say(world.status("out_of_service", "s-1"))
        assert await crew.next("receipt", status_id="s-1") == {"type": "receipt", "status_id": "s-1"}
    assert world.unit().status == "available", "an old word said again undoes nothing"


async def test_what_the_rules_are_against_has_a_receipt_that_says_so(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        await crew.say(world.status("on_scene", "s-1"))
        assert await crew.next("receipt") == {"type": "receipt", "status_id": "s-1", "refused": "no_assignment"}
        await crew.say(world.ack("TK-1.1.1.go", "accepted"))
        failed = await crew.next("error")
        assert (failed["code"], failed["order_id"]) == ("unknown_order", "TK-1.1.1.go")


async def test_a_word_is_judged_by_when_it_was_said(world: FieldPageWorld) -> None:
    await world.send(await world.incident())
    before = (world.api.clock.wall() - timedelta(minutes=5)).isoformat()
    async with world.page() as crew:
        await crew.say(world.status("available", "s-1") | {"at": before})
        assert (await crew.next("receipt"))["refused"] == "assignment_over"


async def test_a_phone_whose_clock_is_slow_is_believed_once_it_has_acknowledged(world: FieldPageWorld) -> None:
    await world.send(await world.incident())
    [order] = world.api.engine.replicas.states[TK].orders.values()
    slow = (world.api.clock.wall() - timedelta(minutes=10)).isoformat()
    async with world.page() as crew:
        await crew.say(world.ack(order.order_id, "accepted") | {"at": slow})
        await crew.say(world.status("available", "s-1") | {"at": slow})
        assert await crew.next("receipt") == {"type": "receipt", "status_id": "s-1"}


async def test_the_orders_of_another_unit_are_not_this_crew_s(world: FieldPageWorld) -> None:
    await world.send(await world.incident())
    [order] = world.api.engine.replicas.states[TK].orders.values()
    async with world.page("TK-A2") as crew:
        await crew.say(world.ack(order.order_id, "refused"))
        assert (await crew.next("error"))["code"] == "unknown_order"
    assert world.unit().incident_id == "TK-1"


@pytest.mark.parametrize(
    ("said", "code", "pointer"),
    [
        ("no json", "malformed_json", None),
        (b"\x00\xff", "malformed_json", None),
        ("[" * 5000, "invalid_body", "/type"),
        ("[]", "invalid_body", "/type"),
        ({"type": 3}, "invalid_body", "/type"),
        ({"type": "dance"}, "invalid_body", "/type"),
        ({"type": "ack", "order_id": "x", "stage": "maybe", "at": "2026-01-01T00:00:00Z"}, "invalid_body", "/stage"),
        ({"type": "status", "status": "available", "at": "2026-01-01T00:00:00Z"}, "invalid_body", ""),
        ({"type": "status", "status_id": "s", "status": "x" * 20_000}, "invalid_body", ""),
    ],
)
async def test_what_cannot_be_understood_ends_nothing(
    world: FieldPageWorld, said: Any, code: str, pointer: str
) -> None:
    async with world.page() as crew:
        await crew.say(said)
        failed = await crew.next("error")
        assert (failed["code"], failed.get("pointer")) == (code, pointer)
        await crew.say(world.status("out_of_service", "s-9"))
        assert (await crew.next("receipt", status_id="s-9"))["status_id"] == "s-9"


async def test_a_status_that_names_itself_is_not_repeated_for_ever(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        await crew.say({"type": "status", "status_id": "s-1", "status": "asleep", "at": "2026-01-01T00:00:00Z"})
        assert (await crew.next("error"))["status_id"] == "s-1"
        assert (await crew.next("receipt"))["refused"] == "malformed"


async def test_a_flood_of_nonsense_is_read_slowly_and_answered(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        for _ in range(45):
            await crew.say("?")
        for _ in range(45):
            await crew.next("error")


async def test_while_the_store_is_away_a_status_has_no_receipt(
    world: FieldPageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise ServiceAway("the store is away")

    async with world.page() as crew:
        with monkeypatch.context() as cut:
            cut.setattr(world.api.engine, "submit", away)
            await crew.say(world.status("out_of_service", "s-1"))
            assert (await crew.next("error"))["code"] == "service_away"
        await crew.say(world.status("out_of_service", "s-1"))
        await crew.next("receipt", status_id="s-1")
    assert world.unit().status == "out_of_service"


# Who may come


async def test_one_unit_takes_few_seats_and_its_newest_page_has_one(world: FieldPageWorld) -> None:
    async with contextlib.AsyncExitStack() as stack:
        crews = [await stack.enter_async_context(world.page()) for _ in range(PAGES_MAX + 2)]
        for cut in crews[:2]:
            with pytest.raises(ConnectionClosed):
                await cut.next("never")
        await world.send(await world.incident())
        for crew in crews[2:]:
            assert (await crew.next("order"))["order"]["kind"] == "dispatch"
        assert len(world.pages._pages[UnitId("TK-A1")]) == PAGES_MAX
    async with asyncio.timeout(PATIENCE_S):
        while world.pages._pages or world.pages.sittings.sockets:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("token", "status"), [("dispatcher", 403), ("device", 403), ("nobody", 401), (None, 401)])
async def test_a_page_is_for_crews(world: FieldPageWorld, token: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {secret(token)}"} if token else {}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(world.url, additional_headers=headers):
            pass
    assert refused.value.response.status_code == status


async def test_a_crew_by_cookie_must_come_from_our_own_page(world: FieldPageWorld) -> None:
    cookie = {"Cookie": f"{COOKIE}={secret('TK-A1')}"}
    ours = f"http://127.0.0.1:{world.port}"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(world.url, additional_headers=cookie | {"Origin": "https://elsewhere.example"}):
            pass
    assert refused.value.response.status_code == 403
    async with connect(world.url, additional_headers=cookie, origin=ours) as line:  # type: ignore[arg-type]
        crew = Crew(line)
        await crew.next("snapshot")
        await crew.say(world.status("out_of_service", "s-1"))
        await crew.next("receipt", status_id="s-1")


async def test_a_token_that_is_revoked_ends_its_page(world: FieldPageWorld) -> None:
    async with world.page() as crew:
        await crew.next("snapshot")
        token = hashlib.sha256(secret("TK-A1").encode()).digest()
        await world.api.store.put_device(Device(token=token, actor="unit:TK-A1", role="unit", active=False))
        with pytest.raises(ConnectionClosed) as ended:
            await crew.next("never")
    assert ended.value.rcvd is not None and ended.value.rcvd.code == SESSION_OVER
