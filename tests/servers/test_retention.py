"""Work that is over leaves the read models at its age, words leave with theirs, and the journal stays whole."""

from datetime import datetime, timedelta

import msgspec
import pytest

from dispatch.clock import ManualClock
from dispatch.ids import IdSource
from dispatch.keeping import pruning
from dispatch.keeping.disk import Level
from dispatch.keeping.postgres import PostgresStore
from dispatch.keeping.retention import DECISIONS_WHEN_CRITICAL, TRACKS_WHEN_LOW, Retention
from dispatch.store import USUAL_AGES, Ages, Store
from dispatch.web.metrics import Metrics
from dispatch.writing.records import Batch, IncidentRow, Rows
from tests.servers.store_cases import NOW, answer, assignment, call, leader, order, with_rows, words
from tests.servers.test_store_keeping import contact, fix, some

LATER = NOW + USUAL_AGES.work + timedelta(minutes=1)


def incident(number: int, *, closed: bool) -> IncidentRow:
    return IncidentRow(
        incident_id=f"TK-{number}",
        region="UZ-TK",
        number=number,
        status="closed" if closed else "open",
        priority="P1",
        incident_type="cardiac_arrest",
        opened_at=NOW,
        closed_at=NOW if closed else None,
        doc=b"{}",
    )


async def test_closed_work_leaves_the_lists_at_its_age_and_open_work_never(store: Store) -> None:
    scribe = await leader(store)
    over = msgspec.structs.replace(call("c-over", status="closed"), closed_at=NOW, disposition="resolved")
    rows = Rows(
        calls=[over, call("c-open")],
        incidents=[incident(1, closed=True), incident(2, closed=False)],
        assignments=[assignment("as-1", "TK-A1", cleared=True), assignment("as-2", "TK-A2")],
        orders=[order("o-1")],
    )
    await store.append(with_rows(scribe, rows))
    assert some(await store.prune(NOW + USUAL_AGES.work - timedelta(minutes=1))) == {}
    assert some(await store.prune(LATER)) == {"orders": 1, "assignments": 1, "calls": 1, "incidents": 1}
    left = {table: [row[key] for row in (await store.rows(table, {}, None, 10))[0]] for table, key in KEYS.items()}
    assert left == {"calls": ["c-open"], "incidents": ["TK-2"], "assignments": ["as-2"], "orders": []}
    assert await store.head("UZ-TK") == (scribe.seq, scribe.hash)
    assert len(await store.events("UZ-TK", 0, 10)) == scribe.seq


KEYS = {"calls": "call_id", "incidents": "incident_id", "assignments": "assignment_id", "orders": "order_id"}


async def test_words_are_forgotten_at_their_age_which_is_to_be_chosen_and_the_audit_says_so(store: Store) -> None:
    clock = ManualClock(NOW)
    ids = IdSource(clock, seed=1)
    old = [str(ids.call_id()), ids.note_id()]
    clock.advance(86_400.0)
    fresh = [str(ids.call_id()), ids.note_id()]
    scribe = await leader(store)
    await store.append(Batch(events=scribe.events(1), personal=[words(id) for id in old + fresh]))
    await store.keep_contact(contact("x-1"))
    ages = Ages(personal=timedelta(days=30))
    assert some(await store.prune(NOW + timedelta(days=30, hours=1), ages)) == {"personal": 2, "contacts_waiting": 1}
    assert sorted(await store.personal(old + fresh)) == sorted(fresh)
    (entry,) = await store.audited("personal:before:2026-11-23", 10)
    assert (entry.actor, entry.action) == ("system", "erased")
    assert await store.head("UZ-TK") == (1, scribe.hash)


async def test_the_oldest_row_of_each_table_is_known(store: Store) -> None:
    scribe = await leader(store)
    at = NOW + timedelta(hours=1)
    rows = Rows(calls=[call("c-2", minute=5), call("c-1")], orders=[order("o-1")])
    batch = with_rows(scribe, rows)
    await store.append(msgspec.structs.replace(batch, answers=[answer("k-1", at=at)]))
    await store.tracks([fix("TK-A22", day=1), fix("TK-A22")])
    facts = await store.facts()
    assert (facts["calls"].oldest, facts["answers"].oldest, facts["orders"].oldest) == (NOW, at, NOW)
    oldest = facts["tracks"].oldest
    assert oldest is not None and oldest.date() == NOW.date()
    assert facts["audit"].oldest is None


async def test_every_table_is_measured(postgres: PostgresStore) -> None:
    facts = await postgres.facts()
    tables = await postgres._readers.run("pruning.sizes")
    assert facts.keys() == {row["name"] for row in tables} >= {"events", "tracks", "personal", "schema_version"}
    assert all(found.size_bytes > 0 for name, found in facts.items() if name != "tracks")


async def test_one_run_takes_no_more_than_its_share_and_the_next_one_goes_on(
    postgres: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PRUNE_ROWS", 10)
    monkeypatch.setattr(pruning, "PRUNE_STEPS", 3)
    monkeypatch.setattr("dispatch.keeping.retention.PRUNE_MOST", 30)
    scribe = await leader(postgres)
    await postgres.append(Batch(events=scribe.events(1), answers=[answer(f"k-{n}") for n in range(45)]))
    retention = Retention(postgres, ManualClock(NOW + timedelta(hours=25)))
    assert await retention.prune() is True
    assert retention.dropped["answers"] == 30
    assert await retention.prune() is False
    assert retention.dropped["answers"] == 45
    assert await postgres.recall([("device:app", f"k-{n}") for n in range(45)]) == {}


async def test_what_was_dropped_and_how_old_the_rest_is_stands_on_the_metrics_page(store: Store) -> None:
    scribe = await leader(store)
    stays = answer("new", at=NOW + timedelta(hours=24))
    await store.append(Batch(events=scribe.events(1), answers=[answer("old"), stays]))
    metrics, clock = Metrics(), ManualClock(NOW + timedelta(hours=25))
    retention = Retention(store, clock)
    metrics.registry.register(retention)
    await retention.prune()
    value = metrics.registry.get_sample_value
    assert value("dispatch112_pruned_rows_total", {"table": "answers"}) == 1
    assert value("dispatch112_oldest_row_age_seconds", {"table": "answers"}) == 3600
    assert value("dispatch112_prunes_total") == 1


async def test_a_clock_that_leaps_drops_no_answer_that_a_repeated_call_is_known_by(store: Store) -> None:
    scribe, clock, passed_s = await leader(store), ManualClock(NOW), [0.0]
    await store.append(Batch(events=scribe.events(1), answers=[answer("k")]))
    retention = Retention(store, clock, now_s=lambda: passed_s[0])
    await retention.look()
    clock.advance(25 * 3600.0)
    await retention.look()
    assert await store.recall([("device:app", "k")]) != {}
    for _ in range(24):
        passed_s[0] += 3600.0
        clock.advance(3600.0)
        await retention.look()
    assert await store.recall([("device:app", "k")]) == {}
    assert retention.runs == 2


@pytest.mark.parametrize("days", [0, 2])
async def test_a_start_long_after_the_last_event_drops_nothing_for_a_day(store: Store, days: int) -> None:
    scribe, passed_s = await leader(store), [0.0]
    old = answer("k", at=NOW - timedelta(days=3))
    await store.append(Batch(events=scribe.events(1), answers=[old]))
    clock = ManualClock(NOW + timedelta(days=days))
    retention = Retention(store, clock, now_s=lambda: passed_s[0])
    await retention.look()
    assert (await store.recall([("device:app", "k")]) == {}) is (days == 0)
    for _ in range(25):
        passed_s[0] += 3600.0
        clock.advance(3600.0)
        await retention.look()
    assert await store.recall([("device:app", "k")]) == {}


async def test_service_time_ahead_of_the_wall_drops_nothing_by_it(store: Store) -> None:
    class Ahead(ManualClock):
        def wall(self) -> datetime:
            return NOW

    scribe = await leader(store)
    await store.append(Batch(events=scribe.events(1), answers=[answer("k")]))
    await Retention(store, Ahead(NOW + timedelta(days=5))).prune()
    assert await store.recall([("device:app", "k")]) != {}


def test_a_disk_that_gets_full_shortens_tracks_first_then_inputs_and_nothing_else() -> None:
    levels = [Level.AMPLE]
    retention = Retention(None, ManualClock(), level=lambda: levels[0])  # type: ignore[arg-type]
    assert retention.ages() == USUAL_AGES
    levels[0] = Level.EARLY
    assert retention.ages() == USUAL_AGES
    levels[0] = Level.LOW
    assert retention.ages() == msgspec.structs.replace(USUAL_AGES, tracks=TRACKS_WHEN_LOW)
    levels[0] = Level.CRITICAL
    assert retention.ages() == msgspec.structs.replace(
        USUAL_AGES, tracks=TRACKS_WHEN_LOW, decisions=DECISIONS_WHEN_CRITICAL
    )
