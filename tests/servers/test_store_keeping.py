"""What else a store keeps, on the twin and on Postgres: answers, personal data, contacts, audit, tracks, log-ins."""

from datetime import timedelta

import msgspec

from dispatch.store import TRACK_DAYS_MAX, Store
from dispatch.writing.records import (
    AuditEntry,
    Batch,
    Device,
    Operator,
    Session,
    TrackPoint,
    UnreadableContact,
    digest_of_key,
)
from tests.servers.store_cases import NOW, answer, leader, words

LOLA = Operator(username="lola", role="call_taker", password="$argon2id$v=19$…", regions=("UZ-TK", "UZ-TO"))


def contact(contact_id: str, *, minute: int = 0, region: str | None = "UZ-TK") -> UnreadableContact:
    return UnreadableContact(
        contact_id=contact_id,
        region=region,
        at=NOW + timedelta(minutes=minute),
        actor="device:app",
        door="http",
        content_type="application/json",
        raw=b'{"lat": 41.3,,}\x00\xff',
        fault="a comma too many",
    )


def fix(unit_id: str, *, second: int = 0, day: int = 0) -> TrackPoint:
    at = NOW + timedelta(days=day, seconds=second)
    return TrackPoint(unit_id=unit_id, at=at, lat=41.31, lon=69.24, accuracy_m=5.0, heading=90.0)


async def test_a_key_gives_the_first_answer_again(store: Store) -> None:
    scribe = await leader(store)
    first = answer("k-1", b'{"call_id":"c-1"}')
    await store.append(Batch(events=scribe.events(1), answers=[first]))
    assert await store.recall([("device:app", "k-1"), ("device:app", "k-2"), ("user:lola", "k-1")]) == {
        ("device:app", "k-1"): first
    }
    assert await store.recall([]) == {}


async def test_the_answered_keys_of_regions_are_told_as_digests_page_by_page(store: Store) -> None:
    scribe, other = await leader(store), await leader(store, "UZ-TO")
    mine = [answer(f"k-{number}") for number in range(5)]
    beside = msgspec.structs.replace(answer("k-9"), region="UZ-TO")
    await store.append(Batch(events=[*scribe.events(1), *other.events(1)], answers=[*mine, beside]))
    first = await store.answered(["UZ-TK"], None, 3)
    assert first.last == ("device:app", "k-2")
    rest = await store.answered(["UZ-TK"], first.last, 3)
    assert rest.last is None
    assert first.digests + rest.digests == b"".join(digest_of_key("device:app", f"k-{number}") for number in range(5))
    both = await store.answered(["UZ-TK", "UZ-TO"], None, 100)
    assert both.digests == first.digests + rest.digests + digest_of_key("device:app", "k-9")
    assert (await store.answered([], None, 100)).digests == b""


async def test_what_answers_a_key_a_second_time_is_not_kept_and_is_told_the_first_answer(store: Store) -> None:
    scribe, other = await leader(store), await leader(store, "UZ-TO")
    first, second = answer("k-1", b'{"call_id":"c-1"}'), answer("k-1", b'{"call_id":"c-2"}')
    assert (await store.append(Batch(events=scribe.events(1), answers=[first]))).repeated == {}
    beside = msgspec.structs.replace(answer("k-3"), region="UZ-TO")
    batch = Batch(events=[*scribe.events(1), *other.events(1)], answers=[second, answer("k-2"), beside])
    appended = await store.append(batch)
    assert appended.refused == {"UZ-TK": "repeated"}
    assert appended.repeated == {("device:app", "k-1"): first}
    assert {region: seq for region, (seq, _) in (await store.heads()).items()} == {"UZ-TK": 1, "UZ-TO": 1}
    assert await store.recall([("device:app", "k-2"), ("device:app", "k-3")]) == {("device:app", "k-3"): beside}
    assert (await store.recall([("device:app", "k-1")]))[("device:app", "k-1")] == first


async def test_an_answer_needs_no_event(store: Store) -> None:
    assert (await store.append(Batch(answers=[answer("k-1")]))).refused == {}
    assert len(await store.recall([("device:app", "k-1")])) == 1


async def test_personal_data_is_kept_and_read_by_id(store: Store) -> None:
    scribe = await leader(store)
    await store.append(Batch(events=scribe.events(1), personal=[words("p-1"), words("p-2")]))
    assert await store.personal(["p-1", "p-9"]) == {"p-1": words("p-1")}


async def test_erased_data_is_gone_for_good_and_the_chain_still_stands(store: Store) -> None:
    scribe = await leader(store)
    await store.append(Batch(events=scribe.events(1), personal=[words("p-1")]))
    assert await store.erase("p-1", "user:admin", NOW) is True
    assert await store.personal(["p-1"]) == {}
    assert await store.erase("p-1", "user:admin", NOW) is False
    await store.append(Batch(events=scribe.events(1), personal=[words("p-1")]))
    assert await store.personal(["p-1"]) == {}
    assert await store.head("UZ-TK") == (2, scribe.hash)
    entry = AuditEntry(at=NOW, actor="user:admin", action="erased", subject="personal:p-1")
    assert await store.audited("personal:p-1", 10) == [entry]


async def test_reads_of_personal_data_are_audited_newest_first(store: Store) -> None:
    entries = [
        AuditEntry(at=NOW + timedelta(seconds=n), actor=f"user:{n}", action="read", subject="call:c-1")
        for n in range(3)
    ]
    await store.audit(entries)
    await store.audit([])
    assert await store.audited("call:c-1", 2) == [entries[2], entries[1]]
    assert await store.audited("call:c-2", 2) == []


async def test_an_unreadable_contact_waits_raw_until_a_supervisor_settles_it(store: Store) -> None:
    await store.keep_contact(contact("x-1"))
    await store.keep_contact(contact("x-1"))
    assert await store.contacts("UZ-TK", None, 10) == ([contact("x-1")], None)
    assert await store.settle_contact("x-1", "user:lola", NOW, ("UZ-SA", "UZ-QR")) is False, "not hers to settle"
    assert await store.settle_contact("x-1", "user:aziz", NOW, ("UZ-SA", "UZ-TK")) is True
    assert await store.settle_contact("x-1", "user:aziz", NOW) is False
    assert await store.contacts("UZ-TK", None, 10) == ([], None)


async def test_waiting_contacts_page_from_the_oldest(store: Store) -> None:
    kept = [contact(f"x-{n}", minute=-n, region=None if n == 2 else "UZ-TK") for n in range(5)]
    for each in kept:
        await store.keep_contact(each)
    first, cursor = await store.contacts(None, None, 3)
    rest, end = await store.contacts(None, cursor, 3)
    assert [each.contact_id for each in first + rest] == ["x-4", "x-3", "x-2", "x-1", "x-0"]
    assert end is None
    assert len((await store.contacts("UZ-TK", None, 10))[0]) == 4


async def test_tracks_are_kept_by_day_and_read_by_unit_and_time(store: Store) -> None:
    points = [fix("TK-A22", second=n) for n in (3, 1, 2)] + [fix("TK-A22", day=1), fix("TK-B1")]
    assert await store.tracks(points) == 5
    assert await store.tracks([]) == 0
    found = await store.track("TK-A22", NOW, NOW + timedelta(hours=1), 10)
    assert found == [points[1], points[2], points[0]]
    assert await store.track("TK-A22", NOW, NOW + timedelta(days=2), 10) == [*found, points[3]]


async def test_the_last_point_of_each_unit_is_found_however_many_days_lie_between(store: Store) -> None:
    points = [fix("TK-A22", second=n) for n in (3, 1, 2)] + [fix("TK-B1", day=2), fix("TK-B1")]
    await store.tracks(points)
    assert await store.last_tracks([], NOW) == []
    found = await store.last_tracks(["TK-A22", "TK-B1", "TK-C1"], NOW)
    assert sorted(found, key=lambda point: point.unit_id) == [points[0], points[3]]
    assert await store.last_tracks(["TK-A22", "TK-B1"], NOW + timedelta(days=1)) == [points[3]]


async def test_a_device_with_a_wrong_clock_cannot_make_days_without_end(store: Store) -> None:
    kept = await store.tracks([fix("TK-A22", day=day) for day in range(TRACK_DAYS_MAX + 5)])
    assert kept == TRACK_DAYS_MAX
    assert await store.tracks([fix("TK-A22", day=99), fix("TK-A22")]) == 1


def some(dropped: dict[str, int]) -> dict[str, int]:
    """What of it was anything."""
    return {what: rows for what, rows in dropped.items() if rows}


async def test_what_is_past_its_age_is_pruned_and_the_rest_stays(store: Store) -> None:
    scribe = await leader(store)
    fresh = answer("new", at=NOW + timedelta(hours=2))
    await store.append(Batch(events=scribe.events(1), answers=[answer("old"), fresh]))
    await store.tracks([fix("TK-A22"), fix("TK-A22", day=9)])
    await store.put_operator(LOLA)
    for token, hours in ((b"a" * 32, 1), (b"b" * 32, 999)):
        expires_at = NOW + timedelta(hours=hours)
        await store.put_session(Session(token=token, username="lola", created_at=NOW, expires_at=expires_at))
    await store.keep_contact(contact("x-1"))
    await store.keep_contact(contact("x-2"))
    await store.settle_contact("x-1", "user:aziz", NOW - timedelta(days=85))
    dropped = await store.prune(NOW + timedelta(hours=25))
    assert some(dropped) == {"answers": 1, "sessions": 1}
    assert list(await store.recall([("device:app", "old"), ("device:app", "new")])) == [("device:app", "new")]
    later = await store.prune(NOW + timedelta(days=10))
    assert some(later) == {"answers": 1, "contacts": 1, "tracks": 1}
    assert (await store.contacts(None, None, 10))[0] == [contact("x-2")]
    assert len(await store.track("TK-A22", NOW, NOW + timedelta(days=20), 10)) == 1
    assert await store.tracks([fix("TK-A22")]) == 1


async def test_operators_are_put_and_found_by_name(store: Store) -> None:
    await store.put_operator(LOLA)
    away = Operator(username="aziz", role="body", password="x", body="mia", regions=("*",), active=False)
    await store.put_operator(away)
    await store.put_operator(LOLA)
    assert await store.get_operator("lola") == LOLA
    assert await store.get_operator("nobody") is None
    assert await store.list_operators() == [away, LOLA]


async def test_a_session_lasts_until_it_is_dropped(store: Store) -> None:
    await store.put_operator(LOLA)
    sessions = [
        Session(token=bytes([n]) * 32, username="lola", created_at=NOW, expires_at=NOW + timedelta(hours=8))
        for n in range(3)
    ]
    for session in sessions:
        await store.put_session(session)
    assert await store.get_session(sessions[1].token) == sessions[1]
    await store.drop_session(sessions[1].token)
    assert await store.get_session(sessions[1].token) is None
    assert await store.drop_sessions("lola") == 2
    assert await store.get_session(sessions[0].token) is None


async def test_devices_are_found_by_the_digest_of_their_key(store: Store) -> None:
    device = Device(token=b"d" * 32, actor="unit:TK-A22", role="unit", body="moh", regions=("UZ-TK",))
    await store.put_device(device)
    assert await store.get_device(b"d" * 32) == device
    assert await store.list_devices() == [device]
    await store.drop_device(b"d" * 32)
    assert await store.get_device(b"d" * 32) is None
