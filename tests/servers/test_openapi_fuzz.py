"""Whatever is sent to any address of the served document, the answer is never our fault.

Schemathesis makes requests from the document, right ones and wrong ones, as several actors, about things that
exist and things that do not. Bounded: EXAMPLES for each address and way, about a minute in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from time import sleep
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, GenerationMode
from schemathesis.core.result import Ok

from consoles.about import AboutPage
from consoles.openapi import documents, openapi_document
from consoles.pages import Pages
from consoles.sessions import Sessions
from dispatch.core.terms import Body
from dispatch.door import open_door
from dispatch.keeping.memory import MemoryStore
from dispatch.keeping.postgres import PostgresStore
from dispatch.store import Store
from dispatch.web.application import application
from dispatch.web.health import Health
from dispatch.web.problems import KINDS
from dispatch.web.routes import Routes
from dispatch.web.websocket import Socket
from tests.servers.api_world import CHORSU, ApiWorld, api_world, secret

EXAMPLES = 40
PATIENCE = 10
"""Times that somebody asks who hears that a server is away: once it is back an answer must come."""
ACTORS = ("admin", "admin", "supervisor", "dispatcher", "moh", "device")

Json = dict[str, Any]


class Served:
    """The interface on a loop of its own, in a thread: schemathesis asks synchronously."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.url = ""
        self.document: Json = {}
        self.ids: dict[str, list[str]] = {}
        self.world: ApiWorld | None = None
        self._loop = asyncio.new_event_loop()
        self._open = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def start(self) -> None:
        self._thread.start()
        assert self._open.wait(60), "the interface did not open"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
        self._loop.close()

    def counted_faults(self) -> float:
        assert self.world is not None
        return self.world.metrics.registry.get_sample_value("dispatch112_faults_total", {"where": "http"}) or 0

    async def _serve(self) -> None:
        await self._store.open()
        try:
            await self._serve_on(self._store)
        finally:
            await self._store.close()

    async def _serve_on(self, store: Store) -> None:
        async with api_world(store) as world, _door(world) as (url, routes):
            await world.unit("TK-A1", Body.MOH, "als", CHORSU)
            where = [{"source": "app", "point": {"type": "Point", "coordinates": CHORSU}}]
            receipt = await world.new_call(incident_type="chest_pain", location=where)
            waiting = await world.new_call()
            self.ids = {
                "call_id": [receipt["call_id"], waiting["call_id"]],
                "incident_id": [receipt["incident_id"]],
                "unit_id": ["TK-A1"],
                "region": ["UZ-TK"],
            }
            self.document = msgspec.json.decode(msgspec.json.encode(openapi_document(routes)))
            self.world, self.url = world, url
            self._open.set()
            await self._over.wait()


@contextlib.asynccontextmanager
async def _door(world: ApiWorld) -> AsyncIterator[tuple[str, Routes]]:
    """Every address that ends by itself, behind the real door."""
    health = Health(world.metrics, world.store.ping, lambda: True)
    await health.ask()
    routes = Routes(*health.routes(), *AboutPage(("UZ-TK",), "LIVE", 1.0).routes())
    routes.add(*Pages(lambda: b"{}").routes(), *Sessions(world.access, world.audit).routes())
    routes.add(*(route for route in world.interface.routes if route.timeout_s is not None))
    routes.add(*documents(routes))
    app = application(routes, world.access.actor_of, world.metrics)
    door = await open_door(app, _hang_up, ("127.0.0.1", 0), world.metrics)
    try:
        yield f"http://127.0.0.1:{door.port}", routes
    finally:
        await door.close(1.0)


async def _hang_up(socket: Socket) -> None:
    socket.abort()


@pytest.fixture(params=["memory", "postgres"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    in_memory = request.param == "memory"
    made = Served(MemoryStore() if in_memory else PostgresStore(request.getfixturevalue("postgres_url")))
    made.start()
    yield made
    made.stop()


def operations(served: Served) -> list[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(served.document)
    schema.config.update(base_url=served.url)
    found = list(schema.get_all_operations())
    assert all(isinstance(one, Ok) for one in found), "an address that schemathesis cannot read"
    return [one.ok() for one in found if isinstance(one, Ok)]


def cases(served: Served, operation: APIOperation[Any, Any, Any, Any]) -> st.SearchStrategy[Any]:
    """Right and wrong requests; where the path names something, also about what is really there."""
    real = {name: ids for name, ids in served.ids.items() if "{" + name + "}" in operation.path}
    chosen: list[Json | None] = [None]
    chosen += [{name: one} for name, ids in real.items() for one in ids]
    ways: list[st.SearchStrategy[Any]] = [
        operation.as_strategy(mode, path_parameters=about)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for about in chosen
        if about is not None or mode is GenerationMode.POSITIVE or "{" not in operation.path
    ]
    return st.one_of(*ways)


@pytest.mark.slow
def test_no_request_makes_a_fault(served: Served) -> None:
    answered: Counter[int] = Counter()
    with requests.Session() as session:
        for operation in operations(served):

            @seed(112)
            @settings(
                max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=cases(served, operation), actor=st.sampled_from(ACTORS))
            def ask(case: Any, actor: str) -> None:
                headers = {"Authorization": f"Bearer {secret(actor)}"}
                for _ in range(PATIENCE):
                    got = case.call(base_url=served.url, session=session, headers=headers, timeout=10)
                    if got.status_code != 503:
                        break
                    # A busy machine's database may be silent for a lease's length: whoever asks again is served.
                    sleep(float(got.headers["Retry-After"]))
                answered[got.status_code] += 1
                assert got.status_code < 500, (case.as_curl_command(), got.content[:500])
                if got.status_code >= 400:
                    said = msgspec.json.decode(got.content)
                    assert KINDS[said["code"]].status == got.status_code, said

            ask()
    assert answered.total() > EXAMPLES * 10
    assert {200, 201, 403, 404, 422} <= set(answered), answered
    assert served.counted_faults() == 0
