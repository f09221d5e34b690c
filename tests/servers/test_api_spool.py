"""While the database is away calls are taken all the same, say so, and are committed when it is back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from dispatch import draining
from dispatch.actors import Actor, Role
from dispatch.core.terms import ActorId
from dispatch.engine import Reply
from dispatch.keeping.memory import MemoryStore
from dispatch.writing.keys import Key
from tests.servers.api_world import CHORSU, TK, ApiWorld, api_world

HERE = [{"source": "app", "point": CHORSU, "accuracy_m": 20}]
SENDER = Actor(actor_id=ActorId("device:1"), role=Role.DEVICE, username="1")


async def committed(world: ApiWorld, call_id: str) -> None:
    for _ in range(3_000):
        if call_id in world.engine.replicas.states[TK].calls and not len(world.spool or ()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the call was not committed")


async def test_a_spooled_call_whose_key_went_elsewhere_is_committed_all_the_same(
    world: ApiWorld, twin: MemoryStore
) -> None:
    other = await world.new_call(location=HERE)
    assert (await world.post(f"calls/{other['call_id']}/location", HERE[0], key="k-9")).status == 200
    await world.stop()
    world.clock.advance(1)  # Names are made of the time.
    await world.start()
    await world.get("regions")
    twin.faults.away = True
    got = await world.post("calls", {"channel": "app", "location": HERE}, key="k-9")
    assert (got.status, got.json["flags"]) == (201, ["spooled"])
    twin.faults.away = False
    await committed(world, got.json["call_id"])
    # Who asks once more hears of the call that there is.
    again = await world.post("calls", {"channel": "app", "location": HERE}, key="k-9")
    assert (again.status, again.raw) == (201, got.raw)
    assert len(world.engine.replicas.states[TK].calls) == 2


async def test_a_key_that_is_known_to_be_of_another_address_leads_to_one_call_in_an_outage(
    world: ApiWorld, twin: MemoryStore
) -> None:
    other = await world.new_call(location=HERE)
    assert (await world.post(f"calls/{other['call_id']}/location", HERE[0], key="k-9")).status == 200
    twin.faults.away = True
    got = [await world.post("calls", {"channel": "app", "location": HERE}, key="k-9") for _ in range(2)]
    assert [each.status for each in got] == [201, 201]
    assert got[0].raw == got[1].raw
    twin.faults.away = False
    await committed(world, got[0].json["call_id"])
    assert len(world.engine.replicas.states[TK].calls) == 2


async def test_a_call_that_is_told_again_has_its_answer_though_its_sender_has_another_in_the_spool(
    world: ApiWorld, twin: MemoryStore
) -> None:
    body = {"channel": "app", "location": HERE}
    first = await world.post("calls", body, key="k-1")
    twin.faults.away = True
    second = await world.post("calls", body, key="k-2")
    assert second.json["flags"] == ["spooled"]
    again = await world.post("calls", body, key="k-1")
    assert (again.status, again.raw) == (201, first.raw)
    assert world.spool is not None and len(world.spool) == 1
    twin.faults.away = False
    await committed(world, second.json["call_id"])


async def test_what_another_process_answered_to_a_key_is_the_answer_here(world: ApiWorld, twin: MemoryStore) -> None:
    asked: list[Key] = []

    async def ask(key: Key) -> Reply | None:
        asked.append(key)
        # Whoever asks about a key has no answer to it, and keeps nobody waiting for one.
        assert await world.interface.intake.answered(key) is None
        return Reply(status=201, body=b'{"call_id":"c-first"}', region=TK, replayed=True) if key.key == "k-1" else None

    world.interface.intake.ask = ask
    twin.faults.away = True
    assert (await world.post("calls", {"channel": "app", "location": HERE}, key="k-1")).json == {"call_id": "c-first"}
    other = await world.post("calls", {"channel": "app", "location": HERE}, key="k-2")
    assert (other.status, other.json["flags"]) == (201, ["spooled"])
    assert [key.key for key in asked] == ["k-1", "k-2"]
    kept = await world.interface.intake.answered(asked[1])
    assert kept is not None and msgspec.json.decode(kept.body) == other.json


async def test_a_call_is_kept_though_the_others_cannot_even_be_asked(world: ApiWorld, twin: MemoryStore) -> None:
    async def ask(key: Key) -> Reply | None:
        raise RuntimeError("a bug of ours")

    world.interface.intake.ask = ask
    twin.faults.away = True
    got = await world.post("calls", {"channel": "app", "location": HERE}, key="k-1")
    assert (got.status, got.json["flags"]) == (201, ["spooled"])


async def test_an_unknown_word_is_flagged_in_the_spool_and_stops_nothing(world: ApiWorld, twin: MemoryStore) -> None:
    twin.faults.away = True
    call = await world.new_call(location=HERE, incident_type="dragon")
    assert call["flags"] == ["spooled", "unknown_incident_type"]
    twin.faults.away = False
    await committed(world, call["call_id"])
    card = (await world.get(f"calls/{call['call_id']}", token="taker")).json
    assert "unknown_incident_type" in card["flags"]


async def test_a_call_is_taken_into_the_spool_and_committed_under_its_own_id(
    world: ApiWorld, twin: MemoryStore
) -> None:
    twin.faults.away = True
    call = await world.new_call(location=HERE, caller={"number": "90 123 45 67"}, text="Yordam")
    assert call["flags"] == ["spooled"]
    assert (call["region"], call["status"], call["seq"]) == ("UZ-TK", "queued", 0)
    twin.faults.away = False
    await committed(world, call["call_id"])
    card = (await world.get(f"calls/{call['call_id']}", token="taker")).json
    assert (card["caller"]["number"], card["caller"]["text"]) == ("+998901234567", "Yordam")
    assert card["caller"]["began_at"] == "2026-01-01T00:00:00Z"


async def test_the_same_key_gives_the_spooled_call_before_and_after(world: ApiWorld, twin: MemoryStore) -> None:
    body = {"channel": "app", "location": HERE}
    twin.faults.away = True
    first = await world.post("calls", body, key="k-1")
    again = await world.post("calls", body | {"silent": True}, key="k-1")
    assert (again.status, again.raw, again.headers["Idempotency-Mismatch"]) == (201, first.raw, "true")
    twin.faults.away = False
    await committed(world, first.json["call_id"])
    after = await world.post("calls", body, key="k-1")
    assert (after.status, after.raw) == (201, first.raw)
    assert len(world.engine.states[TK].calls) == 1


async def test_who_asks_again_while_the_first_try_hangs_hears_of_the_same_call(
    world: ApiWorld, twin: MemoryStore
) -> None:
    body = {"channel": "app", "location": HERE}
    twin.faults.latency_s, twin.faults.fail_before_commit = 0.2, 1
    first = asyncio.create_task(world.post("calls", body, key="k-1"))
    await asyncio.sleep(0.05)
    twin.faults.latency_s = 0.0
    again = await world.post("calls", body, key="k-1")
    assert (await first).json["flags"] == ["spooled"]
    assert (again.status, again.raw) == (201, (await first).raw)
    await committed(world, again.json["call_id"])
    assert len(world.engine.states[TK].calls) == 1


async def test_who_hangs_up_in_an_outage_has_called_all_the_same(world: ApiWorld, twin: MemoryStore) -> None:
    body = {"channel": "app", "location": HERE}
    twin.faults.latency_s, twin.faults.fail_before_commit = 0.2, 1
    first = asyncio.create_task(world.post("calls", body, key="k-1"))
    await asyncio.sleep(0.05)
    first.cancel()
    again = await world.post("calls", body, key="k-1")
    assert again.json["flags"] == ["spooled"]
    await committed(world, again.json["call_id"])
    assert len(world.engine.states[TK].calls) == 1


async def test_spooled_calls_outlive_the_process(world: ApiWorld, twin: MemoryStore) -> None:
    twin.faults.away = True
    calls = [(await world.new_call(location=HERE))["call_id"] for _ in range(5)]
    await world.crash()
    twin.faults.away = False
    await world.start()
    await committed(world, calls[-1])
    kept = [call_id for call_id in world.engine.replicas.states[TK].calls if call_id in calls]
    assert kept == calls


async def test_an_unreadable_contact_waits_for_the_database_too(world: ApiWorld, twin: MemoryStore) -> None:
    twin.faults.away = True
    contact_id = (await world.post("calls", b"yordam")).json["contact_id"]
    twin.faults.away = False
    for _ in range(3_000):
        found, _ = await twin.contacts(None, None, 10)
        if found:
            break
        await asyncio.sleep(0.02)
    assert [contact.contact_id for contact in found] == [contact_id]


async def test_without_a_spool_the_sender_is_told_that_nothing_was_kept(twin: MemoryStore) -> None:
    async with api_world(twin) as world:
        await world.get("regions")
        twin.faults.away = True
        got = await world.post("calls", {"channel": "app", "location": HERE})
        assert (got.status, got.code) == (503, "service_away")
        twin.faults.away = False


async def test_a_callers_next_call_does_not_overtake_the_one_that_waits_and_nobody_else_is_held_up(
    world: ApiWorld, twin: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "DRAIN_S", 2.0)
    await asyncio.sleep(0.6)  # The next look into the spool is two seconds away.
    twin.faults.away = True
    first = await world.new_call(location=HERE, caller={"number": "90 123 45 67"})
    twin.faults.away = False
    async with asyncio.timeout(60):
        while TK not in world.engine.led:
            await asyncio.sleep(0.02)
    same, other = await asyncio.gather(
        world.new_call(location=HERE, caller={"number": "90-123-45-67"}),
        world.new_call(location=HERE, caller={"number": "90 765 43 21"}),
    )
    assert ("spooled" in same["flags"], "spooled" in other.get("flags", ())) == (True, False)
    await committed(world, same["call_id"])
    kept = list(world.engine.replicas.states[TK].calls)
    assert kept == [other["call_id"], first["call_id"], same["call_id"]]


async def test_a_call_from_a_place_of_another_cell_is_kept_here_and_flagged(world: ApiWorld, twin: MemoryStore) -> None:
    fergana = [{"source": "app", "point": [71.7864, 40.3842], "accuracy_m": 20}]
    call = await world.new_call(location=fergana)
    assert (call["region"], call["flags"]) == (TK, ["outside_region"])
    twin.faults.away = True
    call = await world.new_call(location=fergana)
    assert (call["region"], call["flags"]) == (TK, ["spooled"])
    twin.faults.away = False
    await committed(world, call["call_id"])


async def test_new_evidence_of_a_call_is_not_told_that_there_is_none_while_nobody_writes_its_region(
    world: ApiWorld, twin: MemoryStore
) -> None:
    call = await world.new_call(location=HERE)
    path = f"calls/{call['call_id']}/location"
    await world.get("regions", token="device_sa")
    twin.faults.away = True
    answers = [await world.post(path, HERE[0]) for _ in range(2)]
    assert [(got.status, got.code) for got in answers] == [(503, "service_away")] * 2
    assert (await world.post(path, HERE[0], token="device_sa")).code == "unknown_call"


async def test_new_evidence_of_a_spooled_call_is_told_to_come_again(world: ApiWorld, twin: MemoryStore) -> None:
    await world.get("regions", token="device_sa")
    twin.faults.away = True
    call = await world.new_call(location=HERE)
    path = f"calls/{call['call_id']}/location"
    got = await world.post(path, HERE[0])
    assert (call["flags"], got.status, got.code) == (["spooled"], 503, "service_away")
    assert (await world.post(path, HERE[0], token="device_sa")).code == "unknown_call"
    twin.faults.away = False
    await committed(world, call["call_id"])
    assert (await world.post(path, HERE[0])).status == 200
