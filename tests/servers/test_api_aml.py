"""AML: a handset's own location finds its call by number or IMEI, and nobody else's location is ever used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from dispatch.calling.aml import Trust
from dispatch.core.terms import CallId
from dispatch.formats.aml import sign_form
from tests.servers.api_world import AML_KEY, CHORSU, TK, ApiWorld, Got, api_world

NUMBER = "+998901234567"
IMEI = "353472104343540"


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with api_world() as running:
        yield running


def form(point: list[float] = CHORSU, **fields: Any) -> str:
    """A form as Google's ELS posts it, made by hand from its specification."""
    known = {"v": 1, "location_latitude": point[1], "location_longitude": point[0], "location_accuracy": 12}
    return urlencode(known | fields)


async def send(world: ApiWorld, body: str, key: bytes | None = AML_KEY, **more: Any) -> Got:
    signed = body if key is None else sign_form(body, key)
    kind = "application/x-www-form-urlencoded"
    got = await world.post("aml", signed.encode(), kind=kind, token=None, **more)
    assert (got.status, got.raw) == (204, b"")
    return got


async def outcome(world: ApiWorld, name: str) -> float:
    return await world.counted("dispatch112_aml_total", outcome=name)


def place(world: ApiWorld, call_id: str) -> Any:
    return world.engine.replicas.states[TK].calls[call_id].location  # type: ignore[index]


async def test_a_form_with_a_right_hmac_locates_the_call_of_its_number(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": "90 123-45-67"})
    await send(world, form(device_number=NUMBER))
    found = place(world, call["call_id"])
    assert (found.source, found.lat, found.lon) == ("aml", CHORSU[1], CHORSU[0])
    (fix,) = world.engine.replicas.states[TK].calls[CallId(call["call_id"])].evidence
    assert fix.accuracy_m == 12 < found.accuracy_m < 50
    assert await outcome(world, "used") == 1


async def test_a_forged_or_unsigned_form_is_counted_and_never_used(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, form(device_number=NUMBER), key=b"another key")
    await send(world, form(device_number=NUMBER), key=None)
    assert place(world, call["call_id"]) is None
    assert (await outcome(world, "forged"), await outcome(world, "unauthenticated")) == (1, 1)


@pytest.mark.parametrize("token", [None, "device"])
async def test_an_hmac_that_nobody_can_try_is_forged_whoever_sent_it(token: str | None) -> None:
    async with api_world(trust=Trust()) as keyless:
        call = await keyless.new_call(channel="voice", caller={"number": NUMBER})
        for name in ("hmac", "HMAC"):
            said = f"{form(device_number=NUMBER)}&{name}={'0' * 64}"
            kind = "application/x-www-form-urlencoded"
            assert (await keyless.post("aml", said.encode(), kind=kind, token=token)).status == 204
        assert place(keyless, call["call_id"]) is None
        assert await outcome(keyless, "forged") == 2


async def test_an_sms_of_a_known_gateway_locates_the_call_of_its_sender(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    text = 'A"ML=1;lt=+41.32640;lg=+069.23460;rd=35;top=20260101000000;lc=90;pm=G;si=434040000000000;ei='
    text += f"{IMEI};mcc=434;mnc=04;ml=127"
    got = await world.post("aml?from=%2B998901234567", text.encode(), kind="text/plain")
    assert got.status == 204
    (fix,) = world.engine.replicas.states[TK].calls[CallId(call["call_id"])].evidence
    assert fix.accuracy_m == pytest.approx(35 * 0.703, abs=0.1), "35 m in nine cases of ten are 24.6 m in 68 of 100"
    assert 35 < place(world, call["call_id"]).accuracy_m < 80


async def test_an_sms_of_nobody_is_never_used(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    text = b'A"ML=1;lt=+41.32640;lg=+069.23460;rd=35;top=20260101000000;lc=90;pm=G'
    got = await world.post("aml?from=%2B998901234567", text, kind="text/plain", token=None)
    assert got.status == 204
    assert place(world, call["call_id"]) is None
    assert await outcome(world, "unauthenticated") == 1


async def test_without_a_number_the_imei_finds_the_call(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"imei": "35-347210-434354-0"})
    await send(world, form(device_imei=IMEI))
    assert place(world, call["call_id"]).source == "aml"


async def test_a_location_that_comes_before_its_call_waits_for_it(world: ApiWorld) -> None:
    await send(world, form(device_number=NUMBER))
    world.clock.advance(50)
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    assert call["location"]["source"] == "aml"
    assert await outcome(world, "waiting") == 1


async def test_a_location_from_long_before_the_call_is_not_its_own(world: ApiWorld) -> None:
    await send(world, form(device_number=NUMBER))
    world.clock.advance(61)
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    assert call["flags"] == ["unlocated"]


async def test_a_call_that_reaches_us_late_still_finds_its_location(world: ApiWorld) -> None:
    await send(world, form(device_number=NUMBER))
    began_at = world.clock.now()
    world.clock.advance(300)
    call = await world.new_call(
        channel="voice", caller={"number": NUMBER}, at=began_at.isoformat().replace("+00:00", "Z")
    )
    assert call["location"]["source"] == "aml"


async def test_an_unmatched_location_is_forgotten_after_ten_minutes(world: ApiWorld) -> None:
    await send(world, form(device_number=NUMBER))
    world.clock.advance(601)
    await send(world, form(device_number="+998935554433"))
    world.interface.aml.tidy()
    assert world.interface.intake.matcher.waiting == 1
    assert await outcome(world, "expired") == 1


async def test_the_newest_wins_unless_its_radius_is_over_four_times_worse(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, form(device_number=NUMBER, location_accuracy=20))
    world.clock.advance(5)
    await send(world, form([69.25, 41.33], device_number=NUMBER, location_accuracy=60))
    assert place(world, call["call_id"]).lon == 69.25
    world.clock.advance(5)
    await send(world, form([69.29, 41.33], device_number=NUMBER, location_accuracy=2_000))
    assert place(world, call["call_id"]).lon == 69.25


async def test_what_an_operator_confirmed_stands_against_aml(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    confirmed = {"source": "operator", "point": [69.28, 41.31]}
    await world.post(f"calls/{call['call_id']}/location", confirmed, token="taker")
    await send(world, form(device_number=NUMBER, location_accuracy=3))
    assert (place(world, call["call_id"]).lon, place(world, call["call_id"]).confirmed) == (69.28, True)


async def test_of_two_open_calls_with_one_number_the_newer_is_located_and_both_are_flagged(
    world: ApiWorld,
) -> None:
    older = await world.new_call(channel="voice", caller={"number": NUMBER})
    world.clock.advance(10)
    newer = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, form(device_number=NUMBER))
    assert place(world, older["call_id"]) is None
    assert place(world, newer["call_id"]).source == "aml"
    assert await outcome(world, "shared") == 1
    card = (await world.get(f"calls/{older['call_id']}", token="taker")).json
    assert "shared_number" in card["flags"]


async def test_a_null_location_is_no_position(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, form([0, 0], device_number=NUMBER))
    assert place(world, call["call_id"]) is None
    assert await outcome(world, "no_position") == 1


async def kept_for_a_person(world: ApiWorld) -> list[str]:
    """Why each contact waits for a supervisor."""
    return [contact.fault for contact in (await world.store.contacts(None, None, 10))[0]]


async def ended_call(world: ApiWorld, *, join: bool, **said: Any) -> dict[str, Any]:
    """A call from NUMBER that is over, with an incident of its own or without."""
    call = await world.new_call(channel="voice", caller={"number": NUMBER}, **said)
    path = f"calls/{call['call_id']}"
    await world.post(f"{path}/answer", token="taker")
    if join:
        call |= (await world.post(f"{path}/classify", {"incident_type": "illness"}, token="taker")).json
    closed = await world.post(f"{path}/close", {"disposition": "advice_only"}, token="taker")
    assert closed.status == 200, closed.raw
    return call


def incident_place(world: ApiWorld, call: dict[str, Any]) -> Any:
    return world.engine.replicas.states[TK].incidents[call["incident_id"]].location


async def test_after_the_end_of_its_call_a_location_waits_for_a_supervisor(world: ApiWorld) -> None:
    call = await ended_call(world, join=False)
    world.clock.advance(119)
    await send(world, form(device_number=NUMBER))
    assert await outcome(world, "late") == 1
    (why,) = await kept_for_a_person(world)
    assert call["call_id"] in why


async def test_after_the_window_of_its_call_a_location_waits_for_the_next_one(world: ApiWorld) -> None:
    await ended_call(world, join=False)
    world.interface.aml.tidy()
    world.clock.advance(121)
    await send(world, form(device_number=NUMBER))
    assert await outcome(world, "waiting") == 1


@pytest.mark.parametrize("known", [[], [{"source": "cell", "point": [69.25, 41.33], "accuracy_m": 900}]])
async def test_after_the_end_of_its_call_a_location_places_the_incident(world: ApiWorld, known: list[Any]) -> None:
    call = await ended_call(world, join=True, location=known)
    await send(world, form(device_number=NUMBER))
    found = incident_place(world, call)
    assert found.source == "aml" and (found.lon, found.lat) == pytest.approx(CHORSU, abs=1e-4)
    assert await outcome(world, "late_used") == 1
    assert await kept_for_a_person(world) == []


@pytest.mark.parametrize(
    "known",
    [
        {"source": "operator", "point": [69.28, 41.31]},
        {"source": "app", "point": [69.28, 41.31], "accuracy_m": 5},
    ],
)
async def test_after_the_end_of_its_call_a_better_place_stands(world: ApiWorld, known: dict[str, Any]) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    path = f"calls/{call['call_id']}"
    call |= (await world.post(f"{path}/classify", {"incident_type": "illness"}, token="taker")).json
    assert (await world.post(f"{path}/location", known, token="taker")).status == 200
    await world.post(f"{path}/close", {"disposition": "advice_only"}, token="taker")
    await send(world, form(device_number=NUMBER, location_accuracy=400))
    assert incident_place(world, call).lon == 69.28
    assert await outcome(world, "late") == 1
    assert len(await kept_for_a_person(world)) == 1


@pytest.mark.parametrize(
    "body",
    [
        form([41.3264, 69.2346], device_number=NUMBER),
        form(device_number=NUMBER).replace("69.2346", "69.2x"),
        form([37.6, 55.7], device_number=NUMBER),
    ],
)
async def test_a_form_whose_position_cannot_be_used_is_kept_for_a_person(world: ApiWorld, body: str) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER})
    await send(world, body)
    assert place(world, call["call_id"]) is None
    assert await outcome(world, "misplaced") == 1
    (why,) = await kept_for_a_person(world)
    assert call["call_id"] in why


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('A"ML=1;lt=abc;lg=1', True),
        ('A"ML=1;lt=+69.2346;lg=+041.3264;rd=30', True),
        ('A"ML=1;zz=1', True),
        ('A"ML=1;lt=+00.00000;lg=+000.00000;rd=N;pm=N', False),
        ('A"ML=1;pm=N', False),
    ],
)
async def test_an_sms_without_a_usable_position_is_kept_unless_it_says_so_itself(
    world: ApiWorld, text: str, kept: bool
) -> None:
    await world.post("aml?from=%2B998901234567", text.encode(), kind="text/plain")
    assert len(await kept_for_a_person(world)) == kept
    assert await outcome(world, "misplaced" if kept else "no_position") == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00\xfe",
        b'A"ML=9;lt=1',
        b"hello",
        b"v=1&" * 4000,
        b"location_latitude=%zz&hmac=",
        b"x" * 200_000,
    ],
)
async def test_nonsense_gets_204_and_is_kept_when_a_gateway_sent_it(world: ApiWorld, raw: bytes) -> None:
    kind = "application/x-www-form-urlencoded"
    assert (await world.post("aml", raw, kind=kind, token=None)).status == 204
    assert (await world.store.contacts(None, None, 10))[0] == []
    assert (await world.post("aml", raw, kind=kind)).status == 204
    total = sum([await outcome(world, name) for name in ("unreadable", "forged", "no_position")])
    assert total == 2
    assert await world.counted("dispatch112_faults_total", where="http") == 0


async def test_calls_that_are_over_leave_the_index_though_nobody_sends_anything(world: ApiWorld) -> None:
    for number in range(20):
        call = await world.new_call(channel="voice", caller={"number": f"+9989012345{number:02}"})
        await world.post(f"calls/{call['call_id']}/close", {"disposition": "test"}, token="taker")
    world.interface.aml.tidy()
    assert len(world.interface.intake.matcher) == 20
    world.clock.advance(121)
    world.interface.aml.tidy()
    assert len(world.interface.intake.matcher) == 0
