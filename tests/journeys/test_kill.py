"""Servers killed under load, with real processes: what was answered is there, once, and everybody goes on.

A run is seeded: what people say, and the moment of the blow. The clock and the machine are not, so a failed
run prints its seed and the line that tries the same again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.journeys.ledger import Ledger, read_ledger
from tests.journeys.service import Service, kill, living
from tests.journeys.traffic import Asked, Callers, Crews, Watcher

CALLS_PER_S = 100
LOAD_S = 4.0
NO_ORPHAN_S = 2.0
STOP_S = 5.0
PATIENCE_S = 20.0


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of this run; CHAOS_SEED repeats one."""
    number = int(os.environ.get("CHAOS_SEED") or secrets.randbits(31))
    print(f"seed {number}; again: CHAOS_SEED={number} .venv/bin/python -m pytest {request.node.nodeid}")
    return number


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    await made.start()
    yield made
    made.kill()
    print(made.log.read_text()[-6000:])


class Scene:
    """The service with everybody who uses it."""

    def __init__(self, service: Service, seed: int, silent: int) -> None:
        self.service = service
        self.callers = Callers(service, seed)
        self.crews = Crews(service, seed, silent)
        self.watchers = [Watcher(service), Watcher(service)]
        self.rng = Random(seed)


@asynccontextmanager
async def scene(service: Service, seed: int, silent: int = 0) -> AsyncIterator[Scene]:
    made = Scene(service, seed, silent)
    for watcher in made.watchers:
        watcher.start()
    await made.crews.start()
    try:
        yield made
    finally:
        await made.crews.stop()
    for watcher in made.watchers:
        await watcher.stop()


async def until(so: Callable[[], bool], claim: str, limit_s: float = PATIENCE_S) -> None:
    give_up_s = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < give_up_s, f"not within {limit_s} s: {claim}"
        await asyncio.sleep(0.02)


async def ended(pids: set[int]) -> None:
    await until(lambda: not living(pids), f"all of {living(pids)} are gone", NO_ORPHAN_S)


async def readied(service: Service) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while await service.ready() != 200:
        assert time.monotonic() < give_up_s, "the service is not ready again"
        await asyncio.sleep(0.02)


async def every_answer_holds(callers: Callers) -> None:
    """Each call that was answered is shown as it was answered; each key leads to one call for ever."""
    answered = [asked for asked in callers.asked if asked.status == 201]
    for first, again in await callers.again():
        assert again.status == 201, (again.key, again.status, again.answer)
        if first.status == 201:
            assert again.answer == first.answer, first.key
        else:
            first.answer, first.status = again.answer, again.status
    cards = await callers.cards(asked.receipt["call_id"] for asked in callers.asked)
    assert {status for status, _ in cards.values()} == {200}
    assert len(cards) == len(callers.asked)
    for asked in answered:
        assert cards[asked.receipt["call_id"]][1].get("incident_id") == incident_told(asked, cards)


def incident_told(asked: Asked, cards: dict[str, tuple[int, dict[str, object]]]) -> object:
    """A call of the spool was answered before anybody could say which incident it is."""
    card = cards[asked.receipt["call_id"]][1]
    return card.get("incident_id") if asked.spooled else asked.receipt.get("incident_id")


async def books_balance(made: Scene) -> Ledger:
    """The journal, the tables, the answers and the boards say the same, at one moment when all are level."""
    fresh = Watcher(made.service)
    fresh.start()
    connection = await made.service.database()
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            ledger = await read_ledger(connection)
            assert ledger.faults == []
            models = [watcher.model for watcher in (*made.watchers, fresh)]
            if all(model.seqs and model.seqs.items() <= ledger.seqs.items() for model in models):
                break
            assert time.monotonic() < give_up_s, "the boards never drew level with the journal"
            await asyncio.sleep(0.1)
        for model in models:
            for region, board in model.boards.items():
                assert board == ledger.board(region), region
    finally:
        await connection.close()
        await fresh.stop()
    assert set(ledger.tables["calls"]) == {asked.receipt["call_id"] for asked in made.callers.asked}
    assert len(ledger.calls_by_key()) == len(ledger.answers) == len(made.callers.asked)
    return ledger


async def test_the_whole_service_is_killed_under_load_and_started_again(service: Service, seed: int) -> None:
    async with scene(service, seed, silent=12) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(made.rng.uniform(1.5, LOAD_S - 0.5))
        below = service.descendants()
        service.kill()
        await ended(below)
        started_s = await service.start()
        await load
        statuses = [asked.status for asked in made.callers.asked]
        assert statuses.count(201) > CALLS_PER_S
        await every_answer_holds(made.callers)
        unheard = await orders(service, "pending", "sent")
        assert unheard
        made.crews.wake()
        await until(lambda: unheard <= made.crews.orders, "orders that nobody had heard are sent again")
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        ledger = await books_balance(made)
        assert all(watcher.connections >= 2 for watcher in made.watchers)
        print(f"{statuses.count(201)} of {len(statuses)} answered; {len(ledger.tables['assignments'])} assignments;"
              f" {len(unheard)} orders unheard; ready again after {started_s:.1f} s")  # fmt: skip


async def test_the_database_is_killed_under_load_and_comes_back_by_itself(service: Service, seed: int) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        seen = await held_down(service, "postgres", made.rng.uniform(0.5, 1.5))
        assert 503 in seen, "nobody could see that the database was away"
        await load
        await readied(service)
        statuses = [asked.status for asked in made.callers.asked]
        assert set(statuses) <= {201, 503}, "every caller has an answer, though it may be: later"
        kept = [asked for asked in made.callers.asked if asked.status == 201]
        spooled = [asked for asked in kept if asked.spooled]
        await drained(service)
        await every_answer_holds(made.callers)
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        await books_balance(made)
        print(f"{len(kept)} of {len(statuses)} answered, {len(spooled)} of them from the spool")


async def test_the_broker_is_killed_under_load_and_orders_go_out_when_it_is_back(service: Service, seed: int) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, LOAD_S))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        seen = await held_down(service, "mosquitto", made.rng.uniform(0.5, 1.5))
        assert set(seen) == {200}, "calls need no broker, so the service stays ready"
        heard = made.crews.orders
        await load
        assert {asked.status for asked in made.callers.asked} == {201}
        sent = await orders(service)
        await until(lambda: sent <= made.crews.orders, "each order has reached its unit")
        assert sent - heard, "nothing was to be sent while the broker was away"
        await every_answer_holds(made.callers)
        made.crews.finish()
        await until(lambda: made.crews.unanswered == 0, "each status has its receipt")
        await books_balance(made)
        print(f"{len(sent - heard)} of {len(sent)} orders went out after the broker was back")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_under_load_it_stops_clean_and_starts_from_snapshots(
    service: Service, seed: int, how: signal.Signals
) -> None:
    async with scene(service, seed) as made:
        load = asyncio.create_task(made.callers.phone(CALLS_PER_S, 2.0))
        await asyncio.sleep(made.rng.uniform(0.5, 1.5))
        below = service.descendants()
        status, stopped_s = await service.stop(how)
        assert (status, living(below)) == (0, {})
        assert stopped_s < STOP_S
        started_s = await service.start()
        await load
        connection = await service.database()
        heads = dict(await connection.fetch("SELECT region, max(seq) FROM events WHERE epoch = 1 GROUP BY region"))
        snapshots = dict(await connection.fetch("SELECT region, max(seq) FROM snapshots GROUP BY region"))
        await connection.close()
        assert snapshots == heads, "the next start reads no events"
        await every_answer_holds(made.callers)
        made.crews.finish()
        await books_balance(made)
        print(f"stopped in {stopped_s:.1f} s, ready again after {started_s:.1f} s")


async def held_down(service: Service, program: str, for_s: float) -> list[int]:
    """Kill a server of the service, and again as often as it comes back; what /readyz said meanwhile and after.

    Returns when the server has been left alone for long enough to be there again.
    """
    up_again_s = time.monotonic() + for_s
    seen: list[int] = []
    while time.monotonic() < up_again_s:
        pid = service.children().get(program)
        if pid is not None:
            kill(pid)
        await asyncio.sleep(0.05)
        seen.append(await service.ready())
    return seen


async def drained(service: Service) -> None:
    """Return when no call waits in the spool."""
    give_up_s = time.monotonic() + PATIENCE_S
    while "dispatch112_calls_spooled 0.0" not in await service.metrics():
        assert time.monotonic() < give_up_s, "the spool is never empty"
        await asyncio.sleep(0.1)


async def orders(service: Service, *statuses: str) -> set[str]:
    """The orders in the database, or those in certain stages."""
    connection = await service.database()
    query = "SELECT order_id FROM orders WHERE $1 OR status = ANY ($2)"
    found = await connection.fetch(query, not statuses, list(statuses))
    await connection.close()
    return {row["order_id"] for row in found}
