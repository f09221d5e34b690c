"""A console that follows the deltas shows what a fresh one shows, whatever happens to its line."""

import asyncio
import contextlib
import inspect
import itertools
import json
import time
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import InvalidStatus

from consoles import broadcast
from consoles.board import Board, Row
from consoles.broadcast import COALESCE_S, TICK_S
from consoles.feed import RECENT_MAX, said
from consoles.gateway import SAYINGS_PER_S, after
from dispatch.core import commands as c
from dispatch.core.state import RegionState, Touched
from dispatch.core.terms import ActorId, CallStatus, UnitId
from tests.consoles.board_world import SAMARKAND, TASHKENT, BoardWorld


@pytest.fixture
async def world() -> AsyncIterator[BoardWorld]:
    made = BoardWorld()
    await made.open()
    yield made
    await made.close()


async def test_a_console_is_greeted_and_shown_every_region(world: BoardWorld) -> None:
    async with world.console() as seen:
        hello = await seen.take()
        assert hello["type"] == "hello"
        assert (hello["view"], hello["mode"], hello["regions"]) == ("full", "SIMULATION", ["UZ-TK", "UZ-SA"])
        assert hello["actor"] == {"username": "dispatcher", "role": "dispatcher", "body": None}
        await seen.up_to(world.seqs)
        assert set(seen.boards) == {"UZ-TK", "UZ-SA"}
        assert len(seen.boards["UZ-TK"]["units"]) == 8
        await seen.until("positions")
        assert "TK-0" in seen.positions


async def test_a_console_is_told_what_is_owed_before_its_picture_is_whole(world: BoardWorld) -> None:
    async with world.console() as seen:
        assert (await seen.take())["owed"] == world.seqs
        await seen.up_to(world.seqs)
    await world.call(TASHKENT)
    world.broadcast.flush()
    async with world.console(query=f"after={seen.known}") as again:
        assert (await again.take())["owed"] == {TASHKENT: world.seqs[TASHKENT]}
        again.boards, again.seqs, again.marks = seen.boards, seen.seqs, seen.marks
        await again.up_to(world.seqs)
        assert "snapshot" not in again.sorts
    async with world.console(query=f"after={again.known}") as whole:
        assert (await whole.take())["owed"] == {}


async def test_a_heartbeat_comes_each_second(world: BoardWorld) -> None:
    async with world.console() as seen:
        await seen.until("heartbeat")
        began_s = time.monotonic()
        beat = await seen.until("heartbeat")
        assert 0.7 < time.monotonic() - began_s < 1.5
        assert beat["health"] == {"postgres": "ok"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("view", ["full", "body:mia", "body:moh"])
async def test_a_snapshot_and_its_deltas_are_a_fresh_snapshot(world: BoardWorld, view: str, seed: int) -> None:
    key = view if view != "full" else "dispatcher"
    await world.allow(key, "dispatcher" if view == "full" else "body", body=view.partition(":")[2] or None)
    async with world.console(key) as seen:
        await seen.up_to(world.seqs)
        living = asyncio.create_task(world.live_a_little(seed, 150))
        while not living.done():
            await seen.take()
        await living
        await seen.up_to(world.seqs)
        assert seen.boards == await world.fresh(key)
        assert "delta" in seen.sorts
        assert seen.sorts.count("snapshot") == 2


async def test_who_comes_back_gets_only_what_was_missed(world: BoardWorld) -> None:
    async with world.console() as seen:
        await seen.up_to(world.seqs)
    await world.live_a_little(1, 40)
    async with world.console(query=f"after={seen.known}") as again:
        again.boards, again.seqs = seen.boards, seen.seqs
        await again.up_to(world.seqs)
        assert "snapshot" not in again.sorts
        assert again.boards == await world.fresh()


async def test_who_comes_back_to_a_journal_that_was_restored_begins_anew() -> None:
    """The number that a console knew has come again, as another event's."""
    lost, restored = BoardWorld(), BoardWorld()
    try:
        await lost.open()
        await restored.open()
        await lost.call(TASHKENT, "cardiac_arrest")
        async with lost.console() as seen:
            await seen.up_to(lost.seqs)
        await restored.call(TASHKENT, "traffic_accident")
        for calls in range(2):
            async with restored.console(query=f"after={seen.known}") as again:
                await again.up_to(restored.seqs)
                assert again.sorts.count("snapshot") == 2, calls
                assert again.boards == await restored.fresh()
            await restored.call(TASHKENT)
    finally:
        await lost.close()
        await restored.close()


@pytest.mark.parametrize("known", ["UZ-TK:0", "UZ-TK:999999", "UZ-TK:-1", "UZ-TK:x", "nonsense", ":", "٣"])
async def test_who_knows_nothing_that_we_keep_gets_a_snapshot(world: BoardWorld, known: str) -> None:
    async with world.console(query=f"regions=UZ-TK&after={known}") as seen:
        await seen.up_to({TASHKENT: world.seqs[TASHKENT]})
        assert "snapshot" in seen.sorts


async def test_after_a_long_absence_a_snapshot_is_sent_instead(world: BoardWorld) -> None:
    async with world.console(query="regions=UZ-TK") as seen:
        await seen.up_to({TASHKENT: world.seqs[TASHKENT]})
    for _ in range(RECENT_MAX + 1):
        await world.call(TASHKENT)
        world.broadcast.flush()
    async with world.console(query=f"regions=UZ-TK&after=UZ-TK:{seen.seqs['UZ-TK']}") as again:
        await again.up_to({TASHKENT: world.seqs[TASHKENT]})
        assert again.sorts.count("snapshot") == 1
        assert again.sorts.count("delta") == 0


async def test_a_burst_is_a_few_frames_and_a_lone_event_waits_for_nothing(world: BoardWorld) -> None:
    async with world.console() as seen:
        await seen.up_to(world.seqs)
        await asyncio.sleep(2 * COALESCE_S)
        began_s = time.monotonic()
        await world.call(TASHKENT)
        await seen.until("delta")
        assert time.monotonic() - began_s < COALESCE_S
        seen.sorts.clear()
        began_s = time.monotonic()
        await asyncio.gather(*(world.call(TASHKENT) for _ in range(200)))
        await seen.up_to(world.seqs)
        frames = seen.sorts.count("delta")
        assert frames <= 2 + (time.monotonic() - began_s) / COALESCE_S


async def test_only_units_that_moved_are_sent_and_at_most_twice_a_second(world: BoardWorld) -> None:
    async with world.console(query="regions=UZ-TK") as seen:
        everyone = await seen.until("positions")
        assert len(everyone["units"]) == 8
        began_s = time.monotonic()
        sent: list[list[str]] = []
        while time.monotonic() - began_s < 4 * TICK_S:
            world.move(UnitId("TK-1"), 41.3, 69.2)
            message = await seen.take()
            if message["type"] == "positions":
                sent.append([unit[0] for unit in message["units"]])
        assert sent
        assert len(sent) <= 5
        assert all(units == ["TK-1"] for units in sent)


async def test_who_comes_while_positions_are_written_never_sees_a_unit_go_back(
    world: BoardWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "WRITES_AT_ONCE", 1)
    east = itertools.count(1)

    def move() -> float:
        world.move(UnitId("TK-1"), 41.3, lon := round(69.2 + next(east) / 1000, 3))
        return lon

    async with world.console(query="regions=UZ-TK") as first, world.console(query="regions=UZ-TK") as second:
        for seen in (first, second):
            await seen.until("positions")
        move()
        telling = world.broadcast.tell(b"")
        telling.send(None)
        last = move()
        async with world.console(query="regions=UZ-TK") as late:
            shown = []
            await late.until("positions")
            shown.append(late.positions["TK-1"][1])
            while inspect.getcoroutinestate(telling) != inspect.CORO_CLOSED:
                with contextlib.suppress(StopIteration):
                    telling.send(None)
            for seen in (first, second):
                while seen.positions["TK-1"][1] != last:
                    await seen.until("positions")
            last = move()
            while shown[-1] != last:
                await late.until("positions")
                shown.append(late.positions["TK-1"][1])
            assert shown == sorted(shown)


async def test_a_body_sees_its_own_units_and_no_calls(world: BoardWorld) -> None:
    await world.allow("fire", "body", body="mes")
    await world.call(TASHKENT, "chest_pain")
    await world.call(TASHKENT)
    async with world.console("fire") as seen:
        await seen.up_to(world.seqs)
        await seen.until("positions")
        board = seen.boards["UZ-TK"]
        assert board["calls"] == {}
        assert board["incidents"] == {}
        assert {unit["body"] for unit in board["units"].values()} == {"mes"}
        assert set(seen.positions) <= set(board["units"]) | set(seen.boards["UZ-SA"]["units"])


async def test_a_console_that_reads_nothing_delays_nobody_and_catches_up(world: BoardWorld) -> None:
    async with world.console(query="regions=UZ-TK,UZ-SA") as lazy:
        await lazy.up_to(world.seqs)
        (console,) = next(iter(world.broadcast.audiences.values())).consoles
        lazy.line.transport.pause_reading()
        while not console.socket.slow:
            console.socket.send(said({"type": "heartbeat", "padding": "x" * 60_000}))
            await asyncio.sleep(0)
        async with world.console() as keen:
            await keen.up_to(world.seqs)
            await world.live_a_little(7, 100)
            await keen.up_to(world.seqs)
            assert set(console.due) == {TASHKENT, SAMARKAND}
            lazy.line.transport.resume_reading()
            await lazy.up_to(world.seqs)
            assert lazy.boards == keen.boards == await world.fresh()
    assert b'console_resyncs_total{reason="slow"} 2.0' in world.metrics.exposition()


async def test_a_region_that_is_loaded_again_is_shown_again(world: BoardWorld) -> None:
    await world.live_a_little(3, 30)
    async with world.console() as seen:
        await seen.up_to(world.seqs)
        seen.sorts.clear()
        world.engine.fail(TASHKENT, "a planted fault")
        async with asyncio.timeout(60):
            while not world.leader.ready:
                await asyncio.sleep(0.01)
        await world.live_a_little(4, 30)
        await seen.up_to(world.seqs)
        assert seen.boards == await world.fresh()
        assert "snapshot" in seen.sorts


async def refusal(world: BoardWorld, key: str, query: str = "") -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with world.console(key, query):
            pass
    return caught.value.response.status_code, json.loads(caught.value.response.body)["code"]


async def test_a_fault_in_drawing_one_board_loses_no_delta_of_another(
    world: BoardWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, faults = Board.changes, [0]

    def broken(self: Board, state: RegionState, touched: Touched | None) -> Row:
        if touched is not None and state.region == TASHKENT:
            faults[0] += 1
            raise RuntimeError("a fault of our own in one row")
        return changes(self, state, touched)

    call_id = await world.call(SAMARKAND)
    async with world.console() as seen:
        await seen.up_to(world.seqs)
        monkeypatch.setattr(Board, "changes", broken)
        await asyncio.gather(
            world.engine.submit(
                SAMARKAND, c.MoveCall(actor=ActorId("user:lola"), call_id=call_id, status=CallStatus.CLAIMED)
            ),
            world.call(TASHKENT),
        )
        async with asyncio.timeout(60):
            while not faults[0]:
                await asyncio.sleep(0.01)
        monkeypatch.undo()
        for region in (TASHKENT, SAMARKAND):
            await world.call(region)
        await seen.up_to(world.seqs)
        assert seen.boards["UZ-SA"]["calls"][call_id]["status"] == "claimed"
        assert seen.boards == await world.fresh()


async def test_a_board_that_cannot_be_drawn_is_said_and_takes_no_other_with_it(
    world: BoardWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broadcast, "REDRAW_S", 0.1)
    changes = Board.changes

    def broken(self: Board, state: RegionState, touched: Touched | None) -> Row:
        if state.region == TASHKENT:
            raise RuntimeError("a fault of our own in one row")
        return changes(self, state, touched)

    async with world.console() as seen:
        await seen.up_to(world.seqs)
        assert world.broadcast.faulty() is None
        monkeypatch.setattr(Board, "changes", broken)
        await world.call(TASHKENT)
        await world.call(SAMARKAND)
        await seen.up_to({SAMARKAND: world.seqs[SAMARKAND]})
        await seen.until("heartbeat")
        assert world.broadcast.faulty() == "boards cannot be drawn, what they show is old: UZ-TK"
        async with world.console() as late:
            await late.up_to({SAMARKAND: world.seqs[SAMARKAND]})
            await late.until("positions")
            await world.call(SAMARKAND)
            await late.up_to({SAMARKAND: world.seqs[SAMARKAND]})
            assert "UZ-TK" not in late.boards
            monkeypatch.setattr(Board, "changes", changes)
            for console in (seen, late):
                await console.up_to(world.seqs)
                assert console.boards == await world.fresh()
        assert world.broadcast.faulty() is None
    assert caplog.text.count("a board cannot be drawn") < 50


async def test_a_board_that_cannot_be_encoded_takes_no_other_with_it(
    world: BoardWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "REDRAW_S", 0.1)
    snapshot, changes = Board.snapshot, Board.changes

    def unencodable(self: Board, state: RegionState) -> Row:
        return snapshot(self, state) | ({"phase": object()} if state.region == TASHKENT else {})

    def broken(self: Board, state: RegionState, touched: Touched | None) -> Row:
        return changes(self, state, touched) | ({"phase": object()} if state.region == TASHKENT else {})

    async with world.console() as seen:
        await seen.up_to(world.seqs)
        monkeypatch.setattr(Board, "snapshot", unencodable)
        monkeypatch.setattr(Board, "changes", broken)
        for _ in range(5):
            await world.call(TASHKENT)
            await world.call(SAMARKAND)
            await asyncio.sleep(0.1)
        await seen.up_to({SAMARKAND: world.seqs[SAMARKAND]})
        assert seen.boards[SAMARKAND] == (await world.fresh_of(SAMARKAND))
        assert world.broadcast.faulty() is not None
        monkeypatch.undo()
        await seen.up_to(world.seqs)
        assert seen.boards == await world.fresh()


async def test_only_who_may_watch_does(world: BoardWorld) -> None:
    await world.allow("bus", "device")
    await world.allow("local", "dispatcher", regions=("UZ-SA",))
    assert await refusal(world, "nobody") == (401, "unauthenticated")
    assert await refusal(world, "bus") == (403, "out_of_scope")
    assert await refusal(world, "local", "regions=UZ-TK") == (403, "out_of_scope")
    assert await refusal(world, "dispatcher", "regions=UZ-TK,XX-YY") == (404, "unknown_region")
    async with world.console("local", "regions=UZ-TK,UZ-SA") as seen:
        assert (await seen.take())["regions"] == ["UZ-SA"]


async def test_a_console_that_talks_too_much_has_to_go(world: BoardWorld) -> None:
    async with world.console() as seen:
        await seen.line.send("hello?")
        await seen.until("heartbeat")
        for _ in range(3 * SAYINGS_PER_S):
            await seen.line.send("x")
        assert await seen.closed() == 1008


async def test_who_left_leaves_nothing_behind(world: BoardWorld) -> None:
    for _ in range(3):
        async with world.console() as seen:
            await seen.take()
    async with asyncio.timeout(60):
        while world.broadcast.audiences:
            await asyncio.sleep(0.01)
    assert not world.gateway.sittings.sockets
    assert b"dispatch112_consoles 0.0" in world.metrics.exposition()


def test_a_resume_list_is_read_as_far_as_it_makes_sense() -> None:
    assert after("UZ-TK:81:0c9e,UZ-TO:40") == {TASHKENT: (81, "0c9e"), "UZ-TO": (40, "")}
    assert after("UZ-SA:1,UZ-SA,:,x:y," + "9" * 10) == {SAMARKAND: (1, "")}
