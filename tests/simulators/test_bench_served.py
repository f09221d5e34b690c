"""Whoever was not served stands in a benchmark's figures: as long as they waited, and counted."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from simulators.arrivals import shares
from simulators.bench_fleet import Fleet
from simulators.bench_measures import (
    answers,
    faults_of,
    first_orders,
    latency,
    seen,
    seen_by_all,
    settled,
    waits,
)
from simulators.bench_surge import against_normal, consoles_at, held_at
from simulators.bench_traffic import Calls, Sent
from simulators.lean import Poster, Watcher

END_S = 30.0


def sent(number: int, *, seq: int = 5, opened: bool = True, urgent: bool = True, region: str = "UZ-TK") -> Sent:
    """A call that was due at second 0 and kept at 0.1."""
    return Sent(0.0, 0.1, f"c-{number}", region, seq, f"TK-{number}", opened, urgent)


def console(*regions: str, seq: int = 0, at_s: float = 0.0) -> Watcher:
    """One that has come as far as this number of Tashkent."""
    watcher = Watcher("http://127.0.0.1:1", "secret", regions)
    if seq:
        watcher.came[b"UZ-TK"] = ([seq], [at_s])
    return watcher


def test_a_p1_without_an_order_waits_until_the_end() -> None:
    calls = [sent(1), sent(2), sent(3, urgent=False), sent(4, opened=False)]
    urgent = waits(calls, {"TK-1.1": 2.0, "TK-1.2": 1.0}, END_S)
    assert (urgent.seconds, urgent.unserved, urgent.served) == ([1.0, END_S], 1, 1)
    assert latency(urgent.seconds)["p90"] == 1000 * END_S
    orders = first_orders(calls, {"TK-1.1": 2.0}, END_S)
    assert (orders.seconds, orders.unserved) == ([2.0, END_S, END_S], 2)


def test_a_call_that_was_not_kept_waits_until_the_end() -> None:
    kept = answers([sent(1)], [10.0], END_S)
    assert (kept.seconds, kept.unserved) == ([0.1, 20.0], 1)


async def test_a_call_that_a_console_of_its_region_never_saw_counts_with_its_wait() -> None:
    watchers = [console("UZ-TK", seq=5, at_s=2.0), console(seq=4, at_s=1.0), console("UZ-TO")]
    each, by_all = seen([sent(1)], watchers, END_S), seen_by_all([sent(1)], watchers, END_S)
    assert (each.seconds, each.unserved) == ([2.0, END_S], 1)
    assert (by_all.seconds, by_all.unserved) == ([END_S], 1)
    whole = seen_by_all([sent(1)], watchers[:1], END_S)
    assert (whole.seconds, whole.unserved) == ([2.0], 0)


async def test_a_call_that_nobody_could_see_is_in_no_figure() -> None:
    assert seen_by_all([sent(1, region="UZ-SA")], [console("UZ-TO")], END_S).seconds == []


async def test_a_spooled_call_is_not_taken_for_the_first_number_of_its_region() -> None:
    spooled = sent(1, seq=0)
    assert spooled.spooled
    assert seen([spooled], [console(seq=5, at_s=-40.0)], END_S).seconds == [END_S]


async def test_what_comes_late_is_waited_for_and_no_longer_than_said() -> None:
    watcher, ordered, began_s = console("UZ-TK"), dict[str, float](), monotonic()

    def come() -> None:
        watcher.came[b"UZ-TK"] = ([5], [monotonic()])
        ordered["TK-1.1"] = monotonic()

    asyncio.get_running_loop().call_later(0.05, come)
    ended_s = await asyncio.wait_for(settled([sent(1)], [watcher], ordered, 60.0), 30.0)
    assert seen([sent(1)], [watcher], ended_s).unserved == 0
    assert ended_s - began_s >= 0.05
    await asyncio.wait_for(settled([sent(2)], [watcher], ordered, 0.0), 30.0)
    assert first_orders([sent(2)], ordered, ended_s).unserved == 1


async def test_consoles_and_fleets_that_were_cut_off_make_figures_count_for_nothing() -> None:
    fleet, watchers = Fleet([], 1.0, 1), [console(), console()]
    running = asyncio.create_task(fleet.run())
    await asyncio.sleep(0)
    assert faults_of(fleet, watchers) == []
    watchers[1].broken = True
    assert faults_of(fleet, watchers) == ["1 of 2 consoles were cut off"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(faults_of(fleet, watchers)) == 2


async def test_the_first_and_the_last_console_of_each_region_are_timed() -> None:
    async def board(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(board, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        watchers = await consoles_at([url], "secret", 3 * len(shares()) + 1)
        for watcher in watchers:
            watcher.close()
    timed: dict[str, list[bool]] = {}
    for watcher in watchers:
        timed.setdefault(watcher.regions[0], []).append(watcher.timed)
    assert timed.keys() == shares().keys()
    assert {tuple(each) for each in timed.values()} == {(True, False, True), (True, False, False, True)}


STEP: dict[str, Any] = {
    "calls_not_accepted": 0, "calls_lost": 0, "orders_missing": 0, "calls_unseen": 0, "faults": [],
    "call_to_console_ms": {"p99": 80.0},
}  # fmt: skip


@pytest.mark.parametrize(
    "flaw",
    [
        {"calls_not_accepted": 1},
        {"calls_lost": 1},
        {"orders_missing": 1},
        {"calls_unseen": 1},
        {"faults": ["1 of 2 consoles were cut off"]},
        {"call_to_console_ms": {"p99": 100.5}},
        {"call_to_console_ms": {"p99": None}},
    ],
)
def test_a_rate_is_held_only_where_everybody_was_served(flaw: dict[str, Any]) -> None:
    assert held_at(STEP, 100.0)
    assert not held_at(STEP | flaw, 100.0)


def hour(p90_ms: float, *, without_order: int = 0, lost: int = 0) -> dict[str, Any]:
    return {
        "p1_wait_ms": {"p90": p90_ms}, "p1_opened": 60, "p1_without_order": without_order,
        "calls_not_accepted": 3, "calls_lost": lost,
    }  # fmt: skip


def test_an_hour_is_compared_with_a_normal_one_that_served_everybody() -> None:
    said = against_normal(hour(24.0, lost=1), hour(20.0, lost=1))
    assert (said["p1_wait_against_normal_p90"], said["calls_lost"]) == (1.2, 2)
    assert (said["normal_p1_opened"], said["normal_calls_not_accepted"]) == (60, 3)
    assert against_normal(hour(24.0), hour(30_000.0, without_order=9))["p1_wait_against_normal_p90"] is None


async def test_calls_count_by_when_they_were_due_and_those_without_an_answer_are_not_kept() -> None:
    """A door that answers each third call late, refuses each third, and never answers the rest."""
    asked = 0

    async def take(request: web.Request) -> web.Response:
        nonlocal asked
        asked = mine = asked + 1
        if mine % 3 == 1:
            await asyncio.sleep(0.5)
            receipt = {"call_id": f"c-{mine}", "region": "UZ-TK", "seq": mine, "incident_id": f"TK-{mine}"}
            return web.json_response(receipt, status=201)
        if mine % 3 == 2:
            return web.json_response({}, status=503)
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits so long")

    app = web.Application()
    app.router.add_post("/api/v1/calls", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door = Poster(f"http://127.0.0.1:{runner.addresses[0][1]}", "secret")
    calls = Calls(door, door, 112)
    try:
        await calls.place(100.0, 0.2)
        since_s = monotonic()
        await calls.answered(1.0)
        before = calls.sent
        assert len(calls.kept) + len(calls.not_kept) == before > 3
        assert len(calls.kept) == (before + 2) // 3
        assert calls.due_since(since_s) == ([], [])
        await calls.place(100.0, 0.2)
        await calls.answered(1.0)
        kept, not_kept = calls.due_since(since_s)
        assert len(kept) + len(not_kept) == calls.sent - before > 3
        assert not_kept and all(due_s >= since_s for due_s in not_kept)
    finally:
        calls.close()
        await runner.cleanup()
