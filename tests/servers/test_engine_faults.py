"""What the engine's askers are told when the database or a loop of ours fails under them. On the store's twin,
which fails on request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncpg import InvalidPasswordError

from dispatch.clock import SystemClock
from dispatch.core.commands import CloseIncident, OpenIncident, ReceiveCall
from dispatch.core.terms import SYSTEM, ActorId, CallId, Channel, Disposition, RegionId
from dispatch.core.verdict import CLOSED_AT_ONCE
from dispatch.engine import Engine, Reply
from dispatch.errors import ServiceAway
from dispatch.keeping.memory import MemoryStore
from dispatch.store import StoreAway
from dispatch.web.metrics import Metrics
from dispatch.writing.holder import holder_of
from dispatch.writing.keys import Key
from dispatch.writing.leading import Leader
from dispatch.writing.positions import Positions
from dispatch.writing.reach import Reacher
from dispatch.writing.records import AnsweredKeys
from dispatch.writing.snapshots import Snapshots
from dispatch.writing.upkeep import beside, kept_up
from tests.servers.crew_desk import TASHKENT, a_place


class Desk:
    """An engine that leads one region on the twin."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.engine = Engine(self.store, SystemClock(), Reacher(Positions(), None), Positions())
        self.leader = Leader(self.engine, self.store, [TASHKENT], "desk")

    async def open_incident(self, key: str | None = None) -> Reply:
        """The answer names the number that the incident got."""
        return await self.engine.submit(
            TASHKENT,
            OpenIncident(actor=SYSTEM, incident_type="cardiac_arrest", location=a_place()),
            answer=lambda state, events: (201, str(state.number).encode()),
            key=Key(actor=ActorId("device:1"), key=key, body_hash=b"") if key else None,
        )

    @property
    def committed(self) -> int:
        """How many incidents everybody can see."""
        return len(self.engine.replicas.states[TASHKENT].incidents)


@asynccontextmanager
async def _desk() -> AsyncIterator[Desk]:
    desk = Desk()
    tasks = [asyncio.create_task(desk.engine.run())]
    await desk.leader.start()
    tasks.append(asyncio.create_task(desk.leader.run()))
    yield desk
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not so():
            await asyncio.sleep(0.01)


async def _soon(reply: Awaitable[Reply]) -> Reply:
    async with asyncio.timeout(60):
        return await reply


def _silent_head(store: MemoryStore) -> asyncio.Event:
    """Until the event is set nobody learns where a journal ends: a commit stays in doubt."""
    head, known = store.head, asyncio.Event()

    async def silent(region: str) -> tuple[int, bytes]:
        if not known.is_set():
            raise StoreAway("silent")
        return await head(region)

    store.head = silent  # type: ignore[method-assign]
    return known


async def test_who_hangs_up_before_the_commit_and_asks_again_gets_the_same_incident() -> None:
    async with _desk() as desk:
        desk.store.faults.latency_s = 0.2
        first = asyncio.create_task(desk.open_incident("k"))
        await asyncio.sleep(0.05)
        first.cancel()
        again = await _soon(desk.open_incident("k"))
        assert (again.body, again.replayed) == (b"1", True)
        assert desk.committed == 1


async def test_who_repeats_itself_while_the_database_is_away_hears_the_same() -> None:
    async with _desk() as desk:
        assert (await desk.open_incident("k")).body == b"1"
        desk.store.faults.away = True
        assert (await desk.open_incident("k")).body == b"1"
        with pytest.raises(ServiceAway):
            await desk.open_incident("another")


async def test_nobody_is_refused_for_what_never_came_to_be() -> None:
    command = ReceiveCall(actor=SYSTEM, call_id=CallId("c-1"), channel=Channel.VOICE)
    async with _desk() as desk:
        desk.store.faults.latency_s, desk.store.faults.fail_before_commit = 0.2, 1
        first = asyncio.create_task(desk.engine.submit(TASHKENT, command))
        await asyncio.sleep(0.05)
        # In the writer's own state the call is there already, and a second one of that name is refused.
        with pytest.raises(ServiceAway):
            await _soon(desk.engine.submit(TASHKENT, command))
        with pytest.raises(ServiceAway):
            await first
        await _until(lambda: desk.engine.leads(TASHKENT))
        assert (await _soon(desk.engine.submit(TASHKENT, command))).status == 200
        again = await _soon(desk.engine.submit(TASHKENT, command))
        assert again.refusal is not None and again.refusal.code == "call_exists"


async def test_nobody_waits_behind_a_commit_that_is_in_doubt_and_its_asker_hears_the_truth() -> None:
    async with _desk() as desk:
        desk.store.faults.latency_s = 0.1
        desk.store.faults.fail_after_commit = 1
        known = _silent_head(desk.store)
        kept = asyncio.create_task(desk.open_incident("kept"))
        await asyncio.sleep(0.05)
        with pytest.raises(ServiceAway):
            await _soon(desk.open_incident("behind"))
        with pytest.raises(ServiceAway):
            await _soon(desk.open_incident("later"))
        assert not kept.done()
        known.set()
        assert (await _soon(kept)).body == b"1"
        await _until(lambda: desk.leader.ready)
        assert (await _soon(desk.open_incident("behind"))).body == b"2"
        assert desk.committed == 2


async def test_a_call_in_doubt_is_let_go_and_found_when_it_is_told_again() -> None:
    command = ReceiveCall(actor=SYSTEM, call_id=CallId("c-1"), channel=Channel.VOICE)
    key = Key(actor=ActorId("device:1"), key="k", body_hash=b"")
    async with _desk() as desk:
        desk.store.faults.fail_after_commit = 1
        known = _silent_head(desk.store)
        with pytest.raises(ServiceAway):
            await _soon(desk.engine.submit(TASHKENT, command, key=key))
        known.set()
        await _until(lambda: desk.leader.ready and len(desk.engine.replicas.states[TASHKENT].calls) == 1)
        again = await _soon(desk.engine.submit(TASHKENT, command, key=key))
        assert again.replayed or (again.refusal is not None and again.refusal.code == "call_exists")
        assert len(desk.engine.replicas.states[TASHKENT].calls) == 1


async def test_a_database_that_refuses_us_has_not_said_that_nothing_was_kept() -> None:
    async with _desk() as desk:
        desk.store.faults.fail_after_commit = 1
        head, refusals = desk.store.head, [InvalidPasswordError("password authentication failed")] * 3

        async def refused(region: str) -> tuple[int, bytes]:
            if refusals:
                raise refusals.pop()
            return await head(region)

        desk.store.head = refused  # type: ignore[method-assign]
        assert (await _soon(desk.open_incident())).body == b"1"


async def test_a_region_that_was_read_again_during_the_doubt_goes_on() -> None:
    async with _desk() as desk:
        desk.store.faults.fail_after_commit = 1
        known = _silent_head(desk.store)
        kept = asyncio.create_task(desk.open_incident())
        await asyncio.sleep(0.05)
        desk.engine.fail(TASHKENT, "its lease ran out")
        await _until(lambda: desk.leader.ready and desk.committed == 1)
        known.set()
        assert (await _soon(kept)).body == b"1"
        assert (await _soon(desk.open_incident())).body == b"2"
        assert desk.committed == 2


async def test_another_leaders_events_behind_ours_do_not_make_ours_lost() -> None:
    async with _desk() as desk:
        desk.store.faults.fail_after_commit = 1
        head = desk.store.head

        async def gone_on(region: str) -> tuple[int, bytes]:
            seq, _ = await head(region)
            return seq + 3, bytes(32)

        desk.store.head = gone_on  # type: ignore[method-assign]
        assert (await _soon(desk.open_incident())).body == b"1"


async def test_a_region_that_cannot_be_read_is_tried_again_and_keeps_nobody_from_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dispatch.writing.leases.FAULT_PAUSE_S", 0.05)
    async with _desk() as desk:
        load, broken = desk.store.load, [True]

        async def broken_load(region: str) -> object:
            if broken:
                raise ValueError("a snapshot of another version")
            return await load(region)

        desk.store.load = broken_load  # type: ignore[method-assign, assignment]
        desk.engine.fail(TASHKENT, "for the test")
        await asyncio.sleep(0.2)
        assert not desk.leader.ready
        broken.clear()
        await _until(lambda: desk.leader.ready)
        assert (await _soon(desk.open_incident())).status == 201


async def test_a_loop_that_a_fault_ends_begins_again_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dispatch.writing.upkeep.AGAIN_S", 0.01)
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise KeyError("our own bug")

    metrics = Metrics()
    await kept_up("work", work, metrics)
    assert len(begun) == 3
    assert caplog.text.count("work ended by a fault") == 1, "the same fault is not said at each turn"
    assert metrics.registry.get_sample_value("dispatch112_faults_total", {"where": "work"}) == 2.0


async def test_a_group_of_loops_that_a_fault_ends_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.writing.upkeep.AGAIN_S", 0.01)
    begun: list[int] = []

    async def faulty() -> None:
        await asyncio.sleep(0)
        if len(begun) < 3:
            raise KeyError("our own bug")

    async def work() -> None:
        begun.append(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(faulty())
            group.create_task(asyncio.sleep(0.01))

    await kept_up("work", work, Metrics())
    assert len(begun) == 3


async def test_a_process_leads_on_after_a_fault_in_one_of_its_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.writing.upkeep.AGAIN_S", 0.01)
    desk, due, faults = Desk(), Snapshots.due, [AssertionError("our own bug")]

    def faulty(snapshots: Snapshots) -> Iterator[RegionId]:
        if faults:
            raise faults.pop()
        return due(snapshots)

    monkeypatch.setattr(Snapshots, "due", faulty)
    (committing,) = beside({"engine": desk.engine.run}, Metrics())
    await desk.leader.start()
    (leading,) = beside({"leader": desk.leader.run}, Metrics())
    await _until(lambda: not faults)
    lapses_s = desk.leader.leases.until_s[TASHKENT]
    await _until(lambda: desk.engine.leads(TASHKENT) and desk.leader.leases.until_s[TASHKENT] > lapses_s + 1.0)
    assert (await _soon(desk.open_incident())).status == 201
    for task in (leading, committing):
        task.cancel()
    await asyncio.gather(leading, committing, return_exceptions=True)


async def test_keys_that_cannot_be_learnt_keep_nobody_from_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.writing.recollection.LEARN_AGAIN_S", 0.01)
    answered, faults = MemoryStore.answered, [KeyError("our own bug"), KeyError("our own bug")]

    async def faulty(store: MemoryStore, regions: frozenset[str], after: Any, limit: int) -> AnsweredKeys:
        if faults:
            raise faults.pop()
        return await answered(store, regions, after, limit)

    monkeypatch.setattr(MemoryStore, "answered", faulty)
    async with _desk() as desk:
        await _until(lambda: not faults)
        assert (await _soon(desk.open_incident("k"))).status == 201
        assert (await _soon(desk.open_incident("k"))).replayed


async def test_a_region_that_could_not_be_given_in_time_goes_on_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.writing.leases.ANSWER_LIMIT_S", 0.1)
    async with _desk() as desk:
        desk.store.faults.latency_s = 0.5
        first = asyncio.create_task(desk.open_incident())
        await asyncio.sleep(0.01)
        await desk.leader.leases.give([TASHKENT])
        assert desk.engine.writable(TASHKENT) is not None
        desk.store.faults.latency_s = 0.0
        assert (await _soon(first)).body == b"1"
        assert (await _soon(desk.open_incident())).body == b"2"


async def test_whoever_waits_for_a_commit_is_told_when_committing_ends() -> None:
    desk = Desk()
    committing = asyncio.create_task(desk.engine.run())
    await desk.leader.start()
    desk.store.faults.latency_s = 60.0
    asked = asyncio.create_task(desk.open_incident())
    await asyncio.sleep(0.1)
    committing.cancel()
    with pytest.raises(ServiceAway):
        await _soon(asked)


async def test_who_leads_is_not_known_by_old_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.writing.leases.LEASE_S", 0.6)
    async with _desk() as desk:
        other = Leader(
            Engine(desk.store, SystemClock(), Reacher(Positions(), None), Positions()), desk.store, [TASHKENT], "b"
        )
        await other.start()
        assert other.ready and TASHKENT in other.leases.elsewhere
        await asyncio.sleep(0.7)  # Nobody looks for it meanwhile.
        assert not other.ready
        await other.leases.look()
        assert other.ready


async def test_a_loop_that_is_told_to_end_ends_though_its_last_work_fails() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ServiceAway("nothing can be written any more")

    (task,) = beside({"work": work}, Metrics())
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5.0)
    assert done and isinstance(task.exception(), ServiceAway)


def test_a_restart_on_the_same_directory_leads_under_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert holder_of(tmp_path) == holder_of(tmp_path) != holder_of(tmp_path / "other")


async def test_a_crowd_of_calls_ends_after_its_incident_though_the_database_goes_away_between() -> None:
    crowd = 3 * CLOSED_AT_ONCE
    async with _desk() as desk:
        for number in range(crowd):
            came = ReceiveCall(
                actor=SYSTEM,
                call_id=CallId(f"c-{number:04}"),
                channel=Channel.APP,
                incident_type="smoke",
                location=a_place(),
            )
            await desk.engine.submit(TASHKENT, came)
        (incident_id,) = desk.engine.states[TASHKENT].incidents
        ended = CloseIncident(actor=SYSTEM, incident_id=incident_id, disposition=Disposition.FALSE_CALL)
        await desk.engine.submit(TASHKENT, ended)
        assert desk.committed == 0
        desk.store.faults.fail_after_commit = 1
        await _until(lambda: not desk.store.faults.fail_after_commit)
        await _until(lambda: not desk.engine.replicas.states[TASHKENT].calls)
        left, _ = await desk.store.rows("calls", {"status": "linked"}, None, 10)
        last = await desk.store.row("calls", f"c-{crowd - 1:04}")
        assert left == [] and last is not None and last["status"] == "closed"
