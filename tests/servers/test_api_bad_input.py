"""Bad input of every kind ends as a 4xx problem, is kept for a supervisor where it may be a cry for help, and
harms nothing that comes after it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from dispatch.calling.contacts import BURST
from tests.servers.api_world import CHORSU, TK, ApiWorld, api_world


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        yield running


def nested(depth: int) -> bytes:
    return b'{"channel":"app","text":' + b"[" * depth + b"]" * depth + b"}"


UNREADABLE: dict[str, tuple[bytes, int, str]] = {
    "nothing at all": (b"", 400, "malformed_json"),
    "half a body": (b'{"channel": "app", "te', 400, "malformed_json"),
    "not JSON": (b"yordam bering", 400, "malformed_json"),
    "not UTF-8": (b'{"channel": "app", "text": "\xff\xfe"}', 400, "malformed_json"),
    "a list": (b'["app"]', 422, "invalid_body"),
    "a number": (b"7", 422, "invalid_body"),
    "null": (b"null", 422, "invalid_body"),
    "no channel": (b"{}", 422, "invalid_body"),
    "an unknown channel": (b'{"channel": "pigeon"}', 422, "invalid_body"),
    "an unknown field": (b'{"channel": "app", "colour": "red"}', 422, "invalid_body"),
    "an unknown field deep inside": (
        b'{"channel": "app", "location": [{"source": "app", "lat": 41}]}',
        422,
        "invalid_body",
    ),
    "a field twice": (b'{"channel": "app", "channel": "voice"}', 422, "invalid_body"),
    "a wrong type": (b'{"channel": "app", "silent": "yes"}', 422, "invalid_body"),
    "a number as text": (
        b'{"channel": "app", "location": [{"source": "app", "point": ["69.2", "41.3"]}]}',
        422,
        "invalid_body",
    ),
    "1e999": (
        b'{"channel": "app", "location": [{"source": "app", "point": [1e999, 41.3]}]}',
        422,
        "invalid_body",
    ),
    "an endless number": (
        b'{"channel": "app", "location": [{"source": "app", "point": [' + b"9" * 5000 + b", 41.3]}]}",
        422,
        "invalid_body",
    ),
    "NaN": (
        b'{"channel": "app", "location": [{"source": "app", "point": [NaN, 41.3]}]}',
        400,
        "malformed_json",
    ),
    "a negative radius": (
        b'{"channel": "app", "location": [{"source": "app", "point": [69.2, 41.3], "accuracy_m": -1}]}',
        422,
        "invalid_body",
    ),
    "a point of one number": (
        b'{"channel": "app", "location": [{"source": "app", "point": [69.2]}]}',
        422,
        "invalid_body",
    ),
    "a polygon": (
        b'{"channel":"app","location":[{"source":"app","point":{"type":"Polygon", "coordinates": []}}]}',
        422,
        "invalid_body",
    ),
    "a time without a zone": (b'{"channel": "app", "at": "2026-01-01T00:00:00"}', 422, "invalid_body"),
    "a time that is none": (b'{"channel": "app", "at": "soon"}', 422, "invalid_body"),
    "too much evidence": (
        b'{"channel": "app", "location": [' + b",".join([b'{"source": "app"}'] * 17) + b"]}",
        422,
        "invalid_body",
    ),
    "U+0000": (b'{"channel": "app", "text": "a\\u0000b"}', 422, "invalid_body"),
    "half a surrogate": (b'{"channel": "app", "text": "\\ud800"}', 400, "malformed_json"),
    "a deep nest": (nested(500), 422, "invalid_body"),
    "a very deep nest": (nested(30_000), 422, "invalid_body"),
    "a long text": (b'{"channel": "app", "text": "' + b"a" * 20_000 + b'"}', 422, "invalid_body"),
    "swapped coordinates": (
        b'{"channel": "app", "location": [{"source": "app", "point": [41.3264, 69.2346]}]}',
        422,
        "outside_country",
    ),
    "zero, zero": (
        b'{"channel": "app", "location": [{"source": "app", "point": [0, 0]}]}',
        422,
        "outside_country",
    ),
    "a place abroad": (
        b'{"channel": "app", "location": [{"source": "app", "point": [2.35, 48.85]}]}',
        422,
        "outside_country",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_understood_is_refused_and_kept(world: ApiWorld, what: str) -> None:
    raw, status, code = UNREADABLE[what]
    got = await world.post("calls", raw)
    assert got.headers["Content-Type"].startswith("application/problem+json")
    assert (got.status, got.code) == (status, code) or (got.status in (400, 422) and "deep" in what)
    contacts, _ = await world.store.contacts(None, None, 10)
    assert [(contact.contact_id, contact.raw) for contact in contacts] == [(got.json["contact_id"], raw[: 64 * 1024])]
    assert not world.engine.states[TK].calls


async def test_swapped_coordinates_are_named(world: ApiWorld) -> None:
    swapped = {"source": "app", "point": {"type": "Point", "coordinates": [CHORSU[1], CHORSU[0]]}}
    got = await world.post("calls", {"channel": "app", "location": [{"source": "cell"}, swapped]})
    assert got.json["errors"][0]["pointer"] == "/location/1/point"
    assert "did you send [lat, lon]?" in got.json["detail"]


async def test_a_fault_is_pointed_at(world: ApiWorld) -> None:
    got = await world.post("calls", {"channel": "app", "location": [{"source": "app", "accuracy_m": "far"}]})
    assert got.json["errors"][0]["pointer"] == "/location/0/accuracy_m"


async def test_a_body_of_eleven_megabytes_is_refused_and_its_beginning_kept(world: ApiWorld) -> None:
    got = await world.post("calls", b'{"channel": "app", "text": "' + b"a" * 11_000_000 + b'"}')
    assert (got.status, got.code) == (413, "too_large")
    contacts, _ = await world.store.contacts(None, None, 10)
    assert [len(contact.raw) for contact in contacts] == [64 * 1024]


async def test_another_media_type_is_refused_and_kept(world: ApiWorld) -> None:
    got = await world.post("calls", b"<call/>", kind="application/xml")
    assert (got.status, got.code) == (415, "unsupported_media_type")
    assert "contact_id" in got.json


async def test_a_flood_of_nonsense_is_counted_and_only_partly_kept(world: ApiWorld) -> None:
    for _ in range(BURST + 10):
        got = await world.post("calls", b"nonsense")
        assert got.status == 400
    contacts, _ = await world.store.contacts(None, None, 200)
    assert len(contacts) == BURST
    limited = {"door": "http", "outcome": "limited"}
    assert await world.counted("dispatch112_unreadable_contacts_total", **limited) == 10
    assert (await world.post("calls", b"nonsense", token="device_sa")).json.get("contact_id")


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "x" * 300])
async def test_a_key_that_cannot_be_one_is_refused(world: ApiWorld, key: str) -> None:
    headers = {"Idempotency-Key": key, "Authorization": "Bearer device-" + "x" * 40}
    url = f"{world.url}/api/v1/calls"
    async with world.session.post(url, json={"channel": "app"}, headers=headers) as response:
        assert response.status in (400, 422)
    contacts, _ = await world.store.contacts(None, None, 10)
    assert [contact.raw for contact in contacts] == [b'{"channel": "app"}'], "nobody is lost for a header"


@pytest.mark.parametrize(
    "raw", [b'{"channel": "app"}', gzip.compress(b'{"channel": "app"}', mtime=0)], ids=["plain", "packed"]
)
async def test_a_packed_body_is_refused_and_kept_as_it_came(world: ApiWorld, raw: bytes) -> None:
    headers = {"Content-Encoding": "gzip", "Authorization": "Bearer device-" + "x" * 40}
    sent = aiohttp.BytesPayload(raw, content_type="application/json")
    async with world.session.post(f"{world.url}/api/v1/calls", data=sent, headers=headers) as response:
        assert response.status == 415
    contacts, _ = await world.store.contacts(None, None, 10)
    assert [contact.raw for contact in contacts] == [raw]


@pytest.mark.parametrize("token", [None, "nobody", ""])
async def test_nobody_gets_in_without_a_token_that_is_known(world: ApiWorld, token: str | None) -> None:
    got = await world.post("calls", {"channel": "app"}, token=token)
    assert got.status == 401
    assert (await world.store.contacts(None, None, 10))[0] == []


EDGE = base64.urlsafe_b64encode(b'["c-1", "0001-01-01T00:00:00+23:59"]').decode().rstrip("=")
"""A cursor whose time cannot be brought to UTC."""
PATHS: list[tuple[str, str, Any, set[int]]] = [
    ("POST", "calls/c-nothing/claim", None, {404}),
    ("POST", "calls/c-nothing/location", {"source": "app", "point": CHORSU}, {404}),
    ("POST", "calls/%00/claim", None, {400, 404}),
    ("POST", "calls/%E2%28%A1/claim", None, {400, 404}),
    ("GET", "calls/" + "a" * 3000, None, {404}),
    ("GET", "incidents/TK-999999", None, {404}),
    ("GET", "incidents/TK-1'%20OR%201=1--", None, {404}),
    ("POST", "incidents/TK-1/assign", {"units": []}, {404, 422}),
    ("POST", "incidents", {"incident_type": "dragon"}, {422}),
    (
        "POST",
        "incidents",
        {"incident_type": "smoke", "location": [{"source": "operator", "point": [41, 69]}]},
        {422},
    ),
    ("POST", "incidents", {"incident_type": "smoke", "region": "UZ-XX"}, {404}),
    ("POST", "units/XX-1/status", {"status": "available"}, {404}),
    ("GET", "calls?colour=red", None, {422}),
    ("GET", "calls?limit=0", None, {422}),
    ("GET", "calls?limit=1e3", None, {422}),
    ("GET", "calls?limit=201", None, {422}),
    ("GET", "calls?limit=5&limit=6", None, {422}),
    ("GET", "calls?status=lost", None, {422}),
    ("GET", "calls?region=UZ-XX", None, {422}),
    ("GET", "calls?cursor=!!!", None, {422}),
    ("GET", "calls?cursor=e30", None, {422}),
    ("GET", "incidents?cursor=WyJhIiwgMV0", None, {422}),
    ("GET", f"calls?cursor={EDGE}", None, {422}),
    ("GET", "units?body=army", None, {422}),
    ("GET", "queue", None, {422}),
    ("GET", "queue?region=UZ-TK&cursor=AAAA", None, {422}),
    ("GET", "events?region=UZ-TK&after=-1", None, {422}),
    ("GET", "events?region=UZ-TK&after=99999999999999999999999", None, {422}),
    ("GET", "places", None, {422}),
    ("GET", "places?q=", None, {422}),
    ("GET", "places?q=a&near=north", None, {422}),
    ("GET", "places?q=a&near=nan,nan", None, {422}),
    ("GET", "places?q=a&near=69.2,41.3", None, {422}),
    ("GET", "kpi?from=yesterday", None, {422}),
    ("GET", "kpi?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", None, {422}),
    ("GET", "kpi?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", None, {422}),
    ("GET", "kpi?to=0001-01-01T00:00:00Z", None, {422}),
    ("GET", "kpi?to=9999-12-31T23:59:59-23:59", None, {422}),
    ("GET", "kpi?rule=mine", None, {422}),
    ("GET", "contacts?region=nowhere", None, {422}),
    ("POST", "contacts/u-none/close", None, {404}),
    ("PUT", "regions/UZ-XX/policy", {"attended": True}, {404}),
    ("PUT", "regions/UZ-TK/policy", {"dispatch": "never"}, {422}),
    ("PUT", "regions/UZ-TK/phase", {"phase": "past"}, {422}),
    ("DELETE", "calls", None, {405}),
    ("GET", "nothing", None, {404}),
]


@pytest.mark.parametrize(("method", "path", "body", "statuses"), PATHS)
async def test_every_address_refuses_nonsense_with_a_problem(
    world: ApiWorld, method: str, path: str, body: Any, statuses: set[int]
) -> None:
    got = await world.call(method, path, body, token="supervisor")
    assert got.status in statuses, got.raw
    assert got.headers["Content-Type"].startswith("application/problem+json")
    assert got.json["status"] == got.status


async def test_the_service_takes_calls_as_before_after_all_of_it(world: ApiWorld) -> None:
    for raw, _, _ in UNREADABLE.values():
        await world.post("calls", raw)
    for method, path, body, _ in PATHS:
        await world.call(method, path, body, token="supervisor")
    call = await world.new_call(location=[{"source": "app", "point": CHORSU}])
    assert call["region"] == "UZ-TK"
    assert await world.counted("dispatch112_faults_total", where="http") == 0


async def test_a_supervisor_settles_no_contact_of_a_region_that_is_not_theirs(world: ApiWorld) -> None:
    theirs = (await world.post("calls", b"nonsense", token="device_sa")).json["contact_id"]
    anybodys = (await world.post("calls", b"nonsense")).json["contact_id"]
    assert (await world.post(f"contacts/{theirs}/close", token="supervisor_to")).code == "unknown_contact"
    assert (await world.post(f"contacts/{anybodys}/close", token="supervisor_to")).status == 200
    left = (await world.get("contacts", token="supervisor")).json["contacts"]
    assert [contact["contact_id"] for contact in left] == [theirs]


async def test_a_supervisor_sees_an_unreadable_contact_and_settles_it(world: ApiWorld) -> None:
    raw = "{yong‘in, Chorsu bozori!".encode()
    contact_id = (await world.post("calls", raw)).json["contact_id"]
    listed = await world.get("contacts", token="supervisor")
    assert [(c["contact_id"], c["text"], c["door"]) for c in listed.json["contacts"]] == [
        (contact_id, raw.decode(), "http")
    ]
    assert (await world.get("contacts", token="taker")).status == 403
    assert (await world.post(f"contacts/{contact_id}/close", token="supervisor")).status == 200
    assert (await world.post(f"contacts/{contact_id}/close", token="supervisor")).status == 404
    assert (await world.get("contacts", token="supervisor")).json["contacts"] == []
    await world.audit.flush()
    entries = await world.store.audited(f"contact:{contact_id}", 10)
    assert {(entry.actor, entry.action) for entry in entries} == {
        ("user:supervisor", "read"),
        ("user:supervisor", "settled"),
    }
