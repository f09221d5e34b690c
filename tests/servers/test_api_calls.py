"""Calls in by HTTP: every contact becomes a call in the right region, once, and new evidence finds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatch.core.terms import Body, CallId
from dispatch.store import Store
from routing.regions import Regions
from tests.servers.api_world import CHORSU, REGISTAN, SA, TK, ApiWorld, api_world


@pytest.fixture
async def world(store: Store) -> AsyncIterator[ApiWorld]:
    async with api_world(store) as running:
        yield running


def app(point: list[float], accuracy_m: float = 20) -> list[dict[str, Any]]:
    return [{"source": "app", "point": {"type": "Point", "coordinates": point}, "accuracy_m": accuracy_m}]


async def test_a_contact_becomes_a_call_in_the_region_of_its_place(world: ApiWorld) -> None:
    call = await world.new_call(location=app(REGISTAN))
    assert (call["region"], call["status"], call["location"]["source"]) == ("UZ-SA", "queued", "app")
    assert call["location"]["point"] == {"type": "Point", "coordinates": REGISTAN}
    assert call["location"]["place"]["ru"].startswith("Самарканд")


async def test_a_voice_call_rings_and_another_contact_queues(world: ApiWorld) -> None:
    assert (await world.new_call(channel="voice"))["status"] == "ringing"
    assert (await world.new_call(channel="sms"))["status"] == "queued"


async def test_a_call_with_neither_place_nor_number_is_kept_and_flagged(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    assert call["flags"] == ["unlocated"]
    assert call["region"] == "UZ-TK"
    assert "location" not in call


async def test_a_call_without_a_place_waits_with_its_sender_s_own_people(world: ApiWorld) -> None:
    got = await world.post("calls", {"channel": "voice"}, token="device_sa")
    assert got.json["region"] == "UZ-SA"


async def test_a_call_that_names_a_service_goes_straight_to_an_incident(world: ApiWorld) -> None:
    call = await world.new_call(service="fire", location=app(CHORSU))
    assert (call["status"], call["incident_id"]) == ("linked", "TK-1")


@pytest.mark.parametrize(
    ("field", "word"), [("incident_type", "dragon"), ("service", "magic"), ("priority", "P9"), ("language", "?!")]
)
async def test_a_word_that_nobody_knows_is_flagged_and_the_call_goes_on(world: ApiWorld, field: str, word: str) -> None:
    said = {"caller": {"number": "90 123 45 67"}, "text": "Yordam", "location": app(CHORSU)}
    said |= {"caller": {"number": "90 123 45 67", "language": word}} if field == "language" else {field: word}
    call = await world.new_call(**said)
    assert (call["status"], call["flags"], call["location"]["source"]) == ("queued", [f"unknown_{field}"], "app")
    card = (await world.get(f"calls/{call['call_id']}", token="taker")).json
    assert card["caller"]["text"] == f"Yordam\n{field}: {word}"
    [row] = (await world.get("calls", token="taker")).json["calls"]
    assert f"unknown_{field}" in card["flags"], "also for whoever comes later"
    assert card["flags"] == row["flags"]


async def test_an_unknown_word_does_not_hide_a_known_one(world: ApiWorld) -> None:
    call = await world.new_call(incident_type="dragon", service=" Fire ", location=app(CHORSU))
    assert (call["status"], call["incident_id"], call["flags"]) == ("linked", "TK-1", ["unknown_incident_type"])


async def test_a_second_call_about_the_same_fire_joins_its_incident(world: ApiWorld) -> None:
    first = await world.new_call(incident_type="building_fire", location=app(CHORSU))
    near = [CHORSU[0] + 0.0005, CHORSU[1]]
    second = await world.new_call(incident_type="smoke", location=app(near))
    assert second["incident_id"] == first["incident_id"]
    assert second["flags"] == ["joined_automatically"]


def at_the_border() -> list[float]:
    """The first place south of Chorsu that is no longer in the city, [lon, lat]."""
    regions = Regions()
    steps = ([CHORSU[0], CHORSU[1] - 0.001 * step] for step in range(400))
    return next(point for point in steps if regions.at(point[1], point[0]).region != TK)


async def test_near_a_border_both_regions_are_named(world: ApiWorld) -> None:
    edge = at_the_border()
    outside = await world.new_call(location=app(edge))
    inside = await world.new_call(location=app([edge[0], edge[1] + 0.002]))
    assert outside["location"]["regions"] == ["UZ-TO", "UZ-TK"]
    assert inside["location"]["regions"] == ["UZ-TK", "UZ-TO"]
    assert (outside["region"], inside["region"]) == ("UZ-TO", "UZ-TK")


async def test_a_place_in_words_is_found_and_known_to_be_rough(world: ApiWorld) -> None:
    call = await world.new_call(location=[{"source": "address", "text": "Самарканд"}])
    assert call["region"] == "UZ-SA"
    assert call["location"]["accuracy_m"] >= 1_000


async def test_null_says_no_more_than_a_field_left_out(world: ApiWorld) -> None:
    names = ("caller", "location", "text", "service", "incident_type", "priority", "at", "silent", "device")
    call = await world.new_call(**dict.fromkeys(names))
    assert call["flags"] == ["unlocated"]


async def test_words_that_name_no_place_leave_the_call_unlocated(world: ApiWorld) -> None:
    call = await world.new_call(location=[{"source": "address", "text": "qwrtpsdfghkl 17"}])
    assert call["flags"] == ["unlocated"]


async def test_a_bare_position_is_read_like_a_geojson_point(world: ApiWorld) -> None:
    call = await world.new_call(location=[{"source": "app", "point": REGISTAN}])
    assert call["location"]["point"]["coordinates"] == REGISTAN


async def test_the_same_key_gives_the_first_answer_again(world: ApiWorld) -> None:
    body = {"channel": "app", "location": app(CHORSU)}
    first = await world.post("calls", body, key="request-1")
    again = await world.post("calls", body, key="request-1")
    assert (again.status, again.raw) == (201, first.raw)
    assert "Idempotency-Mismatch" not in again.headers
    assert len(world.engine.states[TK].calls) == 1


async def test_the_same_key_with_another_body_gives_the_first_answer_and_says_so(world: ApiWorld) -> None:
    first = await world.post("calls", {"channel": "app"}, key="request-1")
    other = await world.post("calls", {"channel": "voice"}, key="request-1")
    assert (other.status, other.raw) == (201, first.raw)
    assert other.headers["Idempotency-Mismatch"] == "true"


@pytest.mark.parametrize("raw", [b'{"channel": "app", "te', b'{"channel": "pigeon"}', b""])
async def test_a_repeated_call_whose_body_cannot_be_read_any_more_gets_its_first_answer(
    world: ApiWorld, raw: bytes
) -> None:
    first = await world.post("calls", {"channel": "app"}, key="request-1")
    again = await world.post("calls", raw, key="request-1")
    assert (again.status, again.raw, again.headers["Idempotency-Mismatch"]) == (201, first.raw, "true")
    assert (await world.post("calls", raw, key="request-2")).status in (400, 422)
    assert (await world.post("calls", raw, key="request 2")).code != "invalid_key", "its words matter more"


async def test_a_key_of_another_address_does_nothing_and_says_so(world: ApiWorld) -> None:
    calls = [(await world.new_call(channel="voice"))["call_id"] for _ in range(2)]
    first, second = [await world.post(f"calls/{call_id}/answer", token="taker", key="k-1") for call_id in calls]
    assert (first.status, second.status, second.code) == (200, 422, "idempotency_reuse")
    card = (await world.get(f"calls/{calls[1]}", token="taker")).json
    assert card["status"] == "ringing"
    again = await world.post(f"calls/{calls[0]}/answer", token="taker", key="k-1")
    assert (again.status, again.raw) == (200, first.raw)
    assert "Idempotency-Mismatch" not in again.headers


async def test_a_call_is_taken_also_under_a_key_that_another_address_has_had(world: ApiWorld) -> None:
    told = await world.post("calls", {"channel": "voice"}, token="taker", key="k-1")
    await world.post(f"calls/{told.json['call_id']}/answer", token="taker", key="k-2")
    call, again = [await world.post("calls", {"channel": "app"}, token="taker", key="k-2") for _ in range(2)]
    assert (call.status, again.status) == (201, 201)
    assert call.json["call_id"] == again.json["call_id"] != told.json["call_id"]


async def test_the_same_key_of_another_actor_is_another_call(world: ApiWorld) -> None:
    first = await world.post("calls", {"channel": "app"}, key="request-1")
    other = await world.post("calls", {"channel": "app"}, key="request-1", token="taker")
    assert first.json["call_id"] != other.json["call_id"]


async def test_one_key_sent_many_times_at_once_makes_one_call(world: ApiWorld) -> None:
    got = await asyncio.gather(*(world.post("calls", {"channel": "app"}, key="k") for _ in range(12)))
    assert {answer.status for answer in got} == {201}
    assert len({answer.raw for answer in got}) == 1


async def test_a_key_outlives_the_engine(world: ApiWorld) -> None:
    first = await world.post("calls", {"channel": "app"}, key="request-1")
    await world.stop()
    await world.start()
    again = await world.post("calls", {"channel": "app"}, key="request-1")
    assert again.raw == first.raw


async def test_a_call_outlives_the_engine(world: ApiWorld) -> None:
    call = await world.new_call(location=app(CHORSU))
    await world.stop()
    await world.start()
    got = await world.get(f"calls/{call['call_id']}", token="taker")
    assert (got.status, got.json["status"]) == (200, "queued")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z"])
async def test_a_time_that_no_clock_says_counts_as_now_and_outlives_the_engine(world: ApiWorld, at: str) -> None:
    call = await world.new_call(location=[app(CHORSU)[0] | {"at": at}], at=at)
    await world.post(f"calls/{call['call_id']}/location", app(CHORSU)[0] | {"at": at})
    await world.stop()
    await world.start()
    got = await world.get(f"calls/{call['call_id']}", token="taker")
    now = world.clock.now().isoformat().replace("+00:00", "Z")
    assert [piece["at"] for piece in got.json["evidence"]] == [now, now]


async def test_better_evidence_moves_the_call(world: ApiWorld) -> None:
    call = await world.new_call(location=[{"source": "cell", "point": CHORSU, "accuracy_m": 3000}])
    better = {"source": "app", "point": [69.2401, 41.3301], "accuracy_m": 15}
    got = await world.post(f"calls/{call['call_id']}/location", better)
    assert got.status == 200
    assert got.json["location"]["source"] == "app"
    assert 15 < got.json["location"]["accuracy_m"] < 60


async def test_words_about_a_place_are_kept_with_the_evidence_and_apart_from_the_journal(world: ApiWorld) -> None:
    call = await world.new_call()
    said = {"source": "address", "text": "Chilonzor, choyxona yonida"}
    assert (await world.post(f"calls/{call['call_id']}/location", said, token="taker")).status == 200
    (seen,) = (await world.get(f"calls/{call['call_id']}", token="taker")).json["evidence"]
    assert (seen["source"], seen["text"]) == ("address", said["text"])
    kept = b"".join(event.payload for event in await world.store.events(TK, 0, 100))
    assert b"choyxona" not in kept and b'"commitment"' in kept
    (hidden,) = (await world.get(f"calls/{call['call_id']}", token="device")).json["evidence"]
    assert "text" not in hidden


async def test_erased_words_leave_their_evidence(world: ApiWorld) -> None:
    call = await world.new_call()
    said = {"source": "address", "text": "Chilonzor"}
    await world.post(f"calls/{call['call_id']}/location", said, token="taker")
    (fix,) = world.engine.replicas.states[TK].calls[CallId(call["call_id"])].evidence
    assert fix.note_id is not None
    await world.store.erase(fix.note_id, "user:admin", world.clock.now())
    (seen,) = (await world.get(f"calls/{call['call_id']}", token="taker")).json["evidence"]
    assert seen["point"] is not None and "text" not in seen


async def test_a_cells_sector_places_the_call_in_front_of_its_mast(world: ApiWorld) -> None:
    sector = {"azimuth_deg": 90, "width_deg": 60, "range_m": 2_000, "min_range_m": 300}
    call = await world.new_call(location=[{"source": "cell", "point": CHORSU} | sector])
    lon, lat = call["location"]["point"]["coordinates"]
    assert 0.005 < lon - CHORSU[0] < 0.03 and abs(lat - CHORSU[1]) < 0.002
    (seen,) = (await world.get(f"calls/{call['call_id']}", token="taker")).json["evidence"]
    assert {key: seen[key] for key in sector} == sector


async def test_a_cells_area_is_kept_and_places_the_call_in_it(world: ApiWorld) -> None:
    lon, lat = CHORSU
    ring = [[lon, lat], [lon + 0.03, lat], [lon + 0.03, lat + 0.02], [lon, lat + 0.02], [lon, lat]]
    area = {"type": "Polygon", "coordinates": [ring]}
    call = await world.new_call(location=[{"source": "cell", "area": area}])
    assert call["location"]["point"]["coordinates"] == pytest.approx([lon + 0.015, lat + 0.01], abs=0.003)
    (seen,) = (await world.get(f"calls/{call['call_id']}", token="taker")).json["evidence"]
    assert seen["area"]["coordinates"][0] == ring
    ring[2] = [2.3, 48.8]
    got = await world.post("calls", {"channel": "app", "location": [{"source": "cell", "area": area}]})
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/location/0/area/coordinates/0/2")


async def test_evidence_that_cannot_all_be_right_is_said_in_words_and_flagged(world: ApiWorld) -> None:
    call = await world.new_call(location=[{"source": "address", "text": "Chilonzor"}])
    assert "flags" not in call
    phone = {"source": "aml", "point": [69.33, 41.36], "accuracy_m": 15}
    got = await world.post(f"calls/{call['call_id']}/location", phone)
    assert "contradiction" in got.json["flags"]
    said = got.json["location"]["contradiction"]
    assert set(said) == {"uz-Latn", "uz-Cyrl", "ru", "kaa", "en"}
    assert "Chilonzor" in said["uz-Latn"] and "адрес" in said["ru"] and "phone" in said["en"]


async def test_what_an_operator_confirmed_is_never_overwritten(world: ApiWorld) -> None:
    call = await world.new_call(location=app([69.25, 41.30]))
    path = f"calls/{call['call_id']}/location"
    await world.post(path, {"source": "operator", "point": CHORSU}, token="taker")
    got = await world.post(path, app([69.3, 41.35], 5)[0])
    assert got.json["location"]["point"]["coordinates"] == CHORSU
    assert got.json["location"]["confirmed"] is True


async def test_a_device_cannot_confirm_a_place(world: ApiWorld) -> None:
    call = await world.new_call()
    got = await world.post(f"calls/{call['call_id']}/location", {"source": "operator", "point": CHORSU})
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/source")


async def test_a_corrected_place_hands_the_call_to_its_region(world: ApiWorld) -> None:
    call = await world.new_call(location=app(CHORSU))
    said = {"source": "operator", "point": REGISTAN}
    got = await world.post(f"calls/{call['call_id']}/location", said, token="taker")
    assert got.json["moving_to"] == "UZ-SA"
    for _ in range(100):
        if call["call_id"] in world.engine.replicas.states[SA].calls:
            break
        await asyncio.sleep(0.02)
    seen = await world.get(f"calls/{call['call_id']}", token="taker")
    assert seen.json["region"] == "UZ-SA"


async def test_evidence_for_somebody_else_s_call_is_refused(world: ApiWorld) -> None:
    call = await world.new_call()
    got = await world.post(f"calls/{call['call_id']}/location", app(CHORSU)[0], token="device_sa")
    assert (got.status, got.code) == (404, "unknown_call")


async def test_an_app_may_say_that_its_user_hung_up(world: ApiWorld) -> None:
    call = await world.new_call(channel="voice")
    got = await world.post(f"calls/{call['call_id']}/abandon")
    assert got.json["status"] == "abandoned"


async def test_number_name_and_words_are_nowhere_in_the_journal(world: ApiWorld) -> None:
    caller = {
        "number": "+998 90 123-45-67",
        "name": "Aziza",
        "language": "uz-Latn",
        "imei": "353472104343540",
    }
    await world.new_call(caller=caller, text="Yordam bering", device={"os": "Android 16", "battery": 12.5})
    kept = b"".join(event.payload for event in await world.store.events(TK, 0, 100))
    assert b'"commitment"' in kept
    for secret in (b"901234567", b"90 123", b"Aziza", b"Yordam", b"353472104343540", b"Android"):
        assert secret not in kept


async def test_a_call_taker_reads_number_name_and_words_and_it_is_written_down(world: ApiWorld) -> None:
    call = await world.new_call(caller={"number": "90 123 45 67", "name": "Aziza"}, text="Yordam")
    got = await world.get(f"calls/{call['call_id']}", token="taker")
    assert got.json["caller"] == {"number": "+998901234567", "name": "Aziza", "text": "Yordam"}
    await world.audit.flush()
    entries = await world.store.audited(f"call:{call['call_id']}", 10)
    assert [(entry.actor, entry.action) for entry in entries] == [("user:taker", "read")]


async def test_a_number_that_cannot_be_read_is_kept_as_it_was_sent(world: ApiWorld) -> None:
    call = await world.new_call(caller={"number": "anonymous"})
    got = await world.get(f"calls/{call['call_id']}", token="taker")
    assert got.json["caller"] == {"number_as_sent": "anonymous"}


async def test_an_erased_caller_stays_a_call(world: ApiWorld) -> None:
    call = await world.new_call(caller={"number": "90 123 45 67"})
    await world.store.erase(call["call_id"], "user:admin", world.clock.now())
    got = await world.get(f"calls/{call['call_id']}", token="taker")
    assert (got.status, got.json["caller"]) == (200, {"erased": True})


async def test_a_unit_is_on_its_way_when_a_located_call_names_a_service(world: ApiWorld) -> None:
    await world.unit("TK-A1", Body.MOH, "bls", CHORSU)
    call = await world.new_call(service="ambulance", location=app(CHORSU))
    got = await world.get(f"incidents/{call['incident_id']}", token="dispatcher")
    assert [unit["unit_id"] for unit in got.json["units"]] == ["TK-A1"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_clock_at_the_end_of_the_calendar_leaves_the_region_able_to_be_kept(world: ApiWorld, at: str) -> None:
    """Such a time cannot be written in UTC: one call with it would stop the region's snapshots for good."""
    call = await world.new_call(location=[app(CHORSU)[0] | {"at": at}])
    assert call["location"]["point"]["coordinates"] == CHORSU
    await world.leader.snapshots.take(TK)
