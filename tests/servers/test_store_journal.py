"""What the journal promises, on the twin and on Postgres: order, fencing, read models in step, loading."""

import asyncio
from datetime import timedelta

import msgspec

from dispatch.store import Store
from dispatch.writing.journal import GENESIS
from dispatch.writing.records import Batch, DecisionInputs, Process, Rows, Seat
from tests.servers.store_cases import NOW, Scribe, assignment, call, leader, order, with_rows, words


async def test_events_come_back_in_order_and_byte_for_byte(store: Store) -> None:
    scribe = await leader(store)
    batch = scribe.batch(5)
    assert (await store.append(batch)).refused == {}
    assert await store.events("UZ-TK", 0, 10) == batch.events
    assert await store.events("UZ-TK", 3, 1) == batch.events[3:4]
    assert await store.events("UZ-TO", 0, 10) == []


async def test_the_head_is_the_last_event_and_genesis_before_the_first(store: Store) -> None:
    assert await store.head("UZ-TK") == (0, GENESIS)
    scribe = await leader(store)
    assert await store.head("UZ-TK") == (0, GENESIS)
    await store.append(scribe.batch(3))
    assert await store.head("UZ-TK") == (3, scribe.hash)
    assert await store.heads() == {"UZ-TK": (3, scribe.hash)}


async def test_the_latest_time_is_that_of_the_newest_event(store: Store) -> None:
    assert await store.latest() is None
    one, two = await leader(store, "UZ-TK"), await leader(store, "UZ-TO")
    batch = Batch(events=[*one.events(4), *two.events(2)])
    await store.append(batch)
    assert await store.latest() == batch.events[3].at


async def test_an_empty_batch_is_committed_at_once(store: Store) -> None:
    assert await store.append(Batch()) == await store.append(Batch())


async def test_a_region_that_nobody_led_is_refused(store: Store) -> None:
    assert (await store.append(Scribe("UZ-TK", 1).batch())).refused == {"UZ-TK": "unled"}


async def test_a_stale_epoch_drops_only_that_regions_part(store: Store) -> None:
    old, other = await leader(store, "UZ-TK"), await leader(store, "UZ-TO")
    await leader(store, "UZ-TK")
    batch = Batch(
        events=[*old.events(2), *other.events(2)],
        rows=Rows(calls=[call("c-1", "UZ-TK"), call("c-2", "UZ-TO")]),
        personal=[words("p-1")],
    )
    assert (await store.append(batch)).refused == {"UZ-TK": "stale_epoch"}
    assert await store.head("UZ-TK") == (0, GENESIS)
    assert await store.head("UZ-TO") == (2, other.hash)
    assert await store.row("calls", "c-1") is None
    assert await store.row("calls", "c-2") is not None
    assert await store.personal(["p-1"]) == {}


async def test_a_gap_after_the_head_is_refused(store: Store) -> None:
    scribe = await leader(store)
    scribe.event()
    assert (await store.append(scribe.batch())).refused == {"UZ-TK": "gap"}


async def test_the_same_batch_twice_is_refused_the_second_time(store: Store) -> None:
    batch = (await leader(store)).batch(2)
    assert (await store.append(batch)).refused == {}
    assert (await store.append(batch)).refused == {"UZ-TK": "gap"}
    assert len(await store.events("UZ-TK", 0, 10)) == 2


async def test_a_gap_inside_a_batch_is_refused_and_fails_nobody_else(store: Store) -> None:
    broken, sound = await leader(store, "UZ-TK"), await leader(store, "UZ-TO")
    first = broken.event()
    broken.event()
    batch = Batch(events=[first, *sound.events(1), broken.event()])
    assert (await store.append(batch)).refused == {"UZ-TK": "gap"}
    assert (await store.head("UZ-TO"))[0] == 1


async def test_rows_without_an_event_of_their_region_are_refused(store: Store) -> None:
    scribe = await leader(store)
    batch = Batch(events=scribe.events(1), rows=Rows(calls=[call("c-1", "UZ-TO")]))
    assert (await store.append(batch)).refused == {"UZ-TO": "unfenced"}
    assert (await store.head("UZ-TK"))[0] == 1
    assert await store.row("calls", "c-1") is None


async def test_regions_may_interleave_in_one_batch(store: Store) -> None:
    one, two = await leader(store, "UZ-TK"), await leader(store, "UZ-TO")
    events = [one.event(), two.event(), one.event(), two.event()]
    assert (await store.append(Batch(events=events))).refused == {}
    assert await store.heads() == {"UZ-TK": (2, one.hash), "UZ-TO": (2, two.hash)}


async def test_a_row_is_as_its_last_batch_left_it(store: Store) -> None:
    scribe = await leader(store)
    doc = msgspec.json.encode({"place": {"uz-Cyrl": "Чилонзор"}, "lat": 41.31})
    await store.append(with_rows(scribe, Rows(calls=[call("c-1")], orders=[order("o-1")])))
    await store.append(with_rows(scribe, Rows(calls=[call("c-1", status="linked", doc=doc)])))
    row = await store.row("calls", "c-1")
    assert row is not None
    assert (row["status"], row["at"], row["incident_id"]) == ("linked", NOW, None)
    assert msgspec.json.decode(row["doc"]) == msgspec.json.decode(doc)
    kept = await store.row("orders", "o-1")
    assert kept is not None and (kept["status"], kept["sends"], kept["assignment_id"]) == ("pending", 0, "as-1")


async def test_a_unit_has_at_most_one_live_assignment(store: Store) -> None:
    scribe, other = await leader(store), await leader(store, "UZ-TO")
    await store.append(with_rows(scribe, Rows(assignments=[assignment("as-1", "TK-A22")])))
    seq = scribe.seq
    batch = Batch(
        events=[*scribe.events(1), *other.events(1)],
        rows=Rows(assignments=[assignment("as-2", "TK-A22")], calls=[call("c-2", "UZ-TO")]),
    )
    assert (await store.append(batch)).refused == {"UZ-TK": "conflict: assignments_one_live_a_unit"}
    assert (await store.head("UZ-TK"))[0] == seq
    assert await store.row("assignments", "as-2") is None
    assert await store.row("calls", "c-2") is not None


async def test_a_unit_is_cleared_and_sent_again_in_one_batch_in_any_order(store: Store) -> None:
    scribe = await leader(store)
    await store.append(with_rows(scribe, Rows(assignments=[assignment("as-1", "TK-A22")])))
    rows = Rows(assignments=[assignment("as-2", "TK-A22"), assignment("as-1", "TK-A22", cleared=True)])
    assert (await store.append(with_rows(scribe, rows))).refused == {}
    again = Rows(assignments=[assignment("as-3", "TK-A22")])
    assert (await store.append(with_rows(scribe, again))).refused != {}


async def test_a_unit_lent_across_a_border_moves_in_one_batch(store: Store) -> None:
    home, away = await leader(store, "UZ-TO"), await leader(store, "UZ-TK")
    await store.append(with_rows(home, Rows(assignments=[assignment("as-1", "TO-F3", "UZ-TO")])))
    batch = Batch(
        events=[*away.events(1), *home.events(1)],
        rows=Rows(
            assignments=[
                assignment("as-2", "TO-F3", "UZ-TK"),
                assignment("as-1", "TO-F3", "UZ-TO", cleared=True),
            ]
        ),
    )
    assert (await store.append(batch)).refused == {}


async def test_a_status_that_the_service_does_not_know_is_refused(store: Store) -> None:
    scribe = await leader(store)
    refused = (await store.append(with_rows(scribe, Rows(calls=[call("c-1", status="asleep")])))).refused
    assert refused == {"UZ-TK": "conflict: calls_status_check"}


async def test_decision_inputs_are_kept_beside_their_event(store: Store) -> None:
    scribe = await leader(store)
    inputs = DecisionInputs(
        region="UZ-TK", seq=1, digest=b"d" * 32, at=NOW, incident_id="TK-1", inputs=b'{"candidates":[]}'
    )
    await store.append(Batch(events=scribe.events(1), decisions=[inputs]))
    assert await store.decisions("UZ-TK", 0, 10) == [inputs]
    assert await store.decisions("UZ-TK", 1, 10) == []


async def test_a_region_of_no_events_loads_empty(store: Store) -> None:
    loaded = await store.load("UZ-TK")
    assert (loaded.snapshot, loaded.snapshot_seq, loaded.head_seq) == (None, 0, 0)
    assert loaded.snapshot_hash == loaded.head_hash == GENESIS
    assert [event async for event in loaded.tail] == []


async def test_a_region_loads_from_its_newest_snapshot_and_the_events_after_it(store: Store) -> None:
    scribe = await leader(store)
    batch = scribe.batch(7)
    await store.append(batch)
    for seq in (2, 5):
        await store.snapshot("UZ-TK", seq, b"state after %d" % seq)
    loaded = await store.load("UZ-TK")
    assert (loaded.snapshot, loaded.snapshot_seq) == (b"state after 5", 5)
    assert loaded.snapshot_hash == batch.events[4].hash
    assert (loaded.head_seq, loaded.head_hash) == (7, scribe.hash)
    assert [event async for event in loaded.tail] == batch.events[5:]


async def test_the_tail_ends_where_the_head_stood_when_it_was_read(store: Store) -> None:
    scribe = await leader(store)
    batch = scribe.batch(2_100)
    await store.append(batch)
    loaded = await store.load("UZ-TK")
    await store.append(scribe.batch(3))
    assert [event.seq async for event in loaded.tail] == list(range(1, 2_101))


async def test_the_newest_snapshot_wins_whenever_it_was_kept(store: Store) -> None:
    await store.append((await leader(store)).batch(9))
    for seq in (4, 9, 6, 5, 8):
        await store.snapshot("UZ-TK", seq, b"%d" % seq)
    assert (await store.load("UZ-TK")).snapshot == b"9"


async def test_a_live_lease_keeps_others_out(store: Store) -> None:
    assert await store.claim("UZ-TK", "core-1", 60) == 1
    assert await store.claim("UZ-TK", "core-2", 60) is None
    assert await store.claim("UZ-TO", "core-2", 60) == 1


async def test_the_same_holder_claims_again_with_a_new_epoch(store: Store) -> None:
    assert await store.claim("UZ-TK", "core-1", 60) == 1
    assert await store.claim("UZ-TK", "core-1", 60) == 2


async def test_a_lease_that_ran_out_is_prolonged_unless_another_has_taken_it(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 0.02)
    await store.claim("UZ-TO", "core-1", 0.02)
    await asyncio.sleep(0.04)
    assert await store.claim("UZ-TK", "core-2", 60) == 2
    assert await store.renew(["UZ-TK", "UZ-TO"], "core-1", 60) == {"UZ-TO"}
    assert await store.claim("UZ-TO", "core-2", 60) is None
    await store.release(["UZ-TO"], "core-1")
    assert await store.renew(["UZ-TO"], "core-1", 60) == set()


async def test_who_leads_and_who_lives_is_told_as_of_now(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 60, "http://127.0.0.1:1")
    await store.claim("UZ-TO", "core-2", 0.02)
    lives = Process(holder="core-1", address="http://127.0.0.1:1", secret="s", regions=("UZ-TK", "UZ-TO"))
    await store.attend(lives, 60)
    await store.attend(msgspec.structs.replace(lives, holder="core-2"), 0.02)
    await asyncio.sleep(0.04)
    view = await store.leadership()
    (seat,) = view.seats
    assert 0.0 < seat.left_s <= 60.0
    assert seat == Seat(
        region="UZ-TK", holder="core-1", address="http://127.0.0.1:1", epoch=1, until=seat.until, left_s=seat.left_s
    )
    assert view.processes == (lives,)
    await store.depart("core-1")
    assert (await store.leadership()).processes == ()


async def test_the_lease_of_the_dead_does_not_count_unless_it_was_renewed_since(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 30, "http://127.0.0.1:1")
    (dead,) = (await store.leadership()).seats
    await store.renew(["UZ-TK"], "core-1", 60, "http://127.0.0.1:1")
    assert await store.claim("UZ-TK", "core-2", 60, dead=dead) is None
    (dead,) = (await store.leadership()).seats
    earlier = msgspec.structs.replace(dead, until=dead.until - timedelta(microseconds=1))
    for other in (msgspec.structs.replace(dead, holder="core-3"), msgspec.structs.replace(dead, epoch=2), earlier):
        assert await store.claim("UZ-TK", "core-2", 60, dead=other) is None
    assert await store.claim("UZ-TK", "core-2", 60, dead=dead) == 2
    assert await store.renew(["UZ-TK"], "core-1", 60) == set()


async def test_only_leases_still_ours_are_renewed(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 0.5)
    await store.claim("UZ-TO", "core-2", 60)
    assert await store.renew(["UZ-TK", "UZ-TO", "UZ-AN"], "core-1", 60) == {"UZ-TK"}
    await asyncio.sleep(0.55)
    assert await store.claim("UZ-TK", "core-2", 60) is None


async def test_a_released_region_is_free_at_once_and_only_its_holder_releases_it(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 60)
    await store.release(["UZ-TK"], "core-2")
    assert await store.claim("UZ-TK", "core-2", 60) is None
    await store.release(["UZ-TK"], "core-1")
    assert await store.claim("UZ-TK", "core-2", 60) == 2


async def led_at(store: Store) -> dict[str, str]:
    return {seat.region: seat.address for seat in (await store.leadership()).seats if seat.address}


async def test_the_address_of_a_region_is_that_of_whoever_leads_it_now(store: Store) -> None:
    await store.claim("UZ-TK", "core-1", 60, "http://127.0.0.1:1")
    await store.claim("UZ-TO", "core-2", 60)
    assert await led_at(store) == {"UZ-TK": "http://127.0.0.1:1"}
    await store.renew(["UZ-TO"], "core-2", 60, "http://127.0.0.1:2")
    assert await led_at(store) == {"UZ-TK": "http://127.0.0.1:1", "UZ-TO": "http://127.0.0.1:2"}
    await store.release(["UZ-TK"], "core-1")
    assert await led_at(store) == {"UZ-TO": "http://127.0.0.1:2"}
    await store.claim("UZ-TK", "core-3", 60, "http://127.0.0.1:3")
    assert (await led_at(store))["UZ-TK"] == "http://127.0.0.1:3"


async def test_many_appends_at_once_are_each_kept_once(store: Store) -> None:
    regions = [f"UZ-{n:02}" for n in range(8)]
    scribes = [await leader(store, region) for region in regions]
    batches = [Batch(events=[scribe.event() for scribe in scribes]) for _ in range(10)]
    results = await asyncio.gather(*(store.append(batch) for batch in batches))
    assert all(not result.refused for result in results)
    assert {seq for seq, _ in (await store.heads()).values()} == {10}
